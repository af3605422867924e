"""Reading what is new: records that the receiver knows are passed quickly, and hide none that it does not know."""

from __future__ import annotations

import pytest

import tallystick
from tallystick.core.pages import KEY, VALUES
from tallystick.site.reading import Reader
from tallystick.site.stamping import stamp

KNOWN = 2000
FOREIGN = range(900, 905)


@pytest.fixture
def site(tmp_path):
    """A site whose own edits stand before and behind a few that came from another site."""
    here = tallystick.open(tmp_path / "here.db", create=True)
    there = tallystick.open(tmp_path / "there.db", create=True)
    here.ledger.engine.execute("CREATE TABLE item (id TEXT PRIMARY KEY, name TEXT)")
    here.ledger.engine.executemany("INSERT INTO item VALUES (?, ?)", [(f"{n:04}", "first") for n in range(KNOWN)])
    here.track()
    here.sync(there)
    here.ledger.engine.execute("UPDATE item SET name='here' WHERE id<'0900'")
    here.sync(there)
    there.ledger.engine.execute("UPDATE item SET name='there' WHERE id BETWEEN '0900' AND '0904'")
    here.sync(there)
    here.ledger.engine.execute("UPDATE item SET name='here' WHERE id>'0904'")
    with here.ledger.write():
        stamp(here.ledger)
    yield here
    here.close()
    there.close()


def read(site, digest):
    tracked = site.ledger.resource("item")
    return Reader(site.ledger, tracked, digest).batch(0, tracked.seq)


def test_news_between_records_that_the_receiver_knows_are_read_with_their_rows(site):
    ledger = site.ledger
    batch = read(site, {ledger.origin: ledger.resource("item").tick})
    assert [(row[KEY], *row[VALUES:]) for row in batch.rows if row[KEY] >= "0900"] == [
        (f"{number:04}", "there") for number in FOREIGN
    ]
    assert not batch.more


def test_records_that_the_receiver_knows_are_passed_in_few_steps(site, monkeypatch):
    tracked = site.ledger.resource("item")
    after, steps = type(tracked.rows).after, []
    monkeypatch.setattr(
        type(tracked.rows), "after", lambda *asked, **named: steps.append(asked) or after(*asked, **named)
    )
    everything = site.ledger.digest(tracked)
    assert read(site, everything).rows == []
    assert 0 < len(steps) < 10
