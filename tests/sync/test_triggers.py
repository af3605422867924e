"""What the database does by itself to rows that are written: triggers, cascades, generated columns (DESIGN.md 4.3)."""

from __future__ import annotations

from items import agree_deeply

from tallystick.sync.verification import verify
from tallystick.testing.contract import settle, sync


def test_updated_at_triggers_on_both_sides_come_to_rest(sqlite_workshop):
    schema = (
        "CREATE TABLE doc (id TEXT PRIMARY KEY, body TEXT, updated_at TEXT)",
        "CREATE TRIGGER touch AFTER UPDATE OF body ON doc BEGIN "
        "UPDATE doc SET updated_at=hex(randomblob(4)) WHERE id=NEW.id; END",
    )
    a = sqlite_workshop.end("a", *schema, "INSERT INTO doc VALUES ('d', 'one', NULL)")
    b = sqlite_workshop.end("b", *schema)
    sync(a, b)
    a.execute("UPDATE doc SET body='two'")
    sync(a, b)
    assert b.rows("SELECT body FROM doc") == [("two",)]
    assert sync(a, b).records == 0
    assert verify(a.replica, b.replica, deep=True).agree


def test_rows_that_triggers_write_elsewhere_are_captured(sqlite_workshop):
    schema = (
        "CREATE TABLE doc (id TEXT PRIMARY KEY, body TEXT)",
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT)",
    )
    trigger = "CREATE TRIGGER audit AFTER INSERT ON doc BEGIN INSERT INTO audit (what) VALUES ('new ' || NEW.id); END"
    a = sqlite_workshop.end("a", *schema)
    b = sqlite_workshop.end("b", *schema, trigger)
    sync(a, b)
    a.execute("INSERT INTO doc VALUES ('d', 'x')")
    settle(a, b)
    assert a.rows("SELECT what FROM audit") == [("new d",)]
    agree_deeply(a, b)


def test_a_created_table_compares_and_stores_and_cascades_as_the_first_one(sqlite_workshop):
    a = sqlite_workshop.end(
        "a",
        "CREATE TABLE tag (name TEXT COLLATE NOCASE PRIMARY KEY, note TEXT COLLATE rtrim, plain TEXT) WITHOUT ROWID",
        "CREATE TABLE tagged (id TEXT PRIMARY KEY, tag TEXT REFERENCES tag ON UPDATE CASCADE ON DELETE SET NULL)",
        "INSERT INTO tag VALUES ('Red', 'x', 'y')",
        "INSERT INTO tagged VALUES ('t', 'Red')",
    )
    b = sqlite_workshop.end("b")
    sync(a, b)
    assert b.rows("SELECT count(*) FROM tag WHERE name='RED' AND note='x  ' AND plain<>'Y'") == [(1,)]
    assert b.rows("SELECT wr FROM pragma_table_list WHERE name='tag'") == [(1,)]
    b.execute("UPDATE tag SET name='Blue'")
    assert b.rows("SELECT tag FROM tagged") == [("Blue",)]
    settle(a, b)
    assert a.rows("SELECT tag FROM tagged JOIN tag ON tag=name") == [("Blue",)]
    agree_deeply(a, b)


def test_a_change_that_cascades_to_rows_only_this_end_has_is_captured(sqlite_workshop):
    schema = (
        "CREATE TABLE badge (id TEXT PRIMARY KEY, code INTEGER NOT NULL UNIQUE)",
        "CREATE TABLE worn (id TEXT PRIMARY KEY, code INTEGER REFERENCES badge (code) ON UPDATE CASCADE)",
    )
    a, b = sqlite_workshop.end("a", *schema, "INSERT INTO badge VALUES ('x', 1)"), sqlite_workshop.end("b", *schema)
    sync(a, b)
    b.execute("INSERT INTO worn VALUES ('unseen', 1)")
    a.execute("UPDATE badge SET code=2")
    settle(a, b)
    assert a.rows("SELECT code FROM worn") == b.rows("SELECT code FROM worn") == [(2,)]
    agree_deeply(a, b)


def test_generated_columns_are_left_to_the_database(sqlite_workshop):
    schema = "CREATE TABLE g (id TEXT PRIMARY KEY, a INTEGER, twice INTEGER GENERATED ALWAYS AS (a * 2) STORED)"
    a, b = sqlite_workshop.end("a", schema, "INSERT INTO g (id, a) VALUES ('k', 2)"), sqlite_workshop.end("b", schema)
    sync(a, b)
    assert b.rows("SELECT * FROM g") == [("k", 2, 4)]
