"""The contexts of a site on this machine: the port over its ledger and its content store (spec contexts A.2, B.10)."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any

import msgspec

from tallystick.content.packed import PackedStore
from tallystick.content.problems import ChunkMissing
from tallystick.contexts import publishing, staging, sweeping
from tallystick.contexts.archives import archive_number
from tallystick.contexts.arriving import Arriving
from tallystick.contexts.entries import Change, FileEntry, check_key, entry_of
from tallystick.contexts.folders import folder_of
from tallystick.contexts.host import ContextInfo, Folder, Kept, Manifest, Rule, SignedURL
from tallystick.contexts.problems import ContextNotFound, NameExists
from tallystick.contexts.shelf import Row, Shelf, is_at, resource_name, shelf_of, shelves
from tallystick.contexts.storing import store_of
from tallystick.contexts.tables import ROOM, STEPS
from tallystick.errors import ConfigurationError, TallystickError, UsageError
from tallystick.site import managed
from tallystick.site.ledger import Ledger
from tallystick.streams.hints import SLOW_POLL_S, watch
from tallystick.sync.uncollected import uncollected

MAX_NAME = 200
_IDENTIFIER = re.compile("ctx-[0-9a-f]{24}")
_NOBODY = nullcontext()
MAX_QUOTA = 1 << 60
PAGE = 5000
"""Entries in one page of a manifest."""


class LocalHost:
    """See ``ContextHost``. ``signer`` makes the URLs of a served site: (host, context, key, method) -> path and end.

    ``closing`` is called when the host is closed: the ledger is the caller's otherwise. ``writing`` is held while
    content that came is noted: whoever shares the database between threads lets one write at a time.
    """

    concurrent = False

    def __init__(
        self,
        ledger: Ledger,
        title: str,
        store: PackedStore | None = None,
        signer: Callable[[LocalHost, str, str, str], SignedURL] | None = None,
        closing: Callable[[], None] = lambda: None,
        writing: AbstractContextManager[Any] = _NOBODY,
    ) -> None:
        ledger.require(ROOM, STEPS)
        self.ledger = ledger
        self.title = title
        self.signer = signer
        self._store = store
        self._closing = closing
        self._writing = writing

    @property
    def store(self) -> PackedStore:
        """The content store, opened when it is first needed."""
        if self._store is None:
            self._store = store_of(self.ledger)
        return self._store

    def close(self) -> None:
        """Close the content store, and what was to be closed with it."""
        if self._store is not None:
            self._store.close()
            self._store = None
        self._closing()

    # Contexts ---------------------------------------------------------------------------------------------------------

    def contexts(self) -> list[ContextInfo]:
        return [shelf.info() for shelf in shelves(self.ledger)]

    def find(self, name: str) -> ContextInfo:
        return self._shelf(name).info()

    def changed(self, name: str, known: str, seconds: float) -> ContextInfo:
        end = time.monotonic() + seconds
        hints = watch(self.ledger.engine)
        try:
            while True:
                found, left = self.find(name), end - time.monotonic()
                if found.version != known or left <= 0:
                    return found
                hints.wait(min(left, SLOW_POLL_S))
        finally:
            hints.close()

    def create(self, name: str, quota_bytes: int | None = None, quota_files: int | None = None) -> ContextInfo:
        check_name(name)
        for quota in (quota_bytes, quota_files):
            if quota is not None and not 0 <= quota <= MAX_QUOTA:
                raise UsageError(f"a quota of {quota} is not possible", hint=f"give a number from 0 to {MAX_QUOTA}")
        with self.ledger.write():
            try:
                found = shelf_of(self.ledger, name)
            except ContextNotFound:
                self._insert(name)
                found = shelf_of(self.ledger, name)
            for column, value in (("quota_bytes", quota_bytes), ("quota_files", quota_files)):
                if value is not None:
                    self.ledger.engine.execute(f"UPDATE tally_context SET {column}=? WHERE id=?", (value, found.id))
            return shelf_of(self.ledger, found.id).info()

    def _insert(self, name: str) -> None:
        _check_no_identifier(name)
        identifier = f"ctx-{secrets.token_hex(12)}"
        now = self.ledger.now()
        managed.create_resource(self.ledger, resource_name(identifier), stays=True)
        self.ledger.engine.execute(
            "INSERT INTO tally_context(id, name, created, used) VALUES (?, ?, ?, ?)", (identifier, name, now, now)
        )

    def rename(self, identifier: str, name: str) -> ContextInfo:
        check_name(name)
        _check_no_identifier(name)
        with self.ledger.write():
            shelf = shelf_of(self.ledger, identifier)
            taken = self.ledger.engine.query("SELECT 1 FROM tally_context WHERE name=? AND id<>?", (name, shelf.id))
            if taken:
                raise NameExists(f"[NameExists] another context is called {name!r}")
            self.ledger.engine.execute("UPDATE tally_context SET name=? WHERE id=?", (name, shelf.id))
            return shelf_of(self.ledger, shelf.id).info()

    def delete(self, identifier: str) -> None:
        with self.ledger.write():
            shelf = shelf_of(self.ledger, identifier)
            number = shelf.resource.number
            for table in ("context_chunk", "staged", "history", "expired", "publication", "unpublished"):
                self.ledger.engine.execute(f"DELETE FROM tally_{table} WHERE context=?", (number,))
            self.ledger.engine.execute("DELETE FROM tally_context WHERE id=?", (shelf.id,))
            self.ledger.remove_resource(shelf.resource)

    def clear(self, identifier: str) -> None:
        with self.ledger.write():
            shelf = shelf_of(self.ledger, identifier)
            changes: list[Change] = [(key, None) for page in shelf.everything() for key, _ in page]
            publishing.publish(shelf, publishing.ANY, changes)

    # Reading ----------------------------------------------------------------------------------------------------------

    def manifest(self, identifier: str, since: str = "", prefix: str = "") -> Manifest:
        shelf = self._shelf(identifier)
        with self.ledger.engine.read():
            version = shelf.version
            if since == version:
                return Manifest(version, False, iter(()))
            seq = shelf.seq_of(since) if since else 0
            rows = shelf.changed(seq, prefix) if seq else shelf.rows(prefix)
            expired = sweeping.expired(shelf)
        return Manifest(version, not seq, _pages(rows, {key: entry for key, entry in expired if is_at(key, prefix)}))

    def entries(self, identifier: str, keys: Sequence[str]) -> Mapping[str, FileEntry]:
        return self._shelf(identifier).entries(keys)

    def folder(self, identifier: str, key: str, start: int, most: int) -> Folder:
        return folder_of(self._shelf(identifier), key, start, most)

    def history(self, identifier: str, key: str, most: int) -> list[Kept]:
        return sweeping.history(self._shelf(identifier), key, most)

    # Chunks -----------------------------------------------------------------------------------------------------------

    def missing(self, identifier: str, hashes: Sequence[bytes]) -> list[bytes]:
        held = self._shelf(identifier).lengths(hashes)
        return [name for name in dict.fromkeys(hashes) if name not in held]

    def send(self, identifier: str, bundles: Iterable[bytes]) -> None:
        shelf = self._shelf(identifier)
        with closing(Arriving(bundles, shelf)) as arriving:
            self._hold(shelf, self.store.store_bundles(arriving))
        if arriving.problem is not None:
            raise arriving.problem

    def _hold(self, shelf: Shelf, chunks: Mapping[bytes, int]) -> None:
        if chunks:
            with self._writing, self.ledger.write():
                shelf.hold(chunks)

    @contextmanager
    def _with_content(self, identifier: str, bundles: Iterable[bytes]) -> Iterator[tuple[Shelf, Mapping[bytes, int]]]:
        """A write transaction on a context that holds the chunks of these bundles; whatever becomes of it, they stay.

        Gives the context and the chunks that came.
        """
        shelf = self._shelf(identifier)
        with closing(Arriving(bundles, shelf)) as arriving:
            chunks = self.store.store_bundles(arriving)
            try:
                if arriving.problem is not None:
                    raise arriving.problem
                with self._writing, self.ledger.write():
                    shelf = shelf_of(self.ledger, identifier)
                    if chunks:
                        shelf.hold(chunks)
                    yield shelf, chunks
            except TallystickError:
                self._hold(shelf, chunks)
                raise

    def fetch(self, identifier: str, hashes: Sequence[bytes]) -> Iterator[bytes]:
        shelf = self._shelf(identifier)
        held = shelf.lengths(hashes)
        for name in hashes:
            if name not in held:
                raise ChunkMissing(name)
        return self.store.fetch_bundles(hashes, lambda names: len(shelf.lengths(names)) == len(set(names)))

    # Writing ----------------------------------------------------------------------------------------------------------

    def stage(
        self, identifier: str, run: str, page: int, changes: Sequence[Change], bundles: Iterable[bytes] = ()
    ) -> None:
        with self._with_content(identifier, bundles) as (shelf, chunks):
            staging.stage(shelf, run, page, changes, chunks)

    def publish(
        self,
        identifier: str,
        expected: str,
        changes: Sequence[Change],
        run: str = "",
        pages: int = 0,
        bundles: Iterable[bytes] = (),
    ) -> str:
        with self._with_content(identifier, bundles) as (shelf, chunks), uncollected():
            return publishing.publish(shelf, expected, changes, run, pages, chunks)

    def published(self, identifier: str, run: str) -> str:
        return publishing.published(shelf_of(self.ledger, identifier), run)

    # Rules and URLs ---------------------------------------------------------------------------------------------------

    def rules(self, identifier: str) -> Mapping[str, list[Rule]]:
        return shelf_of(self.ledger, identifier).rules

    def set_rules(self, identifier: str, prefix: str, rules: Sequence[Rule]) -> None:
        sweeping.check_rules(prefix, rules)
        with self.ledger.write():
            shelf = shelf_of(self.ledger, identifier)
            known = {**shelf.rules, prefix: list(rules)}
            text = msgspec.json.encode({path: found for path, found in known.items() if found}).decode()
            self.ledger.engine.execute("UPDATE tally_context SET rules=? WHERE id=?", (text, shelf.id))

    def signed_url(self, identifier: str, key: str, method: str) -> SignedURL:
        if self.signer is None:
            raise ConfigurationError(
                "URLs are made by a served site", hint="serve it with: tallystick serve SITE, and ask it by its URL"
            )
        if method != "GET" or not archive_number(key):
            check_key(key)
        return self.signer(self, shelf_of(self.ledger, identifier).id, key, method)

    def _shelf(self, name: str) -> Shelf:
        """A context as readers may see it: without what has expired (R2)."""
        self.ledger.load()
        shelf = shelf_of(self.ledger, name)
        if shelf.rules_text and sweeping.is_due(shelf):
            with self.ledger.write():
                sweeping.expire(shelf_of(self.ledger, name))
            shelf = shelf_of(self.ledger, name)
        return shelf


def check_name(name: str) -> str:
    """The name of a context, if it can be one; raises UsageError."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or "/" in name or name in (".", ".."):
        raise UsageError(f"{name[:80]!r} cannot name a context", hint="use printable characters without '/'")
    return name


def _check_no_identifier(name: str) -> None:
    """Raise UsageError for a name that may be, or become, the identifier of another context: names are found first."""
    if _IDENTIFIER.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a context", hint="identifiers of contexts look like that")


def _pages(rows: Sequence[Row], expired: Mapping[str, FileEntry]) -> Iterator[Sequence[Change]]:
    """Rows of one snapshot as pages, without the chunks of entries; what expired is said to have."""
    named = {key for key, _ in rows}
    if expired:
        yield [(key, entry) for key, entry in expired.items() if key not in named]
    for start in range(0, len(rows), PAGE):
        yield [
            (key, expired.get(key) if content is None else _light(entry_of(content)))
            for key, content in rows[start : start + PAGE]
        ]


def _light(entry: FileEntry) -> FileEntry:
    return msgspec.structs.replace(entry, chunks=b"") if entry.chunks else entry
