"""Rows that no key names are named in what waits, stay as they are, and hold up no other."""

from __future__ import annotations

import pytest

from tallystick.api import Site
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.site import parking
from tallystick.sync.verification import verify
from tallystick.testing.contract import settle, sync

TEXT = "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT)"
PAIR = "CREATE TABLE pair (a TEXT, b INTEGER, note TEXT, PRIMARY KEY (a, b))"
LINKED = (
    "CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT)",
    "CREATE TABLE link (book_id INTEGER REFERENCES book (id), tag TEXT, note TEXT, PRIMARY KEY (book_id, tag))",
)
BROKEN = "INSERT INTO item VALUES (CAST(x'ff41' AS TEXT), 'broken')"


def reasons(end):
    return [item.reason for item in parking.waiting(end.replica.ledger, parking.UNNAMED)]


def test_a_text_key_that_is_not_utf_8_is_named_by_its_row_when_its_table_is_tracked(sqlite_workshop):
    a = sqlite_workshop.end("a", TEXT, "INSERT INTO item VALUES ('k', 'sound')", BROKEN)
    b = sqlite_workshop.end("b")
    done = sync(a, b)
    assert (done.parked, reasons(a)) == (1, ["the key of row 2 is text that is not UTF-8; give it another"])
    assert b.rows("SELECT * FROM item") == [("k", "sound")]
    verdict = verify(a.replica, b.replica, deep=True)
    assert [problem for _, problem in verdict.corrupt["a"]["item"]] == ["unnamed"]


def test_a_text_key_that_is_not_utf_8_is_named_when_it_comes_and_forgotten_when_it_is_mended(sqlite_workshop):
    a, b = sqlite_workshop.end("a", TEXT), sqlite_workshop.end("b")
    sync(a, b)
    a.execute(BROKEN, "INSERT INTO item VALUES ('k', 'sound')")
    assert sync(a, b).parked == 1
    assert reasons(a) == ["the key of row 1 is text that is not UTF-8; give it another"]
    assert b.rows("SELECT * FROM item") == [("k", "sound")]
    a.execute("UPDATE item SET id='mended' WHERE note='broken'")
    assert sync(a, b).parked == 0
    assert b.rows("SELECT * FROM item ORDER BY id") == [("k", "sound"), ("mended", "broken")]
    a.execute(BROKEN)
    assert sync(a, b).parked == 1
    a.execute("DELETE FROM item WHERE note='broken' AND id<>'mended'")
    assert sync(a, b).parked == 0
    assert verify(a.replica, b.replica, deep=True).agree


def test_a_key_of_bytes_is_a_key(sqlite_workshop):
    a, b = sqlite_workshop.end("a", "CREATE TABLE item (id BLOB PRIMARY KEY, note TEXT)"), sqlite_workshop.end("b")
    a.execute("INSERT INTO item VALUES (x'ff41', 'sound')")
    assert sync(a, b).parked == 0
    assert b.rows("SELECT * FROM item") == [(b"\xff\x41", "sound")]


@pytest.mark.parametrize("key", ("TEXT", "INT"))
def test_a_row_whose_key_is_null_is_named(sqlite_workshop, key):
    a = sqlite_workshop.end("a", f"CREATE TABLE item (id {key} PRIMARY KEY, note TEXT)")
    a.execute("INSERT INTO item VALUES (NULL, 'first'), (7, 'sound')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.execute("INSERT INTO item VALUES (NULL, 'second')")
    assert sync(a, b).parked == 1
    assert "NULL; give it one" in reasons(a)[0]
    assert b.rows("SELECT note FROM item") == [("sound",)]
    a.execute("UPDATE item SET id=rowid+10 WHERE id IS NULL")
    settle(a, b)
    assert b.rows("SELECT note FROM item ORDER BY note") == [("first",), ("second",), ("sound",)]
    assert reasons(a) == []
    assert verify(a.replica, b.replica, deep=True).agree


@pytest.mark.parametrize(
    ("schema", "first", "second", "apart"),
    (
        (
            (PAIR,),
            "INSERT INTO pair VALUES (NULL, 1, 'first')",
            "INSERT INTO pair VALUES (NULL, 1, 'second')",
            "UPDATE pair SET a='own' WHERE note='second'",
        ),
        (
            LINKED,
            "INSERT INTO link VALUES (NULL, 'x', 'first')",
            "INSERT INTO link VALUES (NULL, 'x', 'second')",
            "UPDATE link SET tag='own' WHERE note='second'",
        ),
    ),
    ids=("natural", "derived"),
)
def test_rows_that_come_to_share_a_key_are_named_and_stay_as_they_are(sqlite_workshop, schema, first, second, apart):
    table = first.split()[2]
    a, b = sqlite_workshop.end("a", *schema, first), sqlite_workshop.end("b")
    sync(a, b)
    a.execute(second)
    assert sync(a, b).parked == 1
    assert reasons(a) == ["rows 1 and 2 have the same key, with NULL in it; make their keys different"]
    b.execute(f"UPDATE {table} SET note='edited'")
    for _ in range(2):
        sync(a, b)
        assert a.rows(f"SELECT note FROM {table} ORDER BY note") == [("first",), ("second",)]
        kinds = sorted(item.kind for item in Site(a.replica).parked())
        assert kinds == ["parked", "unnamed"]
    a.execute(apart)
    settle(a, b)
    assert sync(a, b).parked == 0
    assert a.rows(f"SELECT note FROM {table} ORDER BY note") == b.rows(f"SELECT note FROM {table} ORDER BY note")
    assert ("second",) in b.rows(f"SELECT note FROM {table}")
    assert verify(a.replica, b.replica, deep=True).agree


def test_what_waits_is_described_even_where_no_row_can_have_its_key(sqlite_workshop):
    a, b = sqlite_workshop.end("a", PAIR, "INSERT INTO pair VALUES ('x', 1, 'first')"), sqlite_workshop.end("b", PAIR)
    policies = {"": Policy(conflict=FieldPolicy(Resolution.KEEP_BOTH))}
    sync(a, b, policies=policies)
    a.execute("UPDATE pair SET note='A'")
    b.execute("UPDATE pair SET note='B'", "INSERT INTO pair VALUES (NULL, 2, 'one'), (NULL, 2, 'two')")
    settle(a, b, policies=policies)
    found = {(item.kind, item.row) for item in Site(b.replica).parked()}
    assert found == {("parked", None), ("unnamed", None)}


def test_what_an_end_cannot_send_is_taken_from_another_one(sqlite_workshop):
    a, b, c = (sqlite_workshop.end(name, PAIR) for name in "abc")
    a.execute("INSERT INTO pair VALUES (NULL, 1, 'first')")
    sync(a, c)
    a.execute("INSERT INTO pair VALUES (NULL, 1, 'second'), ('x', 2, 'other')")
    sync(a, b)
    a.execute("UPDATE pair SET note='again' WHERE a='x'")
    sync(a, b)
    assert b.rows("SELECT note FROM pair") == [("again",)]
    sync(c, b)
    assert b.rows("SELECT note FROM pair ORDER BY note") == [("again",), ("first",)]
    a.execute("DELETE FROM pair WHERE note='second'")
    settle(a, b, c)
    assert [end.rows("SELECT count(*) FROM pair") for end in (a, b, c)] == [[(2,)]] * 3
    assert verify(a.replica, b.replica, deep=True).agree
