"""Ends that hold the same agree when they first meet, and only as far as that is proved."""

from __future__ import annotations

import sqlite3

import pytest
from msgspec.structs import replace

from tallystick.core.states import parse_state
from tallystick.sync.reached import state_of
from tallystick.sync.replica import Meeting, Scope, Wanted
from tallystick.testing.contract import settle, sync

SCOPE = Scope(("item",))
ROWS = [f"INSERT INTO item VALUES ('i{n}', 'old')" for n in range(10, 40)]


@pytest.fixture
def copies(sqlite_workshop):
    """Two ends that hold the same and have not met."""
    return copy(sqlite_workshop, "a"), copy(sqlite_workshop, "b")


def copy(workshop, name):
    made = workshop.end(name, "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT)", *ROWS)
    made.replica.prepare(Wanted([], ["item"]))
    return made


def asked(end, monkeypatch):
    """Notes which of an end's verbs are used from now on."""
    used = []
    for verb in ("meet", "digest", "changes", "ranges", "apply", "acknowledge", "conclude"):
        monkeypatch.setattr(end.replica, verb, noting(used, verb, getattr(end.replica, verb)))
    return used


def noting(used, verb, given):
    def noted(*arguments):
        used.append(verb)
        return given(*arguments)

    return noted


def held(end, of):
    """What an end holds of another one's changes."""
    return state_of(end.replica.ledger, of.replica.ledger.site, SCOPE)


def contents(end):
    return end.rows("SELECT * FROM item ORDER BY id")


def test_equal_copies_agree_by_meeting_once(copies, monkeypatch):
    a, b = copies
    used = asked(a, monkeypatch), asked(b, monkeypatch)
    assert sync(a, b).records == 0
    assert used == (["meet"], ["meet"])
    del used[0][:], used[1][:]
    assert sync(a, b).records == 0
    assert used == (["meet"], ["meet"])


def test_what_is_noted_is_what_empty_passes_would_have_noted(copies, sqlite_workshop):
    a, b = copies
    sync(a, b)
    c, d = copy(sqlite_workshop, "c"), copy(sqlite_workshop, "d")
    sync(c, d, direction="pull")
    sync(c, d, direction="push")
    for one, other, twin, far in ((a, b, c, d), (b, a, d, c)):
        assert parse_state(held(one, other)).seq == parse_state(held(twin, far)).seq == 30
        digest = one.replica.digest("", SCOPE).digests["item"]
        assert digest == {one.replica.ledger.origin: 30, other.replica.ledger.origin: 30}
        assert sorted(twin.replica.digest("", SCOPE).digests["item"].values()) == [30, 30]


def test_edits_after_a_proof_travel_and_are_no_conflicts(copies):
    a, b = copies
    sync(a, b)
    a.execute("UPDATE item SET note='here' WHERE id='i10'", "DELETE FROM item WHERE id='i11'")
    b.execute("UPDATE item SET note='there' WHERE id='i20'", "INSERT INTO item VALUES ('new', 'there')")
    done = sync(a, b).total()
    assert (done.updated, done.deleted, done.created, done.conflicts) == (2, 1, 1, 0)
    assert contents(a) == contents(b)
    assert sync(a, b).records == 0


def test_an_edit_while_the_other_end_compares_travels(copies, monkeypatch):
    a, b = copies
    meet = b.replica.meet

    def edited(theirs):
        said = meet(theirs)
        a.execute("UPDATE item SET note='here' WHERE id='i10'")
        b.execute("UPDATE item SET note='there' WHERE id='i20'")
        monkeypatch.undo()
        return said

    monkeypatch.setattr(b.replica, "meet", edited)
    sync(a, b)
    settle(a, b)
    assert contents(a) == contents(b)
    assert a.rows("SELECT id, note FROM item WHERE note<>'old' ORDER BY id") == [("i10", "here"), ("i20", "there")]


def test_copies_that_differ_in_one_record_prove_nothing(copies):
    a, b = copies
    b.execute("UPDATE item SET note='there' WHERE id='i10'")
    assert not b.replica.meet(a.replica.greet(b.replica.ledger.site, SCOPE)).state
    sync(a, b)
    assert contents(a) == contents(b)


@pytest.mark.parametrize("deleting", (0, 1))
def test_an_end_that_knows_of_deletions_has_more_to_say_than_its_records(copies, sqlite_workshop, deleting):
    ends = copies
    ends[deleting].execute("INSERT INTO item VALUES ('gone', 'x')")
    c = sqlite_workshop.end("c")
    settle(ends[deleting], c)
    ends[deleting].execute("DELETE FROM item WHERE id='gone'")
    settle(ends[deleting], c)
    other = ends[1 - deleting]
    assert ends[deleting].replica.greet(other.replica.ledger.site, SCOPE) is None
    sync(*ends)
    assert held(other, ends[deleting])
    c.execute("UPDATE item SET note='c' WHERE id='i10'")
    settle(*ends, c)
    assert contents(other) == contents(c)
    assert other.rows("SELECT * FROM item WHERE id='gone'") == []


def test_a_proof_older_than_what_is_known_of_its_end_is_not_taken(copies):
    """A restored backup states it: what the original handed out since is known here under the same names."""
    a, b = copies
    site = b.replica.ledger.site
    before = a.replica.greet(site, SCOPE)
    a.execute("INSERT INTO item VALUES ('new', 'x')")
    b.replica.meet(replace(a.replica.greet(site, SCOPE), proof=None))
    said = b.replica.meet(before)
    assert said.proof is not None
    assert not said.state


def test_a_proof_without_histories_is_not_taken(copies):
    a, b = copies
    said = a.replica.greet(b.replica.ledger.site, SCOPE)
    assert not b.replica.meet(replace(said, histories=None)).state
    assert b.replica.meet(said).state


def test_a_proof_of_an_origin_that_is_not_the_speakers_is_not_taken(copies):
    a, b = copies
    said = a.replica.greet(b.replica.ledger.site, SCOPE)
    for origin in ("f" * 32 + ".1", said.site, said.site + ".x"):
        assert not b.replica.meet(replace(said, origin=origin)).state


def test_an_end_does_not_greet_itself(copies):
    a, _ = copies
    assert a.replica.greet(a.replica.ledger.site, SCOPE) is None


def test_an_end_that_is_not_asked_proves_nothing(copies):
    a, b = copies
    assert b.replica.meet(Meeting(a.replica.ledger.site, "", "", "", SCOPE)).proof is None


@pytest.mark.parametrize("restored", ("a", "b"))
def test_a_backup_that_is_restored_after_a_proof_loses_nothing(copies, restored):
    ends = dict(zip("ab", copies, strict=True))
    end, other = ends[restored], ends["b" if restored == "a" else "a"]
    sync(*copies)
    end.replica.close()
    end.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = end.path.read_bytes()
    end.reopen()
    end.execute("UPDATE item SET note='first' WHERE id='i10'")
    sync(*copies)
    end.close()
    for suffix in ("-wal", "-shm"):
        end.path.with_name(end.path.name + suffix).unlink(missing_ok=True)
    end.path.write_bytes(backup)
    end.connection = sqlite3.connect(end.path, isolation_level=None)
    end.execute("UPDATE item SET note='second' WHERE id='i20'")
    end.reopen()
    settle(*copies)
    assert contents(end) == contents(other)
    assert end.rows("SELECT note FROM item WHERE id IN ('i10', 'i20') ORDER BY id") == [("first",), ("second",)]
