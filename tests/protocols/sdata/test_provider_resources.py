"""Ordinary SData over HTTP: discovery, schema, queries, entries, batches, links (spec 11, 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from lxml import etree
from starlette.testclient import TestClient

from tallystick.protocols.sdata.codec.diagnoses import Severity, read_diagnoses
from tallystick.protocols.sdata.codec.documents import DEFAULT_LIMITS
from tallystick.protocols.sdata.codec.entries import Entry, read_entry_message, write_entry_message
from tallystick.protocols.sdata.codec.feeds import FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.payloads import Collection, Payload
from tallystick.protocols.sdata.memory import MemoryStore
from tallystick.protocols.sdata.provider import Settings

DATASET = "http://testserver/sdata/books/crm/-"
ACCOUNTS = f"{DATASET}/accounts"
NAMESPACE = "http://schemas.example/crm/1"
ENTRY = {"Content-Type": "application/atom+xml; type=entry"}
FEED = {"Content-Type": "application/atom+xml; type=feed"}
U1 = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"
U2 = "71c5e8d2-a03f-4c96-9b27-e8d450f1a63b"
U3 = "8e41d7c3-95b0-4a2f-b6d8-17f3a0c45e92"


@pytest.fixture
def store(make_store: Callable[..., MemoryStore]) -> MemoryStore:
    return make_store()


@pytest.fixture
def client(serve: Callable[..., TestClient], store: MemoryStore) -> TestClient:
    return serve(store, settings=Settings(page_size=10))


def body(uuid: str = "", **fields: Any) -> bytes:
    return write_entry_message(Entry(payload=Payload("account", NAMESPACE, fields, uuid)))


def post(client: TestClient, uuid: str = "", **fields: Any) -> Any:
    return client.post(ACCOUNTS, content=body(uuid, **fields), headers=ENTRY)


def read(answer: Any) -> Entry:
    return read_entry_message(answer.content, DEFAULT_LIMITS)


def listed(client: TestClient, arguments: str = "") -> list[str]:
    answer = client.get(f"{ACCOUNTS}?{arguments}")
    assert answer.status_code == 200, answer.text
    return [str(entry.payload.fields["name"]) for entry in read_feed(answer.content).entries if entry.payload]


@pytest.fixture
def filled(client: TestClient) -> TestClient:
    post(client, U1, name="Oakfield", creditLimit="7500.00", active="true", founded="1990-05-01", employees="7")
    post(client, U2, name="Brightwater", creditLimit="900", active="false", website="http://b.example")
    post(client, U3, name="O'Hara", employees="40", visited="2026-03-02T10:00:00+01:00")
    return client


# Discovery and schema


@pytest.mark.parametrize(
    ("path", "titles"),
    (
        ("", ["books"]),
        ("/books", ["crm"]),
        ("/books/crm", ["-"]),
        ("/books/crm/-", ["salesPersons", "accounts"]),
        ("/BOOKS/CRM/", ["-"]),
    ),
)
def test_every_level_lists_the_next_one(client: TestClient, path: str, titles: list[str]) -> None:
    answer = client.get(f"/sdata{path}")
    assert answer.status_code == 200
    assert [entry.title for entry in read_feed(answer.content).entries] == titles
    assert client.get(f"/sdata{path}?format=json").json()["$totalResults"] == len(titles)


@pytest.mark.parametrize(
    ("path", "code"),
    (
        ("/nix", "ApplicationNotFound"),
        ("/books/nix", "ContractNotFound"),
        ("/books/crm/nix", "DatasetNotFound"),
        ("/books/crm/nix/accounts", "DatasetNotFound"),
        ("/books/crm/-/nix", "ResourceKindNotFound"),
        ("/books/crm/-/addresses", "ResourceKindNotFound"),
        ("/books/crm/-/nix('1')/$syncDigest", "ResourceKindNotFound"),
    ),
)
def test_what_is_not_there_is_404_with_its_own_code(client: TestClient, path: str, code: str) -> None:
    answer = client.get(f"/sdata{path}")
    assert answer.status_code == 404
    assert read_diagnoses(answer.content)[0].code == code


@pytest.mark.parametrize(
    "path", ("/books/crm/-/$service", "/books/crm/-/accounts/$service", "/books/crm/-/accounts/$x")
)
def test_what_is_known_but_not_offered_is_501(client: TestClient, path: str) -> None:
    assert client.get(f"/sdata{path}").status_code == 501


def test_the_schema_is_one_document_and_kinds_point_into_it(client: TestClient) -> None:
    answer = client.get(f"{DATASET}/$schema")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/xml")
    etree.XMLSchema(etree.fromstring(answer.content))
    answer = client.get(f"{ACCOUNTS}/$schema")
    assert (answer.status_code, answer.headers["location"]) == (302, f"{DATASET}/$schema#accounts")
    assert client.post(f"{DATASET}/$schema").status_code == 405


def test_a_template_has_every_property(client: TestClient) -> None:
    payload = read(client.get(f"{ACCOUNTS}/$template")).payload
    assert payload is not None
    assert payload.fields["name"] is None
    assert "addresses" in payload.fields


# Feeds and queries


def test_a_feed_has_what_readers_need(filled: TestClient) -> None:
    answer = filled.get(ACCOUNTS)
    assert answer.headers["content-type"] == "application/atom+xml; type=feed"
    feed = read_feed(answer.content)
    assert (feed.head.id, feed.head.term, feed.head.total, feed.head.start) == (ACCOUNTS, "collection", 3, 1)
    assert {link.rel.rpartition("/")[2] for link in feed.head.links} == {"self", "schema", "template", "post"}
    entry = feed.entries[0]
    assert entry.payload is not None
    assert (entry.id, entry.payload.key, entry.payload.url) == (f"{ACCOUNTS}('1')", "1", f"{ACCOUNTS}('1')")
    assert entry.etag


@pytest.mark.parametrize(
    ("where", "names"),
    (
        ("name eq 'Oakfield'", ["Oakfield"]),
        ('name eq "Oakfield"', ["Oakfield"]),
        ("name eq 'O''Hara'", ["O'Hara"]),
        ("creditLimit gt 1000", ["Oakfield"]),
        ("creditLimit lt 1000", ["Brightwater"]),
        ("active eq true", ["Oakfield"]),
        ("founded lt @2000-01-01@", ["Oakfield"]),
        ("visited eq @2026-03-02T09:00:00Z@", ["O'Hara"]),
        ("employees between 5 and 10", ["Oakfield"]),
        ("name like 'O%'", ["Oakfield", "O'Hara"]),
        ("name in ('O''Hara', 'Brightwater')", ["Brightwater", "O'Hara"]),
        ("not (name like 'O%')", ["Brightwater"]),
        ("(employees + 3) mul 2 eq 20", ["Oakfield"]),
        ("website eq null", ["Oakfield", "O'Hara"]),
        (f"$uuid eq '{U2}'", ["Brightwater"]),
        ("$key eq '2'", ["Brightwater"]),
        ("name eq 'nobody'", []),
    ),
)
def test_where_selects(filled: TestClient, where: str, names: list[str]) -> None:
    assert listed(filled, "where=" + quote(where)) == names


@pytest.mark.parametrize(
    "where",
    (
        "nix eq 1",
        "name eq",
        "name eq 'x",
        "1; drop table accounts",
        "name eq 'x' or",
        "(" * 100 + "name eq 'x'" + ")" * 100,
    ),
)
def test_a_where_that_cannot_be_answered_is_a_diagnosis(filled: TestClient, where: str) -> None:
    answer = filled.get(f"{ACCOUNTS}?where={quote(where)}")
    assert answer.status_code == 400
    assert read_diagnoses(answer.content)[0].code == "BadWhereSyntax"


def test_order_by_sorts_by_value_and_not_by_text(filled: TestClient) -> None:
    assert listed(filled, "orderBy=name") == ["Brightwater", "O'Hara", "Oakfield"]
    assert listed(filled, "orderby=name%20desc") == ["Oakfield", "O'Hara", "Brightwater"]
    assert listed(filled, "orderBy=creditLimit%20desc")[:2] == ["Oakfield", "Brightwater"]
    assert listed(filled, "orderBy=active,name%20desc") == ["O'Hara", "Brightwater", "Oakfield"]
    for bad in ("nix", "name%20sideways"):
        assert filled.get(f"{ACCOUNTS}?orderBy={bad}").status_code == 400


def test_search_finds_words_anywhere(filled: TestClient) -> None:
    assert listed(filled, "search=bright") == ["Brightwater"]
    assert listed(filled, "search=b.example%20WATER") == ["Brightwater"]


def test_pages_chain_and_repeat_the_query(filled: TestClient) -> None:
    feed = read_feed(filled.get(f"{ACCOUNTS}?count=1&orderBy=name&select=name").content)
    seen = []
    while True:
        seen += [str(entry.payload.fields["name"]) for entry in feed.entries if entry.payload]
        following = feed.head.link("next")
        if following is None:
            break
        feed = read_feed(filled.get(following).content)
    assert seen == ["Brightwater", "O'Hara", "Oakfield"]
    assert feed.head.link("previous") is not None
    empty = read_feed(filled.get(f"{ACCOUNTS}?count=0").content)
    assert (empty.head.total, empty.entries) == (3, [])


def test_select_limits_properties(filled: TestClient) -> None:
    entry = read_feed(filled.get(f"{ACCOUNTS}?select=name,employees&count=1").content).entries[0]
    assert entry.payload is not None
    assert set(entry.payload.fields) == {"name", "employees"}
    bare = read_feed(filled.get(f"{ACCOUNTS}?select=").content).entries[0]
    assert bare.payload is not None
    assert bare.payload.fields == {}
    assert bare.payload.uuid == U1
    answer = filled.get(f"{ACCOUNTS}?select=nix")
    assert answer.status_code == 400
    assert read_diagnoses(answer.content)[0].code == "BadQueryParameter"


def test_lists_of_children_are_links_in_feeds_until_they_are_included(client: TestClient) -> None:
    children = Collection((Payload("address", fields={"city": "Leiden"}, uuid=U2),), True)
    post(client, U1, name="x", addresses=children)

    def addresses(arguments: str) -> Any:
        payload = read_feed(client.get(f"{ACCOUNTS}?{arguments}").content).entries[0].payload
        assert payload is not None
        return payload.fields["addresses"]

    assert addresses("").url == f"{ACCOUNTS}('1')/addresses"
    assert addresses("include=addresses") == children
    assert addresses("include=$children") == children
    assert addresses("select=addresses") == children
    payload = read(client.get(f"{ACCOUNTS}('1')")).payload
    assert payload is not None
    assert payload.fields["addresses"] == children
    feed = read_feed(client.get(f"{ACCOUNTS}('1')/addresses").content)
    assert [entry.payload.fields["city"] for entry in feed.entries if entry.payload] == ["Leiden"]
    assert client.get(f"{ACCOUNTS}('1')/name").status_code == 404


def test_json_is_typed_and_named_as_later_clients_expect(filled: TestClient) -> None:
    found = filled.get(f"{ACCOUNTS}?format=json&count=1").json()
    assert (found["$totalResults"], found["$startIndex"], found["$itemsPerPage"]) == (3, 1, 1)
    assert found["$next"].startswith(ACCOUNTS)
    resource = found["$resources"][0]
    assert (resource["active"], resource["employees"], resource["creditLimit"]) == (True, 7, 7500)
    assert filled.get(ACCOUNTS, headers={"Accept": "application/json"}).json()["$totalResults"] == 3
    errors = filled.get(f"{DATASET}/nix?format=json")
    assert errors.json()[0]["sdataCode"] == "ResourceKindNotFound"
    assert filled.get(f"{ACCOUNTS}?format=csv").status_code == 400


# Single resources


def test_a_resource_is_created_with_location_etag_and_entry(client: TestClient) -> None:
    answer = post(client, name="A & B <c>", website=None)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{ACCOUNTS}('1')"
    entry = read(answer)
    assert answer.headers["etag"] == f'"{entry.etag}"'
    assert entry.payload is not None
    assert entry.payload.fields == {"name": "A & B <c>", "website": None}
    assert read(client.get(answer.headers["location"])) == entry


def test_a_uuid_makes_creation_idempotent(client: TestClient) -> None:
    first, again = post(client, U1, name="x"), post(client, U1, name="other")
    assert first.status_code == again.status_code == 201
    assert read(first) == read(again)
    assert listed(client) == ["x"]


def test_creation_works_with_json(client: TestClient) -> None:
    answer = client.post(ACCOUNTS, json={"name": "x", "employees": 7, "active": True, "$uuid": U1})
    assert answer.status_code == 201
    payload = read(answer).payload
    assert payload is not None
    assert payload.fields == {"name": "x", "employees": "7", "active": "true"}


@pytest.mark.parametrize(
    "content",
    (
        b"",
        b"<entry xmlns='http://www.w3.org/2005/Atom'/>",
        write_entry_message(Entry(payload=Payload("order", NAMESPACE, {"name": "x"}))),
        body(name="x", creditLimit="much"),
        body(name="x", employees="1.5"),
        b"<!DOCTYPE entry><entry xmlns='http://www.w3.org/2005/Atom'/>",
    ),
)
def test_what_cannot_be_created_is_400_and_is_not(client: TestClient, content: bytes) -> None:
    answer = client.post(ACCOUNTS, content=content, headers=ENTRY)
    assert answer.status_code == 400
    assert read_diagnoses(answer.content)[0].severity is Severity.ERROR
    assert listed(client) == []


@pytest.mark.parametrize("url", ("('1')", '("1")', "(%22%31%22)", "%28%271%27%29", "(name%20eq%20'Oakfield')"))
def test_a_resource_is_found_by_every_selector(filled: TestClient, url: str) -> None:
    assert read(filled.get(f"{ACCOUNTS}{url}")).title == "Oakfield"


def test_a_where_selector_matches_exactly_one(filled: TestClient) -> None:
    assert filled.get(f"{ACCOUNTS}(name like 'O%25')").status_code == 400
    assert filled.get(f"{ACCOUNTS}(name eq 'nobody')").status_code == 404
    assert filled.get(f"{ACCOUNTS}(nix eq 1)").status_code == 400


def test_update_leaves_absent_fields_and_nulls_nil_ones(filled: TestClient) -> None:
    etag = filled.get(f"{ACCOUNTS}('1')").headers["etag"]
    change = body(employees=None, website="w")
    answer = filled.put(f"{ACCOUNTS}('1')", content=change, headers={**ENTRY, "If-Match": etag})
    assert answer.status_code == 200
    payload = read(answer).payload
    assert payload is not None
    assert payload.fields["name"] == "Oakfield"
    assert payload.fields["employees"] is None
    assert payload.fields["website"] == "w"
    assert answer.headers["etag"] != etag


def test_update_needs_if_match_and_says_what_is_there_when_it_is_stale(filled: TestClient) -> None:
    url, etag = f"{ACCOUNTS}('1')", filled.get(f"{ACCOUNTS}('1')").headers["etag"]
    assert filled.put(url, content=body(name="y"), headers=ENTRY).status_code == 400
    stale = filled.put(url, content=body(name="y"), headers={**ENTRY, "If-Match": '"stale"'})
    assert stale.status_code == 412
    assert read(stale).title == "Oakfield"
    assert stale.headers["etag"] == etag
    for form in (etag, etag.strip('"'), f"W/{etag}", "*"):
        answer = filled.put(url, content=body(name="Oakfield"), headers={**ENTRY, "If-Match": form})
        assert answer.status_code == 200, form


def test_post_may_stand_for_put(filled: TestClient) -> None:
    headers = {**ENTRY, "If-Match": "*", "X-HTTP-Method-Override": "put"}
    assert filled.post(f"{ACCOUNTS}('1')", content=body(name="new"), headers=headers).status_code == 200
    assert read(filled.get(f"{ACCOUNTS}('1')")).title == "new"


def test_delete_answers_200_then_410_and_404_for_what_never_was(filled: TestClient) -> None:
    answer = filled.delete(f"{ACCOUNTS}('1')", headers={"If-Match": "stale"})
    assert answer.status_code == 412
    answer = filled.delete(f"{ACCOUNTS}('1')")
    assert (answer.status_code, answer.content) == (200, b"")
    assert filled.delete(f"{ACCOUNTS}('1')").status_code == 410
    assert filled.get(f"{ACCOUNTS}('1')").status_code == 410
    assert filled.get(f"{ACCOUNTS}('99')").status_code == 404
    assert listed(filled) == ["Brightwater", "O'Hara"]


def test_what_is_known_need_not_be_sent_again(filled: TestClient) -> None:
    etag = filled.get(f"{ACCOUNTS}('1')").headers["etag"]
    answer = filled.get(f"{ACCOUNTS}('1')", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")


def test_children_are_merged_by_uuid_and_dropped_only_when_the_list_is_whole(client: TestClient) -> None:
    def put(*children: Payload, whole: bool) -> list[Any]:
        change = body(name="x", addresses=Collection(children, whole))
        answer = client.put(f"{ACCOUNTS}('1')", content=change, headers={**ENTRY, "If-Match": "*"})
        assert answer.status_code == 200
        payload = read(answer).payload
        assert payload is not None
        found = payload.fields["addresses"]
        return [child.fields["city"] for child in found.items] if isinstance(found, Collection) else []

    def child(uuid: str, city: str) -> Payload:
        return Payload("address", fields={"city": city}, uuid=uuid)

    post(client, name="x")
    assert put(child(U1, "Leiden"), child(U2, "Delft"), whole=True) == ["Leiden", "Delft"]
    assert put(child(U2, "Gouda"), whole=False) == ["Leiden", "Gouda"]
    assert put(Payload("address", uuid=U1, deleted=True), child(U3, "Breda"), whole=False) == ["Gouda", "Breda"]
    assert put(child(U3, "Breda"), whole=True) == ["Breda"]


def test_head_has_no_body_and_other_methods_are_405(filled: TestClient) -> None:
    assert filled.head(ACCOUNTS).status_code == 200
    for method, url, allowed in (
        ("PUT", ACCOUNTS, "POST"),
        ("PATCH", f"{ACCOUNTS}('1')", "PUT"),
        ("POST", "/sdata", "GET"),
    ):
        answer = filled.request(method, url)
        assert answer.status_code == 405
        assert allowed in answer.headers["allow"]
        read_diagnoses(answer.content)


@pytest.mark.parametrize(
    "path", ("/accounts('1", "/accounts()", "/accounts/$schema/more", "/accounts%00", "/accounts%FF")
)
def test_a_url_that_cannot_be_read_is_400(client: TestClient, path: str) -> None:
    answer = client.get(f"{DATASET}{path}")
    assert answer.status_code == 400
    assert read_diagnoses(answer.content)[0].code == "BadUrlSyntax"


def test_a_failure_of_ours_is_500_without_a_stack_trace(
    client: TestClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(store, "find", broken)
    answer = client.get(ACCOUNTS)
    assert answer.status_code == 500
    assert b"secret" not in answer.content
    assert read_diagnoses(answer.content)[0].severity is Severity.FATAL


# Batches


def batch_body(*entries: Entry) -> bytes:
    return write_feed(FeedHead(), entries)


def change(method: str, key: str = "", uuid: str = "", if_match: str = "", **fields: Any) -> Entry:
    return Entry(method=method, if_match=if_match, payload=Payload("account", NAMESPACE, fields, uuid, key))


MIXED = (
    change("POST", uuid="99999999-2222-4333-8444-555555555555", name="new"),
    change("PUT", key="1", if_match="*", name="changed"),
    change("PUT", key="2", name="no etag"),
    change("PUT", key="2", if_match="stale", name="stale"),
    change("DELETE", uuid=U3),
    change("DELETE", key="77"),
    change("GET", key="2"),
    change("POST", name="bad", employees="many"),
)
STATUSES = [200, 200, 400, 412, 200, 404, 200, 400]


def test_a_batch_does_each_entry_and_answers_in_order(filled: TestClient) -> None:
    answer = filled.post(f"{ACCOUNTS}/$batch", content=batch_body(*MIXED), headers=FEED)
    assert answer.status_code == 200
    feed = read_feed(answer.content)
    assert [entry.status for entry in feed.entries] == STATUSES
    assert [entry.method for entry in feed.entries[:2]] == ["POST", "PUT"]
    assert feed.entries[0].location
    assert feed.entries[2].diagnoses
    assert sorted(listed(filled)) == ["Brightwater", "changed", "new"]


def test_a_batch_with_a_tracking_id_is_a_job(filled: TestClient) -> None:
    url = f"{ACCOUNTS}/$batch?trackingID=B1"
    answer = filled.post(url, content=batch_body(*MIXED), headers=FEED)
    assert answer.status_code == 202
    assert filled.post(url, content=batch_body(*MIXED), headers=FEED).status_code == 202
    feed = read_feed(filled.get(answer.headers["location"]).content)
    assert [entry.status for entry in feed.entries] == STATUSES
    assert filled.get(url).status_code == 200
    assert filled.delete(url).status_code == 200
    assert filled.get(url).status_code == 410


def test_a_batch_that_asks_for_the_unknown_is_refused_whole(filled: TestClient) -> None:
    answer = filled.post(f"{ACCOUNTS}/$batch", content=batch_body(change("MERGE", key="1")), headers=FEED)
    assert answer.status_code == 400
    assert "Oakfield" in listed(filled)


# Links


def link_body(url: str, uuid: str = "") -> bytes:
    return write_entry_message(Entry(payload=Payload("account", NAMESPACE, uuid=uuid, url=url)))


@pytest.fixture
def unlinked(client: TestClient) -> TestClient:
    post(client, name="one")
    post(client, name="two")
    return client


def test_a_link_is_made_read_repointed_and_removed(unlinked: TestClient) -> None:
    answer = unlinked.post(f"{ACCOUNTS}/$linked", content=link_body(f"{ACCOUNTS}('1')", U1), headers=ENTRY)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{ACCOUNTS}/$linked('{U1}')"
    payload = read(unlinked.get(answer.headers["location"])).payload
    assert payload is not None
    assert (payload.uuid, payload.key, payload.url) == (U1, "1", f"{ACCOUNTS}('1')")
    answer = unlinked.put(f"{ACCOUNTS}/$linked('{U1}')", content=link_body(f"{ACCOUNTS}('2')"), headers=ENTRY)
    assert answer.status_code == 200
    payload = read(unlinked.get(f"{ACCOUNTS}('2')")).payload
    assert payload is not None
    assert payload.uuid == U1
    answer = unlinked.delete(f"{ACCOUNTS}/$linked('{U1}')")
    assert (answer.status_code, answer.content) == (200, b"")
    assert unlinked.get(f"{ACCOUNTS}/$linked('{U1}')").status_code == 404
    for key in ("1", "2"):
        payload = read(unlinked.get(f"{ACCOUNTS}('{key}')")).payload
        assert payload is not None
        assert payload.uuid == ""


def test_a_uuid_is_made_where_none_is_sent_and_linking_again_is_fine(unlinked: TestClient) -> None:
    first = unlinked.post(f"{ACCOUNTS}/$linked", content=link_body(f"{ACCOUNTS}('1')"), headers=ENTRY)
    again = unlinked.post(f"{ACCOUNTS}/$linked", content=link_body(f"{ACCOUNTS}('1')"), headers=ENTRY)
    assert first.status_code == again.status_code == 201
    assert read(first) == read(again)


def test_a_link_to_another_uuid_or_from_another_resource_is_refused(unlinked: TestClient) -> None:
    unlinked.post(f"{ACCOUNTS}/$linked", content=link_body(f"{ACCOUNTS}('1')", U1), headers=ENTRY)
    for key, uuid in (("1", U2), ("2", U1)):
        answer = unlinked.post(f"{ACCOUNTS}/$linked", content=link_body(f"{ACCOUNTS}('{key}')", uuid), headers=ENTRY)
        assert answer.status_code == 409
        read_diagnoses(answer.content)


@pytest.mark.parametrize(
    "url", ("", f"{ACCOUNTS}('99')", f"{DATASET}/orders('1')", "http://[broken", f"{ACCOUNTS}(name eq 'one')")
)
def test_a_link_needs_the_url_of_an_existing_resource(unlinked: TestClient, url: str) -> None:
    answer = unlinked.post(f"{ACCOUNTS}/$linked", content=link_body(url, U1), headers=ENTRY)
    assert answer.status_code == 400
    assert unlinked.get(f"{ACCOUNTS}/$linked('{U1}')").status_code == 404


def test_the_url_may_name_this_server_differently_or_be_called_uri(unlinked: TestClient) -> None:
    content = link_body("https://other.name:99/sdata/books/crm/-/Accounts('1')", U1).replace(b"sdata:url", b"sdata:uri")
    assert unlinked.post(f"{ACCOUNTS}/$linked", content=content, headers=ENTRY).status_code == 201


def test_linked_resources_are_a_paged_feed(filled: TestClient) -> None:
    feed = read_feed(filled.get(f"{ACCOUNTS}/$linked?count=2&select=").content)
    assert (feed.head.total, len(feed.entries)) == (3, 2)
    assert feed.entries[0].payload is not None
    assert (feed.entries[0].payload.fields, feed.entries[0].payload.uuid) == ({}, U1)
    assert read_feed(filled.get(f"{ACCOUNTS}/$linked?count=0").content).head.total == 3
    assert filled.get(f"{ACCOUNTS}/$linked('42')").status_code == 400


def test_links_go_in_batches_too(unlinked: TestClient) -> None:
    entries = (
        Entry(method="POST", payload=Payload("account", NAMESPACE, uuid=U1, url=f"{ACCOUNTS}('1')")),
        Entry(method="POST", payload=Payload("account", NAMESPACE, uuid=U1, url=f"{ACCOUNTS}('2')")),
        Entry(method="GET", payload=Payload("account", NAMESPACE, uuid=U1)),
        Entry(method="PUT", payload=Payload("account", NAMESPACE, uuid=U1, url=f"{ACCOUNTS}('2')")),
        Entry(method="DELETE", payload=Payload("account", NAMESPACE, uuid=U1)),
    )
    answer = unlinked.post(f"{ACCOUNTS}/$linked/$batch", content=batch_body(*entries), headers=FEED)
    assert [entry.status for entry in read_feed(answer.content).entries] == [200, 409, 200, 200, 200]
    assert read_feed(unlinked.get(f"{ACCOUNTS}/$linked").content).head.total == 0
