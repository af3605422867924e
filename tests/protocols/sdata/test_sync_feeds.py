from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, IMMEDIATE, Feed, FeedHead
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.errors import MalformedMessage
from tallystick.protocols.sdata.store import Resource
from tallystick.protocols.sdata.sync_feeds import (
    checked_extract,
    checked_page,
    extract_feed,
    is_extract,
    paging_links,
    source_entry,
)

A = "http://a/accounts"
U1 = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"
DIGEST = digest_of(A, [DigestEntry(A, 9)])
ENTRY = Entry(state=SyncState(A, 3), payload=Payload("account", uuid=U1))


def feed(*entries: Entry, **head: object) -> Feed:
    return Feed(FeedHead(**{"digest": DIGEST, "mode": CATCH_UP, **head}), list(entries))  # type: ignore[arg-type]


def test_a_page_knows_its_place_in_its_pass() -> None:
    page, incoming, immediate = checked_page(feed(ENTRY, id="job", start=11, links=(Link("next", "n"),)))
    assert (page.identity, page.start, page.entries, page.first, page.last) == ("job", 11, 1, False, False)
    assert [(entry.uuid, entry.state.tick) for entry in incoming] == [(U1, 3)]
    assert not immediate


def test_an_extract_ends_no_pass_and_no_target_takes_it_for_a_page() -> None:
    resource = Resource(key="1", uuid=U1, state=SyncState(A, 3), payload=Payload("account"))
    made = extract_feed(kind="accounts", endpoint=A, author="a", updated="", digest=DIGEST, resources=[resource])
    assert is_extract(made)
    assert not is_extract(feed(ENTRY))
    page, incoming, immediate = checked_extract(made)
    assert (page.first, page.last, immediate) == (False, False, False)
    assert [(entry.uuid, entry.state.tick) for entry in incoming] == [(U1, 3)]
    with pytest.raises(MalformedMessage, match="no syncMode"):
        checked_page(made)


def test_an_extract_claims_no_tick_beyond_its_digest() -> None:
    with pytest.raises(MalformedMessage):
        checked_extract(feed(Entry(state=SyncState(A, 10), payload=Payload("account", uuid=U1)), mode=""))


@pytest.mark.parametrize(
    ("head", "first"),
    (
        ({"start": 1}, True),
        ({"start": 0}, True),
        ({"start": 2}, False),
        ({}, True),
        ({"links": (Link("previous", "p"),)}, False),
        ({"start": 1, "links": (Link("previous", "p"),)}, True),
    ),
)
def test_the_first_page_is_known_by_its_index_or_by_having_none_before_it(head: dict[str, object], first: bool) -> None:
    assert checked_page(feed(**head))[0].first is first


def test_a_feed_without_id_is_grouped_by_origin_and_run() -> None:
    assert checked_page(feed(), "nightly", "1")[0].identity == f"{A}\nnightly\n1"
    assert checked_page(feed())[0].identity == ""


def test_immediate_feeds_are_known() -> None:
    assert checked_page(feed(mode=IMMEDIATE))[2]


@pytest.mark.parametrize(
    ("broken", "match"),
    (
        (feed(digest=None), "no digest"),
        (feed(mode=""), "no syncMode"),
        (feed(Entry(payload=ENTRY.payload)), "entry 1 .* no sync state"),
        (feed(ENTRY, Entry(state=SyncState(A, 4))), "entry 2 .* no uuid"),
        (feed(Entry(state=SyncState(A, 10), payload=ENTRY.payload)), "beyond"),
    ),
)
def test_an_unusable_page_says_why(broken: Feed, match: str) -> None:
    with pytest.raises(MalformedMessage, match=match):
        checked_page(broken)


def test_a_live_entry_carries_its_uuid_and_everything_stored() -> None:
    payload = Payload("account", "http://crm", {"name": "x"})
    entry = source_entry(Resource(key="A'1", uuid=U1, title="x", state=SyncState(A, 3), payload=payload), A)
    assert (entry.id, entry.method, entry.uuid) == (f"{A}('A''1')", "PUT", U1)
    assert entry.payload is not None
    assert entry.payload.fields == {"name": "x"}


def test_a_tombstone_carries_its_uuid_and_nothing_else() -> None:
    payload = Payload("account", "http://crm", {"name": "x"}, U1)
    entry = source_entry(Resource(key="1", uuid=U1, deleted=True, state=SyncState(A, 3), payload=payload), A)
    assert entry.payload == Payload("account", "http://crm", uuid=U1, deleted=True)
    assert entry.method == "DELETE"


@pytest.mark.parametrize(
    ("total", "start", "count", "expected"),
    (
        (0, 1, 10, {"self": ""}),
        (10, 1, 10, {"self": ""}),
        (11, 1, 10, {"self": 1, "first": 1, "last": 11, "next": 11}),
        (25, 11, 10, {"self": 11, "first": 1, "last": 21, "next": 21, "previous": 1}),
        (25, 21, 10, {"self": 21, "first": 1, "last": 21, "previous": 11}),
        (20, 11, 10, {"self": 11, "first": 1, "last": 11, "previous": 1}),
        (25, 6, 10, {"self": 6, "first": 1, "last": 21, "next": 16, "previous": 1}),
        (25, 99, 10, {"self": 99, "first": 1, "last": 21, "previous": 89}),
        (25, 1, 0, {"self": ""}),
    ),
)
def test_links_lead_to_every_neighbour_there_is(
    total: int, start: int, count: int, expected: dict[str, int | str]
) -> None:
    def shown(index: int | str) -> str:
        return f"{A}?startIndex={index}&count={count}" if index else A

    found = {link.rel: link.href for link in paging_links(A, total, start, count)}
    assert found == {rel: shown(index) for rel, index in expected.items()}


def test_links_repeat_the_query() -> None:
    (link,) = paging_links(A, 1, 1, 10, where="a eq 'b c'")
    assert link.href == f"{A}?where=a%20eq%20'b%20c'"
