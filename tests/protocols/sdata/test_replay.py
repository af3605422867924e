"""The worked example of the protocol description (section 15) and its samples, replayed against two providers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tallystick.errors import ValueRejected
from tallystick.protocols.sdata.codec.digest_messages import DigestMessage, read_digest_message, write_digest_message
from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, endpoint_key
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import Feed, read_feed, write_feed
from tallystick.protocols.sdata.codec.kinds import Kind
from tallystick.protocols.sdata.codec.payloads import Collection, Payload
from tallystick.protocols.sdata.codec.tracking import read_tracking, write_tracking
from tallystick.protocols.sdata.memory import MemoryStore
from tallystick.protocols.sdata.provider import Dataset, Provider, Settings, sdata_application
from tallystick.protocols.sdata.rules import standing as rules
from tallystick.protocols.sdata.store import Resource

A1 = "https://app1.example/sdata/books/crm/-/accounts"
A2 = "https://app2.example/sdata/shop/crm/-/accounts"
G1 = "5f0c2d1e-7a34-4b8e-9c61-2f4d8e0a7b13"
G2 = "c1e7a9b4-0d52-4f6a-8b3e-97d61f20c584"
RUN = "runName=nightly-crm&runStamp=2026-03-02T09:30:00Z"
BRIGHTWATER = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"
OAKFIELD = "8e41d7c3-95b0-4a2f-b6d8-17f3a0c45e92"
THIRD = "11111111-2222-4333-8444-555555555555"
NAMESPACE = "http://schemas.example/crm/1"
ENTRY = {"Content-Type": "application/atom+xml; type=entry"}
FEED = {"Content-Type": "application/atom+xml; type=feed"}
MOMENT = 1772443804.0  # 2026-03-02T09:30:04Z

CONTENT = Payload(
    "account",
    NAMESPACE,
    {
        "name": "Brightwater Trading",
        "website": None,
        "creditLimit": "7500.00",
        "salesPerson": Payload("salesPerson", uuid="d06a3f81-2e5c-49b7-8f10-b4c97a6e52d3"),
        "addresses": Collection(
            (Payload("address", fields={"city": "Leiden"}, uuid="71c5e8d2-a03f-4c96-9b27-e8d450f1a63b"),), True
        ),
    },
)


def put(store: MemoryStore, key: str, uuid: str, title: str, state: SyncState, **options: object) -> None:
    kind = store.contract.kind("accounts")
    assert kind is not None
    shelf = store.shelf(kind)
    payload = Payload("account", NAMESPACE, {"name": title}, uuid)
    resource = Resource(
        key=key, uuid=uuid, title=title, updated=state.stamp, state=state, **{"payload": payload, **options}
    )
    shelf.by_key[key] = resource
    shelf.by_uuid[uuid] = key


def know(store: MemoryStore, *entries: DigestEntry) -> None:
    kind = store.contract.kind("accounts")
    assert kind is not None
    own = store.endpoint(kind)
    known = Digest(own, {endpoint_key(entry.endpoint): entry for entry in entries})
    store.shelf(kind).standing = rules.Standing(known, counter=known.tick(own))


@pytest.fixture
def source(make_store: Callable[..., MemoryStore]) -> MemoryStore:
    store = make_store(A1.removesuffix("/accounts"), clock=lambda: MOMENT - 3)
    know(store, DigestEntry(A1, 16, "2026-03-02T08:55:10Z", 5), DigestEntry(A2, 22, "2026-03-02T09:00:03Z", 3))
    brightwater = SyncState(A1, 12, "2026-03-02T07:41:18Z")
    put(store, "A-1007", BRIGHTWATER, "Brightwater Trading", brightwater, payload=CONTENT)
    oakfield = SyncState(A1, 14, "2026-03-02T08:20:33Z")
    put(store, "A-1033", OAKFIELD, "Oakfield Supplies", oakfield, deleted=True)
    put(store, "A-1040", THIRD, "Third", SyncState(A2, 21, "2026-03-02T08:59:00Z"))
    return store


@pytest.fixture
def target(make_store: Callable[..., MemoryStore]) -> MemoryStore:
    store = make_store(A2.removesuffix("/accounts"), clock=lambda: MOMENT)
    know(store, DigestEntry(A1, 12, "2026-03-01T22:00:07Z", 5), DigestEntry(A2, 23, "2026-03-02T09:12:40Z", 3))
    put(store, "412", BRIGHTWATER, "Brightwater", SyncState(A2, 19, "2026-02-27T10:00:00Z"))
    put(store, "388", OAKFIELD, "Oakfield Supplies", SyncState(A1, 7, "2026-02-20T10:00:00Z"))
    put(store, "399", THIRD, "Third", SyncState(A2, 21, "2026-03-02T08:59:00Z"))
    put(store, "400", "99999999-2222-4333-8444-555555555555", "New", SyncState(A2, 22, "2026-03-02T09:12:40Z"))
    return store


def client(store: MemoryStore, application: str) -> TestClient:
    root = store.base.split("/sdata")[0]
    provider = Provider(
        f"{root}/sdata",
        [Dataset(application, "crm", "-", store)],
        settings=Settings(author=application, page_size=10),
        clock=store._clock,
    )
    return TestClient(sdata_application(provider), base_url=root, client=("127.0.0.1", 4711))


def result(of: TestClient, location: str) -> bytes:
    answer = of.get(location)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/atom+xml; type=feed"
    return answer.content


def test_the_whole_pass_gives_the_messages_of_the_description(
    source: MemoryStore, target: MemoryStore, samples: Path, canonical: Callable[[bytes], bytes]
) -> None:
    with client(source, "books") as one, client(target, "shop") as two:
        digest = two.get(f"{A2}/$syncDigest")
        assert digest.status_code == 200
        assert digest.headers["content-type"] == ENTRY["Content-Type"]
        assert digest.content == (samples / "01-digest.xml").read_bytes()

        posted = one.post(f"{A1}/$syncSource?trackingID={G1}&{RUN}", content=digest.content, headers=ENTRY)
        assert posted.status_code == 202
        assert posted.headers["location"] == f"{A1}/$syncSource('{G1}')"
        assert posted.headers["content-type"] == "application/xml"
        assert read_tracking(posted.content).polling_millis >= 100
        feed = result(one, posted.headers["location"])
        assert canonical(feed) == canonical((samples / "04-source-feed.xml").read_bytes())

        posted = two.post(f"{A2}/$syncTarget?trackingID={G2}&{RUN}", content=feed, headers=FEED)
        assert posted.status_code == 202
        assert posted.headers["location"] == f"{A2}/$syncTarget('{G2}')"
        results = result(two, posted.headers["location"])
        expected = (samples / "05-target-result.xml").read_bytes()
        assert canonical(without_etag(results)) == canonical(without_etag(expected))

        told = one.post(f"{A1}/$syncResults?{RUN}", content=results, headers=FEED)
        assert (told.status_code, told.content) == (200, b"")
        assert two.delete(f"{A2}/$syncTarget('{G2}')").status_code == 200
        assert one.delete(f"{A1}/$syncSource('{G1}')").status_code == 200
        assert two.get(f"{A2}/$syncDigest").content == (samples / "07-digest-after.xml").read_bytes()


def without_etag(feed: bytes) -> bytes:
    """An etag is the provider's own business; that there is one is not."""
    found, count = re.subn(rb"<http:etag>[^<]+</http:etag>", b"", feed)
    assert count == 1
    return found


def test_a_deletion_that_fails_caps_the_digest_and_is_sent_again(source: MemoryStore, target: MemoryStore) -> None:
    take = target._take

    def guarded(kind: Kind, shelf: object, entry: Entry) -> None:
        if entry.deleted:
            raise ValueRejected("open orders")
        take(kind, shelf, entry)  # type: ignore[arg-type]

    target._take = guarded  # type: ignore[method-assign,assignment]
    with client(source, "books") as one, client(target, "shop") as two:
        feed = _pass(one, two, G1, G2)
        failed = feed.entries[1]
        assert failed.status == 409
        assert failed.diagnoses[0].severity == "error"
        assert "open orders" in failed.diagnoses[0].message
        digest = read_digest_message(two.get(f"{A2}/$syncDigest").content)
        assert (digest.tick(A1), digest.tick(A2)) == (14, 23)

        target._take = take  # type: ignore[method-assign]
        feed = _pass(one, two, G1[:-1] + "4", G2[:-1] + "5")
        assert [(entry.uuid, entry.status, entry.method) for entry in feed.entries] == [(OAKFIELD, 200, "DELETE")]
        digest = read_digest_message(two.get(f"{A2}/$syncDigest").content)
        assert (digest.tick(A1), digest.tick(A2)) == (16, 23)


def _pass(one: TestClient, two: TestClient, first: str, second: str) -> Feed:
    digest = two.get(f"{A2}/$syncDigest").content
    posted = one.post(f"{A1}/$syncSource?trackingID={first}&{RUN}", content=digest, headers=ENTRY)
    feed = result(one, posted.headers["location"])
    posted = two.post(f"{A2}/$syncTarget?trackingID={second}&{RUN}", content=feed, headers=FEED)
    return read_feed(result(two, posted.headers["location"]))


def test_the_digest_sample_is_written_back_byte_for_byte(samples: Path) -> None:
    for name, updated in (("01-digest.xml", "2026-03-02T09:12:40Z"), ("07-digest-after.xml", "2026-03-02T09:30:04Z")):
        data = (samples / name).read_bytes()
        message = DigestMessage(read_digest_message(data), "accounts synchronization digest", updated, "shop")
        assert write_digest_message(message) == data


def test_the_tracking_sample_is_written_back_byte_for_byte(samples: Path) -> None:
    data = (samples / "03-tracking.xml").read_bytes()
    assert write_tracking(read_tracking(data)) == data


@pytest.mark.parametrize("name", ("04-source-feed.xml", "05-target-result.xml", "06-syncresults-post.xml"))
def test_the_feed_samples_mean_the_same_when_written_back(
    samples: Path, canonical: Callable[[bytes], bytes], name: str
) -> None:
    data = (samples / name).read_bytes()
    feed = read_feed(data)
    assert canonical(write_feed(feed.head, feed.entries)) == canonical(data)


def test_forwarded_messages_are_the_same_bytes(samples: Path) -> None:
    assert (samples / "02-syncsource-post.xml").read_bytes() == (samples / "01-digest.xml").read_bytes()
    assert (samples / "06-syncresults-post.xml").read_bytes() == (samples / "05-target-result.xml").read_bytes()


def test_the_messages_in_the_description_are_the_samples(samples: Path) -> None:
    description = Path(__file__).parents[4] / "shared" / "spec" / "sdata.md"
    if not description.exists():
        pytest.skip("the protocol description is not beside this checkout")
    blocks = re.findall(r"```xml\n(.*?)```", description.read_text(), re.DOTALL)
    names = ["01-digest.xml", "03-tracking.xml", "04-source-feed.xml", "05-target-result.xml"]
    assert [block.encode() for block in blocks] == [(samples / name).read_bytes() for name in names]
