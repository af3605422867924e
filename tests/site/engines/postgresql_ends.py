"""Ends on PostgreSQL and SQLite for the agreement tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.sync.local import LocalReplica


class PostgreSQLEnd:
    """A site in a PostgreSQL database, and the application's own connection."""

    def __init__(self, url: str, name: str, statements: tuple[str, ...]) -> None:
        import psycopg

        from tallystick.site.engines.postgresql import PostgreSQLEngine

        self.url, self.name, self.open = url, name, PostgreSQLEngine
        self.connection = psycopg.connect(url, autocommit=True)
        self.execute(*statements)
        self.replica = LocalReplica.open(PostgreSQLEngine(url), name)

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query.encode()).fetchall()

    def bypass(self, *statements: str) -> None:
        """Write without leaving marks, as a tool that disables triggers would."""
        with self.connection.transaction():
            self.connection.execute("SET LOCAL tally.applying = 'on'")
            self.execute(*statements)

    def reopen(self) -> None:
        self.replica.close()
        self.replica = LocalReplica.open(self.open(self.url), self.name)

    def close(self) -> None:
        self.replica.close()
        self.connection.close()


class SQLiteEnd:
    """A site in an SQLite file, and the application's own connection."""

    def __init__(self, path: Path, statements: tuple[str, ...]) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys=ON")
        self.execute(*statements)
        self.replica = LocalReplica.open(SQLiteEngine(path), path.stem)

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()

    def bypass(self, *statements: str) -> None:
        self.connection.execute("BEGIN")
        self.connection.execute("INSERT INTO tally_applying VALUES (1)")
        self.execute(*statements)
        self.connection.execute("DELETE FROM tally_applying")
        self.connection.execute("COMMIT")

    def reopen(self) -> None:
        self.replica.close()
        self.replica = LocalReplica.open(SQLiteEngine(self.path), self.path.stem)

    def close(self) -> None:
        self.replica.close()
        self.connection.close()


class Workshop:
    """Makes ends: on PostgreSQL, or turn by turn on PostgreSQL and SQLite."""

    def __init__(self, database: Any, directory: Path, kinds: tuple[str, ...]) -> None:
        self.database, self.directory, self.kinds = database, directory, kinds
        self.ends: list[Any] = []

    def kinds_of(self, count: int) -> list[str]:
        """On which databases the first ends are."""
        return [self.kinds[number % len(self.kinds)] for number in range(count)]

    def end(self, name: str, *statements: str) -> Any:
        kind = self.kinds[len(self.ends) % len(self.kinds)]
        made: Any
        if kind == "sqlite":
            made = SQLiteEnd(self.directory / f"{name}.db", statements)
        else:
            made = PostgreSQLEnd(self.database(), name, statements)
        self.ends.append(made)
        return made

    def close(self) -> None:
        for end in self.ends:
            end.close()


def workshop_of(database: Any, directory: Path, *kinds: str) -> Iterator[Workshop]:
    workshop = Workshop(database, directory, kinds)
    yield workshop
    workshop.close()
