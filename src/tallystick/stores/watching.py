"""Live notifications: one thread that looks at the log after every commit, whoever made it, and calls the sinks.

All sinks of one server are called from this thread, one after the other. What a sink raises is logged and hurts no
other one, nor the next call.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tallystick.errors import StorageClosed, StorageError, StorageReplaced
from tallystick.stores.notices import Notice, notices_after
from tallystick.stores.port import SERVER, Records

_PATIENCE = 5.0
"""Seconds after which the thread looks although nothing woke it."""

_PAUSE_S = 1.0
"""Seconds after which a database that could not be used is tried again."""

_STUCK = 5.0
"""Seconds that unsubscribing waits for a call under way: a sink may itself wait for whoever unsubscribes it."""


@dataclass(frozen=True)
class Subscription:
    """Who is to be told: ``tell`` is called with every notice beyond ``seq`` that ``wants`` accepts."""

    number: int
    seq: int
    wants: Callable[[Notice], bool]
    tell: Callable[[Notice], None]


class Watch:
    """The subscriptions of one server and the thread that serves them. The thread starts with the first one."""

    def __init__(self, records: Records, log: logging.Logger) -> None:
        self._records = records
        self._log = log
        self._changed = threading.Condition()
        self._subscriptions: dict[int, Subscription] = {}
        self._last_number = 0
        self._called = 0
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._ended = threading.Event()

    def add(self, wants: Callable[[Notice], bool], tell: Callable[[Notice], None]) -> int:
        """Subscribe to what happens from now on; the number to unsubscribe with."""
        seq, version = self._records.last(), self._records.version()
        with self._changed:
            self._last_number += 1
            self._subscriptions[self._last_number] = Subscription(self._last_number, seq, wants, tell)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(seq, version), daemon=True, name="tallystick-notifications"
                )
                self._thread.start()
            return self._last_number

    def remove(self, number: int) -> None:
        """Unsubscribe. A call of that sink that is under way ends first, unless the sink itself asks, or is stuck."""
        with self._changed:
            self._subscriptions.pop(number, None)
            if self._thread is not threading.current_thread():
                self._changed.wait_for(lambda: self._called != number, _STUCK)

    def close(self) -> None:
        """End all subscriptions and the thread."""
        with self._changed:
            self._stopped = True
            self._subscriptions.clear()
        self._ended.set()
        self._records.wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, seq: int, version: int) -> None:
        interrupted = False
        while not self._stopped:
            try:
                if interrupted:
                    with self._records.transaction():  # makes a lost connection again
                        interrupted = False
                seq = self._look(seq)
                version = self._records.wait(version, _PATIENCE)
            except (StorageClosed, StorageReplaced) as error:
                if not self._stopped:
                    self._log.error("notifications have ended: %s", error)
                return
            except StorageError as error:
                self._log.warning("notifications are interrupted: %s", error)
                interrupted = True
                self._ended.wait(_PAUSE_S)

    def _look(self, seq: int) -> int:
        """Tell everybody what happened beyond ``seq``; the seq reached."""
        entries = self._records.entries(SERVER, seq)
        for notice in notices_after(entries, seq):
            with self._changed:
                chosen = [one for one in self._subscriptions.values() if one.seq < notice.seq]
            for subscription in chosen:
                self._tell(subscription, notice)
        return max([seq, *(entry.latest for entry in entries)])

    def _tell(self, subscription: Subscription, notice: Notice) -> None:
        with self._changed:
            if subscription.number not in self._subscriptions:
                return
            self._called = subscription.number
        try:
            if subscription.wants(notice):
                subscription.tell(notice)
        except BaseException:  # SystemExit too: it would end this thread, and with it every subscription
            self._log.exception("a sink raised; it is told of the next change again")
        finally:
            with self._changed:
                self._called = 0
                self._changed.notify_all()
