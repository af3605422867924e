"""The PostgreSQL engine: our schema, the application's tables, capture and marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tallystick.errors import ConfigurationError, SchemaError, StorageLocked
from tallystick.site.engines import postgresql_capture as capture
from tallystick.site.engines import postgresql_driver as driver
from tallystick.site.engines import postgresql_schema as structure
from tallystick.site.engines.engine import Address, Mark
from tallystick.site.engines.postgresql_rows import PostgreSQLRows
from tallystick.site.engines.postgresql_session import PostgreSQLSession
from tallystick.site.engines.postgresql_sql import SCHEMA, array, ddl, literal, qualified, quoted
from tallystick.site.schema import Definition, Reference, Table

_CREATION_LOCK = 0x74616C6C79
_COMMENT = "Ledger of Tallystick for schema "


class PostgreSQLEngine(PostgreSQLSession):
    """One connection to one PostgreSQL database. ``url`` is libpq's, with ``?schema=NAME`` for the application's."""

    dialect = "postgresql"
    marking = f"SELECT {capture.MARK_COLUMNS} FROM tally_mark ORDER BY id"

    def __init__(self, url: str) -> None:
        """Connect. Raises ConfigurationError for a bad URL, schema or a missing driver, StorageError when refused."""
        super().__init__(url)
        self.url = url
        self._known_ledger = False
        self._trusted = False
        self._live: dict[int, str] = {}
        self._read_marks: list[int] = []
        self._shapes: dict[str, structure.Shape | None] = {}
        self._definitions: dict[int, Definition] = {}
        self._created: set[str] = set()
        self._waiting: dict[str, list[tuple[str, Reference]]] = {}
        try:
            self.schema = self._choose_schema()
        except BaseException:
            self.close()
            raise

    # What the session asks

    def _opened(self) -> None:
        self._choose_schema()

    def _prepared_lock(self) -> str:
        self._read_marks = []
        self._created.clear()
        self._frozen = self._is_settled()
        if self._known_ledger:
            return f"LOCK TABLE {SCHEMA}.stamping IN EXCLUSIVE MODE"
        return f"SELECT pg_catalog.pg_advisory_xact_lock({_CREATION_LOCK})"

    def _know_steady(self) -> None:
        if self._steady is None and (self._known_ledger or self.has_ledger()):
            self._fingerprints()

    def _is_settled(self) -> bool:
        """True when capture was intact lately: a frozen snapshot will do.

        Nothing rests on the answer but speed: where it turns out wrong, ``_check_current`` finds out.
        """
        if not self._known_ledger and not self.has_ledger():
            return False
        if not self._trusted or not self._steady:
            noted = self.query("SELECT value FROM tally_meta WHERE name='structure'")
            self._trusted = bool(noted) and noted[0][0] != "" and noted[0][0] == self.structure()
        return self._trusted

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
        self.create_tables(statements)
        for statement in capture.TABLES:
            self.native(statement)

    def create_tables(self, statements: Sequence[str]) -> None:
        """Create tables in our schema from portable DDL."""
        with self._named_errors(False):
            self._send_delayed()
            for statement in statements:
                self.connection.execute(ddl(statement))

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
                self.patiently(f"DROP FUNCTION IF EXISTS {name}() CASCADE")
        self.native(f"DROP SCHEMA {SCHEMA} CASCADE")
        self._known_ledger = self._trusted = False
        self._steady = None

    def leave(self) -> None:
        """Nothing is left to undo: opening a database changes nothing about it."""

    def abandon(self) -> None:
        """Close the connection: opening changed nothing."""
        self.close()

    # The application's tables

    def tables(self) -> list[Table]:
        """The tables of the application's schema, partitioned ones as one."""
        self._shapes.clear()
        return structure.reflect(self.native, self.schema)

    def keys_occur_twice(self, table: Table) -> bool:
        """Never: a primary key is unique and NOT NULL."""
        return False

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
        self.native(structure.create_statement(table, self.schema, existing, self._collations(table)))
        for index in table.indexes:
            if index.short:
                self.native(structure.index_statement(table, index, self.schema))
        self._created.add(table.name)
        for reference in table.references:
            if reference.parent != table.name and reference.parent not in existing:
                self._waiting.setdefault(reference.parent, []).append((table.name, reference))
        for child, reference in self._waiting.pop(table.name, ()):
            clause = structure.reference_clause(reference, self.schema)
            self.native(f"ALTER TABLE {qualified(self.schema, child)} ADD {clause}")
        self._shapes.clear()

    def _collations(self, table: Table) -> list[str]:
        """Those of the collations of a table's columns that this server has."""
        wanted = [column.collation for column in table.columns if column.collation]
        if not wanted:
            return []
        name = "quote_ident(n.nspname) || '.' || quote_ident(c.collname)"
        sql = f"SELECT {name} FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE {name} = ANY($1)"
        return [row[0] for row in self.native(sql, (array(wanted),))]

    def defaults(self, table: str, columns: Sequence[str]) -> dict[str, Any]:
        rows = self.native(
            "SELECT a.attname, pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d "
            "JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum "
            "WHERE d.adrelid = $1::regclass AND a.attgenerated = '' AND a.attname = ANY($2)",
            (qualified(self.schema, table), array(columns)),
        )
        found = dict(rows)
        if not found:
            return {}
        texts = self.native("SELECT " + ", ".join(f"({expression})::text" for expression in found.values()))[0]
        return dict(zip(found, texts, strict=True))

    def add_columns(self, table: Table, names: Sequence[str]) -> None:
        """Add nullable columns."""
        for name in names:
            self.patiently(structure.add_column_statement(table, name, self.schema))
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
            self.patiently(f"LOCK TABLE ONLY {member.sql} IN SHARE ROW EXCLUSIVE MODE")
        self._check_current(definition.name, members)
        for member in members:
            for name in member.triggers:
                self.patiently(f"DROP TRIGGER {quoted(name)} ON {member.sql}")
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
                self.patiently(f"DROP TRIGGER {quoted(name)} ON {member.sql}")
        for name in capture.function_names(number):
            self.patiently(f"DROP FUNCTION IF EXISTS {name}() CASCADE")
        self.native(f"DELETE FROM {SCHEMA}.capture WHERE resource = {number}")
        self._trusted = False

    def capture_intact(self, number: int, definition: Definition) -> bool:
        """True when exactly what ``install_capture`` installs is there, untouched since it was installed."""
        rows = self.native(f"SELECT signature, fingerprint FROM {SCHEMA}.capture WHERE resource = {number}")
        shape = self.shape(definition.name)
        if not rows or shape is None:
            return False
        return rows[0] == (capture.signature(number, definition, shape), self._fingerprints().get(number))

    def captured_table(self, number: int) -> str | None:
        """The table of the application's schema that our triggers for a resource are on now."""
        rows = self.native(capture.CAPTURED, (capture.function_names(number)[0] + "()", self.schema))
        return str(rows[0][0]) if rows else None

    def structure(self) -> str:
        """A hash per tracked table over its relations, partitions, columns and triggers."""
        if not self._known_ledger and not self.has_ledger():
            return ""
        return " ".join(f"{number}:{found}" for number, found in self._fingerprints().items())

    def version(self, number: int) -> str:
        """What was last known of the table of a resource: changes when what was compiled for it is outdated."""
        return self._live.get(number, "")

    def _fingerprints(self) -> dict[int, str]:
        rows = self.native(capture.FINGERPRINTS, (self.schema,))
        self._steady = tuple(sorted(qualified(self.schema, name) for _, name, _ in rows))
        live = {number: found for number, _, found in rows}
        if live != self._live:
            self._live = live
            self._shapes.clear()
        return live

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
                self._send_delayed()
                current = other.execute(sql.encode()).fetchall()
        finally:
            other.close()
        with self._named_errors(False):
            if current != self.connection.execute(sql.encode()).fetchall():
                self._trusted = False
                raise StorageLocked(f"{name!r} was written while its tracking began", hint="run the same command again")

    # Marks

    def marks(
        self, definitions: Mapping[int, Definition], stored: Sequence[tuple[Any, ...]] | None = None
    ) -> tuple[dict[int, list[Mark]], int]:
        """Marks whose transactions have committed, whatever their ids, and the highest id among them."""
        rows = stored
        if rows is None:
            rows = self.native(f"SELECT {capture.MARK_COLUMNS} FROM {SCHEMA}.mark ORDER BY id")
        found: dict[int, list[Mark]] = {}
        exact = self._frozen or not self._depth
        for mark in map(capture.Stored._make, rows):
            definition = definitions.get(mark.resource)
            if definition is not None:
                found.setdefault(mark.resource, []).extend(capture.expanded(definition, mark, exact))
        if self._depth:
            self._read_marks = [row[0] for row in rows]
        return found, rows[-1][0] if rows else 0

    def clear_marks(self, until: int) -> None:
        """Delete the marks up to the id that this transaction has read: others may have become visible since."""
        read = [number for number in self._read_marks if number <= until]
        self._read_marks = [number for number in self._read_marks if number > until]
        self.later_native(f"DELETE FROM {SCHEMA}.mark WHERE id = ANY($1)", (array(read),))

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

    def insertion_unmarked(self, number: int, definition: Definition) -> AbstractContextManager[None]:
        """See ``Engine.insertion_unmarked``. COPY runs a statement's triggers once."""
        return self.capture_off()

    def rows(self, number: int, definition: Definition, parents: Mapping[str, int]) -> PostgreSQLRows:
        """Bulk access to resource ``number``."""
        self._definitions[number] = definition
        return PostgreSQLRows(self, number, definition, parents)

    # Identity and end

    def told_by_marks(self) -> None:
        """A commit that notifies costs a millisecond; see ``streams/postgresql_hints.py``."""
        self.later_native("SET LOCAL tally.told = '1'")

    def check_in_place(self) -> None:
        """Nothing to check: the server ends the connections of a database that it replaces."""

    def identity(self) -> str:
        """System identifier, timeline and database: a copied cluster, a restored one and a template copy differ."""
        (row,) = self.native(
            "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')::int, pg_is_in_recovery()::int, "
            "(SELECT oid FROM pg_database WHERE datname = current_database())::text"
        )
        readable, standby, database = row
        system = self.native("SELECT system_identifier::text FROM pg_control_system()")[0][0] if readable else ""
        timeline = "" if standby else self.native("SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)")[0][0]
        return f"postgresql:{system}:{timeline}:{database}"


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
