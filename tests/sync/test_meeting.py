"""Two ends hear of each other's histories before anything is taken, and only where they have something to hear."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tallystick.site import history
from tallystick.testing.contract import settle, sync

SCHEMA = "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT)"


@pytest.fixture
def ends(sqlite_workshop):
    """Three ends in agreement that know the same histories."""
    a = sqlite_workshop.end("a", SCHEMA, *(f"INSERT INTO item VALUES ('i{n}', 'old')" for n in range(10, 40)))
    b, c = sqlite_workshop.end("b"), sqlite_workshop.end("c")
    settle(a, b, c)
    for one, other in ((a, b), (b, c), (c, a), (a, b)):
        sync(one, other)
    return a, b, c


def meetings(end, monkeypatch, meanwhile=None):
    """Notes what an end is told at meetings from now on; ``meanwhile`` happens once, before it hears of histories."""
    told, waiting = [], [meanwhile]
    meet = end.replica.meet

    def noted(theirs):
        told.append(theirs.histories is not None)
        if theirs.histories is not None and (first := waiting.pop() if waiting else None) is not None:
            first()
        return meet(theirs)

    monkeypatch.setattr(end.replica, "meet", noted)
    return told


def token(end):
    return history.token(history.load(end.replica.ledger))


def known(end, of):
    """How many contacts of another end's origin an end knows of."""
    return [one.number for one in history.load(end.replica.ledger).contacts[of.replica.ledger.origin]]


def test_nobody_is_told_of_histories_that_both_know(ends, monkeypatch):
    a, b, _ = ends
    assert token(a) == token(b)
    told = meetings(a, monkeypatch), meetings(b, monkeypatch)
    assert sync(a, b).records == 0
    assert told == ([False], [False])


def test_only_the_end_that_learns_something_is_told(ends, monkeypatch):
    a, b, _ = ends
    a.execute("UPDATE item SET note='here' WHERE id='i10'")
    told = meetings(a, monkeypatch), meetings(b, monkeypatch)
    assert sync(a, b).records == 1
    assert told == ([False, True], [False, True])  # a hears in the end that b passes it on
    assert token(a) == token(b)


def test_an_end_hears_of_a_contact_before_it_takes_what_was_handed_out_then(ends, monkeypatch):
    a, b, _ = ends
    a.execute("UPDATE item SET note='here' WHERE id='i10'")
    conclude, before = b.replica.conclude, known(b, a)
    heard = []

    def noted(*arguments):
        heard.append(known(b, a))
        return conclude(*arguments)

    monkeypatch.setattr(b.replica, "conclude", noted)
    sync(a, b)
    assert len(heard) == 1
    assert heard[0] == known(a, a)
    assert heard[0] != before


def test_what_an_end_learned_meanwhile_is_heard_before_it_is_given_anything(ends, monkeypatch):
    a, b, c = ends
    c.execute("UPDATE item SET note='from c' WHERE id='i39'")
    a.execute("UPDATE item SET note='from a' WHERE id='i10'")
    told = meetings(b, monkeypatch, lambda: sync(c, b))
    contacts = []
    conclude = b.replica.conclude

    def noted(page, closing, settings, theirs):
        if settings.source == a.replica.ledger.site:
            contacts.append((known(a, c), known(b, c)))
        return conclude(page, closing, settings, theirs)

    monkeypatch.setattr(b.replica, "conclude", noted)
    sync(a, b)
    assert len(told) > 2
    assert contacts[0][0] == contacts[0][1]
    settle(a, b, c)
    assert a.rows("SELECT * FROM item ORDER BY id") == b.rows("SELECT * FROM item ORDER BY id")
    assert c.rows("SELECT note FROM item WHERE id IN ('i10', 'i39') ORDER BY id") == [("from a",), ("from c",)]


def test_ends_that_meet_once_more_in_a_first_push_ask_the_target_what_it_knows(sqlite_workshop, monkeypatch):
    tables = tuple(f"CREATE TABLE {name} (id TEXT PRIMARY KEY, note TEXT)" for name in ("early", "late"))
    rows = ("INSERT INTO early VALUES ('{0}', '')", "INSERT INTO late VALUES ('{0}', '')")
    a, b = (sqlite_workshop.end(name, *tables, *(row.format(name) for row in rows)) for name in "ab")
    conclude = a.replica.conclude

    def cut(*arguments):
        raise ConnectionError("the line is cut before the last page")

    monkeypatch.setattr(a.replica, "conclude", cut)
    with pytest.raises(ConnectionError):
        sync(a, b)
    b.execute("UPDATE late SET note='moved past the end of the pass'")

    def edited(*arguments):
        a.execute("UPDATE early SET note='meanwhile' WHERE id='a'")
        return conclude(*arguments)

    monkeypatch.setattr(a.replica, "conclude", edited)
    heard = []
    meet = b.replica.meet

    def hearing(theirs):
        if theirs.histories is not None:
            heard.append(theirs)
            with closing(sqlite3.connect(b.path, isolation_level=None)) as other:  # it may be another thread
                other.execute(f"UPDATE late SET note='{len(heard)}' WHERE id='b'")
        return meet(theirs)

    monkeypatch.setattr(b.replica, "meet", hearing)
    sync(a, b)
    monkeypatch.undo()
    settle(a, b)
    for table in ("early", "late"):
        assert sorted(b.rows(f"SELECT id FROM {table}")) == [("a",), ("b",)]
        assert sorted(a.rows(f"SELECT * FROM {table}")) == sorted(b.rows(f"SELECT * FROM {table}"))
