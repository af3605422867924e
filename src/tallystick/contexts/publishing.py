"""Publishing: the changes of one upload become visible, all in one transaction or none (spec contexts B.10, T1).

Everything that came from outside is checked against what the site knows: nothing else of it is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import TypeVar

import msgspec

from tallystick.contexts import staging
from tallystick.contexts.bounds import trim_history
from tallystick.contexts.entries import DIRECTORY, Change, FileEntry
from tallystick.contexts.problems import EntryRejected, QuotaExceeded, VersionMoved
from tallystick.contexts.shelf import Shelf
from tallystick.contexts.staging import GONE, Page
from tallystick.site import managed

ANY = "*"
"""Expects no version: the changes apply to whatever is current."""

SLICE = 10_000
"""Entries that are replaced at once."""
T = TypeVar("T")


def publish(
    shelf: Shelf,
    expected: str,
    changes: Sequence[Change],
    run: str = "",
    count: int = 0,
    chunks: Mapping[bytes, int] = MappingProxyType({}),
) -> str:
    """Publish, with so many pages of a run, within the caller's write transaction; gives the version after it.

    A run is published once: asked again, nothing is done, and the version is the one that it made.
    Of the ``chunks`` (hash -> bytes) it is known that the context holds them.
    Raises VersionMoved, PagesLost, EntryRejected, ChunkMissing, QuotaExceeded: the caller rolls back.
    """
    made = published(shelf, run) if run else ""
    if made:
        return made
    if expected not in (ANY, shelf.version):
        raise VersionMoved(f"[VersionMoved] {shelf.name} was published by somebody else meanwhile")
    pages: list[Iterable[Page]] = [staging.staged(shelf, run, count)] if run else []
    if changes:
        pages.append([staging.page_of(shelf, changes, chunks)])
    _Publication(shelf, pages).write()
    if shelf.unpublished():
        shelf.note_published(
            {name for page in chain.from_iterable(pages) for _, e in page.files() for name in e.hashes}
        )
    if run:
        staging.forget(shelf, run)
        shelf.ledger.engine.execute(
            "INSERT INTO tally_publication(context, run, version, at) VALUES (?, ?, ?, ?)",
            (shelf.resource.number, run, shelf.version, shelf.ledger.now()),
        )
    return shelf.version


def published(shelf: Shelf, run: str) -> str:
    """The version that the publication of a run made; "" when there was none, or it is forgotten by now."""
    rows = shelf.ledger.engine.query(
        "SELECT version FROM tally_publication WHERE context=? AND run=?", (shelf.resource.number, run)
    )
    return str(rows[0][0]) if rows else ""


class _Publication:
    """Pages that become visible. Keys that are new are written as their pages have them; others are looked at.

    Pages are read twice, to look and to write, so that not all of them are in memory at once.
    """

    def __init__(self, shelf: Shelf, pages: Sequence[Iterable[Page]]) -> None:
        self.shelf = shelf
        self.now = shelf.ledger.now()
        self.first = not shelf.resource.seq
        self.pages = pages
        self.keys: set[str] = set()
        self.gone: set[str] = set()
        self.folders: set[str] = set()
        self.directories: set[str] = set()
        self.leaves = self.size = 0
        self.old: dict[str, FileEntry] = {}
        self.replacing: dict[str, FileEntry | None] = {}
        self.parents: list[str] = []
        for page in chain.from_iterable(pages):
            self._look_at(page)
        self.changed = {key: entry for key, entry in self.replacing.items() if differs(self.old[key], entry)}

    def _look_at(self, page: Page) -> None:
        before = len(self.keys)
        self.keys.update(page.keys)
        if len(self.keys) < before + len(page.keys):
            raise EntryRejected("[EntryRejected] a key is named twice in one upload")
        self.gone.update([key for key, content in zip(page.keys, page.contents, strict=True) if content == GONE])
        self.folders.update(page.folders)
        self.directories.update(page.directories)
        self.leaves += page.leaves
        self.size += page.size
        if not self.first:
            old = self.shelf.entries(page.keys)
            self.old |= old
            self.replacing.update(page.of(old))
        if not page.held:  # it was still on its way when its page came, and must be here now
            staging.check_chunks(self.shelf, page.files())

    def write(self) -> None:
        """Check everything, then write it."""
        fresh = len(self.keys - self.gone) - sum(entry is not None for entry in self.replacing.values())
        if not self.changed and not fresh:
            return
        self._add_parents()
        self._check_emptied()
        self._count_entries(fresh)
        self._count()
        self._keep_history()
        ledger, resource = self.shelf.ledger, self.shelf.resource
        if fresh:
            for page in chain.from_iterable(self.pages):
                managed.write_new(ledger, resource, self._fresh(page), first=self.first)
        if self.parents:
            made = staging.page_of(self.shelf, [(key, FileEntry(DIRECTORY, 0o755)) for key in sorted(self.parents)])
            managed.write_new(ledger, resource, self._fresh(made), first=self.first)
        for keys in _slices(sorted(self.changed)):
            managed.write(ledger, resource, [(key, self._stored(key, self.changed[key])) for key in keys])

    def _fresh(self, page: Page) -> list[tuple[str, bytes, bytes]]:
        """(key, content, hash) of everything in a page that has no entry yet, in the order of keys."""
        rows = list(zip(page.keys, page.contents, page.hashes, strict=True))
        if self.old or self.gone:
            rows = [row for row in rows if row[0] not in self.old and row[1] != GONE]
        rows.sort()
        return rows

    def _stored(self, key: str, entry: FileEntry | None) -> dict[str, object] | None:
        if entry is None:
            return None
        old = self.old[key]
        same = (old.kind, old.digest) == (entry.kind, entry.digest)
        changed = old.changed if same else self.now
        expanded = entry.expanded or (same and old.expanded)
        return msgspec.structs.replace(entry, created=old.created, changed=changed, expanded=expanded).content()

    # Checks -----------------------------------------------------------------------------------------------------------

    def _add_parents(self) -> None:
        """Every directory above a new entry is there, or is made now; a leaf there refuses the entry."""
        asked: set[str] = {""}
        waiting = self.folders - asked
        while waiting:
            asked |= waiting
            unknown = [key for key in waiting if key not in self.keys]
            there = self.shelf.entries(unknown) if unknown and not self.first else {}
            for key in waiting:
                self._check_parent(key, there.get(key))
            self.parents += [key for key in unknown if key not in there]
            waiting = {key.rpartition("/")[0] for key in waiting} - asked

    def _check_parent(self, key: str, there: FileEntry | None) -> None:
        if key in self.gone:
            raise EntryRejected(f"[EntryRejected] {key!r} is removed while something below it is written")
        if (key in self.keys and key not in self.directories) or (there is not None and there.kind != DIRECTORY):
            raise EntryRejected(f"[EntryRejected] {key!r} is no directory, and something below it is written")

    def _check_emptied(self) -> None:
        """What was a directory and is none any more must hold nothing that stays."""
        for key, entry in self.changed.items():
            old = self.old[key]
            if old.kind != DIRECTORY or (entry is not None and entry.kind == DIRECTORY):
                continue
            for page in self.shelf.everything(key):
                for inner, _ in page:
                    if self.changed.get(inner, old) is not None:
                        raise EntryRejected(f"[EntryRejected] {key!r} is removed but {inner!r} in it is not")

    def _count_entries(self, fresh: int) -> None:
        """Keep files, links and directories together within the quota of files."""
        shelf, more = self.shelf, fresh + len(self.parents) - sum(entry is None for entry in self.changed.values())
        if shelf.quota_files is None or more <= 0:
            return
        entries = shelf.count() + more
        if entries > shelf.quota_files:
            raise QuotaExceeded(
                f"[QuotaExceeded] {shelf.name} would hold {entries:,} files and directories of {shelf.quota_files:,}",
                hint="remove some, or raise the quota: tallystick contexts create SITE NAME --quota-files N",
            )

    def _count(self) -> None:
        """Keep the bytes of the context within its quota, and its totals up to date."""
        shelf = self.shelf
        kept = [entry for key, entry in self.replacing.items() if entry is not None and key not in self.changed]
        lost = kept + [self.old[key] for key in self.changed]
        files = shelf.files + self.leaves - staging.leaves_of(lost)
        size = shelf.size + self.size - sum(entry.size for entry in lost)
        if shelf.quota_bytes is not None and size > max(shelf.quota_bytes, shelf.size):
            raise QuotaExceeded(f"[QuotaExceeded] {shelf.name} would hold {size:,} bytes of {shelf.quota_bytes:,}")
        shelf.files, shelf.size, shelf.used = files, size, self.now
        shelf.ledger.engine.execute(
            "UPDATE tally_context SET files=?, bytes=?, used=? WHERE id=?", (files, size, self.now, shelf.id)
        )

    def _keep_history(self) -> None:
        """What is replaced or removed stays until its retention ends, or there is too much of it (X3)."""
        number, version = self.shelf.resource.number, self.shelf.ledger.seq + 1
        lost = [
            (number, version, key, self.now, msgspec.msgpack.encode(old.content()), old.size)
            for key, entry in self.changed.items()
            if (old := self.old[key]).kind != DIRECTORY and is_lost(old, entry)
        ]
        self.shelf.ledger.engine.executemany(
            "INSERT INTO tally_history(context, version, key, at, content, size) VALUES (?, ?, ?, ?, ?, ?)", lost
        )
        if lost:
            trim_history(self.shelf, version)


def is_lost(old: FileEntry, new: FileEntry | None) -> bool:
    """True when what stood under a key stands there no more."""
    return new is None or (new.kind, new.digest) != (old.kind, old.digest)


def _slices(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    """A sequence in parts, so that what is made of each does not add up in memory."""
    for start in range(0, len(whole), SLICE):
        yield whole[start : start + SLICE]


def differs(old: FileEntry | None, new: FileEntry | None) -> bool:
    """True when publishing ``new`` in the place of ``old`` changes anything; a time alone does not (K7)."""
    if old is None or new is None:
        return old is not new
    if (new.expanded and not old.expanded) or new.archived != old.archived:
        return True
    return (old.kind, old.digest, old.mode) != (new.kind, new.digest, new.mode)
