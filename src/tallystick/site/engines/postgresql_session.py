"""A connection to PostgreSQL: statements, transactions, locks (DESIGN.md 4.2, 4.3).

A write transaction is *frozen*: its snapshot (REPEATABLE READ) is taken after the stamping lock, so marks, rows and
ledger are read as of one moment and no row that somebody changed meanwhile can be overwritten unseen. Only where
capture has to be installed is it *fresh* (READ COMMITTED), because rows must be read after their table was locked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from tallystick.errors import StorageClosed, StorageError, StorageLocked, TallystickError
from tallystick.site.engines import postgresql_driver as driver
from tallystick.site.engines.engine import Rejected
from tallystick.site.engines.postgresql_copy import copied
from tallystick.site.engines.postgresql_sql import array, loaded, spelled, translated, untyped

if TYPE_CHECKING:
    import psycopg

LOCK_TIMEOUT_S = 30.0
"""How long a write waits for the stamping lock, or for an application's rows, before it gives up."""
_HOLDING_TIMEOUT_MS = 250
"""How long it waits for an application's lock while it holds ours: less than deadlock_timeout, so we give way."""
_DDL_TIMEOUT_S = 10.0
_PAUSE_S = 0.05


class PostgreSQLSession:
    """One connection. Subclasses say what a write locks (``_prepared_lock``) and what a new connection needs."""

    def __init__(self, url: str) -> None:
        """Connect. Raises ConfigurationError for a bad URL or a missing driver, StorageError when refused."""
        self._target = driver.target(url)
        self.name = self._target.name
        self._psycopg = driver.driver()
        self.connection = driver.connect(self._target)
        self.generation = 0
        """Counts what may have undone or outdated a temporary table."""
        self._depth = 0
        self._cursors = 0
        self._frozen = False
        self._steady: tuple[str, ...] | None = None
        """Tables, as SQL text, that nobody may rewrite or drop while a snapshot is open; None: not known yet."""
        self._first: list[tuple[str, Sequence[Any]]] = []
        self._delayed: list[bytes] = []
        """Statements of the transaction under way that are sent with the next one, or with the commit."""
        self._closed = False

    # What subclasses add

    def _opened(self) -> None:
        """Called when a lost connection was opened again."""

    def _prepared_lock(self) -> str:
        """Called before a write begins: sets ``_frozen`` and returns the statement that takes the stamping lock."""
        raise AssertionError("an engine says what its stamping lock is")

    def _know_steady(self) -> None:
        """Called before a snapshot is opened: sets ``_steady`` when it is None."""

    # Statements

    def native(self, sql: str, parameters: Sequence[Any] = (), *, refusals: bool = False) -> list[tuple[Any, ...]]:
        """Rows of PostgreSQL's own SQL with ``$1`` placeholders. ``refusals``: what lies in the data is Rejected."""
        with self._named_errors(refusals), self._cursor() as cursor:
            cursor.execute(sql.encode(), parameters or None, binary=True)
            return cursor.fetchall() if cursor.description else []

    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """The number of rows that a statement of PostgreSQL's own SQL wrote. Refused rows raise Rejected."""
        with self._named_errors(True), self._cursor() as cursor:
            cursor.execute(sql.encode(), parameters or None)
            return cursor.rowcount

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """The number of rows that one statement wrote for all parameter ``rows``. Refused rows raise Rejected."""
        with self._named_errors(True), self._cursor() as cursor:
            cursor.executemany(sql.encode(), rows)
            return cursor.rowcount

    def copy(self, sql: bytes, columns: Sequence[Sequence[Any]], *, refusals: bool = False) -> int:
        """The number of rows that ``COPY ... FROM STDIN`` took; they are given as columns of equal length."""
        with self._named_errors(refusals), self._cursor() as cursor:
            try:
                with cursor.copy(sql) as sink:
                    sink.write(copied(columns))
            except ValueError as error:
                if isinstance(error, UnicodeEncodeError):
                    raise
                raise StorageError(  # psycopg expects one error at the end of COPY
                    f"{self.name}: the server ended a COPY with several errors at once, as it does on a full disk",
                    hint="look at its log, make room on its disk, and run again: what was committed stays",
                ) from error
            return cursor.rowcount

    def stream(self, sql: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of PostgreSQL's own SQL, ``size`` at a time, through a cursor of the server."""
        self._cursors += 1
        name = f"tally_{self._cursors}"
        with self.read(), self._named_errors(False), self._psycopg.RawServerCursor(self.connection, name) as cursor:
            self._send_delayed()
            cursor.execute(sql.encode(), None, binary=True)
            while rows := cursor.fetchmany(size):
                yield rows

    def later_native(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """See ``later``, for PostgreSQL's own SQL with ``$1`` placeholders."""
        self._delayed.append(spelled(sql.encode(), parameters))
        if not self._depth:
            with self._named_errors(False):
                self._send_delayed()

    def _send_delayed(self) -> None:
        if self._delayed:
            delayed, self._delayed = self._delayed, []
            self.connection.execute(b"; ".join(delayed))

    def _cursor(self) -> psycopg.RawCursor[tuple[Any, ...]]:
        self._send_delayed()
        cursor: psycopg.RawCursor[tuple[Any, ...]] = self._psycopg.RawCursor(self.connection)
        return cursor

    @contextmanager
    def _named_errors(self, refusals: bool) -> Iterator[None]:
        try:
            yield
        except (self._psycopg.Error, UnicodeEncodeError) as error:
            found = driver.refused(error, self.name) if refusals else driver.storage(error, self.name)
            raise found from error

    # Portable SQL

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run portable SQL."""
        statement = translated(sql)
        with self._named_errors(not statement.ours), self._cursor() as cursor:
            cursor.execute(statement.sql, untyped(parameters, statement.ours) or None)

    def later(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run portable SQL on our tables together with the next statement, or with the commit."""
        self.later_native(translated(sql).sql.decode(), parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run portable SQL for each of ``rows``."""
        statement = translated(sql)
        with self._named_errors(not statement.ours), self._cursor() as cursor:
            cursor.executemany(statement.sql, [untyped(row, statement.ours) for row in rows])

    def limit_cache(self, kibibytes: int) -> None:
        """See ``Engine.limit_cache``: the server keeps it."""

    def insert_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """See ``Engine.insert_many``: rows travel together already."""
        self.executemany(sql, rows)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of portable SQL."""
        statement = translated(sql)
        with self._named_errors(not statement.ours), self._cursor() as cursor:
            cursor.execute(statement.sql, untyped(parameters, statement.ours) or None)
            rows = cursor.fetchall()
        return loaded(rows) if statement.ours else rows

    def query_in(self, sql: str, before: Sequence[Any], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows of portable SQL with ``IN (*)``; values that the column's type cannot hold equal nothing."""
        if not values:
            return []
        statement = translated(sql)
        if statement.ours:
            return loaded(self._query_in(statement.sql, untyped(before), values, True))
        try:
            with self.savepoint() if self._depth else nullcontext():
                return self._query_in(statement.sql, untyped(before, False), values, False)
        except Rejected:
            half = len(values) // 2
            if not half:
                return []
            return [*self.query_in(sql, before, values[:half]), *self.query_in(sql, before, values[half:])]

    def _query_in(self, sql: bytes, before: list[Any], values: Sequence[Any], ours: bool) -> list[tuple[Any, ...]]:
        with self._named_errors(not ours), self._cursor() as cursor:
            cursor.execute(sql, [*before, array(values, ours)])
            return cursor.fetchall()

    # Transactions

    @property
    def writing(self) -> bool:
        """True inside ``write``."""
        return self._depth > 0

    @property
    def _idle(self) -> bool:
        return bool(self.connection.info.transaction_status == self._psycopg.pq.TransactionStatus.IDLE)

    @contextmanager
    def read(self) -> Iterator[None]:
        """A read snapshot under which no table can be rewritten, or nothing inside a transaction."""
        if self._depth or not self._reopened_idle():
            yield
            return
        self._know_steady()
        self._begin("READ ONLY", "", LOCK_TIMEOUT_S)
        try:
            yield
        finally:
            self._end("COMMIT")

    @contextmanager
    def write(self, reading: Sequence[str] = ()) -> Iterator[list[list[tuple[Any, ...]]]]:
        """A transaction that holds the stamping lock, with the rows of ``lock_rows`` locked.

        ``reading``, portable SQL without parameters, is sent with its beginning; given are the rows of each.
        Raises StorageLocked when a lock cannot be had in time or somebody changed a row of ours meanwhile (run the
        same step again), StorageError when the commit is refused or the connection is lost.
        """
        if self._depth:
            yield [self.query(sql) for sql in reading]
            return
        self._reopened_idle()
        found = self._start_writing([translated(sql).sql.decode() for sql in reading])
        self._depth = 1
        try:
            yield found
            self._commit()
        except BaseException:
            self._end("ROLLBACK")
            raise
        finally:
            self._depth = 0
            self._first = []

    def _commit(self) -> None:
        if self.connection.info.transaction_status != self._psycopg.pq.TransactionStatus.INTRANS:
            raise StorageError(f"{self.name}: a statement of this transaction failed, so it cannot be committed")
        try:
            delayed, self._delayed = self._delayed, []
            self.connection.execute(b"; ".join([*delayed, b"COMMIT"]))
        except self._psycopg.Error as error:
            found = driver.storage(error, self.name)
            if isinstance(found, Rejected):
                hint = "a deferred constraint is not satisfied; nothing of this transaction was applied"
                found = StorageError(f"{self.name} refused the commit: {found}", hint=hint)
            raise found from error

    def _start_writing(self, reading: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Begin a transaction that holds the stamping lock and the rows that are to be locked first.

        Returns the rows of ``reading``.
        """
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            left = max(deadline - time.monotonic(), 0.001)
            lock = self._prepared_lock()
            try:
                found = self._begin("READ WRITE", lock, left, reading)
                self._lock_first("NOWAIT")
            except StorageLocked:
                self._end("ROLLBACK")
                if not self._first or time.monotonic() >= deadline:
                    raise
                self._wait_for_rows()
            else:
                return found

    def _begin(self, mode: str, lock: str, patience: float, reading: Sequence[str] = ()) -> list[list[tuple[Any, ...]]]:
        """Begin; take the locks that keep tables from being rewritten, then ``lock``; the snapshot comes after both.

        Returns the rows of ``reading``, which are read last.
        """
        isolated = mode == "READ ONLY" or self._frozen
        statements = [
            f"BEGIN ISOLATION LEVEL {'REPEATABLE READ' if isolated else 'READ COMMITTED'} {mode}",
            f"SET LOCAL lock_timeout = {max(int(patience * 1000), 1)}",
        ]
        if isolated and self._steady:
            statements.append(f"LOCK TABLE {', '.join(self._steady)} IN ACCESS SHARE MODE")
        if lock:
            statements.append(lock)
        statements.append(f"SET LOCAL lock_timeout = {_HOLDING_TIMEOUT_MS}")
        try:
            with self._named_errors(False):
                cursor = self.connection.execute("; ".join([*statements, *reading]).encode())
                return _last_rows(cursor, len(reading))
        except TallystickError as error:
            self._end("ROLLBACK")
            if not (self._steady and isinstance(error.__cause__, self._psycopg.errors.UndefinedTable)):
                raise
            self._steady = ()
            return self._begin(mode, lock, patience, reading)

    def _lock_first(self, wait: str) -> None:
        for sql, parameters in self._first:
            self.native(f"{sql} {wait}", parameters)

    def _wait_for_rows(self) -> None:
        """Wait until the applications let go of the rows, without holding the stamping lock."""
        try:
            with self._named_errors(False):
                self.connection.execute(b"BEGIN; SET LOCAL lock_timeout = '1s'")
            self._lock_first("")
        except StorageLocked:
            time.sleep(_PAUSE_S)
        finally:
            self._end("ROLLBACK")

    def lock_first(self, sql: str, parameters: Sequence[Any]) -> None:
        """Run a locking query now, or, outside of ``write``, at the beginning of the next one."""
        if self._depth:
            self.native(sql, parameters)
        else:
            self._first.append((sql, parameters))

    def _end(self, statement: str) -> None:
        """End the transaction if there is one. A connection that cannot even do that is given up."""
        self.generation += 1
        self._delayed = []
        try:
            if not self.connection.closed and not self._idle:
                self.connection.execute(statement.encode())
        except self._psycopg.Error:
            self.connection.close()

    def _reopened_idle(self) -> bool:
        """True when no transaction is open. A lost connection is opened again."""
        if self._closed:
            raise StorageClosed(f"{self.name} was closed")
        if self.connection.closed:
            self.connection = driver.connect(self._target)
            self.generation += 1
            self._opened()
        return self._idle

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what happens inside when it raises."""
        with self._named_errors(False):
            self._send_delayed()
            self.connection.execute(b"SAVEPOINT tally")
        try:
            yield
        except BaseException:
            self.generation += 1
            self._delayed = []
            if not self.connection.closed:
                with suppress(self._psycopg.Error):
                    self.connection.execute(b"ROLLBACK TO SAVEPOINT tally; RELEASE SAVEPOINT tally")
            raise
        with self._named_errors(False):
            self._send_delayed()
            self.connection.execute(b"RELEASE SAVEPOINT tally")

    def patiently(self, sql: str) -> None:
        """Run DDL that needs a table to itself: short waits, so that nobody queues behind us for long, and pauses."""
        deadline = time.monotonic() + _DDL_TIMEOUT_S
        while True:
            try:
                with self.savepoint() if self._depth else nullcontext():
                    self.native(sql)
            except StorageLocked:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    def beside(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A further connection to the same database, which the caller closes. Raises StorageError."""
        return driver.connect(self._target)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._closed = True
        self.connection.close()


def _last_rows(cursor: psycopg.Cursor[tuple[Any, ...]], count: int) -> list[list[tuple[Any, ...]]]:
    """The rows of the last ``count`` statements of those that were sent together."""
    results = [cursor.fetchall() if cursor.description else []]
    while cursor.nextset():
        results.append(cursor.fetchall() if cursor.description else [])
    return [loaded(rows) for rows in results[len(results) - count :]]
