"""The PostgreSQL engine: connection, transactions and locks, portable SQL, reflection and capture.

A write transaction is *frozen*: its snapshot (REPEATABLE READ) is taken after the stamping lock, so marks, rows and
ledger are read as of one moment and no row that somebody changed meanwhile can be overwritten unseen. Only where
capture has to be installed is it *fresh* (READ COMMITTED), because rows must be read after their table was locked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from tallystick.errors import ConfigurationError, SchemaError, StorageError, StorageLocked, TallystickError
from tallystick.site.engines import postgresql_capture as capture
from tallystick.site.engines import postgresql_driver as driver
from tallystick.site.engines import postgresql_schema as structure
from tallystick.site.engines.engine import Address, Mark, Rejected
from tallystick.site.engines.postgresql_rows import PostgreSQLRows
from tallystick.site.engines.postgresql_sql import (
    SCHEMA,
    array,
    ddl,
    literal,
    loaded,
    qualified,
    quoted,
    translated,
    untyped,
)
from tallystick.site.schema import Definition, Reference, Table

if TYPE_CHECKING:
    import psycopg

LOCK_TIMEOUT_S = 30.0
"""How long a write waits for the stamping lock, or for an application's rows, before it gives up."""
_HOLDING_TIMEOUT_MS = 250
"""How long it waits for an application's lock while it holds ours: less than deadlock_timeout, so we give way."""
_DDL_TIMEOUT_S = 10.0
_PAUSE_S = 0.05
_CREATION_LOCK = 0x74616C6C79
_COMMENT = "Ledger of Tallystick for schema "


class PostgreSQLEngine:
    """One connection to one PostgreSQL database. ``url`` is libpq's, with ``?schema=NAME`` for the application's."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        """Connect. Raises ConfigurationError for a bad URL, schema or a missing driver, StorageError when refused."""
        self._target = driver.target(url)
        self.name = self._target.name
        self._psycopg = driver.driver()
        self.connection = driver.connect(self._target)
        self.generation = 0
        """Counts what may have undone a temporary table."""
        self._depth = 0
        self._cursors = 0
        self._frozen = False
        self._known_ledger = False
        self._trusted = False
        self._tracked: tuple[str, ...] | None = None
        self._read_marks: list[int] = []
        self._first: list[tuple[str, Sequence[Any]]] = []
        self._shapes: dict[str, structure.Shape | None] = {}
        self._definitions: dict[int, Definition] = {}
        self._created: set[str] = set()
        self._waiting: dict[str, list[tuple[str, Reference]]] = {}
        self._closed = False
        try:
            self.schema = self._choose_schema()
        except BaseException:
            self.close()
            raise

    def _choose_schema(self) -> str:
        """The application's schema: named in the URL, else the one that is tracked already, else the default one."""
        named = self._target.schema
        tracked = self._schema_note() if self.has_ledger() else ""
        if named and tracked and named != tracked:
            raise ConfigurationError(
                f"{self.name} is tracked with schema {tracked!r}, not {named!r}",
                hint="leave ?schema= out, or untrack the database first",
            )
        default = self.native("SELECT coalesce(current_schema(), 'public')")[0][0]
        schema = named or tracked or str(default)
        if not self.native("SELECT 1 FROM pg_namespace WHERE nspname = $1", (schema,)):
            raise ConfigurationError(f"{self.name} has no schema {schema!r}", hint="name an existing one: ?schema=NAME")
        self.native(
            "SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', $1::text, "
            "nullif(pg_catalog.current_setting('search_path'), '')), false)",
            (quoted(schema),),
        )
        return schema

    def _schema_note(self) -> str:
        """The application's schema as the comment on ours names it; "" when the schema is not ours."""
        rows = self.native(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1", (SCHEMA,)
        )
        note = str(rows[0][0] or "") if rows else ""
        return note.removeprefix(_COMMENT) if note.startswith(_COMMENT) else ""

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

    def copy(self, sql: bytes, rows: Iterable[Sequence[Any]], *, refusals: bool = False) -> int:
        """The number of rows that ``COPY ... FROM STDIN`` took."""
        with self._named_errors(refusals), self._cursor() as cursor:
            with cursor.copy(sql) as sink:
                write = sink.write_row
                for row in rows:
                    write(row)
            return cursor.rowcount

    def stream(self, sql: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of PostgreSQL's own SQL, ``size`` at a time, through a cursor of the server."""
        self._cursors += 1
        name = f"tally_{self._cursors}"
        with self.read(), self._named_errors(False), self._psycopg.RawServerCursor(self.connection, name) as cursor:
            cursor.execute(sql.encode(), None, binary=True)
            while rows := cursor.fetchmany(size):
                yield rows

    def _cursor(self) -> psycopg.RawCursor[tuple[Any, ...]]:
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

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run portable SQL for each of ``rows``."""
        statement = translated(sql)
        with self._named_errors(not statement.ours), self._cursor() as cursor:
            cursor.executemany(statement.sql, [untyped(row, statement.ours) for row in rows])

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
        if self._tracked is None and (self._known_ledger or self.has_ledger()):
            self._fingerprints()
        self._begin("READ ONLY", "", LOCK_TIMEOUT_S)
        try:
            yield
        finally:
            self._end("COMMIT")

    @contextmanager
    def write(self) -> Iterator[None]:
        """A transaction that holds the stamping lock, with the rows of ``lock_rows`` locked.

        Raises StorageLocked when a lock cannot be had in time or somebody changed a row of ours meanwhile (run the
        same step again), StorageError when the commit is refused or the connection is lost.
        """
        if self._depth:
            yield
            return
        self._reopened_idle()
        self._start_writing()
        self._depth = 1
        self._read_marks = []
        try:
            yield
            self._commit()
        except BaseException:
            self._end("ROLLBACK")
            raise
        finally:
            self._depth = 0
            self._first = []
            self._created.clear()

    def _commit(self) -> None:
        if self.connection.info.transaction_status != self._psycopg.pq.TransactionStatus.INTRANS:
            raise StorageError(f"{self.name}: a statement of this transaction failed, so it cannot be committed")
        try:
            self.connection.execute(b"COMMIT")
        except self._psycopg.Error as error:
            found = driver.storage(error, self.name)
            if isinstance(found, Rejected):
                hint = "a deferred constraint is not satisfied; nothing of this transaction was applied"
                found = StorageError(f"{self.name} refused the commit: {found}", hint=hint)
            raise found from error

    def _start_writing(self) -> None:
        """Begin a transaction that holds the stamping lock and the rows that are to be locked first."""
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            left = max(deadline - time.monotonic(), 0.001)
            self._frozen = self._is_settled()
            try:
                self._begin("READ WRITE", self._stamping_lock(), left)
                self._lock_first("NOWAIT")
            except StorageLocked:
                self._end("ROLLBACK")
                if not self._first or time.monotonic() >= deadline:
                    raise
                self._wait_for_rows()
            else:
                return

    def _stamping_lock(self) -> str:
        if self._known_ledger:
            return f"LOCK TABLE {SCHEMA}.stamping IN EXCLUSIVE MODE"
        return f"SELECT pg_catalog.pg_advisory_xact_lock({_CREATION_LOCK})"

    def _begin(self, mode: str, lock: str, patience: float) -> None:
        """Begin; take the locks that keep tables from being rewritten, then ``lock``; the snapshot comes after both."""
        isolated = mode == "READ ONLY" or self._frozen
        statements = [
            f"BEGIN ISOLATION LEVEL {'REPEATABLE READ' if isolated else 'READ COMMITTED'} {mode}",
            f"SET LOCAL lock_timeout = {max(int(patience * 1000), 1)}",
        ]
        if isolated and self._tracked:
            statements.append(f"LOCK TABLE {', '.join(self._tracked)} IN ACCESS SHARE MODE")
        if lock:
            statements.append(lock)
        statements.append(f"SET LOCAL lock_timeout = {_HOLDING_TIMEOUT_MS}")
        try:
            with self._named_errors(False):
                self.connection.execute("; ".join(statements).encode())
        except TallystickError as error:
            self._end("ROLLBACK")
            if not (self._tracked and isinstance(error.__cause__, self._psycopg.errors.UndefinedTable)):
                raise
            self._tracked, self._trusted = (), False
            self._begin(mode, lock, patience)

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
        try:
            if not self.connection.closed and not self._idle:
                self.connection.execute(statement.encode())
        except self._psycopg.Error:
            self.connection.close()

    def _reopened_idle(self) -> bool:
        """True when no transaction is open. A lost connection is opened again."""
        if self._closed:
            raise StorageError(f"{self.name} was closed", hint="open it again")
        if self.connection.closed:
            self.connection = driver.connect(self._target)
            self.generation += 1
            self._choose_schema()
        return self._idle

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what happens inside when it raises."""
        with self._named_errors(False):
            self.connection.execute(b"SAVEPOINT tally")
        try:
            yield
        except BaseException:
            self.generation += 1
            if not self.connection.closed:
                with suppress(self._psycopg.Error):
                    self.connection.execute(b"ROLLBACK TO SAVEPOINT tally; RELEASE SAVEPOINT tally")
            raise
        with self._named_errors(False):
            self.connection.execute(b"RELEASE SAVEPOINT tally")

    # Our tables

    def create_ledger(self, statements: Sequence[str]) -> None:
        """Create the schema ``tally`` with the tables of ``statements`` and those of capture.

        Raises ConfigurationError when the application has a schema of that name.
        """
        if self.native("SELECT 1 FROM pg_namespace WHERE nspname = $1", (SCHEMA,)):
            raise ConfigurationError(
                f"{self.name} has a schema {SCHEMA!r} that is not ours",
                hint="tallystick keeps its ledger in a schema of that name: rename yours",
            )
        comment = literal(_COMMENT + self.schema)
        self.native(f"CREATE SCHEMA {SCHEMA}")
        self.native(f"COMMENT ON SCHEMA {SCHEMA} IS {comment}")
        with self._named_errors(False):
            for statement in statements:
                self.connection.execute(ddl(statement))
        for statement in capture.TABLES:
            self.native(statement)

    def has_ledger(self) -> bool:
        """True when our tables are there."""
        names = [f"{SCHEMA}.meta", f"{SCHEMA}.stamping"]
        found = self.native("SELECT count(to_regclass(n)) FROM unnest($1::text[]) n", (array(names),))
        self._known_ledger = found[0][0] == len(names)
        return self._known_ledger

    def drop_ledger(self) -> None:
        """Remove our schema with its functions, and with them every trigger of ours."""
        if not self.has_ledger() or not self._schema_note():
            return
        for (number,) in self.native(f"SELECT resource FROM {SCHEMA}.capture"):
            for name in capture.function_names(number):
                self._patiently(f"DROP FUNCTION IF EXISTS {name}() CASCADE")
        self.native(f"DROP SCHEMA {SCHEMA} CASCADE")
        self._known_ledger = self._trusted = False
        self._tracked = None

    def leave(self) -> None:
        """Nothing is left to undo: opening a database changes nothing about it."""

    # The application's tables

    def tables(self) -> list[Table]:
        """The tables of the application's schema, partitioned ones as one."""
        self._shapes.clear()
        return structure.reflect(self.native, self.schema)

    def shape(self, name: str) -> structure.Shape | None:
        """Kind, exact column types and sequences of a table, None when there is none of that name."""
        if name not in self._shapes:
            self._shapes[name] = structure.shape(self.native, self.schema, name)
        return self._shapes[name]

    def create_table(self, table: Table) -> None:
        """Create a table; references to tables that are still missing are added when those are created."""
        existing = [
            row[0]
            for row in self.native(
                "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')",
                (self.schema,),
            )
        ]
        self.native(structure.create_statement(table, self.schema, existing))
        self._created.add(table.name)
        for reference in table.references:
            if reference.parent != table.name and reference.parent not in existing:
                self._waiting.setdefault(reference.parent, []).append((table.name, reference))
        for child, reference in self._waiting.pop(table.name, ()):
            clause = structure.reference_clause(reference, self.schema)
            self.native(f"ALTER TABLE {qualified(self.schema, child)} ADD {clause}")
        self._shapes.clear()

    def add_columns(self, table: Table, names: Sequence[str]) -> None:
        """Add nullable columns."""
        for name in names:
            self._patiently(structure.add_column_statement(table, name, self.schema))
        self._shapes.clear()

    # Capture

    def install_capture(self, number: int, definition: Definition) -> None:
        """Install triggers on the table and each of its partitions.

        Raises SchemaError for tables whose changes triggers cannot see, StorageLocked when the table is in use for
        long or was written since this transaction began (run the same step again).
        """
        self._shapes.clear()
        members = self._members(definition.name)
        shape = self.shape(definition.name)
        if not members or shape is None:
            raise SchemaError(f"there is no table {definition.name!r} in schema {self.schema!r}")
        _check_members(definition.name, members)
        for member in members:
            self._patiently(f"LOCK TABLE ONLY {member.sql} IN SHARE ROW EXCLUSIVE MODE")
        self._check_current(definition.name, members)
        for member in members:
            for name in member.triggers:
                self._patiently(f"DROP TRIGGER {quoted(name)} ON {member.sql}")
        for statement in capture.functions(number, definition, shape):
            self.native(statement)
        for member in members:
            for statement in capture.triggers(number, member, definition, shape):
                self.native(statement)
        self._definitions[number] = definition
        self._note_capture(number, definition, shape)

    def _note_capture(self, number: int, definition: Definition, shape: structure.Shape) -> None:
        self._trusted = False
        self.native(f"DELETE FROM {SCHEMA}.capture WHERE resource = {number}")
        self.native(
            f"INSERT INTO {SCHEMA}.capture (resource, signature, fingerprint) VALUES ({number}, $1, $2)",
            (capture.signature(number, definition, shape), self._fingerprints().get(number, "")),
        )

    def remove_capture(self, number: int, table: str) -> None:
        """Remove the triggers and functions of a resource; the table may be gone already."""
        for member in self._members(table):
            for name in member.triggers:
                self._patiently(f"DROP TRIGGER {quoted(name)} ON {member.sql}")
        for name in capture.function_names(number):
            self._patiently(f"DROP FUNCTION IF EXISTS {name}() CASCADE")
        self.native(f"DELETE FROM {SCHEMA}.capture WHERE resource = {number}")
        self._trusted = False

    def capture_intact(self, number: int, definition: Definition) -> bool:
        """True when exactly what ``install_capture`` installs is there, untouched since it was installed."""
        rows = self.native(f"SELECT signature, fingerprint FROM {SCHEMA}.capture WHERE resource = {number}")
        shape = self.shape(definition.name)
        if not rows or shape is None:
            return False
        return rows[0] == (capture.signature(number, definition, shape), self._fingerprints().get(number))

    def structure(self) -> str:
        """A hash per tracked table over its relations, partitions, columns and triggers."""
        if not self._known_ledger and not self.has_ledger():
            return ""
        return " ".join(f"{number}:{found}" for number, found in self._fingerprints().items())

    def _fingerprints(self) -> dict[int, str]:
        rows = self.native(capture.FINGERPRINTS, (self.schema,))
        self._tracked = tuple(sorted(qualified(self.schema, name) for _, name, _ in rows))
        return {number: found for number, _, found in rows}

    def _is_settled(self) -> bool:
        """True when capture was intact lately: a frozen snapshot will do.

        Nothing rests on the answer but speed: where it turns out wrong, ``_check_current`` finds out.
        """
        if not self._known_ledger and not self.has_ledger():
            return False
        if not self._trusted:
            noted = self.query("SELECT value FROM tally_meta WHERE name='structure'")
            self._trusted = bool(noted) and noted[0][0] != "" and noted[0][0] == self.structure()
        return self._trusted

    def _members(self, name: str) -> list[capture.Member]:
        return [capture.Member._make(row) for row in self.native(capture.MEMBERS, (self.schema, name))]

    def _check_current(self, name: str, members: Sequence[capture.Member]) -> None:
        """In a frozen transaction: make sure that the snapshot holds all rows of a table that is locked now."""
        if not self._frozen or name in self._created:
            return
        sql = " UNION ALL ".join(
            "SELECT count(*), coalesce(sum(hashtextextended(ctid::text || ' ' || xmin::text, 0)::numeric), 0)::text "
            f"FROM ONLY {member.sql}"
            for member in members
            if member.kind == "r"
        )
        other = driver.connect(self._target)
        try:
            with self._named_errors(False):
                current = other.execute(sql.encode()).fetchall()
        finally:
            other.close()
        with self._named_errors(False):
            if current != self.connection.execute(sql.encode()).fetchall():
                self._trusted = False
                raise StorageLocked(f"{name!r} was written while its tracking began", hint="run the same command again")

    def _patiently(self, sql: str) -> None:
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

    # Marks

    def marks(self, definitions: Mapping[int, Definition]) -> tuple[dict[int, list[Mark]], int]:
        """Marks whose transactions have committed, whatever their ids, and the highest id among them."""
        rows = self.native(f"SELECT {capture.MARK_COLUMNS} FROM {SCHEMA}.mark ORDER BY id")
        found: dict[int, list[Mark]] = {}
        exact = self._frozen or not self._depth
        for stored in map(capture.Stored._make, rows):
            definition = definitions.get(stored.resource)
            if definition is not None:
                found.setdefault(stored.resource, []).extend(capture.expanded(definition, stored, exact))
        if self._depth:
            self._read_marks = [row[0] for row in rows]
        return found, rows[-1][0] if rows else 0

    def clear_marks(self, until: int) -> None:
        """Delete the marks up to the id that this transaction has read: others may have become visible since."""
        read = [number for number in self._read_marks if number <= until]
        self._read_marks = [number for number in self._read_marks if number > until]
        self.native(f"DELETE FROM {SCHEMA}.mark WHERE id = ANY($1)", (array(read),))

    def last_mark(self) -> int:
        """The highest mark id given out so far, 0 if none."""
        return int(
            self.native(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {SCHEMA}.mark_id_seq")[0][0]
        )

    def drop_marks(self, number: int, after: int, addresses: Sequence[Address]) -> None:
        """Delete the marks of this transaction above ``after`` that concern the addresses."""
        dropped = set(addresses)
        rows = self.native(
            f"DELETE FROM {SCHEMA}.mark WHERE txid = pg_current_xact_id()::text::int8 AND resource = {number} "
            f"AND id > {int(after)} RETURNING {capture.MARK_COLUMNS}"
        )
        definition = self._definitions[number]
        kept = [capture.without(definition, capture.Stored._make(row), dropped) for row in rows]
        self.many(
            f"INSERT INTO {SCHEMA}.mark (txid, {capture.MARK_COLUMNS}) OVERRIDING SYSTEM VALUE "
            "VALUES (pg_current_xact_id()::text::int8, $1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [tuple(stored) for stored in kept if stored is not None],
        )

    def check_overtaken(self, number: int) -> None:
        """In a fresh transaction: raise StorageLocked when rows were written over a change that nobody has stamped."""
        if self._frozen or not self._known_ledger:
            return
        rows = self.native(
            f"SELECT 1 FROM {SCHEMA}.mark WHERE resource = {number} AND txid <> pg_current_xact_id()::text::int8 "
            "AND NOT id = ANY($1) LIMIT 1",
            (array(self._read_marks),),
        )
        if rows:
            raise StorageLocked(
                f"{self.name}: rows of this page were changed meanwhile", hint="run the same command again"
            )

    @contextmanager
    def capture_off(self) -> Iterator[None]:
        """Inside: this transaction's writes leave no marks."""
        self.native("SELECT pg_catalog.set_config('tally.applying', 'on', true)")
        try:
            yield
        finally:
            if self.connection.info.transaction_status == self._psycopg.pq.TransactionStatus.INTRANS:
                self.native("SELECT pg_catalog.set_config('tally.applying', 'off', true)")

    def rows(self, number: int, definition: Definition, parents: Mapping[str, int]) -> PostgreSQLRows:
        """Bulk access to resource ``number``."""
        self._definitions[number] = definition
        return PostgreSQLRows(self, number, definition, parents)

    # Identity and end

    def identity(self) -> str:
        """System identifier, timeline and database: a copied cluster, a restored one and a template copy differ."""
        (row,) = self.native(
            "SELECT (SELECT system_identifier FROM pg_control_system())::text, "
            "CASE WHEN pg_is_in_recovery() THEN (SELECT lpad(to_hex(c.timeline_id), 8, '0') "
            "FROM pg_control_checkpoint() c) ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END, "
            "(SELECT oid FROM pg_database WHERE datname = current_database())::text"
        )
        return "postgresql:" + ":".join(row)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._closed = True
        self.connection.close()


def _check_members(name: str, members: Sequence[capture.Member]) -> None:
    """Raise SchemaError for tables whose changes triggers cannot see."""
    for member in members:
        if member.kind == "f":
            raise SchemaError(
                f"{name!r} has a foreign table {member.name!r} as a part, whose changes cannot be captured",
                hint=f"detach it, or leave the table out with --exclude {name}",
            )
        if member.subscribed:
            raise SchemaError(
                f"{member.name!r} is fed by logical replication, whose changes cannot be captured",
                hint=f"track the publishing database instead, or leave the table out with --exclude {name}",
            )
