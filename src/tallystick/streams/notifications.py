"""Notifications: what happened to which record, and the state to continue from (issue 3, 3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from tallystick.errors import UsageError
from tallystick.streams.changes import Change


class Event(StrEnum):
    """What happened."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    GAP = "gap"
    """Notifications were dropped, because the sink took them too slowly or the site could not be watched."""


class Notification(NamedTuple):
    """Something happened to a record.

    ``state`` is the state to continue from: whoever reads changes beyond it misses nothing. With GAP it is the state
    behind the last notification before the gap, and ``resource`` and ``key`` are empty.
    """

    event: Event
    resource: str
    key: str
    seq: int
    state: str


def event_of(change: Change) -> Event:
    """What a change is to somebody who watches from now on: new records were born by this very change."""
    if change.deleted:
        return Event.DELETED
    return Event.CREATED if change.born else Event.UPDATED


class Waiting:
    """Notifications that wait for one sink: at most ``most``, one per record.

    A later notification of the same record takes the place of an earlier one. When there is no room, all of them
    become one gap.
    """

    def __init__(self, state: str, most: int) -> None:
        """``state`` is where the sink stands."""
        self._most = most
        self._waiting: OrderedDict[tuple[str, str], Notification] = OrderedDict()
        self._state = state
        self._gap = False

    def __bool__(self) -> bool:
        return self._gap or bool(self._waiting)

    def stand(self, state: str) -> None:
        """Say where the sink stands, before it was told of anything."""
        self._state = self._state or state

    def add(self, notification: Notification) -> None:
        """Queue a notification."""
        name = (notification.resource, notification.key)
        earlier = self._waiting.pop(name, None)
        if earlier is not None:
            notification = notification._replace(event=united(earlier.event, notification.event))
        elif len(self._waiting) >= self._most:
            self.lose()
        self._waiting[name] = notification

    def lose(self) -> None:
        """Everything that waits, and perhaps more, is lost."""
        self._waiting.clear()
        self._gap = True

    def take(self) -> Notification | None:
        """The next notification; None when there is none."""
        if self._gap:
            self._gap = False
            return Notification(Event.GAP, "", "", 0, self._state)
        if not self._waiting:
            return None
        _, notification = self._waiting.popitem(last=False)
        self._state = notification.state
        return notification


def united(earlier: Event, later: Event) -> Event:
    """What two events of one record are together, for somebody who has been told of neither."""
    return Event.CREATED if earlier is Event.CREATED and later is Event.UPDATED else later


def wanted(events: Collection[Event | str] | None) -> frozenset[Event]:
    """The events that were asked for; all when none are named. A gap is always told.

    Raises UsageError for one that is not among them.
    """
    named = [events] if isinstance(events, str) else list(events or Event)
    for name in named:
        if name not in [str(event) for event in Event]:
            raise UsageError(f"there is no event {name!r}", hint="use created, updated or deleted")
    return frozenset(map(Event, named)) | {Event.GAP}
