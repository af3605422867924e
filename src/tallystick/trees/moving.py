"""Giving a file that was renamed on the other side its new name here, with no content moved.

In one step where that can be, else as a second name that is staged with others while the old one is still there.
"""

from __future__ import annotations

from tallystick.trees.files import Handle, opened
from tallystick.trees.listing import DISTRUST, Entry, same_file, settled_stats, stats_of
from tallystick.trees.mount import Mount
from tallystick.trees.nodes import PERMISSIONS, Kind, Leaf
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
    if not mount.is_noted(noted.stats, files.status(old_name, at)):
        raise TargetChanged(f"[TargetChanged] {old!r} was changed meanwhile")
    files.rename_new(old_name, at, name, to)
    found = files.status(name, to)
    stats = stats_of(found)
    if not same_file(noted.stats, stats, renamed=True):
        files.rename_new(name, to, old_name, at)
        raise TargetChanged(f"[TargetChanged] {old!r} was changed meanwhile")
    mount.note_links(found)
    return noted._replace(name=name, stats=settled_stats(stats, now_ns, ours=True))


def link(mount: Mount, noted: Entry, old: str, directory: str, name: str, leaf: Leaf, now_ns: int) -> tuple[int, ...]:
    """Give the file at ``old`` a second name in a directory, with the time and permissions of the leaf.

    Returns the numbers to note of it. Raises TargetChanged when the file is not the one that was noted, OSError as the
    system does; the second name may stand then.
    """
    files = mount.files
    at, old_name = mount.split(old)
    before = files.status(old_name, at)
    if not mount.is_noted(noted.stats, before):
        raise TargetChanged(f"{old!r} was changed meanwhile")
    dressed = leaf.kind is Kind.FILE and (noted.mtime_ns, noted.permissions) != (leaf.mtime_ns, leaf.permissions)
    if dressed and before.st_nlink > 1:
        raise TargetChanged(f"{old!r} has other names, which keep their time and permissions")
    target = mount.directory(directory)
    files.link(old_name, at, name, target)
    mount.note_links(before)
    found = stats_of(files.status(name, target))
    if not same_file(noted.stats, found, renamed=True):
        raise TargetChanged(f"{old!r} was changed meanwhile")
    if dressed:
        _dress(mount, name, target, leaf)
        # Our own time would hide an edit of this very moment: it is read once more.
        return (*stats_of(files.status(name, target))[:4], DISTRUST)
    return settled_stats(found, now_ns, ours=True)


def _dress(mount: Mount, name: str, at: Handle, leaf: Leaf) -> None:
    with opened(mount.files, mount.files.open_read(name, at)) as handle:
        found = mount.files.status_of(handle)
        if found.st_mtime_ns != leaf.mtime_ns:
            mount.files.set_time(handle, leaf.mtime_ns)
        if found.st_mode & 0o777 != leaf.permissions:
            mount.files.permit(handle, leaf.permissions)
