"""Subscriptions of folders and stores: who is told of what, each in a thread of his own (spec ics 7).

A notification says that something happened and from which state to go on: push says when, ``sync`` says what. What
waits for a sink is bounded; when it grows too long it becomes one notification of the type ``gap``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from tallystick.stores.changelog import Class
from tallystick.stores.notices import Event, Notice
from tallystick.stores.properties import read_properties
from tallystick.stores.states import State

if TYPE_CHECKING:
    from tallystick.stores.server import Server

Kinds = Collection[str] | None
"""Names, or text that contains them; None or empty means all."""

OBJECT_TYPES = ("folder", "item")
FOLDER_TYPES = ("mail", "contacts", "calendar", "tasks", "notes")
EVENT_TYPES = ("created", "updated", "deleted")
NAMES = {Class.ITEM: "item", Class.FOLDER: "folder", Class.STORE: "store"}

GAP = "gap"
"""Event type: notifications were dropped; synchronize from the state that was kept before."""

MOST = 10_000
"""Notifications that may wait for one sink."""

_KINDS = {
    None: "mail",
    "IPF.Note": "mail",
    "IPF.Contact": "contacts",
    "IPF.Appointment": "calendar",
    "IPF.StickyNote": "notes",
    "IPF.Task": "tasks",
}


def folder_type(container_class: str | None) -> str:
    """What a folder of this class is for; ``folder`` for classes that have no short name."""
    return _KINDS.get(container_class or None, "folder")


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
        return not known or NAMES[object] in known

    def has_folder(self, kind: str) -> bool:
        """True for folders of a kind that is wanted."""
        return kind in (self.folder_types or FOLDER_TYPES)


class Place(NamedTuple):
    """Where a subscription listens: a folder, or a whole store, by number."""

    folder: int = 0
    store: int = 0

    def holds(self, notice: Notice) -> bool:
        """True for what happened there."""
        if not self.folder:
            return notice.store == self.store
        inside = notice.record if notice.object is Class.FOLDER else notice.parent
        return notice.object is not Class.STORE and inside == self.folder


def chooser(server: Server, place: Place, wanted: Wanted) -> Callable[[Notice], bool]:
    """The test that says whether a subscription is told of a notice."""

    def wants(notice: Notice) -> bool:
        if not (place.holds(notice) and wanted.has_event(notice.event) and wanted.has_object(notice.object)):
            return False
        return notice.object is Class.STORE or wanted.has_folder(_type_of(server, notice))

    return wants


def _type_of(server: Server, notice: Notice) -> str:
    """What the folder is for that an object is in or is; one that is gone counts as mail."""
    number = notice.record if notice.object is Class.FOLDER else notice.parent
    found = server.records.records([number]).get(number)
    return folder_type(None if found is None else read_properties(found.properties).get("container_class"))


class Notification(NamedTuple):
    """Something happened to an object; of a gap, only ``event_type`` and ``state`` say anything."""

    event_type: str
    """created, updated, deleted, or gap."""
    object_type: str
    sourcekey: str
    """Identity of the object; empty where only its folder's counts changed and that is gone."""
    folder: str
    """Sourcekey of the folder it is or was in."""
    state: str
    """A state from which ``folder.sync`` tells this change again, with all that followed."""


class Subscription:
    """One sink and what waits for it. ``close`` ends it; so does closing the server."""

    def __init__(self, server: Server, sink: Any, place: Place, wanted: Wanted, most: int = MOST) -> None:
        self._server, self._most = server, most
        self._call: Callable[[Notification], object] = getattr(sink, "update", sink)
        self._waiting: deque[Notification] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="tallystick-sink")
        self._thread.start()
        self._number = server.watch.add(chooser(server, place, wanted), self._add)

    def _add(self, notice: Notice) -> None:
        made = self._notification(notice)
        with self._changed:
            if len(self._waiting) >= self._most:
                first = self._waiting[0]
                self._waiting.clear()
                made = Notification(GAP, "", "", "", first.state)
            elif self._waiting and self._waiting[-1][:4] == made[:4] and made.event_type == Event.UPDATED:
                return  # told already, and from an earlier state
            self._waiting.append(made)
            self._changed.notify_all()

    def _notification(self, notice: Notice) -> Notification:
        server = self._server
        key = "" if notice.entry is None else server.text(notice.entry.key)
        if notice.entry is None:
            key = server.folder_sourcekey(notice.record)
        folder = server.folder_sourcekey(notice.parent) if notice.parent else ""
        state = server.text(State(0, notice.seq - 1).raw())
        return Notification(notice.event.value, NAMES[notice.object], key, folder, state)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                notification = self._waiting.popleft()
            try:
                self._call(notification)
            except BaseException:  # SystemExit too: it would end this thread, and the sink would wait for ever
                self._server.log.exception("a sink raised; it is told of the next change again")

    def close(self) -> None:
        """Tell the sink nothing more. A call that is under way goes on."""
        self._server.watch.remove(self._number)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
