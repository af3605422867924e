"""What a user may do with a folder: rights, permissions, and the question whether he may (spec ics 1, 3.5)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag
from typing import TYPE_CHECKING

from tallystick.stores.errors import ArgumentError

if TYPE_CHECKING:
    from tallystick.stores.folder import Folder
    from tallystick.stores.group import Group
    from tallystick.stores.user import User

EVERYONE = "everyone"
"""The member that stands for all users."""


class Right(IntFlag):
    """One thing that may be done with a folder."""

    READ_ITEMS = 0x001
    CREATE_ITEMS = 0x002
    EDIT_OWN = 0x008
    DELETE_OWN = 0x010
    EDIT_ALL = 0x020
    DELETE_ALL = 0x040
    CREATE_SUBFOLDERS = 0x080
    FOLDER_OWNER = 0x100
    FOLDER_CONTACT = 0x200
    FOLDER_VISIBLE = 0x400


ALL = Right(0x7FB)


def names_of(rights: Right) -> list[str]:
    """``rights`` as the names that permissions are given by, such as ``read_items``."""
    return [str(right.name).lower() for right in Right if right in rights]


def rights_of(names: Iterable[str]) -> Right:
    """The rights of these names. Raises ArgumentError for others."""
    rights = Right(0)
    for name in names:
        try:
            rights |= Right[name.upper()]
        except KeyError:
            raise ArgumentError(f"there is no right {name!r}", hint=f"use some of {', '.join(names_of(ALL))}") from None
    return rights


class Permission:
    """What one member may do with one folder."""

    def __init__(self, folder: Folder, member: str) -> None:
        self._folder = folder
        self._member = member

    @property
    def member(self) -> User | Group | None:
        """Who: a user or group; None for everyone."""
        return None if self._member == EVERYONE else self._folder.server.member(self._member)

    @property
    def rights(self) -> list[str]:
        """What he may do, by name."""
        return names_of(Right(self._folder.granted().get(self._member, 0)))

    @rights.setter
    def rights(self, names: Iterable[str]) -> None:
        self._folder.grant(self._member, rights_of(names))
