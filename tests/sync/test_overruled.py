"""Edits that a run would overrule are counted over its resumptions (DESIGN.md 4.8)."""

from __future__ import annotations

import pytest

from tallystick.core.policies import Resolution
from tallystick.errors import GuardStopped, PeerUnreachable
from tallystick.site import reading
from tallystick.testing.contract import by, settle, sync

OVERRULED = {"policies": by(Resolution.THIS), "direction": "push"}
TABLE = "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)"


@pytest.fixture
def contested(sqlite_workshop, monkeypatch):
    """Two ends with 60 records, 24 of which were edited at both; pages have 10 rows."""
    rows = ", ".join(f"('k{n:02}', 'old')" for n in range(60))
    a, b = sqlite_workshop.end("a", TABLE, f"INSERT INTO t VALUES {rows}"), sqlite_workshop.end("b", TABLE)
    sync(a, b)
    a.execute("UPDATE t SET v='of a' WHERE id < 'k24'")
    b.execute("UPDATE t SET v='of b' WHERE id < 'k24'")
    monkeypatch.setattr(reading, "PAGE_ROWS", 10)
    return a, b


def _cut_after_one_page(a, b, **wanted):
    """A run whose connection is cut when one page has been applied."""
    applied, pages = b.replica.apply, []

    def apply(page, settings):
        if pages:
            raise PeerUnreachable("the connection was cut")
        pages.append(page)
        return applied(page, settings)

    b.replica.apply = apply
    with pytest.raises(PeerUnreachable):
        sync(a, b, **OVERRULED, **wanted)
    b.replica.apply = applied


def _kept(b):
    return b.rows("SELECT count(*) FROM t WHERE v='of b'")[0][0]


def test_resumptions_of_a_run_overrule_no_more_than_one_run_may(contested):
    a, b = contested
    _cut_after_one_page(a, b, run="night")
    assert _kept(b) == 14
    with pytest.raises(GuardStopped, match="24 of 60 records of 't' edited here would lose"):
        sync(a, b, **OVERRULED, run="night")
    assert _kept(b) == 4


def test_what_was_let_through_is_let_through_in_resumptions(contested):
    a, b = contested
    _cut_after_one_page(a, b, run="night", allowed=24)
    sync(a, b, **OVERRULED, run="night", allowed=24)
    assert _kept(b) == 0
    settle(a, b, policies=OVERRULED["policies"])
    assert b.rows("SELECT count(*) FROM t WHERE v='of a'") == [(24,)]
