"""Rows that other rows evict, and keys that move: REPLACE has no trigger of its own (DESIGN.md 4.2)."""

from __future__ import annotations

import pytest
from items import agree_deeply

from tallystick.site.engines import sqlite_capture
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


@pytest.mark.parametrize("name", ("rowid", "oid", "_ROWID_"))
def test_a_row_that_moves_by_another_name_of_its_key_evicts_who_was_there(sqlite_workshop, name):
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)"
    a = sqlite_workshop.end("a", schema, "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.execute(f"UPDATE OR REPLACE t SET {name}=2 WHERE id=1")
    settle(a, b)
    assert b.rows("SELECT n FROM t ORDER BY n") == [("one",), ("three",)]
    agree_deeply(a, b)


PLAIN = "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)"
UNIQUE = {
    "collation": (PLAIN, "CREATE UNIQUE INDEX i ON t (v COLLATE NOCASE)"),
    "expression": (PLAIN, "CREATE UNIQUE INDEX i ON t (lower(v) DESC)"),
    "several": (PLAIN, "CREATE UNIQUE INDEX i ON t (substr(v, 2), /* (two, */ v COLLATE NOCASE ASC)"),
    "partial": (PLAIN, "CREATE UNIQUE INDEX i ON t (lower(v)) WHERE v <> 'free'"),
    "stored": (
        "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT, g TEXT AS (lower(v)) STORED)",
        "CREATE UNIQUE INDEX i ON t (g)",
    ),
    "virtual": ("CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT, g TEXT AS (lower(v)) VIRTUAL UNIQUE)",),
    "key": ("CREATE TABLE t (id TEXT, v TEXT, PRIMARY KEY (id), UNIQUE (v COLLATE NOCASE)) WITHOUT ROWID",),
}


@pytest.mark.parametrize("kind", UNIQUE)
@pytest.mark.parametrize(
    ("statement", "left"),
    (
        ("REPLACE INTO t (id, v) VALUES ('z', 'B')", [("x", "a"), ("z", "B")]),
        ("UPDATE OR REPLACE t SET v='B' WHERE id='x'", [("x", "B")]),
    ),
)
def test_rows_are_evicted_by_whatever_the_index_calls_equal(sqlite_workshop, kind, statement, left):
    a = sqlite_workshop.end("a", *UNIQUE[kind], "INSERT INTO t (id, v) VALUES ('x', 'a'), ('y', 'b')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.execute(statement)
    settle(a, b)
    assert a.rows("SELECT id, v FROM t ORDER BY id") == left
    assert b.rows("SELECT id, v FROM t ORDER BY id") == left
    agree_deeply(a, b)


def test_a_unique_index_that_is_made_later_evicts_too(sqlite_workshop):
    a = sqlite_workshop.end("a", PLAIN, "INSERT INTO t VALUES ('x', 'a'), ('y', 'b')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.execute("CREATE UNIQUE INDEX i ON t (lower(v))")
    sync(a, b)
    a.execute("REPLACE INTO t VALUES ('z', 'B')")
    settle(a, b)
    assert b.rows("SELECT id, v FROM t ORDER BY id") == [("x", "a"), ("z", "B")]
    agree_deeply(a, b)


def test_what_triggers_of_another_release_missed_is_found_when_these_take_their_place(sqlite_workshop, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(sqlite_capture, "EDITION", 1)
        earlier.setattr(sqlite_capture, "_watched", lambda unique: ' OF "id"')
        a = sqlite_workshop.end(
            "a", PLAIN, "CREATE UNIQUE INDEX i ON t (v)", "INSERT INTO t VALUES ('x', 'a'), ('y', 'b')"
        )
        b = sqlite_workshop.end("b")
        sync(a, b)
        a.execute("UPDATE OR REPLACE t SET v='b' WHERE id='x'")
    sync(a, b)
    assert b.rows("SELECT id, v FROM t") == [("x", "b")]
    agree_deeply(a, b)
