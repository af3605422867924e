"""What a pair of trees remembers between runs: listings of both sides and the base, in one SQLite file outside them.

The base moves with what was acknowledged, in one transaction with the listings that belong to it (DESIGN.md 4.10). A
lost or damaged file is an empty base: both trees are united, nothing is deleted (G6). Sums tell what is damaged
(``sums``).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from tallystick.errors import StorageCorrupt, StorageError, StorageFull, StorageLocked
from tallystick.trees.base_row import BASE_BYTES, BaseRow
from tallystick.trees.listing import (
    STATS,
    Listing,
    packed,
    unpacked,
)
from tallystick.trees.merging import Side
from tallystick.trees.noted_side import NotedSide
from tallystick.trees.sums import (
    SEAL,
    SUM_BYTES,
    Damaged,
    check,
    check_seal,
    checked,
    decoding,
    is_damage,
    seal,
    summed,
)

FORMAT = 2
"""1 had no sums."""
PAGE_BYTES = 32_768
"""Pages that hold several directories each: in small ones every row would spill into overflow pages."""
CACHE_KIB = 16_384
ASKED = 500
"""So many rows are asked for in one query."""
_SIDES = {Side.LOCAL: 0, Side.REMOTE: 1}

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE listing (
  side INTEGER NOT NULL, path BLOB NOT NULL, names BLOB NOT NULL, stats BLOB NOT NULL, content BLOB NOT NULL,
  PRIMARY KEY (side, path)) WITHOUT ROWID;
CREATE TABLE base (
  path BLOB PRIMARY KEY, names BLOB NOT NULL, content BLOB NOT NULL, files INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE unsettled (path BLOB PRIMARY KEY) WITHOUT ROWID;
"""
_LATER = (
    "CREATE TABLE IF NOT EXISTS intention (number INTEGER PRIMARY KEY, "
    "side INTEGER NOT NULL, run TEXT NOT NULL, token TEXT NOT NULL, placed INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS intended (number INTEGER NOT NULL, path BLOB NOT NULL, names BLOB NOT NULL, "
    "content BLOB NOT NULL, gone BLOB NOT NULL, PRIMARY KEY (number, path)) WITHOUT ROWID",
)
"""Tables that memories of earlier releases lack (``intended``)."""
_BASE_ROW = "SELECT path, names, content, files FROM base WHERE path"
_ADD_SUMS = (
    "UPDATE listing SET content = summed(content, side, path, names, stats)",
    "UPDATE base SET content = summed(content, files, path, names)",
    "UPDATE intended SET content = summed(content, number, path, names, gone)",
)


_AGAIN = "run the same command again: it begins without that memory, as a first run does, and deletes nothing"


@dataclass(slots=True)
class Changes:
    """What a run wants remembered, all in one transaction. None for a row removes it, with everything below it."""

    listings: dict[tuple[Side, str], Listing | None] = field(default_factory=dict)
    base: dict[str, BaseRow | None] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    meta: dict[str, str | None] = field(default_factory=dict)
    fulfilled: set[int] = field(default_factory=set)
    """Numbers of intentions that have come about, or cannot any more."""

    def note_token(self, side: Side, token: str) -> None:
        """Remember what the listings of a side stand for."""
        self.meta[f"token:{_SIDES[side]}"] = token


class State:
    """The memory of one pair. One run at a time holds it; reading works from forked processes too."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.lost = False
        """True when a damaged file was put aside: the base is empty although there was one."""
        self._connection: sqlite3.Connection | None = None
        self._inherited: list[sqlite3.Connection] = []
        self._owner = 0
        self._lock: IO[bytes] | None = None
        self._looked = False
        self._promised: dict[str, frozenset[str]] = {}
        """By directory of the base the names of those in it that must have rows."""

    # Opening --------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[State]:
        """Hold the memory for one run; raises StorageLocked when another run has it.

        Raises StorageError for what SQLite says within it, with the file put aside when that is damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = open(f"{self.path}.lock", "ab")  # noqa: SIM115 - kept open for the whole run
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise StorageLocked(
                f"another run of this pair is under way ({self.path})",
                hint="run the same command again when that one has ended",
            ) from None
        try:
            self._prepare()
            yield self
        except sqlite3.Error as problem:
            if not self.is_damaged(problem):
                raise self._unusable(problem) from problem
            self.put_aside()
            raise StorageError(f"{self.path} was damaged, and put aside: {problem}", hint=_AGAIN) from problem
        finally:
            self.close()
            self._lock.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this process."""
        if self._connection is None or self._owner != os.getpid():
            if self._connection is not None:
                self._inherited.append(self._connection)  # closing the parent's would take its locks away
            self._connection = sqlite3.connect(self.path, isolation_level=None)
            self._connection.execute(f"PRAGMA page_size={PAGE_BYTES}")  # of a new file
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self._owner = os.getpid()
        return self._connection

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None and self._owner == os.getpid():
            self._connection.close()
        self._connection = None
        self._looked = False
        self._promised = {}

    def _prepare(self) -> None:
        try:
            self._create()
        except (sqlite3.Error, UnicodeDecodeError) as problem:  # the latter for the words of an error
            if is_damage(problem, self.path) is False:
                raise self._unusable(problem) from problem
            self.put_aside()  # whatever these few statements cannot do is for the sake of what is in the file

    def _create(self) -> None:
        found = self.connection.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchone()
        if found is None:
            with self.transaction():
                for statement in (*_SCHEMA.split(";"), *_LATER):
                    self.connection.execute(statement)
                self.connection.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))
        with decoding():
            form = int(self.meta("format") or "")
        if form <= FORMAT:
            for statement in _LATER:
                self.connection.execute(statement)
        if form < FORMAT and self.meta(SEAL) is None:
            self._add_sums()
        check_seal(self.connection)
        if form > FORMAT:
            raise StorageCorrupt(f"{self.path} was written by a newer version", hint="use that version")

    def _add_sums(self) -> None:
        """Bring a memory of an earlier release to this format."""
        self.connection.create_function("summed", -1, summed, deterministic=True)
        with self.transaction():
            for statement in _ADD_SUMS:
                self.connection.execute(statement)
            self.connection.execute("UPDATE meta SET value = ? WHERE name = 'format'", (str(FORMAT),))

    def put_aside(self) -> None:
        """Move a damaged file out of the way and start with an empty one (G6)."""
        self.close()
        number = 1
        while (target := Path(f"{self.path}.damaged-{number}")).exists():
            number += 1
        os.replace(self.path, target)
        for companion in ("-wal", "-shm"):
            Path(f"{self.path}{companion}").unlink(missing_ok=True)
        self.lost = True
        self._create()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything that is written within it, or nothing; durable afterwards. Processes take turns."""
        with self._turn():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                seal(self.connection)
            except BaseException:
                if self.connection.in_transaction:  # some errors end it themselves
                    self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    def _unusable(self, problem: Exception) -> StorageError:
        """What SQLite says of the disk that the memory lies on; on a full one it speaks of I/O errors, too."""
        said = f"the memory of this pair, {self.path}: {problem}"
        with suppress(OSError):
            disk = os.statvfs(self.path.parent)
            if not disk.f_bavail:
                return StorageFull(f"{said}; no space is left on its disk")
        return StorageError(said)

    def is_damaged(self, problem: Exception | None = None) -> bool:
        """True when the file is to blame for what went wrong; where that cannot be told all of it is looked at."""
        told = None if problem is None else is_damage(problem, self.path)
        if told is None:
            try:
                check(self.connection)
                self.connection.execute("UPDATE meta SET value = value")  # a file that forbids it was not written by us
            except (sqlite3.Error, UnicodeDecodeError) as found:
                return is_damage(found, self.path) is not False
        return bool(told)

    # Reading --------------------------------------------------------------------------------------

    def meta(self, name: str) -> str | None:
        """A remembered setting."""
        found = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def has_roots(self) -> bool:
        """True when a run has remembered its roots here; looks without changing or making anything."""
        if not self.path.exists():
            return False
        try:
            with closing(sqlite3.connect(f"file:{quote(os.fspath(self.path))}?mode=ro", uri=True)) as database:
                found = database.execute("SELECT count(*) FROM meta WHERE name LIKE 'root:%'").fetchone()
                return bool(found[0])
        except (sqlite3.DatabaseError, UnicodeDecodeError):  # the latter for the words of an error
            return True  # it is there, and damaged: that is for a run to find out

    def base_files(self) -> int:
        """How many materialised leaves the base holds."""
        most = f"(length(content) - {SUM_BYTES}) / {BASE_BYTES}"
        found, odd = self.connection.execute(
            f"SELECT coalesce(sum(files), 0), count(*) FILTER (WHERE files NOT BETWEEN 0 AND {most}) FROM base"
        ).fetchone()
        if odd:
            raise Damaged("a directory cannot hold so many files")
        with decoding():
            return int(found)

    def base_row(self, path: str) -> BaseRow | None:
        """The base of one directory; None when it is not in the base."""
        found = self.connection.execute(f"{_BASE_ROW} = ?", (packed(path),))
        row = found.fetchone()
        if row is None:
            self._miss(path)
        return None if row is None else _checked_base(*row)

    def _miss(self, path: str) -> None:
        """Look at the whole file, once in a run, when the base names a directory and no row can be found for it.

        A search among damaged keys may miss what is there.
        """
        parent, _, name = path.rpartition("/")
        if self._looked or not path:
            return
        if parent not in self._promised:
            above = self.connection.execute(f"{_BASE_ROW} = ?", (packed(parent),)).fetchone()
            self._promised[parent] = _checked_base(*above).directories() if above is not None else frozenset()
        if name in self._promised[parent]:
            self._looked = True
            check(self.connection)

    def base_rows(self, wanted: Collection[str]) -> dict[str, BaseRow | None]:
        """The base of these directories."""
        rows = self.selected(f"{_BASE_ROW} IN", wanted)
        found: dict[str, BaseRow | None] = dict.fromkeys(wanted)
        found.update((unpacked(row[0]), _checked_base(*row)) for row in rows)
        for path, row in found.items():
            if row is None:
                self._miss(path)
        return found

    def selected(self, query: str, paths: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query that ends with IN, for these paths, a part of them at a time."""
        keys = sorted(map(packed, paths))  # in the order of the pages
        for start in range(0, len(keys), ASKED):
            asked = keys[start : start + ASKED]
            yield from self.connection.execute(f"{query} ({','.join('?' * len(asked))})", asked)

    def base_paths(self) -> set[str]:
        """Every directory of the base."""
        with decoding():
            return {unpacked(path) for (path,) in self.connection.execute("SELECT path FROM base")}

    def entries(self, side: Side) -> dict[str, int]:
        """How many entries were noted in each directory of a side."""
        rows = self.connection.execute("SELECT path, length(stats) FROM listing WHERE side = ?", (_SIDES[side],))
        with decoding():
            return {unpacked(path): size // STATS.size for path, size in rows}

    def unsettled(self) -> set[str]:
        """Directories that have to be planned again although nothing changes in them."""
        return {unpacked(path) for (path,) in self.connection.execute("SELECT path FROM unsettled")}

    def side(self, side: Side) -> NotedSide:
        """What was noted of one side."""
        return NotedSide(self, _SIDES[side])

    # Writing --------------------------------------------------------------------------------------

    def remember(self, changes: Changes, settle: Callable[[], None] = lambda: None) -> None:
        """Write everything in one durable transaction. ``settle`` is called before the meta is written: it may add to
        that, and what it raises takes everything back."""
        with self.transaction():
            self._write_listings(changes.listings)
            self._write_base(changes.base)
            _write_paths(self.connection, "DELETE FROM unsettled WHERE path = ?", changes.settled)
            _write_paths(self.connection, "INSERT OR IGNORE INTO unsettled VALUES (?)", changes.unsettled)
            settle()
            for table in ("intended", "intention"):
                self.connection.executemany(
                    f"DELETE FROM {table} WHERE number = ?", [(number,) for number in changes.fulfilled]
                )
            for name, value in changes.meta.items():
                if value is None:
                    self.connection.execute("DELETE FROM meta WHERE name = ?", (name,))
                else:
                    self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One after the other when two processes remember their parts: SQLite would ask again and again, then fail."""
        if self._lock is None:
            yield
            return
        fcntl.lockf(self._lock, fcntl.LOCK_EX)  # of this process, whoever else has inherited the file
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def _write_listings(self, listings: Mapping[tuple[Side, str], Listing | None]) -> None:
        for (side, path), listing in listings.items():
            if listing is None:
                for clause, argument in _subtree(path):
                    self.connection.execute(
                        f"DELETE FROM listing WHERE side = ? AND {clause}", (_SIDES[side], *argument)
                    )
        rows = (
            _summed_listing(_SIDES[side], packed(path), *listing.to_row())
            for (side, path), listing in sorted(listings.items(), key=_place)  # in the order of the pages
            if listing is not None
        )
        self.connection.executemany("INSERT OR REPLACE INTO listing VALUES (?, ?, ?, ?, ?)", rows)

    def _write_base(self, base: Mapping[str, BaseRow | None]) -> None:
        for path, row in base.items():
            if row is None:
                for clause, argument in _subtree(path):
                    self.connection.execute(f"DELETE FROM base WHERE {clause}", argument)
        rows = (_summed_base(packed(path), row) for path, row in sorted(base.items()) if row is not None)
        self.connection.executemany("INSERT OR REPLACE INTO base VALUES (?, ?, ?, ?)", rows)

    def forget_base(self) -> None:
        """Start with an empty base: both trees are united in the next run (G6)."""
        with self.transaction():
            for table in ("base", "intended", "intention"):
                self.connection.execute(f"DELETE FROM {table}")


def _place(listed: tuple[tuple[Side, str], Listing | None]) -> tuple[int, str]:
    (side, path), _ = listed
    return _SIDES[side], path


def _write_paths(connection: sqlite3.Connection, statement: str, paths: Iterable[str]) -> None:
    connection.executemany(statement, [(packed(path),) for path in paths])


def _subtree(path: str) -> list[tuple[str, tuple[bytes, ...]]]:
    """Conditions that together select a path and everything below it."""
    key = packed(path)
    if not key:
        return [("path >= ?", (b"",))]
    return [("path = ?", (key,)), ("path > ? AND path < ?", (key + b"/", key + b"0"))]


def _summed_listing(side: int, path: bytes, names: bytes, stats: bytes, values: bytes) -> tuple[int | bytes, ...]:
    return side, path, names, stats, summed(values, side, path, names, stats)


def _summed_base(path: bytes, row: BaseRow) -> tuple[bytes, bytes, bytes, int]:
    return path, row.names, summed(row.content, row.files, path, row.names), row.files


def _checked_base(path: bytes, names: bytes, content: bytes, files: int) -> BaseRow:
    return BaseRow(names, checked(content, files, path, names))
