from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec.digests import Digest, SyncState
from tallystick.protocols.sdata.codec.documents import Limits
from tallystick.protocols.sdata.codec.entries import Entry, write_entry_message
from tallystick.protocols.sdata.codec.feeds import Feed, FeedHead, check_results, read_feed, results_told, write_feed
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.errors import MalformedMessage, MessageTooLarge
from tallystick.protocols.sdata.results import (
    result_endpoint,
    result_entry,
    result_page,
    result_report,
    stored_payload,
)
from tallystick.protocols.sdata.store import Outcome, OutcomeKind, OutcomePage, Resource

A = "http://a/accounts"
U1 = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"
STATE = SyncState(A, 12, "2026-03-02T07:41:18Z")
STUB = Payload("account", "http://crm")
LIVE = Resource(
    key="412", uuid=U1, title="x", etag="4f", state=STATE, payload=Payload("account", "http://crm", {"name": "x"}, U1)
)
DEAD = Resource(key="412", uuid=U1, title="x", state=STATE, deleted=True, payload=STUB)


@pytest.mark.parametrize(
    ("outcome", "status", "method", "severity"),
    (
        (Outcome(kind=OutcomeKind.CREATED, resource=LIVE), 200, "POST", None),
        (Outcome(kind=OutcomeKind.UPDATED, resource=LIVE), 200, "PUT", None),
        (Outcome(kind=OutcomeKind.READ, resource=LIVE), 200, "GET", None),
        (Outcome(kind=OutcomeKind.DELETED, resource=DEAD, deletion=True), 200, "DELETE", None),
        (Outcome(kind=OutcomeKind.NOTHING_TO_DELETE, resource=DEAD, deletion=True), 200, "DELETE", "info"),
        (Outcome(kind=OutcomeKind.IGNORED, resource=LIVE), 200, "PUT", "info"),
        (Outcome(kind=OutcomeKind.CONFLICT_WON, resource=LIVE), 200, "PUT", "warning"),
        (Outcome(kind=OutcomeKind.CONFLICT_LOST, resource=LIVE), 409, "PUT", "warning"),
        (Outcome(kind=OutcomeKind.FAILED, status=409, problem="p"), 409, "POST", "error"),
        (Outcome(kind=OutcomeKind.FAILED, status=503, problem="p", resource=LIVE), 503, "PUT", "transient"),
        (Outcome(kind=OutcomeKind.FAILED, status=200), 500, "POST", "error"),
        (Outcome(kind=OutcomeKind.NOT_PROCESSED), 503, "PUT", "transient"),
    ),
)
def test_every_outcome_has_its_status_method_and_diagnosis(
    outcome: Outcome, status: int, method: str, severity: str | None
) -> None:
    entry = result_entry(outcome, A, STUB)
    assert (entry.status, entry.method) == (status, method)
    assert [found.severity for found in entry.diagnoses] == ([] if severity is None else [severity])
    assert entry.message


def test_a_created_resource_has_location_etag_and_everything_stored() -> None:
    entry = result_entry(Outcome(kind=OutcomeKind.CREATED, uuid=U1, resource=LIVE), A, STUB)
    assert (entry.location, entry.id, entry.etag, entry.state) == (f"{A}('412')", f"{A}('412')", "4f", STATE)
    assert entry.payload == stored_payload(LIVE, f"{A}('412')")
    assert entry.payload is not None
    assert (entry.payload.key, entry.payload.url, entry.payload.uuid) == ("412", f"{A}('412')", U1)


def test_a_deleted_resource_is_a_stub_without_links() -> None:
    entry = result_entry(Outcome(kind=OutcomeKind.DELETED, uuid=U1, resource=DEAD, deletion=True), A, STUB)
    assert entry.payload == Payload("account", "http://crm", uuid=U1, deleted=True)
    assert (entry.links, entry.etag) == ((), "")


def test_a_page_has_digest_totals_and_no_diagnosis_of_its_own() -> None:
    outcomes = [Outcome(kind=OutcomeKind.FAILED, uuid=U1, problem="p")] * 3
    feed = result_page(
        kind="accounts",
        endpoint=A,
        job_url=f"{A}/$syncTarget('x')",
        author="",
        updated="",
        page=OutcomePage(Digest(A, {}), 9, outcomes),
        start=4,
        count=3,
        namespace="http://crm",
        element="account",
    )
    assert (feed.head.total, feed.head.start, feed.head.per_page, len(feed.entries)) == (9, 4, 3, 3)
    assert feed.head.digest == Digest(A, {})
    assert feed.head.diagnoses == ()
    assert feed.head.link("next") == f"{A}/$syncTarget('x')?startIndex=7&count=3"


@pytest.mark.parametrize(
    "identity", (f"{A}/$syncTarget('x')", f"{A}/$synctarget('x')", f"{A}/%24syncTarget(%27x%27)", f"{A}/$syncTarget")
)
def test_the_endpoint_of_results_is_in_their_id(identity: str) -> None:
    assert result_endpoint(FeedHead(id=identity)) == A


def test_the_endpoint_of_results_is_else_the_origin_of_their_digest() -> None:
    assert result_endpoint(FeedHead(id="urn:x", digest=Digest(A, {}))) == A
    assert result_endpoint(FeedHead(id="urn:x")) == ""


def test_a_report_keeps_what_was_said_of_each_entry_and_the_page_itself() -> None:
    entry = Entry(status=409, message="no", method="PUT", location="l", etag="e", state=STATE, payload=LIVE.payload)
    told = results_told(Feed(FeedHead(id=f"{A}/$syncTarget('x')"), [entry]))
    report = result_report(told, "nightly", "1", "now")
    (kept,) = report.entries
    assert (kept.uuid, kept.status, kept.message, kept.method, kept.state) == (U1, 409, "no", "PUT", STATE)
    assert (report.endpoint, report.run_name, report.run_stamp, report.count) == (A, "nightly", "1", 1)


def test_a_page_is_looked_at_before_it_is_kept_as_it_came() -> None:
    entry = Entry(status=200, method="PUT", state=STATE, payload=LIVE.payload)
    page = write_feed(FeedHead(id="x"), [entry, entry])
    assert check_results(page)[1:] == (2, page)
    assert read_feed(check_results(write_entry_message(entry)).page).entries[0].status == 200
    for damaged in (
        page.replace(b"<http:httpStatus>200</http:httpStatus>", b"", 1),
        page.replace(b"<http:httpStatus>200<", b"<http:httpStatus>20x<", 1),
        page.replace(U1.encode(), b"no-uuid"),
        page[:-9],
        write_entry_message(Entry(payload=LIVE.payload)),
    ):
        with pytest.raises(MalformedMessage):
            check_results(damaged)
    with pytest.raises(MessageTooLarge):
        check_results(page, Limits(entries=1))
