"""The result feed: what a target answers, what a source keeps of it (spec 8, 13). Pure."""

from __future__ import annotations

import re

from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, Severity
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import Feed, FeedHead, ResultsTold
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.urls import resource_url
from tallystick.protocols.sdata.store import Outcome, OutcomeKind, OutcomePage, Resource, ResultReport
from tallystick.protocols.sdata.sync_feeds import paging_links

_MESSAGES = {
    OutcomeKind.IGNORED: (Severity.INFO, "ignored: this end has this version or a newer one"),
    OutcomeKind.NOTHING_TO_DELETE: (Severity.INFO, "there was nothing to delete; the deletion is remembered"),
    OutcomeKind.CONFLICT_WON: (Severity.WARNING, "conflict: the incoming version replaced a concurrent one"),
    OutcomeKind.CONFLICT_LOST: (Severity.WARNING, "conflict: a concurrent version of this end was kept"),
    OutcomeKind.NOT_PROCESSED: (Severity.TRANSIENT, "not processed: the page was given up before this entry"),
}
REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
}


def result_page(
    *,
    kind: str,
    endpoint: str,
    job_url: str,
    author: str,
    updated: str,
    page: OutcomePage,
    start: int,
    count: int,
    namespace: str,
    element: str,
) -> Feed:
    """A page of a target job's results, in the order of the request, with the target's digest."""
    head = FeedHead(
        id=job_url,
        title=f"{kind} synchronization result feed",
        updated=updated,
        author=author,
        links=paging_links(job_url, page.total, start, count),
        total=page.total,
        start=start,
        per_page=count,
        digest=page.digest,
    )
    stub = Payload(element, namespace)
    return Feed(head, [result_entry(outcome, endpoint, stub) for outcome in page.outcomes])


def result_entry(outcome: Outcome, endpoint: str, stub: Payload) -> Entry:
    """The entry for one outcome, by the table of spec 8; ``stub`` gives a deleted resource its element."""
    resource = outcome.resource
    url = "" if resource is None else resource_url(endpoint, resource.key)
    status = status_of(outcome)
    method = method_of(outcome)
    return Entry(
        id=url,
        title=outcome.title if resource is None else resource.title or outcome.title,
        updated=outcome.updated,
        links=(Link("self", url, ENTRY_TYPE),) if url and not _gone(outcome) else (),
        status=status,
        message=outcome.problem or REASONS.get(status, "Error"),
        method=method,
        location=url if outcome.kind is OutcomeKind.CREATED else "",
        etag="" if resource is None or _gone(outcome) else resource.etag,
        state=outcome.state if resource is None else resource.state,
        diagnoses=_diagnoses(outcome),
        payload=_payload(outcome, url, stub),
        extension=None,
    )


def status_of(outcome: Outcome) -> int:
    """The HTTP status that an outcome is reported with."""
    if outcome.kind is OutcomeKind.FAILED:
        return outcome.status if outcome.status >= 400 else 500
    if outcome.kind is OutcomeKind.NOT_PROCESSED:
        return 503
    return 409 if outcome.kind is OutcomeKind.CONFLICT_LOST else 200


def method_of(outcome: Outcome) -> str:
    """What was done, or would have been: POST, PUT, DELETE, or GET in a batch."""
    if outcome.deletion or outcome.kind is OutcomeKind.READ:
        return "DELETE" if outcome.deletion else "GET"
    created = outcome.kind is OutcomeKind.CREATED
    failed_creation = outcome.kind is OutcomeKind.FAILED and outcome.resource is None
    return "POST" if created or failed_creation else "PUT"


def _gone(outcome: Outcome) -> bool:
    return outcome.resource is None or outcome.resource.deleted


def _diagnoses(outcome: Outcome) -> tuple[Diagnosis, ...]:
    if outcome.kind is OutcomeKind.FAILED:
        severity = Severity.TRANSIENT if status_of(outcome) == 503 else Severity.ERROR
        return (Diagnosis(severity=severity, message=outcome.problem or "the entry could not be applied"),)
    found = _MESSAGES.get(outcome.kind)
    return () if found is None else (Diagnosis(severity=found[0], message=found[1]),)


def _payload(outcome: Outcome, url: str, stub: Payload) -> Payload:
    if _gone(outcome):
        uuid = outcome.uuid
        return Payload(stub.name, stub.namespace, uuid=uuid, deleted=outcome.deletion or outcome.resource is not None)
    assert outcome.resource is not None
    return stored_payload(outcome.resource, url)


def stored_payload(resource: Resource, url: str) -> Payload:
    """The payload of a stored resource with all its identity: uuid, key and url."""
    payload = resource.payload
    return Payload(payload.name, payload.namespace, payload.fields, resource.uuid, resource.key, url)


def result_report(told: ResultsTold, run_name: str, run_stamp: str, received: str) -> ResultReport:
    """What a source keeps of a page posted to ``$syncResults``; the endpoint is taken from the feed's id (13)."""
    endpoint = result_endpoint(told.head)
    return ResultReport(
        run_name=run_name,
        run_stamp=run_stamp,
        endpoint=endpoint,
        received=received,
        count=told.entries,
        page=told.page,
    )


def result_endpoint(head: FeedHead) -> str:
    """The endpoint whose job a result feed comes from: its id up to ``/$syncTarget``; the digest's origin else."""
    found = _TARGET.search(head.id)
    if found is not None:
        return head.id[: found.start()]
    return head.digest.origin if head.digest is not None else ""


_TARGET = re.compile(r"/(\$|%24)syncTarget", re.IGNORECASE)
