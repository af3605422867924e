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
    """Cut a stream that is read by ``read(size)`` until it gives nothing; memory stays below three windows."""
    cutter = Cutter(WINDOW)
    while data := read(WINDOW):
        yield from cutter.feed(data)
    yield from cutter.finish()


class Cutter:
    """Cuts a stream that is pushed in; gives each chunk as soon as no later byte can move its end.

    The cuts are those of the whole content. ``window`` bytes are held at most, and one chunk.
    """

    def __init__(self, window: int = 4 * MAX_CHUNK) -> None:
        self._window = window
        self._pieces: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[Chunk]:
        """Take more of the stream; gives the chunks that are certain by now."""
        self._pieces.append(data)
        self._held += len(data)
        return self._cut(last=False) if self._held >= self._window else []

    def finish(self) -> list[Chunk]:
        """The rest of the stream; the cutter may be used for the next one."""
        found = self._cut(last=True)
        self.restart()
        return found

    def restart(self) -> None:
        """Forget what was pushed in."""
        self._pieces, self._held = [], 0

    def _cut(self, last: bool) -> list[Chunk]:
        """The chunks of what is held. A cut is decided by what stands before it, so only that at the end may move."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        if last and len(data) <= MIN_CHUNK:
            return [Chunk(hash_of(data), data)] if data else []
        found: list[Chunk] = []
        done = 0
        for start, length in boundaries(data):
            if not last and start + length == len(data):
                break
            piece = data[start : start + length]
            found.append(Chunk(hash_of(piece), piece))
            done = start + length
        self._pieces, self._held = [data[done:]], len(data) - done
        return found


def boundaries(data: bytes | memoryview) -> Iterator[tuple[int, int]]:
    """(offset, length) of every chunk of the data, in order."""
    for cut in _cutter().cut_buf(data):
        yield cut.offset, cut.length


@cache
def _cutter() -> Any:
    from pyfastcdc import FastCDC

    return FastCDC(AVERAGE_CHUNK, min_size=MIN_CHUNK, max_size=MAX_CHUNK, normalized_chunking=NORMALIZATION)
