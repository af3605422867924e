"""Finding out what a volume makes of names, by a temporary file of ours (spec contexts M3-M5).

Case-insensitive and normalizing directories exist on every system (macOS, ext4 with casefold, network shares), and
which one is mounted cannot be told from the system that runs. So the root of the tree is asked.
"""

from __future__ import annotations

import stat

from tallystick.trees.files import Files, Handle, opened
from tallystick.trees.names import POSIX, Volume

_UPPER, _LOWER = "-A", "-a"
_COMPOSED, _DECOMPOSED = "\u00e9", "e\u0301"
_FORBIDDEN = "-:"
_FEW, _MANY = 0o600, 0o755
EARLIER = 4
"""So many marks earlier releases remembered; what they did not ask is taken to be as on POSIX until it is asked."""


def probe(files: Files, at: Handle, temporary: str) -> Volume | None:
    """What the volume of a directory can hold; None where nothing can be written, so that it cannot be told.

    ``temporary`` is a name for temporary files of ours: what a crash leaves behind is removed like every other.
    """
    name = f"{temporary}{_COMPOSED}{_UPPER}"
    try:
        handle = files.create(name, at, _FEW)
    except OSError:
        return None
    try:
        with opened(files, handle):
            permissions = _keeps_permissions(files, handle)
        return Volume(
            keeps_case=not _stands(files, at, f"{temporary}{_COMPOSED}{_LOWER}"),
            keeps_form=not _stands(files, at, f"{temporary}{_DECOMPOSED}{_UPPER}"),
            windows_names=not _takes(files, at, f"{temporary}{_FORBIDDEN}"),
            permissions=permissions,
            links=_takes_links(files, at, f"{temporary}{_UPPER}"),
        )
    finally:
        files.remove(name, at)


def _stands(files: Files, at: Handle, name: str) -> bool:
    try:
        files.status(name, at)
    except OSError:
        return False
    return True


def _takes(files: Files, at: Handle, name: str) -> bool:
    try:
        files.close(files.create(name, at, _FEW))
    except OSError:
        return False
    files.remove(name, at)
    return True


def _takes_links(files: Files, at: Handle, name: str) -> bool:
    try:
        files.make_link("nowhere", name, at)
    except OSError:
        return False
    files.remove(name, at)
    return True


def _keeps_permissions(files: Files, handle: Handle) -> bool:
    try:
        files.permit(handle, _MANY)
    except OSError:
        return False
    return stat.S_IMODE(files.status_of(handle).st_mode) == _MANY


def described(volume: Volume) -> str:
    """A volume in a form that can be remembered."""
    return "".join("1" if mark else "0" for mark in volume)


def is_description(text: str) -> bool:
    """False for nothing, and for what an earlier release told of a volume."""
    return len(text) == len(POSIX)


def remembered(description: str) -> Volume:
    """The volume that was described; a POSIX one for anything that is no description."""
    if not EARLIER <= len(description) <= len(POSIX):
        return POSIX
    return Volume(*(mark == "1" for mark in description))
