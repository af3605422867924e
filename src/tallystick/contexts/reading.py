"""Reading a tree for an upload: every file in one state of it, cut into chunks on the way (spec contexts U8).

Small files go in one piece and are hashed once: their digest is the name of their only chunk. Large ones are read in
a thread of their own, so that hashing, cutting and sending overlap.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tallystick.content.chunking import Chunk, Cutter
from tallystick.contexts.entries import is_one_chunk
from tallystick.trees.contents import Contents, Given, Wanted
from tallystick.trees.files import Handle
from tallystick.trees.listing import stats_of
from tallystick.trees.mount import Mount
from tallystick.trees.problems import storage_error
from tallystick.trees.reading import digest_of

AHEAD = 1
"""Pieces read ahead of the cutter, of up to 4 MiB each."""
CUT_WINDOW = 4 << 20


class Taken(NamedTuple):
    """One file that was read: what its source gave, and its parts (chunk, bytes) in order."""

    given: Given
    parts: list[tuple[bytes, int]]


def read_file(source: Contents, wanted: Wanted, taken: list[Taken]) -> Iterator[Chunk]:
    """The chunks of one file as they come; at its end ``taken`` has one item more.

    Raises what the source does, and then ``taken`` is as it was. Chunks of an attempt that was given up came too.
    """
    if is_one_chunk(wanted.leaf.size):
        yield from _read_small(source, wanted, taken)
    else:
        yield from _read_large(source, wanted, taken)


def _read_small(source: Contents, wanted: Wanted, taken: list[Taken]) -> Iterator[Chunk]:
    pieces: list[bytes] = []
    given = source.give(wanted, pieces.append, pieces.clear)
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if is_one_chunk(len(data)):
        chunks = [Chunk(given.digest, data)] if data else []
    else:  # it grew since it was listed
        cutter = Cutter()
        chunks = [*cutter.feed(data), *cutter.finish()]
    yield from chunks
    taken.append(Taken(given, [(chunk.hash, len(chunk.data)) for chunk in chunks]))


def _read_large(source: Contents, wanted: Wanted, taken: list[Taken]) -> Iterator[Chunk]:
    cutter = Cutter(CUT_WINDOW)
    parts: list[tuple[bytes, int]] = []
    reader = _Reader(source, wanted)
    try:
        for piece in reader:
            if piece is None:
                cutter.restart()
                parts.clear()
                continue
            for chunk in cutter.feed(piece):
                parts.append((chunk.hash, len(chunk.data)))
                yield chunk
    finally:
        reader.stop()
    for chunk in cutter.finish():
        parts.append((chunk.hash, len(chunk.data)))
        yield chunk
    assert reader.given is not None
    taken.append(Taken(reader.given, parts))


class ListedFiles:
    """Small files of directories on this machine, read without a question while they are as their listing says."""

    def __init__(self, mount: Mount) -> None:
        self.mount = mount

    def read_at(self, at: Handle, name: str, stats: Sequence[int]) -> Chunk | None:
        """The only chunk of a file in a directory; None when it is not, or does not stay, what was listed."""
        files, size = self.mount.files, stats[2]
        try:
            handle = files.open_read(name, at)
            try:
                data = files.read(handle, size + 1)
                after = stats_of(files.status_of(handle))
            finally:
                files.close(handle)
        except OSError:
            return None  # the long way says what is wrong
        if len(data) != size or after != tuple(stats):
            return None
        return Chunk(digest_of(data), data)


class _Stopped(Exception):
    """Nobody wants the rest."""


class _Reader:
    """A thread that asks a source for one file; iterating gives its pieces, None where it starts again."""

    def __init__(self, source: Contents, wanted: Wanted) -> None:
        self.given: Given | None = None
        self._pieces: queue.Queue[bytes | BaseException | type[StopIteration] | None] = queue.Queue(AHEAD)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, args=(source, wanted), name="tally-read", daemon=True)
        self._thread.start()

    def _run(self, source: Contents, wanted: Wanted) -> None:
        try:
            self.given = source.give(wanted, self._put, lambda: self._put(None))
            self._put(StopIteration)
        except _Stopped:
            return
        except OSError as problem:
            self._put(storage_error(wanted.path, problem))
        except BaseException as problem:
            self._put(problem)

    def _put(self, piece: bytes | BaseException | type[StopIteration] | None) -> None:
        while not self._stopping:
            try:
                self._pieces.put(piece, timeout=0.1)
                return
            except queue.Full:
                continue
        raise _Stopped

    def __iter__(self) -> Iterator[bytes | None]:
        while True:
            piece = self._pieces.get()
            if piece is StopIteration:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece  # type: ignore[misc]

    def stop(self) -> None:
        """Let the thread end, whatever is left."""
        self._stopping = True
        self._thread.join()
