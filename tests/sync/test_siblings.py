"""Siblings at a third site (DESIGN.md 4.1)."""

from __future__ import annotations

from items import ITEM, agree_deeply

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.site.siblings import resolve
from tallystick.testing.contract import settle, sync


def test_siblings_travel_through_a_third_site(sqlite_workshop):
    policies = {"": Policy(conflict=FieldPolicy(Resolution.ASK))}
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one')")
    b, c = sqlite_workshop.end("b"), sqlite_workshop.end("c")
    settle(a, b, c)
    a.execute("UPDATE item SET note='A'")
    b.execute("UPDATE item SET note='B'")
    sync(a, b, policies=policies)
    sync(b, c, policies=policies)
    whole = c.replica.ledger.engine.query("SELECT count(*) FROM tally_sibling WHERE undecided=1")
    assert whole == [(1,)]


def test_a_decision_made_at_a_third_site_ends_the_conflict_everywhere(sqlite_workshop):
    policies = {"": Policy(conflict=FieldPolicy(Resolution.ASK))}
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one')")
    b, c = sqlite_workshop.end("b"), sqlite_workshop.end("c")
    settle(a, b, c)
    a.execute("UPDATE item SET note='A'")
    b.execute("UPDATE item SET note='B'")
    sync(a, b, policies=policies)
    sync(b, c, policies=policies)
    with c.replica.ledger.write():
        resolve(c.replica.ledger, c.replica.ledger.resource("item"), "1", {"code": "x", "note": "decided"})
    settle(a, b, c, policies=policies)
    for end in (a, b, c):
        assert end.rows("SELECT id, code, note FROM item") == [(1, "x", "decided")]
        assert end.rows("SELECT * FROM tally_sibling") == []
    agree_deeply(a, b, c)
