"""The catalog of a store: which chunk stands in which bundle of which pack, in one SQLite file.

It can always be made anew from the packs. Several processes may use it at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tallystick.content.bundles import Entry
from tallystick.content.packs import Place
from tallystick.errors import StorageError, StorageFull, StorageLocked
from tallystick.site.engines.sqlite_inserting import insert_many

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pack (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, stored_at INTEGER NOT NULL,
  condemned_at INTEGER);
CREATE TABLE IF NOT EXISTS bundle (
  number INTEGER PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  payload INTEGER NOT NULL, compressed INTEGER NOT NULL, content INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS bundle_by_pack ON bundle (pack);
CREATE TABLE IF NOT EXISTS chunk (
  hash BLOB PRIMARY KEY, bundle INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL) WITHOUT ROWID;
DROP INDEX IF EXISTS chunk_by_bundle;
"""
"""Earlier releases kept an index of chunks by bundle, too: as large as the table, written with every chunk, and asked
only by what looks at all of them anyway."""
BATCH = 512


class Location(NamedTuple):
    """Where a chunk is: the pack's name, the bundle in it, the chunk in that."""

    pack: str
    bundle: int
    offset: int
    length: int
    payload: int
    compressed: bool
    content: int
    entry: Entry


class PackState(NamedTuple):
    """One pack: when it came (nanoseconds), when it was condemned if it was, its bytes and those still referred to."""

    name: str
    size: int
    stored_at: int
    condemned_at: int | None
    content: int
    live: int


class Catalog:
    """The index of a store. Every method raises StorageError, StorageFull or StorageLocked as its file does."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            for statement in _SCHEMA.split(";"):
                self._connection.execute(statement)
        except sqlite3.DatabaseError as problem:
            raise _storage_error(path, problem) from None

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except BaseException as problem:
            if self._connection.in_transaction:  # a full disk may have ended it already
                self._connection.execute("ROLLBACK")
            if isinstance(problem, sqlite3.DatabaseError):
                raise _storage_error(self._path, problem) from problem
            raise

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(sql, values)
        except sqlite3.DatabaseError as problem:
            raise _storage_error(self._path, problem) from problem

    # Chunks ---------------------------------------------------------------------------------------

    def held(self, names: Sequence[bytes]) -> set[bytes]:
        """Which of the chunks stand in packs that are not condemned."""
        found: set[bytes] = set()
        for batch in _batches(names):
            rows = self._execute(
                "SELECT chunk.hash FROM chunk JOIN bundle ON bundle.number = chunk.bundle"
                " JOIN pack ON pack.number = bundle.pack"
                f" WHERE pack.condemned_at IS NULL AND chunk.hash IN ({_marks(batch)})",
                batch,
            )
            found.update(name for (name,) in rows)
        return found

    def locate(self, names: Sequence[bytes]) -> dict[bytes, Location]:
        """Where the chunks are; those that are nowhere are left out."""
        found: dict[bytes, Location] = {}
        for batch in _batches(names):
            rows = self._execute(
                "SELECT pack.name, bundle.number, bundle.offset, bundle.length, bundle.payload, bundle.compressed,"
                " bundle.content, chunk.hash, chunk.offset, chunk.length FROM chunk"
                " JOIN bundle ON bundle.number = chunk.bundle JOIN pack ON pack.number = bundle.pack"
                f" WHERE chunk.hash IN ({_marks(batch)})",
                batch,
            )
            for pack, number, offset, length, payload, compressed, content, name, start, size in rows:
                entry = Entry(name, start, size)
                found[name] = Location(pack, number, offset, length, payload, bool(compressed), content, entry)
        return found

    # Packs ----------------------------------------------------------------------------------------

    @property
    def whole(self) -> bool:
        """True once all packs that there were have been entered: one that is made anew may be cut short, too."""
        return bool(self._execute("PRAGMA user_version").fetchone()[0])

    def complete(self) -> None:
        """All packs that there are have been entered."""
        self._execute("PRAGMA user_version = 1")

    def packs(self) -> dict[str, int | None]:
        """Every pack that is known, with when it was condemned."""
        return dict(self._execute("SELECT name, condemned_at FROM pack"))

    def add(self, name: str, size: int, places: Sequence[Place], stored_at: int, *, found: bool = False) -> None:
        """Know a pack; its chunks are served from it from now on.

        One that was ``found`` serves only what no other does: nobody has just checked it.
        """
        with self._transaction():
            if self._execute("SELECT 1 FROM pack WHERE name = ?", (name,)).fetchone():
                return
            pack = self._execute("INSERT INTO pack (name, size, stored_at) VALUES (?, ?, ?)", (name, size, stored_at))
            rows = [row for place in places for row in self._add_bundle(pack.lastrowid, place)]
            rows.sort()  # in the order of their names they are written to the same pages together
            rule = "IGNORE" if found else "REPLACE"
            insert_many(self._connection, f"INSERT OR {rule} INTO chunk VALUES (?, ?, ?, ?)", rows)

    def _add_bundle(self, pack: int | None, place: Place) -> list[tuple[bytes, int | None, int, int]]:
        """Know a bundle; gives the rows of its chunks."""
        layout = place.layout
        bundle = self._execute(
            "INSERT INTO bundle (pack, offset, length, payload, compressed, content) VALUES (?, ?, ?, ?, ?, ?)",
            (pack, place.offset, layout.length, layout.payload, layout.compressed, layout.content),
        ).lastrowid
        return [(name, bundle, offset, length) for name, offset, length in layout.entries]

    def condemn(self, name: str, now_ns: int | None) -> None:
        """Condemn a pack, or (None) take that back."""
        self._execute("UPDATE pack SET condemned_at = ? WHERE name = ?", (now_ns, name))

    def forget(self, names: Collection[str]) -> None:
        """Know packs no more, nor the chunks that stand in them."""
        if not names:
            return
        with self._transaction():
            for name in names:
                self._execute(
                    "DELETE FROM bundle WHERE pack = (SELECT number FROM pack WHERE name = ?)",
                    (name,),
                )
                self._execute("DELETE FROM pack WHERE name = ?", (name,))
            self._execute("DELETE FROM chunk WHERE bundle NOT IN (SELECT number FROM bundle)")

    def states(self, live: Iterable[bytes]) -> list[PackState]:
        """Every pack with how much of it is among the ``live`` chunks."""
        self._execute("CREATE TEMP TABLE IF NOT EXISTS live (hash BLOB PRIMARY KEY) WITHOUT ROWID")
        self._execute(
            "CREATE TEMP TABLE IF NOT EXISTS placed (pack INTEGER, bundle INTEGER, hash BLOB, length INTEGER)"
        )
        self._execute("CREATE INDEX IF NOT EXISTS temp.placed_by_pack ON placed (pack)")
        with self._transaction():
            self._execute("DELETE FROM temp.live")
            self._execute("DELETE FROM temp.placed")
            self._connection.executemany("INSERT OR IGNORE INTO temp.live VALUES (?)", ((name,) for name in live))
            self._execute(
                "INSERT INTO temp.placed SELECT bundle.pack, bundle.number, chunk.hash, chunk.length FROM temp.live"
                " CROSS JOIN chunk ON chunk.hash = live.hash JOIN bundle ON bundle.number = chunk.bundle"
            )
            rows = self._execute(
                "SELECT name, size, stored_at, condemned_at,"
                " (SELECT coalesce(sum(content), 0) FROM bundle WHERE pack = pack.number),"
                " (SELECT coalesce(sum(length), 0) FROM temp.placed WHERE pack = pack.number) FROM pack"
            ).fetchall()
            return [PackState(*row) for row in rows]

    def live_in(self, name: str) -> list[bytes]:
        """The chunks of a pack that were live in the last ``states``, in the order in which they stand there."""
        rows = self._execute(
            "SELECT chunk.hash FROM pack JOIN temp.placed ON placed.pack = pack.number"
            " CROSS JOIN chunk ON chunk.hash = placed.hash AND chunk.bundle = placed.bundle"
            " JOIN bundle ON bundle.number = chunk.bundle WHERE pack.name = ? ORDER BY bundle.offset, chunk.offset",
            (name,),
        )
        return [found for (found,) in rows]

    def chunks(self) -> Iterator[bytes]:
        """Every chunk that is served, pack by pack, in the order in which they stand there."""
        rows = self._execute(
            "SELECT chunk.hash FROM chunk JOIN bundle ON bundle.number = chunk.bundle"
            " ORDER BY bundle.pack, bundle.offset, chunk.offset"
        )
        return (found for (found,) in rows)

    def totals(self) -> tuple[int, int, int]:
        """(chunks, bytes of their content, bytes of all packs)."""
        chunks, content = self._execute("SELECT count(*), coalesce(sum(length), 0) FROM chunk").fetchone()
        (size,) = self._execute("SELECT coalesce(sum(size), 0) FROM pack").fetchone()
        return int(chunks), int(content), int(size)


def _batches(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The names in parts of few lengths, so that few statements serve all: the last one may stand in it again."""
    for start in range(0, len(names), BATCH):
        batch = list(names[start : start + BATCH])
        length = 1 << (len(batch) - 1).bit_length()
        yield batch + [batch[-1]] * (length - len(batch))


def _marks(batch: Sequence[bytes]) -> str:
    return ",".join("?" * len(batch))


def _storage_error(path: str | Path, problem: sqlite3.DatabaseError) -> StorageError:
    """The named error behind what SQLite said of the catalog."""
    text = str(problem)
    if "full" in text:
        return StorageFull(f"{path} has no room for the catalog")
    if "locked" in text:
        return StorageLocked(f"the catalog {path} is locked by another program")
    if "not a database" in text or "malformed" in text:
        return StorageError(f"the catalog {path} cannot be used: {text}", hint="remove it: it is made anew")
    return StorageError(f"the catalog {path} cannot be used: {text}")
