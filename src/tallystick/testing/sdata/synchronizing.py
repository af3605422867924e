"""Digest, source, round trip and foreign entries: 1 to 4 of the checklist (spec 16)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import msgspec

from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, with_entry
from tallystick.protocols.sdata.codec.documents import parse_document
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.names import ATOM, ENTRY_TYPE, FEED_TYPE, HTTP, OPENSEARCH, SDATA, SYNC
from tallystick.protocols.sdata.codec.stamps import stamp_of
from tallystick.testing.sdata.checks import check
from tallystick.testing.sdata.documents import (
    expect_children,
    expect_digest,
    expect_tracking,
    expect_type,
)
from tallystick.testing.sdata.expecting import expect
from tallystick.testing.sdata.probe import FOREIGN, Probe, message_of, pages, zeroed

# 1. Digest ------------------------------------------------------------------------------------------------------


@check(1, "the digest is an entry with payload, digest and digestEntry")
def digest_is_an_entry(probe: Probe) -> None:
    """GET $syncDigest -> 200; entry, payload, digest, digestEntry."""
    answer = probe.get("/$syncDigest")
    expect_type(answer, ENTRY_TYPE)
    root = parse_document(answer.body)
    expect(root.tag == f"{{{ATOM}}}entry", f"the root element is {root.tag}")
    expect_children(root, ATOM, "id", "title", "updated")
    found = root.find(f"{{{SDATA}}}payload/{{{SYNC}}}digest")
    expect(found is not None, "there is no sync:digest in the payload")
    assert found is not None
    expect_digest(found)


@check(1, "the digest lists its own endpoint")
def digest_lists_itself(probe: Probe) -> None:
    """An empty store lists itself at tick 1."""
    digest = probe.digest()
    expect(digest.origin, "the digest names no origin")
    expect(digest.tick(digest.origin) >= 1, "the origin is not among the entries")


@check(1, "reading the digest changes nothing")
def digest_is_stable(probe: Probe) -> None:
    """Two digests in a row are equal."""
    expect(probe.digest() == probe.digest(), "two digests in a row differ")


# 2. Source ------------------------------------------------------------------------------------------------------


@check(2, "a source job is 202 with Location and tracking")
def source_is_accepted(probe: Probe) -> None:
    """POST $syncSource?trackingId= -> 202."""
    identity = str(uuid.uuid4())
    url = f"/$syncSource?trackingId={identity}&runName=conformance&runStamp=11/20/2026%2009:17:56"
    body = message_of(zeroed(probe.digest()))
    try:
        expect_tracking(probe.send("POST", url, body, 202, Content_Type=ENTRY_TYPE))
    finally:
        probe.send("DELETE", f"/$syncSource('{identity}')", status=None)


@check(2, "the source feed has digest, mode and entries with state and method")
def source_feed_is_complete(probe: Probe) -> None:
    """All ticks 0: everything comes."""
    root = parse_document(probe.source())
    expect(root.tag == f"{{{ATOM}}}feed", f"the root element is {root.tag}")
    expect_children(root, ATOM, "id", "title", "updated", "link")
    expect_children(root, OPENSEARCH, "totalResults", "startIndex", "itemsPerPage")
    expect_children(root, SYNC, "syncMode", "digest")
    expect(root.findtext(f"{{{SYNC}}}syncMode") == CATCH_UP, "syncMode is not catchUp")
    expect_digest(root.find(f"{{{SYNC}}}digest"))  # type: ignore[arg-type]
    for entry in root.findall(f"{{{ATOM}}}entry"):
        expect_children(entry, ATOM, "id", "title", "updated")
        expect_children(entry, SYNC, "syncState")
        expect_children(entry, HTTP, "httpMethod")
        expect_children(entry, SDATA, "payload")
        expect_children(entry.find(f"{{{SYNC}}}syncState"), SYNC, "endpoint", "tick", "stamp")  # type: ignore[arg-type]


@check(2, "ticks ascend for each endpoint and stay below the digest")
def source_ticks_ascend(probe: Probe) -> None:
    """Order and bounds of spec 7, through all pages."""
    last: dict[str, int] = {}
    for feed in pages(probe, ""):
        assert feed.head.digest is not None
        for entry in feed.entries:
            assert entry.state is not None
            key, tick = entry.state.key, entry.state.tick
            expect(tick > last.get(key, -1), f"tick {tick} of {key} follows {last.get(key)}")
            expect(tick < feed.head.digest.tick(key), f"tick {tick} of {key} is not below the digest")
            last[key] = tick


@check(2, "somebody who knows everything gets an empty feed with a digest")
def source_delta_is_empty(probe: Probe) -> None:
    """A digest equal to the source's own leaves nothing to send."""
    feed = read_feed(probe.source(probe.digest()))
    feed = read_feed(probe.source(probe.digest())) if feed.entries else feed
    expect(not feed.entries, f"{len(feed.entries)} entries came although all are known")
    expect(feed.head.digest is not None, "the empty feed has no digest")
    expect(feed.head.last, "the empty feed has a next link")


# 3. Round trip --------------------------------------------------------------------------------------------------


@check(3, "its own feed is ignored entry by entry")
def round_trip(probe: Probe) -> None:
    """digest, source, own feed to own target, results to $syncResults, DELETE."""
    body = probe.source()
    sent = read_feed(body)
    with probe.job("$syncTarget") as job:
        expect(job.start(body, FEED_TYPE) is None, "the target answered 200 instead of 202")
        answer = job.result()
        expect_type(answer, FEED_TYPE)
        results = read_feed(answer.body)
        told = probe.send(
            "POST", "/$syncResults?runName=conformance&runStamp=1", answer.body, None, Content_Type=FEED_TYPE
        )
        expect(told.status == 200, f"$syncResults answered {told.status}")
        probe.send("DELETE", job.location)
        job.posted = False
    expect(len(results.entries) <= len(sent.entries), "there are more results than entries")
    for entry, result in zip(sent.entries, results.entries, strict=False):
        expect(result.status is not None and result.status < 300, f"{entry.id} was answered {result.status}")
        expect(result.uuid in ("", entry.uuid), "results are not in the order of the entries")
    expect(not results.head.diagnoses, "the result feed has a diagnosis at feed level, which stops old engines")


# 4. Functional --------------------------------------------------------------------------------------------------


@check(4, "an entry in the name of a foreign endpoint is applied and answered with its payload", writes=True)
def foreign_entry_is_applied(probe: Probe) -> None:
    """The first entry with state (foreign endpoint, tick + 1), a fresh stamp, a matching digest."""
    feed, entry = probe.first_entry()
    assert entry.state is not None
    assert feed.head.digest is not None
    stamp = stamp_of(datetime.now(UTC))
    tick = max(entry.state.tick, probe.digest().tick(FOREIGN)) + 1
    digest = with_entry(feed.head.digest, DigestEntry(FOREIGN, tick + 1, stamp, 1))
    posted = msgspec.structs.replace(entry, state=SyncState(FOREIGN, tick, stamp))
    head = FeedHead(id=FOREIGN, title="conformance", updated=stamp, mode=CATCH_UP, digest=digest)
    (result,) = read_feed(probe.target(write_feed(head, [posted]))).entries
    expect(result.status in (200, 201), f"the entry was answered {result.status}")
    expect(result.payload is not None and result.uuid == entry.uuid, "the result has no payload with the uuid")
    expect(probe.digest().tick(FOREIGN) >= tick + 1, "the digest did not take up the foreign endpoint")
