"""Running commands in this process, as a shell would."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

import pytest

from tallystick.cli.main import main


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TALLYSTICK_PASSWORD", raising=False)

    def call(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(words))
        captured = capsys.readouterr()
        return Done(left.value.code or 0, captured.out, captured.err)

    return call


@pytest.fixture
def database(tmp_path):
    """Runs SQL in a database of the test's directory and returns rows."""

    def execute(name, *statements):
        connection = sqlite3.connect(tmp_path / name)
        rows = []
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        connection.commit()
        connection.close()
        return rows

    return execute


@pytest.fixture
def people(database):
    """a.db with two people."""
    database(
        "a.db",
        "CREATE TABLE people (id TEXT PRIMARY KEY, full_name TEXT, age INTEGER)",
        "INSERT INTO people VALUES ('p1', 'Ann', 30), ('p2', 'Bob', 40)",
    )
    return database
