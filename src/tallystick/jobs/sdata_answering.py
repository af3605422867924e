"""The passive half of the adapter face for SData: one feed as the answer to a pull, and feeds taken in as a push."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO
from uuid import uuid4

from msgspec.structs import replace

from tallystick.core.filter_expressions import Expression
from tallystick.core.filters import evaluate
from tallystick.core.policies import ALL_METHODS, Method
from tallystick.core.values import Logical, fold
from tallystick.errors import FilterError, UnknownResource, ValueRejected
from tallystick.jobs.adapter import Answer
from tallystick.jobs.answering import Asked, conditions_met, least_stamp
from tallystick.jobs.log import Result
from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, write_diagnoses
from tallystick.protocols.sdata.codec.documents import DEFAULT_LIMITS
from tallystick.protocols.sdata.codec.entries import Entry
from tallystick.protocols.sdata.codec.feeds import Feed, FeedHead, read_feed, write_feed
from tallystick.protocols.sdata.codec.kinds import Kind
from tallystick.protocols.sdata.codec.names import BATCH, FEED_TYPE, SYNC_SOURCE, SYNC_TARGET
from tallystick.protocols.sdata.codec.stamps import stamp_of
from tallystick.protocols.sdata.codec.urls import segment_url
from tallystick.protocols.sdata.errors import MalformedMessage, MessageTooLarge
from tallystick.protocols.sdata.provider.application import Settings
from tallystick.protocols.sdata.querying import query_record, query_types
from tallystick.protocols.sdata.remote_jobs import Remote
from tallystick.protocols.sdata.results import result_page
from tallystick.protocols.sdata.site.direct import DirectTransport
from tallystick.protocols.sdata.site.standings import stamp_of_state
from tallystick.protocols.sdata.store import Resource
from tallystick.protocols.sdata.sync_feeds import checked_extract, checked_page, extract_feed, is_extract, source_page

_AUTHOR = Settings().author
_METHODS = {"POST": Method.CREATE, "PUT": Method.UPDATE, "DELETE": Method.DELETE}


def answered_refusal(result: Result, message: str) -> Answer:
    """The answer to what cannot be answered: an error of the peer, which is told why in a diagnosis."""
    response = write_diagnoses([Diagnosis(message=f"failed: {message}")])
    return Answer(status=result.value, remote=True, message=message, response=response)


@dataclass(frozen=True, slots=True)
class Answering:
    """A site that answers a peer. ``run`` is the name that its log knows what is received by."""

    transport: DirectTransport
    run: str

    def send(self, asked: Asked) -> tuple[bytes, int]:
        """The feed that is asked for, and how many records are in it.

        Raises UnknownResource, FilterError, ValueRejected for a time or count that is none, MessageTooLarge, and
        ProviderBusy while the site waits for its peers after a restore.
        """
        kind, store = self._kind(asked.resource), self.transport.store
        if min(asked.start or 0, asked.limit or 0) < 0:
            raise ValueRejected("start and limit are counts from 0 on")
        wanted = _wanted(kind, asked)
        digest, resources = store.extract(kind, wanted, (asked.start or 0) + 1, asked.limit)
        if len(resources) > DEFAULT_LIMITS.entries:
            raise MessageTooLarge(
                f"{kind.name} has more than {DEFAULT_LIMITS.entries} records", hint="ask for fewer with start and limit"
            )
        endpoint, updated = store.endpoint(kind), stamp_of(datetime.now(UTC))
        if asked.is_extract or asked.filters:
            feed = extract_feed(
                kind=kind.name, endpoint=endpoint, author=_AUTHOR, updated=updated, digest=digest, resources=resources
            )
        else:
            feed = source_page(
                kind=kind.name,
                endpoint=endpoint,
                job_url=segment_url(endpoint, SYNC_SOURCE, str(uuid4())),
                author=_AUTHOR,
                updated=updated,
                digest=digest,
                resources=resources,
                total=len(resources),
                start=1,
                count=max(len(resources), 1),
            )
        return _bounded(write_feed(feed.head, feed.entries)), len(feed.entries)

    def receive(
        self, source: Sequence[IO[bytes]], resource: str, strategy: frozenset[Method] = ALL_METHODS
    ) -> tuple[bytes, int]:
        """The result feed of what was taken, and how many entries were not.

        Raises UnknownResource, MalformedMessage and MessageTooLarge for a document that is none, before any is applied;
        UsageError where the strategy cannot be kept; what the store raises.
        """
        kind = self._kind(resource)
        own = self.transport.store.digest(kind).origin
        feeds = [_checked(read_feed(one.read(DEFAULT_LIMITS.size + 1)), kind, own) for one in source]
        if not feeds:
            raise MalformedMessage("there is no feed", hint="give at least one document")
        head, entries = FeedHead(), list[Entry]()
        for feed in feeds:
            take = self._changed if feed.head.digest is None else self._taken
            results = take(kind, feed, strategy)
            head = results.head
            entries += results.entries
        total = len(entries)
        head = replace(head, links=head.links[:1], total=total, start=1, per_page=total)
        return write_feed(head, entries), sum((entry.status or 0) >= 400 for entry in entries)

    def _kind(self, resource: str) -> Kind:
        """The kind that a table, kind or element is called like. Raises UnknownResource."""
        for kind in self.transport.store.refreshed().served:
            if fold(resource) in (fold(kind.name), fold(kind.element)):
                return kind
        raise UnknownResource(f"there is no resource {resource!r} here")

    def _taken(self, kind: Kind, feed: Feed, strategy: frozenset[Method]) -> Feed:
        store = self.transport.store
        page = store.received(kind, feed, self.run, strategy)
        endpoint = store.endpoint(kind)
        return result_page(
            kind=kind.name,
            endpoint=endpoint,
            job_url=segment_url(endpoint, SYNC_TARGET),
            author=_AUTHOR,
            updated=stamp_of(datetime.now(UTC)),
            page=page,
            start=1,
            count=max(page.total, 1),
            namespace=store.contract.namespace,
            element=kind.element,
        )

    def _changed(self, kind: Kind, feed: Feed, strategy: frozenset[Method]) -> Feed:
        """A batch through our own provider. What the strategy lacks is left out: no digest claims it."""
        remote = Remote(self.transport.store.endpoint(kind), self.transport)
        url = segment_url(remote.endpoint, BATCH)
        wanted = [entry for entry in feed.entries if _method(entry) in strategy]
        answer = remote.send("POST", url, write_feed(feed.head, wanted), FEED_TYPE)
        return read_feed(remote.expected(answer, url, 200).body)


def _method(entry: Entry) -> Method:
    return Method.DELETE if entry.deleted else _METHODS[entry.method]


def _wanted(kind: Kind, asked: Asked) -> Callable[[Resource], bool]:
    """Whether a resource is asked for. A deletion fits no filter, as it has no values."""
    least, types = least_stamp(asked.since), query_types(kind)
    filters = _filters(kind, asked)

    def wanted(resource: Resource) -> bool:
        if resource.state is None or stamp_of_state(resource.state) < least:
            return False
        if not filters:
            return True
        record = query_record(kind, resource)
        return not resource.deleted and all(evaluate(one, record, types) for one in filters)

    return wanted


def _filters(kind: Kind, asked: Asked) -> list[Expression]:
    known: dict[str, tuple[str, Logical]] = {}
    for name, logical in kind.values.items():
        known[fold(name)] = known[name] = (name, logical)
    found = []
    for table, conditions in asked.filters.items():
        if table not in ("", "~") and fold(table) not in (fold(kind.name), fold(kind.element)):
            raise FilterError(f"a filter names {table!r}, which is not asked for")
        found.append(conditions_met(kind.name, known, conditions))
    return found


def _checked(feed: Feed, kind: Kind, own: str) -> Feed:
    """A feed that can be taken at the endpoint ``own``. Raises MalformedMessage for another."""
    for number, entry in enumerate(feed.entries, 1):
        if entry.payload is not None and fold(entry.payload.name) != fold(kind.element):
            raise MalformedMessage(f"entry {number} is a {entry.payload.name[:60]!r}, not a {kind.element!r}")
        if feed.head.digest is None and not entry.deleted and entry.method not in _METHODS:
            raise MalformedMessage(
                f"entry {number} says neither what it replaces nor what is to be done with it",
                hint="send a sync feed, or one with http:httpMethod in its entries",
            )
    if feed.head.digest is not None:
        (checked_extract if is_extract(feed) else checked_page)(feed, own=own)
    return feed


def _bounded(body: bytes) -> bytes:
    if len(body) > DEFAULT_LIMITS.size:
        raise MessageTooLarge(
            f"the feed has more than {DEFAULT_LIMITS.size} bytes", hint="ask for fewer records with start and limit"
        )
    return body
