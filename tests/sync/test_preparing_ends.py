"""What two ends track and create before they agree."""

from __future__ import annotations

import pytest

from tallystick.sync.agreement import PUSH, Plan, agree
from tallystick.testing.contract import settle, sync

ITEM = "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT)"
OTHER = "CREATE TABLE other (id TEXT PRIMARY KEY, note TEXT)"


@pytest.fixture
def tracked(sqlite_workshop):
    """An end whose table is tracked already, because it has agreed with somebody."""
    end = sqlite_workshop.end("tracked", ITEM, "INSERT INTO item VALUES ('x', 'one')")
    sync(end, sqlite_workshop.end("somebody"))
    return end


def test_an_empty_first_end_gets_what_the_second_has_tracked(sqlite_workshop, tracked):
    first = sqlite_workshop.end("first")
    sync(first, tracked)
    assert first.rows("SELECT * FROM item") == [("x", "one")]


def test_a_first_end_with_the_table_tracks_it_when_only_the_second_had(sqlite_workshop, tracked):
    first = sqlite_workshop.end("first", ITEM, "INSERT INTO item VALUES ('y', 'two')")
    sync(first, tracked)
    assert first.rows("SELECT * FROM item ORDER BY id") == [("x", "one"), ("y", "two")]
    assert tracked.rows("SELECT * FROM item ORDER BY id") == [("x", "one"), ("y", "two")]


def test_a_push_creates_nothing_at_the_first_end(sqlite_workshop, tracked):
    first = sqlite_workshop.end("first", OTHER)
    agree(first.replica, tracked.replica, Plan(direction=PUSH))
    assert first.rows("SELECT name FROM sqlite_master WHERE name='item'") == []
    assert tracked.rows("SELECT count(*) FROM other") == [(0,)]


def test_what_is_excluded_is_not_created_at_the_first_end(sqlite_workshop, tracked):
    first = sqlite_workshop.end("first", OTHER)
    agree(first.replica, tracked.replica, Plan(exclude=("item",)))
    assert first.rows("SELECT name FROM sqlite_master WHERE name='item'") == []


@pytest.mark.parametrize(
    "schema",
    (
        (
            "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT)",
            "CREATE UNIQUE INDEX taken ON item (note) WHERE note<>'free'",
        ),
        ("CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT, low TEXT AS (id || lower(note)) STORED UNIQUE)",),
    ),
    ids=("in some rows", "in a generated column"),
)
def test_what_is_unique_beyond_the_columns_is_so_where_it_was_declared(sqlite_workshop, schema):
    first = sqlite_workshop.end("first", *schema, "INSERT INTO item (id, note) VALUES ('x', 'free'), ('y', 'free')")
    second = sqlite_workshop.end("second")
    settle(first, second)
    assert second.rows("SELECT id, note FROM item ORDER BY id") == [("x", "free"), ("y", "free")]


def test_rows_swap_values_that_are_unique_in_some_rows_only(sqlite_workshop):
    schema = ITEM, "CREATE UNIQUE INDEX taken ON item (note) WHERE note<>'free'"
    first, second = (sqlite_workshop.end(name, *schema) for name in ("first", "second"))
    first.execute("INSERT INTO item VALUES ('x', 'one'), ('y', 'two'), ('z', 'free')")
    settle(first, second)
    first.execute(
        "UPDATE item SET note='free' WHERE id='x'",
        "UPDATE item SET note='one' WHERE id='y'",
        "UPDATE item SET note='two' WHERE id='x'",
    )
    settle(first, second)
    assert second.rows("SELECT id, note FROM item ORDER BY id") == [("x", "two"), ("y", "one"), ("z", "free")]
