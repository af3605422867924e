"""The SData conformance checklist (spec/sdata.md 16), for any provider.

    python -m tallystick.testing.sdata http://host:5493/sdata/app/contract/-/accounts
    python -m tallystick.testing.sdata URL --write --user anna --password-env SDATA_PASSWORD --json

Without ``--write`` nothing but jobs is made, and those are deleted. ``--write`` adds checks that change sync states,
links and the digest of the provider: point them at a test dataset. Exit code 1 says that a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
from lxml import etree

from tallystick.errors import TallystickError
from tallystick.protocols.sdata.codec.digest_messages import DigestMessage, read_digest_message, write_digest_message
from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, digest_of, with_entry
from tallystick.protocols.sdata.codec.documents import parse_document
from tallystick.protocols.sdata.codec.entries import Entry, Link, write_entry_message
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, IMMEDIATE, Feed, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.names import ATOM, ENTRY_TYPE, FEED_TYPE, HTTP, OPENSEARCH, SDATA, SYNC
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.schema import read_schema
from tallystick.protocols.sdata.codec.stamps import stamp_of
from tallystick.protocols.sdata.codec.tracking import read_tracking
from tallystick.protocols.sdata.remote_jobs import Patience, Remote, RemoteJob, Run
from tallystick.protocols.sdata.transport import Credentials, HttpTransport, Response, Transport

FOREIGN: Final = "urn:tallystick:conformance"
"""The endpoint in whose name entries are posted back."""


class CheckFailed(AssertionError):
    """The provider does not do what the checklist asks for; the message says what it did."""


class CheckSkipped(Exception):
    """The provider has nothing to check this with; the message says what is missing."""


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Check(NamedTuple):
    """One check: its number in the checklist, what it asks for, whether it changes the provider."""

    number: int
    name: str
    writes: bool
    action: Callable[[Probe], None]


class Finding(NamedTuple):
    """What a check found."""

    number: int
    name: str
    verdict: Verdict
    detail: str = ""


CHECKS: list[Check] = []


def check(
    number: int, name: str, *, writes: bool = False
) -> Callable[[Callable[[Probe], None]], Callable[[Probe], None]]:
    """Register a check under its number in the checklist."""

    def register(action: Callable[[Probe], None]) -> Callable[[Probe], None]:
        CHECKS.append(Check(number, name, writes, action))
        return action

    return register


def expect(condition: object, message: str) -> None:
    """Raise CheckFailed with ``message`` unless ``condition`` holds."""
    if not condition:
        raise CheckFailed(message)


@dataclass
class Probe:
    """A provider under examination: its kind's collection URL and a way there."""

    endpoint: str
    transport: Transport
    run: Run = field(default_factory=lambda: Run("conformance", stamp_of(datetime.now(UTC))))

    def __post_init__(self) -> None:
        self.endpoint = self.endpoint.rstrip("/")

    @property
    def remote(self) -> Remote:
        """The provider as the engine sees it."""
        return Remote(self.endpoint, self.transport, Patience(job=120, busy=60))

    def get(self, url: str, status: int | None = 200, **headers: str) -> Response:
        """The answer to a GET, which must have ``status``."""
        return self.send("GET", url, b"", status, **headers)

    def send(self, method: str, url: str, body: bytes = b"", status: int | None = 200, **headers: str) -> Response:
        """The answer to a request; underscores in header names stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.transport.request(method, url if "://" in url else self.endpoint + url, named, body)
        if status is not None:
            expect(answer.status == status, f"{method} {url} answered {answer.status} instead of {status}")
        return answer

    def digest(self) -> Digest:
        """The provider's digest."""
        return read_digest_message(self.get("/$syncDigest").body)

    def job(self, segment: str) -> RemoteJob:
        """A job at the provider, deleted at the end of its ``with`` statement."""
        return RemoteJob(self.remote, segment, self.run)

    def source(self, known: Digest | None = None, arguments: str = "") -> bytes:
        """A page of what the source sends to somebody who knows ``known``: nothing at all by default."""
        with self.job("$syncSource") as job:
            answer = job.start(message_of(known or zeroed(self.digest())), ENTRY_TYPE) or job.result()
            return self.get(job.location + arguments).body if arguments else answer.body

    def target(self, body: bytes) -> bytes:
        """The results of a page posted to the target."""
        with self.job("$syncTarget") as job:
            return (job.start(body, FEED_TYPE) or job.result()).body

    def first_entry(self) -> tuple[Feed, Entry]:
        """The source's first page and a live entry on it. Raises CheckSkipped when there is none."""
        feed = read_feed(self.source())
        live = next((entry for entry in feed.entries if not entry.deleted and entry.payload is not None), None)
        if live is None:
            raise CheckSkipped("the kind has no live resource")
        return feed, live


def message_of(digest: Digest) -> bytes:
    """A digest as it is posted."""
    return write_digest_message(DigestMessage(digest, "conformance", stamp_of(datetime.now(UTC)), "conformance"))


def zeroed(digest: Digest) -> Digest:
    """The digest with all its ticks set to 0."""
    return Digest(FOREIGN, {key: entry._replace(tick=0) for key, entry in digest.entries.items()})


def run_checks(
    endpoint: str, transport: Transport, *, write: bool = False, told: Callable[[Finding], None] | None = None
) -> list[Finding]:
    """What every check finds at ``endpoint``; those that write only with ``write``."""
    findings = []
    for found in CHECKS:
        finding = _finding(found, Probe(endpoint, transport), write)
        findings.append(finding)
        if told is not None:
            told(finding)
    return findings


def _finding(found: Check, probe: Probe, write: bool) -> Finding:
    if found.writes and not write:
        return Finding(found.number, found.name, Verdict.SKIPPED, "changes the provider; allow it with --write")
    try:
        found.action(probe)
    except CheckSkipped as reason:
        return Finding(found.number, found.name, Verdict.SKIPPED, str(reason))
    except (CheckFailed, TallystickError) as error:
        return Finding(found.number, found.name, Verdict.FAILED, str(error))
    return Finding(found.number, found.name, Verdict.PASSED)


# What documents must contain ------------------------------------------------------------------------------------


def expect_type(answer: Response, prefix: str) -> None:
    """Old engines compare the beginning of the content type."""
    found = answer.headers.get("content-type", "")
    accepted = found.replace(";type", "; type").startswith(prefix)
    expect(accepted, f"the content type is {found!r} instead of {prefix!r}")


def expect_children(element: etree._Element, namespace: str, *names: str) -> None:
    """``element`` has each of these children."""
    for name in names:
        expect(element.find(f"{{{namespace}}}{name}") is not None, f"{local(element)} has no {name}")


def local(element: etree._Element) -> str:
    """The name of an element without its namespace."""
    return etree.QName(element).localname


def expect_digest(element: etree._Element) -> None:
    """A ``sync:digest`` with its parts in the sync namespace."""
    expect_children(element, SYNC, "origin", "digestEntry")
    for entry in element.findall(f"{{{SYNC}}}digestEntry"):
        expect_children(entry, SYNC, "endpoint", "tick", "stamp", "conflictPriority")
        expect(int(entry.findtext(f"{{{SYNC}}}tick", "")) >= 1, "a tick is below 1")
        priority = int(entry.findtext(f"{{{SYNC}}}conflictPriority", ""))
        expect(1 <= priority <= 9, f"the conflict priority {priority} is not between 1 and 9")


def expect_tracking(answer: Response) -> None:
    """202 as old engines want it: Location, application/xml, a tracking body with everything in it."""
    expect(answer.status == 202, f"the job was answered {answer.status} instead of 202")
    expect(answer.headers.get("location"), "the 202 has no Location")
    expect_type(answer, "application/xml")
    root = parse_document(answer.body)
    expect(root.tag == f"{{{SDATA}}}tracking", f"the body of the 202 is {root.tag}")
    expect_children(
        root, SDATA, "phase", "phaseDetail", "progress", "elapsedSeconds", "remainingSeconds", "pollingMillis"
    )
    for name in ("elapsedSeconds", "remainingSeconds", "pollingMillis"):
        text = root.findtext(f"{{{SDATA}}}{name}", "").strip()
        expect(text.isdigit(), f"{name} is {text!r}, which old engines cannot read as an integer")
    read_tracking(answer.body)


def expect_diagnoses(answer: Response, *statuses: int) -> None:
    """An error as it should be: one of ``statuses``, with diagnoses."""
    expect(answer.status in statuses, f"the error was answered {answer.status} instead of {statuses}")
    root = parse_document(answer.body)
    expect(
        root.tag in (f"{{{SDATA}}}diagnoses", f"{{{SDATA}}}diagnosis"), f"the body of the {answer.status} is {root.tag}"
    )


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
    for feed in _pages(probe, ""):
        assert feed.head.digest is not None
        for entry in feed.entries:
            assert entry.state is not None
            key, tick = entry.state.key, entry.state.tick
            expect(tick > last.get(key, -1), f"tick {tick} of {key} follows {last.get(key)}")
            expect(tick < feed.head.digest.tick(key), f"tick {tick} of {key} is not below the digest")
            last[key] = tick


def _pages(probe: Probe, arguments: str) -> list[Feed]:
    with probe.job("$syncSource") as job:
        answer = job.start(message_of(zeroed(probe.digest())), ENTRY_TYPE) or job.result()
        feeds = [read_feed(probe.get(job.location + arguments).body if arguments else answer.body)]
        while (following := feeds[-1].head.link("next")) is not None:
            feeds.append(read_feed(probe.get(probe.remote.resolved(job.location, following)).body))
            expect(len(feeds) < 100_000, "the pages never end")
        return feeds


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


# 5. Linking -----------------------------------------------------------------------------------------------------


@check(5, "a link is made, read, re-pointed and removed", writes=True)
def links(probe: Probe) -> None:
    """Create, read, re-point, delete; then it is gone, and the resource shows no uuid."""
    feed = read_feed(probe.get("?count=50").body)
    free = [entry for entry in feed.entries if entry.payload is not None and not entry.uuid and entry.payload.url]
    if len(free) < 2:
        raise CheckSkipped("there are no two resources without uuid")
    first, second, identity = free[0].payload, free[1].payload, str(uuid.uuid4())
    assert first is not None
    assert second is not None
    answer = probe.send("POST", "/$linked", _link(first, identity), 201, Content_Type=ENTRY_TYPE)
    expect(answer.headers.get("location"), "the 201 has no Location")
    found = read_feed(probe.get(f"/$linked('{identity}')").body).entries[0].payload
    expect(found is not None and found.uuid == identity and found.key == first.key, "the link does not read back")
    probe.send("PUT", f"/$linked('{identity}')", _link(second, identity), Content_Type=ENTRY_TYPE)
    found = read_feed(probe.get(f"/$linked('{identity}')").body).entries[0].payload
    expect(found is not None and found.key == second.key, "the link was not re-pointed")
    probe.send("DELETE", f"/$linked('{identity}')")
    gone = probe.get(f"/$linked('{identity}')", None)
    expect(gone.status in (404, 410), f"the removed link answered {gone.status}")
    for payload in (first, second):
        entry = read_feed(probe.get(payload.url).body).entries[0]
        expect(not entry.uuid, "a resource shows a uuid after its link was removed")


def _link(resource: Payload, identity: str) -> bytes:
    payload = Payload(resource.name, resource.namespace, uuid=identity, url=resource.url)
    return write_entry_message(Entry(title="link", payload=payload))


# 6. Paging ------------------------------------------------------------------------------------------------------


@check(6, "pages of ten chain from the first to the last and back")
def paging(probe: Probe) -> None:
    """count=10; first, next, previous, last."""
    feeds = _pages(probe, "?count=10")
    total = feeds[0].head.total
    expect(total == sum(len(feed.entries) for feed in feeds), "the pages do not add up to totalResults")
    expect(feeds[0].head.link("previous") is None, "the first page has a previous link")
    expect(feeds[-1].head.link("next") is None, "the last page has a next link")
    expect(
        all(feed.head.mode and feed.head.digest == feeds[0].head.digest for feed in feeds), "a page differs in digest"
    )
    if len(feeds) > 1:
        expect(all(feed.head.link("previous") for feed in feeds[1:]), "a later page has no previous link")
        expect(all(len(feed.entries) == len(feeds[0].entries) for feed in feeds[:-1]), "page sizes differ")


@check(6, "an ordinary feed pages too, and count=0 is an empty page with totals")
def counting(probe: Probe) -> None:
    """E3 counts resources and links so."""
    for path in ("?count=0", "/$linked?count=0"):
        feed = read_feed(probe.get(path).body)
        expect(not feed.entries, f"{path} has entries")
        expect(feed.head.total is not None, f"{path} has no totalResults")


# 7. Further -----------------------------------------------------------------------------------------------------


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


# The command ----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the provider that the command line names; 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tallystick.testing.sdata", description="SData conformance checks.")
    parser.add_argument("url", help="the collection URL of a resource kind")
    parser.add_argument("--write", action="store_true", help="also run checks that change the provider")
    parser.add_argument("--user")
    parser.add_argument("--password-env", metavar="NAME", help="the environment variable with the password")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    credentials = Credentials(given.user, os.environ.get(given.password_env or "", "")) if given.user else None
    transport = HttpTransport(given.url, credentials)
    try:
        told = None if given.json else _tell
        findings = run_checks(given.url, transport, write=given.write, told=told)
    finally:
        transport.close()
    counts = {verdict.value: sum(found.verdict is verdict for found in findings) for verdict in Verdict}
    if given.json:
        print(json.dumps({"url": given.url, **counts, "checks": [found._asdict() for found in findings]}, indent=2))
    else:
        print(", ".join(f"{count} {name}" for name, count in counts.items()))
    return 1 if counts[Verdict.FAILED] else 0


def _tell(finding: Finding) -> None:
    detail = f": {finding.detail}" if finding.detail else ""
    print(f"{finding.verdict.value:8}{finding.number}  {finding.name}{detail}")


if __name__ == "__main__":
    sys.exit(main())
