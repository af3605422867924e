"""Archives that may be unpacked: recognised, read and judged whole before anything of them is written (spec E2-E5).

    with opened_archive(file, "pkg.zip") as archive:
        for member in archive.members: ...

Whatever could leave the folder, fill the disk or hide something refuses the archive as a whole.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, Protocol

from tallystick.errors import ValueRejected
from tallystick.trees.names import check_path, link_leaves
from tallystick.trees.nodes import PERMISSIONS

SUFFIXES = {
    ".tar.gz": "gz",
    ".tgz": "gz",
    ".tar.bz2": "bz2",
    ".tbz2": "bz2",
    ".tar.xz": "xz",
    ".txz": "xz",
    ".tar": "tar",
    ".zip": "zip",
}
PIECE = 1 << 20
MAX_PIECE = 16 << 20
"""What reading an archive may ask for at once: names and headers of a tar are read whole, whatever they state."""
FILE_MODE = 0o644
_UNREADABLE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error),
)
_DRIVE = re.compile(r"[A-Za-z]:")


class ArchiveRefused(ValueRejected):
    """An archive that is not unpacked, as a whole; it stays as it is. Unpack it by hand if you trust it."""

    code = "ArchiveRefused"
    default_hint = "unpack it by hand if you trust it"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an archive may hold: entries, bytes, and bytes for each of its own beyond ``free`` ones."""

    entries: int = 1_000_000
    size: int = 10 << 30
    ratio: int = 200
    free: int = 64 << 20


class Member(NamedTuple):
    """One entry. ``target`` is set for links; times are nanoseconds; ``source`` is what the archive calls it by."""

    path: str
    is_directory: bool
    target: str
    size: int
    permissions: int
    mtime_ns: int
    source: Any


class Archive(Protocol):
    """An archive whose members have been judged."""

    @property
    def members(self) -> Sequence[Member]:
        """All of them, directories and links included; no two of one path."""

    def content(self, member: Member) -> Iterator[bytes]:
        """The content of a file, its checksum verified at the end; raises ArchiveRefused where it is wrong."""


def suffix_of(name: str) -> str:
    """The whole recognised extension of a name, as it is spelled; "" when it is no archive's (E2)."""
    folded = name.lower()
    found = next((suffix for suffix in SUFFIXES if folded.endswith(suffix) and len(name) > len(suffix)), "")
    return name[len(name) - len(found) :] if found else ""


@contextmanager
def opened_archive(file: IO[bytes], name: str, bounds: Bounds = Bounds()) -> Iterator[Archive]:
    """The archive in a file, every member judged. Raises ArchiveRefused for what must not be unpacked."""
    mode = SUFFIXES[suffix_of(name).lower()]
    try:
        size = os.fstat(file.fileno()).st_size
        with _opened(file, mode, bounds, size) as archive:
            check_members(archive.members)
            yield archive
    except ArchiveRefused:
        raise
    except (*_UNREADABLE, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise  # the disk, not the archive
        raise ArchiveRefused(f"it cannot be read: {problem}") from problem


@contextmanager
def _opened(file: IO[bytes], mode: str, bounds: Bounds, size: int) -> Iterator[Archive]:
    if mode == "zip":
        with zipfile.ZipFile(file) as found:
            yield _Zip(found, bounds, size)
        return
    with _expanding(file, mode) as plain, tarfile.open(fileobj=_Measured(plain), mode="r:") as tar:
        yield _Tar(tar, bounds, size)


def _expanding(file: IO[bytes], mode: str) -> AbstractContextManager[Any]:
    """The bytes of a tar that may be compressed."""
    if mode == "gz":
        return gzip.GzipFile(fileobj=file)
    if mode == "bz2":
        return bz2.BZ2File(file)
    return lzma.LZMAFile(file) if mode == "xz" else nullcontext(file)


class _Measured(io.RawIOBase):
    """A file that is never asked for more than fits into memory. Raises ArchiveRefused for more."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_PIECE:
            raise ArchiveRefused(f"it has a header of {size:,} bytes")
        return self._file.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def check_members(members: Sequence[Member]) -> None:
    """Raise ArchiveRefused unless the members can stand in one folder and none of them leaves it (E5)."""
    leaves: set[str] = set()
    for member in members:
        if not member.is_directory:
            if member.path in leaves:
                raise ArchiveRefused(f"{member.path!r} is in it twice")
            leaves.add(member.path)
        if member.target and (os.path.isabs(member.target) or link_leaves(member.path, member.target)):
            raise ArchiveRefused(f"the link {member.path!r} leaves the folder: {member.target!r}")
    for member in members:
        if member.is_directory and member.path in leaves:
            raise ArchiveRefused(f"{member.path!r} is in it twice")
        above = member.path
        while above := above.rpartition("/")[0]:
            if above in leaves:
                raise ArchiveRefused(f"{member.path!r} stands below {above!r}, which is no directory")


def member_path(name: str) -> str:
    """The path of a member as its archive has it, in normal form; "" for the folder itself. Raises ArchiveRefused."""
    if name.startswith("/") or "\\" in name or "\0" in name or _DRIVE.match(name):
        raise ArchiveRefused(f"the name {name!r} is absolute or holds characters that no name may hold")
    path = "/".join(segment for segment in name.split("/") if segment not in ("", "."))
    if path:
        try:
            check_path(path)
        except ValueRejected as problem:
            raise ArchiveRefused(f"the name {name!r} cannot be: {problem.message}") from None
    return path


class _Counter:
    """What has been announced so far, held against the bounds."""

    def __init__(self, bounds: Bounds, archive_size: int) -> None:
        self._bounds = bounds
        self._most = min(bounds.size, max(bounds.free, bounds.ratio * archive_size))
        self._entries = self._size = 0

    def add(self, size: int) -> None:
        """One more member of so many bytes. Raises ArchiveRefused."""
        self._entries += 1
        self._size += size
        if self._entries > self._bounds.entries:
            raise ArchiveRefused(f"it has more than {self._bounds.entries:,} entries")
        if size < 0 or self._size > self._most:
            raise ArchiveRefused(f"it would expand to more than {self._most:,} bytes")


def _exactly(file: Any, member: Member) -> Iterator[bytes]:
    """Content in pieces; never more than was announced."""
    left = member.size
    while piece := file.read(PIECE):
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise ArchiveRefused(f"{member.path!r} has another size than it says")


class _Zip:
    """A zip file."""

    def __init__(self, found: zipfile.ZipFile, bounds: Bounds, size: int) -> None:
        self._found = found
        counter = _Counter(bounds, size)
        infos = found.infolist()
        for info in infos:
            counter.add(info.file_size)
        _check_apart(infos, size)
        members = [self._member(info) for info in infos]
        self.members = [member for member in members if member.path]

    def _member(self, info: zipfile.ZipInfo) -> Member:
        if info.flag_bits & 1:
            raise ArchiveRefused(f"{info.filename!r} is encrypted")
        path, mode = member_path(info.orig_filename), info.external_attr >> 16
        kind = stat.S_IFMT(mode)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise ArchiveRefused(f"{path!r} is neither file, directory nor link")
        target = ""
        if kind == stat.S_IFLNK:
            if info.file_size > 4096:
                raise ArchiveRefused(f"the target of the link {path!r} is too long")
            target = os.fsdecode(self._found.read(info))
        permissions = mode & PERMISSIONS or FILE_MODE
        try:
            seconds = time.mktime((*info.date_time, 0, 0, -1))
        except (ValueError, OverflowError):
            seconds = 0.0
        return Member(path, info.is_dir(), target, info.file_size, permissions, int(seconds * 1e9), info)

    def content(self, member: Member) -> Iterator[bytes]:
        with self._found.open(member.source) as file:
            yield from _exactly(file, member)


def _check_apart(infos: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Entries that share bytes of the file are a bomb."""
    spans = sorted((info.header_offset, info.header_offset + 30 + info.compress_size) for info in infos)
    for (_, end), (start, _) in zip(spans, [*spans[1:], (size, size)], strict=True):
        if end > start:
            raise ArchiveRefused("its entries overlap")


class _Tar:
    """A tar file, compressed or not. Hard links to members become copies of them."""

    def __init__(self, found: tarfile.TarFile, bounds: Bounds, size: int) -> None:
        self._found = found
        counter = _Counter(bounds, size)
        self._files: dict[str, tarfile.TarInfo] = {}
        members = []
        for info in found:  # judged one by one: the next one is only read when this one may be skipped over
            counter.add(info.size)
            member = self._member(info)
            if info.islnk():
                counter.add(member.size)
            members.append(member)
        self.members = [member for member in members if member.path]

    def _member(self, info: tarfile.TarInfo) -> Member:
        path, size, source = member_path(info.name), info.size, info
        if info.islnk():
            linked = self._files.get(member_path(info.linkname))
            if linked is None:
                raise ArchiveRefused(f"the hard link {path!r} leads to what is not in it")
            source, size = linked, linked.size
        elif not (info.isreg() or info.isdir() or info.issym()):
            raise ArchiveRefused(f"{path!r} is neither file, directory nor link")
        if not (info.isdir() or info.issym()):
            self._files[path] = source
        target = info.linkname if info.issym() else ""
        if info.issym() and not target:
            raise ArchiveRefused(f"the link {path!r} has no target")
        permissions = info.mode & PERMISSIONS
        return Member(path, info.isdir(), target, size, permissions, int(info.mtime) * 1_000_000_000, source)

    def content(self, member: Member) -> Iterator[bytes]:
        file = self._found.extractfile(member.source)
        assert file is not None
        with file:
            yield from _exactly(file, member)
