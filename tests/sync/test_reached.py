"""What came from a peer is not looked at again in the other direction, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.sync.reached import state_of
from tallystick.sync.replica import Scope
from tallystick.testing.contract import settle, sync

SCOPE = Scope(("item",))
SCHEMA = "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT, place INTEGER)"


@pytest.fixture
def pair(sqlite_workshop):
    """Two ends in agreement."""
    a = sqlite_workshop.end("a", SCHEMA, *(f"INSERT INTO item VALUES ('i{n}', 'old', {n})" for n in range(50)))
    b = sqlite_workshop.end("b")
    settle(a, b)
    return a, b


def streams(end, monkeypatch):
    """Counts how often changes of an end are asked for from now on."""
    asked = []
    given = end.replica.changes

    def changes(selection):
        asked.append(selection)
        return given(selection)

    monkeypatch.setattr(end.replica, "changes", changes)
    return asked


def commits(end, monkeypatch):
    """Notes every transaction of an end that wrote something from now on."""
    written = []
    execute = type(end.replica.ledger.engine).execute

    def noted(engine, sql, parameters=()):
        if engine is end.replica.ledger.engine and sql.startswith("BEGIN IMMEDIATE"):
            engine.before = engine.connection.total_changes
        execute(engine, sql, parameters)
        if engine is end.replica.ledger.engine and sql == "COMMIT":
            written.extend([engine.connection.total_changes] * (engine.connection.total_changes != engine.before))
            engine.before = engine.connection.total_changes

    monkeypatch.setattr(type(end.replica.ledger.engine), "execute", noted)
    return written


def test_what_was_pushed_is_not_pulled_by_the_next_run(pair, monkeypatch):
    a, b = pair
    asked = streams(b, monkeypatch)
    for number in range(3):
        a.execute(f"UPDATE item SET note='edit {number}'")
        assert sync(a, b).records == 50
        assert state_of(a.replica.ledger, b.replica.ledger.site, SCOPE)
    assert asked == []
    assert sync(a, b).records == 0
    assert b.rows("SELECT DISTINCT note FROM item") == [("edit 2",)]


def test_what_was_pulled_is_not_pushed_by_the_same_run(pair, monkeypatch):
    a, b = pair
    asked = streams(a, monkeypatch)
    b.execute("UPDATE item SET note='there'")
    assert sync(a, b).records == 50
    assert sync(a, b).records == 0
    assert asked == []
    a.execute("UPDATE item SET note='here' WHERE id='i7'")
    assert sync(a, b).records == 1
    assert b.rows("SELECT note FROM item WHERE id='i7'") == [("here",)]


def test_a_conflict_that_both_know_is_not_exchanged_again(pair, monkeypatch):
    a, b = pair
    a.execute("UPDATE item SET note='here' WHERE place<10")
    b.execute("UPDATE item SET note='there' WHERE place<10")
    assert sync(a, b).total().conflicts >= 10
    asked = [streams(a, monkeypatch), streams(b, monkeypatch)]
    assert sync(a, b).records == 0
    assert asked == [[], []]
    assert a.rows("SELECT * FROM item ORDER BY id") == b.rows("SELECT * FROM item ORDER BY id")


def test_an_edit_between_two_pushes_is_pulled(pair):
    a, b = pair
    a.execute("UPDATE item SET note='one' WHERE place<10")
    sync(a, b)
    b.execute("UPDATE item SET note='there' WHERE place>=40")
    a.execute("UPDATE item SET note='two' WHERE place<10")
    sync(a, b)
    assert a.rows("SELECT count(*) FROM item WHERE note='there'") == [(10,)]
    assert sync(a, b).records == 0


def test_an_edit_while_a_page_is_on_its_way_is_pulled_by_the_next_run(pair, monkeypatch):
    a, b = pair
    conclude = b.replica.conclude

    def edited(page, closing, settings, theirs):
        b.execute("UPDATE item SET note='meanwhile' WHERE id='i49'")
        return conclude(page, closing, settings, theirs)

    monkeypatch.setattr(b.replica, "conclude", edited)
    a.execute("UPDATE item SET note='here' WHERE place<10")
    sync(a, b)
    monkeypatch.undo()
    sync(a, b)
    assert a.rows("SELECT note FROM item WHERE id='i49'") == [("meanwhile",)]


def test_what_a_third_site_brought_meanwhile_is_pulled(pair, sqlite_workshop):
    a, b = pair
    c = sqlite_workshop.end("c")
    settle(b, c)
    c.execute("UPDATE item SET note='from c' WHERE place>=40")
    a.execute("UPDATE item SET note='from a' WHERE place<10")
    sync(c, b)
    sync(a, b)
    assert a.rows("SELECT count(*) FROM item WHERE note='from c'") == [(10,)]
    settle(a, b, c)
    assert c.rows("SELECT * FROM item ORDER BY id") == a.rows("SELECT * FROM item ORDER BY id")


def test_copies_that_a_target_makes_of_losers_are_pulled(pair):
    a, b = pair
    policies = {"": Policy(conflict=FieldPolicy(Resolution.KEEP_BOTH))}
    a.execute("UPDATE item SET note='here' WHERE id='i1'")
    b.execute("UPDATE item SET note='there' WHERE id='i1'")
    settle(a, b, policies=policies)
    assert sorted(a.rows("SELECT note FROM item WHERE place=1")) == [("here",), ("there",)]
    assert a.rows("SELECT * FROM item ORDER BY id") == b.rows("SELECT * FROM item ORDER BY id")


def test_a_filtered_push_lets_nothing_be_skipped(pair):
    a, b = pair
    only = {"item": "place lt 10"}
    settle(a, b, where=only)
    a.execute("UPDATE item SET note='here' WHERE place<10")
    sync(a, b, where=only)
    b.execute("UPDATE item SET note='there' WHERE id='i3'")
    sync(a, b, where=only)
    assert a.rows("SELECT note FROM item WHERE id='i3'") == [("there",)]


def test_a_push_is_two_durable_steps_at_its_source_and_two_at_its_target(pair, monkeypatch):
    """At the source its stamping and the end of the run, at the target the contact and everything that came."""
    a, b = pair
    a.execute("UPDATE item SET note='here'")
    written = {end: commits(end, monkeypatch) for end in (a, b)}
    sync(a, b)
    assert [len(found) for found in written.values()] == [2, 2]


def test_a_page_whose_end_is_undone_is_undone_with_it(pair, monkeypatch):
    a, b = pair
    a.execute("UPDATE item SET note='here'")
    before = b.rows("SELECT * FROM item ORDER BY id"), b.rows("SELECT * FROM tally_state ORDER BY peer, scope")

    def refuse():
        raise RuntimeError("the power fails")

    monkeypatch.setattr(b.replica, "committing", refuse)
    with pytest.raises(RuntimeError, match="the power fails"):
        sync(a, b)
    monkeypatch.undo()
    assert (
        b.rows("SELECT * FROM item ORDER BY id"),
        b.rows("SELECT * FROM tally_state ORDER BY peer, scope"),
    ) == before
    assert sync(a, b).records == 50
    assert a.rows("SELECT * FROM item ORDER BY id") == b.rows("SELECT * FROM item ORDER BY id")
