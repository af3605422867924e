"""Giving a file that was renamed on the other side its new name here, in one step and with no content moved."""

from __future__ import annotations

from tallystick.trees.listing import Entry, same_file, settled_stats, stats_of
from tallystick.trees.mount import Mount
from tallystick.trees.nodes import PERMISSIONS, Leaf
from tallystick.trees.problems import TargetChanged


def can_move(noted: Entry | None, leaf: Leaf) -> bool:
    """True when the file that was noted is, but for its name, the leaf that is wanted."""
    return (
        noted is not None
        and not leaf.group  # the files of a database appear together
        and noted.digest == leaf.digest
        and (noted.mtime_ns, noted.mode & PERMISSIONS) == (leaf.mtime_ns, leaf.permissions)
    )


def move(mount: Mount, noted: Entry, old: str, new: str, now_ns: int) -> Entry:
    """Rename a file to a free name and return what to note of it.

    Raises TargetChanged, with everything as it was, when the file is not the one that was noted, and OSError as the
    system does, FileExistsError when the new name is taken.
    """
    files = mount.files
    at, old_name = mount.split(old)
    to, name = mount.split(new)
    if not same_file(noted.stats, stats_of(files.status(old_name, at))):
        raise TargetChanged(f"[TargetChanged] {old!r} was changed meanwhile")
    files.rename_new(old_name, at, name, to)
    found = stats_of(files.status(name, to))
    if not same_file(noted.stats, found, renamed=True):
        files.rename_new(name, to, old_name, at)
        raise TargetChanged(f"[TargetChanged] {old!r} was changed meanwhile")
    return noted._replace(name=name, stats=settled_stats(found, now_ns, ours=True))
