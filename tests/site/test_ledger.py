"""The ledger, and tables that rooms keep beside it: made once, migrated step by step, refused when newer."""

from __future__ import annotations

import pytest

import tallystick
from tallystick.errors import ConfigurationError
from tallystick.site.ledger import Ledger
from tallystick.site.ledger_tables import FORMAT

FIRST = ("CREATE TABLE tally_errand (id {int} PRIMARY KEY, name {text} NOT NULL)",)
SECOND = ("ALTER TABLE tally_errand ADD COLUMN done {int}",)


@pytest.fixture(params=("sqlite", "postgresql"))
def site(request, tmp_path):
    url = tmp_path / "a.db" if request.param == "sqlite" else request.getfixturevalue("postgresql_database")
    with tallystick.open(url, create=True) as opened:
        yield opened


def test_a_room_finds_its_tables_made_and_migrated(site):
    site.ledger.require("errands", (FIRST,))
    site.ledger.engine.execute("INSERT INTO tally_errand(id, name) VALUES (?, ?)", (1, "fetch"))
    site.ledger.require("errands", (FIRST, SECOND))
    site.ledger.require("errands", (FIRST, SECOND))
    assert site.ledger.engine.query("SELECT id, name, done FROM tally_errand") == [(1, "fetch", None)]


def test_tables_of_a_newer_release_are_refused(site):
    site.ledger.require("errands", (FIRST, SECOND))
    with pytest.raises(ConfigurationError, match="format 2, this release knows up to 1"):
        site.ledger.require("errands", (FIRST,))


def test_tables_of_a_room_go_with_untracking(site):
    site.ledger.require("errands", (FIRST,))
    site.untrack()
    assert not any(table.name.endswith("errand") for table in site.ledger.engine.tables())
    assert not site.ledger.engine.has_ledger()


def test_a_step_that_fails_leaves_nothing(site):
    with pytest.raises(Exception, match=r"(?i)syntax"):
        site.ledger.require("errands", (FIRST, ("CREATE NONSENSE",)))
    site.ledger.require("errands", (FIRST,))


def test_a_ledger_of_the_first_format_is_migrated_when_it_is_opened(site):
    engine = site.ledger.engine
    with engine.write():
        engine.execute("DROP TABLE tally_dangling")
        engine.execute(f"DROP INDEX {'tally.' if engine.dialect == 'postgresql' else 'tally_'}sibling_undecided")
        site.ledger.put_meta("format", "1")
    assert Ledger(engine).meta("format") == str(FORMAT)
    assert engine.query("SELECT * FROM tally_dangling") == []


def test_a_ledger_of_a_newer_release_is_refused(site):
    site.ledger.put_meta("format", "99")
    with pytest.raises(ConfigurationError, match=f"format 99, this release knows up to {FORMAT}"):
        Ledger(site.ledger.engine)
