"""A backup that is put back loses nothing, whenever in a run it was made (DESIGN.md 4.4 *One history*)."""

from __future__ import annotations

import sqlite3

import pytest

from tallystick.core.policies import Resolution
from tallystick.testing.contract import by, settle, sync

SCHEMA = "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT, place INTEGER)"
MERGED = {"policies": by(Resolution.MERGE)}


@pytest.fixture
def pair(sqlite_workshop):
    """Two ends in agreement."""
    a = sqlite_workshop.end("a", SCHEMA, *(f"INSERT INTO item VALUES ('i{n}', 'old', {n})" for n in range(5)))
    b = sqlite_workshop.end("b", SCHEMA)
    settle(a, b)
    return a, b


def backup(end):
    """The database file of an end as it is now, as bytes."""
    copy = sqlite3.connect(end.path.with_suffix(".backup"))
    with sqlite3.connect(end.path) as source:
        source.backup(copy)
    source.close()
    copy.close()
    return end.path.with_suffix(".backup").read_bytes()


def restore(end, content):
    """Put a backup in the place of the end's database, and let the application write on."""
    end.replica.close()
    end.connection.close()
    for more in ("-wal", "-shm"):
        end.path.with_name(end.path.name + more).unlink(missing_ok=True)
    end.path.write_bytes(content)
    end.connection = sqlite3.connect(end.path, isolation_level=None)
    end.replica = type(end.replica).open(type(end.replica.ledger.engine)(end.path), end.path.stem)
    end.execute("UPDATE item SET note='after' WHERE id='i2'", "UPDATE item SET note='after' WHERE id='i3'")


def rows(end):
    return end.rows("SELECT * FROM item ORDER BY id")


@pytest.mark.parametrize("restored", (0, 1))
@pytest.mark.parametrize("direction", ("both", "push", "pull"))
def test_of_edits_between_a_meeting_and_its_pass(pair, restored, direction, monkeypatch):
    a, b = pair
    end = pair[restored]
    a.execute("UPDATE item SET note='from a' WHERE id='i0'")
    b.execute("UPDATE item SET note='from b' WHERE id='i1'")
    kept = []
    given = end.replica.changes

    def late(selection):
        kept.append(backup(end))
        with sqlite3.connect(end.path) as application:
            application.execute("UPDATE item SET note='late' WHERE id='i4'")
        application.close()
        return given(selection)

    monkeypatch.setattr(end.replica, "changes", late)
    sync(a, b, direction=direction)
    asked = direction == "both" or restored == (direction == "pull")
    assert len(kept) == asked
    if asked:
        restore(end, kept[0])
        settle(a, b)
        assert rows(a) == rows(b)
        assert [row[1] for row in rows(a)][2:4] == ["after", "after"]


@pytest.mark.parametrize("restored", (0, 1))
def test_before_a_run_that_merges(pair, restored, sqlite_workshop):
    a, b = pair
    a.execute("UPDATE item SET note='from a' WHERE id='i1'")
    b.execute("UPDATE item SET place=77 WHERE id='i1'")
    sync(pair[restored], sqlite_workshop.end("c", SCHEMA))  # all that it says at the next meeting is said by now
    kept = backup(pair[restored])
    sync(a, b, **MERGED)
    assert rows(a)[1] == rows(b)[1] == ("i1", "from a", 77)
    restore(pair[restored], kept)
    settle(a, b, **MERGED)
    assert rows(a) == rows(b)
    assert rows(a)[1:4] == [("i1", "from a", 77), ("i2", "after", 2), ("i3", "after", 3)]


def test_what_was_stamped_after_the_meeting_comes_with_the_next_pass(pair, monkeypatch):
    a, b = pair
    a.execute("UPDATE item SET note='from a' WHERE id='i0'")
    given = a.replica.changes

    def late(selection):
        with sqlite3.connect(a.path) as application:
            application.execute("UPDATE item SET note='late' WHERE id IN ('i0', 'i4')")
        application.close()
        return given(selection)

    monkeypatch.setattr(a.replica, "changes", late)
    sync(a, b)
    monkeypatch.undo()
    assert [row[1] for row in rows(b)] == ["old"] * 5
    assert sync(a, b).records == 2
    assert rows(a) == rows(b)


@pytest.mark.parametrize("restored", (0, 1))
def test_of_edits_that_are_stamped_while_the_ends_hear_of_each_other(pair, restored, monkeypatch):
    a, b = pair
    end = pair[restored]
    a.execute("UPDATE item SET note='from a' WHERE id='i0'")
    b.execute("UPDATE item SET note='from b' WHERE id='i1'")
    kept = []
    given = end.replica.meet

    def late(theirs):
        if theirs.histories is not None and not kept:
            kept.append(backup(end))
            with sqlite3.connect(end.path) as application:
                application.execute("UPDATE item SET note='late' WHERE id='i4'")
            application.close()
        return given(theirs)

    monkeypatch.setattr(end.replica, "meet", late)
    sync(a, b, direction=("push", "pull")[restored])
    restore(end, kept[0])
    settle(a, b)
    assert rows(a) == rows(b)
    assert [row[1] for row in rows(a)][2:4] == ["after", "after"]
