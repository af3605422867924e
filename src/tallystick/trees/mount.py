"""A directory on a disk, entered by handle only: walking, checked replacing and removing (spec contexts L5).

Everything that replaces or removes looks at the target again right before, and where the system can swap two names
in one step, also right after: what somebody else wrote in between is put back, never lost.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tallystick.trees.files import REAL, Files, Handle, is_directory, umask
from tallystick.trees.listing import same_file, stats_of
from tallystick.trees.names import TEMPORARY
from tallystick.trees.problems import RootMissing, TargetChanged, storage_error
from tallystick.trees.root_identity import RootIdentity

MAX_HANDLES = 48
"""Directory handles that a mount keeps open."""

Stats = tuple[int, ...]


class Mount:
    """The root of a tree and the handles below it. Not to be shared between threads."""

    def __init__(self, root: str, files: Files = REAL, token: str = "tree") -> None:
        self.root = root
        self.files = files
        self.token = token
        self._serial = 0
        self._handles: OrderedDict[str, Handle] = OrderedDict()
        self._root: Handle | None = None
        self._relinked: set[Stats] = set()
        self.mask = umask()
        self.xattrs = False
        """True when the extended attributes of files go along with their content."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def handle(self) -> Handle:
        """The root's handle. Raises RootMissing when there is no such directory."""
        if self._root is None:
            try:
                self._root = self.files.open_root(self.root)
            except (FileNotFoundError, NotADirectoryError) as problem:
                raise RootMissing(f"[RootMissing] {self.root}: {problem.strerror}") from None
            except OSError as problem:
                raise storage_error(self.root, problem) from problem
        return self._root

    def identity(self) -> RootIdentity:
        """What tells this root from another one in its place.

        Numbers of inodes alone do not: ext4 gives a new directory that of the one that was removed a moment ago.
        """
        found = self.files.status_of(self.handle)
        return RootIdentity(
            str(found.st_dev),
            str(found.st_ino),
            str(self.files.generation(self.handle) or ""),
            str(self.files.file_system(self.handle) or ""),
            self.files.volume_name(found.st_dev),
        )

    def close(self) -> None:
        """Give all handles back."""
        self.forget()
        self._relinked.clear()
        if self._root is not None:
            self.files.close(self._root)
            self._root = None

    # Walking --------------------------------------------------------------------------------------

    def directory(self, path: str) -> Handle:
        """The handle of a directory below the root, reached without following any link. Stays ours to close."""
        if not path:
            return self.handle
        known = self._handles.get(path)
        if known is not None:
            self._handles.move_to_end(path)
            return known
        parent, _, name = path.rpartition("/")
        found = self.files.open_directory(name, self.directory(parent))
        self._handles[path] = found
        if len(self._handles) > MAX_HANDLES:
            self.files.close(self._handles.popitem(last=False)[1])
        return found

    def forget(self, path: str = "") -> None:
        """Close the handles at and below a path that moved or went."""
        below = f"{path}/" if path else ""
        for known in [known for known in self._handles if known == path or known.startswith(below)]:
            self.files.close(self._handles.pop(known))

    def split(self, path: str) -> tuple[Handle, str]:
        """The handle of a path's parent, and its name."""
        parent, _, name = path.rpartition("/")
        return self.directory(parent), name

    def status(self, path: str) -> os.stat_result | None:
        """What stands at a path; None when nothing does."""
        try:
            at, name = self.split(path)
            return self.files.status(name, at)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def temporary(self, kind: str = "new") -> str:
        """A name for a temporary entry of ours."""
        self._serial += 1
        return f"{TEMPORARY}{kind}-{self.token}-{os.getpid():x}-{self._serial:x}"

    # Replacing and removing -----------------------------------------------------------------------

    def publish_new(self, at: Handle, temporary: str, name: str) -> None:
        """Give a temporary entry its name; raises TargetChanged when anything stands there by now."""
        try:
            self.files.rename_new(temporary, at, name, at)
        except OSError as problem:
            if problem.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            raise TargetChanged(f"{name!r} was created meanwhile") from None

    def publish_over(self, at: Handle, temporary: str, name: str, expected: Sequence[int]) -> None:
        """Put a temporary file in the place of the one that was noted; raises TargetChanged when it is not that one.

        The swap is one step; what comes out is looked at, and put back if somebody has written it meanwhile. From
        the swap on the temporary name may hold somebody's work, so it is one that recovery does not throw away.
        """
        self._check(at, name, expected)
        swapping = self.temporary("swap")
        self.files.rename(temporary, at, swapping, at)
        if not self.files.exchange(swapping, at, name, at):
            self._check(at, name, expected)
            self.files.rename(swapping, at, name, at)
            return
        found = self.files.status(swapping, at)
        if not same_file(expected, stats_of(found), renamed=True):
            self.files.exchange(swapping, at, name, at)
            self.files.rename(swapping, at, temporary, at)
            raise TargetChanged(f"{name!r} was changed meanwhile")
        self.note_links(found)
        self.files.remove(swapping, at)

    def remove_checked(self, at: Handle, name: str, expected: Sequence[int]) -> None:
        """Remove a file or link if it is still what was noted; raises TargetChanged when it is not.

        It is moved out of the way first and looked at there, so that nothing can take its place in between.
        """
        self._check(at, name, expected)
        going = self.temporary("swap")
        self.files.rename(name, at, going, at)
        found = self.files.status(going, at)
        if not same_file(expected, stats_of(found), renamed=True):
            self.files.rename_new(going, at, name, at)
            raise TargetChanged(f"{name!r} was changed meanwhile")
        self.note_links(found)
        self.files.remove(going, at)

    def is_noted(self, noted: Sequence[int], found: os.stat_result) -> bool:
        """True when a file is what was noted; also when we have only changed its other names since."""
        stats = stats_of(found)
        return same_file(noted, stats) or (stats[:4] in self._relinked and tuple(noted[:4]) == stats[:4])

    def note_links(self, found: os.stat_result) -> None:
        """A file changes a name by our own doing, which moves the ctime under all the names that it has."""
        if found.st_nlink > 1:
            self._relinked.add(stats_of(found)[:4])

    def _check(self, at: Handle, name: str, expected: Sequence[int]) -> None:
        try:
            found = self.files.status(name, at)
        except FileNotFoundError:
            raise TargetChanged(f"{name!r} has gone meanwhile") from None
        if not self.is_noted(expected, found):
            raise TargetChanged(f"{name!r} was changed meanwhile")

    # Temporary entries ----------------------------------------------------------------------------

    def discard(self, at: Handle, name: str) -> None:
        """Remove a temporary entry of ours with all that is in it; nothing happens when it is not there."""
        try:
            found = self.files.status(name, at)
        except FileNotFoundError:
            return
        if not is_directory(found):
            self.files.remove(name, at)
            return
        inner = self.files.open_directory(name, at)
        try:
            with self.files.entries(inner) as entries:
                names = [entry.name for entry in entries]
            for child in names:
                self.discard(inner, child)
        finally:
            self.files.close(inner)
        self.files.remove_directory(name, at)

    def is_mine(self, name: str) -> bool:
        """True for the name of a temporary entry that an earlier run of this mount left behind."""
        return name.startswith((f"{TEMPORARY}new-{self.token}-", f"{TEMPORARY}swap-{self.token}-"))


def is_swap(name: str) -> bool:
    """True for a temporary name that may hold what somebody wrote (see ``publish_over``)."""
    return name.startswith(f"{TEMPORARY}swap-")
