"""Ends for the agreement tests."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "site" / "engines"))

from items import ITEM

from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.sync.local import LocalReplica
from tallystick.testing.contract import sync


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
        """Write without leaving marks, as a tool that disables triggers would."""
        self.connection.execute("BEGIN")
        self.connection.execute("INSERT INTO tally_applying VALUES (1)")
        self.execute(*statements)
        self.connection.execute("DELETE FROM tally_applying")
        self.connection.execute("COMMIT")

    def reopen(self) -> None:
        """Close the site and open it again."""
        self.replica.close()
        self.replica = LocalReplica.open(SQLiteEngine(self.path), self.path.stem)

    def close(self) -> None:
        self.replica.close()
        self.connection.close()


class SQLiteWorkshop:
    """Makes SQLite ends in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ends: list[SQLiteEnd] = []

    def kinds_of(self, count: int) -> list[str]:
        return ["sqlite"] * count

    def end(self, name: str, *statements: str) -> SQLiteEnd:
        made = SQLiteEnd(self.directory / f"{name}.db", statements)
        self.ends.append(made)
        return made

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture
def sqlite_workshop(tmp_path: Path) -> Iterator[SQLiteWorkshop]:
    workshop = SQLiteWorkshop(tmp_path)
    yield workshop
    workshop.close()


@pytest.fixture
def items(sqlite_workshop):
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one'), (2, 'y', 'two')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    return a, b
