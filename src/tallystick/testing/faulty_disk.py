"""A disk that fails: the file-system port with crashes, errors, other people's writes and power cuts at chosen calls.

It works on a real directory, so that what survives can be looked at with ordinary means. Calls are counted from 1;
``Faults`` says what happens at which. Part of the tests that Tallystick ships.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tallystick.trees.files import Files, Handle

Undo = Callable[[], None]


class Crash(BaseException):
    """The process is dead: every further call fails the same way, so that no clean-up can run."""


@dataclass(slots=True)
class Faults:
    """What goes wrong.

    ``crash_at`` is the changing call that the process dies at: before it has any effect, or after (``late``); a write
    that dies late is torn in half. ``error_at`` is the call that fails with ``error``; with ``error_on`` only calls of
    these names count. ``meanwhile`` is called before every call with its name and arguments: somebody else at work.
    """

    crash_at: int = 0
    late: bool = False
    error_at: int = 0
    error: int = errno.EIO
    error_on: frozenset[str] = frozenset()
    forever: bool = False
    """The error stays: every matching call from then on fails."""
    meanwhile: Callable[[str, tuple[Any, ...]], None] | None = None


CHANGING = (
    "create",
    "open_partial",
    "write",
    "clone",
    "skip",
    "cut",
    "set_time",
    "permit",
    "make_directory",
    "make_link",
    "set_link_time",
    "link",
    "rename",
    "rename_new",
    "exchange",
    "remove",
    "remove_directory",
    "sync_volume",
    "sync_file",
)
LOOKED_AT = "look"
"""The call by which an entry of a directory that is listed says what it is."""
LOOKING = ("open_root", "open_directory", "entries", "status", "status_of", "open_read", "read", "read_link")


@dataclass(slots=True)
class FaultyFiles(Files):
    """The real file system with faults. ``changes`` and ``calls`` count what was asked so far."""

    faults: Faults = field(default_factory=Faults)
    changes: int = 0
    calls: int = 0
    matching: int = 0
    dead: bool = False
    log: list[str] = field(default_factory=list)

    def _before(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Count a call and let happen what is due; True when the process dies after it."""
        if self.dead:
            raise Crash(name)
        self.calls += 1
        self.log.append(name)
        if self.faults.meanwhile is not None:
            self.faults.meanwhile(name, arguments)
        if name in self.faults.error_on or (not self.faults.error_on and self.faults.error_at):
            self.matching += 1
            due = (
                self.matching >= self.faults.error_at if self.faults.forever else self.matching == self.faults.error_at
            )
            if due:
                raise OSError(self.faults.error, os.strerror(self.faults.error))
        if name not in CHANGING:
            return False
        self.changes += 1
        if self.changes != self.faults.crash_at:
            return False
        if not self.faults.late:
            self.dead = True
            raise Crash(name)
        return True

    def _die(self, name: str) -> None:
        self.dead = True
        raise Crash(name)

    def entries(self, directory: Handle) -> Any:
        """As in ``Files``; each entry may fail when it is looked at."""
        self._before("entries", (directory,))
        return _Entries(self, Files.entries(self, directory))

    def close(self, handle: Handle) -> None:
        """Always possible: the system closes what a dead process had open."""
        os.close(handle)

    def write(self, handle: Handle, data: bytes | memoryview) -> None:
        """A write that dies late leaves its first half."""
        if self._before("write", (handle, data)):
            os.write(handle, bytes(data)[: len(data) // 2])
            self._die("write")
        Files.write(self, handle, data)


class _Entries:
    """The entries of a directory, as os.scandir gives them."""

    def __init__(self, files: FaultyFiles, found: Any) -> None:
        self._files, self._found = files, found

    def __iter__(self) -> Iterator[_Entry]:
        return (_Entry(self._files, entry) for entry in self._found)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *problem: object) -> None:
        self._found.close()


class _Entry:
    """One entry."""

    def __init__(self, files: FaultyFiles, found: os.DirEntry[str]) -> None:
        self._files, self._found, self.name = files, found, found.name

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """What it is, if it can be looked at."""
        self._files._before(LOOKED_AT, (self.name,))
        return self._found.stat(follow_symlinks=follow_symlinks)


def _interrupted(name: str) -> Callable[..., Any]:
    real = getattr(Files, name)

    def call(self: FaultyFiles, *arguments: Any) -> Any:
        dies = self._before(name, arguments)
        answer = real(self, *arguments)
        if dies:
            self._die(name)
        return answer

    call.__name__ = name
    call.__doc__ = real.__doc__
    return call


for _name in (*CHANGING, *LOOKING):
    if _name not in ("write", "entries"):
        setattr(FaultyFiles, _name, _interrupted(_name))


@dataclass(slots=True)
class PoweredFiles(FaultyFiles):
    """A disk whose power may fail: what was not synchronized may be gone afterwards.

    ``cut_power`` takes back the last changes of names that no synchronization has covered (all but ``keep`` of them),
    and empties every file whose content was not synchronized: the worst that a journalling file system may do.
    """

    graveyard: str = ""
    _undo: list[Undo] = field(default_factory=list)
    _unwritten: dict[tuple[int, int], str] = field(default_factory=dict)
    _serial: int = 0

    def _bury(self, name: str, at: Handle) -> str:
        """Keep an entry that is about to go; returns where."""
        self._serial += 1
        grave = os.path.join(self.graveyard, str(self._serial))
        os.link(name, grave, src_dir_fd=at, follow_symlinks=False)
        return grave

    def _path(self, name: str, at: Handle) -> str:
        return os.path.join(os.readlink(f"/proc/self/fd/{at}"), name)

    def create(self, name: str, at: Handle, permissions: int) -> Handle:
        """A new name that may be lost, and content that is not written yet."""
        handle = FaultyFiles.create(self, name, at, permissions)
        self._note(partial(_remove, self._path(name, at)))
        self._dirty(handle)
        return handle

    def write(self, handle: Handle, data: bytes | memoryview) -> None:
        """Content that may be lost."""
        FaultyFiles.write(self, handle, data)
        self._dirty(handle)

    def _dirty(self, handle: Handle) -> None:
        found = os.fstat(handle)
        self._unwritten[(found.st_dev, found.st_ino)] = ""

    def _note(self, undo: Undo) -> None:
        self._undo.append(undo)

    def make_directory(self, name: str, at: Handle) -> None:
        """A new name that may be lost."""
        FaultyFiles.make_directory(self, name, at)
        self._note(partial(_remove, self._path(name, at)))

    def make_link(self, target: str, name: str, at: Handle) -> None:
        """A new name that may be lost."""
        FaultyFiles.make_link(self, target, name, at)
        self._note(partial(_remove, self._path(name, at)))

    def link(self, name: str, at: Handle, new: str, new_at: Handle) -> None:
        """A new name that may be lost."""
        FaultyFiles.link(self, name, at, new, new_at)
        self._note(partial(_remove, self._path(new, new_at)))

    def rename(self, name: str, at: Handle, new: str, new_at: Handle) -> None:
        """A change of names that may be lost."""
        old, path = self._path(name, at), self._path(new, new_at)
        grave = self._bury(new, new_at) if os.path.lexists(path) and not os.path.isdir(path) else None
        FaultyFiles.rename(self, name, at, new, new_at)
        self._note(lambda: _unrename(path, old, grave))

    def rename_new(self, name: str, at: Handle, new: str, new_at: Handle) -> None:
        """A change of names that may be lost."""
        old, path = self._path(name, at), self._path(new, new_at)
        FaultyFiles.rename_new(self, name, at, new, new_at)
        self._note(lambda: _unrename(path, old, None))

    def exchange(self, name: str, at: Handle, other: str, other_at: Handle) -> bool:
        """A change of names that may be lost."""
        one, two = self._path(name, at), self._path(other, other_at)
        done = FaultyFiles.exchange(self, name, at, other, other_at)
        if done:
            self._note(lambda: _swap(one, two))
        return done

    def remove(self, name: str, at: Handle) -> None:
        """A removal that may not have happened."""
        path, grave = self._path(name, at), self._bury(name, at)
        FaultyFiles.remove(self, name, at)
        self._note(lambda: os.link(grave, path, follow_symlinks=False))

    def remove_directory(self, name: str, at: Handle) -> None:
        """A removal that may not have happened."""
        path = self._path(name, at)
        FaultyFiles.remove_directory(self, name, at)
        self._note(lambda: os.mkdir(path))

    def sync_volume(self, handle: Handle) -> None:
        """Everything so far is safe."""
        FaultyFiles.sync_volume(self, handle)
        self._undo.clear()
        self._unwritten.clear()

    def cut_power(self, roots: list[str], keep: int = 0) -> None:
        """Lose what may be lost below ``roots``; the first ``keep`` unsynchronized changes of names survive."""
        self.dead = True
        for undo in reversed(self._undo[keep:]):
            with contextlib.suppress(OSError):
                undo()
        for root in roots:
            for path, _, names in os.walk(root):
                for name in names:
                    file = os.path.join(path, name)
                    found = os.lstat(file)
                    if (found.st_dev, found.st_ino) in self._unwritten and not os.path.islink(file):
                        os.truncate(file, 0)

    @property
    def at_risk(self) -> int:
        """How many changes of names a power cut could take back now."""
        return len(self._undo)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)


def _unrename(path: str, old: str, grave: str | None) -> None:
    os.rename(path, old)
    if grave is not None:
        os.link(grave, path, follow_symlinks=False)


def _swap(one: str, other: str) -> None:
    temporary = f"{one}~"
    os.rename(one, temporary)
    os.rename(other, one)
    os.rename(temporary, other)
