"""Jobs, spelling, errors, merging and the schema: 7 of the checklist (spec 16)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tallystick.protocols.sdata.codec.digests import DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, IMMEDIATE, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE, FEED_TYPE
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.schema import read_schema
from tallystick.protocols.sdata.codec.stamps import stamp_of
from tallystick.testing.sdata.checks import check
from tallystick.testing.sdata.documents import (
    expect_diagnoses,
    expect_tracking,
    expect_type,
)
from tallystick.testing.sdata.expecting import CheckSkipped, expect
from tallystick.testing.sdata.probe import FOREIGN, Probe, message_of, zeroed


@check(7, "one trackingID is one job, whose result can be read again and again")
def jobs_are_idempotent(probe: Probe) -> None:
    """Double POST, repeated GET."""
    with probe.job("$syncSource") as job:
        body = message_of(zeroed(probe.digest()))
        job.start(body, ENTRY_TYPE)
        one = read_feed(job.result().body)
        again = probe.send("POST", f"/$syncSource?trackingID={job.identity}", body, None, Content_Type=ENTRY_TYPE)
        expect_tracking(again)
        expect(again.headers["location"] == job.location, "the repeated POST made another job")
        expect(read_feed(job.result().body).entries == one.entries, "the second reading differs from the first")


@check(7, "both forms of the job URL work, and a second DELETE is 404 or 410")
def job_urls(probe: Probe) -> None:
    """('id') and ?trackingID=id (C12)."""
    with probe.job("$syncSource") as job:
        job.start(message_of(zeroed(probe.digest())), ENTRY_TYPE)
        job.result()
        for form in (f"('{job.identity}')", f"?trackingID={job.identity}", f"?TrackingId={job.identity}"):
            probe.get(f"/$syncSource{form}")
        probe.send("DELETE", f"/$syncSource?trackingid={job.identity}")
        again = probe.send("DELETE", f"/$syncSource('{job.identity}')", status=None)
        expect(again.status in (404, 410), f"the second DELETE answered {again.status}")


@check(7, "spelling does not matter: case, percent-encoding, double quotes")
def spelling(probe: Probe) -> None:
    """What observed clients send (spec 2)."""
    for path in ("/$syncdigest", "/$SyncDigest", "/%24syncDigest"):
        probe.get(path)
    with probe.job("$syncSource") as job:
        job.start(message_of(zeroed(probe.digest())), ENTRY_TYPE)
        job.result()
        for form in (f"/%24syncSource(%27{job.identity}%27)", f'/$syncsource("{job.identity}")'):
            probe.get(form.replace('"', "%22"))


@check(7, "bodies are read with a byte order mark and whatever their type says")
def leniency(probe: Probe) -> None:
    """L1 and E1 (spec 1, 3)."""
    body = b"\xef\xbb\xbf" + message_of(zeroed(probe.digest()))
    types: Sequence[Mapping[str, str]] = (
        {"Content_Type": "application/atom+xml"},
        {"Content_Type": "application/atom+xml;type=entry"},
        {"Content_Type": "text/xml"},
        {},
    )
    for headers in types:
        identity = str(uuid.uuid4())
        try:
            probe.send("POST", f"/$syncSource?trackingID={identity}", body, 202, **headers)
        finally:
            probe.send("DELETE", f"/$syncSource('{identity}')", status=None)


@check(7, "unusable requests are 400 with a diagnosis")
def bad_requests(probe: Probe) -> None:
    """No trackingID, no digest, no XML, a DOCTYPE, no syncMode."""
    good = message_of(zeroed(probe.digest()))
    empty = write_feed(FeedHead(id=FOREIGN, title="x", digest=None, mode=CATCH_UP), [])
    modeless = write_feed(FeedHead(id=FOREIGN, title="x", digest=digest_of(FOREIGN, [DigestEntry(FOREIGN, 1)])), [])
    doctype = good.replace(b"<entry ", b"<!DOCTYPE entry [<!ENTITY a 'b'>]><entry ", 1)
    for path, body in (
        ("/$syncSource", good),
        (f"/$syncSource?trackingID={uuid.uuid4()}", b"not xml"),
        (f"/$syncSource?trackingID={uuid.uuid4()}", b"<entry xmlns='http://www.w3.org/2005/Atom'/>"),
        (f"/$syncSource?trackingID={uuid.uuid4()}", doctype),
        (f"/$syncTarget?trackingID={uuid.uuid4()}", empty),
        (f"/$syncTarget?trackingID={uuid.uuid4()}", modeless),
    ):
        expect_diagnoses(probe.send("POST", path, body, None, Content_Type="application/atom+xml"), 400)


@check(7, "an unknown kind, job or method is an error with a diagnosis")
def unknown_things(probe: Probe) -> None:
    """404 for what is not there, 405 with Allow for what cannot be done."""
    dataset = parent_of(probe.endpoint)
    expect_diagnoses(probe.get(f"{dataset}/no{uuid.uuid4().hex}", None), 404)
    expect_diagnoses(probe.get(f"/$syncSource('{uuid.uuid4()}')", None), 404, 410)
    answer = probe.send("DELETE", "/$syncDigest", status=None)
    expect(answer.status in (403, 405, 501), f"DELETE $syncDigest answered {answer.status}")
    expect(answer.status != 405 or "allow" in answer.headers, "the 405 has no Allow")


def parent_of(url: str) -> str:
    """The URL one level up."""
    return url.rpartition("/")[0]


@check(7, "an immediate feed with a gap is refused with 400")
def immediate_gap(probe: Probe) -> None:
    """The target insists on contiguous ticks (9.5)."""
    known = probe.digest().tick(FOREIGN)
    stamp = stamp_of(datetime.now(UTC))
    state = SyncState(FOREIGN, max(known, 1) + 5, stamp)
    payload = Payload("resource", "urn:x", uuid=str(uuid.uuid4()), deleted=True)
    head = FeedHead(
        id=FOREIGN, mode=IMMEDIATE, digest=digest_of(FOREIGN, [DigestEntry(FOREIGN, state.tick + 1, stamp, 9)])
    )
    body = write_feed(head, [Entry(id="x", title="x", updated=stamp, state=state, payload=payload)])
    answer = probe.send("POST", f"/$syncTarget?trackingID={uuid.uuid4()}", body, None, Content_Type=FEED_TYPE)
    expect_diagnoses(answer, 400)
    expect(probe.digest().tick(FOREIGN) == known, "the refused feed moved the digest")


@check(7, "digests merge after the last page, with or without entries, and never go down", writes=True)
def empty_feed_merges(probe: Probe) -> None:
    """A page with a next link merges nothing, the last one does (spec 7)."""
    stamp = stamp_of(datetime.now(UTC))
    tick = max(probe.digest().tick(FOREIGN), 1) + 3

    def post(reached: int, links: tuple[Link, ...] = ()) -> int:
        digest = digest_of(FOREIGN, [DigestEntry(FOREIGN, reached, stamp, 9)])
        head = FeedHead(id=f"{FOREIGN}:{uuid.uuid4()}", mode=CATCH_UP, digest=digest, links=links)
        probe.target(write_feed(head, []))
        return probe.digest().tick(FOREIGN)

    expect(post(tick, (Link("next", f"{probe.endpoint}/next", FEED_TYPE),)) < tick, "a page with a next link merged")
    expect(post(tick) == tick, "the last page did not merge")
    expect(post(1) == tick, "the digest went down")


@check(7, "POST may stand for DELETE")
def method_override(probe: Probe) -> None:
    """X-HTTP-Method-Override (K 9.1, 10.1)."""
    with probe.job("$syncSource") as job:
        job.start(message_of(zeroed(probe.digest())), ENTRY_TYPE)
        job.result()
        probe.send("POST", f"/$syncSource('{job.identity}')", X_HTTP_Method_Override="DELETE")
        gone = probe.get(f"/$syncSource('{job.identity}')", None)
        expect(gone.status in (404, 410), f"the deleted job answered {gone.status}")
        job.posted = False


@check(7, "the schema names the kind and what it synchronizes")
def schema(probe: Probe) -> None:
    """$schema of the dataset (spec 12)."""
    answer = probe.get(f"{parent_of(probe.endpoint)}/$schema", None)
    if answer.status in (404, 501):
        raise CheckSkipped("the provider has no $schema")
    expect_type(answer, "application/xml")
    kind = read_schema(answer.body).kind(probe.endpoint.rpartition("/")[2])
    expect(kind is not None, "the schema does not name the kind")
    expect(kind is not None and (kind.source or kind.target), "the kind is neither sync source nor sync target")
