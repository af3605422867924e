"""Sites with a table, on SQLite and on PostgreSQL, and the application's own connection to them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

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
        for statement in TABLES:
            self.execute(statement)
        self.site: Site = tallystick.open(url)
        self.site.track()
        self._others: list[Site] = []

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


@pytest.fixture
def postgresql_place(postgresql_database):
    """A place in a PostgreSQL database."""
    import psycopg

    made = Place(postgresql_database, psycopg.connect(postgresql_database, autocommit=True))
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request):
    """A place on either database."""
    return request.getfixturevalue(f"{request.param}_place")
