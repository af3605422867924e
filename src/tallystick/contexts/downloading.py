"""Content of a context on its way into a tree: one stream of bundles for many files (spec contexts L5, T1)."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

from blake3 import blake3

from tallystick.content.bundles import layout_of, sound
from tallystick.content.chunking import HASH_BYTES
from tallystick.content.problems import BundleInvalid, ChunkDamaged
from tallystick.contexts.entries import FileEntry, is_one_chunk, unpacked
from tallystick.contexts.host import ContextHost
from tallystick.errors import PeerUnreachable
from tallystick.trees.contents import Given, Sink, Wanted
from tallystick.trees.nodes import Kind
from tallystick.trees.problems import SourceChanged

KEPT_BYTES = 48 << 20
"""Chunks that came before they were asked for, or will be asked for again."""
ATTEMPTS = 5
ENTRIES_AT_ONCE = 5000

Parts = Sequence[tuple[bytes, int]]


class Download:
    """What is fetched from one context, in the order in which ``prepare`` named it."""

    def __init__(self, host: ContextHost, identifier: str, key: Callable[[str], str]) -> None:
        self.host = host
        self.identifier = identifier
        self.key = key
        self._entries: dict[str, FileEntry] = {}
        self._needed: Counter[bytes] = Counter()
        self._order: list[bytes] = []
        self._position: dict[bytes, int] = {}
        self._stream: Iterator[bytes] | None = None
        self._chunks: OrderedDict[bytes, bytes] = OrderedDict()
        self._passed: set[bytes] = set()
        self._size = 0

    def prepare(self, wanted: Sequence[Wanted]) -> None:
        """Learn the chunks of all files; the stream begins with the first that is asked for."""
        self.close()
        asked = [self.key(item.path) for item in wanted if not _is_named_by_digest(item)]
        self._entries = {}
        for start in range(0, len(asked), ENTRIES_AT_ONCE):
            self._entries.update(self.host.entries(self.identifier, asked[start : start + ENTRIES_AT_ONCE]))
        names = [name for item in wanted if item.leaf.kind is Kind.FILE for name, _ in self._parts(item) or ()]
        self._needed = Counter(names)
        self._order = list(self._needed)
        self._position = {name: place for place, name in enumerate(self._order)}

    def give(self, wanted: Wanted, sink: Sink) -> Given:
        """Hand over one file. Raises SourceChanged when the context does not hold what was planned for."""
        parts = self._parts(wanted)
        if parts is None:
            raise SourceChanged(f"[SourceChanged] {wanted.path!r} is not in the context any more")
        hasher = blake3()
        for name, _ in parts:
            data = self._chunk(name)
            if len(parts) > 1:
                hasher.update(data)
            sink(data)
        leaf = wanted.leaf
        digest = parts[0][0] if len(parts) == 1 else hasher.digest()
        if leaf.digest is not None and digest != leaf.digest:
            raise ChunkDamaged(f"[ChunkDamaged] the chunks of {wanted.path!r} do not make the file they stand for")
        return Given(digest, leaf.mtime_ns, leaf.permissions, sum(length for _, length in parts))

    def link_target(self, wanted: Wanted) -> str:
        """The target of a link. Raises SourceChanged."""
        entry = self._entries.get(self.key(wanted.path)) or self._entry(wanted.path)
        return unpacked(entry.target)

    def content(self, entry: FileEntry) -> Iterator[bytes]:
        """The chunks of one entry, by themselves."""
        for name in entry.hashes:
            yield self._alone(name)

    def close(self) -> None:
        """Forget what was prepared."""
        self._end_stream()
        self._chunks.clear()
        self._passed.clear()
        self._size = 0

    def _end_stream(self) -> None:
        closing = getattr(self._stream, "close", None)
        if closing is not None:
            closing()
        self._stream = None

    # Chunks -----------------------------------------------------------------------------------------------------------

    def _parts(self, wanted: Wanted) -> Parts | None:
        leaf = wanted.leaf
        if _is_named_by_digest(wanted) and leaf.digest is not None:
            return [(leaf.digest, leaf.size)] if leaf.size else []
        entry = self._entries.get(self.key(wanted.path))
        return None if entry is None or entry.digest != leaf.digest else entry.parts

    def _entry(self, path: str) -> FileEntry:
        key = self.key(path)
        found: Mapping[str, FileEntry] = self.host.entries(self.identifier, [key])
        if key not in found:
            raise SourceChanged(f"[SourceChanged] {path!r} is not in the context any more")
        return found[key]

    def _chunk(self, name: bytes) -> bytes:
        self._needed[name] -= 1
        if name not in self._chunks and name in self._position and name not in self._passed:
            self._advance(name)
        data = self._chunks.get(name)
        if data is None:
            return self._alone(name)
        if self._needed[name] <= 0:
            self._size -= len(self._chunks.pop(name))
        return data

    def _advance(self, name: bytes) -> None:
        """Read the stream up to a chunk; where it is cut, it goes on from there."""
        failures = 0
        while name not in self._chunks and name not in self._passed:
            try:
                if self._stream is None:
                    self._stream = self.host.fetch(self.identifier, self._rest(name))
                bundle = next(self._stream, None)
            except PeerUnreachable:
                self._end_stream()
                failures += 1
                if failures == ATTEMPTS:
                    raise
                time.sleep(0.1 * 2**failures)
                continue
            if bundle is None:
                return
            failures = 0
            self._take(bundle)

    def _rest(self, name: bytes) -> list[bytes]:
        """What is still needed from a chunk on."""
        return [other for other in self._order[self._position[name] :] if self._needed[other] > 0 or other == name]

    def _take(self, bundle: bytes) -> None:
        came = dict(_sound(bundle))
        for name, _, _ in layout_of(bundle).entries:
            if name in self._position and name not in self._chunks:
                self._passed.add(name)  # also what is damaged: whoever needs it asks for it alone
                if name in came:
                    self._chunks[name] = came[name]
                    self._size += len(came[name])
        while self._size > KEPT_BYTES and len(self._chunks) > 1:
            self._size -= len(self._chunks.popitem(last=False)[1])

    def _alone(self, name: bytes) -> bytes:
        for bundle in self.host.fetch(self.identifier, [name]):
            for found, data in _sound(bundle):
                if found == name:
                    return data
        raise ChunkDamaged(f"[ChunkDamaged] the chunk {name.hex()} is damaged where it is stored")


def _sound(bundle: bytes) -> list[tuple[bytes, bytes]]:
    try:
        return [(chunk.hash, chunk.data) for chunk in sound(bundle)]
    except BundleInvalid as problem:
        raise ChunkDamaged(f"[ChunkDamaged] {problem.message}") from None


def _is_named_by_digest(wanted: Wanted) -> bool:
    leaf = wanted.leaf
    return leaf.kind is Kind.FILE and is_one_chunk(leaf.size) and len(leaf.digest or b"") == HASH_BYTES
