"""All that one endpoint keeps per kind besides the resources' own states (spec 9.1). Pure.

A `Standing` is a value: `progress` makes new ones of it, and whoever applies a page stores the new one in the
transaction of that page.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, endpoint_key
from tallystick.protocols.sdata.codec.names import FIRST_TICK
from tallystick.protocols.sdata.errors import TickGap


class Failure(msgspec.Struct, frozen=True, gc=False):
    """A version that could not be applied here: its resource, its name, and when in this endpoint's own count."""

    uuid: str
    endpoint: str
    tick: int
    since: int

    @property
    def name(self) -> str:
        """One resource fails once for each endpoint: a later tick of that endpoint takes the place of the former."""
        return f"{self.uuid} {endpoint_key(self.endpoint)}"


class Pass(msgspec.Struct, frozen=True, gc=False):
    """A catch-up pass under way: when it began in our own count, and the startIndex its next page must have."""

    began: int
    expected: int


class Standing(msgspec.Struct, frozen=True):
    """What one endpoint knows.

    ``digest`` is what is published and what conflicts are judged by. ``counter`` is the next tick to give; it is
    published too, unless a failure of our own origin or a restore holds it back (9.6, 9.9). ``failures`` are by their
    names, ``passes`` by `pass_identity`. ``events`` counts what happened, to tell what came first.
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


def restored(standing: Standing, peers: Iterable[Digest]) -> Standing:
    """The standing of a store put back from a backup (9.9), once every peer's digest was read.

    The counter goes to the highest own tick that anybody knows; what was restored stays published until
    `progress.restore_ended`. Meanwhile answer ``$syncSource`` with 503 and take a complete pass from every peer.
    """
    highest = max((digest.tick(standing.own) for digest in peers), default=FIRST_TICK)
    return msgspec.structs.replace(standing, counter=max(standing.counter, highest), restoring=True, passes={})
