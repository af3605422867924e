"""A table that is no longer tracked, and then tracked again: its records are known again, and nothing is lost."""

from __future__ import annotations

import pytest

from tallystick.api import Site
from tallystick.errors import SchemaError
from tallystick.sync.verification import verify
from tallystick.testing.contract import settle, sync

SCHEMA = (
    "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE book (id INTEGER PRIMARY KEY, author_id INTEGER REFERENCES author (id), title TEXT)",
)
NAMED = "SELECT title, name FROM book JOIN author ON author.id=author_id ORDER BY title"


@pytest.fixture
def pair(sqlite_workshop):
    rows = ("INSERT INTO author VALUES (1, 'old')", "INSERT INTO book VALUES (1, 1, 'by old')")
    a, b = sqlite_workshop.end("a", *SCHEMA, *rows), sqlite_workshop.end("b", *SCHEMA)
    sync(a, b)
    a.execute("INSERT INTO author VALUES (2, 'new')", "INSERT INTO book VALUES (2, 2, 'by new')")
    a.execute("UPDATE author SET name='Old' WHERE id=1")
    settle(a, b)
    return a, b


@pytest.mark.parametrize("again", ("a", "b"))
def test_no_record_is_doubled(pair, again):
    a, b = pair
    Site((a if again == "a" else b).replica).untrack("author", "book")
    sync(a, b)
    settle(a, b)
    for end in pair:
        assert end.rows(NAMED) == [("by new", "new"), ("by old", "Old")]
        assert end.rows("SELECT count(*) FROM author") == [(2,)]
    assert verify(a.replica, b.replica, deep=True).agree


@pytest.mark.parametrize("again", ("a", "b"))
def test_what_is_edited_afterwards_arrives(pair, again):
    a, b = pair
    one, other = (a, b) if again == "a" else (b, a)
    Site(one.replica).untrack("author", "book")
    Site(one.replica).track("author", "book")
    one.execute("UPDATE author SET name='edited' WHERE id=1", "INSERT INTO author VALUES (3, 'third')")
    other.execute("INSERT INTO book VALUES (3, 1, 'meanwhile')")
    settle(a, b)
    for end in pair:
        assert end.rows("SELECT name FROM author ORDER BY name") == [("edited",), ("new",), ("third",)]
        assert end.rows("SELECT title FROM book ORDER BY title") == [("by new",), ("by old",), ("meanwhile",)]
    assert verify(a.replica, b.replica, deep=True).agree


def test_a_table_that_tracked_ones_refer_to_stays_tracked(pair):
    a, _ = pair
    with pytest.raises(SchemaError, match="'book' stays tracked and refers to author"):
        Site(a.replica).untrack("author")
    assert a.replica.check(("author", "book")) == {}
