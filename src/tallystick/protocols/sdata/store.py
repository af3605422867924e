"""The port between the SData provider and whatever keeps the data (one dataset of one contract).

Every method may be called from any thread. Methods that change something return only after it is durable. A method
raises nothing but what it names, and `StorageError` and its kin, which the provider answers with 503 or 500.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from tallystick.core.filter_expressions import Expression
from tallystick.errors import TallystickError
from tallystick.protocols.sdata.codec.diagnoses import Diagnosis
from tallystick.protocols.sdata.codec.digests import Digest, SyncState
from tallystick.protocols.sdata.codec.feeds import Feed, read_feed
from tallystick.protocols.sdata.codec.kinds import Contract, Kind
from tallystick.protocols.sdata.codec.names import SYNC_SOURCE, SYNC_TARGET
from tallystick.protocols.sdata.codec.payloads import Payload


class Resource(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One resource as it is stored. ``uuid`` is "" and ``state`` None until it is linked or synchronized (spec 11).

    ``payload`` holds its fields and children, without key and url. ``updated`` is a stamp.
    """

    key: str
    uuid: str = ""
    title: str = ""
    updated: str = ""
    etag: str = ""
    deleted: bool = False
    state: SyncState | None = None
    payload: Payload
    extension: bytes | None = None


class NoResource(TallystickError):
    """There is no such resource; ``gone``: there was one (404 and 410)."""

    code = "sdata-no-resource"
    exit_code = 2
    default_hint = "list the resources of the kind to see which there are"

    def __init__(self, message: str, *, gone: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.gone = gone


class StaleETag(TallystickError):
    """The resource has changed since the caller read it (412); ``current`` is what it is now."""

    code = "sdata-stale-etag"
    exit_code = 2
    default_hint = "read the resource again and repeat the change on what it is now"

    def __init__(self, message: str, current: Resource) -> None:
        super().__init__(message)
        self.current = current


class LinkTaken(TallystickError):
    """A resource or a uuid is linked already, to something else (409)."""

    code = "sdata-link-taken"
    exit_code = 2
    default_hint = "delete or re-point the present link first"


class JobKind(StrEnum):
    """What a job does, by the segment that it was posted to."""

    SOURCE = SYNC_SOURCE
    TARGET = SYNC_TARGET
    BATCH = "$batch"


class JobState(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An asynchronous request (spec 3). ``request`` is its body, kept until it is done; times are Unix seconds.

    ``id`` is the caller's trackingID; ``done`` of ``total`` is its honest progress, 0 of 0 when nobody can tell.
    """

    id: str
    resource_kind: str
    kind: JobKind
    request: bytes = b""
    run_name: str = ""
    run_stamp: str = ""
    state: JobState = JobState.WAITING
    phase: str = ""
    done: int = 0
    total: int = 0
    created: float = 0.0
    changed: float = 0.0
    status: int = 200
    error: tuple[Diagnosis, ...] = ()


class FrozenPage(msgspec.Struct, frozen=True):
    """A page of a source job's snapshot: the digest and the number of resources frozen with it."""

    digest: Digest
    total: int
    resources: Sequence[Resource]


class OutcomeKind(StrEnum):
    """What became of an entry (spec 8)."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    NOTHING_TO_DELETE = "nothing-to-delete"
    IGNORED = "ignored"
    CONFLICT_WON = "conflict-won"
    CONFLICT_LOST = "conflict-lost"
    FAILED = "failed"
    NOT_PROCESSED = "not-processed"
    READ = "read"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one entry of a page: ``resource`` is what is stored now, None where nothing is.

    ``status`` and ``problem`` say how it failed; ``deletion`` whether the entry was one.
    """

    kind: OutcomeKind
    uuid: str = ""
    title: str = ""
    updated: str = ""
    deletion: bool = False
    state: SyncState | None = None
    resource: Resource | None = None
    status: int = 200
    problem: str = ""


class OutcomePage(msgspec.Struct, frozen=True):
    """A page of a target job's outcomes, with the target's digest after the job."""

    digest: Digest
    total: int
    outcomes: Sequence[Outcome]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which resources a feed shows. ``start`` is 1-based; ``order`` names properties, True for descending."""

    where: Expression | None = None
    search: str = ""
    order: tuple[tuple[str, bool], ...] = ()
    start: int = 1
    count: int = 100


class Found(msgspec.Struct, frozen=True):
    """One page of resources and how many match in all."""

    total: int
    resources: Sequence[Resource]


class ResultEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a target reported of one entry (spec 13)."""

    uuid: str
    method: str
    status: int
    message: str = ""
    location: str = ""
    etag: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()
    state: SyncState | None = None


class ResultReport(msgspec.Struct, frozen=True, kw_only=True):
    """One page posted to ``$syncResults``: its run and the endpoint whose results they are.

    ``count`` entries are in ``page``, a feed in XML, kept as it came: who posts results waits for nobody to read them.
    """

    run_name: str
    run_stamp: str
    endpoint: str
    received: str
    count: int
    page: bytes

    @property
    def entries(self) -> tuple[ResultEntry, ...]:
        """What was said of each entry, read from the page now.

        Raises MalformedMessage for an entry whose state or diagnosis cannot be read.
        """
        return tuple(
            ResultEntry(
                uuid=entry.uuid,
                method=entry.method,
                status=entry.status or 0,
                message=entry.message,
                location=entry.location,
                etag=entry.etag,
                diagnoses=entry.diagnoses,
                state=entry.state,
            )
            for entry in read_feed(self.page, bare=True).entries
        )


class SDataStore(Protocol):
    """What a provider needs of the data behind it."""

    @property
    def contract(self) -> Contract:
        """The kinds served here."""

    def endpoint(self, kind: Kind) -> str:
        """The collection URL of ``kind``: made from the configured base URL, it names this replica for ever (5.1)."""

    # Synchronization: spec 5 to 9 ---------------------------------------------------------------------------------

    def digest(self, kind: Kind) -> Digest:
        """The published digest, from the digest table alone; reading changes nothing (5.2)."""

    def write_digest(self, kind: Kind, digest: Digest) -> Digest:
        """The digest after an administrator raised ticks and set priorities (Q1); it ends a restore."""

    def freeze(self, kind: Kind, job: Job, posted: Digest) -> int:
        """Freeze digest and delta for a source job; the number of resources in it. Repeating it changes nothing.

        Local changes are noticed and unlinked resources named first (9.3). Raises ProviderBusy during a restore.
        """

    def frozen(self, kind: Kind, job: Job, start: int, count: int) -> FrozenPage:
        """A page of what was frozen. A resource that changed since may be missing: its new tick is in no digest yet."""

    def apply(self, kind: Kind, job: Job, feed: Feed) -> None:
        """Apply a page and keep its outcomes with the job, in one transaction; once per job.

        Raises MalformedMessage or TickGap when the page is unusable as a whole; nothing was changed then.
        """

    def outcomes(self, kind: Kind, job: Job, start: int, count: int) -> OutcomePage:
        """A page of what `apply` kept."""

    def keep_outcomes(self, kind: Kind, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Keep with a ``$batch`` job what became of its entries; once per job."""

    def keep_results(self, kind: Kind, report: ResultReport) -> None:
        """Add a page of results to the run log."""

    # Jobs: spec 3 -------------------------------------------------------------------------------------------------

    def add_job(self, job: Job) -> tuple[Job, bool]:
        """The job under this id, kind and resource kind, and whether it is new: one trackingID, one job."""

    def job(self, resource_kind: str, kind: JobKind, identity: str) -> Job | None:
        """The job, None when there is none (any more)."""

    def change_job(self, job: Job) -> None:
        """Store how far a job is. A job that was dropped meanwhile stays dropped."""

    def drop_job(self, resource_kind: str, kind: JobKind, identity: str) -> bool:
        """Forget a job with all it keeps; False when there is none."""

    def was_dropped(self, resource_kind: str, kind: JobKind, identity: str) -> bool:
        """True when such a job was dropped not long ago (410 instead of 404)."""

    def open_jobs(self) -> Sequence[Job]:
        """Jobs that are neither done nor failed: what a restarted provider goes on with."""

    def expire_jobs(self, before: float) -> int:
        """Drop jobs that nobody has touched since ``before``; how many."""

    # Resources: spec 12 -------------------------------------------------------------------------------------------

    def find(self, kind: Kind, query: Query) -> Found:
        """The live resources that a query selects. Raises FilterError for what does not fit the kind."""

    def resource(self, kind: Kind, key: str) -> Resource:
        """The live resource with this key. Raises NoResource."""

    def create(self, kind: Kind, payload: Payload) -> tuple[Resource, bool]:
        """A new resource, or the one that has the payload's uuid already, and whether it is new.

        Raises ValueRejected for values that do not fit.
        """

    def update(self, kind: Kind, key: str, payload: Payload, etag: str | None) -> Resource:
        """The resource after the payload's fields were written over it; absent ones stay (K 9).

        Raises NoResource, StaleETag when ``etag`` is given and not the present one, ValueRejected.
        """

    def delete(self, kind: Kind, key: str, etag: str | None) -> None:
        """Delete a resource; its tombstone stays. Raises NoResource, StaleETag."""

    # Links: spec 11 -----------------------------------------------------------------------------------------------

    def linked(self, kind: Kind, start: int, count: int) -> Found:
        """The resources that have a uuid."""

    def by_uuid(self, kind: Kind, uuid: str) -> Resource:
        """The live resource with this uuid. Raises NoResource."""

    def link(self, kind: Kind, key: str, uuid: str) -> Resource:
        """The resource under ``key`` once it has ``uuid`` ("": a new one, or the one it has).

        Raises NoResource, or LinkTaken when it has another, or another resource has this one.
        """

    def relink(self, kind: Kind, uuid: str, key: str) -> Resource:
        """The resource under ``key`` once ``uuid`` points at it, and at no other. Raises NoResource, LinkTaken."""

    def unlink(self, kind: Kind, uuid: str) -> None:
        """Remove the correlation, not the resource. Raises NoResource."""
