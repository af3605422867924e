"""Bundles: several chunks in one piece, for the wire and for packs (docs/contexts.md, "Bundles"). Pure.

    4 bytes   "TBN1"
    1 byte    0: the payload is the chunks as they are; 1: it is one zstd frame of them
    3 bytes   number of chunks, big endian
    4 bytes   length of the payload
    each      32 bytes hash, 4 bytes length
    payload

Chunks are compressed together: small files of one directory resemble each other, and one frame costs less than many.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tallystick.content.chunking import HASH_BYTES, MAX_CHUNK, Chunk, hash_of
from tallystick.content.problems import BundleInvalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"TBN1"
HEADER = struct.Struct(">4sB3sI")
ENTRY = struct.Struct(f">{HASH_BYTES}sI")

BUNDLE_BYTES = 1 << 20
"""A bundle is closed when it holds this much; a larger chunk is a bundle of its own."""
MAX_CHUNKS = 1 << 16
MAX_CONTENT = BUNDLE_BYTES + MAX_CHUNK
"""What a bundle may expand to."""
LEVEL = 1
SAMPLE = 64 << 10
WORTH = 0.95
"""A sample that does not shrink below this share is not compressed."""


class Entry(NamedTuple):
    """One chunk of a bundle: its name, and where it stands in the expanded payload."""

    hash: bytes
    offset: int
    length: int


class Layout(NamedTuple):
    """What the front of a bundle says."""

    compressed: bool
    entries: Sequence[Entry]
    payload: int
    """Where the payload begins."""
    length: int
    """Bytes of the whole bundle."""

    @property
    def content(self) -> int:
        """Bytes of the expanded payload."""
        last = self.entries[-1]
        return last.offset + last.length


def bundles_of(chunks: Iterable[Chunk], size: int = BUNDLE_BYTES) -> Iterator[bytes]:
    """The chunks as bundles of about ``size`` bytes of content, in order."""
    waiting: list[Chunk] = []
    held = 0
    for chunk in chunks:
        if waiting and (held + len(chunk.data) > size or len(waiting) == MAX_CHUNKS):
            yield pack(waiting)
            waiting, held = [], 0
        waiting.append(chunk)
        held += len(chunk.data)
    if waiting:
        yield pack(waiting)


def pack(chunks: Sequence[Chunk]) -> bytes:
    """One bundle of these chunks; at least one. Names are believed: ``unpack`` is who checks them."""
    content = chunks[0].data if len(chunks) == 1 else b"".join([chunk.data for chunk in chunks])
    body = _compressed(content) or content
    codec = int(body is not content)
    del content  # nobody needs it beside what it was compressed to
    table = b"".join([ENTRY.pack(chunk.hash, len(chunk.data)) for chunk in chunks])
    return HEADER.pack(MAGIC, codec, len(chunks).to_bytes(3, "big"), len(body)) + table + body


def _compressed(content: bytes) -> bytes | None:
    """One frame of the content; None when it is not worth it."""
    if len(content) > SAMPLE:
        sample = content[len(content) // 2 : len(content) // 2 + SAMPLE]
        if len(zstd.compress(sample, LEVEL)) > WORTH * len(sample):
            return None
    frame = zstd.compress(content, LEVEL)
    return frame if len(frame) < len(content) else None


def layout_of(front: bytes | memoryview) -> Layout:
    """Read the front of a bundle (header and table). Raises BundleInvalid, also when it is cut short."""
    try:
        magic, codec, number, payload = HEADER.unpack_from(front)
    except struct.error:
        raise BundleInvalid("a bundle ends within its header") from None
    count = int.from_bytes(number, "big")
    if magic != MAGIC or codec > 1 or not 0 < count <= MAX_CHUNKS:
        raise BundleInvalid("these bytes are not a bundle of chunks")
    start = HEADER.size + count * ENTRY.size
    if len(front) < start:
        raise BundleInvalid("a bundle ends within its table")
    entries: list[Entry] = []
    offset = 0
    for name, length in ENTRY.iter_unpack(front[HEADER.size : start]):
        if not 0 < length <= MAX_CHUNK:
            raise BundleInvalid(f"a chunk of {length} bytes is not allowed")
        entries.append(Entry(name, offset, length))
        offset += length
    if offset > MAX_CONTENT or payload > offset:
        raise BundleInvalid(f"a bundle of {offset} bytes in {payload} is not allowed")
    return Layout(codec == 1, entries, start, start + payload)


def unpack(bundle: bytes) -> list[Chunk]:
    """All chunks of a bundle, each checked against its name. Raises BundleInvalid; never expands beyond its table."""
    layout = layout_of(bundle)
    if len(bundle) != layout.length:
        raise BundleInvalid(f"a bundle of {layout.length} bytes came as {len(bundle)}")
    content = expand(memoryview(bundle)[layout.payload :], layout.compressed, layout.content)
    return [checked(entry, content) for entry in layout.entries]


def check(bundle: bytes) -> Layout:
    """The layout of a bundle whose chunks are all what their names say. Raises what ``unpack`` does."""
    layout = layout_of(bundle)
    if len(bundle) != layout.length:
        raise BundleInvalid(f"a bundle of {layout.length} bytes came as {len(bundle)}")
    payload = memoryview(bundle)[layout.payload :]
    content = payload  # what was not compressed is looked at where it stands
    if layout.compressed or len(payload) != layout.content:
        content = memoryview(expand(payload, layout.compressed, layout.content))
    for name, offset, length in layout.entries:
        if hash_of(content[offset : offset + length]) != name:
            raise BundleInvalid(f"the bytes that came for {name.hex()} have another hash")
    return layout


def sound(bundle: bytes) -> list[Chunk]:
    """Those chunks of a bundle that are what their names say: one that is damaged does not take its neighbours along.

    Raises BundleInvalid for what is no whole bundle.
    """
    layout = layout_of(bundle)
    if len(bundle) != layout.length:
        raise BundleInvalid(f"a bundle of {layout.length} bytes came as {len(bundle)}")
    try:
        content = expand(memoryview(bundle)[layout.payload :], layout.compressed, layout.content)
    except BundleInvalid:
        return []
    found = (Chunk(name, content[offset : offset + length]) for name, offset, length in layout.entries)
    return [chunk for chunk in found if hash_of(chunk.data) == chunk.hash]


def expand(payload: bytes | memoryview, compressed: bool, length: int) -> bytes:
    """The chunks of a bundle, one after the other: exactly ``length`` bytes, else BundleInvalid is raised."""
    if not compressed:
        content = bytes(payload)
    else:
        decompressor = zstd.ZstdDecompressor()
        try:
            content = decompressor.decompress(payload, max_length=length + 1)
        except zstd.ZstdError as problem:
            raise BundleInvalid(f"a bundle cannot be expanded: {problem}") from None
        if not decompressor.eof or decompressor.unused_data:
            raise BundleInvalid("a bundle does not expand to what its table says")
    if len(content) != length:
        raise BundleInvalid("a bundle does not expand to what its table says")
    return content


def checked(entry: Entry, content: bytes) -> Chunk:
    """One chunk of an expanded bundle; raises BundleInvalid when its bytes are not what its name says."""
    data = content[entry.offset : entry.offset + entry.length]
    if hash_of(data) != entry.hash:
        raise BundleInvalid(f"the bytes that came for {entry.hash.hex()} have another hash")
    return Chunk(entry.hash, data)


def bundles_in(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bundles in a stream of pieces, unchecked but for their bounds. Raises BundleInvalid when it is cut short."""
    waiting: list[bytes | memoryview] = []
    held = length = 0  # bytes that wait, and those of the bundle that they begin, once its header is there
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            missing = (length or HEADER.size) - held
            waiting.append(rest[:missing])
            held += len(waiting[-1])
            rest = rest[missing:]
            if held == HEADER.size and not length:
                length = _length(b"".join(waiting))
            if held == length:
                yield b"".join(waiting)
                waiting, held, length = [], 0, 0
    if waiting:
        raise BundleInvalid("a stream of bundles ends within one")


def _length(front: bytes) -> int:
    """Bytes of the bundle that begins with this header."""
    magic, codec, number, payload = HEADER.unpack_from(front)
    count = int.from_bytes(number, "big")
    if magic != MAGIC or codec > 1 or not 0 < count <= MAX_CHUNKS or payload > MAX_CONTENT:
        raise BundleInvalid("these bytes are not a bundle of chunks")
    return int(HEADER.size + count * ENTRY.size + payload)
