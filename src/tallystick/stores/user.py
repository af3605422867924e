"""Users: who logs on, and whose store it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tallystick.stores.company import Company
from tallystick.stores.errors import NotFoundError
from tallystick.stores.objects import Field, Managed

if TYPE_CHECKING:
    from tallystick.stores.folder import Folder
    from tallystick.stores.group import Group
    from tallystick.stores.store import Store


class User(Managed):
    """A user of the site."""

    __slots__ = ()

    fullname = Field[str]("fullname", "")
    email = Field[str]("email", "")
    admin_level = Field[int]("admin_level", 0)
    active = Field[bool]("active", True)
    hidden = Field[bool]("hidden", False)
    _password = Field[str]("password", "")

    @property
    def name(self) -> str:
        """The name he logs on with."""
        return self.record.name

    @name.setter
    def name(self, name: str) -> None:
        self._write(name=name)

    @property
    def userid(self) -> str:
        """His identity."""
        return self.server.text(self.record.key)

    @property
    def admin(self) -> bool:
        """True for an administrator of the site."""
        return self.admin_level > 0

    @admin.setter
    def admin(self, value: bool) -> None:
        self.admin_level = int(value)

    @property
    def company(self) -> Company:
        """His company."""
        return self.server.faces.company(self.server, self.server.require(self.record.parent))

    @property
    def store(self) -> Store | None:
        """His store, if he has one."""
        return self.server.store_of(self, "private")

    @property
    def archive_store(self) -> Store | None:
        """His archive, if he has one."""
        return self.server.store_of(self, "archive")

    def create_store(self) -> Store:
        """A store for him. Raises DuplicateError if he has one."""
        return self.server.create_store(user=self)

    def groups(self) -> Iterator[Group]:
        """The groups he is a member of."""
        return (group for group in self.server.groups() if self in group)

    # his store, spelled shorter --------------------------------------------------------------------------------

    def _own(self) -> Store:
        store = self.store
        if store is None:
            raise NotFoundError(f"user {self.name!r} has no store", hint="make one with user.create_store()")
        return store

    def folders(self, recurse: bool = True) -> Iterator[Folder]:
        """The folders of his store."""
        return self._own().folders(recurse=recurse)

    def folder(self, path: str | None = None, **arguments: Any) -> Folder:
        """A folder of his store; see ``Store.folder``."""
        return self._own().folder(path, **arguments)

    def create_folder(self, path: str, **arguments: Any) -> Folder:
        """A new folder in his store; see ``Folder.create_folder``."""
        return self._own().create_folder(path, **arguments)

    @property
    def root(self) -> Folder:
        """Root folder of his store."""
        return self._own().root

    @property
    def subtree(self) -> Folder:
        """The folder that all visible folders of his store are in."""
        return self._own().subtree

    @property
    def inbox(self) -> Folder | None:
        """Where his mail arrives."""
        return self._own().inbox

    # passwords -------------------------------------------------------------------------------------------------

    @property
    def password(self) -> None:
        """Can be set, and is not told."""
        return None

    @password.setter
    def password(self, password: str) -> None:
        from argon2 import PasswordHasher  # a tenth of a second that only setting and checking passwords costs

        self._password = PasswordHasher().hash(password)

    @property
    def has_password(self) -> bool:
        """True when he was given one."""
        return bool(self._password)

    def check_password(self, password: str) -> bool:
        """True when it is his; false also when he has none."""
        from argon2 import PasswordHasher
        from argon2.exceptions import Argon2Error, InvalidHashError

        try:
            return bool(self._password) and PasswordHasher().verify(self._password, password)
        except (Argon2Error, InvalidHashError):
            return False

    def __repr__(self) -> str:
        return f"User({self.name!r})"


class DeletedUser:
    """A user who is gone: what is known is who he was."""

    def __init__(self, server: Any, entry: Any) -> None:
        self.server = server
        self._entry = entry

    @property
    def userid(self) -> str:
        """The identity he had."""
        return str(self.server.text(self._entry.key))

    def __repr__(self) -> str:
        return f"DeletedUser({self.userid!r})"
