"""Notifications as programs written for the original get them (spec ics 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tallystick.compat.kopano.errors import NotSupportedError
from tallystick.stores.notices import Notice
from tallystick.stores.states import State
from tallystick.stores.subscribing import NAMES, Kinds, Place, Wanted, chooser

if TYPE_CHECKING:
    from tallystick.compat.kopano.connection import Server
    from tallystick.stores.objects import Managed


class Notification:
    """Something happened to an object.

    ``object`` is an Item, Folder or Store whose attributes are read when they are asked for, and show what is then.
    """

    def __init__(self, server: Server, notice: Notice) -> None:
        self._server = server
        self._notice = notice
        self.event_type: str = notice.event.value
        self.object_type: str = NAMES[notice.object]
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

    wants = chooser(server, Place(folder, store), wanted)
    sink._conn = server.watch.add(wants, lambda notice: sink.update(Notification(server, notice)))


def unsubscribe(server: Any, sink: Any) -> None:
    """End the subscription of ``sink``. Raises AttributeError for one that never subscribed."""
    server.watch.remove(sink._conn)


__all__ = ["Kinds", "Notification", "Wanted", "subscribe", "unsubscribe"]
