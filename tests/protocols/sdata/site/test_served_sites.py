"""Two served sites brought into agreement by the engine between them."""

from __future__ import annotations

import json

import pytest

from tallystick.protocols.sdata.codec.digest_messages import DigestMessage, read_digest_message, write_digest_message
from tallystick.protocols.sdata.codec.digests import digest_of as make_digest
from tallystick.protocols.sdata.codec.feeds import read_feed
from tallystick.protocols.sdata.codec.schema import read_schema
from tallystick.protocols.sdata.transport import HttpTransport
from tallystick.testing.sdata import run_checks

ROWS = (
    "INSERT INTO sales_person VALUES (1, 'Sam')",
    "INSERT INTO account VALUES (1, 'Acme', 7500.5, TRUE, '2020-01-02', '2020-01-02 10:00:00', 1), "
    "(2, 'Bolt', NULL, FALSE, NULL, NULL, NULL)",
    "INSERT INTO country VALUES ('NL', 'Netherlands')",
)
ACCOUNTS = (
    "SELECT a.name, a.credit_limit, a.active, a.founded, a.visited, p.name FROM account a "
    "LEFT JOIN sales_person p ON p.id=a.sales_person_id ORDER BY 1"
)


def digest_of_nothing():
    return make_digest("urn:nobody", [])


def digest_of(served, kind="accounts"):
    return read_digest_message(served.get(f"{kind}/$syncDigest").body)


def test_a_served_site_passes_the_conformance_suite(serving, engine):
    served = serving("site", *ROWS, "INSERT INTO account (id, name) VALUES (3, 'Coil'), (4, 'Dune')", engine=engine)
    findings = run_checks(f"{served.dataset}/accounts", HttpTransport(served.root), write=True)
    assert [found for found in findings if found.verdict == "failed"] == []
    assert sum(found.verdict == "passed" for found in findings) >= 21


def test_both_sites_hold_the_same_after_both_directions(serving, engine, agreement):
    one = serving("one", *ROWS)
    other = serving("other", "INSERT INTO account (id, name) VALUES (1, 'Elsewhere')", engine=engine)
    agreement(one, other)
    assert [row[0] for row in other.sql(ACCOUNTS)] == ["Acme", "Bolt", "Elsewhere"]
    assert [row[-1] for row in other.sql(ACCOUNTS)] == ["Sam", None, None]
    other.sql("UPDATE account SET name='Acme Ltd' WHERE name='Acme'", "DELETE FROM account WHERE name='Bolt'")
    one.sql("UPDATE country SET name='Nederland' WHERE code='NL'")
    agreement(one, other)
    assert [row[0] for row in one.sql(ACCOUNTS)] == [row[0] for row in other.sql(ACCOUNTS)] == ["Acme Ltd", "Elsewhere"]
    assert other.sql("SELECT * FROM country") == [("NL", "Nederland")]


def test_with_nothing_new_a_pass_sends_nothing_and_writes_nothing(serving, engine, agreement):
    one, other = serving("one", *ROWS), serving("other", engine=engine)
    agreement(one, other)
    agreement(one, other)
    before = [served.sql("SELECT wire, seq, tick, count FROM tally_resource ORDER BY 1") for served in (one, other)]
    assert [report.entries for report in agreement(one, other)] == [0] * 6
    after = [served.sql("SELECT wire, seq, tick, count FROM tally_resource ORDER BY 1") for served in (one, other)]
    assert before == after
    assert one.sql("SELECT count(*) FROM tally_sdata_job") == [(0,)]


def test_values_arrive_as_they_left_whatever_the_database(serving, engine, agreement):
    one, other = serving("one", *ROWS), serving("other", engine=engine)
    agreement(one, other)
    (acme, _) = (resource for resource in json.loads(other.get("accounts?format=json").body)["$resources"])
    assert (acme["name"], acme["active"], acme["founded"]) == ("Acme", True, "2020-01-02")
    assert float(acme["creditLimit"]) == 7500.5
    assert acme["visited"].startswith("2020-01-02T10:00:00")


def test_the_schema_is_made_from_the_tables(serving, engine):
    served = serving("site", engine=engine)
    contract = read_schema(served.get("$schema").body)
    accounts = contract.kind("accounts")
    assert (accounts.element, accounts.source, accounts.target) == ("account", True, True)
    types = {found.name: str(found.type) for found in accounts.properties}
    assert types == {
        "name": "text",
        "creditLimit": "decimal",
        "active": "bool",
        "founded": "date",
        "visited": "instant",
        "salesPerson": "reference",
    }
    assert contract.kind("salesPersons").order < accounts.order
    assert [found.name for found in contract.kind("countries").properties] == ["code", "name"]


@pytest.mark.parametrize(("mine", "theirs", "winner"), ((1, 9, "here"), (9, 1, "there"), (5, 5, "there")))
def test_a_conflict_is_decided_alike_at_both_ends_and_the_loser_is_kept(
    serving, engine, agreement, mine, theirs, winner
):
    one, other = serving("one", *ROWS, priority=mine), serving("other", engine=engine, priority=theirs)
    agreement(one, other)
    one.sql("UPDATE account SET name='here' WHERE name='Acme'")
    one.get("accounts?count=1")
    other.sql("UPDATE account SET name='there' WHERE name='Acme'")
    agreement(one, other)
    agreement(one, other)
    names = [[row[0] for row in served.sql(ACCOUNTS) if row[0] != "Bolt"] for served in (one, other)]
    assert names == [[winner], [winner]]
    logged = [version.version.content["name"] for served in (one, other) for version in served.site.conflict_log()]
    assert set(logged) == {"here", "there"} - {winner}


def test_an_edit_of_the_winner_ends_the_conflict_everywhere(serving, engine, agreement):
    one, other = serving("one", *ROWS), serving("other", engine=engine)
    agreement(one, other)
    one.sql("UPDATE account SET name='here' WHERE name='Acme'")
    other.sql("UPDATE account SET name='there' WHERE name='Acme'")
    agreement(one, other)
    one.sql("UPDATE account SET name='settled' WHERE name IN ('here', 'there')")
    agreement(one, other)
    assert [row[0] for row in other.sql(ACCOUNTS)] == ["Bolt", "settled"]
    assert all(served.sql("SELECT count(*) FROM tally_sibling") == [(0,)] for served in (one, other))


def test_a_deletion_and_an_edit_that_never_met_are_a_conflict_too(serving, engine, agreement):
    one, other = serving("one", *ROWS), serving("other", engine=engine)
    agreement(one, other)
    one.sql("DELETE FROM account WHERE name='Acme'")
    one.get("accounts?count=1")
    other.sql("UPDATE account SET name='kept' WHERE name='Acme'")
    agreement(one, other)
    agreement(one, other)
    assert [row[0] for row in one.sql(ACCOUNTS)] == [row[0] for row in other.sql(ACCOUNTS)] == ["Bolt", "kept"]


def test_a_child_that_comes_before_its_parent_is_held_and_shown_later(serving, engine, one_pass):
    one, other = serving("one", *ROWS), serving("other", engine=engine)
    report = one_pass(one, other, "accounts")
    assert report.statuses == {200: 1, 409: 1}
    assert [row[0] for row in other.sql(ACCOUNTS)] == ["Bolt"]
    assert one_pass(one, other, "accounts").entries == 0, "what is held is not sent again"
    one_pass(one, other, "salesPersons")
    assert [(row[0], row[-1]) for row in other.sql(ACCOUNTS)] == [("Acme", "Sam"), ("Bolt", None)]


def test_pages_are_a_snapshot_and_later_changes_come_with_the_next_pass(serving, engine):
    served = serving("site", *ROWS, engine=engine)
    empty = write_digest_message(DigestMessage(digest_of_nothing()))
    assert served.send("POST", "accounts/$syncSource?trackingID=G", empty).status == 202
    first = read_feed(served.get("accounts/$syncSource('G')?count=1").body)
    served.sql("UPDATE account SET name='changed' WHERE id=2", "INSERT INTO account (id, name) VALUES (9, 'new')")
    served.get("accounts?count=1")
    second = read_feed(served.get("accounts/$syncSource('G')?startIndex=2&count=1").body)
    assert (first.head.total, second.head.total) == (2, 2)
    assert first.head.digest.entries == second.head.digest.entries
    assert [entry.payload.fields["name"] for entry in (*first.entries, *second.entries)] == ["Acme"]


def test_jobs_with_their_results_survive_a_restart_and_expire(serving, engine):
    served = serving("site", *ROWS, engine=engine)
    digest = served.get("accounts/$syncDigest").body.replace(b"<sync:tick>3<", b"<sync:tick>1<")
    assert served.send("POST", "accounts/$syncSource?trackingID=G", digest).status == 202
    before = served.get("accounts/$syncSource('G')")
    served.stop()
    served.start()
    after = served.get("accounts/$syncSource('G')")
    assert (before.status, after.status) == (200, 200)
    assert [entry.uuid for entry in read_feed(after.body).entries] == [e.uuid for e in read_feed(before.body).entries]
    assert served.send("DELETE", "accounts/$syncSource('G')").status == 200
    assert served.get("accounts/$syncSource('G')").status == 410


def test_the_names_of_endpoints_outlive_the_address(serving, engine, agreement, port):
    served = serving("site", *ROWS, engine=engine)
    before = digest_of(served).origin
    one = serving("one")
    agreement(one, served)
    served.stop()
    served.port = port
    served.start()
    assert digest_of(served).origin == before != f"{served.dataset}/accounts"
    served.sql("UPDATE account SET name='moved' WHERE id=2")
    assert [report.entries for report in agreement(one, served)] == [0, 0, 0, 0, 1, 0]
