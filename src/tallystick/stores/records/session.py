"""Transactions on a site's ledger that threads share, one at a time, and numbers that only grow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tallystick.errors import StorageClosed
from tallystick.site.ledger import Ledger
from tallystick.stores.records.layout import ROOM, STEPS
from tallystick.streams.hints import SLOW_POLL_S, Hints, watch


class Session:
    """A ledger with the tables of this room. ``observe`` is called where others may have changed what we derive from.

    Raises ConfigurationError when the tables are of a newer release.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.engine = ledger.engine
        self.observe: Callable[[], None] = lambda: None
        self.forget: list[Callable[[], None]] = []
        """Called when a transaction is undone: what was learnt in it may be wrong."""
        self.commits = 0
        self._lock = threading.RLock()
        self._hints: Hints | None = None
        self._woken = False
        self._depth = 0
        self._reading = False
        self._closed = False
        self._counters: dict[str, int] = {}
        self._changed: set[str] = set()
        ledger.require(ROOM, STEPS)

    # statements ------------------------------------------------------------------------------------------------

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Rows of portable SQL."""
        with self._lock:
            self._open()
            return self.engine.query(sql, parameters)

    def rows_in(self, sql: str, values: Sequence[Any], before: Sequence[Any] = ()) -> list[Any]:
        """Rows of portable SQL with ``IN (*)``."""
        with self._lock:
            self._open()
            return self.engine.query_in(sql, before, values) if values else []

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row, None without one."""
        found = self.rows(sql, parameters)
        return found[0][0] if found else None

    def write(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one writing statement inside a transaction."""
        self.engine.execute(sql, parameters)

    def write_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one writing statement for each of ``rows`` inside a transaction."""
        if rows:
            self.engine.executemany(sql, rows)

    def _open(self) -> None:
        if self._closed:
            raise StorageClosed("the site is closed")

    # transactions ----------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A block committed as one; inner ones join the outer."""
        with self._lock:
            self._open()
            if self._depth:
                yield
                return
            self._depth = 1
            self._counters.clear()
            self._changed.clear()
            try:
                with self.ledger.write():
                    self.observe()
                    yield
                    self._save_counters()
            except BaseException:
                for forget in self.forget:
                    forget()
                raise
            finally:
                self._depth = 0
            self.commits += 1

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A block whose reads all see one moment; inside a transaction, that transaction."""
        with self._lock:
            self._open()
            if self._depth or self._reading:
                yield
                return
            self.look()
            with self.engine.read():
                self._reading = True
                try:
                    yield
                finally:
                    self._reading = False

    def look(self) -> None:
        """Work in what others have changed, if there is anything. Every read begins with it."""
        if self._depth or self._reading:
            return
        with self._lock:
            self._open()
            self.engine.check_in_place()
            if self.behind():
                with self.transaction():
                    pass

    def behind(self) -> bool:
        """True when a resource of ours has changes that were not worked in."""
        return bool(
            self.engine.query(
                "SELECT 1 FROM tally_resource r, tally_stores_counter c WHERE c.name='observed' AND r.seq>c.value "
                "AND r.kind='managed' AND r.wire LIKE 'stores.%' LIMIT 1"
            )
        )

    # numbers ---------------------------------------------------------------------------------------------------

    def counter(self, name: str) -> int:
        """The last number of ``name`` that was given out or noted."""
        found = self._counters.get(name)
        if found is None:
            found = int(self.value("SELECT value FROM tally_stores_counter WHERE name=?", (name,)) or 0)
            if self._depth:
                self._counters[name] = found
        return found

    def take(self, name: str, count: int = 1) -> int:
        """The first of ``count`` fresh numbers, inside a transaction."""
        last = self.counter(name)
        self.note(name, last + count)
        return last + 1

    def note(self, name: str, value: int) -> None:
        """Note ``value`` under ``name``, inside a transaction."""
        if self.counter(name) != value:
            self._counters[name] = value
            self._changed.add(name)

    def seq(self) -> int:
        """A fresh seq of the ledger that no record takes, inside a transaction."""
        self.ledger.seq += 1
        return self.ledger.seq

    def _save_counters(self) -> None:
        if self.counter("observed") < self.ledger.seq:
            self.note("observed", self.ledger.seq)
        self.write_many(
            "INSERT INTO tally_stores_counter AS c (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            [(name, self._counters[name]) for name in sorted(self._changed)],
        )

    # what is new -----------------------------------------------------------------------------------------------

    def version(self) -> int:
        """A number that is another one after any commit of a change."""
        return int(self.value("SELECT value FROM tally_meta WHERE name='seq'"))

    def wait(self, version: int, timeout: float) -> int:
        """Return ``version()`` as soon as it differs from ``version``, at a ``wake``, or after ``timeout`` seconds.

        One thread may wait at a time.
        """
        with self._lock:
            self._open()
            if self._hints is None:
                self._hints = watch(self.engine)
        end = time.monotonic() + timeout
        while (now := self.version()) == version and (left := end - time.monotonic()) > 0 and not self._woken:
            self._hints.wait(min(SLOW_POLL_S, left))
        self._woken = False
        return now

    def wake(self) -> None:
        """Let the ``wait`` that is under way, or else the next one, return."""
        self._woken = True
        if self._hints is not None:
            self._hints.wake()

    def close(self) -> None:
        """Close the database; a second time does nothing."""
        self.wake()
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._hints is not None:
                    self._hints.close()
                self.engine.close()
