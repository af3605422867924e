"""One SQLite database: its connection, transactions, counters, and how a commit is noticed."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tallystick.errors import StorageCorrupt, StorageError, StorageFull, StorageLocked
from tallystick.stores.sqlite.schema import COUNTERS, FORMAT, TABLES

_LOOK = 0.004
"""Seconds between two looks for commits of other processes."""


class Database:
    """A connection that threads share, one at a time.

    ``path`` is a file (created when missing) or ":memory:". With ``durable`` a commit is on the disk when it returns;
    without, the last ones may be lost when the machine (not the process) stops.
    """

    def __init__(self, path: str, durable: bool = True, patience: float = 30.0) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._counters: dict[str, int] = {}
        self.commits = 0
        """How many transactions were committed through this object."""
        self._committed = threading.Condition()
        with translated(path):
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=patience
            )
        try:
            self._prepare(durable)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, durable: bool) -> None:
        with translated(self.path):
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            self._connection.execute("PRAGMA cache_size = -65536")
        with self.transaction():
            if not self.all("SELECT 1 FROM sqlite_master WHERE name = 'tally_store_meta'"):
                self._create()
        found = self.value("SELECT value FROM tally_store_meta WHERE name = 'format'")
        if found != FORMAT:
            raise StorageError(
                f"{self.path} keeps its stores in format {found}, this version knows {FORMAT}",
                hint="open it with the version of Tallystick that wrote it",
            )

    def _create(self) -> None:
        for statement in TABLES.split(";"):
            if statement.strip():
                self._connection.execute(statement)
        rows = [("format", FORMAT), ("identity", secrets.token_bytes(16)), *((name, 0) for name in COUNTERS)]
        self._connection.executemany("INSERT INTO tally_store_meta VALUES (?, ?)", rows)

    # statements ------------------------------------------------------------------------------------------------

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Every row of a query."""
        with self._lock, translated(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row, None without one."""
        with self._lock, translated(self.path):
            row = self._connection.execute(sql, parameters).fetchone()
        return None if row is None else row[0]

    def write(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one writing statement inside a transaction; how many rows it touched."""
        with translated(self.path):
            return self._connection.execute(sql, parameters).rowcount

    def write_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one writing statement for each of ``rows`` inside a transaction."""
        with translated(self.path):
            self._connection.executemany(sql, rows)

    # transactions ----------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A block committed as one; inner ones join the outer."""
        with self._lock:
            self._begin()
            try:
                yield
            except BaseException:
                self._roll_back()
                raise
            self._commit()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A block whose reads all see one moment; inside a transaction, that transaction."""
        with self._lock:
            if self._depth:
                yield
                return
            self._begin("BEGIN")
            try:
                yield
            finally:
                self._roll_back()

    def _begin(self, statement: str = "BEGIN IMMEDIATE") -> None:
        if self._depth == 0:
            with translated(self.path):
                self._connection.execute(statement)
            self._counters = {}
        self._depth += 1

    def _roll_back(self) -> None:
        self._depth -= 1
        if self._depth == 0 and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _commit(self) -> None:
        self._depth -= 1
        if self._depth:
            return
        try:
            if self._counters:
                rows = [(value, name) for name, value in self._counters.items()]
                self.write_many("UPDATE tally_store_meta SET value = ? WHERE name = ?", rows)
            with translated(self.path):
                self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        with self._committed:
            self.commits += 1
            self._committed.notify_all()

    def take(self, counter: str, count: int = 1) -> int:
        """The first of ``count`` fresh numbers, inside a transaction."""
        last = self._counters.get(counter)
        if last is None:
            last = int(self.value("SELECT value FROM tally_store_meta WHERE name = ?", (counter,)))
        self._counters[counter] = last + count
        return last + 1

    # what is new -----------------------------------------------------------------------------------------------

    def version(self) -> int:
        """A number that is another one after any commit."""
        with self._lock, translated(self.path):
            others = self._connection.execute("PRAGMA data_version").fetchone()[0]
            return int(others) << 40 | self.commits

    def wait(self, version: int, timeout: float) -> int:
        """Return ``version()`` as soon as it differs from ``version``, or after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while (now := self.version()) == version and (left := end - time.monotonic()) > 0:
            with self._committed:
                if self.commits == version & ((1 << 40) - 1):
                    self._committed.wait(min(_LOOK, left))
        return now

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        with self._lock:
            self._connection.close()


@contextmanager
def translated(path: str) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StorageLocked(f"another program keeps {path} locked") from error
        if code == sqlite3.SQLITE_FULL:
            raise StorageFull(f"no space left to write {path}") from error
        raise StorageError(f"{path} cannot be used: {error}") from error
    except sqlite3.ProgrammingError as error:
        raise StorageError(f"{path} is closed", hint="open it again") from error
    except sqlite3.DatabaseError as error:
        raise StorageCorrupt(f"{path} cannot be read: {error}") from error
