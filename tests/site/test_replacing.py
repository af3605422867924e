"""Rows that replace ours a page at once leave the same site as rows that are decided one by one."""

from __future__ import annotations

import pytest

import tallystick
from tallystick.site import applying
from tallystick.site.replacing import Replaced
from tallystick.sync.agreement import Plan

SCHEMA = (
    "CREATE TABLE place (code TEXT PRIMARY KEY, name TEXT UNIQUE, size INTEGER)",
    "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, chief INTEGER REFERENCES person (id))",
    "CREATE TABLE visit (id INTEGER PRIMARY KEY, person INTEGER REFERENCES person (id), "
    "place TEXT REFERENCES place (code), note TEXT CHECK (note <> 'never'))",
    "CREATE TABLE bare (code TEXT PRIMARY KEY)",
)
ROWS = (
    "INSERT INTO place VALUES ('x', 'X', 1), ('\\odd', NULL, 2), ('y', 'Y', 3)",
    "INSERT INTO person VALUES (1, 'one', NULL), (2, 'two', 1), (3, 'three', 3)",
    "INSERT INTO visit VALUES (1, 1, 'x', 'a'), (2, 2, 'y', NULL), (3, NULL, NULL, 'c')",
    "INSERT INTO bare VALUES ('only')",
)
EDITS = {
    "values": ("UPDATE place SET size=size+1", "UPDATE visit SET note=NULL WHERE id=1"),
    "references": ("UPDATE visit SET person=3, place='\\odd' WHERE id<3", "UPDATE person SET chief=2 WHERE id=3"),
    "new-parents": ("INSERT INTO person VALUES (7, 'seven', 7)", "UPDATE visit SET person=7"),
    "swapped": (
        "UPDATE place SET name='Z' WHERE code='x'",
        "UPDATE place SET name='X' WHERE code='y'",
        "UPDATE place SET name='Y' WHERE code='x'",
    ),
    "deleted-beside": ("DELETE FROM visit WHERE id=3", "UPDATE visit SET note='d' WHERE id=1"),
    "keys": ("UPDATE person SET name=NULL", "UPDATE place SET code='z' WHERE code='\\odd'"),
}
LEDGER = "SELECT resource, key, origin, tick, stamp, hash, rendered, flags, extra FROM tally_record ORDER BY 1, 2"
COUNTERS = "SELECT wire, count, names, content FROM tally_resource ORDER BY 1"
TABLES = ("place", "person", "visit", "bare")


@pytest.fixture
def source(tmp_path):
    with tallystick.open(tmp_path / "source.db", create=True) as site:
        for statement in (*SCHEMA, *ROWS):
            site.ledger.engine.execute(statement)
        site.track()
        yield site


@pytest.fixture
def sites(source, tmp_path):
    """Two sites that agree with the source."""
    made = [tallystick.open(tmp_path / f"{name}.db", create=True) for name in ("at-once", "one-by-one")]
    for site in made:
        site.sync(source, Plan(direction="pull", identity="same"))
    yield made
    for site in made:
        site.close()


def edit(site, statements):
    for statement in statements:
        site.ledger.engine.execute(statement)


def pulled(site, source):
    """What the site holds after a pull, and what the pull did."""
    report = site.sync(source, Plan(direction="pull", allowed=-1))
    query = site.ledger.engine.query
    tables = [query(f"SELECT * FROM {name} ORDER BY 1") for name in TABLES]
    return tables, query(LEDGER), query(COUNTERS), report.total(), report.parked


def counted(monkeypatch, way):
    """Let ``applying`` replace rows by ``way``; returns a list that grows by how many were."""
    done = []

    def replacing(*arguments):
        made = way(*arguments)
        done.append(made.updated)
        return made

    monkeypatch.setattr(applying, "replace", replacing)
    return done


@pytest.mark.parametrize("name", EDITS)
def test_edits_leave_the_same_site_either_way(name, source, sites, monkeypatch):
    edit(source, EDITS[name])
    done = counted(monkeypatch, applying.replace)
    at_once = pulled(sites[0], source)
    monkeypatch.setattr(applying, "replace", lambda ledger, tracked, page, rows, *_: Replaced(0, rows))
    assert at_once == pulled(sites[1], source)
    assert at_once[4] == 0
    assert at_once[0] == [source.ledger.engine.query(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES]
    assert sum(done) > 0 or name in ("swapped", "keys")


def test_a_row_that_the_database_refuses_parks_and_delays_no_other(source, sites, monkeypatch):
    # the rule is one of the receiver alone
    for site in sites:
        edit(site, ("CREATE UNIQUE INDEX one_size ON place (size)",))
    edit(source, ("UPDATE place SET size=7 WHERE code<>'x'", "UPDATE place SET name='new' WHERE code='x'"))
    at_once = pulled(sites[0], source)
    monkeypatch.setattr(applying, "replace", lambda ledger, tracked, page, rows, *_: Replaced(0, rows))
    one_by_one = pulled(sites[1], source)
    assert at_once[0] == one_by_one[0]
    assert at_once[4] == one_by_one[4] == 1
    assert ("x", "new", 1) in at_once[0][0]


def test_an_edit_that_had_not_seen_ours_is_a_conflict(source, sites, monkeypatch):
    site = sites[0]
    done = counted(monkeypatch, applying.replace)
    edit(source, ("UPDATE place SET size=50 WHERE code='x'", "UPDATE place SET size=60 WHERE code='y'"))
    edit(site, ("UPDATE place SET size=70 WHERE code='x'",))
    report = site.sync(source, Plan(direction="pull"))
    assert report.total().conflicts == 1
    assert sum(done) == 1
    assert site.ledger.engine.query("SELECT count(*) FROM tally_sibling") == [(1,)]


def test_what_is_applied_leaves_no_marks(source, sites):
    edit(source, EDITS["values"])
    sites[0].sync(source, Plan(direction="pull"))
    assert sites[0].ledger.engine.query("SELECT count(*) FROM tally_mark") == [(0,)]
    assert sites[0].inspect() == []
