"""Sites with a table, on SQLite and on PostgreSQL, and the application's own connection to them."""

from __future__ import annotations

import sqlite3
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import tallystick
from tallystick.api import Site

TABLES = (
    "CREATE TABLE person (id VARCHAR(20) PRIMARY KEY, name VARCHAR(50), age INTEGER)",
    "CREATE TABLE town (id VARCHAR(20) PRIMARY KEY, name VARCHAR(50))",
)


class Place:
    """A tracked database: ``site`` and what the application does to it."""

    def __init__(self, url: str, connection: Any) -> None:
        self.url = url
        self.connection = connection
        self._create()
        self.site: Site = tallystick.open(url)
        self.site.track()
        self._others: list[Site] = []

    def _create(self) -> None:
        if isinstance(self.connection, sqlite3.Connection):
            for statement in TABLES:
                self.execute(statement)
            return
        self.execute("DROP TABLE IF EXISTS pet")
        for statement in TABLES:
            self.execute(statement.replace("TABLE", "TABLE IF NOT EXISTS"))
        for table in ("person", "town"):
            self.execute(f"DELETE FROM {table}")

    def execute(self, sql: str, *parameters: Any) -> None:
        """Run a statement as the application does, in a transaction of its own."""
        mark = "?" if isinstance(self.connection, sqlite3.Connection) else "%s"
        self.connection.execute(sql.replace("?", mark), parameters)

    def put(self, key: str, name: str = "x", age: int = 1, table: str = "person") -> None:
        """Insert or update a row."""
        if table == "town":
            sql = "INSERT INTO town(id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name=excluded.name"
            return self.execute(sql, key, name)
        self.execute(
            "INSERT INTO person(id, name, age) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET name=excluded.name, age=excluded.age",
            key,
            name,
            age,
        )

    def delete(self, key: str, table: str = "person") -> None:
        """Delete a row."""
        self.execute(f"DELETE FROM {table} WHERE id=?", key)

    def rows(self, table: str = "person") -> dict[str, tuple[Any, ...]]:
        """What the table holds."""
        return {row[0]: tuple(row[1:]) for row in self.connection.execute(f"SELECT * FROM {table}").fetchall()}

    def another(self) -> Site:
        """The site opened once more."""
        self._others.append(tallystick.open(self.url))
        return self._others[-1]

    def close(self) -> None:
        """Close everything."""
        for site in [*self._others, self.site]:
            site.close()
        self.connection.close()


@pytest.fixture
def sqlite_place(tmp_path):
    """A place in an SQLite file."""
    path: Path = tmp_path / "site.db"
    made = Place(str(path), sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30))
    yield made
    made.close()


@pytest.fixture(scope="session")
def stream_database(postgresql_server):
    """One PostgreSQL database for all tests of streams: what one leaves is deleted before the next."""
    import psycopg

    name = f"tally_test_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        try:
            yield urlsplit(postgresql_server)._replace(path="/" + name).geturl()
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def postgresql_place(stream_database):
    """A place in a PostgreSQL database."""
    import psycopg

    connection = psycopg.connect(stream_database, autocommit=True)
    if connection.execute("SELECT to_regclass('tally.stream_parked')").fetchone() != (None,):
        connection.execute("DELETE FROM tally.stream_parked; DELETE FROM tally.webhook; DELETE FROM tally.webhook_log")
    if connection.execute("SELECT to_regclass('pet')").fetchone() != (None,):
        with tallystick.open(stream_database) as site:
            site.untrack("pet")
    made = Place(stream_database, connection)
    made.site.state()
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request):
    """A place on either database."""
    return request.getfixturevalue(f"{request.param}_place")
