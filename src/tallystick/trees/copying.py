"""Copying the content of leaves into temporary files (spec contexts L5): what a first synchronization consists of.

Nothing here is visible to anybody: what is staged becomes visible when ``placing`` publishes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tallystick.errors import StorageError
from tallystick.trees.contents import Contents, Given, Wanted
from tallystick.trees.files import Files, Handle
from tallystick.trees.listing import Entry, Mark, settled_stats, stats_of
from tallystick.trees.mount import Mount
from tallystick.trees.nodes import Kind
from tallystick.trees.problems import NoSpace, SourceChanged, Unreadable, storage_error
from tallystick.trees.processes import in_processes
from tallystick.trees.progress import Progress
from tallystick.trees.reading import link_digest

SHARE_FROM = 800
"""From this many files on the work is shared with a second process ..."""
SHARE_BYTES = 256 << 20
"""... or from this many bytes."""
HOLE = 1 << 16
SPARSE_FROM = 1 << 20
"""In files of this size on, blocks of 64 KiB of zeros become holes."""


class Copy(NamedTuple):
    """One leaf to stage: the path that takes it, what it is at the source, and the name it gets for now."""

    target: str
    wanted: Wanted
    name: str


class Job(NamedTuple):
    """Leaves to stage in one directory, by the path where that directory stands now."""

    directory: str
    copies: Sequence[Copy]


class Staged(NamedTuple):
    """What became of the copy for a target path: what was given and the entry of the new file, or why it failed."""

    target: str
    given: Given | None
    entry: Entry | None
    problem: StorageError | None = None


def stage(
    mount: Mount,
    source: Contents,
    jobs: Sequence[Job],
    clock: Callable[[], int],
    progress: Progress | None = None,
) -> list[Staged]:
    """Copy the content of all jobs; one answer for every copy, in no particular order."""
    source.prepare([copy.wanted for job in jobs for copy in job.copies])
    shares = _shares(jobs) if source.parallel and type(mount.files) is Files else [list(jobs)]
    answers = in_processes(lambda share: _stage_share(mount, source, share, clock, progress), shares)
    return [staged for answer in answers for staged in answer]


def _shares(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in two shares of about equal cost, or in one when they are too few to be worth it."""
    costs = [sum(copy.wanted.leaf.size + 30_000 for copy in job.copies) for job in jobs]
    number = sum(len(job.copies) for job in jobs)
    if number < SHARE_FROM and sum(costs) < SHARE_BYTES:
        return [list(jobs)]
    shares: tuple[list[Job], list[Job]] = ([], [])
    weights = [0, 0]
    for cost, job in sorted(zip(costs, jobs, strict=True), key=lambda pair: -pair[0]):
        lighter = weights.index(min(weights))
        shares[lighter].append(job)
        weights[lighter] += cost
    return [share for share in shares if share]


def _stage_share(
    mount: Mount,
    source: Contents,
    jobs: Sequence[Job],
    clock: Callable[[], int],
    progress: Progress | None,
) -> list[Staged]:
    answers: list[Staged] = []
    full: NoSpace | None = None
    for job in jobs:
        for copy in job.copies:
            if full is not None:
                answers.append(Staged(copy.target, None, None, full))
                continue
            staged = _stage_one(mount, source, job.directory, copy, clock)
            if progress is not None and staged.given is not None:
                progress.advance(1, staged.given.size)
            if isinstance(staged.problem, NoSpace):
                full = staged.problem
            answers.append(staged)
    return answers


def _stage_one(mount: Mount, source: Contents, directory: str, copy: Copy, clock: Callable[[], int]) -> Staged:
    path = copy.target
    try:
        at = mount.directory(directory)
        if copy.wanted.leaf.kind is Kind.LINK:
            return _stage_link(mount.files, source, at, copy, clock)
        return _stage_file(mount, source, at, copy, clock)
    except StorageError as problem:
        return Staged(path, None, None, problem)
    except OSError as problem:
        return Staged(path, None, None, storage_error(path, problem))


def _stage_link(files: Files, source: Contents, at: Handle, copy: Copy, clock: Callable[[], int]) -> Staged:
    leaf = copy.wanted.leaf
    target = source.link_target(copy.wanted)
    digest = link_digest(target)
    if leaf.digest is not None and digest != leaf.digest:
        raise SourceChanged(f"[SourceChanged] the link {copy.wanted.path!r} points elsewhere by now")
    files.make_link(target, copy.name, at)
    files.set_link_time(copy.name, at, leaf.mtime_ns)
    stats = settled_stats(stats_of(files.status(copy.name, at)), clock(), ours=True)
    given = Given(digest, leaf.mtime_ns, leaf.permissions, leaf.size)
    return Staged(copy.target, given, Entry(copy.name, stats, Mark.LINK, digest))


def _stage_file(mount: Mount, source: Contents, at: Handle, copy: Copy, clock: Callable[[], int]) -> Staged:
    files, permissions = mount.files, copy.wanted.leaf.permissions
    try:
        handle = files.create(copy.name, at, permissions | 0o200)
    except OSError as problem:
        raise storage_error(copy.target, problem, writing_to=mount.root) from problem
    try:
        writer = Writer(files, handle, copy.wanted.leaf.size >= SPARSE_FROM)
        given = source.give(copy.wanted, writer.write, writer.restart, writer.clone if writer.large else None)
        writer.finish()
        files.set_time(handle, given.mtime_ns)
        if given.permissions & mount.mask or not given.permissions & 0o200 or given.permissions != permissions:
            files.permit(handle, given.permissions)
        if given.xattrs:
            files.set_xattrs(handle, given.xattrs)
        stats = stats_of(files.status_of(handle))
    except BaseException:
        files.close(handle)
        mount.discard(at, copy.name)
        raise
    files.close(handle)
    if stats[2] != given.size:
        mount.discard(at, copy.name)
        raise Unreadable(f"{copy.wanted.path!r} was not written in full")
    entry = Entry(copy.name, settled_stats(stats, clock(), ours=True), Mark.FILE, given.digest)
    return Staged(copy.target, given, entry)


class Writer:
    """An open temporary file. A large one shares the content of its source, or its long runs of zeros become holes."""

    def __init__(self, files: Files, handle: Handle, large: bool) -> None:
        self.files = files
        self.handle = handle
        self.large = large
        self.write = self._write_sparsely if large else self._write
        self._hole = 0

    def clone(self, source: Handle) -> Handle | None:
        """Share the content of an open file: the handle to read it back from, or None when the volume cannot."""
        return self.handle if self.files.clone(source, self.handle) else None

    def _write(self, data: bytes) -> None:
        self.files.write(self.handle, data)

    def _write_sparsely(self, data: bytes) -> None:
        view = memoryview(data)
        start = 0
        for end in range(HOLE, len(data) + HOLE, HOLE):
            if _is_zero(data, end - HOLE, min(end, len(data))):
                self._write_run(view[start : end - HOLE])
                self._hole += min(end, len(data)) - (end - HOLE)
                start = min(end, len(data))
        self._write_run(view[start:])

    def _write_run(self, run: memoryview) -> None:
        if len(run):
            self.finish()
            self.files.write(self.handle, run)

    def restart(self) -> None:
        """Forget everything that was written."""
        self._hole = 0
        self.files.cut(self.handle, 0)

    def finish(self) -> None:
        """Write out what is pending."""
        if self._hole:
            self.files.skip(self.handle, self._hole)
            self._hole = 0


def _is_zero(data: bytes, start: int, end: int) -> bool:
    return not data[start] and not data[end - 1] and data.count(0, start, end) == end - start
