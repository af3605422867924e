"""Passing the hints of a site's database on to a carrier, for readers that cannot watch the database themselves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tallystick.errors import TallystickError
from tallystick.site.ledger import Ledger
from tallystick.streams.hints import ANYTHING, SLOW_POLL_S, Hints, Tee, Teller, watch

_PAUSE_S = 1.0
_log = logging.getLogger("tallystick.streams")


class HintTelling:
    """A thread that watches a site and tells what it hears, from ``start`` to ``close``."""

    def __init__(self, opening: Callable[[], Ledger], teller: Teller) -> None:
        """``opening`` opens the site for the thread alone, which closes it at its end."""
        self._opening, self._teller = opening, teller
        self._closing = threading.Event()
        self._hints: Hints | None = None
        self._thread = threading.Thread(target=self._run, name="tally-telling", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End. Idempotent."""
        self._closing.set()
        if self._hints is not None:
            self._hints.wake()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                ledger = self._opening()
                try:
                    self._tell(ledger)
                finally:
                    ledger.engine.close()
            except TallystickError as error:
                _log.warning("hints are not passed on for a moment: %s", error)
                self._closing.wait(_PAUSE_S)

    def _tell(self, ledger: Ledger) -> None:
        self._hints = Tee(watch(ledger.engine), [self._teller])
        self._teller.tell(ANYTHING)  # whatever happened before anybody watched
        try:
            while not self._closing.is_set():
                self._hints.wait(SLOW_POLL_S)
                ledger.engine.check_in_place()
        finally:
            self._hints.close()
