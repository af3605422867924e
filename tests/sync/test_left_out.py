"""Tables that cannot be synchronized are named, and hold up no other."""

from __future__ import annotations

import pytest

from tallystick.errors import SchemaError
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.sync.verification import verify
from tallystick.testing.contract import sync

DOUBLED = (
    "CREATE TABLE stock (place INTEGER, code TEXT, amount INTEGER, PRIMARY KEY (place, code))",
    "INSERT INTO stock VALUES (NULL, 'x', 1), (NULL, 'x', 2)",
)
SOUND = ("CREATE TABLE sound (id TEXT PRIMARY KEY)", "INSERT INTO sound VALUES ('s')")


def test_a_table_with_the_same_key_twice_is_left_out_and_the_others_agree(sqlite_workshop):
    a, b = sqlite_workshop.end("a", *DOUBLED, *SOUND), sqlite_workshop.end("b")
    done = sync(a, b)
    assert list(done.barred) == ["stock"]
    assert "same key" in done.barred["stock"]
    assert b.rows("SELECT id FROM sound") == [("s",)]
    assert sync(a, b).barred == done.barred
    assert verify(a.replica, b.replica, deep=True).agree


def test_a_table_left_out_is_taken_in_once_its_keys_are_different(sqlite_workshop):
    a, b = sqlite_workshop.end("a", *DOUBLED, *SOUND), sqlite_workshop.end("b")
    sync(a, b)
    a.execute("UPDATE stock SET place=amount")
    done = sync(a, b)
    assert not done.barred
    assert b.rows("SELECT place, code, amount FROM stock ORDER BY place") == [(1, "x", 1), (2, "x", 2)]


def test_a_table_left_out_that_is_asked_for_by_name_is_refused(sqlite_workshop):
    a, b = sqlite_workshop.end("a", *DOUBLED, *SOUND), sqlite_workshop.end("b")
    with pytest.raises(SchemaError, match=r"stock.*same key"):
        sync(a, b, only=("stock",))
    assert not sync(a, b, exclude=("stock",)).barred


def test_rows_that_refer_to_a_table_left_out_are_synchronized(sqlite_workshop):
    a = sqlite_workshop.end(
        "a",
        *DOUBLED,
        "CREATE TABLE sale (id TEXT PRIMARY KEY, place INTEGER, code TEXT, "
        "FOREIGN KEY (place, code) REFERENCES stock (place, code))",
        "INSERT INTO sale VALUES ('one', NULL, 'x')",
    )
    b = sqlite_workshop.end("b")
    done = sync(a, b)
    assert (list(done.barred), done.parked) == (["stock"], 0)
    assert b.rows("SELECT id, code FROM sale") == [("one", "x")]


def test_tables_called_like_ours_and_virtual_tables_are_named(sqlite_workshop):
    a = sqlite_workshop.end(
        "a", *SOUND, "CREATE TABLE tally_sheet (id TEXT PRIMARY KEY)", "CREATE VIRTUAL TABLE words USING fts5(body)"
    )
    b = sqlite_workshop.end("b")
    done = sync(a, b)
    assert list(done.barred) == ["tally_sheet", "words"]
    assert "tally_" in done.barred["tally_sheet"]
    assert "virtual" in done.barred["words"]
    assert done.resources == ("sound",)


def test_a_table_called_like_ours_outlives_the_ledger(sqlite_workshop):
    a = sqlite_workshop.end("a", *SOUND, "CREATE TABLE tally_sheet (id TEXT PRIMARY KEY)")
    sync(a, sqlite_workshop.end("b"))
    a.execute("CREATE TABLE tally_later (id TEXT PRIMARY KEY)")
    a.replica.ledger.require("room", [["CREATE TABLE tally_room (id {int} PRIMARY KEY)"]])
    assert list(a.replica.describe().barred) == ["tally_later", "tally_sheet"]
    a.replica.close()
    engine = SQLiteEngine(a.path)
    with engine.write():
        engine.drop_ledger()
    engine.close()
    names = a.rows("SELECT name FROM sqlite_master WHERE name LIKE 'tally%' AND type='table' ORDER BY name")
    assert names == [("tally_later",), ("tally_sheet",)]
