"""A site behind the port `SDataStore`: one dataset whose kinds are the site's tracked tables.

Every call borrows an open replica of the site; those that write hold its writing lock and commit before they return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from tallystick.core.policies import ALL_METHODS, Method
from tallystick.errors import UnknownResource, UsageError
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.sdata.codec.digests import Digest, with_entry
from tallystick.protocols.sdata.codec.documents import DEFAULT_LIMITS
from tallystick.protocols.sdata.codec.feeds import Feed
from tallystick.protocols.sdata.codec.kinds import Contract, Kind
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.stamps import stamp_of_milliseconds
from tallystick.protocols.sdata.rules.progress import written
from tallystick.protocols.sdata.site import children, freezing, jobs, resources, standings
from tallystick.protocols.sdata.site.forms import Form, forms
from tallystick.protocols.sdata.site.nests import nests, nests_like
from tallystick.protocols.sdata.site.place import Place
from tallystick.protocols.sdata.site.results import add_report, note_run, reports
from tallystick.protocols.sdata.site.tables import ROOM, STEPS
from tallystick.protocols.sdata.site.taking import Taking
from tallystick.protocols.sdata.store import (
    Found,
    FrozenPage,
    Job,
    JobKind,
    JobState,
    Outcome,
    OutcomeKind,
    OutcomePage,
    Query,
    Resource,
    ResultReport,
)
from tallystick.protocols.sdata.sync_feeds import checked_extract, checked_page, is_extract
from tallystick.site.editing import lock_keys
from tallystick.site.engines.engine import Rejected
from tallystick.site.ledger import Ledger
from tallystick.site.retrying import retry
from tallystick.site.stamping import stamp
from tallystick.sync.uncollected import uncollected

PRIORITY: Final = 5
"""The conflict priority of a site that says nothing: neither wish to win nor to lose (spec 5.1)."""

_digests = msgspec.msgpack.Decoder(tuple[Digest, int])
_encoder = msgspec.msgpack.Encoder()
_Done = TypeVar("_Done")


class SiteStore:
    """One dataset: the tables that a site tracks. ``base`` is the dataset's URL, which names every endpoint for ever.

    ``name`` and ``namespace`` are the contract's; ``priority`` is the conflict priority of all kinds, 1 to 9.
    ``spelling`` is another end's contract whose spelling of names is used. ``nest`` names tables whose rows are lists
    inside the resources of another, as ``parent.child``; those called like lists of ``spelling`` are, too. Raises
    ConfigurationError where that cannot be.
    """

    def __init__(
        self,
        pool: Pool,
        base: str,
        name: str,
        namespace: str,
        *,
        priority: int = PRIORITY,
        spelling: Contract | None = None,
        nest: Sequence[str] = (),
    ) -> None:
        self.base = base.rstrip("/")
        self._pool = pool
        self._name, self._namespace, self._priority = name, namespace, priority
        self._spelling, self._nest = spelling, nest
        self._catalog = ""
        self._contract = Contract(name=name, namespace=namespace)
        self._forms: dict[str, Form] = {}
        self._by_wire: dict[str, Form] = {}
        self._running: set[tuple[str, str, str]] = set()
        with self._borrowed() as ledger, pool.writing:
            ledger.require(ROOM, STEPS)

    # The contract -------------------------------------------------------------------------------------------------

    @property
    def contract(self) -> Contract:
        """The kinds served here: as many as the site tracked tables when it was last asked."""
        return self._contract

    def refreshed(self) -> Contract:
        """The kinds served here as the site is now."""
        with self._borrowed():
            return self._contract

    def endpoint(self, kind: Kind) -> str:
        """See `SDataStore.endpoint`."""
        return f"{self.base}/{kind.name}"

    @contextmanager
    def _borrowed(self) -> Iterator[Ledger]:
        with self._pool.borrowed() as replica:
            ledger = replica.ledger
            catalog = ledger.meta("catalog")
            if catalog != self._catalog:
                definitions = [tracked.definition for tracked in ledger.resources()]
                alike = nests_like(definitions, self._spelling) if self._spelling is not None else ()
                inside = nests(definitions, [*self._nest, *alike])
                contract, made = forms(definitions, self._name, self._namespace, self._priority, self._spelling, inside)
                self._forms, self._by_wire = {form.kind.name: form for form in made.values()}, made
                self._contract, self._catalog = contract, catalog
            yield ledger

    def _place(self, ledger: Ledger, kind: Kind) -> Place:
        form = self._forms.get(kind.name)
        if form is None or not ledger.has(form.wire):
            raise UnknownResource(f"{kind.name} is not served any more", hint="look at $schema for what is")
        tracked = ledger.resource(form.wire)
        names = standings.Names(ledger, tracked, self.endpoint(kind))
        nested = {name: self._place(ledger, self._by_wire[nest.child.wire].kind) for name, nest in form.lists.items()}
        return Place(ledger, tracked, form, names, self._namespace, nested)

    def _read(self, kind: Kind, ask: Callable[[Place], _Done]) -> _Done:
        """Ask in one snapshot; what the application wrote is stamped first."""
        with self._borrowed() as ledger:
            if ledger.engine.query("SELECT 1 FROM tally_mark LIMIT 1"):
                with self._pool.writing, ledger.write():
                    stamp(ledger)
            with ledger.engine.read():
                return ask(self._place(ledger, kind))

    def _write(self, kind: Kind, act: Callable[[Place], _Done]) -> _Done:
        with uncollected(), self._borrowed() as ledger, self._pool.writing, ledger.write():
            stamp(ledger)
            return act(self._place(ledger, kind))

    # Synchronization ----------------------------------------------------------------------------------------------

    def digest(self, kind: Kind) -> Digest:
        """See `SDataStore.digest`."""
        with self._borrowed() as ledger, ledger.engine.read():
            place = self._place(ledger, kind)
            kept = standings.stored(ledger, place.names, self._priority)
            return kept.standing.digest._replace(names=place.names.told())

    def write_digest(self, kind: Kind, digest: Digest) -> Digest:
        """See `SDataStore.write_digest`."""

        def act(place: Place) -> Digest:
            standings.begin(place.ledger, place.names, self._priority)
            kept = standings.stored(place.ledger, place.names, self._priority)
            kept.standing = written(kept.standing, digest, stamp_of_milliseconds(place.ledger.now()))
            standings.decided(place.ledger, kept)
            standings.save(place.ledger, place.names, kept)
            return kept.standing.digest

        return self._write(kind, act)

    def freeze(self, kind: Kind, job: Job, posted: Digest) -> int:
        """See `SDataStore.freeze`."""

        def act(place: Place) -> int:
            held = jobs.part(place.ledger, job, jobs.HEAD)
            if held is not None:
                return _digests.decode(held)[1]
            digest, heads = freezing.freeze(place, posted, self._priority)
            jobs.keep(place.ledger, job, jobs.HEAD, _encoder.encode((digest, len(heads))))
            for start in range(0, len(heads), freezing.PART):
                part = freezing.encode_heads(heads[start : start + freezing.PART])
                jobs.keep(place.ledger, job, start, part)
            note_run(place.ledger, job, "sdata source", posted.origin, len(heads))
            self._end(place.ledger, job, len(heads))
            return len(heads)

        return self._write(kind, act)

    def _end(self, ledger: Ledger, job: Job, total: int) -> None:
        """The job ends with the transaction that does its work."""
        done = msgspec.structs.replace(job, state=JobState.DONE, done=total, total=total, changed=ledger.now() / 1000)
        jobs.change(ledger, done)

    def frozen(self, kind: Kind, job: Job, start: int, count: int) -> FrozenPage:
        """See `SDataStore.frozen`."""
        with uncollected(), self._borrowed() as ledger, ledger.engine.read():
            held = jobs.part(ledger, job, jobs.HEAD)
            assert held is not None, "freeze comes before frozen"
            digest, total = _digests.decode(held)
            first, last = start - 1, min(start - 1 + count, total)
            heads: list[freezing.Head] = []
            if first < last:
                begin = first // freezing.PART * freezing.PART
                for at, raw in jobs.parts(ledger, job, begin, last - 1):
                    part = freezing.decode_heads(raw)
                    heads.extend(part[max(first - at, 0) : last - at])
            place = self._place(ledger, kind)
            found = freezing.thawed(place, heads) if heads else []
        if place.unnamed:
            found = self._write(kind, lambda place: freezing.thawed(place, heads, name=True))
        return FrozenPage(digest, total, found)

    def own_changes(self, kind: Kind, held: Digest, most: int) -> tuple[Digest, list[Resource]]:
        """The digest, and at most so many changes made here that a target with digest ``held`` lacks, ticks ascending.

        What others made is left to catch-up passes.
        """

        def act(place: Place) -> tuple[Digest, list[Resource]]:
            children.notice(place)
            standings.begin(place.ledger, place.names, self._priority)
            kept = standings.stored(place.ledger, place.names, self._priority)
            digest, own = kept.standing.digest, kept.standing.own
            known = with_entry(digest, digest.entries[own]._replace(tick=held.tick(own)))
            frozen, heads = freezing.freeze(place, known._replace(names=held.names), self._priority)
            return frozen, freezing.thawed(place, heads[:most], name=True)

        return self._write(kind, act)

    def apply(self, kind: Kind, job: Job, feed: Feed) -> None:
        """See `SDataStore.apply`."""

        def act(place: Place, refuse: str) -> None:
            if jobs.part(place.ledger, job, jobs.HEAD) is not None:
                return
            page, incoming, immediate = checked_page(feed, job.run_name, job.run_stamp, place.names.own)
            now = stamp_of_milliseconds(place.ledger.now())
            taking = Taking(place, feed, page, incoming, immediate, self._priority, now, job.run_name, refuse)
            digest, outcomes = taking.take()
            if page.last:
                retry(place.ledger)
            jobs.keep(place.ledger, job, jobs.HEAD, _encoder.encode((digest, len(outcomes))))
            jobs.keep_outcomes(place.ledger, job, outcomes)
            refused = sum(one.kind in _REFUSED for one in outcomes)
            note_run(place.ledger, job, "sdata target", page.digest.origin, len(outcomes), refused)
            self._end(place.ledger, job, len(outcomes))

        self._take(kind, feed, act)

    def _take(self, kind: Kind, feed: Feed, act: Callable[[Place, str], _Done]) -> _Done:
        """Take a page, once more without writing rows where the database refused them only at the commit."""
        with self._borrowed() as ledger:
            lock_keys(ledger, self._place(ledger, kind).tracked, [entry.uuid for entry in feed.entries])
        try:
            return self._write(kind, lambda place: act(place, ""))
        except Rejected as refused:
            why = str(refused)
            return self._write(kind, lambda place: act(place, why))

    def received(self, kind: Kind, feed: Feed, run: str = "", strategy: frozenset[Method] = ALL_METHODS) -> OutcomePage:
        """Apply a sync feed, or an extract of one, that came by another way than a job; what became of its entries.

        What ``strategy`` lacks is held and not shown. An extract leaves the digest as it is. Raises MalformedMessage,
        TickGap, or UsageError for less than all methods where resources hold lists; nothing was changed then.
        """

        def act(place: Place, refuse: str) -> OutcomePage:
            if place.nested and strategy != ALL_METHODS:
                raise UsageError(
                    f"{kind.name} hold lists, which come and go with them: no strategy but all methods can be kept",
                    hint="leave the strategy out",
                )
            extract, own = is_extract(feed), place.names.own
            page, incoming, immediate = checked_extract(feed, run, own) if extract else checked_page(feed, run, own=own)
            now = stamp_of_milliseconds(place.ledger.now())
            taking = Taking(
                place, feed, page, incoming, immediate, self._priority, now, run, refuse, strategy, not extract
            )
            digest, outcomes = taking.take()
            retry(place.ledger)
            return OutcomePage(digest, len(outcomes), _with_resources(place, outcomes))

        return self._take(kind, feed, act)

    def extract(
        self, kind: Kind, wanted: Callable[[Resource], bool], start: int = 1, count: int | None = None
    ) -> tuple[Digest, list[Resource]]:
        """The digest, and what a target that knows nothing would get of the resources that are ``wanted``.

        From the ``start``-th on (1-based), ``count`` of them, at most one more than a message holds. Raises
        ProviderBusy during a restore.
        """
        most = DEFAULT_LIMITS.entries + 1 if count is None else min(count, DEFAULT_LIMITS.entries + 1)

        def act(place: Place) -> tuple[Digest, list[Resource]]:
            digest, heads = freezing.freeze(place, Digest("", {}), self._priority)
            found = (
                resource
                for at in range(0, len(heads), freezing.PART)
                for resource in freezing.thawed(place, heads[at : at + freezing.PART], name=True)
                if wanted(resource)
            )
            return digest, list(islice(found, start - 1, start - 1 + most))

        return self._write(kind, act)

    def outcomes(self, kind: Kind, job: Job, start: int, count: int) -> OutcomePage:
        """See `SDataStore.outcomes`."""
        with uncollected(), self._borrowed() as ledger, ledger.engine.read():
            held = jobs.part(ledger, job, jobs.HEAD)
            kept = jobs.outcomes(ledger, job)
            assert held is not None, "apply comes before outcomes"
            assert kept is not None, "apply comes before outcomes"
            digest, total = _digests.decode(held)
            page = kept[start - 1 : start - 1 + max(count, 0)]
            return OutcomePage(digest, total, _with_resources(self._place(ledger, kind), page))

    def keep_outcomes(self, kind: Kind, job: Job, outcomes: Sequence[Outcome]) -> None:
        """See `SDataStore.keep_outcomes`."""

        def act(place: Place) -> None:
            if jobs.part(place.ledger, job, jobs.HEAD) is None:
                kept = standings.stored(place.ledger, place.names, self._priority)
                head = (kept.standing.digest, len(outcomes))
                jobs.keep(place.ledger, job, jobs.HEAD, _encoder.encode(head))
                jobs.keep_outcomes(place.ledger, job, outcomes)

        self._write(kind, act)

    def keep_results(self, kind: Kind, report: ResultReport) -> None:
        """See `SDataStore.keep_results`. A page without entries tells nothing and is not kept."""
        if not report.count:
            return
        with self._borrowed() as ledger, self._pool.writing, ledger.engine.write():
            add_report(ledger, kind.name, report)

    def results(self, run_name: str = "") -> list[ResultReport]:
        """The pages of results that were posted here, oldest first; only those of a run when given."""
        with self._borrowed() as ledger:
            return [report for _, report in reports(ledger, run_name)]

    # Jobs ---------------------------------------------------------------------------------------------------------

    def add_job(self, job: Job) -> tuple[Job, bool]:
        """See `SDataStore.add_job`."""
        with self._borrowed() as ledger, self._pool.writing, ledger.engine.write():
            return jobs.add(ledger, job)

    def job(self, resource_kind: str, kind: JobKind, identity: str) -> Job | None:
        """See `SDataStore.job`."""
        name = (resource_kind, kind.value, identity.lower())
        with self._borrowed() as ledger:
            found = jobs.find(ledger, name)
        if found is not None and found.state is JobState.WAITING and name in self._running:
            return msgspec.structs.replace(found, state=JobState.RUNNING)
        return found

    def change_job(self, job: Job) -> None:
        """See `SDataStore.change_job`. Work ends its job itself, and that it runs is known to who runs it."""
        if job.state is JobState.RUNNING:
            self._running.add(jobs.named(job))
            return
        self._running.discard(jobs.named(job))
        with self._borrowed() as ledger:
            known = jobs.find(ledger, jobs.named(job))
            if known is None:
                return
            done = known.state is JobState.DONE and job.state is JobState.DONE
            if done and job.changed - known.changed < _TOUCH_SECONDS:
                return
            with self._pool.writing, ledger.engine.write():
                jobs.change(ledger, job)

    def drop_job(self, resource_kind: str, kind: JobKind, identity: str) -> bool:
        """See `SDataStore.drop_job`."""
        with self._borrowed() as ledger, self._pool.writing, ledger.engine.write():
            return jobs.drop(ledger, (resource_kind, kind.value, identity.lower()))

    def was_dropped(self, resource_kind: str, kind: JobKind, identity: str) -> bool:
        """See `SDataStore.was_dropped`."""
        with self._borrowed() as ledger:
            return jobs.was_dropped(ledger, (resource_kind, kind.value, identity.lower()))

    def open_jobs(self) -> Sequence[Job]:
        """See `SDataStore.open_jobs`."""
        with self._borrowed() as ledger:
            return jobs.open_jobs(ledger)

    def expire_jobs(self, before: float) -> int:
        """See `SDataStore.expire_jobs`."""
        with self._borrowed() as ledger, self._pool.writing, ledger.engine.write():
            return jobs.expire(ledger, before)

    # Resources and links ------------------------------------------------------------------------------------------

    def find(self, kind: Kind, query: Query) -> Found:
        """See `SDataStore.find`."""
        return self._read(kind, lambda place: resources.found(place, query))

    def resource(self, kind: Kind, key: str) -> Resource:
        """See `SDataStore.resource`."""
        return self._read(kind, lambda place: resources.one(place, key))

    def create(self, kind: Kind, payload: Payload) -> tuple[Resource, bool]:
        """See `SDataStore.create`."""
        return self._write(kind, lambda place: resources.create(place, payload))

    def update(self, kind: Kind, key: str, payload: Payload, etag: str | None) -> Resource:
        """See `SDataStore.update`."""
        return self._write(kind, lambda place: resources.update(place, key, payload, etag))

    def delete(self, kind: Kind, key: str, etag: str | None) -> None:
        """See `SDataStore.delete`."""
        self._write(kind, lambda place: resources.delete(place, key, etag))

    def linked(self, kind: Kind, start: int, count: int) -> Found:
        """See `SDataStore.linked`."""
        return self._read(kind, lambda place: resources.linked(place, start, count))

    def by_uuid(self, kind: Kind, uuid: str) -> Resource:
        """See `SDataStore.by_uuid`."""
        return self._read(kind, lambda place: resources.by_uuid(place, uuid))

    def link(self, kind: Kind, key: str, uuid: str) -> Resource:
        """See `SDataStore.link`."""
        return self._write(kind, lambda place: resources.link(place, key, uuid))

    def relink(self, kind: Kind, uuid: str, key: str) -> Resource:
        """See `SDataStore.relink`."""
        return self._write(kind, lambda place: resources.relink(place, uuid, key))

    def unlink(self, kind: Kind, uuid: str) -> None:
        """See `SDataStore.unlink`."""
        self._write(kind, lambda place: resources.unlink(place, uuid))


_REFUSED: Final = (OutcomeKind.FAILED, OutcomeKind.CONFLICT_LOST)
_TOUCH_SECONDS: Final = 60.0
"""How often it is noted that somebody reads a job that is done."""


def _with_resources(place: Place, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes with what is stored now of their resources."""
    keys, entries = place.links.found([one.uuid for one in outcomes if one.uuid])
    found = dict(zip(entries, place.resources(list(entries.values()), full=False), strict=True))
    made: list[Any] = []
    for one in outcomes:
        resource = found.get(keys.get(one.uuid, ""))
        made.append(msgspec.structs.replace(one, resource=resource) if resource is not None else one)
    return made
