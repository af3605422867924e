"""The SQLite engine: connection, transactions, portable SQL, reflection and capture."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tallystick.core.filter_readings import SQLITE_FUNCTIONS
from tallystick.errors import ConfigurationError, StorageClosed, StorageError, StorageLocked, StorageReplaced
from tallystick.site.engines import sqlite_capture, sqlite_schema, sqlite_unique
from tallystick.site.engines.engine import Address, Mark, Rejected
from tallystick.site.engines.sqlite_inserting import insert_many
from tallystick.site.engines.sqlite_rows import SQLiteRows
from tallystick.site.identity import stored
from tallystick.site.schema import Definition, Table

BUSY_TIMEOUT_S = 30.0
_CHUNK = 1024
"""Values of one IN list. Statements are kept, and a long list takes memory by the kilobyte: few lengths serve all."""
_STREAMED = 5000
_CHECKPOINT_PAGES = 8000
"""Pages of the log (32 MB) after which they are written to the file. Random keys touch a page of an index in every
commit: with SQLite's own 1000 it would be written again for each."""


class SQLiteEngine:
    """One connection to one SQLite file."""

    dialect = "sqlite"
    marking = "SELECT id, resource, kind, old, new, at, columns FROM tally_mark ORDER BY id"

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        """Open ``path``. Raises ConfigurationError when it does not exist (unless ``create``) or is no database."""
        self.path = Path(path).absolute()
        self._made = not self.path.exists()
        if self._made and not create:
            raise ConfigurationError(
                f"there is no database at {self.path}",
                hint="check the path; sync makes its second end, contexts create a site, import-mail --create a store",
            )
        if not self.path.parent.is_dir():
            raise ConfigurationError(
                f"there is no directory {self.path.parent}", hint="check the path, or make it first"
            )
        self._depth = 0
        self._names: dict[str, str] = {}
        try:
            uri = f"file:{quote(str(self.path))}?mode={'rwc' if create else 'rw'}"
            self.connection = sqlite3.connect(
                uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.DatabaseError as error:
            raise _storage(error, self.path) from error
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise _storage(error, self.path) from error
        self._opened = self._file()

    def _prepare(self) -> None:
        connection = self.connection
        connection.execute("PRAGMA foreign_keys=ON")
        self._former_mode = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-32768")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA temp_store=MEMORY")
        for name, (arguments, function) in SQLITE_FUNCTIONS.items():
            connection.create_function(name, arguments, function, deterministic=True)

    # Portable SQL

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        try:
            self.connection.execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise _storage(error, self.path) from error

    def later(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self.execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self.connection.executemany(sql, rows)
        except sqlite3.DatabaseError as error:
            raise _storage(error, self.path) from error

    def insert_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """See ``Engine.insert_many``."""
        try:
            insert_many(self.connection, sql, rows)
        except sqlite3.DatabaseError as error:
            raise _storage(error, self.path) from error

    def limit_cache(self, kibibytes: int) -> None:
        """See ``Engine.limit_cache``."""
        self.execute(f"PRAGMA cache_size=-{kibibytes}")

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            if self.reads_bytes(error):
                return self.query(sql, parameters)
            raise _storage(error, self.path) from error

    def stream(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of a query without parameters that orders them, in batches, in memory one at a time."""
        done = 0
        try:
            cursor = self.connection.execute(sql)
            while rows := cursor.fetchmany(_STREAMED):
                yield rows
                done += len(rows)
        except sqlite3.DatabaseError as error:
            if not self.reads_bytes(error):
                raise _storage(error, self.path) from error
            cursor = self.connection.execute(f"{sql} LIMIT -1 OFFSET {done}")
            while rows := cursor.fetchmany(_STREAMED):
                yield rows

    def reads_bytes(self, error: sqlite3.DatabaseError) -> bool:
        """After a query failed with ``error``: True when text that is not UTF-8 was why, and is now read as bytes.

        Such a value travels as the bytes it is. Reading so costs a call for each text: it begins with the first one.
        """
        if "decode to UTF-8" not in str(error) or self.connection.text_factory is _text_or_bytes:
            return False
        self.connection.text_factory = _text_or_bytes
        return True

    def query_in(self, sql: str, before: Sequence[Any], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            length = 1 << (len(chunk) - 1).bit_length()
            marks = ",".join("?" * length)
            filled = (*chunk, *[chunk[-1]] * (length - len(chunk)))  # a value may stand twice in a list
            found.extend(self.query(sql.replace("IN (*)", f"IN ({marks})"), (*before, *filled)))
        return found

    # Transactions

    @property
    def writing(self) -> bool:
        return self._depth > 0

    @contextmanager
    def read(self) -> Iterator[None]:
        if self._depth or self.connection.in_transaction:
            yield
            return
        self.execute("BEGIN")
        try:
            yield
        finally:
            self.execute("COMMIT")

    @contextmanager
    def write(self, reading: Sequence[str] = ()) -> Iterator[list[list[tuple[Any, ...]]]]:
        if self._depth:
            yield [self.query(sql) for sql in reading]
            return
        self.check_in_place()
        self.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            self.execute("PRAGMA defer_foreign_keys=ON")
            yield [self.query(sql) for sql in reading]
            self.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.execute("SAVEPOINT tally")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO tally")
                self.connection.execute("RELEASE tally")
            raise
        self.execute("RELEASE tally")

    # Our tables

    def create_ledger(self, statements: Sequence[str]) -> None:
        for statement in statements:
            without = " WITHOUT ROWID" if "tally_record" in statement and "CREATE TABLE" in statement else ""
            self._create(statement + without)
        self._note_own(_tables_made(statements))
        self.execute("INSERT INTO tally_meta(name, value) VALUES ('journal', ?)", (self._former_mode,))

    def create_tables(self, statements: Sequence[str]) -> None:
        for statement in statements:
            self._create(statement)
        if made := _tables_made(statements):
            self._note_own(made | self._own_tables())

    def _create(self, statement: str) -> None:
        self.execute(statement.format(int="INTEGER", text="TEXT", blob="BLOB", any=""))

    def _note_own(self, names: Iterable[str]) -> None:
        """Note which tables are ours: the application's may be called alike."""
        self.execute("INSERT OR REPLACE INTO tally_meta VALUES ('tables', ?)", (" ".join(sorted(names)),))

    def _own_tables(self) -> set[str]:
        if not self.has_ledger():
            return set()
        noted = self.query("SELECT value FROM tally_meta WHERE name='tables'")
        if noted:
            return set(noted[0][0].split())
        rows = self.query("SELECT name FROM sqlite_master WHERE type='table' AND substr(name, 1, 6)='tally_'")
        return {row[0] for row in rows}

    def has_ledger(self) -> bool:
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE type='table' AND name='tally_meta'"))

    def drop_ledger(self) -> None:
        self._former_mode = str(self.query("SELECT value FROM tally_meta WHERE name='journal'")[0][0])
        ours = self.query(
            "SELECT type, name FROM sqlite_master WHERE substr(name, 1, 6)='tally_' AND type IN ('trigger', 'table')"
        )
        own = self._own_tables()
        for kind in ("trigger", "table"):
            for _, name in (row for row in ours if row[0] == kind and (kind == "trigger" or row[1] in own)):
                self.execute(f"DROP {kind.upper()} IF EXISTS {sqlite_schema.quoted(name)}")

    def leave(self) -> None:
        """Put the file back into the journal mode it had; another open connection may keep it from that."""
        self.connection.execute("PRAGMA busy_timeout=500")
        with suppress(sqlite3.OperationalError):
            self.connection.execute(f"PRAGMA journal_mode={self._former_mode}")

    # The application's tables

    def tables(self) -> list[Table]:
        return sqlite_schema.reflect(self.query, self._own_tables())

    def keys_occur_twice(self, table: Table) -> bool:
        names = [sqlite_schema.quoted(name) for name in table.primary_key]
        empty = " OR ".join(f"{name} IS NULL" for name in names)
        listed = ", ".join(names)
        return bool(
            self.query(
                f"SELECT 1 FROM {sqlite_schema.quoted(table.name)} WHERE {empty} "
                f"GROUP BY {listed} HAVING count(*)>1 LIMIT 1"
            )
        )

    def create_table(self, table: Table) -> None:
        self.execute(sqlite_schema.create_statement(table))
        taken = {row[0].casefold() for row in self.query("SELECT name FROM sqlite_master")}
        for index in table.indexes:
            if index.name.casefold() not in taken:
                self.execute(sqlite_schema.index_statement(table, index))
                taken.add(index.name.casefold())

    def add_columns(self, table: Table, names: Sequence[str]) -> None:
        for name in names:
            declared = sqlite_schema.declared_type(table.column(name))
            self.execute(
                f"ALTER TABLE {sqlite_schema.quoted(table.name)} ADD COLUMN {sqlite_schema.quoted(name)} {declared}"
            )

    def defaults(self, table: str, columns: Sequence[str]) -> dict[str, Any]:
        rows = self.query("SELECT name, dflt_value FROM pragma_table_info(?) WHERE dflt_value IS NOT NULL", (table,))
        found = {name: expression for name, expression in rows if name in set(columns)}
        if not found:
            return {}
        return dict(
            zip(found, self.query(f"SELECT {', '.join(f'({text})' for text in found.values())}")[0], strict=True)
        )

    # Capture

    def install_capture(self, number: int, definition: Definition) -> None:
        self.remove_capture(number, definition.name)
        for statement in self._triggers(number, definition):
            self.execute(statement)

    def _triggers(self, number: int, definition: Definition) -> list[str]:
        return sqlite_capture.triggers(number, definition, sqlite_unique.uniques(self.query, definition))

    def remove_capture(self, number: int, table: str) -> None:
        for name in sqlite_capture.trigger_names(number):
            self.execute(f"DROP TRIGGER IF EXISTS {name}")

    def capture_intact(self, number: int, definition: Definition) -> bool:
        names = sqlite_capture.trigger_names(number)
        rows = self.query_in("SELECT sql FROM sqlite_master WHERE type='trigger' AND name IN (*)", (), names)
        return sorted(row[0] for row in rows) == sorted(self._triggers(number, definition))

    def captured_table(self, number: int) -> str | None:
        name = sqlite_capture.trigger_names(number)[0]
        rows = self.query("SELECT tbl_name FROM sqlite_master WHERE type='trigger' AND name=?", (name,))
        return str(rows[0][0]) if rows else None

    def structure(self) -> str:
        return f"{self.query('PRAGMA schema_version')[0][0]}.{sqlite_capture.EDITION}"

    def marks(
        self, definitions: Mapping[int, Definition], stored: Sequence[tuple[Any, ...]] | None = None
    ) -> tuple[dict[int, list[Mark]], int]:
        rows = self.query(self.marking) if stored is None else stored
        found: dict[int, list[Mark]] = {}
        readers = {number: sqlite_capture.MarkReader(definitions[number]) for number in definitions} if rows else {}
        for _, number, kind, old, new, at, columns in rows:
            reader = readers.get(number)
            if reader is not None:
                found.setdefault(number, []).append(reader.mark(kind, old, new, at, columns))
        return found, rows[-1][0] if rows else 0

    def clear_marks(self, until: int) -> None:
        self.execute("DELETE FROM tally_mark WHERE id<=?", (until,))

    def last_mark(self) -> int:
        return int(self.query("SELECT coalesce(max(id), 0) FROM tally_mark")[0][0])

    def drop_marks(self, number: int, after: int, addresses: Sequence[Address]) -> None:
        ours = {stored(address) for address in addresses}
        marks = self.query("SELECT id, old, new FROM tally_mark WHERE id>? AND resource=?", (after, number))
        own = [(mark,) for mark, old, new in marks if old in ours or new in ours]
        self.executemany("DELETE FROM tally_mark WHERE id=?", own)

    @contextmanager
    def capture_off(self) -> Iterator[None]:
        self.execute("INSERT INTO tally_applying VALUES (1)")
        try:
            yield
        finally:
            if self.connection.in_transaction:
                self.execute("DELETE FROM tally_applying")

    @contextmanager
    def insertion_unmarked(self, number: int, definition: Definition) -> Iterator[None]:
        """See ``Engine.insertion_unmarked``. A trigger costs as much as the row, even where it does nothing."""
        for name in sqlite_capture.insertion_triggers(number):
            self.execute(f"DROP TRIGGER IF EXISTS {name}")
        try:
            yield
        finally:
            if self.connection.in_transaction:
                names = sqlite_capture.insertion_triggers(number)
                for statement in self._triggers(number, definition):
                    if statement.split()[2] in names:
                        self.execute(statement)

    def rows(self, number: int, definition: Definition, parents: Mapping[str, int]) -> SQLiteRows:
        return SQLiteRows(self, number, definition, parents)

    def identity(self) -> str:
        """Path, device, inode and host: a copied or moved file differs in one of them."""
        status = self.path.stat()
        return f"{os.uname().nodename}:{self.path}:{status.st_dev}:{status.st_ino}"

    def _file(self) -> tuple[int, int] | None:
        """Device and inode of the file that the path names now; None when there is none."""
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def told_by_marks(self) -> None:
        """Nothing to do: whoever listens sees every commit."""

    def check_in_place(self) -> None:
        if self._file() != self._opened:
            raise StorageReplaced(f"{self.path} was replaced or removed while it was open")

    def close(self) -> None:
        self.connection.close()

    def abandon(self) -> None:
        if not self.has_ledger():
            self.leave()
        made_for_nothing = self._made and not self.query("SELECT 1 FROM sqlite_master LIMIT 1")
        self.close()
        if made_for_nothing:
            self.path.unlink(missing_ok=True)


def _tables_made(statements: Sequence[str]) -> set[str]:
    """The tables that DDL of ours creates."""
    return {name for text in statements for name in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", text)}


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _storage(error: sqlite3.DatabaseError, path: Path) -> Exception:
    """The named error behind an SQLite message."""
    text = str(error)
    if re.search(r"disk is full|disk I/O|readonly", text):
        return StorageError(f"{path}: {text}", hint="free space or make the file writable; nothing was changed")
    if "locked" in text or "busy" in text:
        return StorageLocked(
            f"{path} is locked by another program", hint="another writer holds it for long; try again when it is done"
        )
    if "closed database" in text:
        return StorageClosed(f"{path} was closed")
    if "not a database" in text or "malformed" in text:
        return StorageError(f"{path}: {text}", hint="the file is no sound SQLite database; restore it from a backup")
    if "unable to open" in text:
        return StorageError(f"{path}: {text}", hint="check that its directory exists, and your rights there")
    if isinstance(error, sqlite3.IntegrityError):
        return Rejected(text, "unique" if "UNIQUE" in text else "constraint")
    return StorageError(f"{path}: {text}", hint="the statement was undone; please report this with --debug output")
