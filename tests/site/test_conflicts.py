"""The conflict log says a loser once, and no loser less than once."""

from __future__ import annotations

import sqlite3

import pytest

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.site.conflicts import LATELY_MS, logged
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.retention import purge
from tallystick.site.siblings import resolve
from tallystick.sync.agreement import agree
from tallystick.sync.local import LocalReplica
from tallystick.sync.plan import Plan

SCHEMA = "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT)"


class Clock:
    """The wall clock of all sites, which stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000

    def __call__(self) -> int:
        return self.time


class Place:
    """A database, and its site."""

    def __init__(self, path, clock) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute(SCHEMA)
        self.replica = LocalReplica.open(SQLiteEngine(path), path.stem, clock)

    def edit(self, note: str) -> None:
        self.connection.execute(
            "INSERT INTO item VALUES ('1', ?) ON CONFLICT (id) DO UPDATE SET note=excluded.note", (note,)
        )

    def stamp(self) -> None:
        self.replica.check(())

    def log(self) -> list[tuple[str, str | None]]:
        """Kind of every entry, and what lost."""
        return [(one.kind, (one.version.content or {}).get("note")) for one in logged(self.replica.ledger)]

    def purge(self, before: int) -> int:
        ledger = self.replica.ledger
        with ledger.write():
            return purge(ledger, ledger.resource("item"), before).conflicts

    def close(self) -> None:
        self.replica.close()
        self.connection.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pair(tmp_path, clock):
    """Two sites that have edited one record differently and agreed since: the second one's edit is shown."""
    a, b = Place(tmp_path / "a.db", clock), Place(tmp_path / "b.db", clock)
    a.edit("old")
    agree(a.replica, b.replica, Plan())
    conflict(a, b, clock)
    yield a, b
    a.close()
    b.close()


def conflict(a, b, clock, resolution=Resolution.OTHER, again=""):
    clock.time += 1000
    a.edit("here" + again)
    b.edit("there" + again)
    agree(a.replica, b.replica, Plan(policies={"": Policy(conflict=FieldPolicy(resolution))}))


def test_a_loser_is_logged_at_the_decision_and_not_again_at_the_end_soon_after(pair, clock):
    a, b = pair
    assert (a.log(), b.log()) == ([("lost here", "here")], [("lost on arrival", "here")])
    clock.time += LATELY_MS - 1
    a.edit("afterwards")
    agree(a.replica, b.replica, Plan())
    assert (a.log(), b.log()) == ([("lost here", "here")], [("lost on arrival", "here")])
    assert a.connection.execute("SELECT * FROM tally_sibling").fetchall() == []


def test_a_loser_whose_conflict_ends_later_is_logged_once_more(pair, clock):
    a, _ = pair
    clock.time += LATELY_MS
    a.edit("afterwards")
    a.stamp()
    assert a.log() == [("lost here", "here"), ("closed", "here")]


def test_what_is_logged_stays_while_its_conflict_lasts(pair, clock):
    a, _ = pair
    clock.time += 10
    assert a.purge(clock.time) == 0
    a.edit("afterwards")
    a.stamp()
    assert a.log() == [("lost here", "here")]
    assert a.purge(clock.time) == 1


def test_what_was_logged_long_ago_is_purged_while_its_conflict_lasts_and_logged_at_its_end(pair, clock):
    a, _ = pair
    clock.time += LATELY_MS + 1000
    assert a.purge(clock.time) == 1
    a.edit("afterwards")
    a.stamp()
    assert a.log() == [("closed", "here")]


def test_what_nobody_decided_is_logged_when_it_is_closed(tmp_path, clock):
    a, b = Place(tmp_path / "a.db", clock), Place(tmp_path / "b.db", clock)
    a.edit("old")
    agree(a.replica, b.replica, Plan())
    conflict(a, b, clock, Resolution.ASK)
    assert a.log() == []
    agree(a.replica, b.replica, Plan())
    ledger = a.replica.ledger
    with ledger.write():
        resolve(ledger, ledger.resource("item"), "1", {"note": "decided"})
    assert sorted(a.log()) == [("decided", "here"), ("decided", "there")]
    a.close()
    b.close()


def test_a_second_conflict_on_top_of_one_keeps_every_loser(pair, clock):
    a, b = pair
    conflict(a, b, clock, again=" again")
    conflict(a, b, clock, again=" and again")
    lost = ["here", "here again", "here and again"]
    assert [note for _, note in a.log()] == lost
    assert [note for _, note in b.log()] == lost
