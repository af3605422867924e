"""Throw-away databases for the engine tests."""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tallystick.site.capture import track
from tallystick.site.engines.engine import Mark
from tallystick.site.ledger import Ledger, Tracked

SERVER = os.environ.get("TALLYSTICK_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")


def _at(database: str) -> str:
    return urlsplit(SERVER)._replace(path="/" + database).geturl()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Any]:
    """A connection to the server's maintenance database, or a skip that says why there is none."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'tallystick[postgres]'")
    try:
        connection = psycopg.connect(SERVER, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL at TALLYSTICK_TEST_POSTGRESQL or the local default: {error}")
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def _postgresql_pool(postgresql_server: Any) -> Iterator[list[str]]:
    """Names of databases that are empty again: making and dropping one costs a second, emptying one a few ms."""
    idle: list[str] = []
    yield idle
    for name in idle:
        postgresql_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgresql_database(postgresql_server: Any, _postgresql_pool: list[str]) -> Iterator[Any]:
    """Makes empty databases and returns their URLs; they are emptied after the test."""
    used: list[str] = []

    def create() -> str:
        if _postgresql_pool:
            name = _postgresql_pool.pop()
        else:
            name = "tally_test_" + secrets.token_hex(6)
            postgresql_server.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        used.append(name)
        return _at(name)

    yield create
    for name in used:
        _empty(postgresql_server, name)
        _postgresql_pool.append(name)


def _empty(server: Any, name: str) -> None:
    import psycopg

    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    with psycopg.connect(_at(name), autocommit=True) as connection:
        schemas = connection.execute(
            "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' "
            "AND nspname <> 'information_schema'"
        ).fetchall()
        connection.execute("SET client_min_messages = warning")
        for (schema,) in schemas:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
        connection.execute("CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC")


class PostgreSQLApplication:
    """The application's own connection to a database."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        import psycopg

        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode()).fetchall()

    def engine(self) -> Any:
        from tallystick.site.engines.postgresql import PostgreSQLEngine

        return PostgreSQLEngine(self.url)

    def close(self) -> None:
        self.connection.close()


class SQLiteApplication:
    """The application's own connection to a database file."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.url = str(path)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys=ON")

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def engine(self) -> Any:
        from tallystick.site.engines.sqlite import SQLiteEngine

        return SQLiteEngine(self.url)

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def postgresql_application(postgresql_database: Any) -> Iterator[PostgreSQLApplication]:
    application = PostgreSQLApplication(postgresql_database())
    yield application
    application.close()


@pytest.fixture
def sqlite_application(tmp_path: Path) -> Iterator[SQLiteApplication]:
    application = SQLiteApplication(tmp_path / "application.db")
    yield application
    application.close()


@pytest.fixture
def application_class() -> type[PostgreSQLApplication]:
    """For tests that need several connections or databases."""
    return PostgreSQLApplication


class Site:
    """A tracked database: engine, ledger and the application's connection."""

    def __init__(self, application: Any, *statements: str) -> None:
        self.application = application
        application.execute(*statements)
        self.engine = application.engine()
        try:
            self.ledger = Ledger.create(self.engine)
            with self.ledger.write():
                track(self.ledger)
        except BaseException:
            self.engine.close()
            raise

    def tracked(self, wire: str) -> Tracked:
        return self.ledger.resource(wire)

    def rows(self, wire: str) -> Any:
        return self.tracked(wire).rows

    def marks(self, wire: str, clear: bool = False) -> list[Mark]:
        """The marks of one resource as they are now."""
        with self.engine.write():
            definitions = {item.number: item.definition for item in self.ledger.resources()}
            found, last = self.engine.marks(definitions)
            if clear:
                self.engine.clear_marks(last)
        return found.get(self.tracked(wire).number, [])

    def told(self, wire: str) -> list[tuple[Any, ...]]:
        """Kinds and addresses of the marks, times left out."""
        return sorted((mark.kind, mark.old, mark.new) for mark in self.marks(wire) if mark.kind != "E")


@pytest.fixture
def tracked_site() -> Iterator[Any]:
    """Makes tables in an application's database and tracks them all; closes what it opened."""
    sites: list[Site] = []

    def made(application: Any, *statements: str) -> Site:
        sites.append(Site(application, *statements))
        return sites[-1]

    yield made
    for site in sites:
        site.engine.close()


@pytest.fixture
def postgresql_site(postgresql_application: PostgreSQLApplication, tracked_site: Any) -> Any:
    """The same, in a PostgreSQL database of the test."""
    return lambda *statements: tracked_site(postgresql_application, *statements)


@pytest.fixture
def mixed(postgresql_database: Any, tmp_path: Path) -> Iterator[Any]:
    """Makes ends turn by turn on PostgreSQL and SQLite."""
    from postgresql_ends import workshop_of

    yield from workshop_of(postgresql_database, tmp_path, "postgresql", "sqlite")
