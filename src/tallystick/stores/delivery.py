"""Telling an importer: the callbacks, and what happens when one raises (spec ics 1.1, 3.7, 3.8).

Callbacks run in the thread that called, one after the other. What an importer refuses is logged, counted and parked,
never dropped without a trace; what cannot be read for a while is tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TypeVar

from tallystick.errors import TallystickError, UsageError
from tallystick.streams.refused import reason_of, trace_of

OnError = Literal["log", "raise", "retry"]
"""What to do with an exception out of a callback: log, count and park; let it out; try the callback again first."""

ON_ERROR = ("log", "raise", "retry")
Importer = Any
"""Any object with some of ``update``, ``delete`` and ``read``. Programs pass what they have, so no base class."""

_FIRST_PAUSE = 0.4
_LONGEST_PAUSE = 6.4
_TRIES = 6

_Value = TypeVar("_Value")


class Patience:
    """Pauses that double, for one synchronization; ``sleep`` is there for tests."""

    def __init__(self, log: logging.Logger, sleep: Callable[[float], None] = time.sleep) -> None:
        self.log = log
        self._sleep = sleep
        self._pause = _FIRST_PAUSE

    def transient(self, action: Callable[[], _Value], what: str) -> _Value:
        """The result of ``action``, tried up to six times while its error is transient. Raises the last one."""
        return self._insist(action, what, lambda error: isinstance(error, TallystickError) and error.transient)

    def always(self, action: Callable[[], _Value], what: str) -> _Value:
        """The result of ``action``, tried up to six times. Raises the last error."""
        return self._insist(action, what, lambda error: True)

    def _insist(self, action: Callable[[], _Value], what: str, curable: Callable[[Exception], bool]) -> _Value:
        for _ in range(_TRIES - 1):
            try:
                return action()
            except Exception as error:
                if not curable(error):
                    raise
                self.log.warning("%s failed, trying again in %.1f s: %s", what, self._pause, error)
            self._sleep(self._pause)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return action()


class Delivery:
    """One synchronization's way of calling its importer.

    ``unnoticed`` are exceptions that an importer's ``update`` may raise without being counted: what it was told of was
    gone already. ``stats`` is counted in under ``errors``, which is created when missing. Raises UsageError for an
    unknown ``on_error``.
    """

    def __init__(
        self,
        importer: Importer,
        *,
        log: logging.Logger,
        stats: MutableMapping[str, int] | None = None,
        on_error: OnError = "log",
        unnoticed: tuple[type[BaseException], ...] = (),
        patience: Patience | None = None,
    ) -> None:
        if on_error not in ON_ERROR:
            raise UsageError(f"on_error={on_error!r} is unknown", hint=f"use one of {', '.join(ON_ERROR)}")
        self._importer = importer
        self._log = log
        self._stats = stats
        self._on_error = on_error
        self._unnoticed = unnoticed
        self.patience = patience or Patience(log)
        self.refused: list[tuple[str, str, str]] = []
        """What the importer would not take: sourcekey, callback, why."""

    def wants(self, callback: str) -> bool:
        """True when the importer has that callback."""
        return hasattr(self._importer, callback)

    def tell(self, callback: str, told: Any, *rest: Any) -> None:
        """Call ``callback`` of the importer, if it has it. Raises only with ``on_error="raise"``."""
        method = getattr(self._importer, callback, None)
        if method is None:
            return
        try:
            if self._on_error == "retry":
                self.patience.always(lambda: method(told, *rest), callback)
            else:
                method(told, *rest)
        except Exception as error:
            self._refused(callback, told, error)

    def _refused(self, callback: str, told: Any, error: Exception) -> None:
        if callback == "update" and isinstance(error, self._unnoticed):
            self._log.debug("what was to be updated is gone or may not be read: %s", error)
            return
        if self._on_error == "raise":
            raise error
        reason = reason_of(error)
        self._log.error("the importer's %s raised %s\n%s", callback, reason, trace_of(error))
        if self._stats is not None:
            self._stats["errors"] = self._stats.get("errors", 0) + 1
        self.refused.append((told.sourcekey, callback, reason))


def attach_store(importer: Importer, store: object) -> None:
    """Set ``importer.store``, as programs expect; importers that take no attributes stay as they are."""
    try:
        importer.store = store
    except (AttributeError, TypeError):
        return
