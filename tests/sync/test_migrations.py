"""Tables that migrations rebuild, drop, widen or rename (DESIGN.md 4.2, 4.7)."""

from __future__ import annotations

import pytest
from items import agree_deeply

from tallystick.errors import SchemaError
from tallystick.testing.contract import sync


def test_a_table_rebuild_loses_no_change(items):
    a, b = items
    a.execute(
        "BEGIN",
        "CREATE TABLE item_new (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT, extra TEXT)",
        "INSERT INTO item_new (id, code, note) SELECT id, code, note FROM item",
        "DROP TABLE item",
        "ALTER TABLE item_new RENAME TO item",
        "UPDATE item SET note='changed without triggers' WHERE id=2",
        "INSERT INTO item (code, note) VALUES ('z', 'new without triggers')",
        "COMMIT",
    )
    sync(a, b)
    assert b.rows("SELECT code, note FROM item ORDER BY code") == [
        ("x", "one"),
        ("y", "changed without triggers"),
        ("z", "new without triggers"),
    ]
    a.execute("UPDATE item SET note='captured again' WHERE id=1")
    sync(a, b)
    assert b.rows("SELECT note FROM item WHERE code='x'") == [("captured again",)]


def test_a_field_that_one_side_lacks_is_kept_and_restored_when_its_column_appears(items):
    a, b = items
    a.execute("ALTER TABLE item ADD COLUMN colour TEXT", "UPDATE item SET colour='red' WHERE id=1")
    sync(a, b)
    b.execute("UPDATE item SET note='edited by b' WHERE id=1")
    sync(a, b)
    assert a.rows("SELECT note, colour FROM item WHERE id=1") == [("edited by b", "red")]
    b.execute("ALTER TABLE item ADD COLUMN colour TEXT")
    sync(a, b)
    assert b.rows("SELECT colour FROM item WHERE id=1") == [("red",)]


def test_an_added_nullable_column_costs_no_sending(items):
    a, b = items
    a.execute("ALTER TABLE item ADD COLUMN colour TEXT")
    assert sync(a, b).records == 0


def test_a_table_dropped_and_made_again_is_compared_with_what_is_known(sqlite_workshop):
    table = "CREATE TABLE word (id TEXT PRIMARY KEY, note TEXT)"
    a = sqlite_workshop.end("a", table, "INSERT INTO word VALUES ('x', 'one'), ('y', 'two')")
    b = sqlite_workshop.end("b", table)
    sync(a, b)
    a.execute("DROP TABLE word", table, "INSERT INTO word VALUES ('z', 'new')")
    sync(a, b, allowed=-1)
    assert b.rows("SELECT id FROM word") == [("z",)]
    agree_deeply(a, b)


def test_another_primary_key_for_a_tracked_table_is_refused_by_name(items):
    a, b = items
    a.execute(
        "CREATE TABLE item_new (code TEXT PRIMARY KEY, id INTEGER, note TEXT)",
        "INSERT INTO item_new SELECT code, id, note FROM item",
        "DROP TABLE item",
        "ALTER TABLE item_new RENAME TO item",
    )
    with pytest.raises(SchemaError, match="primary key of the tracked table 'item'"):
        sync(a, b)
    assert b.rows("SELECT id, code FROM item ORDER BY id") == [(1, "x"), (2, "y")]


def test_a_dropped_column_stops_the_run_instead_of_emptying_it_elsewhere(sqlite_workshop):
    a = sqlite_workshop.end(
        "a", "CREATE TABLE it (id TEXT PRIMARY KEY, n TEXT, m TEXT)", "INSERT INTO it VALUES ('k', 'n', 'm')"
    )
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.execute(
        "CREATE TABLE it_new (id TEXT PRIMARY KEY, n TEXT)",
        "INSERT INTO it_new SELECT id, n FROM it",
        "DROP TABLE it",
        "ALTER TABLE it_new RENAME TO it",
    )
    with pytest.raises(SchemaError, match="dropped or renamed since it was tracked: m"):
        sync(a, b)
    assert b.rows("SELECT id, n, m FROM it") == [("k", "n", "m")]
