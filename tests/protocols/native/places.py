"""Served places for the tests of the native protocol: real databases, real servers on loopback."""

from __future__ import annotations

import random
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tallystick.protocols.native.replica import RemoteReplica
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.users import add
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Replica
from tallystick.web import running

PERSON = "CREATE TABLE person (id TEXT PRIMARY KEY, name TEXT, age INTEGER, photo BLOB, score REAL)"


def no_wait(_: float) -> None:
    """Back-off for tests: not at all."""


class Place:
    """An SQLite database: the application's connection, the site of it in this process, and the served one."""

    def __init__(self, path: Path, statements: tuple[str, ...] = ()) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA foreign_keys=ON")
        self.execute(*statements)
        self.local = LocalReplica.open(SQLiteEngine(path), path.stem)
        self.replica: Replica = self.local
        self.stack = ExitStack()
        self.url = ""

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

    def serve(self, **options: Any) -> RemoteReplica:
        """Serve the site from now on, and give a client of it."""
        if not self.url:
            self.url = self.stack.enter_context(running(str(self.path), **options))
        return RemoteReplica(self.url, wait=no_wait)

    def prints(self) -> dict[str, Any]:
        """Fingerprint and seq of every resource: what nothing may have changed."""
        self.local.ledger.load()
        listed = [self.local.ledger.resource(item.wire) for item in self.local.ledger.resources()]
        return {item.wire: (item.fingerprint, item.seq, item.tick) for item in listed}

    def contents(self) -> dict[str, Any]:
        """Fingerprint of every resource."""
        return {wire: found[0] for wire, found in self.prints().items()}

    def add_user(self, name: str, password: str, role: str) -> None:
        add(self.local.ledger, name, password, role)

    def close(self) -> None:
        self.replica.close()
        self.stack.close()
        self.local.close()
        self.connection.close()


def fill(one: Place, count: int, start: int = 0) -> None:
    """Insert people."""
    numbers = range(start, start + count)
    rows = [(f"p{n:06}", f"name {n}", n % 90, random.Random(n).randbytes(40), n / 8) for n in numbers]
    one.connection.execute("BEGIN")
    one.connection.executemany("INSERT INTO person VALUES (?, ?, ?, ?, ?)", rows)
    one.connection.execute("COMMIT")
