"""Copying whole directories between two places on this machine: the fast road of a first synchronization.

What ``copying`` does leaf by leaf is done here directory by directory, with no object per file: a listing goes in,
the listing of the new directory comes out. The rules are the same: one state of every file (U8), never a torn
database, what fails is named and left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from blake3 import blake3

from tallystick.errors import StorageError
from tallystick.trees.contents import NO_XATTRS
from tallystick.trees.copying import SPARSE_FROM, Writer
from tallystick.trees.files import Files, Handle, opened
from tallystick.trees.listing import (
    NO_DIGEST,
    WIDTH,
    Listing,
    Mark,
    settled_stats,
    stats_of,
)
from tallystick.trees.mount import Mount
from tallystick.trees.nodes import PERMISSIONS, joined
from tallystick.trees.problems import FileBusy, NoSpace, SourceChanged, storage_error
from tallystick.trees.processes import in_processes
from tallystick.trees.progress import Progress
from tallystick.trees.reading import Stats, link_digest, read_stable

SHARE_FILES = 400
"""From this many files on the work is shared with a second process ..."""
SHARE_BYTES = 64 << 20
"""... or from this many bytes."""
FILE_COST = 30_000
"""What a file costs beside its content, in bytes of content."""
SMALL = 1 << 20
_TYPE, _FILE, _LINK, _DIRECTORY = 0o170000, 0o100000, 0o120000, 0o040000


class Wish(NamedTuple):
    """One directory to copy: where it stands at the source, what is listed there, where its copy is staged."""

    path: str
    source: str
    listing: Listing
    staged: str


@dataclass(slots=True)
class Copied:
    """What became of one directory: the listings of the copy and of the source, and why names are missing."""

    path: str
    source: str
    target: Listing
    origin: Listing
    bytes: int = 0
    files: int = 0
    failed: list[tuple[str, StorageError]] = field(default_factory=list)


def copy_directories(
    source: Mount,
    target: Mount,
    wishes: Sequence[Wish],
    clock: Callable[[], int],
    progress: Progress | None = None,
) -> list[Copied]:
    """Copy the leaves of all directories; the staged directories exist already. Never raises for a leaf."""
    shares = [list(wishes)]
    if type(source.files) is Files and type(target.files) is Files:
        shares = _shares(wishes)

    def copy_share(share: Sequence[Wish]) -> list[Copied]:
        done = []
        for wish in share:
            done.append(_copy(source, target, wish, clock))
            if progress is not None:
                progress.advance(done[-1].files, done[-1].bytes)
        return done

    answers = in_processes(copy_share, shares)
    return [copied for answer in answers for copied in answer]


def _shares(wishes: Sequence[Wish]) -> list[list[Wish]]:
    """The directories in two shares of about equal cost, or in one when they are too few to be worth it."""
    costs = [sum(wish.listing.stats[2::WIDTH]) + FILE_COST * len(wish.listing) for wish in wishes]
    number = sum(len(wish.listing) for wish in wishes)
    if number < SHARE_FILES and sum(costs) < SHARE_BYTES:
        return [list(wishes)]
    shares: tuple[list[Wish], list[Wish]] = ([], [])
    weights = [0, 0]
    for cost, wish in sorted(zip(costs, wishes, strict=True), key=lambda pair: -pair[0]):
        lighter = weights.index(min(weights))
        shares[lighter].append(wish)
        weights[lighter] += cost
    return [share for share in shares if share]


def _copy(source: Mount, target: Mount, wish: Wish, clock: Callable[[], int]) -> Copied:
    copied = Copied(wish.path, wish.source, Listing(), wish.listing)
    try:
        copier = _Copier(source, target, wish, copied, clock)
    except (OSError, StorageError) as problem:
        error = storage_error(wish.source, problem) if isinstance(problem, OSError) else problem
        copied.failed = [(name, error) for name in wish.listing.names]
        return copied
    copier.run()
    return copied


class _Copier:
    def __init__(self, source: Mount, target: Mount, wish: Wish, copied: Copied, clock: Callable[[], int]) -> None:
        self.from_files, self.to_files = source.files, target.files
        self.target = target
        self.wish = wish
        self.copied = copied
        self.clock = clock
        self.xattrs = source.xattrs
        self.at = source.directory(wish.source)
        self.to = target.directory(wish.staged)
        self.found: dict[str, tuple[Stats, bytes, int]] = {}
        self.moved: dict[str, Stats] = {}

    def run(self) -> None:
        """Copy every leaf, check the databases, list what is there now."""
        stats = self.wish.listing.stats
        full: NoSpace | None = None
        for position, name in enumerate(self.wish.listing.names):
            start = position * WIDTH
            kind = stats[start] & _TYPE
            if kind == _DIRECTORY:
                continue
            if full is not None:
                self.copied.failed.append((name, full))
                continue
            try:
                if kind == _LINK:
                    self._copy_link(name, stats[start + 3])
                else:
                    self._copy_file(name, stats[start : start + WIDTH])
            except (OSError, StorageError) as problem:
                full = self._fail(name, problem)
        self._check_databases()
        self._list()

    def _fail(self, name: str, problem: OSError | StorageError) -> NoSpace | None:
        error = problem
        if isinstance(problem, OSError):
            error = storage_error(joined(self.wish.path, name), problem)
            if isinstance(problem, FileNotFoundError):
                error = SourceChanged(f"[SourceChanged] {joined(self.wish.source, name)!r} has gone meanwhile")
        assert isinstance(error, StorageError)
        self.found.pop(name, None)
        self.copied.failed.append((name, error))
        self.target.discard(self.to, name)
        return error if isinstance(error, NoSpace) else None

    def _copy_link(self, name: str, mtime_ns: int) -> None:
        to = self.from_files.read_link(name, self.at)
        self.to_files.make_link(to, name, self.to)
        self.to_files.set_link_time(name, self.to, mtime_ns)
        self.found[name] = (stats_of(self.to_files.status(name, self.to)), link_digest(to), Mark.LINK)

    def _copy_file(self, name: str, noted: Sequence[int]) -> None:
        """One regular file, read in one call where it is small."""
        size = noted[2]
        if size >= SMALL:
            self._copy_large(name, noted)
            return
        files = self.from_files
        handle = files.open_read(name, self.at)
        try:
            data = files.read(handle, size + 1)
            after = stats_of(files.status_of(handle))
            xattrs = files.read_xattrs(handle) if self.xattrs else NO_XATTRS
        finally:
            files.close(handle)
        if tuple(noted) != after or len(data) != size:
            self._copy_large(name, noted)  # it moved since it was listed: read it until it holds still
            return
        self._create(name, after, data, xattrs)
        self.found[name] = (self.found[name][0], blake3(data).digest(), Mark.FILE)

    def _create(
        self, name: str, stats: Stats, data: bytes | None, xattrs: Mapping[str, bytes] = NO_XATTRS
    ) -> Writer | None:
        """The new file with its content, or open for it when there is no ``data``."""
        files = self.to_files
        permissions = stats[0] & PERMISSIONS
        handle = files.create(name, self.to, permissions | 0o200)
        try:
            if data is not None:
                if data:
                    files.write(handle, data)
                if xattrs:
                    files.set_xattrs(handle, xattrs)
                self._dress(handle, name, stats)
                return None
            return Writer(files, handle, stats[2] >= SPARSE_FROM)
        finally:
            if data is not None:
                files.close(handle)

    def _dress(self, handle: Handle, name: str, stats: Stats) -> None:
        permissions = stats[0] & PERMISSIONS
        self.to_files.set_time(handle, stats[3])
        if permissions & self.target.mask or not permissions & 0o200:
            self.to_files.permit(handle, permissions)
        found = stats_of(self.to_files.status_of(handle))
        if found[2] != stats[2]:
            raise FileBusy(f"[FileBusy] {name!r} was not written in full")
        self.found[name] = (found, NO_DIGEST, Mark.FILE)
        self.copied.bytes += found[2]

    def _copy_large(self, name: str, noted: Sequence[int]) -> None:
        stats = (noted[0], noted[1], noted[2], noted[3], noted[4])
        writer = self._create(name, stats, None)
        assert writer is not None
        clone = writer.clone if writer.large else None
        try:
            read = read_stable(self.from_files, self.at, name, writer.write, writer.restart, clone)
            writer.finish()
            if self.xattrs:
                with opened(self.from_files, self.from_files.open_read(name, self.at)) as handle:
                    self.to_files.set_xattrs(writer.handle, self.from_files.read_xattrs(handle))
            self._dress(writer.handle, name, read.stats)
            if noted[0] & PERMISSIONS != read.stats[0] & PERMISSIONS:
                self.to_files.permit(writer.handle, read.stats[0] & PERMISSIONS)
        finally:
            self.to_files.close(writer.handle)
        stats = stats_of(self.to_files.status(name, self.to))
        self.found[name] = (stats, read.digest, Mark.FILE)
        if tuple(noted) != read.stats:
            self.moved[name] = read.stats

    def _check_databases(self) -> None:
        """The files of a database count only when all of them held still while all of them were copied (U8)."""
        for name in [name for name in self.found if name.endswith(("-wal", "-journal"))]:
            main = name.rpartition("-")[0]
            members = [member for member in (main, f"{main}-wal", f"{main}-journal") if member in self.found]
            if main in self.found and not all(self._is_still(member) for member in members):
                busy = FileBusy(f"[FileBusy] the database {joined(self.wish.source, main)!r} is being written")
                for member in members:
                    self._fail(member, busy)

    def _is_still(self, name: str) -> bool:
        noted = self.wish.listing.find(name)
        expected = self.moved.get(name) or (noted.stats if noted is not None else ())
        try:
            return stats_of(self.from_files.status(name, self.at)) == tuple(expected)
        except FileNotFoundError:
            return False

    def _list(self) -> None:
        """The listing of the copy, by name as a scan will find it, and that of the source with digests."""
        now = self.clock()
        names: list[str] = []
        stats: list[int] = []
        values: list[bytes] = []
        with self.to_files.entries(self.to) as entries:
            found = sorted(entry.name for entry in entries)
        for name in found:
            known = self.found.get(name)
            if known is None:
                here = stats_of(self.to_files.status(name, self.to))
                known = (here, NO_DIGEST, Mark.DIRECTORY if here[0] & _TYPE == _DIRECTORY else Mark.INVISIBLE)
            names.append(name)
            stats += settled_stats(known[0], now, ours=True)
            values.append(bytes((known[2],)) + known[1])
        self.copied.files = len(self.found)
        self.copied.target = Listing(names, array("q", stats), b"".join(values))
        self.copied.origin = self._origin(now)

    def _origin(self, now: int) -> Listing:
        listing = self.wish.listing
        values: list[bytes] = []
        for entry in listing:
            known = self.found.get(entry.name)
            mark, digest = (known[2], known[1]) if known is not None else (entry.mark, entry.digest)
            values.append(bytes((mark,)) + digest)
        stats = array("q", listing.stats)
        for name, moved in self.moved.items():
            start = (listing.position(name) or 0) * WIDTH
            stats[start : start + WIDTH] = array("q", settled_stats(moved, now))
        return Listing(listing.names, stats, b"".join(values))
