"""Tables nested in their parents: lists in payloads, one state for both, deleteMissing (spec 7, 12)."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from click.testing import CliRunner

import tallystick
from tallystick.cli.main import group
from tallystick.errors import ConfigurationError
from tallystick.jobs.pushing import Pusher
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.payloads import Collection, Payload
from tallystick.protocols.sdata.codec.schema import read_schema
from tallystick.protocols.sdata.site.nests import nests

SCHEMA = (
    "CREATE TABLE product (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL)",
    "CREATE TABLE order_line (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), "
    "quantity INTEGER, product_id INTEGER REFERENCES product (id))",
    "CREATE TABLE note (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (id), about_id INTEGER NOT NULL "
    "REFERENCES orders (id), against_id INTEGER NOT NULL REFERENCES orders (id))",
)
ROWS = (
    "INSERT INTO product VALUES (1, 'Nail'), (2, 'Screw')",
    "INSERT INTO orders VALUES (1, 'first'), (2, 'second')",
    "INSERT INTO order_line VALUES (1, 1, 10, 1), (2, 1, 20, 2), (3, 2, 30, NULL)",
)
LINES = (
    "SELECT o.name, l.quantity, p.name FROM order_line l JOIN orders o ON o.id=l.order_id "
    "LEFT JOIN product p ON p.id=l.product_id ORDER BY 1, 2"
)
ALL = [("first", 10, "Nail"), ("first", 20, "Screw"), ("second", 30, None)]
KINDS = ("products", "orders")
NEST = {"schema": SCHEMA, "nest": ("orders.order_line",)}
JSON = {"Content_Type": "application/json"}
FOREIGN = "https://erp.example/sdata/erp/crm/-/orders"
UUID = "3b9f6a52-1c8d-4e07-a5f4-{:012d}".format


def quantities(served, path: str) -> list[str]:
    """The quantities of an order's lines as its payload shows them."""
    (entry,) = read_feed(served.get(path).body).entries
    assert entry.payload is not None
    listed = entry.payload.fields["orderLines"]
    assert isinstance(listed, Collection)
    return [str(item.fields["quantity"]) for item in listed.items]


def incoming(tick: int, *lines: Payload, whole: bool = True, deleted: bool = False, name: str = "sent") -> bytes:
    """The page of a foreign source with one order."""
    listed = Collection(lines, delete_missing=whole)
    fields = {} if deleted else {"name": name, "orderLines": listed}
    payload = Payload("order", "urn:crm", fields, UUID(1), deleted=deleted)
    stamp = f"2026-03-02T07:41:{tick:02d}Z"
    entry = Entry(updated=stamp, state=SyncState(FOREIGN, tick, stamp), payload=payload)
    digest = digest_of(FOREIGN, [DigestEntry(FOREIGN, tick + 1, stamp, 5)])
    return write_feed(FeedHead(id=f"{FOREIGN}/pass {tick}", mode=CATCH_UP, digest=digest), [entry])


def line(number: int, quantity: str, **more) -> Payload:
    return Payload("orderLine", "", {"quantity": quantity}, UUID(number), **more)


def post(served, body: bytes) -> list[Entry]:
    identity = f"G{abs(hash(body))}"
    assert served.send("POST", f"orders/$syncTarget?trackingID={identity}", body).status == 202
    return read_feed(served.get(f"orders/$syncTarget('{identity}')").body).entries


# What is shown ------------------------------------------------------------------------------------------------------


def test_the_schema_says_which_list_a_table_is(serving, engine):
    served = serving("site", engine=engine, **NEST)
    contract = read_schema(served.get("$schema").body, "site")
    assert [kind.name for kind in contract.served] == ["products", "orders", "notes"]
    orders, lines = contract.kind("orders"), contract.kind("orderLines")
    assert orders is not None
    assert lines is not None
    listed = orders.find("orderLines")
    assert listed is not None
    assert (listed.relationship, listed.kind, listed.collection, lines.embedded) == ("child", "orderLines", True, True)
    assert [one.name for one in lines.properties] == ["product", "quantity"], "the parent is where the list stands"
    assert served.get("orderLines").status == 404


def test_a_feed_shows_links_and_an_order_its_lines(serving, engine):
    served = serving("site", *ROWS, engine=engine, **NEST)
    assert quantities(served, "orders('1')") == quantities(served, "orders?include=orderLines&count=1") == ["10", "20"]
    (entry, _) = read_feed(served.get("orders").body).entries
    assert entry.payload is not None
    listed = entry.payload.fields["orderLines"]
    assert isinstance(listed, Payload)
    assert (listed.url, listed.fields) == (f"{served.dataset}/orders('1')/orderLines", {})
    before = served.get("orders('1')").headers["etag"]
    served.sql("UPDATE order_line SET quantity=11 WHERE id=1")
    after = served.get("orders('1')").headers["etag"]
    assert before != after, "a list that changed is a changed resource"


# Agreement ----------------------------------------------------------------------------------------------------------


def test_lines_travel_inside_their_orders_both_ways(serving, engine, agreement):
    one, other = serving("one", *ROWS, **NEST), serving("other", engine=engine, **NEST)
    agreement(one, other, KINDS)
    assert one.sql(LINES) == other.sql(LINES) == ALL
    assert [report.entries for report in agreement(one, other, KINDS)] == [0, 0, 0, 0], "and nothing comes back"
    other.sql("UPDATE order_line SET quantity=31 WHERE quantity=30")
    one.sql("INSERT INTO order_line (order_id, quantity) VALUES (1, 15)")
    assert [report.entries for report in agreement(one, other, KINDS)] == [0, 1, 0, 1]
    assert one.sql(LINES) == other.sql(LINES)
    assert [row[1] for row in one.sql(LINES)] == [10, 15, 20, 31]
    assert [report.entries for report in agreement(one, other, KINDS)] == [0, 0, 0, 0]


def test_a_line_that_was_deleted_or_moved_is_so_everywhere(serving, engine, agreement):
    one, other = serving("one", *ROWS, **NEST), serving("other", engine=engine, **NEST)
    agreement(one, other, KINDS)
    one.sql("DELETE FROM order_line WHERE quantity=20", "UPDATE order_line SET order_id=2 WHERE quantity=10")
    agreement(one, other, KINDS)
    assert one.sql(LINES) == other.sql(LINES) == [("second", 10, "Nail"), ("second", 30, None)]


def test_a_deleted_order_takes_its_lines_along(serving, engine, agreement):
    one, other = serving("one", *ROWS, **NEST), serving("other", engine=engine, **NEST)
    agreement(one, other, KINDS)
    one.sql("DELETE FROM order_line WHERE order_id=1", "DELETE FROM orders WHERE id=1")
    agreement(one, other, KINDS)
    assert other.sql(LINES) == [("second", 30, None)]
    assert other.sql("SELECT name FROM orders") == [("second",)]


def test_the_orders_of_two_ends_conflict_with_their_lines(serving, agreement):
    one, other = serving("one", *ROWS, **NEST, priority=1), serving("other", **NEST, priority=9)
    agreement(one, other, KINDS)
    one.sql("UPDATE order_line SET quantity=11 WHERE quantity=10")
    other.sql("UPDATE order_line SET quantity=21 WHERE quantity=20")
    agreement(one, other, KINDS)
    assert [row[1] for row in other.sql(LINES)] == [row[1] for row in one.sql(LINES)] == [11, 20, 30]


@pytest.mark.parametrize("later", ("one", "other"))
def test_lines_travel_on_after_a_conflict(serving, agreement, later):
    ends = {"one": serving("one", *ROWS, **NEST, priority=1), "other": serving("other", **NEST, priority=9)}
    agreement(*ends.values(), KINDS)
    ends["one"].sql("UPDATE order_line SET quantity=11 WHERE quantity=10")
    ends["other"].sql("UPDATE order_line SET quantity=21 WHERE quantity=20")
    agreement(*ends.values(), KINDS)
    ends[later].sql("UPDATE order_line SET quantity=12 WHERE quantity=11")
    agreement(*ends.values(), KINDS)
    assert [[row[1] for row in end.sql(LINES)] for end in ends.values()] == [[12, 20, 30], [12, 20, 30]]


def test_a_list_that_names_all_deletes_what_it_does_not_name_and_another_leaves_it(serving, engine):
    served = serving("site", engine=engine, **NEST)
    assert [entry.status for entry in post(served, incoming(1, line(11, "1"), line(12, "2")))] == [200]
    post(served, incoming(2, line(12, "3"), whole=False))
    assert [row[1] for row in served.sql(LINES)] == [1, 3]
    post(served, incoming(3, line(13, "4"), line(11, "", deleted=True), whole=False))
    assert [row[1] for row in served.sql(LINES)] == [3, 4]
    (entry,) = post(served, incoming(4, line(13, "5")))
    assert [row[1] for row in served.sql(LINES)] == [5]
    assert entry.payload is not None
    assert [item.uuid for item in entry.payload.fields["orderLines"].items] == [UUID(13)]
    post(served, incoming(5, line(14, "6"), line(13, "5")))
    post(served, incoming(6, deleted=True))
    assert (served.sql(LINES), served.sql("SELECT count(*) FROM orders")) == ([], [(0,)])


def test_a_line_that_cannot_be_read_refuses_its_order_and_is_sent_again(serving, engine):
    served = serving("site", engine=engine, **NEST)
    (entry,) = post(served, incoming(1, line(11, "1"), line(12, "many")))
    assert entry.status == 409
    assert "quantity" in entry.diagnoses[0].message
    assert served.sql("SELECT count(*) FROM orders") == served.sql("SELECT count(*) FROM order_line") == [(0,)]
    assert [one.status for one in post(served, incoming(2, line(11, "1"), line(12, "2")))] == [200]


def test_a_database_that_lacks_the_tables_gets_both(serving, tmp_path, engine):
    served = serving("site", *ROWS, engine=engine, **NEST)
    database = str(tmp_path / "copy.db")
    arguments = ["sync", f"sdata+{served.dataset}", database, "--only", "products", "--only", "orders"]
    assert CliRunner().invoke(group, arguments).exit_code == 0
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as opened:
        assert opened.execute("SELECT quantity FROM orderLines ORDER BY 1").fetchall() == [(10,), (20,), (30,)]
        opened.execute("UPDATE orderLines SET quantity=12 WHERE quantity=10")
    arguments = ["sync", f"sdata+{served.dataset}", database, "--only", "products", "--only", "orders"]
    assert CliRunner().invoke(group, arguments).exit_code == 0
    assert [row[1] for row in served.sql(LINES)] == [12, 20, 30]


# Single resources ---------------------------------------------------------------------------------------------------


def test_an_order_is_created_changed_and_deleted_with_its_lines(serving, engine):
    served = serving("site", engine=engine, **NEST)
    body = {"name": "third", "orderLines": {"$resources": [{"quantity": 1}, {"quantity": 2}]}}
    made = served.send("POST", "orders", json.dumps(body).encode(), **JSON)
    assert made.status == 201, made.body
    assert [row[:2] for row in served.sql(LINES)] == [("third", 1), ("third", 2)]
    path = made.headers["location"].removeprefix(f"{served.dataset}/")
    refused = {"orderLines": {"$resources": [{"quantity": "many"}]}}
    tag = {"If_Match": made.headers["etag"]}
    assert served.send("PUT", path, json.dumps(refused).encode(), **tag, **JSON).status == 400
    assert served.send("DELETE", path).status == 200
    assert served.sql("SELECT count(*) FROM order_line") == [(0,)]


@pytest.mark.parametrize("form", ("atom", "json"))
def test_what_was_read_before_anything_was_synchronized_is_written_back_unchanged(serving, engine, form):
    served = serving("site", *ROWS, engine=engine, **NEST)
    rows = "SELECT id, order_id, quantity, product_id FROM order_line ORDER BY 1"
    before = served.sql(rows)
    read = served.get(f"orders('1')?include=orderLines&format={form}")
    kind = "application/json" if form == "json" else "application/atom+xml; type=entry"
    tag = {"If_Match": read.headers["etag"], "Content_Type": kind}
    assert served.send("PUT", "orders('1')", read.body, **tag).status == 200
    assert served.sql(rows) == before, "no reference is lost, no line made anew"
    assert served.sql("SELECT count(*) FROM tally_sdata_link") == [(0,)], "reading and writing gives no uuid"


def test_numbers_of_lines_are_numbers_in_json(serving):
    served = serving("site", *ROWS, **NEST)
    read = json.loads(served.get("orders('1')?include=orderLines&format=json").body)
    assert [one["quantity"] for one in read["orderLines"]["$resources"]] == [10, 20]


def test_a_copy_of_an_order_has_lines_of_its_own(serving):
    served = serving("site", *ROWS, **NEST)
    read = json.loads(served.get("orders('1')?include=orderLines&format=json").body)
    made = {"name": "copy", "orderLines": read["orderLines"]}
    assert served.send("POST", "orders", json.dumps(made).encode(), **JSON).status == 201
    assert served.sql(LINES) == [("copy", 10, "Nail"), ("copy", 20, "Screw"), *ALL]


def test_a_reference_by_a_key_that_is_not_here_is_refused(serving):
    served = serving("site", *ROWS, **NEST)
    body = json.dumps({"name": "x", "orderLines": {"$resources": [{"quantity": 1, "product": {"$key": "9"}}]}})
    refused = served.send("POST", "orders", body.encode(), **JSON)
    assert (refused.status, b"there is no resource '9'" in refused.body) == (400, True)
    assert served.sql(LINES) == ALL


@pytest.mark.parametrize(
    ("wanted", "problem"),
    (
        ("orders.nothing", "nothing is not tracked"),
        ("orders", "no table is not tracked"),
        ("orders.product", "no foreign key"),
        ("orders.note", "several foreign keys"),
    ),
)
def test_what_cannot_be_nested_is_said_at_once(serving, wanted, problem):
    served = serving("site", schema=SCHEMA)
    definitions = [tracked.definition for tracked in served.site.ledger.resources()]
    with pytest.raises(ConfigurationError, match=problem):
        nests(definitions, [wanted])
    nests(definitions, ["orders.order_line"])
    with pytest.raises(ConfigurationError, match="one table only"):
        nests(definitions, ["orders.order_line", "orders.order_line"])


def test_a_changed_line_is_pushed_with_its_order(serving):
    one, other = serving("one", *ROWS, **NEST), serving("other", **NEST)
    pool = Pool(lambda: tallystick.open(one.url).replica)
    pusher = Pusher(pool, f"sdata+{other.dataset}")
    assert pusher.push().pushed == 4
    assert other.sql(LINES) == ALL
    one.sql("UPDATE order_line SET quantity=11 WHERE quantity=10")
    assert pusher.push() == (1, ())
    one.sql("DELETE FROM order_line WHERE quantity=30")
    assert pusher.push() == (1, ())
    assert pusher.push() == (0, ())
    assert other.sql(LINES) == one.sql(LINES) == [("first", 11, "Nail"), ("first", 20, "Screw")]
    pusher.close()
    pool.close()
