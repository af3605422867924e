"""``$batch``: many changes in one request, at once or as a job (spec 12 *Batch*; K 13)."""

from __future__ import annotations

import msgspec

from tallystick.errors import TallystickError, ValueRejected
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import Feed
from tallystick.protocols.sdata.codec.names import BATCH, LINKED
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.urls import segment_url
from tallystick.protocols.sdata.provider.calls import Answer, Call, Refusal, status_of_error
from tallystick.protocols.sdata.provider.link_handlers import key_given, key_in_url, link
from tallystick.protocols.sdata.provider.resource_handlers import etag_given, posted_payload
from tallystick.protocols.sdata.provider.runner import Runner
from tallystick.protocols.sdata.provider.sync_handlers import (
    checked_identity,
    job_answer,
    job_identity,
    new_job,
    tracking_answer,
)
from tallystick.protocols.sdata.results import result_page
from tallystick.protocols.sdata.store import Job, JobKind, NoResource, Outcome, OutcomeKind, OutcomePage, Resource


def batch(call: Call, runner: Runner) -> Answer:
    """POST a feed of changes; with a trackingID it becomes a job, read and deleted like every other."""
    call.require("write")
    if call.method != "POST":
        return job_answer(call, JobKind.BATCH)
    if not job_identity(call):
        feed = _checked(call)
        return call.answer_feed(_answer_page(call, run_batch(call, feed)))
    identity = checked_identity(call)
    known = call.store.job(call.kind.name, JobKind.BATCH, identity)
    if known is not None:
        return tracking_answer(call, known)
    feed = _checked(call)
    runner.check_room(call.kind.name)
    job, new = call.store.add_job(new_job(call, JobKind.BATCH, identity))
    if new:
        submit(call, job, feed, runner)
    return tracking_answer(call, job)


def submit(call: Call, job: Job, feed: Feed, runner: Runner) -> None:
    """Run a batch as a job. Repeated after a restart it repeats what was done, which uuids and etags make harmless."""

    def work(running: Job) -> int:
        outcomes = run_batch(call, feed)
        call.store.keep_outcomes(call.kind, running, outcomes)
        return len(outcomes)

    runner.submit(job, work)


def _checked(call: Call) -> Feed:
    feed = call.feed()
    for number, entry in enumerate(feed.entries, 1):
        if entry.method not in ("", "GET", "POST", "PUT", "DELETE"):
            raise Refusal(400, f"entry {number} asks for {entry.method[:20]!r}", hint="use GET, POST, PUT or DELETE")
    return feed


def _answer_page(call: Call, outcomes: list[Outcome]) -> Feed:
    page = OutcomePage(call.store.digest(call.kind), len(outcomes), outcomes)
    found = result_page(
        kind=call.kind.name,
        endpoint=call.endpoint,
        job_url=segment_url(call.endpoint, BATCH),
        author=call.author,
        updated=call.stamp,
        page=page,
        start=1,
        count=max(len(outcomes), 1),
        namespace=call.contract.namespace,
        element=call.kind.element,
    )
    return Feed(
        msgspec.structs.replace(found.head, title=f"{call.kind.name} batch results", digest=None), found.entries
    )


def run_batch(call: Call, feed: Feed) -> list[Outcome]:
    """What became of each entry; one that fails stops no other."""
    do = _link if call.target.segment == LINKED else _change
    return [_attempted(call, entry, do) for entry in feed.entries]


def _attempted(call: Call, entry: Entry, do: object) -> Outcome:
    try:
        return do(call, entry)  # type: ignore[operator, no-any-return]
    except TallystickError as error:
        status, _ = status_of_error(error)
        return Outcome(
            kind=OutcomeKind.FAILED,
            uuid=entry.uuid,
            title=entry.title,
            updated=call.stamp,
            deletion=entry.deleted,
            status=status,
            problem=str(error),
        )


def _change(call: Call, entry: Entry) -> Outcome:
    method = "DELETE" if entry.deleted else entry.method or "POST"
    if method == "POST":
        payload = posted_payload(call, entry)
        resource, new = call.store.create(call.kind, payload)
        return _outcome(call, OutcomeKind.CREATED if new else OutcomeKind.UPDATED, resource)
    key = _key(call, entry)
    etag = etag_given(entry.if_match or call.headers.get("if-match"))
    if method == "GET":
        return _outcome(call, OutcomeKind.READ, call.store.resource(call.kind, key))
    if method == "DELETE":
        call.store.delete(call.kind, key, etag)
        return Outcome(kind=OutcomeKind.DELETED, uuid=entry.uuid, title=entry.title, updated=call.stamp, deletion=True)
    if not entry.if_match:
        raise ValueRejected("PUT in a batch needs http:ifMatch", hint="send the etag that the resource had when read")
    return _outcome(call, OutcomeKind.UPDATED, call.store.update(call.kind, key, posted_payload(call, entry), etag))


def _key(call: Call, entry: Entry) -> str:
    """The resource that a batch entry means: by the payload's key, url or uuid, or the entry's id."""
    payload = entry.payload or Payload("")
    found = payload.key or key_in_url(payload.url, call.kind.name) or key_in_url(entry.id, call.kind.name)
    if found:
        return found
    if payload.uuid:
        return call.store.by_uuid(call.kind, payload.uuid).key
    raise NoResource("the entry names no resource", hint="send its id, sdata:key, sdata:url or sdata:uuid")


def _link(call: Call, entry: Entry) -> Outcome:
    if entry.deleted:
        call.store.unlink(call.kind, entry.uuid)
        return Outcome(kind=OutcomeKind.DELETED, uuid=entry.uuid, title=entry.title, updated=call.stamp, deletion=True)
    if entry.method == "PUT":
        return _outcome(call, OutcomeKind.UPDATED, call.store.relink(call.kind, entry.uuid, key_given(call, entry)))
    if entry.method == "GET":
        return _outcome(call, OutcomeKind.READ, call.store.by_uuid(call.kind, entry.uuid))
    return _outcome(call, OutcomeKind.CREATED, link(call, entry))


def _outcome(call: Call, kind: OutcomeKind, resource: Resource) -> Outcome:
    return Outcome(
        kind=kind,
        uuid=resource.uuid,
        title=resource.title,
        updated=resource.updated or call.stamp,
        state=resource.state,
        resource=resource,
    )
