"""Records keep the keys that others know them by, however little those have answered."""

from __future__ import annotations

import pytest

from tallystick.errors import SchemaError
from tallystick.sync.replica import Wanted
from tallystick.testing.contract import settle, sync

SCHEMA = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)"


@pytest.fixture
def told(sqlite_workshop):
    """An end with a row older than tracking, another one that was told of it and has nothing to tell."""
    a = sqlite_workshop.end("a", SCHEMA, "INSERT INTO item VALUES (1, 'one')")
    b = sqlite_workshop.end("b", SCHEMA)
    sync(a, b)
    return a, b


def same_everywhere(*ends):
    """Whether all ends show the same names, each once."""
    shown = [sorted(end.rows("SELECT name FROM item")) for end in ends]
    return all(names == shown[0] for names in shown)


def later_row(workshop, name):
    """An end with a row that was made after tracking began, and is no plain copy's."""
    c = workshop.end("c", SCHEMA)
    c.replica.prepare(Wanted([], ["item"]))
    c.execute(f"INSERT INTO item VALUES (1, '{name}')")
    return c


@pytest.mark.parametrize(("name", "identity"), (("other", "same"), ("one", ""), ("one", "natural:name")))
def test_an_end_that_told_of_its_rows_takes_no_other_keys_for_them(told, name, identity, sqlite_workshop):
    a, b = told
    c = later_row(sqlite_workshop, name)
    sync(a, c, identity=identity)
    settle(a, b, c)
    assert same_everywhere(a, b, c)


def test_an_end_that_only_pushed_has_told(sqlite_workshop):
    a = sqlite_workshop.end("a", SCHEMA, "INSERT INTO item VALUES (1, 'one')")
    b = sqlite_workshop.end("b", SCHEMA)
    sync(a, b, direction="push")
    with pytest.raises(SchemaError):
        a.replica.rekey("item", {"1": "other"})


def test_the_other_end_takes_the_keys_where_the_first_has_told_of_its_rows(told, sqlite_workshop):
    a, b = told
    c = sqlite_workshop.end("c", SCHEMA, "INSERT INTO item VALUES (1, 'another')")
    sync(c, a, identity="separate")
    settle(a, b, c)
    assert a.rows("SELECT count(*) FROM item") == [(2,)]
    assert same_everywhere(a, b, c)


def test_rows_that_were_tracked_again_may_take_other_keys(told):
    a, _ = told
    with a.replica.ledger.write():
        from tallystick.site.capture import track, untrack

        untrack(a.replica.ledger, a.replica.ledger.resource("item"))
        track(a.replica.ledger, ["item"])
    a.replica.rekey("item", {"1": "other"})
    assert a.rows("SELECT * FROM item") == [(1, "one")]
