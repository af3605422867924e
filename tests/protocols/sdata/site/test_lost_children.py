"""What the conflict log keeps of lists that lost with their parents (spec 7, 9.5)."""

from __future__ import annotations

import json
from itertools import count

from click.testing import CliRunner

from tallystick.cli.main import group
from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.payloads import Collection, Payload

SCHEMA = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL)",
    "CREATE TABLE order_line (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), "
    "quantity INTEGER, note VARCHAR(40))",
)
NEST = {"schema": SCHEMA, "nest": ("orders.order_line",)}
WINS, LOSES = {**NEST, "priority": 1}, {**NEST, "priority": 9}
ROWS = (
    "INSERT INTO orders VALUES (1, 'first')",
    "INSERT INTO order_line VALUES (1, 1, 10, 'kept'), (2, 1, 20, NULL)",
)
QUANTITIES = "SELECT quantity FROM order_line ORDER BY 1"
FOREIGN = "https://erp.example/sdata/erp/crm/-/orders"
UUID = "3b9f6a52-1c8d-4e07-a5f4-{:012d}".format
_passes = count(1)


def logged(served) -> list[tuple[str, int | None, str | None]]:
    """The lines in the conflict log: how they came to be hidden, quantity, note."""
    found = [one for one in served.site.conflict_log() if one.resource == "orderline"]
    contents = [one.version.content or {} for one in found]
    return [(one.kind, at.get("quantity"), at.get("note")) for one, at in zip(found, contents, strict=True)]


def line(number: int, quantity: str, **more) -> Payload:
    return Payload("orderLine", "", {"quantity": quantity}, UUID(number), **more)


def order(tick: int, *lines: Payload, number: int = 1, whole: bool = True, deleted: bool = False) -> Entry:
    """An order as a foreign source sends it."""
    fields = {} if deleted else {"name": f"sent {tick}", "orderLines": Collection(lines, delete_missing=whole)}
    stamp = f"2026-03-02T07:41:{tick:02d}Z"
    payload = Payload("order", "urn:crm", fields, UUID(number), deleted=deleted)
    return Entry(updated=stamp, state=SyncState(FOREIGN, tick, stamp), payload=payload)


def post(served, *entries: Entry) -> list[int]:
    """Send a page of a foreign source, which knows nothing of what is here; the statuses."""
    state = entries[-1].state
    assert state is not None
    digest = digest_of(FOREIGN, [DigestEntry(FOREIGN, state.tick + 1, state.stamp, 5)])
    number = next(_passes)
    body = write_feed(FeedHead(id=f"{FOREIGN}/pass {number}", mode=CATCH_UP, digest=digest), entries)
    assert served.send("POST", f"orders/$syncTarget?trackingID=P{number}", body).status == 202
    return [one.status for one in read_feed(served.get(f"orders/$syncTarget('P{number}')").body).entries]


def test_lines_here_that_an_order_which_wins_writes_over_are_kept(serving, engine, agreement):
    one, other = serving("one", *ROWS, **WINS), serving("other", engine=engine, **LOSES)
    agreement(one, other, ("orders",))
    one.sql("UPDATE order_line SET quantity=11 WHERE quantity=10")
    other.sql(
        "UPDATE order_line SET quantity=21 WHERE quantity=20",
        "INSERT INTO order_line (id, order_id, quantity) SELECT 99, id, 30 FROM orders",
    )
    agreement(one, other, ("orders",))
    assert one.sql(QUANTITIES) == other.sql(QUANTITIES) == [(11,), (20,)]
    assert sorted(logged(other)) == [("lost here", 10, "kept"), ("lost here", 21, None), ("lost here", 30, None)]
    assert logged(one) == []
    entries = [item for item in other.site.conflict_log() if (item.version.content or {}).get("quantity") == 30]
    other.site.undo(entries[0].id)
    assert other.sql(QUANTITIES) == [(11,), (20,), (30,)], "and it can be brought back"
    agreement(one, other, ("orders",))
    assert one.sql(QUANTITIES) == [(11,), (20,), (30,)]


def test_lines_that_come_with_an_order_which_loses_are_kept_where_it_lost(serving, engine, agreement):
    one, other = serving("one", *ROWS, **LOSES), serving("other", engine=engine, **WINS)
    agreement(one, other, ("orders",))
    one.sql("UPDATE order_line SET quantity=11 WHERE quantity=10", "INSERT INTO order_line VALUES (3, 1, 30, 'new')")
    other.sql("UPDATE order_line SET quantity=21 WHERE quantity=20")
    agreement(one, other, ("orders",))
    assert one.sql(QUANTITIES) == other.sql(QUANTITIES) == [(10,), (21,)]
    arrived = [("lost on arrival", 11, "kept"), ("lost on arrival", 20, None), ("lost on arrival", 30, "new")]
    assert sorted(logged(other)) == arrived
    agreement(one, other, ("orders",))
    assert sorted(logged(other)) == arrived, "once"


def test_what_the_command_lists_names_the_line_and_what_it_held(serving):
    served = serving("site", **LOSES)
    post(served, order(1, line(11, "1")))
    served.sql("UPDATE order_line SET quantity=2, note='mine'")
    post(served, order(2, line(11, "3")))
    listed = json.loads(CliRunner().invoke(group, ["conflicts", "list", served.url, "--log", "--json"]).stdout)
    (found,) = [one for one in listed if one["resource"] == "orderline"]
    assert (found["key"], found["kind"]) == (UUID(11), "lost here")
    assert (found["content"]["quantity"], found["content"]["note"]) == (2, "mine")


def test_lines_that_go_with_a_deletion_which_wins_are_kept(serving, engine):
    served = serving("site", engine=engine, **LOSES)
    post(served, order(1, line(11, "1"), line(12, "2")))
    served.sql("UPDATE order_line SET quantity=5 WHERE quantity=2")
    assert post(served, order(2, deleted=True)) == [200]
    assert served.sql(QUANTITIES) == []
    assert sorted(logged(served)) == [("lost here", 1, None), ("lost here", 5, None)]


def test_lines_that_stay_as_they_were_are_not_logged(serving, engine):
    served = serving("site", engine=engine, **LOSES)
    post(served, order(1, line(11, "1"), line(12, "2")))
    served.sql("UPDATE order_line SET quantity=5 WHERE quantity=2")
    post(served, order(2, line(12, "3"), whole=False))
    assert served.sql(QUANTITIES) == [(1,), (3,)]
    assert logged(served) == [("lost here", 5, None)]
    post(served, order(3, line(12, "4"), whole=False))
    assert (served.sql(QUANTITIES), len(logged(served))) == ([(1,), (4,)], 1), "what is newer is no conflict"


def test_a_deletion_of_a_line_that_lost_is_logged_as_one(serving, engine):
    served = serving("site", engine=engine, **WINS)
    post(served, order(1, line(11, "1"), line(12, "2")))
    served.sql("UPDATE order_line SET quantity=5 WHERE quantity=2")
    assert post(served, order(2, line(11, "1"), line(12, "", deleted=True), whole=False)) == [409]
    assert served.sql(QUANTITIES) == [(1,), (5,)]
    (found,) = [one for one in served.site.conflict_log() if one.resource == "orderline"]
    assert (found.key, found.kind, found.version.deleted) == (UUID(12), "lost on arrival", True)


def test_a_list_that_is_sent_again_because_of_an_earlier_failure_is_logged_once(serving, engine):
    served = serving("site", engine=engine, **WINS)
    post(served, order(1, line(11, "1")))
    served.sql("UPDATE order_line SET quantity=5")
    page = (order(2, line(21, "many"), number=2), order(3, line(11, "2")))
    for _ in range(2):
        assert post(served, *page) == [409, 409]
    assert logged(served) == [("lost on arrival", 2, None)]
