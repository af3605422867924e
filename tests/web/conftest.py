"""Served sites for the tests of the application."""

from __future__ import annotations

import http.client
import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.users import add, remove
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Wanted


class Got(NamedTuple):
    """What was answered."""

    status: int
    body: bytes
    headers: dict[str, str]


class SiteFile:
    """A tracked database with one table of three rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE person (id TEXT PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO person VALUES (?, ?)", [("1", "Ann"), ("2", "Bob"), ("3", "Cleo")])
        connection.commit()
        connection.close()
        self.replica = LocalReplica.open(SQLiteEngine(path), path.stem)
        self.replica.prepare(Wanted([], ["person"]))

    def add_user(self, name: str, password: str, role: str) -> None:
        add(self.replica.ledger, name, password, role)

    def remove_user(self, name: str) -> None:
        remove(self.replica.ledger, name)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteFile]:
    made = SiteFile(tmp_path / "clinic.db")
    yield made
    made.replica.close()


def basic(name: str, password: str) -> dict[str, str]:
    """The header of Basic credentials."""
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


Ask = Callable[..., Got]


@pytest.fixture
def ask() -> Ask:
    """Sends one request on a connection of its own."""

    def send(url: str, path: str, method: str = "GET", body: bytes = b"", **options: object) -> Got:
        headers = dict(options.get("headers") or {})  # type: ignore[call-overload]
        if "user" in options:
            headers.update(basic(*options["user"]))  # type: ignore[misc]
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Got(response.status, response.read(), found)
        finally:
            connection.close()

    return send
