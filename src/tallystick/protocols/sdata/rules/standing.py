"""How an endpoint's digest moves: ticks given, entries handled and failed, passes, restores (spec 9). Pure.

A `Standing` is all that one endpoint keeps per kind besides the resources' own states. Every function returns a new
one; whoever applies a page stores it in the transaction of that page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, endpoint_key
from tallystick.protocols.sdata.codec.names import FIRST_TICK, MISSING_PRIORITY
from tallystick.protocols.sdata.errors import TickGap

OPEN_PASSES: Final = 64
"""Passes remembered at once; older ones are forgotten, which only delays the clearing of failures (9.6, 4)."""


class Failure(msgspec.Struct, frozen=True, gc=False):
    """A version that could not be applied here: its resource, its name, and when in this endpoint's own count."""

    uuid: str
    endpoint: str
    tick: int
    since: int


class Pass(msgspec.Struct, frozen=True, gc=False):
    """A catch-up pass under way: when it began in our own count, and the startIndex its next page must have."""

    began: int
    expected: int


class Standing(msgspec.Struct, frozen=True):
    """What one endpoint knows, by `endpoint_key`.

    ``digest`` is what is published and what conflicts are judged by. ``counter`` is the next tick to give; it is
    published too, unless a failure of our own origin or a restore holds it back (9.6, 9.9). ``events`` counts what
    happened, to tell what came first.
    """

    digest: Digest
    counter: int = FIRST_TICK
    failures: dict[str, Failure] = {}
    passes: dict[str, Pass] = {}
    events: int = 0
    restoring: bool = False

    @property
    def own(self) -> str:
        """Our own `endpoint_key`."""
        return endpoint_key(self.digest.origin)


class Page(msgspec.Struct, frozen=True):
    """What the rules need to know of a feed page: its digest, its place in its pass.

    ``identity`` names the pass (see `pass_identity`); ``start`` is None when the feed did not say.
    """

    digest: Digest
    identity: str
    start: int | None = None
    entries: int = 0
    first: bool = True
    last: bool = True


def new_standing(endpoint: str, priority: int, stamp: str) -> Standing:
    """The standing of an endpoint that knows nothing: itself, at tick 1 (spec 5.2)."""
    return Standing(Digest(endpoint, {endpoint_key(endpoint): DigestEntry(endpoint, FIRST_TICK, stamp, priority)}))


def pass_identity(feed_id: str, origin: str, run_name: str, run_stamp: str) -> str:
    """What groups the pages of one pass: the feed's id, else origin and run; "" when there is neither (9.6, 4)."""
    if feed_id:
        return feed_id
    return "\n".join((origin, run_name, run_stamp)) if origin and (run_name or run_stamp) else ""


# Ticks ---------------------------------------------------------------------------------------------------------


def assign(standing: Standing, stamp: str, user: str = "") -> tuple[Standing, SyncState]:
    """The state of a local change, and the standing after it: record, then increment (9.2)."""
    state = SyncState(standing.digest.origin, standing.counter, stamp, user)
    return _published(msgspec.structs.replace(standing, counter=standing.counter + 1), stamp), state


def cap(standing: Standing, key: str) -> int | None:
    """The smallest failed tick of endpoint ``key``, beyond which its digest entry may not go (9.6, 1); None: no cap."""
    return min((row.tick for row in standing.failures.values() if endpoint_key(row.endpoint) == key), default=None)


def handled(standing: Standing, state: SyncState, source: Digest, stamp: str, uuid: str) -> Standing:
    """The standing after an entry was applied, ignored or lost a conflict: failures of its resource are over."""
    kept = {name: row for name, row in standing.failures.items() if row.uuid != uuid}
    if len(kept) != len(standing.failures):
        standing = msgspec.structs.replace(standing, failures=kept)
    return _raised(standing, state.endpoint, state.tick + 1, source, stamp)


def failed(standing: Standing, state: SyncState, source: Digest, stamp: str, uuid: str) -> Standing:
    """The standing after an entry could not be applied: its endpoint is capped until the resource is handled."""
    row = Failure(uuid, state.endpoint, state.tick, standing.events)
    rows = {**standing.failures, f"{uuid} {endpoint_key(state.endpoint)}": row}
    standing = msgspec.structs.replace(standing, failures=rows)
    return _raised(standing, state.endpoint, state.tick, source, stamp)


def _raised(standing: Standing, endpoint: str, tick: int, source: Digest, stamp: str) -> Standing:
    """Ticks never go down; our own count and our own entry are one, and it is never capped (9.5, 9.6)."""
    key = endpoint_key(endpoint)
    if key == standing.own:
        return _own_raised(standing, tick, stamp)
    limit = cap(standing, key) if standing.failures else None
    entry = standing.digest.entries.get(key)
    reached = tick if limit is None else min(tick, limit)
    if entry is not None and reached <= entry.tick:
        return standing
    priority = source.entries[key].priority if key in source.entries else MISSING_PRIORITY
    if priority == MISSING_PRIORITY and entry is not None:
        priority = entry.priority
    spelled = endpoint.strip().rstrip("/") if entry is None else entry.endpoint
    return _with_entry(standing, key, DigestEntry(spelled, reached, stamp, priority))


def _own_raised(standing: Standing, tick: int, stamp: str) -> Standing:
    if standing.restoring:
        entry = standing.digest.entries[standing.own]
        if tick > entry.tick:
            standing = _with_entry(standing, standing.own, entry._replace(tick=tick, stamp=stamp))
    return _published(msgspec.structs.replace(standing, counter=max(standing.counter, tick)), stamp)


def _published(standing: Standing, stamp: str) -> Standing:
    """The own digest entry follows the counter, held back by failures of our own origin, or by a restore."""
    entry = standing.digest.entries[standing.own]
    limit = cap(standing, standing.own) if standing.failures else None
    tick = entry.tick if standing.restoring else standing.counter
    tick = tick if limit is None else min(tick, limit)
    if tick == entry.tick:
        return standing
    return _with_entry(standing, standing.own, entry._replace(tick=tick, stamp=stamp))


def _with_entry(standing: Standing, key: str, entry: DigestEntry) -> Standing:
    entries = {**standing.digest.entries, key: entry}
    return msgspec.structs.replace(standing, digest=Digest(standing.digest.origin, entries))


# Passes --------------------------------------------------------------------------------------------------------


def page_begun(standing: Standing, page: Page) -> Standing:
    """The standing when a catch-up page arrives: passes are followed from their first page on (9.6, 4)."""
    standing = msgspec.structs.replace(standing, events=standing.events + 1)
    if not page.identity:
        return standing
    passes = dict(standing.passes)
    known = passes.pop(page.identity, None)
    if page.first:
        passes[page.identity] = Pass(standing.events, _following(page, 1))
    elif known is not None and page.start in (None, known.expected):
        passes[page.identity] = Pass(known.began, _following(page, known.expected))
    while len(passes) > OPEN_PASSES:
        passes.pop(next(iter(passes)))
    return msgspec.structs.replace(standing, passes=passes)


def _following(page: Page, expected: int) -> int:
    return (page.start if page.start is not None else expected) + page.entries


def pass_ended(standing: Standing, page: Page, stamp: str) -> Standing:
    """The standing after the last page: what the source does not hold any more is no failure, then digests merge.

    Precondition: every entry of the page went through `handled` or `failed`.
    """
    passes = dict(standing.passes)
    known = passes.pop(page.identity, None)
    standing = msgspec.structs.replace(standing, passes=passes)
    if known is not None and standing.failures:
        standing = _cleared(standing, page.digest, known.began)
    for entry in page.digest.entries.values():
        standing = _raised(standing, entry.endpoint, entry.tick, page.digest, stamp)
    return _published(standing, stamp)


def _cleared(standing: Standing, source: Digest, began: int) -> Standing:
    kept = {
        name: row
        for name, row in standing.failures.items()
        if row.since >= began or source.tick(row.endpoint) <= row.tick
    }
    return msgspec.structs.replace(standing, failures=kept)


def check_contiguous(digest: Digest, states: Iterable[SyncState]) -> None:
    """Refuse an immediate feed that skips ticks (9.5): simulated on a copy, nothing changes.

    A tick below the digest is a duplicate, not a gap; an unknown endpoint begins at tick 1. Raises TickGap.
    """
    ticks: dict[str, int] = {}
    for state in states:
        key = endpoint_key(state.endpoint)
        known = ticks.get(key)
        if known is None:
            entry = digest.entries.get(key)
            known = FIRST_TICK if entry is None else entry.tick
        if state.tick > known:
            raise TickGap(f"tick {state.tick} of {state.endpoint} arrived where {known} was expected")
        ticks[key] = max(known, state.tick + 1)


# Administration ------------------------------------------------------------------------------------------------


def written(standing: Standing, digest: Digest, stamp: str) -> Standing:
    """The standing after an administrator wrote ``$syncDigest``: ticks raised, never lowered; priorities set (Q1)."""
    for entry in digest.entries.values():
        standing = _raised(standing, entry.endpoint, entry.tick, digest, stamp)
        key = endpoint_key(entry.endpoint)
        held = standing.digest.entries.get(key)
        if held is not None and entry.priority != MISSING_PRIORITY and held.priority != entry.priority:
            standing = _with_entry(standing, key, held._replace(priority=entry.priority))
    return standing


def restored(standing: Standing, peers: Iterable[Digest]) -> Standing:
    """The standing of a store put back from a backup (9.9), once every peer's digest was read.

    The counter goes to the highest own tick that anybody knows; what was restored stays published until
    `restore_ended`. Meanwhile answer ``$syncSource`` with 503 and take a complete inbound pass from every peer.
    """
    highest = max((digest.tick(standing.own) for digest in peers), default=FIRST_TICK)
    return msgspec.structs.replace(standing, counter=max(standing.counter, highest), restoring=True, passes={})


def restore_ended(standing: Standing, stamp: str) -> Standing:
    """The standing after the inbound passes: the counter is published again."""
    return _published(msgspec.structs.replace(standing, restoring=False), stamp)
