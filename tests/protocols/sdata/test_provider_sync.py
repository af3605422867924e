"""The synchronization segments over HTTP: every status, every form, jobs that survive (spec 3, 5, 7, 8, 13)."""

from __future__ import annotations

import threading
import time
import uuid as uuids
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tallystick.protocols.sdata.codec.diagnoses import read_diagnoses
from tallystick.protocols.sdata.codec.digest_messages import DigestMessage, read_digest_message, write_digest_message
from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.documents import Limits
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, IMMEDIATE, Feed, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.tracking import read_tracking
from tallystick.protocols.sdata.memory import MemoryStore
from tallystick.protocols.sdata.provider import Dataset, Provider, Settings, sdata_application
from tallystick.protocols.sdata.rules import standing as rules
from tallystick.protocols.sdata.store import Job, JobKind, JobState

ACCOUNTS = "http://testserver/sdata/books/crm/-/accounts"
OTHER = "http://elsewhere/sdata/shop/crm/-/accounts"
NAMESPACE = "http://schemas.example/crm/1"
ENTRY = {"Content-Type": "application/atom+xml; type=entry"}
FEED = {"Content-Type": "application/atom+xml; type=feed"}
STAMP = "2026-03-02T09:30:00Z"
NOTHING = write_digest_message(DigestMessage(digest_of(OTHER, [DigestEntry(OTHER, 1, STAMP, 5)])))


@pytest.fixture
def store(make_store: Callable[..., MemoryStore]) -> MemoryStore:
    return make_store()


@pytest.fixture
def client(serve: Callable[..., TestClient], store: MemoryStore) -> TestClient:
    return serve(store, settings=Settings(page_size=10))


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def fill(store: MemoryStore, count: int) -> None:
    kind = store.contract.kind("accounts")
    assert kind is not None
    for number in range(count):
        store.create(kind, Payload("account", NAMESPACE, {"name": f"n{number}"}, uuid(number)))


def incoming(number: int, tick: int, endpoint: str = OTHER, **fields: Any) -> Entry:
    payload = Payload("account", NAMESPACE, {"name": f"n{number}", **fields}, uuid(number))
    return Entry(
        id=f"{OTHER}('{number}')",
        title=f"n{number}",
        updated=STAMP,
        state=SyncState(endpoint, tick, STAMP),
        payload=payload,
    )


def page(entries: list[Entry], tick: int, *, mode: str = CATCH_UP, following: bool = False, **head: Any) -> bytes:
    links = (Link("next", "http://elsewhere/next"),) if following else ()
    digest = digest_of(OTHER, [DigestEntry(OTHER, tick, STAMP, 5)])
    given = {"id": f"{OTHER}/$syncSource('s')", "mode": mode, "digest": digest, "links": links, "start": 1, "total": 9}
    return write_feed(FeedHead(**{**given, **head}), entries)


def post_source(client: TestClient, body: bytes = NOTHING, identity: str = "G1", **headers: str) -> Any:
    return client.post(f"{ACCOUNTS}/$syncSource?trackingID={identity}", content=body, headers={**ENTRY, **headers})


def post_target(client: TestClient, body: bytes, identity: str = "G2") -> Any:
    return client.post(f"{ACCOUNTS}/$syncTarget?trackingID={identity}", content=body, headers=FEED)


def results(client: TestClient, identity: str = "G2") -> Feed:
    answer = client.get(f"{ACCOUNTS}/$syncTarget('{identity}')")
    assert answer.status_code == 200, answer.text
    return read_feed(answer.content)


def diagnosis(answer: Any) -> str:
    assert answer.headers["content-type"] == "application/xml"
    found = read_diagnoses(answer.content)
    assert found
    assert found[0].message
    assert found[0].severity == found[0].severity.lower()
    return found[0].message


def digest(client: TestClient) -> Digest:
    return read_digest_message(client.get(f"{ACCOUNTS}/$syncDigest").content)


# $syncDigest


def test_an_empty_endpoint_lists_itself(client: TestClient) -> None:
    answer = client.get(f"{ACCOUNTS}/$syncDigest")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/atom+xml; type=entry"
    found = read_digest_message(answer.content)
    assert (found.origin, found.tick(ACCOUNTS), found.priority(ACCOUNTS)) == (ACCOUNTS, 1, 5)


def test_the_endpoint_is_named_by_configuration_and_not_by_the_request(client: TestClient) -> None:
    answer = client.get("/sdata/books/crm/-/accounts/$syncDigest", headers={"Host": "other.example:99"})
    assert read_digest_message(answer.content).origin == ACCOUNTS


def test_reading_the_digest_changes_nothing(client: TestClient, store: MemoryStore) -> None:
    before = digest(client)
    assert digest(client) == before


def test_the_run_may_be_appended_to_a_digest_request(client: TestClient) -> None:
    answer = client.get(f"{ACCOUNTS}/$syncDigest?runName=x&runStamp=11/20/2026%2009:17:56")
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ("PUT", "POST"))
def test_an_administrator_raises_ticks_and_sets_priorities(client: TestClient, method: str) -> None:
    wish = digest_of("", [DigestEntry(ACCOUNTS, 40, "", 2), DigestEntry(OTHER, 7, "", 8)])
    answer = client.request(method, f"{ACCOUNTS}/$syncDigest", content=write_digest_message(DigestMessage(wish)))
    assert answer.status_code == 200
    found = digest(client)
    assert (found.tick(ACCOUNTS), found.priority(ACCOUNTS), found.tick(OTHER)) == (40, 2, 7)
    lower = write_digest_message(DigestMessage(digest_of("", [DigestEntry(ACCOUNTS, 3, "", 2)])))
    client.request(method, f"{ACCOUNTS}/$syncDigest", content=lower)
    assert digest(client).tick(ACCOUNTS) == 40


def test_deleting_the_digest_is_not_offered(client: TestClient) -> None:
    answer = client.delete(f"{ACCOUNTS}/$syncDigest")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    diagnosis(answer)


# $syncSource


def test_a_source_job_is_always_202_with_location_and_tracking(client: TestClient, store: MemoryStore) -> None:
    answer = post_source(client)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["location"] == f"{ACCOUNTS}/$syncSource('G1')"
    read_tracking(answer.content)


@pytest.mark.parametrize(
    ("segment", "argument"),
    (
        ("$syncsource", "trackingid"),
        ("$SyncSource", "TrackingId"),
        ("%24syncSource", "trackingID"),
        ("$syncSource", "TRACKINGID"),
    ),
)
def test_segments_and_arguments_are_read_in_any_case(client: TestClient, segment: str, argument: str) -> None:
    answer = client.post(f"{ACCOUNTS}/{segment}?{argument}=G7&unknown=1", content=NOTHING, headers=ENTRY)
    assert answer.status_code == 202
    assert client.get(f"{ACCOUNTS}/{segment}(%27G7%27)").status_code == 200
    assert client.get(f"{ACCOUNTS}/{segment}?{argument}=G7").status_code == 200


@pytest.mark.parametrize(
    "headers",
    (
        {"Content-Type": "application/atom+xml;type=entry"},
        {"Content-Type": "application/atom+xml"},
        {"Content-Type": "text/xml; charset=utf-8"},
        {"Content-Type": "application/xml"},
        {},
        {"Content-Type": "application/atom+xml; type=feed"},
    ),
)
def test_the_body_is_read_whatever_its_type_says(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post(f"{ACCOUNTS}/$syncSource?trackingID=G1", content=b"\xef\xbb\xbf" + NOTHING, headers=headers)
    assert answer.status_code == 202


def test_a_picture_is_no_digest(client: TestClient) -> None:
    answer = client.post(f"{ACCOUNTS}/$syncSource?trackingID=G1", content=b"x", headers={"Content-Type": "image/png"})
    assert answer.status_code == 415
    diagnosis(answer)


def test_one_tracking_id_is_one_job(client: TestClient, store: MemoryStore) -> None:
    fill(store, 3)
    assert post_source(client).status_code == 202
    first = client.get(f"{ACCOUNTS}/$syncSource('G1')").content
    fill(store, 5)
    again = post_source(client)
    assert (again.status_code, again.headers["location"]) == (202, f"{ACCOUNTS}/$syncSource('G1')")
    assert len(read_feed(first).entries) == 3
    assert len(read_feed(client.get(f"{ACCOUNTS}/$syncSource('G1')").content).entries) == 3


def test_results_survive_repeated_reading_until_they_are_deleted(client: TestClient, store: MemoryStore) -> None:
    fill(store, 2)
    post_source(client)
    url = f"{ACCOUNTS}/$syncSource('G1')"
    one, two = read_feed(client.get(url).content), read_feed(client.get(url).content)
    assert one.entries == two.entries
    gone = client.delete(url)
    assert (gone.status_code, gone.content) == (200, b"")
    assert client.delete(url).status_code == 410
    assert client.get(url).status_code == 410
    assert client.get(f"{ACCOUNTS}/$syncSource('never')").status_code == 404
    diagnosis(client.get(f"{ACCOUNTS}/$syncSource('never')"))


def test_both_forms_of_the_job_url_read_and_delete(client: TestClient) -> None:
    post_source(client)
    assert client.get(f"{ACCOUNTS}/$syncSource?trackingID=G1").status_code == 200
    assert client.get(f'{ACCOUNTS}/$syncSource("G1")').status_code == 200
    assert client.delete(f"{ACCOUNTS}/$syncSource?trackingid=G1").status_code == 200


def test_post_may_stand_for_delete(client: TestClient) -> None:
    post_source(client)
    answer = client.post(f"{ACCOUNTS}/$syncSource('G1')", headers={"X-HTTP-Method-Override": "DELETE"})
    assert answer.status_code == 200
    assert client.get(f"{ACCOUNTS}/$syncSource('G1')").status_code == 410


@pytest.mark.parametrize(
    ("query", "body", "status"),
    (
        ("", NOTHING, 400),
        ("trackingID=", NOTHING, 400),
        ("trackingID=" + "x" * 201, NOTHING, 400),
        ("trackingID=G1", b"", 400),
        ("trackingID=G1", b"<entry xmlns='http://www.w3.org/2005/Atom'/>", 400),
        ("trackingID=G1", b"<!DOCTYPE entry><entry xmlns='http://www.w3.org/2005/Atom'/>", 400),
        ("trackingID=G1", NOTHING.replace(b">1<", b">-1<"), 400),
        ("trackingID=G1", NOTHING.replace(STAMP.encode(), b"tomorrow"), 400),
        ("trackingID=G1", NOTHING.replace(b"http://schemas.sage.com/sdata/sync/2008/1", b"urn:x"), 400),
        ("trackingID=G1&trackingID=%FF", NOTHING, 400),
    ),
)
def test_an_unusable_request_is_400_and_makes_no_job(
    client: TestClient, store: MemoryStore, query: str, body: bytes, status: int
) -> None:
    answer = client.post(f"{ACCOUNTS}/$syncSource?{query}", content=body, headers=ENTRY)
    assert answer.status_code == status
    diagnosis(answer)
    assert store.job("accounts", JobKind.SOURCE, "G1") is None


def test_get_without_a_job_names_the_problem(client: TestClient) -> None:
    assert "no job" in diagnosis(client.get(f"{ACCOUNTS}/$syncSource"))


def test_the_feed_has_everything_on_every_page(client: TestClient, store: MemoryStore) -> None:
    fill(store, 25)
    post_source(client)
    url, pages = f"{ACCOUNTS}/$syncSource('G1')", []
    while url:
        answer = client.get(url)
        assert answer.headers["content-type"] == "application/atom+xml; type=feed"
        feed = read_feed(answer.content)
        pages.append(feed)
        url = feed.head.link("next") or ""
    assert [len(feed.entries) for feed in pages] == [10, 10, 5]
    assert {feed.head.id for feed in pages} == {f"{ACCOUNTS}/$syncSource('G1')"}
    assert {feed.head.mode for feed in pages} == {CATCH_UP}
    assert {feed.head.total for feed in pages} == {25}
    assert [feed.head.start for feed in pages] == [1, 11, 21]
    assert pages[0].head.digest == pages[2].head.digest == digest(client)
    assert [sorted(link.rel for link in feed.head.links) for feed in pages] == [
        ["first", "last", "next", "self"],
        ["first", "last", "next", "previous", "self"],
        ["first", "last", "previous", "self"],
    ]
    ticks = [entry.state.tick for feed in pages for entry in feed.entries if entry.state]
    assert ticks == sorted(set(ticks)) == list(range(1, 26))
    assert all(entry.method == "PUT" for feed in pages for entry in feed.entries)


def test_a_page_of_none_has_totals(client: TestClient, store: MemoryStore) -> None:
    fill(store, 3)
    post_source(client)
    feed = read_feed(client.get(f"{ACCOUNTS}/$syncSource('G1')?count=0").content)
    assert (feed.entries, feed.head.total) == ([], 3)


def test_any_page_can_be_asked_for_and_sizes_are_capped(client: TestClient, store: MemoryStore) -> None:
    fill(store, 12)
    post_source(client)
    url = f"{ACCOUNTS}/$syncSource('G1')"
    assert len(read_feed(client.get(f"{url}?startIndex=6&count=3").content).entries) == 3
    assert len(read_feed(client.get(f"{url}?StartIndex=12&Count=99999999").content).entries) == 1
    assert read_feed(client.get(f"{url}?startIndex=99").content).entries == []
    assert client.get(f"{url}?count=many").status_code == 400


def test_pages_are_a_snapshot(client: TestClient, store: MemoryStore) -> None:
    fill(store, 12)
    post_source(client)
    before = read_feed(client.get(f"{ACCOUNTS}/$syncSource('G1')").content)
    kind = store.contract.kind("accounts")
    assert kind is not None
    for number in range(20, 25):
        store.create(kind, Payload("account", NAMESPACE, {"name": "late"}, uuid(number)))
    after = read_feed(client.get(f"{ACCOUNTS}/$syncSource('G1')?startIndex=11").content)
    assert after.head.digest == before.head.digest
    assert (after.head.total, len(after.entries)) == (12, 2)


def test_an_empty_delta_is_a_feed_with_digest_and_no_entries(client: TestClient) -> None:
    post_source(client, write_digest_message(DigestMessage(digest(client))))
    feed = read_feed(client.get(f"{ACCOUNTS}/$syncSource('G1')").content)
    assert feed.entries == []
    assert feed.head.digest is not None
    assert feed.head.last


def test_a_resource_gets_its_uuid_and_tick_when_it_is_first_asked_for(client: TestClient, store: MemoryStore) -> None:
    kind = store.contract.kind("accounts")
    assert kind is not None
    created, _ = store.create(kind, Payload("account", NAMESPACE, {"name": "unlinked"}))
    assert created.uuid == ""
    post_source(client)
    (entry,) = read_feed(client.get(f"{ACCOUNTS}/$syncSource('G1')").content).entries
    assert uuids.UUID(entry.uuid)
    assert store.resource(kind, created.key).uuid == entry.uuid


def test_a_deletion_travels_as_a_tombstone(client: TestClient, store: MemoryStore) -> None:
    fill(store, 1)
    kind = store.contract.kind("accounts")
    assert kind is not None
    store.delete(kind, "1", None)
    post_source(client)
    (entry,) = read_feed(client.get(f"{ACCOUNTS}/$syncSource('G1')").content).entries
    assert entry.deleted
    assert (entry.uuid, entry.method) == (uuid(0), "DELETE")
    assert entry.payload is not None
    assert entry.payload.fields == {}


def test_during_a_restore_the_source_asks_for_patience(client: TestClient, store: MemoryStore) -> None:
    kind = store.contract.kind("accounts")
    assert kind is not None
    store.shelf(kind).standing = rules.restored(store.shelf(kind).standing, [])
    post_source(client)
    answer = client.get(f"{ACCOUNTS}/$syncSource('G1')")
    assert answer.status_code == 503
    assert "restored" in diagnosis(answer)


# $syncTarget


def test_a_target_job_applies_its_page_and_tells_what_became_of_each_entry(
    client: TestClient, store: MemoryStore
) -> None:
    answer = post_target(client, page([incoming(1, 1), incoming(2, 2, creditLimit="much")], 3))
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{ACCOUNTS}/$syncTarget('G2')"
    feed = results(client)
    created, failed = feed.entries
    assert (created.status, created.method, created.location) == (200, "POST", f"{ACCOUNTS}('1')")
    assert created.etag
    assert created.state == SyncState(OTHER, 1, STAMP)
    assert created.payload is not None
    assert (created.payload.uuid, created.payload.key, created.payload.url) == (uuid(1), "1", f"{ACCOUNTS}('1')")
    assert failed.status == 409
    assert "creditLimit" in failed.diagnoses[0].message
    assert feed.head.digest == digest(client)
    assert feed.head.diagnoses == ()
    assert digest(client).tick(OTHER) == 2


def test_the_merge_comes_only_after_the_last_page(client: TestClient) -> None:
    post_target(client, page([incoming(1, 1)], 9, following=True), "G2")
    results(client, "G2")
    assert digest(client).tick(OTHER) == 2
    post_target(client, page([incoming(2, 4)], 9, start=2), "G3")
    results(client, "G3")
    assert digest(client).tick(OTHER) == 9


def test_an_empty_feed_merges(client: TestClient) -> None:
    post_target(client, page([], 9, total=0))
    assert results(client).entries == []
    assert digest(client).tick(OTHER) == 9


def test_a_page_posted_twice_is_applied_once(client: TestClient, store: MemoryStore) -> None:
    body = page([incoming(1, 1)], 2)
    assert post_target(client, body).status_code == post_target(client, body).status_code == 202
    assert results(client).entries[0].method == "POST"
    post_target(client, body, "G3")
    (known,) = results(client, "G3").entries
    assert (known.status, known.method) == (200, "PUT")
    assert known.diagnoses[0].severity == "info"


def test_its_own_feed_is_ignored_entry_by_entry(client: TestClient, store: MemoryStore) -> None:
    fill(store, 3)
    post_source(client)
    post_target(client, client.get(f"{ACCOUNTS}/$syncSource('G1')").content)
    assert [(entry.status, entry.diagnoses[0].severity) for entry in results(client).entries] == [(200, "info")] * 3


def test_conflicts_are_reported_by_who_won(client: TestClient, store: MemoryStore) -> None:
    fill(store, 2)
    early, late = "1999-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    entries = [
        Entry(state=SyncState(OTHER, 1, late), payload=incoming(0, 1).payload),
        Entry(state=SyncState(OTHER, 2, early), payload=incoming(1, 2).payload),
    ]
    post_target(client, page(entries, 3))
    won, lost = results(client).entries
    assert (won.status, won.diagnoses[0].severity) == (200, "warning")
    assert (lost.status, lost.diagnoses[0].severity) == (409, "warning")
    assert lost.state is not None
    assert lost.state.endpoint == ACCOUNTS


def test_a_deletion_of_what_was_never_here_leaves_a_tombstone(client: TestClient, store: MemoryStore) -> None:
    entry = Entry(state=SyncState(OTHER, 1, STAMP), payload=Payload("account", NAMESPACE, uuid=uuid(9), deleted=True))
    post_target(client, page([entry], 2))
    (found,) = results(client).entries
    assert (found.status, found.method) == (200, "DELETE")
    post_source(client)
    (tombstone,) = read_feed(client.get(f"{ACCOUNTS}/$syncSource('G1')").content).entries
    assert tombstone.deleted
    assert tombstone.state == SyncState(OTHER, 1, STAMP)


@pytest.mark.parametrize(
    "body",
    (
        b"",
        b"<feed xmlns='http://www.w3.org/2005/Atom'/>",
        page([], 3, mode=""),
        page([], 3, digest=None),
        page([Entry(payload=incoming(1, 1).payload)], 3),
        page([Entry(state=SyncState(OTHER, 1, STAMP))], 3),
        page([Entry(state=SyncState(OTHER, 1, STAMP), payload=Payload("account", NAMESPACE))], 3),
        page([incoming(1, 4)], 3),
        page([incoming(1, 1)], 3).replace(uuid(1).encode(), b"42"),
        page([incoming(1, 1)], 3).replace(b"<sync:tick>1<", b"<sync:tick>one<"),
        page([incoming(1, 1)], 3).replace(
            f"<sync:stamp>{STAMP}</sync:stamp></sync:syncState>".encode(),
            b"<sync:stamp>soon</sync:stamp></sync:syncState>",
        ),
        page([incoming(1, 1)], 3).replace(b"catchUp", b"catchMe"),
        page([incoming(1, 1)], 3).replace(b"</feed>", b""),
        b"<!DOCTYPE feed [<!ENTITY a 'b'>]>" + page([incoming(1, 1)], 3).partition(b"?>")[2],
        page([incoming(1, 1)], 3).decode().replace('encoding="utf-8"', 'encoding="utf-16"').encode(),
    ),
)
def test_a_bad_feed_is_400_and_changes_nothing(client: TestClient, store: MemoryStore, body: bytes) -> None:
    before = digest(client)
    answer = post_target(client, body)
    assert answer.status_code == 400
    diagnosis(answer)
    assert store.job("accounts", JobKind.TARGET, "G2") is None
    assert digest(client) == before
    assert read_feed(client.get(ACCOUNTS).content).head.total == 0


def test_a_feed_beyond_the_bounds_is_413_and_changes_nothing(
    serve: Callable[..., TestClient], store: MemoryStore
) -> None:
    client = serve(store, settings=Settings(limits=Limits(size=20_000, entries=5)))
    assert post_target(client, page([incoming(n, n) for n in range(1, 9)], 10)).status_code == 413
    assert post_target(client, page([incoming(1, 1, website="x" * 20_000)], 10)).status_code == 413
    assert digest(client).tick(OTHER) == 0


def test_an_immediate_feed_with_a_gap_is_400_at_once(client: TestClient) -> None:
    answer = post_target(client, page([incoming(1, 5)], 6, mode=IMMEDIATE))
    assert answer.status_code == 400
    assert "tick 5" in diagnosis(answer)
    assert digest(client).tick(OTHER) == 0


def test_an_immediate_feed_needs_no_tracking_id(client: TestClient) -> None:
    body = page([incoming(1, 1)], 2, mode=IMMEDIATE)
    answer = client.post(f"{ACCOUNTS}/$syncTarget?runName=r&runStamp=s", content=body, headers=FEED)
    assert answer.status_code == 202
    assert client.get(answer.headers["location"]).status_code == 200
    assert digest(client).tick(OTHER) == 2


def test_a_catch_up_feed_needs_one(client: TestClient) -> None:
    answer = client.post(f"{ACCOUNTS}/$syncTarget", content=page([], 2), headers=FEED)
    assert answer.status_code == 400


def test_the_immediate_example_that_puts_the_uuid_on_the_payload_and_omits_the_origin(client: TestClient) -> None:
    body = page([incoming(1, 1)], 2, mode=IMMEDIATE).decode()
    body = body.replace(f"<sync:origin>{OTHER}</sync:origin>", "").replace(f' sdata:uuid="{uuid(1)}"', "")
    body = body.replace("<sdata:payload>", f'<sdata:payload sdata:uuid="{uuid(1)}">')
    assert post_target(client, body.encode()).status_code == 202
    assert results(client).entries[0].uuid == uuid(1)


def test_results_are_paged_like_every_feed(client: TestClient) -> None:
    post_target(client, page([incoming(n, n) for n in range(1, 26)], 30))
    feed = results(client)
    assert (len(feed.entries), feed.head.total) == (10, 25)
    following = read_feed(client.get(feed.head.link("next") or "").content)
    assert [entry.uuid for entry in following.entries] == [uuid(n) for n in range(11, 21)]


# $syncResults


@pytest.mark.parametrize("form", ("$syncResults", "$syncResults('G2')", "$syncresults"))
def test_results_are_kept_by_run(client: TestClient, store: MemoryStore, form: str) -> None:
    post_target(client, page([incoming(1, 1)], 2))
    body = client.get(f"{ACCOUNTS}/$syncTarget('G2')").content
    answer = client.post(f"{ACCOUNTS}/{form}?runName=nightly&runStamp=now", content=body, headers=FEED)
    assert (answer.status_code, answer.content) == (200, b"")
    kind = store.contract.kind("accounts")
    assert kind is not None
    (report,) = store.shelf(kind).results
    assert (report.run_name, report.run_stamp, report.endpoint) == ("nightly", "now", ACCOUNTS)
    assert (report.entries[0].uuid, report.entries[0].status, report.entries[0].method) == (uuid(1), 200, "POST")


def test_results_without_a_status_are_none(client: TestClient) -> None:
    answer = client.post(f"{ACCOUNTS}/$syncResults", content=page([incoming(1, 1)], 2), headers=FEED)
    assert answer.status_code == 400
    assert client.get(f"{ACCOUNTS}/$syncResults").status_code == 405


# Jobs


class Slow(MemoryStore):
    """A store whose selection takes as long as it is told to."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gate = threading.Event()

    def freeze(self, kind: Any, job: Any, posted: Digest) -> int:
        self.gate.wait(10)
        return super().freeze(kind, job, posted)


@pytest.fixture
def slow(contract: Any) -> Iterator[Slow]:
    store = Slow("http://testserver/sdata/books/crm/-", contract)
    yield store
    store.gate.set()


def test_a_running_job_is_202_with_location_and_tracking(serve: Callable[..., TestClient], slow: Slow) -> None:
    client = serve(slow, settings=Settings(long_poll=0.05))
    post_source(client)
    answer = client.get(f"{ACCOUNTS}/$syncSource('G1')")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{ACCOUNTS}/$syncSource('G1')"
    assert read_tracking(answer.content).phase == "Selecting changes"
    slow.gate.set()
    deadline = time.monotonic() + 10
    while client.get(f"{ACCOUNTS}/$syncSource('G1')").status_code == 202:
        assert time.monotonic() < deadline


def test_a_request_for_a_running_job_is_held_until_it_ends(serve: Callable[..., TestClient], slow: Slow) -> None:
    client = serve(slow, settings=Settings(long_poll=8.0))
    post_source(client)
    threading.Timer(0.2, slow.gate.set).start()
    assert client.get(f"{ACCOUNTS}/$syncSource('G1')").status_code == 200


def test_too_many_waiting_jobs_are_503_with_retry_after(serve: Callable[..., TestClient], slow: Slow) -> None:
    client = serve(slow, settings=Settings(long_poll=0.0))
    statuses = [post_source(client, identity=f"G{n}").status_code for n in range(70)]
    assert set(statuses) == {202, 503}
    answer = post_source(client, identity="one more")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    diagnosis(answer)


def test_jobs_survive_a_restart_of_the_provider(contract: Any, slow: Slow) -> None:
    def start() -> TestClient:
        provider = Provider(
            "http://testserver/sdata", [Dataset("books", "crm", "-", slow)], settings=Settings(long_poll=5)
        )
        return TestClient(sdata_application(provider))

    fill(slow, 3)
    slow.gate.set()
    with start() as client:
        post_target(client, page([incoming(7, 1)], 2))
        done = results(client)
    waiting = slow.job("accounts", JobKind.TARGET, "G2")
    assert waiting is not None
    posted = leave_job_waiting(slow)
    with start() as client:
        assert results(client).entries == done.entries
        answer = client.get(f"{ACCOUNTS}/$syncSource('{posted}')")
        assert answer.status_code == 200
        assert len(read_feed(answer.content).entries) == 4


def leave_job_waiting(store: MemoryStore) -> str:
    """A job that a provider took and had no time to run."""
    job = Job(id="left", resource_kind="accounts", kind=JobKind.SOURCE, request=NOTHING, state=JobState.RUNNING)
    store.add_job(job)
    return job.id


def test_jobs_that_nobody_asks_for_expire(contract: Any) -> None:
    moment = [1000.0]
    store = MemoryStore("http://testserver/sdata/books/crm/-", contract, clock=lambda: moment[0])
    provider = Provider(
        "http://testserver/sdata",
        [Dataset("books", "crm", "-", store)],
        settings=Settings(job_lifetime=100),
        clock=lambda: moment[0],
    )
    with TestClient(sdata_application(provider)) as client:
        post_source(client)
        client.get(f"{ACCOUNTS}/$syncSource('G1')")
        moment[0] += 99
        assert provider.expire() == 0
        client.get(f"{ACCOUNTS}/$syncSource('G1')")
        moment[0] += 99
        assert provider.expire() == 0
        moment[0] += 2
        assert provider.expire() == 1
        assert client.get(f"{ACCOUNTS}/$syncSource('G1')").status_code == 410


def test_two_engines_at_once_queue_up(client: TestClient, store: MemoryStore) -> None:
    other = "http://third/accounts"
    bodies = [
        page([incoming(n, n) for n in range(1, 40)], 50),
        page(
            [incoming(n, n, other) for n in range(41, 80)],
            50,
            id="third",
            digest=digest_of(other, [DigestEntry(other, 90, STAMP, 5)]),
        ),
    ]
    threads = [threading.Thread(target=post_target, args=(client, body, f"E{n}")) for n, body in enumerate(bodies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        assert all(entry.status == 200 for entry in results(client, f"E{number}").entries)
    assert (digest(client).tick(OTHER), digest(client).tick(other)) == (50, 90)
    assert read_feed(client.get(f"{ACCOUNTS}?count=0").content).head.total == 78


def test_json_works_for_sync_too(client: TestClient, store: MemoryStore) -> None:
    fill(store, 1)
    found = client.get(f"{ACCOUNTS}/$syncDigest?format=json").json()
    answer = client.post(
        f"{ACCOUNTS}/$syncSource?trackingID=J1&format=json", json={"$digest": {"origin": OTHER, "digestEntry": []}}
    )
    assert answer.status_code == 202
    assert "$tracking" in answer.json()
    feed = client.get(f"{ACCOUNTS}/$syncSource('J1')?format=json").json()
    assert feed["$digest"] == found["$digest"]
    assert feed["$resources"][0]["$syncState"]["tick"] == 1
    answer = client.post(f"{ACCOUNTS}/$syncTarget?trackingID=J2", json=feed)
    assert answer.status_code == 202
    assert results(client, "J2").entries[0].status == 200
