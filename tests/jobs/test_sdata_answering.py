"""What an SData adapter sends and receives beyond the contract of all adapters: whole feeds, extracts, batches."""

from __future__ import annotations

import io
import random
import socket
import sqlite3
from dataclasses import replace

import pytest

from tallystick import api
from tallystick.jobs import sdata_answering
from tallystick.jobs.execution import adapter_for
from tallystick.jobs.registry import Registry
from tallystick.jobs.tasks import Peer, Task
from tallystick.protocols.sdata.codec.documents import Limits
from tallystick.protocols.sdata.codec.feeds import read_feed
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property, Relationship
from tallystick.protocols.sdata.codec.names import FEED_TYPE
from tallystick.protocols.sdata.codec.schema import write_schema
from tallystick.protocols.sdata.transport import HttpTransport
from tallystick.web import running
from tallystick.web.sdata import Service

TABLE = "CREATE TABLE country (code VARCHAR(2) PRIMARY KEY, name VARCHAR(40), size INTEGER)"
DATASET = "http://127.0.0.1:1/sdata/tallystick/site/-"
BELGIUM = "INSERT INTO country VALUES ('BE', 'Belgium', 30)"
FRANCE = "INSERT INTO country VALUES ('FR', 'France', 640)"
SPAIN = "INSERT INTO country VALUES ('ES', 'Spain', 500)"
ATOM = (
    '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:sdata="http://schemas.sage.com/sdata/2008/1" '
    'xmlns:http="http://schemas.sage.com/sdata/http/2008/1" xmlns:sync="http://schemas.sage.com/sdata/sync/2008/1">'
)


class Side:
    """A site with an adapter for a peer that nobody could reach: what passes are documents."""

    def __init__(self, path, table=TABLE):
        self.path = str(path)
        self.execute(table)
        with api.open(self.path) as opened:
            opened.track()
        self.ends = api.ends(self.path)
        self.replica = self.ends.replica()
        self.log = []
        registry = Registry(self.replica.ledger)
        registry.add_peer(Peer("erp", f"sdata+{DATASET}", DATASET))
        self.adapter = self.connected()

    def connected(self):
        return adapter_for(self.replica, Registry(self.replica.ledger).peer("erp"), self.ends, self.log.append)

    def execute(self, *statements):
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA foreign_keys=ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def rows(self, columns="code, name", table="country"):
        connection = sqlite3.connect(self.path)
        found = connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()
        connection.close()
        return found

    def send(self, **asked):
        answer = self.adapter.send("country", **asked)
        assert answer["status"] == "success", answer["message"]
        return answer["response"]

    def receive(self, *documents, **more):
        return self.adapter.receive([io.BytesIO(one) for one in documents], "country", **more)

    def take(self, document, **more):
        answer = self.receive(document, **more)
        assert answer["status"] == "success", answer["message"]
        return read_feed(answer["response"])


@pytest.fixture
def sides(tmp_path):
    made = Side(tmp_path / "here.db"), Side(tmp_path / "there.db")
    yield made
    for side in made:
        side.replica.close()


@pytest.fixture
def provider(tmp_path):
    """A site that is served as an SData provider: its path, and the URL of its countries."""
    path = tmp_path / "served.db"
    with sqlite3.connect(path) as connection:
        connection.execute(TABLE)
    connection.close()
    with api.open(str(path)) as opened:
        opened.track()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running(str(path), port=port, providers=[Service(f"http://127.0.0.1:{port}/sdata")]):
        yield path, f"http://127.0.0.1:{port}/sdata/tallystick/site/-/countries"


def posted(url, segment, body):
    return HttpTransport(url).request("POST", f"{url}/{segment}?trackingID=1", {"Content-Type": FEED_TYPE}, body)


# Whole feeds


def test_a_whole_feed_is_what_any_sync_target_takes(sides, provider):
    here, _ = sides
    path, url = provider
    here.execute(BELGIUM, FRANCE)
    assert posted(url, "$syncTarget", here.send()).status == 202
    results = HttpTransport(url).request("GET", f"{url}/$syncTarget('1')", {})
    assert results.status == 200
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT code FROM country ORDER BY code").fetchall() == [("BE",), ("FR",)]
    connection.close()


def test_a_whole_feed_moves_the_digest_and_later_ones_bring_edits_and_deletions(sides):
    here, there = sides
    there.execute(BELGIUM, FRANCE)
    results = here.take(there.send())
    assert [entry.status for entry in results.entries] == [200, 200]
    origin = read_feed(there.send()).head.digest.origin
    assert results.head.digest.tick(origin) == 3
    there.execute("UPDATE country SET name='Belgique' WHERE code='BE'", "DELETE FROM country WHERE code='FR'")
    here.take(there.send())
    assert here.rows() == [("BE", "Belgique")]


def test_what_was_sent_and_received_is_not_transferred_again(sides, provider):
    here, _ = sides
    _, url = provider
    Registry(here.replica.ledger).add_peer(Peer("hub", f"sdata+{url.rpartition('/')[0]}"))
    hub = adapter_for(here.replica, Registry(here.replica.ledger).peer("hub"), here.ends, here.log.append)
    here.execute(BELGIUM)
    assert posted(url, "$syncTarget", hub.send("country")["response"]).status == 202
    assert hub.push(Task("countries", "hub", "countries")) == (None, None)


def test_a_lost_conflict_is_said_to_the_peer(sides):
    here, there = sides
    there.execute(BELGIUM)
    here.take(there.send())
    there.execute("UPDATE country SET name='there'")
    document = there.send()
    here.execute("UPDATE country SET name='here'")
    here.send()  # stamped later than the other edit
    answer = here.receive(document)
    assert (answer["status"], answer["remote"]) == ("warning", True)
    assert [entry.status for entry in read_feed(answer["response"]).entries] == [409]
    assert here.rows() == [("BE", "here")]


def test_a_feed_that_is_too_large_is_not_sent(sides, monkeypatch):
    here, _ = sides
    here.execute(BELGIUM, FRANCE)
    monkeypatch.setattr(sdata_answering, "DEFAULT_LIMITS", Limits(size=500))
    answer = here.adapter.send("country")
    assert (answer["status"], answer["remote"]) == ("error", True)
    assert "start and limit" in answer["message"]


# Extracts


@pytest.mark.parametrize("selector", ("~.size__gt", "countries.size__gt", "~.Size__gt"))
def test_filters_speak_of_properties(sides, selector):
    here, there = sides
    there.execute(BELGIUM, FRANCE)
    table = selector.partition(".")[0]
    if "Size" in selector:
        assert "no field 'Size'" in there.adapter.send("country", filters={"~": {selector: "100"}})["message"]
        return
    here.take(there.send(filters={table: {selector: "100"}}))
    assert here.rows() == [("FR", "France")]


def test_an_extract_claims_nothing_so_that_the_rest_comes_later(sides):
    here, there = sides
    there.execute(BELGIUM, FRANCE, SPAIN)
    extract = there.send(start=2, limit=1)
    results = here.take(extract)
    assert here.rows() == [("ES", "Spain")]
    assert results.head.digest.tick(read_feed(extract).head.digest.origin) <= 1
    whole = here.take(there.send())
    assert len(whole.entries) == 3
    assert here.rows() == there.rows()


def test_an_extract_is_no_sync_feed_for_a_provider(sides, provider):
    here, _ = sides
    _, url = provider
    here.execute(BELGIUM, FRANCE)
    refused = posted(url, "$syncTarget", here.send(limit=1))
    assert refused.status == 400
    assert b"no syncMode" in refused.body


def test_an_edit_of_what_came_in_an_extract_outlives_the_whole_feed(sides):
    here, there = sides
    there.execute(BELGIUM, FRANCE)
    here.take(there.send(start=1))
    here.execute("UPDATE country SET name='edited'")
    here.receive(there.send())
    assert here.rows() == [("BE", "Belgium"), ("FR", "edited")]
    there.take(here.send())
    assert there.rows() == here.rows()


def test_deletions_are_in_extracts_by_time_and_in_none_by_filter(sides):
    here, there = sides
    there.execute(BELGIUM)
    here.take(there.send())
    there.execute("DELETE FROM country")
    here.take(there.send(filters={"~": {"~.code": "BE"}}))
    assert here.rows() == [("BE", "Belgium")]
    here.take(there.send(msince="2020-01-01T00:00:00"))
    assert here.rows() == []


@pytest.mark.parametrize("asked", ({"start": -1}, {"limit": -1}))
def test_a_negative_count_is_refused(sides, asked):
    answer = sides[0].adapter.send("country", **asked)
    assert (answer["status"], answer["remote"]) == ("error", True)


@pytest.mark.parametrize("seed", (0, 2))
def test_whole_feeds_and_extracts_in_any_order_end_in_agreement(tmp_path, seed):
    chance = random.Random(seed)
    sites = [Side(tmp_path / f"{number}.db") for number in range(3)]
    alive = set()
    for number in range(30):
        source, target = chance.sample(sites, 2)
        step = chance.random()
        if step < 0.3:
            code = f"{number:02}"
            source.execute(f"INSERT INTO country VALUES ('{code}', 'new', {number})")
            alive.add(code)
        elif step < 0.5 and source.rows():
            source.execute(f"UPDATE country SET name='{number}' WHERE code='{chance.choice(source.rows())[0]}'")
        elif step < 0.55 and source.rows():
            code = chance.choice(source.rows())[0]
            source.execute(f"DELETE FROM country WHERE code='{code}'")
            alive.discard(code)
        elif step < 0.8:
            target.receive(source.send(start=chance.randrange(3), limit=chance.randrange(4)))
        else:
            target.receive(source.send())
    for _ in range(3):
        for source in sites:
            for target in sites:
                if source is not target:
                    target.receive(source.send())
    assert sites[0].rows() == sites[1].rows() == sites[2].rows()
    assert alive <= {code for code, _ in sites[0].rows()}
    for site in sites:
        site.replica.close()


# What this side wants


def test_what_the_strategy_lacks_is_held_and_said(sides):
    here, there = sides
    there.execute(BELGIUM)
    here.take(there.send())
    there.execute("UPDATE country SET name='Belgique'", FRANCE)
    answer = here.receive(there.send(), strategy=["create"])
    assert (answer["status"], answer["remote"]) == ("warning", True)
    assert here.rows() == [("BE", "Belgium"), ("FR", "France")]
    statuses = {entry.status: entry.message for entry in read_feed(answer["response"]).entries}
    assert "not shown: strategy" in statuses[409]
    assert 200 in statuses


def test_policies_are_refused_and_change_nothing(sides):
    here, there = sides
    there.execute(BELGIUM)
    document = there.send()
    for policy in ({"update_policy": "OTHER"}, {"conflict_policy": "THIS"}):
        answer = here.receive(document, **policy)
        assert answer["status"] == "fatal"
        assert "digest and conflict priority" in answer["message"]
    assert here.rows() == []


def test_no_strategy_can_be_kept_for_resources_with_lists(tmp_path):
    side = Side(tmp_path / "orders.db", "CREATE TABLE country (code VARCHAR(2) PRIMARY KEY, name VARCHAR(40))")
    side.execute("CREATE TABLE city (id TEXT PRIMARY KEY, country_code TEXT NOT NULL REFERENCES country, name TEXT)")
    with api.open(side.path) as opened:
        opened.track()
    city = Kind(name="cities", element="city", properties=(Property(name="name"),), embedded=True)
    listed = Property(name="cities", kind="cities", relationship=Relationship.CHILD, collection=True)
    names = (Property(name="code"), Property(name="name"), listed)
    contract = Contract(
        name="site", namespace="urn:x", kinds=(Kind(name="countries", element="country", properties=names), city)
    )
    Registry(side.replica.ledger).keep_offer("erp", write_schema(contract).decode())
    side.execute("INSERT INTO country VALUES ('BE', 'Belgium')", "INSERT INTO city VALUES ('1', 'BE', 'Ghent')")
    document = side.send()
    assert b"Ghent" in document
    answer = side.receive(document, strategy=["create"])
    assert (answer["status"], "hold lists" in answer["message"]) == ("fatal", True)
    side.replica.close()


# Whose words


def test_documents_are_spelled_as_the_registered_peer_spells(sides):
    here, there = sides
    spelled = (Property(name="CODE"), Property(name="Name"), Property(name="Size"))
    contract = Contract(
        name="site", namespace="urn:x", kinds=(Kind(name="Countries", element="Country", properties=spelled),)
    )
    for side in sides:
        Registry(side.replica.ledger).keep_offer("erp", write_schema(contract).decode())
    there.execute(BELGIUM)
    document = there.send()
    assert b"<Name>Belgium</Name>" in document
    here.take(document)
    assert here.rows("code, name, size") == [("BE", "Belgium", 30)]


def test_a_feed_of_another_kind_is_refused_and_changes_nothing(sides):
    here, there = sides
    there.execute(BELGIUM)
    answer = here.receive(there.send().replace(b"<country ", b"<account ").replace(b"</country>", b"</account>"))
    assert (answer["status"], answer["remote"]) == ("error", True)
    assert "'account'" in answer["message"]
    assert here.rows() == []


# Batches


def batch(method="", code="BE", name="Belgium"):
    said = f"<http:httpMethod>{method}</http:httpMethod>" if method else ""
    return (
        f'{ATOM}<entry><id/>{said}<sdata:payload><country xmlns="urn:tallystick:contract:site" sdata:key="{code}">'
        f"<code>{code}</code><name>{name}</name></country></sdata:payload></entry></feed>"
    ).encode()


def test_a_feed_that_says_what_to_do_is_a_batch(sides):
    here, _ = sides
    results = here.take(batch("POST"))
    assert [entry.status for entry in results.entries] == [200]
    assert here.rows() == [("BE", "Belgium")]
    here.take(batch("DELETE"), strategy=["create", "update"])
    assert here.rows() == [("BE", "Belgium")]
    here.take(batch("DELETE"))
    assert here.rows() == []


def test_a_batch_entry_that_fails_is_a_warning(sides):
    here, _ = sides
    answer = here.receive(batch("PUT"))
    assert (answer["status"], answer["remote"]) == ("warning", True)
    assert read_feed(answer["response"]).entries[0].status >= 400


def test_a_feed_that_says_neither_what_it_knows_nor_what_to_do_is_refused(sides):
    here, _ = sides
    answer = here.receive(batch("POST"), batch(""))
    assert (answer["status"], answer["remote"]) == ("error", True)
    assert "httpMethod" in answer["message"]
    assert here.rows() == []


def test_no_document_is_an_error(sides):
    assert sides[0].receive()["status"] == "error"


# Peers


def test_a_peer_that_is_not_registered_is_refused(sides):
    here, there = sides
    there.execute(BELGIUM)
    here.adapter.peer = replace(here.adapter.peer, identifier=None)
    assert "not registered" in here.receive(there.send())["message"]
    assert here.rows() == []


def test_what_is_answered_is_logged_as_incoming(sides):
    here, there = sides
    there.execute(BELGIUM)
    here.take(there.send())
    assert [(one.mode, one.direction, one.action) for one in (*there.log, *here.log)] == [
        ("pull", "incoming", "send"),
        ("push", "incoming", "receive"),
    ]
