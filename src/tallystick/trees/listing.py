"""What was noted about one directory: names, what stat said, and the values that were read (DESIGN.md 4.10).

A listing is kept as three byte strings, so that a directory in which nothing happened costs one comparison and no
object per entry.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from tallystick.trees.nodes import PERMISSIONS

WIDTH = 5
"""Numbers an entry: mode, inode, size, mtime and ctime in nanoseconds (the last three 0 for directories)."""

STATS = struct.Struct(f"{WIDTH}q")
PACKED_STATS = struct.Struct(f"{STATS.size}s")
"""The numbers of an entry as they are stored: compared in one step."""

DIGEST_BYTES = 32
VALUE_BYTES = DIGEST_BYTES + 1
VALUES = struct.Struct(f"{VALUE_BYTES}s")
NO_DIGEST = bytes(DIGEST_BYTES)
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()

DISTRUST = -1
"""Stands for the ctime of an entry that changed too recently to be recognized by its times (racy timestamps)."""

RACE_NS = 20_000_000
"""How old a time stamp must be before an equal one proves that nothing changed since."""


FEW_NAMES = 64
"""Among so few names one is found without an index of all."""


class Mark:
    """The first byte of an entry's value."""

    UNREAD = 0
    FILE = 1
    LINK = 2
    DIRECTORY = 3
    INVISIBLE = 4
    UNKNOWN = 5
    EXPIRED = 6
    """A recycle rule took it at the store: nobody deleted it (spec contexts R3)."""


class Entry(NamedTuple):
    """One entry of a directory."""

    name: str
    stats: tuple[int, ...]
    mark: int
    digest: bytes

    @property
    def mode(self) -> int:
        """File type and permission bits."""
        return self.stats[0]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stats[2]

    @property
    def mtime_ns(self) -> int:
        """Time of the last modification."""
        return self.stats[3]

    @property
    def permissions(self) -> int:
        """The bits that are kept in agreement."""
        return self.stats[0] & PERMISSIONS


class Listing:
    """The noted entries of one directory."""

    __slots__ = ("_positions", "names", "stats", "values")

    def __init__(
        self, names: Sequence[str] = (), stats: array[int] | None = None, values: bytes | bytearray = b""
    ) -> None:
        self.names = list(names)
        self.stats = array("q") if stats is None else stats
        self.values = bytearray(values)
        self._positions: dict[str, int] | None = None

    @classmethod
    def from_row(cls, names: bytes, stats: bytes, values: bytes) -> Listing:
        """The listing that three stored byte strings describe."""
        numbers = array("q")
        numbers.frombytes(stats)
        return cls(unpacked_names(names), numbers, values)

    def to_row(self) -> tuple[bytes, bytes, bytes]:
        """The three byte strings to store."""
        return packed_names(self.names), self.stats.tobytes(), bytes(self.values)

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Listing:
        """The listing of these entries, in their order."""
        numbers = array("q", [number for entry in entries for number in entry.stats])
        values = b"".join(bytes((entry.mark,)) + entry.digest for entry in entries)
        return cls([entry.name for entry in entries], numbers, values)

    def __reduce__(self) -> tuple[Any, ...]:
        """Listings go from one process to another as they are stored: three byte strings and no name by itself."""
        return Listing.from_row, self.to_row()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Entry]:
        return map(self.at, range(len(self.names)))

    def at(self, position: int) -> Entry:
        """The entry at a position."""
        value = position * VALUE_BYTES
        return Entry(
            self.names[position],
            tuple(self.stats[position * WIDTH : (position + 1) * WIDTH]),
            self.values[value],
            bytes(self.values[value + 1 : value + VALUE_BYTES]),
        )

    def marked(self) -> Iterator[tuple[bytes]]:
        """The value of every entry, as it is stored."""
        return VALUES.iter_unpack(self.values)

    def parts(self) -> Iterator[tuple[tuple[int, ...], tuple[bytes]]]:
        """The numbers and the value of every entry, as they are stored."""
        return zip(STATS.iter_unpack(self.stats), self.marked(), strict=True)

    def find(self, name: str) -> Entry | None:
        """The entry of a name; None when there is none."""
        position = self.position(name)
        return None if position is None else self.at(position)

    def position(self, name: str) -> int | None:
        """Where the entry of a name stands; None when there is none."""
        if self._positions is None and len(self.names) <= FEW_NAMES:
            return self.names.index(name) if name in self.names else None
        if self._positions is None:
            self._positions = {known: position for position, known in enumerate(self.names)}
        return self._positions.get(name)

    def mode(self, name: str) -> int:
        """File type and permission bits of the entry of a name; 0 when there is none."""
        position = self.position(name)
        return 0 if position is None else self.stats[position * WIDTH]

    def set_value(self, name: str, mark: int, digest: bytes) -> None:
        """Note what an entry was found to hold."""
        position = self.position(name)
        if position is not None:
            self.values[position * VALUE_BYTES : (position + 1) * VALUE_BYTES] = bytes((mark,)) + digest

    @property
    def plain(self) -> bool:
        """True when everything that is listed is a file, link or directory that can be seen and read."""
        return not {Mark.INVISIBLE, Mark.UNKNOWN, Mark.EXPIRED} & set(self.values[::VALUE_BYTES])

    @property
    def size(self) -> int:
        """Bytes of all leaves together."""
        return sum(self.stats[2::WIDTH])

    @property
    def leaves(self) -> int:
        """How many files and links are listed."""
        return sum(mark != Mark.DIRECTORY for mark in self.values[::VALUE_BYTES])

    def subdirectories(self) -> list[str]:
        """The names of visible directories."""
        marks = self.values[::VALUE_BYTES]
        if Mark.DIRECTORY not in marks:
            return []
        return [name for name, mark in zip(self.names, marks, strict=True) if mark == Mark.DIRECTORY]

    def changed_with(self, entries: Sequence[Entry], gone: Collection[str] = ()) -> Listing:
        """The listing by name, without the ``gone`` names and with these entries instead of those of their names."""
        if len(entries) + len(gone) > FEW_NAMES:
            return self._rebuilt(entries, gone)
        changed = self.by_name()
        if changed is self:
            changed = Listing(self.names, self.stats[:], self.values)
        for name in gone:
            changed._remove(name)
        for entry in entries:
            changed._put(entry)
        return changed

    def permitted_as(self, sent: Listing) -> Listing:
        """The same entries with the permissions that those of their names have in another listing."""
        entries = []
        for entry in self:
            found = sent.find(entry.name) or entry
            mode = entry.mode & ~PERMISSIONS | found.permissions
            entries.append(entry._replace(stats=(mode, *entry.stats[1:])))
        return Listing.of(entries)

    def by_name(self) -> Listing:
        """The same entries sorted by name, as every scan finds them; this very listing when they are."""
        return self if self.names == sorted(self.names) else self._rebuilt()

    def _rebuilt(self, entries: Sequence[Entry] = (), gone: Collection[str] = ()) -> Listing:
        parts = dict(zip(self.names, self.parts(), strict=True))
        for name in gone:
            parts.pop(name, None)
        parts.update((entry.name, (entry.stats, (bytes((entry.mark,)) + entry.digest,))) for entry in entries)
        names = sorted(parts)
        stats = array("q", [number for name in names for number in parts[name][0]])
        return Listing(names, stats, b"".join(parts[name][1][0] for name in names))

    def _place(self, name: str) -> tuple[int, bool]:
        """Where a name stands or would stand among the others, which are sorted, and whether it does."""
        place = bisect_left(self.names, name)
        return place, place < len(self.names) and self.names[place] == name

    def _remove(self, name: str) -> None:
        place, stands = self._place(name)
        if stands:
            del self.names[place]
            del self.stats[place * WIDTH : (place + 1) * WIDTH]
            del self.values[place * VALUE_BYTES : (place + 1) * VALUE_BYTES]

    def _put(self, entry: Entry) -> None:
        place, stands = self._place(entry.name)
        end = place + stands
        if not stands:
            self.names.insert(place, entry.name)
        self.stats[place * WIDTH : end * WIDTH] = array("q", entry.stats)
        self.values[place * VALUE_BYTES : end * VALUE_BYTES] = bytes((entry.mark,)) + entry.digest


def packed(name: str) -> bytes:
    """A name or path as bytes, as the system takes it: ``os.fsencode`` without its questions about the type."""
    return name.encode(_ENCODING, _ERRORS)


def unpacked(name: bytes) -> str:
    """The name or path that ``packed`` packed."""
    return name.decode(_ENCODING, _ERRORS)


def packed_names(names: Sequence[str]) -> bytes:
    """Names as one byte string; undecodable bytes survive."""
    return packed("\0".join(names))


def unpacked_names(names: bytes) -> list[str]:
    """The names that ``packed_names`` packed."""
    return unpacked(names).split("\0") if names else []


def stats_of(found: os.stat_result) -> tuple[int, int, int, int, int]:
    """The numbers that are noted of what stat says."""
    mode = found.st_mode
    if stat.S_ISDIR(mode):
        return (mode, found.st_ino, 0, 0, 0)
    return (mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def settled_stats(stats: tuple[int, int, int, int, int], now_ns: int, ours: bool = False) -> tuple[int, ...]:
    """The numbers to note: an entry whose times are not safely in the past is read again next time.

    ``ours`` marks a file that we have just written: its ctime is now by our own doing, and only a fresh mtime could
    hide somebody else's write.
    """
    latest = stats[3] if ours else max(stats[3], stats[4])
    if latest > now_ns - RACE_NS:
        return (*stats[:4], DISTRUST)
    return stats


def same_file(noted: Sequence[int], found: Sequence[int], *, renamed: bool = False) -> bool:
    """True when an entry is still what was noted. A rename of our own moves the ctime, and that only."""
    if renamed or noted[4] == DISTRUST:
        return tuple(noted[:4]) == tuple(found[:4])
    return tuple(noted) == tuple(found)
