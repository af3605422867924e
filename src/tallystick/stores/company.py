"""Companies: users who see one another in the address book."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tallystick.stores.changelog import Class
from tallystick.stores.objects import Managed

if TYPE_CHECKING:
    from tallystick.stores.group import Group
    from tallystick.stores.store import Store
    from tallystick.stores.user import User


class Company(Managed):
    """A company. A site that serves only one has a single one, called Default."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def companyid(self) -> str:
        """Its identity."""
        return self.server.text(self.record.key)

    def users(self) -> Iterator[User]:
        """Its users, in the order they were made."""
        return (
            self.server.faces.user(self.server, found)
            for found in self.server.records.children(self._number, Class.USER)
        )

    def user(self, name: str, create: bool = False) -> User:
        """The user of that name, made if there is none and ``create`` is true. Raises NotFoundError."""
        return self.server.user(name, create=create, company=self)

    def create_user(self, name: str, **details: Any) -> User:
        """A new user of this company; see ``Server.create_user``."""
        return self.server.create_user(name, company=self, **details)

    def groups(self) -> Iterator[Group]:
        """Its groups."""
        return (
            self.server.faces.group(self.server, found)
            for found in self.server.records.children(self._number, Class.GROUP)
        )

    def stores(self) -> Iterator[Store]:
        """The stores of its users."""
        return (user.store for user in self.users() if user.store is not None)

    @property
    def public_store(self) -> Store | None:
        """The site's public store, if it has one."""
        return self.server.public_store

    def __repr__(self) -> str:
        return f"Company({self.name!r})"
