"""Stores: a tree of folders with an owner, some of them well known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tallystick.stores.changelog import Class
from tallystick.stores.errors import ArgumentError, NotFoundError
from tallystick.stores.objects import Managed
from tallystick.stores.subscribing import MOST, Kinds, Place, Subscription, Wanted

if TYPE_CHECKING:
    from tallystick.stores.company import Company
    from tallystick.stores.folder import Folder
    from tallystick.stores.item import Item
    from tallystick.stores.user import User

WELL_KNOWN = (
    ("inbox", "Inbox", "IPF.Note"),
    ("outbox", "Outbox", "IPF.Note"),
    ("sentmail", "Sent Items", "IPF.Note"),
    ("wastebasket", "Deleted Items", "IPF.Note"),
    ("drafts", "Drafts", "IPF.Note"),
    ("junk", "Junk E-mail", "IPF.Note"),
    ("calendar", "Calendar", "IPF.Appointment"),
    ("contacts", "Contacts", "IPF.Contact"),
    ("tasks", "Tasks", "IPF.Task"),
    ("notes", "Notes", "IPF.StickyNote"),
    ("journal", "Journal", "IPF.Journal"),
)
"""What every private store has: the attribute it is known by, its first name, the kind of things in it."""


class Store(Managed):
    """A store: private to a user, an archive of his, or public."""

    __slots__ = ("__weakref__",)

    @property
    def name(self) -> str:
        """Its display name."""
        return self.record.name

    @name.setter
    def name(self, name: str) -> None:
        self._write(name=name)

    @property
    def guid(self) -> str:
        """Its identity, hexadecimal or base64 as all identifiers are."""
        return self.server.text(self.record.key)

    @property
    def type_(self) -> str:
        """``private``, ``archive`` or ``public``."""
        return str(self.properties["type"])

    @property
    def public(self) -> bool:
        """True for the public store."""
        return self.type_ == "public"

    @property
    def user(self) -> User | None:
        """Its owner; None for the public store and when he is gone."""
        found = self.server.by_key(self.properties.get("owner"), Class.USER)
        return None if found is None else self.server.faces.user(self.server, found)

    @property
    def orphan(self) -> bool:
        """True when its owner is gone."""
        return not self.public and self.user is None

    @property
    def company(self) -> Company:
        """The company of its owner, else the first one."""
        user = self.user
        return user.company if user is not None else next(self.server.companies())

    # folders ---------------------------------------------------------------------------------------------------

    def _well_known(self, name: str) -> Folder | None:
        found = self.server.by_key(self.properties["folders"].get(name), Class.FOLDER)
        return None if found is None else self.server.faces.folder(self.server, found)

    @property
    def root(self) -> Folder:
        """The folder above all others."""
        return self._needed("root")

    @property
    def subtree(self) -> Folder:
        """The folder that all visible folders are in."""
        return self._needed("subtree")

    def _needed(self, name: str) -> Folder:
        found = self._well_known(name)
        if found is None:
            raise NotFoundError(f"store {self.name!r} has lost its {name} folder")
        return found

    @property
    def inbox(self) -> Folder | None:
        """Where mail arrives."""
        return self._well_known("inbox")

    @inbox.setter
    def inbox(self, folder: Folder) -> None:
        self._choose("inbox", folder)

    @property
    def outbox(self) -> Folder | None:
        """Where mail waits to be sent."""
        return self._well_known("outbox")

    @property
    def sentmail(self) -> Folder | None:
        """Where sent mail is kept."""
        return self._well_known("sentmail")

    @property
    def wastebasket(self) -> Folder | None:
        """Where programs put what their users delete."""
        return self._well_known("wastebasket")

    @property
    def drafts(self) -> Folder | None:
        """Unfinished mail."""
        return self._well_known("drafts")

    @property
    def junk(self) -> Folder | None:
        """Unwanted mail."""
        return self._well_known("junk")

    @property
    def calendar(self) -> Folder | None:
        """The standard calendar."""
        return self._well_known("calendar")

    @property
    def contacts(self) -> Folder | None:
        """The standard contacts."""
        return self._well_known("contacts")

    @property
    def tasks(self) -> Folder | None:
        """The standard tasks."""
        return self._well_known("tasks")

    @property
    def notes(self) -> Folder | None:
        """The standard notes."""
        return self._well_known("notes")

    @property
    def journal(self) -> Folder | None:
        """The standard journal."""
        return self._well_known("journal")

    def _choose(self, name: str, folder: Folder) -> None:
        self._write({"folders": {**self.properties["folders"], name: folder.record.key.hex()}})

    def folders(self, recurse: bool = True) -> Iterator[Folder]:
        """The visible folders: parents before children; without ``recurse`` only the topmost."""
        return self.subtree.folders(recurse=recurse)

    def folder(
        self, path: str | None = None, entryid: str | None = None, sourcekey: str | None = None, create: bool = False
    ) -> Folder:
        """A folder by path (from the subtree), entryid or sourcekey, made if ``create``. Raises NotFoundError."""
        return self.subtree.folder(path, entryid=entryid, sourcekey=sourcekey, create=create)

    def create_folder(self, path: str, **properties: Any) -> Folder:
        """A new folder; see ``Folder.create_folder``."""
        return self.subtree.create_folder(path, **properties)

    def item(self, entryid: str | None = None, sourcekey: str | None = None) -> Item:
        """An item of this store. Raises NotFoundError."""
        found = self.server.opened(entryid, sourcekey, Class.ITEM)
        if found.store != self._number or found.soft:
            raise NotFoundError(f"store {self.name!r} has no such item")
        return self.server.faces.item(self.server, found)

    def delete(self, objects: Managed | Iterable[Managed], soft: bool = False) -> None:
        """Delete items and folders of this store, recoverably if ``soft``."""
        chosen = [objects] if isinstance(objects, Managed) else list(objects)
        if any(found.record.store != self._number for found in chosen):
            raise ArgumentError("an object of another store cannot be deleted here")
        self.server.remove(chosen, soft=soft)

    def subscribe(
        self,
        sink: Any,
        object_types: Kinds = None,
        folder_types: Kinds = None,
        event_types: Kinds = None,
        *,
        most: int = MOST,
    ) -> Any:
        """Call ``sink`` with a ``Notification`` of what happens in this store; see ``Folder.subscribe``."""
        wanted = Wanted(object_types, folder_types, event_types)
        return Subscription(self.server, sink, Place(store=self._number), wanted, most)

    def __repr__(self) -> str:
        return f"Store({self.guid!r})"
