"""A site that was away past the purge of deletions lets go of what they deleted, and of nothing else."""

from __future__ import annotations

import time

import pytest
from items import agree_deeply

from tallystick.site.conflicts import logged
from tallystick.site.retention import purge
from tallystick.site.stamping import stamp
from tallystick.testing.contract import settle

ACTIONS = ("", "ON DELETE CASCADE", "ON DELETE SET NULL")
PARENTS = ("author", "writer")
"""A name before that of the table with the children, and one behind it."""


def schema(parent, action):
    return (
        f"CREATE TABLE {parent} (id INTEGER PRIMARY KEY, name TEXT, boss INTEGER REFERENCES {parent} (id) {action})",
        f"CREATE TABLE book (id INTEGER PRIMARY KEY, by INTEGER REFERENCES {parent} (id) {action}, title TEXT)",
    )


def forget(end):
    """Purge every deletion."""
    ledger = end.replica.ledger
    with ledger.write():
        stamp(ledger)
        for item in ledger.resources():
            purge(ledger, ledger.resource(item.wire), int(time.time() * 1000) + 1000)


@pytest.fixture(params=[(parent, action) for parent in PARENTS for action in ACTIONS], ids=str)
def behind(request, sqlite_workshop):
    """Two ends that agreed on parents and children, deleted and purged at the first while the second was away."""
    parent, action = request.param
    a, b = (sqlite_workshop.end(name, *schema(parent, action)) for name in "ab")
    settle(a, b, allowed=-1)
    a.execute(
        f"INSERT INTO {parent} VALUES (1, 'x', NULL), (2, 'y', 1), (3, 'z', NULL)",
        "INSERT INTO book VALUES (1, 1, 'first'), (2, 2, 'second')",
    )
    settle(a, b, allowed=-1)
    a.execute("DELETE FROM book", f"DELETE FROM {parent} WHERE id=2", f"DELETE FROM {parent} WHERE id=1")
    forget(a)
    return a, b, parent


def test_children_go_before_their_parents(behind):
    a, b, parent = behind
    settle(a, b, allowed=-1)
    for end in (a, b):
        assert end.rows(f"SELECT * FROM {parent}") == [(3, "z", None)]
        assert end.rows("SELECT * FROM book") == []
    agree_deeply(a, b)


def test_a_parent_stays_for_a_child_that_nobody_has_seen(behind):
    a, b, parent = behind
    b.execute("INSERT INTO book VALUES (9, 1, 'late')")
    settle(a, b, allowed=-1)
    for end in (a, b):
        assert end.rows(f"SELECT * FROM {parent} ORDER BY id") == [(1, "x", None), (3, "z", None)]
        assert end.rows("SELECT by, title FROM book") == [(1, "late")]
    (kept,) = [item for item in logged(b.replica.ledger) if item.kind == "kept for its children"]
    assert kept.version.content["name"] == "x"
    agree_deeply(a, b)


def test_a_row_to_which_an_untracked_one_refers_stays_alone(sqlite_workshop):
    a, b = (sqlite_workshop.end(name, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)") for name in "ab")
    a.execute("INSERT INTO item VALUES (1, 'x'), (2, 'y'), (3, 'z')")
    settle(a, b)
    b.execute("CREATE TABLE note (text TEXT, item INTEGER REFERENCES item (id))", "INSERT INTO note VALUES ('mine', 2)")
    a.execute("DELETE FROM item WHERE id<3")
    forget(a)
    settle(a, b, allowed=-1)
    assert b.rows("SELECT id FROM item") == [(2,), (3,)]
    assert b.rows("SELECT * FROM note") == [("mine", 2)]
