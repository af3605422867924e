"""The data of the records benchmark: 100,000 records of about 500 bytes in 12 columns, in SQLite and PostgreSQL."""

from __future__ import annotations

import random
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COLUMNS = (
    "id TEXT PRIMARY KEY, name TEXT, city TEXT, street TEXT, phone TEXT, email TEXT, note TEXT, age INTEGER, "
    "score REAL, born TEXT, active INTEGER, total INTEGER"
)
WIDTH = 12
INSERT = f"INSERT INTO person VALUES ({', '.join('?' * WIDTH)})"


def rows(count: int, seed: int = 1) -> Iterator[tuple[Any, ...]]:
    """``count`` rows under random keys, the same ones for a seed."""
    chance = random.Random(seed)
    for number in range(count):
        yield (
            f"{chance.getrandbits(128):032x}",
            f"name {number}",
            f"city {number % 100}",
            "street " * 5,
            f"{number:012d}",
            f"a{number}@example.org",
            f"{chance.getrandbits(960):0240x}",
            number % 90,
            number * 1.5,
            f"2001-01-{number % 28 + 1:02d}",
            number % 2,
            number * 7,
        )


def connect(path: Path) -> sqlite3.Connection:
    """A connection as an application has one: every statement is a durable transaction unless it says BEGIN."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def fill(path: Path, count: int) -> Path:
    """A new database with ``count`` rows in ``person``."""
    with closing(connect(path)) as connection:
        connection.execute(f"CREATE TABLE person ({COLUMNS})")
        connection.execute("BEGIN")
        connection.executemany(INSERT, rows(count))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def copy(source: Path, target: Path) -> Path:
    """A copy of a database that nobody has open."""
    shutil.copyfile(source, target)
    return target


def edit(path: Path, count: int, offset: int, text: str) -> None:
    """What an application does between two passes: ``count`` updates in one transaction."""
    with closing(connect(path)) as connection:
        connection.execute(
            "UPDATE person SET note = ? || substr(note, 9) WHERE id IN "
            "(SELECT id FROM person ORDER BY id LIMIT ? OFFSET ?)",
            (f"{text:8.8}", count, offset),
        )


@contextmanager
def postgresql(server: str) -> Iterator[str]:
    """The URL of a new, empty database that is dropped afterwards. Raises psycopg.Error when there is no server."""
    import psycopg

    name = "tally_bench_" + secrets.token_hex(4)
    with psycopg.connect(server, autocommit=True, connect_timeout=3) as maintenance:
        maintenance.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
        try:
            yield urlsplit(server)._replace(path="/" + name).geturl()
        finally:
            maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
