"""Open replicas of one site for a server's threads: each is used by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tallystick.errors import StorageReplaced, TallystickError
from tallystick.sync.local import LocalReplica

KEPT = 4
"""Open replicas kept for later."""


class Pool:
    """Replicas of one site. ``writing`` is held by whoever writes: databases let one writer in at a time anyway."""

    def __init__(self, opening: Callable[[], LocalReplica]) -> None:
        """``opening`` opens the site once more. Nothing is opened yet."""
        self._opening = opening
        self._idle: list[LocalReplica] = []
        self._lock = threading.Lock()
        self._closed = False
        self.writing = threading.Lock()

    def take(self) -> LocalReplica:
        """A replica for the calling thread alone, its catalogue up to date; ``give`` it back. Raises StorageError."""
        replica = self._kept()
        if replica is None:
            with self.writing:
                replica = self._opening()
        try:
            replica.ledger.load()
        except BaseException:
            replica.close()
            raise
        return replica

    def _kept(self) -> LocalReplica | None:
        """One that is idle, if its database is still the one that is at the site's address."""
        while True:
            with self._lock:
                replica = self._idle.pop() if self._idle else None
            if replica is None:
                return None
            try:
                replica.ledger.engine.check_in_place()
                return replica
            except StorageReplaced:
                replica.close()

    def give(self, replica: LocalReplica) -> None:
        """Take a replica back."""
        with self._lock:
            if not self._closed and len(self._idle) < KEPT:
                self._idle.append(replica)
                return
        replica.close()

    @contextmanager
    def borrowed(self) -> Iterator[LocalReplica]:
        """A replica for a while."""
        replica = self.take()
        try:
            yield replica
        except TallystickError:
            self.give(replica)
            raise
        except BaseException:
            replica.close()
            raise
        else:
            self.give(replica)

    def close(self) -> None:
        """Close what is idle, and later what is given back. Idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for replica in idle:
            replica.close()
