"""Hearing that a context elsewhere has changed, in a thread (DESIGN.md 4.10): what starts the next run of a watch.

A change that is not heard costs time only: a run comes from time to time anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tallystick.contexts.host import ContextHost
from tallystick.errors import TallystickError

LOOK_SECONDS = 25.0
"""How long one request waits for news."""
RETRY_SECONDS = 2.0


class ContextWatch:
    """Listens to one context from the first call of ``heard`` on. ``opening`` makes a host for its thread alone."""

    def __init__(self, opening: Callable[[], ContextHost], name: str) -> None:
        self._opening = opening
        self._name = name
        self._news = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="tally-watch", daemon=True)

    def heard(self) -> bool:
        """True when something has changed, or may have, since the last call."""
        if self._thread.ident is None:
            self._thread.start()
        if not self._news.is_set():
            return False
        self._news.clear()
        return True

    def close(self) -> None:
        """Stop listening. The thread ends with the request that it waits for."""
        self._ended.set()

    def _listen(self) -> None:
        host = self._opening()
        try:
            known = ""
            while not self._ended.is_set():
                known = self._look(host, known)
        finally:
            host.close()

    def _look(self, host: ContextHost, known: str) -> str:
        """Wait for another version than the known one; gives the one that is current then."""
        try:
            found = host.changed(self._name, known, LOOK_SECONDS).version
        except TallystickError:
            self._ended.wait(RETRY_SECONDS)
            return ""  # whatever is there when it answers again is news
        if found != known:
            self._news.set()
        return found
