"""What must hold of a served site whatever comes: failures, bad input, full knowledge, users."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

import tallystick
from tallystick.protocols.sdata.codec.digest_messages import DigestMessage, read_digest_message, write_digest_message
from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.transport import Credentials, HttpTransport
from tallystick.site import users
from tallystick.site.stamping import stamp

FOREIGN = "https://erp.example/sdata/erp/crm/-/accounts"
ROWS = ("INSERT INTO account (id, name, credit_limit) VALUES (1, 'Acme', 10), (2, 'Bolt', 20), (3, 'Coil', 30)",)


def entry(number, tick, endpoint=FOREIGN, **fields):
    uuid = f"3b9f6a52-1c8d-4e07-a5f4-{number:012d}"
    state = SyncState(endpoint, tick, "2026-03-02T07:41:18Z")
    payload = Payload("account", "urn:crm", fields, uuid, deleted=not fields)
    return Entry(id="x", title="x", updated=state.stamp, state=state, payload=payload)


def feed(entries, ticks):
    stamp = "2026-03-02T08:00:00Z"
    digest = digest_of(FOREIGN, [DigestEntry(endpoint, tick, stamp, 5) for endpoint, tick in ticks.items()])
    return write_feed(FeedHead(id=f"{FOREIGN}/pass", title="x", updated="", mode=CATCH_UP, digest=digest), entries)


def post(served, body, identity):
    assert served.send("POST", f"accounts/$syncTarget?trackingID={identity}", body).status == 202
    return read_feed(served.get(f"accounts/$syncTarget('{identity}')").body)


def tick_of(served, endpoint):
    return read_digest_message(served.get("accounts/$syncDigest").body).tick(endpoint)


def test_a_value_that_cannot_be_read_is_refused_sent_again_and_delays_nobody(serving, engine):
    served = serving("site", engine=engine)
    bad = [entry(1, 1, name="A"), entry(2, 2, name="B", founded="yesterday"), entry(3, 3, name="C")]
    answered = post(served, feed(bad, {FOREIGN: 4}), "G1")
    assert [found.status for found in answered.entries] == [200, 409, 200]
    assert served.sql("SELECT name FROM account ORDER BY 1") == [("A",), ("C",)]
    assert tick_of(served, FOREIGN) == 2, "the digest claims nothing beyond what failed"
    good = feed([entry(2, 2, name="B", founded="2020-01-01"), entry(3, 3, name="C")], {FOREIGN: 4})
    assert [found.status for found in post(served, good, "G2").entries] == [200, 200]
    assert (tick_of(served, FOREIGN), served.sql("SELECT count(*) FROM account")) == (4, [(3,)])


def test_foreign_edits_build_on_what_their_digest_covers(serving, engine):
    served = serving("site", *ROWS, engine=engine)
    own = f"{served.dataset}/accounts"
    nothing = write_digest_message(DigestMessage(digest_of("urn:nobody", [])))
    served.send("POST", "accounts/$syncSource?trackingID=S", nothing)
    sent = read_feed(served.get("accounts/$syncSource('S')").body)
    acme = next(found for found in sent.entries if found.payload.fields["name"] == "Acme")
    seen = sent.head.digest.tick(own)
    edited = Entry(
        id="x",
        title="x",
        updated="2026-11-26T00:00:00Z",
        state=SyncState(FOREIGN, 1, "2020-01-01T00:00:00Z"),
        payload=Payload("account", "urn:crm", {"name": "Acme Ltd", "colour": "red"}, acme.uuid),
    )
    (answered,) = post(served, feed([edited], {FOREIGN: 2, own: seen}), "G1").entries
    assert (answered.status, answered.method, answered.diagnoses) == (200, "PUT", ())
    assert served.sql("SELECT name, credit_limit FROM account WHERE id=1")[0][0] == "Acme Ltd"
    assert served.site.conflict_log() == []
    assert answered.payload.fields["colour"] == "red", "what no column holds is kept and passed on"
    served.sql("UPDATE account SET name='Acme plc' WHERE id=1")
    shown = json.loads(served.get("accounts('1')?format=json").body)
    assert (shown["name"], shown["colour"]) == ("Acme plc", "red")


def test_all_knowledge_travels_through_feeds_between_sites(serving, engine, agreement):
    """A record with siblings goes A -> B -> C by SData alone; an edit at C of what is shown ends it everywhere."""
    one, two, three = serving("one", *ROWS), serving("two", engine=engine), serving("three")
    agreement(one, two)
    agreement(two, three)
    one.sql("UPDATE account SET name='one' WHERE name='Acme'")
    two.sql("UPDATE account SET name='two' WHERE name='Acme'")
    agreement(one, two)
    agreement(two, three)
    assert three.sql("SELECT count(*) FROM tally_sibling") == two.sql("SELECT count(*) FROM tally_sibling") == [(1,)]
    three.sql("UPDATE account SET name='three' WHERE name IN ('one', 'two')")
    agreement(two, three)
    agreement(one, two)
    names = [served.sql("SELECT name FROM account WHERE name NOT IN ('Bolt', 'Coil')") for served in (one, two, three)]
    assert names == [[("three",)]] * 3
    assert one.sql("SELECT count(*) FROM tally_sibling") == [(0,)]


def test_a_copied_database_is_an_endpoint_of_its_own(serving, tmp_path, agreement):
    import shutil

    one, other = serving("one", *ROWS), serving("other")
    agreement(one, other)
    one.stop()
    one.site.close()
    shutil.copy(one.url, tmp_path / "copy.db")
    one.site = tallystick.open(one.url)
    one.start()
    copy = serving("copy", schema=())
    copy.sql("UPDATE account SET name='in the copy' WHERE name='Acme'")
    one.sql("UPDATE account SET name='in the original' WHERE name='Bolt'")
    agreement(copy, other)
    agreement(one, other)
    agreement(copy, other)
    for served in (one, other, copy):
        assert served.sql("SELECT name FROM account ORDER BY 1") == [("Coil",), ("in the copy",), ("in the original",)]


@pytest.mark.parametrize(
    ("where", "status"),
    (
        ("name eq 'Bolt'", 1),
        ("creditLimit gt 15 and not (name eq 'Coil')", 1),
        ("name like 'B%25'", 1),
        ("name eq 'x''; DROP TABLE account; --'", 0),
        ("name eq 'x' or 1 eq 1; DROP TABLE account", 400),
        ("colour eq 'red'", 400),
        ("salesPerson eq 1", 400),
        ("name eq", 400),
    ),
)
def test_a_where_clause_is_a_question_and_never_sql(serving, where, status):
    served = serving("site", *ROWS)
    answer = served.get(f"accounts?format=json&where={where.replace(' ', '%20')}")
    if status == 400:
        assert (answer.status, json.loads(answer.body)[0]["severity"]) == (400, "error")
    else:
        assert json.loads(answer.body)["$totalResults"] == status
    assert served.sql("SELECT count(*) FROM account") == [(3,)]


def test_where_and_order_are_answered_by_the_database_alike(serving, engine):
    served = serving("site", *ROWS, "INSERT INTO account (id, name) VALUES (9, 'Ärger'), (10, 'apple')", engine=engine)

    def names(query):
        return [one["name"] for one in json.loads(served.get(f"accounts?format=json&{query}").body)["$resources"]]

    assert names("orderBy=name") == ["Acme", "Bolt", "Coil", "apple", "Ärger"]
    assert names("orderBy=creditLimit%20desc,name%20desc") == ["Coil", "Bolt", "Acme", "Ärger", "apple"]
    assert names("where=creditLimit%20ge%2020&orderBy=creditLimit") == ["Bolt", "Coil"]
    assert names("search=OIL") == ["Coil"]
    assert names("where=$key%20eq%202") == ["Bolt"]
    assert names("orderBy=name&startIndex=2&count=2") == ["Bolt", "Coil"]


def test_a_resource_is_created_changed_and_deleted_as_the_application_would(serving, engine):
    served = serving("site", *ROWS, engine=engine)
    made = served.send(
        "POST", "accounts", json.dumps({"name": "Dune", "creditLimit": 5}).encode(), Content_Type="application/json"
    )
    assert made.status == 201
    key = made.headers["location"].partition("('")[2].removesuffix("')")
    etag = made.headers["etag"]
    changed = json.dumps({"name": "Dune II"}).encode()
    path = f"accounts('{key}')?format=json"
    json_type = {"Content_Type": "application/json"}
    assert served.send("PUT", path, changed, **json_type).status == 400
    assert served.send("PUT", path, changed, If_Match=etag, **json_type).status == 200
    assert served.send("PUT", path, changed, If_Match=etag, **json_type).status == 412
    assert served.sql(f"SELECT name FROM account WHERE id={key}") == [("Dune II",)]
    unknown = served.send("POST", "accounts", b'{"name": "x", "colour": "red"}', **json_type)
    assert (unknown.status, b"no property" in unknown.body) == (400, True)
    assert served.send("DELETE", path).status == 200
    assert served.get(path).status == 410
    assert served.send("DELETE", "accounts('999')").status == 404
    with served.site.ledger.write():
        assert stamp(served.site.ledger) == 0, "the writes were stamped with the rows"


BOMB = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb">]><feed xmlns="http://www.w3.org/2005/Atom">&b;</feed>'


@pytest.mark.parametrize(
    "body",
    (
        BOMB,
        b"",
        b"\xff\xfe",
        b'<feed xmlns="urn:other"/>',
        feed([entry(1, 9, name="A")], {FOREIGN: 4}),
        feed([entry(1, 1, name="A")], {FOREIGN: 4}).replace(b"catchUp", b"sometimes"),
        feed([entry(1, 1, name="A")], {FOREIGN: 4}).replace(b"3b9f6a52", b"not-uuid"),
        feed([entry(1, 1, name="A")], {FOREIGN: 4}).replace(b"<sync:tick>1<", b"<sync:tick>-1<"),
    ),
    ids=("doctype", "empty", "no-utf8", "namespace", "tick", "mode", "uuid", "negative"),
)
def test_bad_input_is_400_with_a_diagnosis_and_changes_nothing(serving, body):
    served = serving("site", *ROWS)
    before = served.sql("SELECT wire, seq, tick FROM tally_resource ORDER BY 1")
    answer = served.send("POST", "accounts/$syncTarget?trackingID=G", body)
    assert (answer.status, b"<severity>error" in answer.body) == (400, True)
    assert served.sql("SELECT wire, seq, tick FROM tally_resource ORDER BY 1") == before
    assert served.get("accounts/$syncTarget('G')").status == 404


def test_one_tracking_id_is_one_job_and_is_applied_once(serving, engine):
    served = serving("site", engine=engine)
    body = feed([entry(1, 1, name="A")], {FOREIGN: 2})
    first, second = post(served, body, "G"), post(served, body, "G")
    assert [found.method for found in first.entries] == [found.method for found in second.entries] == ["POST"]
    assert served.sql("SELECT count(*) FROM account") == [(1,)]


def test_users_come_by_basic_and_digest_with_their_roles(serving):
    served = serving("site", *ROWS)
    ledger = served.site.ledger
    users.add(ledger, "basil", "basil's secret", "sync")
    users.add(ledger, "dora", "dora's secret", "sync", digest=True)
    users.add(ledger, "rita", "rita's secret", "read")
    url = f"{served.dataset}/accounts/$syncDigest"

    def asked(name, password):
        return HttpTransport(served.root, Credentials(name, password)).request("GET", url, {}).status

    assert HttpTransport(served.root).request("GET", url, {}).status == 401
    assert (asked("dora", "dora's secret"), asked("dora", "wrong")) == (200, 401)
    known = (asked("basil", "basil's secret"), asked("rita", "rita's secret"), asked("basil", "wrong"))
    assert known == (200, 403, 401), "whom the site knows by Basic alone comes by Basic once Digest is refused"
    for name, status in (("basil", 200), ("rita", 403)):
        header = {"Authorization": "Basic " + b64encode(f"{name}:{name}'s secret".encode()).decode()}
        assert HttpTransport(served.root).request("GET", url, header).status == status
