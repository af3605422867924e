"""A whole dataset in memory behind the store port: for tests, demonstrations and as the plainest example of the port.

It keeps what it is given in wire form and checks every value against the kind's types. One lock makes each call a
transaction. Nothing survives the process; a provider made anew over the same object sees what a restarted one would.
"""

from __future__ import annotations

import threading
import time
import uuid as uuids
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec

from tallystick.core.filters import predicate
from tallystick.errors import FilterError, TallystickError, ValueRejected
from tallystick.protocols.sdata.codec.digests import Digest, SyncState
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import Feed
from tallystick.protocols.sdata.codec.kinds import Contract, Kind
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.stamps import stamp_of_milliseconds
from tallystick.protocols.sdata.codec.values import from_wire
from tallystick.protocols.sdata.errors import ProviderBusy
from tallystick.protocols.sdata.merging import merged
from tallystick.protocols.sdata.querying import query_record, query_types, searchable, sorting
from tallystick.protocols.sdata.rules.application import apply_page
from tallystick.protocols.sdata.rules.conflicts import Verdict
from tallystick.protocols.sdata.rules.progress import assign, written
from tallystick.protocols.sdata.rules.selection import Head, select
from tallystick.protocols.sdata.rules.standing import Standing, new_standing
from tallystick.protocols.sdata.store import (
    Found,
    FrozenPage,
    Job,
    JobKind,
    JobState,
    LinkTaken,
    NoResource,
    Outcome,
    OutcomeKind,
    OutcomePage,
    Query,
    Resource,
    ResultReport,
    StaleETag,
)
from tallystick.protocols.sdata.sync_feeds import checked_page

DROPPED_REMEMBERED = 10_000


@dataclass(slots=True)
class _Shelf:
    """All that is kept of one kind."""

    standing: Standing
    by_key: dict[str, Resource] = field(default_factory=dict)
    by_uuid: dict[str, str] = field(default_factory=dict)
    results: list[ResultReport] = field(default_factory=list)
    next_key: int = 1


@dataclass(slots=True)
class _Kept:
    """A job with what it froze or brought about."""

    job: Job
    digest: Digest | None = None
    frozen: Sequence[Resource] = ()
    outcomes: Sequence[Outcome] | None = None


_JobName = tuple[str, JobKind, str]


class MemoryStore:
    """One dataset of one contract; ``base`` is its URL, from which every endpoint is named (5.1).

    ``reject`` may refuse a payload with a TallystickError, as an application's business rules would. ``clock`` gives
    Unix seconds.
    """

    def __init__(
        self,
        base: str,
        contract: Contract,
        *,
        clock: Callable[[], float] = time.time,
        reject: Callable[[Kind, Payload], None] | None = None,
    ) -> None:
        self.base = base.rstrip("/")
        self._contract = contract
        self._clock = clock
        self.reject = reject
        self._lock = threading.RLock()
        self._jobs: dict[_JobName, _Kept] = {}
        self._dropped: dict[_JobName, None] = {}
        self._shelves = {
            kind.name: _Shelf(new_standing(self.endpoint(kind), kind.priority, self._stamp()))
            for kind in contract.kinds
            if not kind.embedded
        }

    @property
    def contract(self) -> Contract:
        """The kinds served here."""
        return self._contract

    def endpoint(self, kind: Kind) -> str:
        """The collection URL of ``kind``."""
        return f"{self.base}/{kind.name}"

    def _stamp(self) -> str:
        return stamp_of_milliseconds(int(self._clock() * 1000))

    def shelf(self, kind: Kind) -> _Shelf:
        """All that is kept of ``kind``: for tests and demonstrations, which look behind the port."""
        return self._shelves[kind.name]

    # Synchronization ----------------------------------------------------------------------------------------------

    def digest(self, kind: Kind) -> Digest:
        """See `SDataStore.digest`."""
        return self._shelves[kind.name].standing.digest

    def write_digest(self, kind: Kind, digest: Digest) -> Digest:
        """See `SDataStore.write_digest`."""
        with self._lock:
            shelf = self._shelves[kind.name]
            shelf.standing = written(shelf.standing, digest, self._stamp())
            return shelf.standing.digest

    def freeze(self, kind: Kind, job: Job, posted: Digest) -> int:
        """See `SDataStore.freeze`."""
        with self._lock:
            kept, shelf = self._jobs[_name(job)], self._shelves[kind.name]
            if kept.digest is None:
                if shelf.standing.restoring:
                    raise ProviderBusy("this endpoint is being restored from a backup")
                self._name_unlinked(kind, shelf)
                heads = (Head(key, found.state) for key, found in shelf.by_key.items() if found.state is not None)
                chosen = select(posted, shelf.standing.digest, heads)
                kept.frozen = [shelf.by_key[head.uuid] for head in chosen]
                kept.digest = shelf.standing.digest
            return len(kept.frozen)

    def _name_unlinked(self, kind: Kind, shelf: _Shelf) -> None:
        for key, found in shelf.by_key.items():
            if found.state is None and not found.deleted:
                self._put(shelf, self._stamped(shelf, msgspec.structs.replace(found, key=key), new_uuid=True))

    def _stamped(self, shelf: _Shelf, resource: Resource, *, new_uuid: bool = False) -> Resource:
        """The resource as a local change leaves it; one that nobody knows by uuid needs no state yet (spec 11)."""
        if not resource.uuid and not new_uuid:
            return resource
        shelf.standing, state = assign(shelf.standing, resource.updated)
        return msgspec.structs.replace(resource, uuid=resource.uuid or str(uuids.uuid4()), state=state)

    def _put(self, shelf: _Shelf, resource: Resource) -> Resource:
        shelf.by_key[resource.key] = resource
        if resource.uuid:
            shelf.by_uuid[resource.uuid] = resource.key
        return resource

    def frozen(self, kind: Kind, job: Job, start: int, count: int) -> FrozenPage:
        """See `SDataStore.frozen`; here content is frozen too."""
        with self._lock:
            kept = self._jobs[_name(job)]
            assert kept.digest is not None, "freeze comes before frozen"
            return FrozenPage(kept.digest, len(kept.frozen), kept.frozen[start - 1 : start - 1 + count])

    def apply(self, kind: Kind, job: Job, feed: Feed) -> None:
        """See `SDataStore.apply`."""
        page, incoming, immediate = checked_page(feed, job.run_name, job.run_stamp, self.endpoint(kind))
        with self._lock:
            kept, shelf = self._jobs[_name(job)], self._shelves[kind.name]
            if kept.outcomes is not None:
                return
            before = [self._by_uuid(shelf, entry.uuid) for entry in incoming]
            problems: dict[int, TallystickError] = {}

            def current(uuid: str) -> SyncState | None:
                found = self._by_uuid(shelf, uuid)
                return None if found is None else found.state

            def attempt(index: int, verdict: Verdict) -> bool:
                before[index] = self._by_uuid(shelf, incoming[index].uuid)
                try:
                    self._take(kind, shelf, feed.entries[index])
                except TallystickError as error:
                    problems[index] = error
                    return False
                return True

            standing, decided = apply_page(
                shelf.standing, page, incoming, current, attempt, self._stamp(), immediate=immediate
            )
            shelf.standing = standing
            kept.outcomes = [
                _outcome(
                    entry,
                    decision.verdict,
                    before[index],
                    self._by_uuid(shelf, entry.uuid),
                    problems.get(index),
                )
                for index, (entry, decision) in enumerate(zip(feed.entries, decided, strict=True))
            ]
            kept.digest = standing.digest

    def _by_uuid(self, shelf: _Shelf, uuid: str) -> Resource | None:
        key = shelf.by_uuid.get(uuid)
        return None if key is None else shelf.by_key[key]

    def _take(self, kind: Kind, shelf: _Shelf, entry: Entry) -> None:
        payload, state = entry.payload, entry.state
        assert payload is not None
        assert state is not None
        held = self._by_uuid(shelf, payload.uuid)
        key = held.key if held is not None else self._free_key(shelf)
        if entry.deleted:
            name = payload.name or kind.element
            content = held.payload if held is not None else Payload(name, self._contract.namespace, uuid=payload.uuid)
        else:
            self._check(kind, payload)
            content = merged(held.payload if held is not None and not held.deleted else None, payload)
        resource = Resource(
            key=key,
            uuid=payload.uuid,
            title=entry.title or (held.title if held is not None else ""),
            updated=state.stamp,
            etag=_etag(content),
            deleted=entry.deleted,
            state=state,
            payload=content,
            extension=entry.extension,
        )
        self._put(shelf, resource)

    def _free_key(self, shelf: _Shelf) -> str:
        while str(shelf.next_key) in shelf.by_key:
            shelf.next_key += 1
        shelf.next_key += 1
        return str(shelf.next_key - 1)

    def _check(self, kind: Kind, payload: Payload) -> None:
        """Refuse values that do not fit their types; properties that the kind lacks are kept as they are (Q3)."""
        types = kind.values
        for name, value in payload.fields.items():
            known = types.get(name)
            if known is not None and (value is None or isinstance(value, str)):
                try:
                    from_wire(known, value)
                except ValueRejected as error:
                    raise ValueRejected(f"{name}: {error.message}", hint=error.hint) from error
        if self.reject is not None:
            self.reject(kind, payload)

    def outcomes(self, kind: Kind, job: Job, start: int, count: int) -> OutcomePage:
        """See `SDataStore.outcomes`."""
        with self._lock:
            kept = self._jobs[_name(job)]
            assert kept.outcomes is not None, "apply comes before outcomes"
            assert kept.digest is not None
            return OutcomePage(kept.digest, len(kept.outcomes), kept.outcomes[start - 1 : start - 1 + count])

    def keep_outcomes(self, kind: Kind, job: Job, outcomes: Sequence[Outcome]) -> None:
        """See `SDataStore.keep_outcomes`."""
        with self._lock:
            kept = self._jobs[_name(job)]
            if kept.outcomes is None:
                kept.outcomes = list(outcomes)
                kept.digest = self._shelves[kind.name].standing.digest

    def keep_results(self, kind: Kind, report: ResultReport) -> None:
        """See `SDataStore.keep_results`."""
        with self._lock:
            self._shelves[kind.name].results.append(report)

    # Jobs ---------------------------------------------------------------------------------------------------------

    def add_job(self, job: Job) -> tuple[Job, bool]:
        """See `SDataStore.add_job`."""
        with self._lock:
            known = self._jobs.get(_name(job))
            if known is not None:
                return known.job, False
            self._jobs[_name(job)] = _Kept(job)
            return job, True

    def job(self, resource_kind: str, kind: JobKind, identity: str) -> Job | None:
        """See `SDataStore.job`."""
        kept = self._jobs.get((resource_kind, kind, identity.lower()))
        return None if kept is None else kept.job

    def change_job(self, job: Job) -> None:
        """See `SDataStore.change_job`."""
        with self._lock:
            if _name(job) in self._jobs:
                self._jobs[_name(job)].job = job

    def drop_job(self, resource_kind: str, kind: JobKind, identity: str) -> bool:
        """See `SDataStore.drop_job`."""
        name = (resource_kind, kind, identity.lower())
        with self._lock:
            if self._jobs.pop(name, None) is None:
                return False
            self._dropped[name] = None
            while len(self._dropped) > DROPPED_REMEMBERED:
                self._dropped.pop(next(iter(self._dropped)))
            return True

    def was_dropped(self, resource_kind: str, kind: JobKind, identity: str) -> bool:
        """See `SDataStore.was_dropped`."""
        return (resource_kind, kind, identity.lower()) in self._dropped

    def open_jobs(self) -> Sequence[Job]:
        """See `SDataStore.open_jobs`."""
        with self._lock:
            return [kept.job for kept in self._jobs.values() if kept.job.state not in (JobState.DONE, JobState.FAILED)]

    def expire_jobs(self, before: float) -> int:
        """See `SDataStore.expire_jobs`."""
        with self._lock:
            old = [kept.job for kept in self._jobs.values() if kept.job.changed < before]
            return sum(self.drop_job(job.resource_kind, job.kind, job.id) for job in old)

    # Resources ----------------------------------------------------------------------------------------------------

    def find(self, kind: Kind, query: Query) -> Found:
        """See `SDataStore.find`."""
        with self._lock:
            live = [found for found in self._shelves[kind.name].by_key.values() if not found.deleted]
        types = query_types(kind)
        if query.where is not None:
            selects = predicate(query.where, types)
            live = [found for found in live if selects(query_record(kind, found))]
        if query.search:
            words = query.search.lower().split()
            live = [found for found in live if all(word in searchable(found) for word in words)]
        for name, descending in reversed(query.order):
            if name not in types:
                raise FilterError(f"there is no property {name!r}", hint=f"the properties are {', '.join(types)}")
            live.sort(key=sorting(kind, name), reverse=descending)
        return Found(len(live), live[query.start - 1 : query.start - 1 + query.count])

    def resource(self, kind: Kind, key: str) -> Resource:
        """See `SDataStore.resource`."""
        found = self._shelves[kind.name].by_key.get(key)
        if found is None or found.deleted:
            raise NoResource(f"there is no {kind.element} {key!r}", gone=found is not None)
        return found

    def create(self, kind: Kind, payload: Payload) -> tuple[Resource, bool]:
        """See `SDataStore.create`."""
        self._check(kind, payload)
        with self._lock:
            shelf = self._shelves[kind.name]
            held = self._by_uuid(shelf, payload.uuid) if payload.uuid else None
            if held is not None and not held.deleted:
                return held, False
            key = payload.key if payload.key and payload.key not in shelf.by_key else self._free_key(shelf)
            resource = Resource(
                key=held.key if held is not None else key,
                uuid=payload.uuid,
                title=_title(payload, key),
                updated=self._stamp(),
                etag=_etag(payload),
                payload=merged(None, payload),
            )
            return self._put(shelf, self._stamped(shelf, resource)), True

    def update(self, kind: Kind, key: str, payload: Payload, etag: str | None) -> Resource:
        """See `SDataStore.update`."""
        self._check(kind, payload)
        with self._lock:
            held = self.resource(kind, key)
            _check_etag(held, etag)
            content = merged(held.payload, payload)
            shelf = self._shelves[kind.name]
            changed = msgspec.structs.replace(
                held, payload=content, etag=_etag(content), updated=self._stamp(), title=_title(content, key)
            )
            return self._put(shelf, self._stamped(shelf, changed))

    def delete(self, kind: Kind, key: str, etag: str | None) -> None:
        """See `SDataStore.delete`."""
        with self._lock:
            held = self.resource(kind, key)
            _check_etag(held, etag)
            shelf = self._shelves[kind.name]
            buried = msgspec.structs.replace(held, deleted=True, updated=self._stamp())
            self._put(shelf, self._stamped(shelf, buried))

    # Links --------------------------------------------------------------------------------------------------------

    def linked(self, kind: Kind, start: int, count: int) -> Found:
        """See `SDataStore.linked`."""
        with self._lock:
            found = [found for found in self._shelves[kind.name].by_key.values() if found.uuid and not found.deleted]
        return Found(len(found), found[start - 1 : start - 1 + count])

    def by_uuid(self, kind: Kind, uuid: str) -> Resource:
        """See `SDataStore.by_uuid`."""
        found = self._by_uuid(self._shelves[kind.name], uuid.lower())
        if found is None or found.deleted:
            raise NoResource(f"no {kind.element} is linked to {uuid}", gone=found is not None)
        return found

    def link(self, kind: Kind, key: str, uuid: str) -> Resource:
        """See `SDataStore.link`."""
        with self._lock:
            held = self.resource(kind, key)
            shelf = self._shelves[kind.name]
            if held.uuid:
                if uuid and uuid != held.uuid:
                    raise LinkTaken(f"{kind.element} {key!r} is linked to {held.uuid}")
                return held
            if uuid and shelf.by_uuid.get(uuid) is not None:
                raise LinkTaken(f"{uuid} is linked to {kind.element} {shelf.by_uuid[uuid]!r}")
            return self._put(
                shelf, self._stamped(shelf, msgspec.structs.replace(held, uuid=uuid or str(uuids.uuid4())))
            )

    def relink(self, kind: Kind, uuid: str, key: str) -> Resource:
        """See `SDataStore.relink`."""
        with self._lock:
            old, new = self.by_uuid(kind, uuid), self.resource(kind, key)
            if old.key == new.key:
                return new
            if new.uuid:
                raise LinkTaken(f"{kind.element} {key!r} is linked to {new.uuid}")
            self.unlink(kind, uuid)
            return self.link(kind, key, uuid)

    def unlink(self, kind: Kind, uuid: str) -> None:
        """See `SDataStore.unlink`."""
        with self._lock:
            held = self.by_uuid(kind, uuid)
            shelf = self._shelves[kind.name]
            del shelf.by_uuid[held.uuid]
            payload = msgspec.structs.replace(held.payload, uuid="")
            shelf.by_key[held.key] = msgspec.structs.replace(held, uuid="", state=None, payload=payload)


def _name(job: Job) -> _JobName:
    return (job.resource_kind, job.kind, job.id.lower())


def _check_etag(held: Resource, etag: str | None) -> None:
    if etag is not None and etag != held.etag:
        raise StaleETag(f"resource {held.key!r} has changed since it was read", held)


def _etag(payload: Payload) -> str:
    return blake2b(msgspec.msgpack.encode(payload), digest_size=8).hexdigest()


def _title(payload: Payload, key: str) -> str:
    named = payload.fields.get("name")
    return named if isinstance(named, str) and named else payload.descriptor or key


def _outcome(
    entry: Entry, verdict: Verdict, before: Resource | None, after: Resource | None, problem: TallystickError | None
) -> Outcome:
    known = before is not None and not before.deleted
    if problem is not None:
        kind = OutcomeKind.FAILED
    elif verdict is Verdict.CONFLICT_LOST:
        kind = OutcomeKind.CONFLICT_LOST
    elif not verdict.applies:
        kind = OutcomeKind.IGNORED
    elif verdict is Verdict.CONFLICT_WON:
        kind = OutcomeKind.CONFLICT_WON
    elif entry.deleted:
        kind = OutcomeKind.DELETED if known else OutcomeKind.NOTHING_TO_DELETE
    else:
        kind = OutcomeKind.UPDATED if known else OutcomeKind.CREATED
    return Outcome(
        kind=kind,
        uuid=entry.uuid,
        title=entry.title,
        updated=entry.updated,
        deletion=entry.deleted,
        state=entry.state,
        resource=after,
        status=409 if isinstance(problem, ValueRejected) else 500,
        problem="" if problem is None else str(problem),
    )
