"""Sites in SQLite files that meet through a directory only."""

from __future__ import annotations

import base64
import secrets
import shutil
import sqlite3

import pytest

from tallystick import api
from tallystick.jobs.bundles import exchange, signing_key
from tallystick.protocols.bundle.codec.signing import fingerprint
from tallystick.sync.plan import Plan

PEOPLE = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)"


class Place:
    """A site, and its visits to a directory."""

    def __init__(self, path, directory, *statements):
        self.path, self.directory = path, directory
        self.execute(*statements)
        self.site = api.open(path)

    def execute(self, *statements):
        connection = sqlite3.connect(self.path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def rows(self, query="SELECT * FROM people ORDER BY id"):
        connection = sqlite3.connect(self.path)
        found = connection.execute(query).fetchall()
        connection.close()
        return found

    @property
    def fingerprint(self):
        return fingerprint(signing_key(self.site.ledger).public)

    @property
    def folder(self):
        return self.directory / "tallystick" / self.site.id

    def visit(self, *trust, directory=None, **plan):
        """One visit; what was refused is raised by ``taken``."""
        url = f"files+dir:{directory or self.directory}"
        return api.logged_agree(self.site.replica, exchange(url, [place.fingerprint for place in trust]), Plan(**plan))

    def bundles(self, reader):
        """The folders of bundles that wait for ``reader``."""
        folder = self.folder / f"for-{reader.site.id}"
        return sorted(path for path in folder.glob("[0-9]*")) if folder.exists() else []

    def reopen(self):
        self.site.close()
        self.site = api.open(self.path)

    def close(self):
        self.site.close()


class Workshop:
    """Makes places around one directory."""

    def __init__(self, tmp_path):
        self.tmp_path, self.places = tmp_path, []
        self.directory = tmp_path / "stick"
        self.directory.mkdir()

    def place(self, name, *statements):
        path = self.tmp_path / f"{name}.db"
        made = Place(path, self.directory, *(statements or (PEOPLE,)))
        self.places.append(made)
        return made

    def acquainted(self, *places):
        """Places that have confirmed each other's keys and know what the others hold."""
        for place in places:
            place.visit()
        for _ in range(3):
            for place in places:
                place.visit(*places)
        return places

    def copied(self, to):
        """The directory as somebody carries it to elsewhere."""
        target = self.tmp_path / to
        shutil.copytree(self.directory, target)
        return target


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TALLYSTICK_KEY", base64.b64encode(secrets.token_bytes(32)).decode())


@pytest.fixture
def workshop(tmp_path):
    made = Workshop(tmp_path)
    yield made
    for place in made.places:
        place.close()


@pytest.fixture
def pair(workshop):
    """Two acquainted places that agree; each has one person."""
    a = workshop.place("a", PEOPLE, "INSERT INTO people(name) VALUES ('Ann')")
    b = workshop.place("b")
    workshop.acquainted(a, b)
    assert b.rows() == [(1, "Ann", None)]
    return a, b
