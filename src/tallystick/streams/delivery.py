"""Delivering changes to an importer (issue 3, 1; the contract is spec ics 1.1, with its holes closed).

An importer is any object with some of ``update(change, flags)``, ``delete(change, flags)`` and ``read(change, flag)``,
and perhaps ``held(resource)`` (see ``resuming.Held``). Callbacks run in the caller's thread, one after the other. The
rows of tables have no read flag, so ``read`` is called for items of the object model only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Literal

from tallystick.errors import UsageError
from tallystick.site.ledger import Ledger
from tallystick.streams.changes import Change
from tallystick.streams.reading import changes_of
from tallystick.streams.refused import park, refused, settle, trace_of
from tallystick.streams.resuming import Resync
from tallystick.streams.scopes import StreamScope
from tallystick.streams.stream import Changes

OnError = Literal["log", "raise", "retry", "park"]
"""What happens when a callback raises. ``log``: the error is logged and counted and the delivery parked, and the rest
goes on. ``park``: the same without a log entry. ``retry``: the callback is tried again, with growing pauses, before it
is parked. ``raise``: the error comes out of ``deliver``, with ``state`` set on it to where the reader stands."""
Importer = Any

ON_ERROR = ("log", "raise", "retry", "park")
PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6)
_log = logging.getLogger("tallystick.streams")


class Reached(str):
    """The state that a delivery reached. ``has_more``: ``max_changes`` cut it short."""

    has_more: bool = False


def deliver(
    ledger: Ledger,
    scope: StreamScope,
    importer: Importer,
    state: str | None = None,
    *,
    consumer: str = "",
    on_error: OnError = "log",
    max_changes: int | None = None,
    resync: Resync = "",
    retry_parked: bool = False,
    stats: MutableMapping[str, int] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Reached:
    """Tell ``importer`` what changed beyond ``state``; returns the state reached, identical when nothing happened.

    ``consumer`` names who is told, for the list of parked deliveries; with ``retry_parked`` his are tried first.
    ``stats`` is counted in: ``changes``, ``deletes``, ``errors``. Raises what ``Changes`` raises, UsageError for an
    unknown ``on_error``, and what the importer raises with ``on_error`` "raise". BaseException always comes out at
    once.
    """
    if on_error not in ON_ERROR:
        raise UsageError(f"on_error={on_error!r} is unknown", hint=f"use one of {', '.join(ON_ERROR)}")
    held = getattr(importer, "held", None)
    changes = Changes(ledger, scope, state, max_changes=max_changes, resync=resync, held=held)
    telling = _Telling(ledger, importer, consumer, on_error, stats, sleep)
    if retry_parked:
        telling.again(scope)
    tell, give = telling.tell, changes.give
    try:
        for chunk in changes.chunks():
            for change in chunk:
                tell(change)
                give(change)
    except Exception as error:
        if on_error == "raise":
            error.state = changes.state  # type: ignore[attr-defined]
        raise
    reached = Reached(changes.state)
    reached.has_more = changes.has_more
    return reached


class _Telling:
    """Calls the callbacks of one importer."""

    def __init__(
        self,
        ledger: Ledger,
        importer: Importer,
        consumer: str,
        on_error: OnError,
        stats: MutableMapping[str, int] | None,
        sleep: Callable[[float], None],
    ) -> None:
        self._ledger, self._consumer, self._on_error, self._sleep = ledger, consumer, on_error, sleep
        self._stats = stats
        self._update = getattr(importer, "update", None)
        self._delete = getattr(importer, "delete", None)
        self._parked = dict.fromkeys((item.resource, item.key) for item in refused(ledger, consumer))

    def again(self, scope: StreamScope) -> None:
        """Try what is parked once more, as it is now."""
        for wire in sorted({resource for resource, _ in self._parked}):
            if self._ledger.has(wire) and (not scope.resources or wire in scope.resources):
                keys = [key for resource, key in self._parked if resource == wire]
                for change in changes_of(self._ledger, scope, self._ledger.resource(wire), keys).values():
                    self.tell(change)

    def tell(self, change: Change) -> None:
        """Tell one change. Raises only with ``on_error`` "raise"."""
        callback = self._delete if change.deleted else self._update
        if callback is not None:
            try:
                callback(change, change.flags)
            except Exception as error:
                if self._on_error == "raise":
                    raise
                self._failed(callback, change, error)
                return
        if self._parked or self._stats is not None:
            self._note(change)

    def _note(self, change: Change) -> None:
        """Count a delivery that succeeded, and settle one of the record that was parked before."""
        self._count("deletes" if change.deleted else "changes")
        if self._parked and (change.resource, change.key) in self._parked:
            del self._parked[change.resource, change.key]
            settle(self._ledger, self._consumer, change.resource, change.key)

    def _failed(self, callback: Callable[..., Any], change: Change, error: Exception) -> None:
        name = "delete" if change.deleted else "update"
        if self._on_error == "retry":
            for pause in PAUSES_S:
                self._sleep(pause)
                try:
                    callback(change, change.flags)
                except Exception as again:
                    error = again
                else:
                    self._note(change)
                    return
        if self._on_error != "park":
            where = (name, change.resource, change.key)
            _log.error("%s of %s %r was refused and is parked\n%s", *where, trace_of(error))
        self._count("errors")
        self._parked[change.resource, change.key] = None
        park(self._ledger, self._consumer, change, name, error)

    def _count(self, name: str) -> None:
        if self._stats is not None:
            self._stats[name] = self._stats.get(name, 0) + 1
