"""Pages made from what was stamped for them say what pages say that are read from the database."""

from __future__ import annotations

import pytest

from tallystick.core.pages import Page
from tallystick.site import reading
from tallystick.sync.replica import Meeting, Scope, Selection
from tallystick.testing.contract import settle, sync

SCOPE = Scope(("item",))
SCHEMA = "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT, price DECIMAL(10,2))"
EDITS = {
    "updates": ["UPDATE item SET note='new' WHERE id<'i20'"],
    "inserts": ["INSERT INTO item VALUES ('j1', NULL, 2.5)", "INSERT INTO item VALUES ('\\x', 'slash', NULL)"],
    "deletions": ["DELETE FROM item WHERE id='i10'"],
    "another key": ["UPDATE item SET id='k1' WHERE id='i11'"],
    "nothing new": ["UPDATE item SET note=note WHERE id='i12'", "UPDATE item SET note='x' WHERE id='i13'"],
}


@pytest.fixture
def pair(sqlite_workshop):
    """Two ends in agreement."""
    a = sqlite_workshop.end("a", SCHEMA, *(f"INSERT INTO item VALUES ('i{n}', 'old', {n})" for n in range(10, 40)))
    b = sqlite_workshop.end("b")
    settle(a, b)
    return a, b


def met(a, b):
    """Lets ``a`` stamp, as a meeting does, and gives the selection of a pass from it to ``b``."""
    a.replica.meet(Meeting(b.replica.ledger.site, "", "", "", SCOPE))
    return Selection(SCOPE, b.replica.digest(a.replica.ledger.site, SCOPE))


def pages(a, selection):
    """Rows and origins of a pass, by kind of step."""
    found = list(a.replica.changes(selection))
    return [(page.rows, page.origins, page.state) for page in found if isinstance(page, Page)]


@pytest.mark.parametrize("kind", sorted(EDITS))
def test_pages_are_the_same_however_they_are_made(pair, kind):
    a, b = pair
    a.execute(*EDITS[kind])
    selection = met(a, b)
    made, read = pages(a, selection), pages(a, selection)
    assert made == read
    assert made


def test_edits_of_both_ends_and_their_siblings_come_as_they_are_read(pair):
    a, b = pair
    a.execute("UPDATE item SET note='here' WHERE id='i10'")
    b.execute("UPDATE item SET note='there' WHERE id='i10'")
    sync(a, b)
    a.execute("UPDATE item SET note='again' WHERE id IN ('i10', 'i11')")
    selection = met(a, b)
    assert pages(a, selection) == pages(a, selection) != []


def test_an_edit_after_the_stamping_is_sent(pair):
    a, b = pair
    a.execute("UPDATE item SET note='first' WHERE id<'i20'")
    selection = met(a, b)
    a.execute("UPDATE item SET note='second' WHERE id='i10'")
    rows = {row[0]: row for made, _, _ in pages(a, selection) for row in made}
    assert len(rows) == 10
    assert "second" in rows["i10"]


def test_a_row_that_is_marked_again_waits_for_its_next_name(pair, monkeypatch):
    a, b = pair
    a.execute("UPDATE item SET note='first' WHERE id<'i20'")
    selection = met(a, b)
    start = a.replica._start

    def late(asked):  # the pass has stamped, and its pages are not made yet
        a.execute("UPDATE item SET note='second' WHERE id='i10'")
        return start(asked)

    monkeypatch.setattr(a.replica, "_start", late)
    rows = {row[0] for made, _, _ in pages(a, selection) for row in made}
    monkeypatch.undo()
    assert len(rows) == 9
    assert "i10" not in rows
    settle(a, b)
    assert b.rows("SELECT note FROM item WHERE id='i10'") == [("second",)]


def test_what_came_after_the_stamping_is_read(pair, sqlite_workshop):
    a, b = pair
    c = sqlite_workshop.end("c")
    settle(a, c)
    c.execute("UPDATE item SET note='from c' WHERE id>='i30'")
    a.execute("UPDATE item SET note='from a' WHERE id<'i20'")
    selection = met(a, b)
    sync(c, a)
    assert len({row[0] for made, _, _ in pages(a, selection) for row in made}) == 20
    settle(a, b, c)
    assert b.rows("SELECT * FROM item ORDER BY id") == c.rows("SELECT * FROM item ORDER BY id")


def test_more_than_a_page_is_read(pair, monkeypatch):
    a, b = pair
    a.execute("UPDATE item SET note='new'")
    monkeypatch.setattr(reading, "PAGE_ROWS", 7)
    selection = met(a, b)
    found = pages(a, selection)
    assert [len(rows) for rows, _, _ in found] == [7, 7, 7, 7, 2]


def test_a_column_that_is_added_after_the_stamping_is_read(pair):
    a, b = pair
    a.execute("UPDATE item SET note='first' WHERE id='i10'")
    selection = met(a, b)
    a.execute("ALTER TABLE item ADD COLUMN place TEXT")
    found = [page for page in a.replica.changes(selection) if isinstance(page, Page)]
    (row,) = found[0].rows
    names = [field.name for field in found[0].fields]
    assert dict(zip(names, row[7:], strict=True)) == {"note": "first", "place": None, "price": "10"}
