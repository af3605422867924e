"""What guards look back on: local edits that lost, counted by run and resource without reading the conflict log."""

from __future__ import annotations

import pytest

import tallystick
from tallystick.errors import GuardStopped
from tallystick.site import deletions

HOUR_MS = 3_600_000


@pytest.fixture
def ledger(tmp_path):
    with tallystick.open(tmp_path / "site.db", create=True) as site:
        for name in ("item", "other"):
            site.ledger.engine.execute(f"CREATE TABLE {name} (id TEXT PRIMARY KEY)")
            site.ledger.engine.executemany(f"INSERT INTO {name} VALUES (?)", [(str(number),) for number in range(40)])
        site.track()
        yield site.ledger


def note(ledger, *noted):
    with ledger.write():
        for wire, run, count in noted:
            deletions.note_lost(ledger, wire, run, count)


def test_lost_edits_of_all_pages_of_a_run_count_together(ledger):
    note(ledger, ("item", "run", 15), ("other", "run", 20))
    deletions.check_lost(ledger, ledger.resource("item"), "run", 0)
    note(ledger, ("item", "run", 6))
    with pytest.raises(GuardStopped, match="21 of 40 records of 'item'"):
        deletions.check_lost(ledger, ledger.resource("item"), "run", 0)
    deletions.check_lost(ledger, ledger.resource("other"), "run", 0)
    deletions.check_lost(ledger, ledger.resource("item"), "run", 21)


def test_those_of_another_run_do_not_count(ledger):
    note(ledger, ("item", "first", 40))
    deletions.check_lost(ledger, ledger.resource("item"), "second", 0)


def test_what_is_older_than_the_window_is_forgotten(ledger):
    note(ledger, ("item", "run", 40))
    now = ledger.now
    ledger.now = lambda: now() + deletions.WINDOW_MS + HOUR_MS
    deletions.check_lost(ledger, ledger.resource("item"), "run", 0)
    note(ledger, ("item", "next", 1))
    assert '"run"' not in ledger.meta("lost")


def test_nothing_lost_writes_nothing(ledger):
    note(ledger, ("item", "run", 0))
    assert ledger.meta("lost") == ""
