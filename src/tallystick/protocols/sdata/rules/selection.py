"""What a source sends: the delta between two digests (spec 9.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tallystick.protocols.sdata.codec.digests import LARGEST_TICK, Digest, SyncState, endpoint_key


class Range(NamedTuple):
    """Ticks of one endpoint, from ``low`` up to but not including ``high``; ``key`` is its `endpoint_key`."""

    key: str
    low: int
    high: int


class Head(NamedTuple):
    """A resource, live or deleted, by the state of its last modification."""

    uuid: str
    state: SyncState


def ranges(posted: Digest, own: Digest) -> tuple[Range, ...]:
    """The tick ranges that ``own`` can hand on and ``posted`` does not account for, in order of endpoint.

    The upper bound matters: entries above a capped tick are not handed on, for the digest never claims them (9.6).
    Only the target's own changes come back whatever caps us: it asks for them after a restore, and would give their
    ticks again to others (9.9).
    """
    found = []
    asking = endpoint_key(posted.origin)
    for key, entry in sorted(own.entries.items()):
        low, high = posted.tick(key), LARGEST_TICK if key == asking else entry.tick
        if low < high:
            found.append(Range(key, low, high))
    return tuple(found)


def select(posted: Digest, own: Digest, heads: Iterable[Head]) -> list[Head]:
    """The heads inside `ranges`, tombstones included, by endpoint and tick."""
    bounds = {found.key: found for found in ranges(posted, own)}
    chosen = []
    for head in heads:
        bound = bounds.get(endpoint_key(head.state.endpoint))
        if bound is not None and bound.low <= head.state.tick < bound.high:
            chosen.append(head)
    return sorted(chosen, key=lambda head: (endpoint_key(head.state.endpoint), head.state.tick))
