"""Rows that enter a page at once leave the same site as rows that are decided one by one."""

from __future__ import annotations

import pytest

import tallystick
from tallystick.site import applying
from tallystick.sync.agreement import Plan

SCHEMA = (
    "CREATE TABLE place (code TEXT PRIMARY KEY, name TEXT)",
    "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, chief INTEGER REFERENCES person (id), "
    "place TEXT REFERENCES place (code), score REAL, raw BLOB)",
    "CREATE TABLE visit (id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES person (id), note TEXT UNIQUE)",
    "CREATE TABLE reading (at INTEGER, sensor TEXT, value ANY, PRIMARY KEY (at, sensor)) WITHOUT ROWID",
)
ROWS = (
    "INSERT INTO place VALUES ('x', 'X'), ('\\odd', NULL), ('ü', 'Ü')",
    "INSERT INTO person VALUES (1, 'one', NULL, 'x', 0.5, x'00ff'), (2, 'two', 3, NULL, NULL, NULL), "
    "(3, 'three', 3, 'ü', 1e300, x''), (4, NULL, 1, '\\odd', 7, 'text')",
    "INSERT INTO visit VALUES (1, 4, 'a'), (2, 1, NULL), (9, 2, 'b')",
    "INSERT INTO reading VALUES (1, 'a', 1), (1, 'b,', 'text'), (2, '\\', NULL)",
)
WAYS = {"at-once": applying.suits, "one-by-one": lambda *_: False}
LEDGER = (
    "SELECT resource, key, local, origin, tick, stamp, hash, rendered, flags, extra FROM tally_record ORDER BY 1, 2"
)
COUNTERS = "SELECT wire, count, names, content FROM tally_resource ORDER BY 1"


@pytest.fixture
def source(tmp_path):
    with tallystick.open(tmp_path / "source.db", create=True) as site:
        for statement in (*SCHEMA, *ROWS):
            site.ledger.engine.execute(statement)
        site.track()
        yield site


def taken(source, path, *statements):
    """A site that took everything from ``source``: its tables, ledger and counters, and the tallies."""
    with tallystick.open(path, create=True) as site:
        engine = site.ledger.engine
        for statement in statements:
            engine.execute(statement)
        report = site.sync(source, Plan(direction="pull", identity="same"))
        tables = [
            engine.query(f"SELECT * FROM {name} ORDER BY 1, 2") for name in ("place", "person", "visit", "reading")
        ]
        return tables, engine.query(LEDGER), engine.query(COUNTERS), report.total(), report.parked


@pytest.fixture
def both_ways(source, tmp_path, monkeypatch):
    """Takes everything twice: at once, and with that way closed. Returns both sites."""

    def take(*statements):
        at_once = taken(source, tmp_path / "at-once.db", *statements)
        monkeypatch.setattr(applying, "suits", lambda *_: False)
        return at_once, taken(source, tmp_path / "one-by-one.db", *statements)

    return take


def test_an_empty_site_becomes_the_same_either_way(source, both_ways):
    at_once, one_by_one = both_ways()
    assert at_once == one_by_one
    assert at_once[3].created == 13
    assert at_once[4] == 0


def test_edits_and_new_rows_of_a_second_pass_do_too(source, tmp_path, monkeypatch):
    found = []
    for name, way in WAYS.items():
        monkeypatch.setattr(applying, "suits", way)
        with tallystick.open(tmp_path / f"{name}.db", create=True) as site:
            site.sync(source, Plan(direction="pull"))
            found.append(site.state())
    for statement in (
        "UPDATE person SET name='edited' WHERE id=1",
        "INSERT INTO person VALUES (50, 'new', 1, 'x', 1, 2)",
    ):
        source.ledger.engine.execute(statement)
    tables = []
    for name, way in WAYS.items():
        monkeypatch.setattr(applying, "suits", way)
        with tallystick.open(tmp_path / f"{name}.db") as site:
            site.sync(source, Plan(direction="pull"))
            tables.append((site.ledger.engine.query("SELECT * FROM person"), site.ledger.engine.query(LEDGER)))
            assert site.verify(source, deep=True).agree
    assert tables[0] == tables[1]


def test_taken_integers_get_others_with_their_children(source, tmp_path, monkeypatch):
    """Both sites use the same new integers for different rows."""
    own = (
        "INSERT INTO person (id, name) VALUES (50, 'mine')",
        "INSERT INTO visit (id, person, note) VALUES (50, 50, 'c')",
    )
    for name in WAYS:
        with tallystick.open(tmp_path / f"{name}.db", create=True) as site:
            site.sync(source, Plan(direction="pull"))
            for statement in own:
                site.ledger.engine.execute(statement)
    for statement in own:
        source.ledger.engine.execute(statement.replace("mine", "yours").replace("'c'", "'d'"))
    found = []
    for name, way in WAYS.items():
        monkeypatch.setattr(applying, "suits", way)
        with tallystick.open(tmp_path / f"{name}.db") as site:
            site.sync(source, Plan(direction="pull"))
            found.append(
                site.ledger.engine.query(
                    "SELECT p.id, p.name, v.id, v.note FROM person p LEFT JOIN visit v ON v.person=p.id ORDER BY 1, 3"
                )
            )
    assert found[0] == found[1]
    assert {(row[1], row[3]) for row in found[0]} >= {("mine", "c"), ("yours", "d")}


@pytest.mark.parametrize(
    "obstacle",
    (
        "CREATE TRIGGER guard BEFORE INSERT ON visit WHEN NEW.note='a' BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE UNIQUE INDEX one_name ON person (coalesce(name, 'one'))",
    ),
)
def test_a_row_that_the_database_refuses_parks_alone_either_way(both_ways, obstacle):
    at_once, one_by_one = both_ways(*SCHEMA, obstacle)
    assert at_once == one_by_one
    assert at_once[4] >= 1


def test_a_child_whose_parent_was_refused_waits_either_way(both_ways):
    refusing = SCHEMA[1].replace("name TEXT", "name TEXT CHECK (name <> 'two')")
    at_once, one_by_one = both_ways(SCHEMA[0], refusing, *SCHEMA[2:])
    assert at_once == one_by_one
    assert at_once[4] == 2
