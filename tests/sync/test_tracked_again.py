"""A table that was tracked, untracked, and is tracked again: nobody mistakes its new changes for old ones."""

import random
import sqlite3

import pytest

import tallystick
from tallystick.api import Site
from tallystick.errors import SchemaError
from tallystick.sync.plan import Plan
from tallystick.sync.verification import verify
from tallystick.testing.contract import settle, sync

TABLES = (
    "CREATE TABLE paper (id TEXT PRIMARY KEY, title TEXT)",
    "CREATE TABLE stamp (id TEXT PRIMARY KEY, title TEXT)",
)


class End:
    """A site and its application."""

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None)
        for statement in TABLES:
            self.connection.execute(statement.replace("TABLE", "TABLE IF NOT EXISTS"))
        self.site: Site = tallystick.open(path)
        self.site.track()

    def put(self, key, title, table="paper"):
        self.connection.execute(f"REPLACE INTO {table} VALUES (?, ?)", (key, title))

    def rows(self, table="paper"):
        return dict(self.connection.execute(f"SELECT id, title FROM {table}"))


@pytest.fixture
def ends(tmp_path):
    made = [End(tmp_path / "a.db"), End(tmp_path / "b.db")]
    yield made
    for end in made:
        end.connection.close()
        end.site.close()


def test_what_was_written_meanwhile_reaches_the_other_end(ends):
    here, there = ends
    for key in "abc":
        here.put(key, "old")
        here.site.sync(there.site)
    here.site.untrack("paper")
    here.put("new", "written while nobody looked")
    here.site.track("paper")
    here.put("c", "changed since")
    here.site.sync(there.site)
    assert there.rows() == here.rows() == {"a": "old", "b": "old", "c": "changed since", "new": here.rows()["new"]}
    assert here.site.verify(there.site).agree


def test_the_other_end_s_rows_come_again(ends):
    here, there = ends
    here.put("a", "old")
    here.site.sync(there.site)
    here.site.untrack("paper")
    here.connection.execute("DELETE FROM paper")
    here.site.track("paper")
    here.site.sync(there.site)
    assert there.rows() == here.rows() == {"a": "old"}


@pytest.mark.parametrize("seed", range(6))
def test_two_ends_agree_however_often_either_does_it(ends, seed):
    chance = random.Random(seed)
    same = Plan(identity="same")
    for number in range(14):
        end = chance.choice(ends)
        end.put(f"k{number}", "other", "stamp")
        match chance.choice(["put", "edit", "again", "sync", "sync"]):
            case "put":
                end.put(f"k{number}", f"put {number}")
            case "edit":
                end.connection.execute("UPDATE paper SET title=title || '!' WHERE id=(SELECT min(id) FROM paper)")
            case "again":
                end.site.untrack("paper")
                end.put(f"k{number}", f"meanwhile {number}")
                end.site.track("paper")
            case "sync":
                ends[0].site.sync(ends[1].site, same)
    ends[0].site.sync(ends[1].site, same)
    assert ends[0].rows() == ends[1].rows()
    assert ends[0].rows("stamp") == ends[1].rows("stamp")
    assert ends[0].site.verify(ends[1].site).agree


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
