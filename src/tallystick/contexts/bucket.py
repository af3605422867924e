"""A tree in a bare object store: no site, no server, the same port (DESIGN.md 4.10).

    prefix/packs/...        content
    prefix/manifests/NAME   every published manifest, immutable
    prefix/head             which one is current, swapped by conditional put

Whoever may read the bucket sees everything in it: there are no users and no quotas here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from urllib.parse import urlsplit

import msgspec

from tallystick.content.bucket import BucketHead, BucketStore, bucket_of
from tallystick.content.heads import Version
from tallystick.content.problems import HeadMoved
from tallystick.content.store import Collected
from tallystick.contexts.entries import DIRECTORY, Change, FileEntry, ancestors, check_changes
from tallystick.contexts.host import ContextInfo, Folder, Kept, Manifest, Rule, SignedURL
from tallystick.contexts.problems import ContextNotFound, EntryRejected, PagesLost, VersionMoved
from tallystick.contexts.publishing import ANY, differs, is_lost
from tallystick.contexts.shelf import is_at
from tallystick.contexts.storing import cache_of
from tallystick.errors import ConfigurationError, StorageCorrupt
from tallystick.protocols.native.codec.compression import compressed, decompressed
from tallystick.protocols.native.codec.limits import Limits

PAGE = 5000
HISTORY_DAYS = 30
DAY_NS = 86_400 * 1_000_000_000
ATTEMPTS = 8
POLL_S = 5.0
"""Nobody tells of a change in a bucket: so often it is looked for."""
RUNS = 100
"""Of so many publications the head says their names, so that whoever lost the answer can ask."""
LARGE = Limits(body=1 << 30)
"""A manifest is one object, of several million entries at most."""


class Current(msgspec.Struct, frozen=True):
    """What the head says: the tree's permanent identifier, the current manifest, when it was published (ms)."""

    id: str
    manifest: str = ""
    at: int = 0
    runs: list[tuple[str, str]] = []
    """What was published last under names of its own: (run, manifest), the latest last."""


_current = msgspec.json.Decoder(Current)
_entries = msgspec.msgpack.Decoder(dict[str, FileEntry])


class BucketHost:
    """See ``ContextHost``: the one context of a bucket, or of a prefix in it. ``clock`` gives nanoseconds."""

    concurrent = False

    def __init__(self, url: str, clock: Callable[[], int] = time.time_ns) -> None:
        """Prepare for ``s3://bucket/prefix`` and the like; credentials come from the environment.

        Raises ConfigurationError when obstore is not installed or the URL cannot be used.
        """
        self.title = url
        self.name = bucket_name(url)
        self.clock = clock
        self.bucket = bucket_of(url)
        self.store = BucketStore(self.bucket, cache_of(url), clock)
        self.head = BucketHead(self.bucket)
        self._known: tuple[str, dict[str, FileEntry]] = ("", {})
        self._staged: dict[str, dict[int, Sequence[Change]]] = {}

    def close(self) -> None:
        """Close the catalog of content."""
        self.store.close()

    # The one context --------------------------------------------------------------------------------------------------

    def contexts(self) -> list[ContextInfo]:
        head = self.head.read()
        return [] if head.value is None else [self._info(head)]

    def find(self, name: str) -> ContextInfo:
        head = self.head.read()
        if head.value is None:
            raise ContextNotFound(f"[ContextNotFound] nothing was published to {self.title} yet")
        return self._info(head)

    def changed(self, name: str, known: str, seconds: float) -> ContextInfo:
        end = time.monotonic() + seconds
        while True:
            found, left = self.find(name), end - time.monotonic()
            if found.version != known or left <= 0:
                return found
            time.sleep(min(left, POLL_S))

    def create(self, name: str, quota_bytes: int | None = None, quota_files: int | None = None) -> ContextInfo:
        if quota_bytes is not None or quota_files is not None:
            raise ConfigurationError("a bare bucket has no quotas", hint="keep the context at a site")
        head = self.head.read()
        if head.value is None:
            first = Current(f"bucket-{secrets.token_hex(12)}")
            try:
                head = self.head.swap(head, msgspec.json.encode(first))
            except HeadMoved:
                head = self.head.read()
        return self._info(head)

    def _info(self, head: Version) -> ContextInfo:
        current = _said(head)
        return ContextInfo(current.id, self.name, current.manifest or "empty", current.at, current.at, 0, 0)

    def rename(self, identifier: str, name: str) -> ContextInfo:
        raise _only_at_a_site("renaming")

    def delete(self, identifier: str) -> None:
        raise _only_at_a_site("deleting")

    def clear(self, identifier: str) -> None:
        entries = self._read(_said(self.head.read()))
        self.publish(identifier, ANY, [(key, None) for key in entries])

    # Reading ----------------------------------------------------------------------------------------------------------

    def manifest(self, identifier: str, since: str = "", prefix: str = "") -> Manifest:
        current = _said(self.head.read())
        version = current.manifest or "empty"
        if since == version:
            return Manifest(version, False, iter(()))
        entries = self._read(current)
        keys = [key for key in sorted(entries) if not prefix or key == prefix or key.startswith(f"{prefix}/")]
        pages = ([(key, entries[key]) for key in keys[at : at + PAGE]] for at in range(0, len(keys), PAGE))
        return Manifest(version, True, pages)

    def entries(self, identifier: str, keys: Sequence[str]) -> Mapping[str, FileEntry]:
        entries = self._read(_said(self.head.read()))
        return {key: entries[key] for key in keys if key in entries}

    def folder(self, identifier: str, key: str, start: int, most: int) -> Folder:
        from tallystick.contexts.archives import shown_level

        entries = self._read(_said(self.head.read()))
        level = [(inner, entry) for inner, entry in entries.items() if inner.rpartition("/")[0] == key]
        found = shown_level(key, entries.get(key), level, lambda above: _below(entries, above))
        return Folder(found[start : start + most], len(found))

    def history(self, identifier: str, key: str, most: int) -> list[Kept]:
        """Every manifest but the current one is an earlier state: what it holds and the next one does not."""
        names = self._manifests()
        found: list[Kept] = []
        for old, new in reversed(list(pairwise(names))):
            before, after = self._read(Current("", old)), self._read(Current("", new))
            lost = [
                Kept(name, _published(new), entry)
                for name, entry in sorted(before.items())
                if entry.kind != DIRECTORY and is_at(name, key) and is_lost(entry, after.get(name))
            ]
            found += lost[: most - len(found)]
            if len(found) == most:
                break
        return found

    def _manifests(self) -> list[str]:
        """The names of all manifests, in the order of their publication."""
        return sorted(entry["path"].rpartition("/")[2] for batch in self.bucket.list("manifests/") for entry in batch)

    def _read(self, current: Current) -> dict[str, FileEntry]:
        """The entries of a manifest, which never changes."""
        if not current.manifest:
            return {}
        if self._known[0] != current.manifest:
            try:
                raw = bytes(self.bucket.get(f"manifests/{current.manifest}").bytes())
                packed = raw[1:] if raw[:1] == b"\0" else decompressed(raw[1:], LARGE)
                self._known = (current.manifest, _entries.decode(packed))
            except (FileNotFoundError, msgspec.MsgspecError) as problem:
                raise StorageCorrupt(f"the manifest {current.manifest} of {self.title} cannot be read") from problem
        return self._known[1]

    # Chunks -----------------------------------------------------------------------------------------------------------

    def missing(self, identifier: str, hashes: Sequence[bytes]) -> list[bytes]:
        return self.store.missing(hashes)

    def send(self, identifier: str, bundles: Iterable[bytes]) -> None:
        self.store.store_bundles(bundles)

    def fetch(self, identifier: str, hashes: Sequence[bytes]) -> Iterator[bytes]:
        return self.store.fetch_bundles(hashes, lambda names: True)

    # Writing ----------------------------------------------------------------------------------------------------------

    def stage(
        self, identifier: str, run: str, page: int, changes: Sequence[Change], bundles: Iterable[bytes] = ()
    ) -> None:
        self.send(identifier, bundles)
        self._staged.setdefault(run, {})[page] = list(changes)

    def publish(
        self,
        identifier: str,
        expected: str,
        changes: Sequence[Change],
        run: str = "",
        pages: int = 0,
        bundles: Iterable[bytes] = (),
    ) -> str:
        self.send(identifier, bundles)
        made = self.published(identifier, run) if run else ""
        if made:
            return made
        staged = self._staged.pop(run, {})
        if len(staged) != pages:
            raise PagesLost.of(len(staged), pages)
        everything = [change for page in sorted(staged) for change in staged[page]] + list(changes)
        check_changes(everything)
        for _ in range(ATTEMPTS):
            head = self.head.read()
            current = _said(head)
            if expected not in (ANY, current.manifest or "empty"):
                break
            try:
                return self._swap(head, current, everything, run)
            except HeadMoved:
                made = self.published(identifier, run) if run else ""
                if made:
                    return made  # by a request whose answer was lost under way
        raise VersionMoved(f"[VersionMoved] {self.title} was published by somebody else meanwhile")

    def published(self, identifier: str, run: str) -> str:
        return dict(_said(self.head.read()).runs).get(run, "")

    def _swap(self, head: Version, current: Current, changes: Sequence[Change], run: str) -> str:
        now = max(self.clock() // 1_000_000, current.at + 1)  # names of manifests are in the order of publication
        before = self._read(current)
        entries = _applied(before, changes, now)
        if entries == before:
            return current.manifest or "empty"
        name = f"{now:015}-{secrets.token_hex(8)}"
        raw = msgspec.msgpack.encode(entries)
        made = compressed(raw)
        body = b"\0" + raw if made is None else b"\1" + made
        self.bucket.put(f"manifests/{name}", body, mode="create")
        runs = [*current.runs, (run, name)][-RUNS:] if run else current.runs
        self.head.swap(head, msgspec.json.encode(Current(current.id, name, now, runs)))
        self._known = (name, entries)
        return name

    # What only a site has ---------------------------------------------------------------------------------------------

    def signed_url(self, identifier: str, key: str, method: str) -> SignedURL:
        raise _only_at_a_site("signed URLs")

    def rules(self, identifier: str) -> Mapping[str, list[Rule]]:
        return {}

    def set_rules(self, identifier: str, prefix: str, rules: Sequence[Rule]) -> None:
        raise _only_at_a_site("recycle rules")

    # Forgetting -------------------------------------------------------------------------------------------------------

    def sweep(self, history_days: float = HISTORY_DAYS) -> Collected:
        """Forget manifests that were replaced longer ago than that, and content that no manifest needs."""
        current = _said(self.head.read()).manifest
        names = self._manifests()
        before = (self.clock() - int(history_days * DAY_NS)) // 1_000_000
        old = [name for name, after in pairwise(names) if _published(after) < before]
        gone = [name for name in old if name != current]
        if gone:
            self.bucket.delete([f"manifests/{name}" for name in gone])
        kept = [name for name in names if name not in gone]
        return self.store.collect(lambda: self._live(kept), self.clock())

    def _live(self, manifests: Sequence[str]) -> Iterator[bytes]:
        for name in manifests:
            for entry in self._read(Current("", name)).values():
                yield from entry.hashes


def _published(manifest: str) -> int:
    """When a manifest was published (ms), by its name."""
    return int(manifest.partition("-")[0])


def _said(head: Version) -> Current:
    if head.value is None:
        return Current("")
    try:
        return _current.decode(head.value)
    except msgspec.MsgspecError:
        raise StorageCorrupt("the head of a bucket cannot be read", hint="is it used by something else?") from None


def _applied(before: Mapping[str, FileEntry], changes: Sequence[Change], now: int) -> dict[str, FileEntry]:
    """The entries after changes; raises EntryRejected when they make no tree."""
    entries = dict(before)
    for key, entry in changes:
        old = before.get(key)
        if entry is None:
            entries.pop(key, None)
        elif differs(old, entry):
            same = old is not None and (old.kind, old.digest) == (entry.kind, entry.digest)
            created = old.created if old is not None else now
            changed = old.changed if same and old is not None else now
            expanded = entry.expanded or (same and old is not None and old.expanded)
            entries[key] = msgspec.structs.replace(entry, created=created, changed=changed, expanded=expanded)
    for above in {parent for key, entry in changes if entry is not None for parent in ancestors(key)}:
        found = entries.setdefault(above, FileEntry(DIRECTORY, 0o755, created=now, changed=now))
        if found.kind != DIRECTORY:
            raise EntryRejected(f"[EntryRejected] {above!r} is no directory, and something below it is written")
    lost = {key for key, _ in changes if key not in entries or entries[key].kind != DIRECTORY}
    if any(above in lost for key in entries for above in ancestors(key)):
        raise EntryRejected("[EntryRejected] a directory is removed but not all that is in it")
    return entries


def _below(entries: Mapping[str, FileEntry], above: str) -> Iterator[tuple[str, FileEntry]]:
    return ((key, entry) for key, entry in entries.items() if key.startswith(f"{above}/"))


def _only_at_a_site(what: str) -> ConfigurationError:
    return ConfigurationError(f"{what} needs a site", hint="keep the context at a site instead of a bare bucket")


def bucket_name(url: str) -> str:
    """What the context of a bucket is called."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path.rstrip('/')}".replace("/", "-")
