"""Subscriptions: sinks that are told of changes as they happen (issue 3, 3).

Every sink has a bounded queue and a thread of its own: one that blocks or raises hurts no other, nor the site.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

from tallystick.errors import UsageError
from tallystick.streams.changes import Change
from tallystick.streams.notifications import Event, Notification, Waiting, event_of, wanted
from tallystick.streams.scopes import StreamScope
from tallystick.streams.watcher import Watcher

Sink = Any
"""Called with each notification: an object with ``update(notification)``, or a function."""
MOST = 1000
"""Notifications that wait for one sink."""
_STUCK_S = 5.0
_log = logging.getLogger("tallystick.streams")


class Subscription:
    """One sink's subscription; ``close`` ends it."""

    def __init__(
        self,
        watcher: Watcher,
        sink: Sink,
        scope: StreamScope,
        token: Callable[[int], str],
        *,
        event_types: Collection[Event | str] | None = None,
        most: int = MOST,
    ) -> None:
        """``token`` makes the state of the scope at a seq.

        Raises UsageError for a sink that cannot be called, an unknown event type or a ``most`` below 1, and
        StorageError when the site cannot be watched.
        """
        self.sink = sink
        tell = getattr(sink, "update", sink)
        if not callable(tell):
            raise UsageError(
                f"{sink!r:.60} cannot be told", hint="pass a function, or an object with update(notification)"
            )
        self._tell: Callable[[Notification], Any] = tell
        if most < 1:
            raise UsageError(f"most={most} leaves no room for a notification", hint="use 1 or more, or leave it out")
        self._scope, self._watcher = scope, watcher
        self._wanted = wanted(event_types)
        self._condition = threading.Condition()
        self._closed = False
        self._waiting = Waiting("", most)
        self._number, seq = watcher.listen(self._offer)
        with self._condition:
            self._waiting.stand(token(seq))
        self._thread = threading.Thread(target=self._run, name="tally-sink", daemon=True)
        self._thread.start()

    def _offer(self, changes: Sequence[Change]) -> None:
        """Queue what the sink wants to know of; runs in the watcher's thread."""
        resources = self._scope.resources
        with self._condition:
            if not changes:
                self._waiting.lose()
            for change in changes:
                if resources and change.resource not in resources:
                    continue
                event = event_of(change)
                if event in self._wanted:
                    state = change.state_in(self._scope.name)
                    self._waiting.add(Notification(event, change.resource, change.key, change.seq, state))
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                notification = self._waiting.take()
            if notification is not None:
                self._call(notification)

    def _call(self, notification: Notification) -> None:
        try:
            self._tell(notification)
        except BaseException:  # SystemExit too: it would end this thread, and the sink would wait for ever
            _log.exception("a sink raised; it is told of the next change again")

    def close(self) -> None:
        """Unsubscribe. A call of the sink that is under way ends first, unless it is stuck. Idempotent."""
        self._watcher.leave(self._number)
        with self._condition:
            self._closed = True
            self._condition.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(_STUCK_S)
