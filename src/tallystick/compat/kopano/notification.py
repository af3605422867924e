"""Notifications as programs written for the original get them (spec ics 7)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from tallystick.compat.kopano.errors import NotSupportedError
from tallystick.stores.changelog import Class
from tallystick.stores.folder import folder_type
from tallystick.stores.notices import Event, Notice
from tallystick.stores.properties import read_properties
from tallystick.stores.states import State

if TYPE_CHECKING:
    from tallystick.compat.kopano.connection import Server
    from tallystick.stores.objects import Managed

Kinds = Collection[str] | None
"""Names, or text that contains them; None or empty means all."""

OBJECT_TYPES = ("folder", "item")
FOLDER_TYPES = ("mail", "contacts", "calendar", "tasks", "notes")
EVENT_TYPES = ("created", "updated", "deleted")

_NAMES = {Class.ITEM: "item", Class.FOLDER: "folder", Class.STORE: "store"}


class Wanted(NamedTuple):
    """What a subscription asks for."""

    object_types: Kinds = None
    folder_types: Kinds = None
    event_types: Kinds = None

    def has_event(self, event: Event) -> bool:
        """True for events of a kind that is wanted."""
        return event.value in (self.event_types or EVENT_TYPES)

    def has_object(self, object: Class) -> bool:
        """True for objects of a kind that is wanted; when no known kind is named, that is every kind."""
        chosen = self.object_types or OBJECT_TYPES
        known = [name for name in OBJECT_TYPES if name in chosen]
        return not known or _NAMES[object] in known

    def has_folder(self, kind: str) -> bool:
        """True for folders of a kind that is wanted."""
        return kind in (self.folder_types or FOLDER_TYPES)


class Notification:
    """Something happened to an object.

    ``object`` is an Item, Folder or Store whose attributes are read when they are asked for, and show what is then.
    """

    def __init__(self, server: Server, notice: Notice) -> None:
        self._server = server
        self._notice = notice
        self.event_type: str = notice.event.value
        self.object_type: str = _NAMES[notice.object]
        self.object: Managed = server.notified(notice)

    @property
    def mapiobj(self) -> Any:
        """The object; there is nothing rawer."""
        return self.object

    @property
    def state(self) -> str:
        """A state from which ``folder.sync`` tells this change of an item again, with all that followed."""
        return self._server.text(State(0, self._notice.seq - 1).raw())

    def __repr__(self) -> str:
        return f"Notification({self.object_type} {self.event_type})"


def subscribe(server: Any, sink: Any, wanted: Wanted, *, folder: int = 0, store: int = 0) -> None:
    """Have ``sink`` told of what happens in a folder or a store. Raises NotSupportedError."""
    if not server.notifications:
        raise NotSupportedError(
            "server connection does not support notifications", hint="open it with notifications=True"
        )

    def wants(notice: Notice) -> bool:
        if folder:
            place = notice.record if notice.object is Class.FOLDER else notice.parent
            if notice.object is Class.STORE or place != folder:
                return False
        elif notice.store != store:
            return False
        if not (wanted.has_event(notice.event) and wanted.has_object(notice.object)):
            return False
        return notice.object is Class.STORE or wanted.has_folder(_folder_type(server, notice))

    sink._conn = server.watch.add(wants, lambda notice: sink.update(Notification(server, notice)))


def unsubscribe(server: Any, sink: Any) -> None:
    """End the subscription of ``sink``. Raises AttributeError for one that never subscribed."""
    server.watch.remove(sink._conn)


def _folder_type(server: Server, notice: Notice) -> str:
    """What the folder is for that an object is in or is; one that is gone counts as mail."""
    number = notice.record if notice.object is Class.FOLDER else notice.parent
    found = server.records.records([number]).get(number)
    return folder_type(None if found is None else read_properties(found.properties).get("container_class"))
