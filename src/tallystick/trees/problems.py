"""What can go wrong with a tree, each with the way on (spec contexts B.2, B.11)."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from tallystick.errors import GuardStopped, StorageError, StorageFull, ValueRejected


class RootMissing(GuardStopped):
    """The root of a tree is not there, or is no directory. Nothing was done (G3)."""

    code = "RootMissing"
    default_hint = "mount the disk or correct the path, then run the same command again"


class RootChanged(GuardStopped):
    """The root of a tree is not the directory it was: another disk, or made anew. Nothing was done (G3)."""

    code = "RootChanged"
    default_hint = "mount the right disk, or accept the new directory with --accept-root: both trees are then united"


class DeletionsHeld(GuardStopped):
    """More would be deleted than the guards let through; everything else was done (G1, G2, G5)."""

    code = "DeletionsHeld"
    default_hint = "look at what would be deleted, then let it through with --allow-deletes"

    def __init__(self, message: str, paths: Sequence[str]) -> None:
        super().__init__(message)
        self.paths = list(paths)


class Unreadable(StorageError):
    """A directory or file cannot be read; nothing was done at or below it (G4)."""

    code = "Unreadable"
    default_hint = "give read permission or mend the disk, then run the same command again"


class Unwritable(StorageError):
    """A directory or file cannot be written; it was left as it was."""

    code = "Unwritable"
    default_hint = "give write permission there, or mount the volume to be written, then run the same command again"


class ProcessEnded(StorageError):
    """A process that did a part of the work was ended from outside. What it had not remembered is done again."""

    code = "ProcessEnded"
    transient = True
    default_hint = "run the same command again; if it happens again, something here ends processes (want of memory?)"


class FileBusy(StorageError):
    """A file changed every time it was read; its previous version was kept (U8)."""

    code = "FileBusy"
    transient = True
    default_hint = "run the same command again when the program that writes it is done"


class TargetChanged(StorageError):
    """What was about to be replaced or removed changed since it was looked at; it was left alone (L5)."""

    code = "TargetChanged"
    transient = True
    default_hint = "run the same command again: the change is taken into account then"


class UnsafePath(ValueRejected):
    """A path from outside that would leave its tree, or cannot be a path (DESIGN.md 8)."""

    code = "UnsafePath"
    default_hint = "send relative paths without '..', links and special names"


class SourceChanged(StorageError):
    """What was to be taken is no longer what the plan was made for. It is planned anew in the next run."""

    code = "SourceChanged"
    transient = True
    default_hint = "run the same command again: the change is taken into account then"


class NoSpace(StorageFull):
    """The volume has not enough room for what is to be written; nothing was truncated (G7)."""

    code = "NoSpace"


OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def storage_error(path: str, problem: OSError, writing_to: str = "") -> StorageError:
    """What the system said, as an error with the way on; ``writing_to`` is the root of the tree that was written."""
    if problem.errno in OUT_OF_SPACE:
        return NoSpace(f"[NoSpace] no room to write {path!r}" + (f" at {writing_to}" if writing_to else ""))
    if isinstance(problem, ChildProcessError):
        return ProcessEnded(f"[ProcessEnded] {problem.strerror or problem}")
    said = problem.strerror or problem
    if writing_to and problem.errno in _FORBIDDEN:
        return Unwritable(f"[Unwritable] {path!r} at {writing_to}: {said}")
    return Unreadable(f"[Unreadable] {path!r}: {said}")
