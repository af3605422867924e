"""Whether what is read from a memory is what was written there (docs/trees.md, spec contexts G6).

Rows that describe a directory carry a sum of their own, checked when the row is used; the small tables have one
together, written with every transaction and checked at opening. What SQLite itself finds wrong counts as well.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

SUM = struct.Struct(">I")
SUM_BYTES = SUM.size
SEAL = "sum"
"""The setting that holds the sum of the small tables."""

_SEALED = (
    f"SELECT name, value FROM meta WHERE name <> '{SEAL}' ORDER BY name",
    "SELECT path FROM unsettled ORDER BY path",
    "SELECT number, side, run, token, placed FROM intention ORDER BY number",
)
_SUMMED = (
    "SELECT content, side, path, names, stats FROM listing",
    "SELECT content, files, path, names FROM base",
    "SELECT content, number, path, names, gone FROM intended",
)
_NOT_THE_FILE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_AUTH,
}
"""What SQLite says of the disk, the memory or another program."""
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, OverflowError, struct.error)
"""What taking bytes apart raises where they are not what they should be."""


class Damaged(sqlite3.DatabaseError):
    """What was read cannot have been written."""


def summed(content: bytes, number: int, *parts: bytes) -> bytes:
    """The content with the sum of it and of a number and the other parts of its row behind it."""
    return content + SUM.pack(_sum(content, number, parts))


def checked(content: bytes, number: int, *parts: bytes) -> bytes:
    """The content that ``summed`` was given. Raises Damaged when anything of it is something else."""
    try:
        bare = content[:-SUM_BYTES]
        if content[-SUM_BYTES:] == SUM.pack(_sum(bare, number, parts)):
            return bare
    except _UNREADABLE as problem:
        raise Damaged(f"a row cannot be read: {problem}") from problem
    raise Damaged("a row is not what was written")


def _sum(content: bytes, number: int, parts: tuple[bytes, ...]) -> int:
    found = number
    for part in parts:
        found = crc32(part, found ^ len(part))  # bytes that move from one part to the next are noticed, too
    return crc32(content, found)


@contextmanager
def decoding() -> Iterator[None]:
    """Bytes that cannot be taken apart within it are damage."""
    try:
        yield
    except _UNREADABLE as problem:
        raise Damaged(f"a row cannot be read: {problem}") from problem


def seal(connection: sqlite3.Connection) -> None:
    """Write the sum of the small tables."""
    value = str(_seal_of(connection))
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SEAL, value))


def check_seal(connection: sqlite3.Connection) -> None:
    """Raise Damaged unless the small tables are what was written."""
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (SEAL,)).fetchone()
    if found is None or found[0] != str(_seal_of(connection)):
        raise Damaged("the settings are not what was written")


def _seal_of(connection: sqlite3.Connection) -> int:
    found = 0
    for query in _SEALED:
        found = crc32(repr(connection.execute(query).fetchall()).encode("utf-8", "surrogatepass"), found)
    return found


def check(connection: sqlite3.Connection) -> None:
    """Look at everything. Raises Damaged, or what SQLite raises, when something is not what was written."""
    with decoding():
        for (answer,) in connection.execute("PRAGMA integrity_check(1)"):
            if answer != "ok":
                raise Damaged(str(answer))
        for query in _SUMMED:
            for content, *parts in connection.execute(query):
                checked(content, *parts)
        check_seal(connection)


def is_damage(problem: Exception, path: Path) -> bool | None:
    """True when the file itself is broken, False when something else is; None when only a look at it can tell."""
    if isinstance(problem, Damaged):
        return True
    code = getattr(problem, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF
    if primary in _NOT_THE_FILE or (primary == sqlite3.SQLITE_READONLY and not os.access(path, os.W_OK)):
        return False
    return True if primary in _BROKEN else None
