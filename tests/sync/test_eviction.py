"""Rows that other rows evict, and keys that move: REPLACE has no trigger of its own (DESIGN.md 4.2)."""

from __future__ import annotations

from items import agree_deeply

from tallystick.testing.contract import settle, sync


def test_replace_that_evicts_another_row_deletes_it_everywhere(items):
    a, b = items
    a.execute("REPLACE INTO item VALUES (3, 'x', 'evicts number one')")
    sync(a, b)
    assert b.rows("SELECT code, note FROM item ORDER BY code") == [("x", "evicts number one"), ("y", "two")]
    agree_deeply(a, b)


def test_insert_or_replace_of_the_same_key_is_an_update(items):
    a, b = items
    a.execute("INSERT OR REPLACE INTO item VALUES (1, 'x', 'again')")
    sync(a, b)
    assert b.rows("SELECT * FROM item WHERE id=1") == [(1, "x", "again")]
    agree_deeply(a, b)


def test_update_or_replace_that_evicts_deletes_everywhere(items):
    a, b = items
    a.execute("UPDATE OR REPLACE item SET code='y' WHERE id=1")
    sync(a, b)
    assert b.rows("SELECT code, note FROM item") == [("y", "one")]
    agree_deeply(a, b)


def test_a_row_that_refers_to_itself_keeps_its_record_when_its_key_changes(sqlite_workshop):
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t (id) ON UPDATE CASCADE, n TEXT)"
    a = sqlite_workshop.end("a", schema, "INSERT INTO t VALUES (1, 1, 'root')")
    b = sqlite_workshop.end("b", schema)
    sync(a, b)
    b.execute("PRAGMA foreign_keys=ON", "UPDATE t SET id=3 WHERE id=1")
    settle(a, b)
    assert a.rows("SELECT id, up, n FROM t") == [(1, 1, "root")]
    assert b.rows("SELECT id, up, n FROM t") == [(3, 3, "root")]
    b.execute("UPDATE t SET n='edited' WHERE id=3")
    settle(a, b)
    assert a.rows("SELECT id, up, n FROM t") == [(1, 1, "edited")]
    agree_deeply(a, b)


def test_a_row_that_moves_onto_another_by_replace_evicts_it(sqlite_workshop):
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)"
    a = sqlite_workshop.end("a", schema, "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.execute("UPDATE OR REPLACE t SET id=2 WHERE id=1")
    settle(a, b)
    assert a.rows("SELECT id, n FROM t ORDER BY n") == [(2, "one"), (3, "three")]
    assert b.rows("SELECT n FROM t ORDER BY n") == [("one",), ("three",)]
    agree_deeply(a, b)
