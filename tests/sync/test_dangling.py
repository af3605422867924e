"""References by integer that led nowhere, lead somewhere now, or lead somewhere else: the row that holds them did not
change, what it names did."""

from __future__ import annotations

import pytest

from tallystick.sync.replica import Wanted
from tallystick.sync.verification import verify
from tallystick.testing.contract import settle, sync

PARENT = "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)"
CHILD = "CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id), name TEXT)"
NODE = "CREATE TABLE node (id INTEGER PRIMARY KEY, up INTEGER REFERENCES node (id), name TEXT)"
LINK = "CREATE TABLE link (parent_id INTEGER REFERENCES parent (id), n INTEGER, v TEXT, PRIMARY KEY (parent_id, n))"
JOINED = "SELECT child.name, parent.name FROM child LEFT JOIN parent ON parent.id=parent_id ORDER BY child.name"


@pytest.fixture
def pair(sqlite_workshop):
    """Two ends of one schema; the application does not have its references enforced."""

    def made(*schema):
        ends = [sqlite_workshop.end(name, *schema) for name in ("a", "b")]
        for end in ends:
            end.execute("PRAGMA foreign_keys=OFF")
            end.replica.prepare(Wanted([], end.replica.describe().untracked))
        return ends

    return made


def agree_deeply(a, b):
    verdict = verify(a.replica, b.replica, deep=True)
    assert verdict.agree, verdict
    assert sync(a, b).records == 0


def hints(end):
    return end.rows("SELECT integer FROM tally_dangling ORDER BY integer")


def test_a_child_written_before_its_parent_names_it_once_it_is_there(pair):
    a, b = pair(PARENT, CHILD)
    a.execute("INSERT INTO child VALUES (1, 7, 'early')")
    sync(a, b)
    assert hints(a) == [(7,)]
    a.execute("INSERT INTO parent VALUES (7, 'late')")
    settle(a, b)
    assert b.rows(JOINED) == [("early", "late")]
    assert hints(a) == []
    agree_deeply(a, b)


def test_a_row_that_was_tracked_without_its_parent_names_it_once_it_is_there(sqlite_workshop):
    a = sqlite_workshop.end("a", PARENT, CHILD, "PRAGMA foreign_keys=OFF", "INSERT INTO child VALUES (1, 7, 'early')")
    b = sqlite_workshop.end("b", PARENT, CHILD)
    sync(a, b)
    a.execute("INSERT INTO parent VALUES (7, 'late')")
    settle(a, b)
    assert b.rows(JOINED) == [("early", "late")]
    agree_deeply(a, b)


def test_a_parent_that_comes_from_another_end_is_named_too(pair):
    a, b = pair(PARENT, CHILD)
    a.execute("INSERT INTO child VALUES (1, 7, 'early')")
    sync(a, b)
    b.execute("INSERT INTO parent VALUES (7, 'elsewhere')")
    settle(a, b)
    assert a.rows(JOINED) == b.rows(JOINED) == [("early", "elsewhere")]
    agree_deeply(a, b)


def test_a_child_whose_parent_goes_names_nobody_and_the_parent_is_kept_for_it_elsewhere(pair):
    a, b = pair(PARENT, CHILD)
    a.execute("INSERT INTO parent VALUES (7, 'gone')", "INSERT INTO child VALUES (1, 7, 'left alone')")
    sync(a, b)
    a.execute("DELETE FROM parent")
    assert a.replica.check(("child", "parent")) == {}
    settle(a, b)
    assert a.rows(JOINED) == b.rows(JOINED) == [("left alone", "gone")]
    agree_deeply(a, b)


def test_a_child_whose_parents_integer_was_used_again_names_the_new_one(pair):
    a, b = pair(PARENT, CHILD)
    a.execute("INSERT INTO parent VALUES (7, 'first')", "INSERT INTO child VALUES (1, 7, 'stays')")
    sync(a, b)
    a.execute("DELETE FROM parent", "INSERT INTO parent VALUES (7, 'second')")
    settle(a, b)
    assert a.rows(JOINED) == b.rows(JOINED) == [("stays", "second")]
    agree_deeply(a, b)


def test_children_follow_integers_that_change_hands(pair):
    a, b = pair(PARENT, CHILD)
    a.execute("INSERT INTO parent VALUES (1, 'one'), (2, 'two')", "INSERT INTO child VALUES (1, 1, 'x'), (2, 2, 'y')")
    sync(a, b)
    a.execute(
        "UPDATE parent SET id=9 WHERE id=1", "UPDATE parent SET id=1 WHERE id=2", "UPDATE parent SET id=2 WHERE id=9"
    )
    settle(a, b)
    assert a.rows(JOINED) == b.rows(JOINED) == [("x", "two"), ("y", "one")]
    agree_deeply(a, b)


def test_rows_of_one_table_name_each_other_in_whatever_order_they_come(pair):
    a, b = pair(NODE)
    a.execute("INSERT INTO node VALUES (1, 2, 'below')")
    sync(a, b)
    a.execute("INSERT INTO node VALUES (2, 3, 'middle')")
    sync(a, b)
    a.execute("INSERT INTO node VALUES (3, NULL, 'top')")
    settle(a, b)
    named = "SELECT n.name, u.name FROM node n JOIN node u ON u.id=n.up ORDER BY n.name"
    assert a.rows(named) == b.rows(named) == [("below", "middle"), ("middle", "top")]
    agree_deeply(a, b)


def test_a_key_made_of_a_reference_becomes_another_once_the_parent_is_there(pair):
    a, b = pair(PARENT, LINK)
    a.execute("INSERT INTO link VALUES (7, 1, 'early')")
    sync(a, b)
    a.execute("INSERT INTO parent VALUES (7, 'late')")
    settle(a, b)
    assert b.rows("SELECT * FROM link") == [(7, 1, "early")]
    agree_deeply(a, b)


def test_nobody_is_marked_again_for_a_reference_that_still_leads_nowhere(pair):
    a, b = pair(PARENT, CHILD)
    a.execute("INSERT INTO child VALUES (1, 7, 'early')", "INSERT INTO parent VALUES (1, 'another')")
    sync(a, b)
    before = a.replica.ledger.seq
    a.execute("INSERT INTO parent VALUES (8, 'not it')")
    sync(a, b)
    assert a.replica.ledger.seq == before + 1
    assert hints(a) == [(7,)]


def test_references_by_integer_are_forgotten_with_their_table(pair):
    a, _ = pair(PARENT, CHILD)
    a.execute("INSERT INTO child VALUES (1, 7, 'early')")
    a.replica.check(("child",))
    ledger = a.replica.ledger
    with ledger.write():
        ledger.remove_resource(ledger.resource("child"))
    assert hints(a) == []
