"""The object model under the original's names, errors and identifiers."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tallystick.compat.kopano import notification
from tallystick.compat.kopano.errors import ObjectGoneError, as_mapi
from tallystick.compat.kopano.tags import Tagged
from tallystick.stores import company, folder, group, item, store, synchronization, user
from tallystick.stores.changelog import Class, Entry
from tallystick.stores.delivery import Importer, OnError
from tallystick.stores.notices import Event, Notice
from tallystick.stores.objects import Managed
from tallystick.stores.server import Faces

if TYPE_CHECKING:
    from tallystick.compat.kopano.notification import Kinds


class Company(Tagged, company.Company):
    """A company."""

    __slots__ = ()


class Group(Tagged, group.Group):
    """A group of users."""

    __slots__ = ()


class User(Tagged, user.User):
    """A user."""

    __slots__ = ()


class Item(Tagged, item.Item):
    """An item."""

    __slots__ = ()


class DeletedItem(item.DeletedItem, Item):
    """An item that is gone."""

    __slots__ = ()


class Store(Tagged, store.Store):
    """A store."""

    __slots__ = ()

    def folders(self, recurse: bool = True, parse: bool = True) -> Iterator[folder.Folder]:
        """The visible folders. ``parse`` is accepted for programs that pass it."""
        return super().folders(recurse=recurse)

    def subscribe(  # type: ignore[override]  # the original's signature
        self, sink: Any, object_types: Kinds = None, folder_types: Kinds = None, event_types: Kinds = None
    ) -> None:
        """Have ``sink.update(notification)`` called for what happens in this store. Raises NotSupportedError."""
        wanted = notification.Wanted(object_types, folder_types, event_types)
        notification.subscribe(self.server, sink, wanted, store=self.hierarchyid)

    def unsubscribe(self, sink: Any) -> None:
        """End a subscription of this store or of one of its folders."""
        notification.unsubscribe(self.server, sink)


class Folder(Tagged, folder.Folder):
    """A folder."""

    __slots__ = ()

    @property
    def state(self) -> str:
        """The state of now."""
        with as_mapi():
            return synchronization.current(self.server, self.hierarchyid)

    @property
    def associated(self) -> folder.Folder:
        """Its associated items, as a folder."""
        return AssociatedItems(self.server, self.record)

    @property
    def deleted(self) -> folder.Folder:
        """What was deleted from it recoverably, as a folder."""
        return DeletedItems(self.server, self.record)

    def sync(
        self,
        importer: Importer,
        state: str | bytes | None = None,
        log: object = None,
        max_changes: int | None = None,
        associated: bool = False,
        window: float | None = None,
        begin: datetime | None = None,
        end: datetime | None = None,
        stats: MutableMapping[str, int] | None = None,
        *,
        on_error: OnError = "log",
    ) -> str:
        """Tell ``importer`` what changed since ``state``; see ``tallystick.stores.Folder.sync``."""
        with as_mapi():
            return super().sync(
                importer, state, log, max_changes, associated, window, begin, end, stats, on_error=on_error
            )

    def sync_hierarchy(
        self,
        importer: Importer,
        state: str | bytes | None = None,
        stats: MutableMapping[str, int] | None = None,
        *,
        parents_first: bool | None = None,
    ) -> str:
        """Tell ``importer`` which folders below changed since ``state``; see ``tallystick.stores.Folder``."""
        with as_mapi():
            return super().sync_hierarchy(importer, state, stats, parents_first=parents_first)

    def subscribe(  # type: ignore[override]  # the original's signature
        self, sink: Any, object_types: Kinds = None, folder_types: Kinds = None, event_types: Kinds = None
    ) -> None:
        """Have ``sink.update(notification)`` called for what happens to this folder and the items in it.

        Raises NotSupportedError unless the server was opened with ``notifications=True``.
        """
        wanted = notification.Wanted(object_types, folder_types, event_types)
        notification.subscribe(self.server, sink, wanted, folder=self.hierarchyid)

    def unsubscribe(self, sink: Any) -> None:
        """End a subscription."""
        notification.unsubscribe(self.server, sink)


class AssociatedItems(Folder):
    """The associated items of a folder."""

    __slots__ = ()
    _associated = (1,)


class DeletedItems(Folder):
    """What was deleted from a folder recoverably."""

    __slots__ = ()
    _soft = True


class GoneItem(Item):
    """A deleted item as notifications tell of it: address and folder are known, all else raises ObjectGoneError."""

    __slots__ = ("_entry",)

    def __init__(self, server: Any, entry: Entry) -> None:
        self.server = server
        self._entry = entry
        self._number = entry.record

    @property
    def record(self) -> Any:
        """Nothing is left of it."""
        raise ObjectGoneError("this item was deleted")

    @property
    def entryid(self) -> str:
        """The address it had."""
        return str(self.server.entryid(self._entry))

    @property
    def folder(self) -> folder.Folder:
        """The folder it was in."""
        return self.server.faces.folder(self.server, self.server.require(self._entry.parent))

    @property
    def store(self) -> store.Store:
        """The store it was in."""
        return self.server.store_by_number(self._entry.store)


class GoneFolder(Folder):
    """A deleted folder as notifications tell of it: its address is known, its name empty. After a move it is whole."""

    __slots__ = ("_entry",)
    _entry: Entry

    @property
    def entryid(self) -> str:
        """The address it has or had."""
        return str(self.server.entryid(self._entry))

    @property
    def name(self) -> str:
        """Its name; empty when it is gone."""
        try:
            return self.record.name
        except ObjectGoneError:
            return ""

    @name.setter
    def name(self, name: str) -> None:
        folder.Folder.name.fset(self, name)  # type: ignore[attr-defined]


def notified(server: Any, notice: Notice) -> Managed:
    """The object that a notice is about, not looked at yet."""
    if notice.entry is not None and notice.event is Event.DELETED:
        if notice.object is Class.ITEM:
            return GoneItem(server, notice.entry)
        gone = GoneFolder.unopened(server, notice.record)
        gone._entry = notice.entry
        return gone
    kinds: dict[Class, type[Managed]] = {Class.ITEM: Item, Class.FOLDER: Folder, Class.STORE: Store}
    return kinds[notice.object].unopened(server, notice.record)


FACES = Faces(
    company=Company,
    user=User,
    group=Group,
    store=Store,
    folder=Folder,
    item=Item,
    deleted_item=DeletedItem,
)
