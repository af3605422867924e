"""Groups: several users under one name, for permissions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tallystick.stores.objects import Field, Managed

if TYPE_CHECKING:
    from tallystick.stores.user import User


class Group(Managed):
    """A group of users of one company."""

    __slots__ = ()

    fullname = Field[str]("fullname", "")
    email = Field[str]("email", "")
    _members = Field[list[str]]("members", [])

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def groupid(self) -> str:
        """Its identity."""
        return self.server.text(self.record.key)

    def users(self) -> Iterator[User]:
        """Its members."""
        return (user for user in self.server.users() if user.record.key.hex() in self._members)

    def add_user(self, user: User) -> None:
        """Make ``user`` a member."""
        key = user.record.key.hex()
        if key not in self._members:
            self._members = [*self._members, key]

    def remove_user(self, user: User) -> None:
        """End a membership; nothing happens to those who are none."""
        self._members = [key for key in self._members if key != user.record.key.hex()]

    def __contains__(self, user: object) -> bool:
        return isinstance(user, Managed) and user.record.key.hex() in self._members

    def __repr__(self) -> str:
        return f"Group({self.name!r})"
