"""Requests that wait until a context changes: one thread hears the hints of the site for all of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from tallystick.protocols.native.pool import Pool
from tallystick.streams.hints import SLOW_POLL_S, Hints, watch

MOST_SECONDS: Final = 25
MOST_WAITERS: Final = 1000
"""Beyond so many a request is answered at once: its client looks from time to time then."""
T = TypeVar("T")


class Waiting:
    """Everybody who waits at one served site."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._waiters: set[_Waiter] = set()
        self._hints: Hints | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    async def until(self, look: Callable[[], Awaitable[T]], is_news: Callable[[T], bool], seconds: float) -> T:
        """What ``look`` gives as soon as that is news, after ``seconds``, or when the server stops."""
        loop = asyncio.get_running_loop()
        end = loop.time() + min(seconds, MOST_SECONDS)
        waiter = _Waiter(loop)
        try:
            while True:
                waiter.heard.clear()
                waits = self._join(waiter)
                found = await look()
                left = end - loop.time()
                if is_news(found) or left <= 0 or not waits:
                    return found
                with suppress(TimeoutError):
                    await asyncio.wait_for(waiter.heard.wait(), left)
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def _join(self, waiter: _Waiter) -> bool:
        """Let a waiter hear what comes from now on; False when there is no waiting (any more)."""
        with self._lock:
            if self._stopped or (waiter not in self._waiters and len(self._waiters) >= MOST_WAITERS):
                return False
            self._waiters.add(waiter)
            if self._thread is None:
                with self._pool.borrowed() as replica:
                    self._hints = watch(replica.ledger.engine)
                self._thread = threading.Thread(
                    target=self._hear, args=(self._hints,), name="tally-waiting", daemon=True
                )
                self._thread.start()
            return True

    def _hear(self, hints: Hints) -> None:
        while not self._stopped:
            hints.wait(SLOW_POLL_S)
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            waiters = list(self._waiters)
        for waiter in waiters:
            waiter.tell()

    def stop(self) -> None:
        """The server begins to stop: everybody is answered. May be called by any thread."""
        self._stopped = True
        self._tell()

    def close(self) -> None:
        """Let go of the thread. Idempotent."""
        self.stop()
        if self._hints is not None and self._thread is not None:
            self._hints.wake()
            self._thread.join()
            self._hints.close()
            self._thread = self._hints = None


class _Waiter:
    """One request: told by the thread that hears, awake in the loop that serves it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.heard = asyncio.Event()

    def tell(self) -> None:
        with suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(self.heard.set)
