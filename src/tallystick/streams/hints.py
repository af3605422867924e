"""Hints: "resource r is at seq n" (DESIGN.md 2 *hint*, 6).

A hint wakes somebody who then looks for himself. It may be lost, doubled or late, and carries no data; so whoever
waits for hints also looks from time to time without one (``SLOW_POLL_S``).

``watch`` gives the hints of a site's own database, whoever writes to it: SQLite by watching the file, PostgreSQL by
LISTEN/NOTIFY. ``Signal`` passes hints between threads. ``streams.carriers`` passes them through NATS and Redis.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from tallystick.site.engines.engine import Engine

SLOW_POLL_S = 1.0
"""Seconds after which a follower looks without having been given a hint."""


class Hint(NamedTuple):
    """Something changed in ``resource`` (wire name; "" for any of them).

    ``seq`` is how far the resource has been stamped; 0 when the change is not stamped yet, or not known.
    """

    resource: str
    seq: int = 0


ANYTHING = Hint("")
"""Hints may have been lost: look everywhere."""


class Hints(Protocol):
    """Where hints come from. Every method may be called by any thread; only one waits at a time."""

    def wait(self, timeout: float) -> list[Hint]:
        """Hints that came since the last call; waits for the first one, [] after ``timeout`` seconds or ``wake``.

        A source that lost its connection finds it again by itself and then gives ``ANYTHING``. Raises nothing that
        goes away by itself.
        """

    def wake(self) -> None:
        """Let the ``wait`` that is under way, or else the next one, return."""

    def close(self) -> None:
        """Let go of files and connections; a ``wait`` under way returns. Idempotent."""


class Teller(Protocol):
    """Where hints go."""

    def tell(self, hint: Hint) -> None:
        """Pass a hint on. Never raises: a lost hint costs latency, nothing else."""


def watch(engine: Engine) -> Hints:
    """Hints of the database behind ``engine``, on a connection of their own.

    Raises StorageError or ConfigurationError when the database cannot be opened a second time.
    """
    if engine.dialect == "sqlite":
        from tallystick.site.engines.sqlite import SQLiteEngine
        from tallystick.streams.sqlite_hints import SQLiteHints

        assert isinstance(engine, SQLiteEngine)
        return SQLiteHints(engine.path)
    from tallystick.site.engines.postgresql import PostgreSQLEngine
    from tallystick.streams.postgresql_hints import PostgreSQLHints

    assert isinstance(engine, PostgreSQLEngine)
    return PostgreSQLHints(engine)


class Signal:
    """Hints between threads of one process: what is told comes out of ``wait``, once per resource."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._pending: dict[str, int] = {}
        self._woken = False

    def tell(self, hint: Hint) -> None:
        """Pass a hint on."""
        with self._condition:
            self._pending[hint.resource] = max(hint.seq, self._pending.get(hint.resource, 0))
            self._condition.notify()

    def wait(self, timeout: float) -> list[Hint]:
        """See ``Hints.wait``."""
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._woken, timeout)
            found, self._pending, self._woken = self._pending, {}, False
        return [Hint(resource, seq) for resource, seq in found.items()]

    def wake(self) -> None:
        """See ``Hints.wake``."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def close(self) -> None:
        """See ``Hints.close``."""
        self.wake()


class Tee:
    """Hints that are also passed on: to a carrier that others listen to."""

    def __init__(self, hints: Hints, tellers: Iterable[Teller]) -> None:
        self._hints = hints
        self._tellers = tuple(tellers)

    def wait(self, timeout: float) -> list[Hint]:
        """See ``Hints.wait``."""
        found = self._hints.wait(timeout)
        for hint in found:
            for teller in self._tellers:
                teller.tell(hint)
        return found

    def wake(self) -> None:
        """See ``Hints.wake``."""
        self._hints.wake()

    def close(self) -> None:
        """See ``Hints.close``."""
        self._hints.close()
