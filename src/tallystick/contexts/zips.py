"""Zip files that are made of entries when somebody reads them (spec contexts U5).

Content is stored once, as chunks; an archive is a view of it. Members are not compressed a second time: so the size of
an archive is known without reading any of them, and a part of it can be asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from blake3 import blake3

from tallystick.contexts.entries import DIRECTORY, FILE, LINK, FileEntry, unpacked

MAX_BYTES = 1 << 30
MAX_MEMBERS = 60_000
"""Beyond these an archive is continued in another one: neither needs the 64-bit forms of the format."""

_HEADERS = 30 + 46
_DESCRIPTOR = 16
_END = 22
_TYPES = {FILE: 0o100000, LINK: 0o120000, DIRECTORY: 0o040000}
_EARLIEST, _LATEST = 315_532_800, 4_354_819_198
"""The seconds that the format can tell: 1980 to 2107."""


class Member(NamedTuple):
    """One entry in an archive, by the name it has there."""

    name: str
    entry: FileEntry


class Zip(NamedTuple):
    """One archive: its members in order, and how many bytes it has."""

    members: list[Member]
    size: int

    @property
    def tag(self) -> bytes:
        """A digest of what it holds."""
        hasher = blake3()
        for name, entry in self.members:
            hasher.update(f"{name}\0{entry.kind} {entry.mode} {entry.mtime} ".encode() + entry.digest)
        return bytes(hasher.digest())


def fits(name: str, entry: FileEntry) -> bool:
    """True for an entry that an archive can hold under this name."""
    try:
        return _cost(name, entry) + _END <= MAX_BYTES
    except UnicodeEncodeError:
        return False  # the format knows Unicode names only


def zips_of(members: Iterable[Member]) -> list[Zip]:
    """Archives that together hold all members, in their order."""
    found: list[Zip] = []
    inside: list[Member] = []
    size = _END
    for member in members:
        cost = _cost(*member)
        if inside and (size + cost > MAX_BYTES or len(inside) == MAX_MEMBERS):
            found.append(Zip(inside, size))
            inside, size = [], _END
        inside.append(member)
        size += cost
    return [*found, Zip(inside, size)] if inside else found


def _cost(name: str, entry: FileEntry) -> int:
    """The bytes that a member takes: in front of its content, the content, behind it, and in the directory."""
    length = len(name.encode())
    if entry.kind == DIRECTORY:
        return _HEADERS + 2 * (length + 1)
    size = len(link_bytes(entry)) if entry.kind == LINK else entry.size
    return _HEADERS + 2 * length + size + _DESCRIPTOR


def link_bytes(entry: FileEntry) -> bytes:
    """What a link says, as an archive holds it."""
    return unpacked(entry.target).encode("utf-8", "surrogateescape")


class _Sink:
    """What a zip is written to: cannot seek, and gives away what it has."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._waiting.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits here for long."""

    def taken(self) -> bytes:
        found = b"".join(self._waiting)
        self._waiting.clear()
        return found


class Written(NamedTuple):
    """A member with its content, piece by piece; nothing for a directory."""

    name: str
    entry: FileEntry
    pieces: Iterable[bytes]


def written(members: Iterable[Written]) -> Iterator[bytes]:
    """The bytes of an archive, as its members are read."""
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_STORED) as made:  # type: ignore[call-overload]  # write and flush are all it needs
        for name, entry, pieces in members:
            info = _info(name, entry)
            if entry.kind == DIRECTORY:
                info.CRC = 0  # some versions of Python expect it of the caller
                made.mkdir(info)
                continue
            with made.open(info, "w") as out:
                for piece in pieces:
                    out.write(piece)
                    yield sink.taken()
    yield sink.taken()


def _info(name: str, entry: FileEntry) -> ZipInfo:
    moment = time.gmtime(min(max(entry.mtime // 1_000_000_000, _EARLIEST), _LATEST))
    info = ZipInfo(f"{name}/" if entry.kind == DIRECTORY else name, moment[:6])
    info.create_system = 3
    info.external_attr = (_TYPES[entry.kind] | entry.mode) << 16 | (0x10 if entry.kind == DIRECTORY else 0)
    return info
