"""Content-defined chunks (DESIGN.md 4.10): the same content is cut at the same places, wherever it stands in a file.

The parameters are fixed: they show on the wire and in every store, because equal content is found by equal chunks.
FastCDC in its 2020 form (two bytes a step), gear table of the reference, normalization level 2, no seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal, NamedTuple

from blake3 import blake3

ALGORITHM = "fastcdc2020-2/blake3"
"""Names algorithm and hash in documents and handshakes."""

MIN_CHUNK = 256 << 10
AVERAGE_CHUNK = 1 << 20
MAX_CHUNK = 4 << 20
"""Bytes. No chunk is longer; only the last of a file may be shorter than MIN_CHUNK."""
NORMALIZATION: Literal[2] = 2

HASH_BYTES = 32
WINDOW = 32 << 20
"""Bytes of a stream that are cut at once."""


class Chunk(NamedTuple):
    """One piece of content, named by the hash of its bytes."""

    hash: bytes
    data: bytes


def hash_of(data: bytes | memoryview) -> bytes:
    """The name of a chunk: blake3 over its bytes, 32 bytes. A file of one chunk has the chunk's name as its digest."""
    return blake3(data).digest()


def chunks_of(data: bytes) -> Iterator[Chunk]:
    """Cut content that is in memory; none for no content."""
    if len(data) <= MIN_CHUNK:
        if data:
            yield Chunk(hash_of(data), data)
        return
    for start, length in boundaries(data):
        piece = data[start : start + length]
        yield Chunk(hash_of(piece), piece)


def chunks_from(read: Callable[[int], bytes]) -> Iterator[Chunk]:
    """Cut a stream that is read by ``read(size)`` until it gives nothing; memory stays below two windows.

    The cuts are those of the whole content: a window is cut only as far as no later byte can move a boundary.
    """
    window = b""
    while True:
        more = read(WINDOW - len(window)) if len(window) < WINDOW else b""
        if not more:
            break
        window += more
        if len(window) < WINDOW:
            continue
        done = 0
        for start, length in boundaries(window):
            if len(window) - start < MAX_CHUNK:
                break
            piece = window[start : start + length]
            yield Chunk(hash_of(piece), piece)
            done = start + length
        window = window[done:]
    yield from chunks_of(window)


def boundaries(data: bytes | memoryview) -> Iterator[tuple[int, int]]:
    """(offset, length) of every chunk of the data, in order."""
    for cut in _cutter().cut_buf(data):
        yield cut.offset, cut.length


@cache
def _cutter() -> Any:
    from pyfastcdc import FastCDC

    return FastCDC(AVERAGE_CHUNK, min_size=MIN_CHUNK, max_size=MAX_CHUNK, normalized_chunking=NORMALIZATION)
