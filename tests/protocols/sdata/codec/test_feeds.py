from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.sdata.codec.diagnoses import Diagnosis
from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.documents import Limits
from tallystick.protocols.sdata.codec.entries import NAMESPACES, Entry, Link, write_entry_message
from tallystick.protocols.sdata.codec.feeds import (
    CATCH_UP,
    IMMEDIATE,
    WHOLE,
    Feed,
    FeedHead,
    FeedReader,
    glance,
    read_feed,
    stream_feed,
    write_feed,
)
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.errors import MalformedMessage, MessageTooLarge, UnknownNamespace

A = "http://a/accounts"
HEAD = FeedHead(
    id=f"{A}/$syncSource('x')",
    title="t & t",
    updated="2026-03-02T07:41:18Z",
    author="books",
    term="collection",
    links=(Link("self", f"{A}?a=1&b=2", "application/atom+xml; type=feed"), Link("next", f"{A}?c", "text/x")),
    total=7,
    start=1,
    per_page=3,
    mode=CATCH_UP,
    digest=digest_of(A, [DigestEntry(A, 4, "2026-03-02T07:41:18Z", 5)]),
    diagnoses=(Diagnosis(message="m"),),
)


def entry(number: int) -> Entry:
    uuid = f"00000000-0000-4000-8000-{number:012d}"
    return Entry(
        id=f"{A}('{number}')",
        title=f"n{number}",
        updated="2026-03-02T07:41:18Z",
        method="PUT",
        state=SyncState(A, number, "2026-03-02T07:41:18Z"),
        payload=Payload("account", "http://crm", {"name": f"n{number}"}, uuid),
    )


ENTRIES = [entry(number) for number in range(1, 4)]


def feed_xml(inner: str, namespaces: str = NAMESPACES) -> bytes:
    return f"<feed {namespaces}>{inner}</feed>".encode()


def test_a_feed_survives_the_way_there_and_back() -> None:
    assert read_feed(write_feed(HEAD, ENTRIES)) == Feed(HEAD, ENTRIES)
    assert read_feed(write_feed(FeedHead(updated="2026-03-02T07:41:18Z"), [])).entries == []


def test_a_streamed_feed_is_the_same_bytes() -> None:
    many = [entry(number) for number in range(1, 350)]
    pieces = list(stream_feed(HEAD, many))
    assert len(pieces) > 3
    assert b"".join(pieces) == write_feed(HEAD, many)


@given(st.lists(st.integers(1, 400), max_size=30))
def test_a_feed_read_in_any_pieces_is_the_same_feed(sizes: list[int]) -> None:
    data = b"\xef\xbb\xbf" + write_feed(HEAD, ENTRIES)
    reader, found, position = FeedReader(), [], 0
    for size in sizes:
        found += reader.feed(data[position : position + size])
        position += size
    found += reader.feed(data[position:])
    assert Feed(reader.close(), found) == Feed(HEAD, ENTRIES)


def test_large_feeds_are_read_in_pieces_with_the_same_result() -> None:
    wide = Entry(id="x", updated="2026-03-02T07:41:18Z", payload=Payload("a", "c", {"n": "x" * 10_000}))
    data = write_feed(HEAD, [wide] * (WHOLE // 10_000 + 1))
    assert len(data) > WHOLE
    feed = read_feed(data)
    assert feed.head == HEAD
    assert feed.entries == [wide] * (WHOLE // 10_000 + 1)


def test_of_bare_entries_all_but_the_content_is_read() -> None:
    found = read_feed(write_feed(HEAD, ENTRIES), bare=True)
    assert [(one.id, one.state, one.uuid) for one in found.entries] == [
        (one.id, one.state, one.uuid) for one in ENTRIES
    ]
    assert all(one.payload is not None and one.payload.fields == {} for one in found.entries)


def test_a_message_that_is_one_entry_is_a_feed_of_one() -> None:
    data = write_entry_message(ENTRIES[0])
    assert read_feed(data) == Feed(FeedHead(), [ENTRIES[0]])
    reader = FeedReader()
    assert reader.feed(data) == [ENTRIES[0]]
    assert reader.close() == FeedHead()


@pytest.mark.parametrize("text", ("catchUp", "CATCHUP", "catchup", " CatchUp "))
def test_sync_mode_is_read_in_any_case(text: str) -> None:
    assert read_feed(feed_xml(f"<sync:syncMode>{text}</sync:syncMode>")).head.mode == CATCH_UP


def test_sync_mode_is_read_in_the_sdata_namespace_too() -> None:
    assert read_feed(feed_xml("<sdata:syncMode>Immediate</sdata:syncMode>")).head.mode == IMMEDIATE


def test_an_unknown_sync_mode_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="no syncMode"):
        read_feed(feed_xml("<sync:syncMode>sometimes</sync:syncMode>"))


def test_the_digest_may_stand_in_a_payload_of_the_feed() -> None:
    digest = f"<sync:digest><sync:origin>{A}</sync:origin></sync:digest>"
    found = read_feed(feed_xml(f"<sdata:payload>{digest}</sdata:payload>")).head.digest
    assert found is not None
    assert found.origin == A
    with pytest.raises(MalformedMessage, match="more than one digest"):
        read_feed(feed_xml(digest + digest))


def test_what_stands_behind_the_entries_is_read_too() -> None:
    inner = "<entry/><entry/><id>behind</id><link rel='NEXT' href='n'/><sync:syncMode>catchUp</sync:syncMode>"
    feed = read_feed(feed_xml(inner))
    assert (feed.head.id, feed.head.mode, len(feed.entries)) == ("behind", CATCH_UP, 2)
    assert feed.head.link("next") == "n"
    assert not feed.head.last


def test_the_last_page_is_the_one_without_next_link() -> None:
    assert read_feed(feed_xml("<link rel='self' href='s'/><link href='a'/>")).head.last


def test_an_entry_inside_a_payload_is_no_entry_of_the_feed() -> None:
    inner = (
        "<entry><sdata:payload><a xmlns='c'><entry xmlns='http://www.w3.org/2005/Atom'/></a></sdata:payload></entry>"
    )
    data = feed_xml(inner)
    assert len(read_feed(data).entries) == 1
    reader = FeedReader()
    assert len(reader.feed(data)) == 1


def test_counts_that_are_none_count_as_absent() -> None:
    head = read_feed(feed_xml("<opensearch:totalResults>many</opensearch:totalResults>")).head
    assert head.total is None


@pytest.mark.parametrize("whole", (True, False))
def test_a_feed_has_at_most_so_many_entries(whole: bool) -> None:
    data = feed_xml("<entry/>" * 11)
    with pytest.raises(MessageTooLarge, match="10 entries"):
        read_feed(data, Limits(entries=10)) if whole else FeedReader(Limits(entries=10)).feed(data)


def test_endless_entries_are_refused_before_they_are_kept() -> None:
    reader = FeedReader(Limits(entries=1000))
    reader.feed(f"<feed {NAMESPACES}>".encode())
    page = b"<entry><id>x</id></entry>" * 100
    kept = sum(len(reader.feed(page)) for _ in range(10))
    with pytest.raises(MessageTooLarge):
        reader.feed(page)
    assert kept == 1000


def test_a_feed_has_at_most_so_many_bytes() -> None:
    reader = FeedReader(Limits(size=1000))
    reader.feed(f"<feed {NAMESPACES}>".encode())
    with pytest.raises(MessageTooLarge, match="1000 bytes"):
        reader.feed(b" " * 1000)


@pytest.mark.parametrize(
    ("data", "error"),
    (
        (b"<feed xmlns='http://purl.org/atom/ns#'/>", UnknownNamespace),
        (b"<feed/>", UnknownNamespace),
        (b"<html/>", MalformedMessage),
        (feed_xml("<entry>")[:-20], MalformedMessage),
    ),
)
def test_another_message_is_no_feed(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_feed(data)
    reader = FeedReader()
    with pytest.raises(error):
        _read_through(reader, data)


def _read_through(reader: FeedReader, data: bytes) -> None:
    reader.feed(data)
    reader.close()


def test_a_glance_sees_links_totals_and_statuses() -> None:
    results = [Entry(status=200), Entry(status=200), Entry(status=409), Entry()]
    seen = glance(write_feed(HEAD, results))
    assert seen.head == HEAD
    assert seen.entries == 4
    assert seen.statuses == {200: 2, 409: 1}


def test_a_feed_of_ours_is_looked_at_by_its_layout_and_tells_the_same():
    tricky = Payload("a", "urn:x", {"n": "\n <entry>\n", "m": "\n  <http:httpStatus>404</http:httpStatus>"}, "", "k")
    entries = [Entry(id=str(n), title="</entry>", status=200 + n, payload=tricky) for n in range(3)]
    for listed in (entries, []):
        head = FeedHead(id="x", title="t", links=(Link("next", "http://a/b"),), total=3, start=1, per_page=3)
        body = write_feed(head, listed)
        assert glance(body) == glance(body.replace(b"\n <title>", b"\n  <title>", 1))
        assert glance(body).entries == len(listed)
    with pytest.raises(MalformedMessage):
        glance(body[:-4])
