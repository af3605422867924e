"""Reading files so that what is read is one state of them (spec contexts U8).

A file is looked at before and after it is read; when it moved, it is read again, at most three times. The files of one
database are read as a group that must be still as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from blake3 import blake3

from tallystick.trees.contents import Clone, Sink
from tallystick.trees.files import Files, Handle
from tallystick.trees.listing import stats_of
from tallystick.trees.problems import FileBusy

ATTEMPTS = 3
BLOCK = 1 << 20
PARALLEL_FROM = 16 << 20
"""From this size on a file is hashed on all processors."""

LINK_SEAL = b"link\0"
"""Goes before the target in a link's digest, so that a file never equals a link."""

Stats = tuple[int, int, int, int, int]


class Read(NamedTuple):
    """What one stable reading of a file gave."""

    digest: bytes
    stats: Stats


def digest_of(data: bytes) -> bytes:
    """The digest of a file's content."""
    return blake3(data).digest()


def link_digest(target: str) -> bytes:
    """The digest of a symbolic link: its target and the fact that it is a link."""
    return blake3(LINK_SEAL + os.fsencode(target)).digest()


def read_stable(
    files: Files,
    at: Handle,
    name: str,
    sink: Sink | None = None,
    restart: Callable[[], None] | None = None,
    clone: Clone | None = None,
) -> Read:
    """The digest and stats of a file, its content given to ``sink`` on the way.

    Where ``clone`` can share the content, that is read instead, and ``sink`` gets nothing.

    When the file moves while it is read, ``restart`` is called and everything is given again. Raises FileBusy after
    three attempts and OSError as the system does.
    """
    for attempt in range(ATTEMPTS):
        if attempt and restart is not None:
            restart()
        handle = files.open_read(name, at)
        try:
            before = stats_of(files.status_of(handle))
            shared = clone(handle) if clone is not None else None
            if shared is None:
                digest, length = _pass(files, handle, before[2], sink)
            else:
                digest, length = _pass(files, shared, before[2], None)
            after = stats_of(files.status_of(handle))
        finally:
            files.close(handle)
        if before == after and length == after[2]:
            return Read(digest, after)
    raise FileBusy(f"[FileBusy] {name!r} changed {ATTEMPTS} times while it was read")


def _pass(files: Files, handle: Handle, size: int, sink: Sink | None) -> tuple[bytes, int]:
    """(digest, bytes read) of one pass over an open file."""
    if size < BLOCK:
        data = files.read(handle, size + 1)
        if len(data) == size:
            if sink is not None:
                sink(data)
            return blake3(data).digest(), size
    else:
        data = files.read(handle, BLOCK)
    hasher = blake3(max_threads=blake3.AUTO if size >= PARALLEL_FROM else 1)
    length = 0
    block = 4 * BLOCK if size >= PARALLEL_FROM else BLOCK
    while data and length <= size:  # a file that grows as fast as it is read would never end
        length += len(data)
        hasher.update(data)
        if sink is not None:
            sink(data)
        data = files.read(handle, block)
    return hasher.digest(), length


def read_group(files: Files, at: Handle, names: Sequence[str]) -> Mapping[str, Read]:
    """One state of all files of a database: every file is still while all of them are read.

    Raises FileBusy after three attempts; a member that has gone is left out.
    """
    for _ in range(ATTEMPTS):
        before = _looks(files, at, names)
        try:
            found = {name: read_stable(files, at, name) for name in before}
        except FileNotFoundError:  # a journal goes with its transaction
            continue
        if _looks(files, at, names) == before == {name: read.stats for name, read in found.items()}:
            return found
    raise FileBusy(f"[FileBusy] the database {min(names)!r} changed {ATTEMPTS} times while it was read")


def _looks(files: Files, at: Handle, names: Sequence[str]) -> dict[str, Stats]:
    found = {}
    for name in names:
        try:
            found[name] = stats_of(files.status(name, at))
        except FileNotFoundError:
            continue
    return found
