"""Packs: immutable files of bundles with an index at the end (docs/contexts.md, "Packs"). Pure but for the byte source.

    8 bytes   "TPACK\\0\\0\\1"
    bundles   one after the other
    index     per bundle: 8 bytes offset, 4 bytes length of its front; then its front (header and table) again
    trailer   8 bytes offset of the index, 4 bytes number of bundles, 32 bytes blake3 of the index

A pack is written once, front to back, and appears under its name when it is whole. One that was interrupted can be
read up to its last whole bundle, because every bundle says what it holds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tallystick.content.bundles import ENTRY, HEADER, Layout, layout_of
from tallystick.content.chunking import hash_of
from tallystick.content.problems import BundleInvalid, ChunkDamaged

MAGIC = b"TPACK\0\0\1"
TRAILER = struct.Struct(">QI32s")
LOCATOR = struct.Struct(">QI")

PACK_BYTES = 32 << 20
"""A pack is closed when it holds this much."""

ReadAt = Callable[[int, int], bytes]
"""(offset, length) -> bytes of a pack."""


class Place(NamedTuple):
    """Where a bundle stands in a pack, and what is in it."""

    offset: int
    layout: Layout


def index_of(places: Sequence[Place], fronts: Sequence[bytes], offset: int) -> bytes:
    """Index and trailer of a pack whose bundles end at ``offset``; ``fronts`` are their headers and tables."""
    parts = [LOCATOR.pack(place.offset, len(front)) + front for place, front in zip(places, fronts, strict=True)]
    index = b"".join(parts)
    return index + TRAILER.pack(offset, len(places), hash_of(index))


def read_index(read_at: ReadAt, size: int) -> list[Place]:
    """All places of a whole pack of ``size`` bytes. Raises ChunkDamaged when it is not whole."""
    if size < len(MAGIC) + TRAILER.size:
        raise ChunkDamaged("a pack is shorter than its trailer")
    start, count, digest = TRAILER.unpack(read_at(size - TRAILER.size, TRAILER.size))
    length = size - TRAILER.size - start
    if not len(MAGIC) <= start <= size - TRAILER.size:
        raise ChunkDamaged("the trailer of a pack points outside")
    index = read_at(start, length)
    if hash_of(index) != digest:
        raise ChunkDamaged("the index of a pack is damaged")
    places = list(_places(index))
    if len(places) != count:
        raise ChunkDamaged("the index of a pack is incomplete")
    return places


def _places(index: bytes) -> Iterator[Place]:
    view = memoryview(index)
    position = 0
    while position < len(index):
        offset, length = LOCATOR.unpack_from(index, position)
        position += LOCATOR.size
        try:
            yield Place(offset, layout_of(view[position : position + length]))
        except BundleInvalid as problem:
            raise ChunkDamaged(f"the index of a pack is damaged: {problem.message}") from None
        position += length


def salvage(read_at: ReadAt, size: int) -> tuple[list[Place], list[bytes], int]:
    """(places, fronts, end) of the whole bundles at the front of an interrupted pack.

    The content of the last ones is not checked here: a bundle that was cut short within its payload is not counted.
    """
    places: list[Place] = []
    fronts: list[bytes] = []
    position = len(MAGIC)
    if size < position or read_at(0, position) != MAGIC:
        return places, fronts, 0
    while position + HEADER.size <= size:
        try:
            header = read_at(position, HEADER.size)
            front = read_at(position, front_length(header))
            layout = layout_of(front)
        except BundleInvalid:
            break
        if position + layout.length > size:
            break
        places.append(Place(position, layout))
        fronts.append(front)
        position += layout.length
    return places, fronts, position


def front_length(header: bytes) -> int:
    """Bytes of header and table of the bundle that begins with ``header``."""

    _, _, number, _ = HEADER.unpack(header)
    return HEADER.size + int.from_bytes(number, "big") * ENTRY.size
