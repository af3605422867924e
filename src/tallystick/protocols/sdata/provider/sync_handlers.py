"""``$syncDigest``, ``$syncSource``, ``$syncTarget``, ``$syncResults`` (spec 3, 5 to 8, 13)."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Final

import msgspec

from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, SDataCode
from tallystick.protocols.sdata.codec.digests import Digest
from tallystick.protocols.sdata.codec.feeds import IMMEDIATE, Feed
from tallystick.protocols.sdata.codec.kinds import Kind
from tallystick.protocols.sdata.codec.names import SYNC_DIGEST
from tallystick.protocols.sdata.codec.tracking import Tracking
from tallystick.protocols.sdata.codec.urls import segment_url
from tallystick.protocols.sdata.provider.calls import Answer, Call, Refusal, answer_diagnoses, method_refused
from tallystick.protocols.sdata.provider.paging import page_asked
from tallystick.protocols.sdata.provider.runner import Runner
from tallystick.protocols.sdata.results import result_page, result_report
from tallystick.protocols.sdata.rules.standing import check_contiguous
from tallystick.protocols.sdata.store import Job, JobKind, JobState, SDataStore
from tallystick.protocols.sdata.sync_feeds import checked_page, source_page

LONGEST_TRACKING_ID: Final = 200
POLLING_MILLIS: Final = 200
"""Requests for a running job are held anyway, so callers may come back soon."""

FAILED_RETRY_AFTER: Final = 600
"""Seconds that a job which failed for want of patience asks for: it stays failed, only another one may fare better."""

_PHASES: Final = {
    JobKind.SOURCE: ("Selecting changes", "Scanning"),
    JobKind.TARGET: ("Applying changes", "Writing"),
    JobKind.BATCH: ("Applying batch", "Writing"),
}


def digest(call: Call) -> Answer:
    """``$syncDigest``: read by anybody who may synchronize, written by administrators only (C1, Q1)."""
    if not (call.kind.source or call.kind.target):
        raise _not_offered(call, SYNC_DIGEST)
    if call.method in ("PUT", "POST"):
        if not call.principal.allows("admin", call.kind.name):
            raise method_refused(call.method, "GET")
        found = call.store.write_digest(call.kind, call.digest())
    else:
        call.expect("GET", "PUT", "POST")
        call.require("sync")
        found = call.store.digest(call.kind)
    return call.answer_digest(found, _latest(found))


def _latest(found: Digest) -> str:
    return max((entry.stamp for entry in found.entries.values()), default="")


def _not_offered(call: Call, segment: str) -> Refusal:
    return Refusal(501, f"{call.kind.name} offers no {segment}", sdata=SDataCode.RESOURCE_KIND_NOT_FOUND)


# Jobs -----------------------------------------------------------------------------------------------------------


def job_identity(call: Call) -> str:
    """The job that a URL names, as ``('id')`` or as ``trackingID`` (C12); "" when it names none."""
    selector = call.target.segments[0].selector
    return (selector.key if selector is not None and selector.key else call.arguments.tracking_id).strip()


def source(call: Call, runner: Runner) -> Answer:
    """``$syncSource``: POST a digest, GET the delta, DELETE the job."""
    if not call.kind.source:
        raise _not_offered(call, JobKind.SOURCE.value)
    call.require("sync")
    if call.method == "POST":
        return _post_source(call, runner)
    return job_answer(call, JobKind.SOURCE)


def target(call: Call, runner: Runner) -> Answer:
    """``$syncTarget``: POST a feed page, GET its results, DELETE the job."""
    if not call.kind.target:
        raise _not_offered(call, JobKind.TARGET.value)
    call.require("sync")
    if call.method == "POST":
        return _post_target(call, runner)
    return job_answer(call, JobKind.TARGET)


def _post_source(call: Call, runner: Runner) -> Answer:
    identity = checked_identity(call)
    known = call.store.job(call.kind.name, JobKind.SOURCE, identity)
    if known is not None:
        return tracking_answer(call, known)
    posted = call.digest()
    runner.check_room(call.kind.name)
    job, new = call.store.add_job(new_job(call, JobKind.SOURCE, identity))
    if new:
        runner.submit(job, lambda running: call.store.freeze(call.kind, running, posted))
    return tracking_answer(call, job)


def _post_target(call: Call, runner: Runner) -> Answer:
    identity = job_identity(call)
    known = call.store.job(call.kind.name, JobKind.TARGET, identity) if identity else None
    if known is not None:
        return tracking_answer(call, known)
    feed = call.feed()
    _check_feed(call, feed)
    if not identity and feed.head.mode == IMMEDIATE:
        identity = str(uuid.uuid4())
    identity = checked_identity(call, identity)
    runner.check_room(call.kind.name)
    job, new = call.store.add_job(new_job(call, JobKind.TARGET, identity))
    if new:
        runner.submit(job, lambda running: _apply(call.store, call.kind, running, feed))
    return tracking_answer(call, job)


def _check_feed(call: Call, feed: Feed) -> None:
    """What can be refused before a job exists: an unusable feed, a gap (spec 3)."""
    _, incoming, immediate = checked_page(feed, own=call.store.digest(call.kind).origin)
    if immediate:
        check_contiguous(call.store.digest(call.kind), (entry.state for entry in incoming))


def _apply(store: SDataStore, kind: Kind, job: Job, feed: Feed) -> int:
    store.apply(kind, job, feed)
    return len(feed.entries)


def checked_identity(call: Call, identity: str | None = None) -> str:
    """The trackingID of a POST. Raises a Refusal with 400 when there is none or it is too long to keep."""
    identity = job_identity(call) if identity is None else identity
    if not identity:
        raise Refusal(
            400, "there is no trackingID", sdata=SDataCode.BAD_QUERY_PARAMETER, hint="send a new UUID as such"
        )
    if len(identity) > LONGEST_TRACKING_ID:
        raise Refusal(
            400, f"the trackingID has more than {LONGEST_TRACKING_ID} characters", sdata=SDataCode.BAD_QUERY_PARAMETER
        )
    return identity


def new_job(call: Call, kind: JobKind, identity: str) -> Job:
    """The job that a POST asks for, its body kept so that a restarted provider can go on."""
    run_name, run_stamp = call.arguments.run
    return Job(
        id=identity,
        resource_kind=call.kind.name,
        kind=kind,
        request=call.body,
        run_name=run_name[:200],
        run_stamp=run_stamp[:200],
        created=call.now,
        changed=call.now,
    )


def resume(call: Call, job: Job, runner: Runner) -> None:
    """Go on with a job that a stopped provider left behind. ``call`` carries the job's body."""
    if job.kind is JobKind.SOURCE:
        posted = call.digest()
        runner.submit(job, lambda running: call.store.freeze(call.kind, running, posted))
    elif job.kind is JobKind.TARGET:
        feed = call.feed()
        runner.submit(job, lambda running: _apply(call.store, call.kind, running, feed))


def find_job(call: Call, kind: JobKind) -> Job:
    """The job that the URL names. Raises a Refusal: 400 when it names none, 404, or 410 when it was deleted."""
    identity = job_identity(call)
    if not identity:
        raise Refusal(
            400, "the URL names no job", sdata=SDataCode.BAD_QUERY_PARAMETER, hint="use the Location of its 202"
        )
    job = call.store.job(call.kind.name, kind, identity)
    if job is None:
        gone = call.store.was_dropped(call.kind.name, kind, identity)
        raise Refusal(410 if gone else 404, f"there is no job {identity[:60]!r}{' any more' if gone else ''}")
    return job


def job_answer(call: Call, kind: JobKind) -> Answer:
    """GET and DELETE of a job."""
    call.expect("GET", "POST", "DELETE")
    job = find_job(call, kind)
    if call.method == "DELETE":
        call.store.drop_job(call.kind.name, kind, job.id)
        return Answer()
    if job.state is JobState.FAILED:
        later = {"Retry-After": str(FAILED_RETRY_AFTER)} if job.status == 503 else {}
        return answer_diagnoses(job.status, list(job.error) or [Diagnosis(message="the job failed")], call.form, later)
    if job.state is not JobState.DONE:
        return tracking_answer(call, job)
    call.store.change_job(msgspec.structs.replace(job, changed=call.now))
    return call.answer_feed(_source_page(call, job) if kind is JobKind.SOURCE else _result_page(call, job))


def tracking_answer(call: Call, job: Job) -> Answer:
    """202: where the job is and how far it is. A job that is done says so; its result is one GET away."""
    done = job.state in (JobState.DONE, JobState.FAILED)
    phase, detail = _PHASES[job.kind]
    if job.state is JobState.WAITING:
        phase, detail = "Waiting", "Other jobs come first"
    progress = Decimal(100) if done else Decimal(100 * job.done) / Decimal(job.total) if job.total else Decimal(0)
    tracking = Tracking(
        phase="Finished" if done else phase,
        phase_detail="" if done else f"{detail} {call.kind.name}",
        progress=progress,
        elapsed_seconds=max(int(call.now - job.created), 0),
        remaining_seconds=0 if done else 1,
        polling_millis=POLLING_MILLIS,
    )
    return call.answer_tracking(tracking, job_url(call, job))


def job_url(call: Call, job: Job) -> str:
    """The URL of a job: its Location, and the id of every page of its feed."""
    return segment_url(call.endpoint, job.kind.value, job.id)


def _source_page(call: Call, job: Job) -> Feed:
    start, count = page_asked(call)
    page = call.store.frozen(call.kind, job, start, count)
    return source_page(
        kind=call.kind.name,
        endpoint=call.endpoint,
        job_url=job_url(call, job),
        author=call.author,
        updated=call.stamp,
        digest=page.digest,
        resources=page.resources,
        total=page.total,
        start=start,
        count=count,
    )


def _result_page(call: Call, job: Job) -> Feed:
    start, count = page_asked(call)
    return result_page(
        kind=call.kind.name,
        endpoint=call.endpoint,
        job_url=job_url(call, job),
        author=call.author,
        updated=call.stamp,
        page=call.store.outcomes(call.kind, job, start, count),
        start=start,
        count=count,
        namespace=call.contract.namespace,
        element=call.kind.element,
    )


def results(call: Call) -> Answer:
    """``$syncResults``, with or without a selector: a page of results for the run log (spec 13)."""
    call.expect("POST")
    call.require("sync")
    run_name, run_stamp = call.arguments.run
    report = result_report(call.results(), run_name[:200], run_stamp[:200], call.stamp)
    call.store.keep_results(call.kind, report)
    return Answer()
