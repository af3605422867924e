"""What a target does with one entry: apply, ignore, or decide a conflict (spec 9.5). Pure."""

from __future__ import annotations

from enum import StrEnum

from tallystick.protocols.sdata.codec.digests import Digest, SyncState, endpoint_key
from tallystick.protocols.sdata.codec.stamps import later


class Verdict(StrEnum):
    """What becomes of an incoming version."""

    NEW = "new"
    """Nothing here: applied."""
    NEWER = "newer"
    """Its source had seen what is here: applied."""
    KNOWN = "known"
    """The same version, or an older one of the same endpoint: ignored."""
    SEEN = "seen"
    """What is here was made knowing it: ignored."""
    CONFLICT_WON = "conflict-won"
    """Concurrent, and the incoming version wins: applied, with a warning."""
    CONFLICT_LOST = "conflict-lost"
    """Concurrent, and what is here wins: the incoming version is not applied."""

    applies: bool
    """True when the incoming version replaces what is here."""

    def __init__(self, value: str) -> None:
        self.applies = value in ("new", "newer", "conflict-won")


def judge(incoming: SyncState, current: SyncState | None, source: Digest, target: Digest) -> Verdict:
    """What becomes of ``incoming``, where ``current`` is this end's state of the resource (None: never heard of).

    ``source`` is the digest of the feed, ``target`` the live one of this end. All comparisons are strict (C7).
    """
    if current is None:
        return Verdict.NEW
    if endpoint_key(incoming.endpoint) == endpoint_key(current.endpoint):
        return Verdict.NEWER if incoming.tick > current.tick else Verdict.KNOWN
    if source.tick(current.endpoint) > current.tick:
        return Verdict.NEWER
    if target.tick(incoming.endpoint) > incoming.tick:
        return Verdict.SEEN
    return Verdict.CONFLICT_WON if source_wins(incoming, current, source, target) else Verdict.CONFLICT_LOST


def source_wins(incoming: SyncState, current: SyncState, source: Digest, target: Digest) -> bool:
    """Who wins a conflict: the lower priority number, then the later stamp, then the smaller endpoint (C5, C6, C8).

    Both ends come to the same answer: priorities are those of the endpoints that made the versions.
    """
    theirs, ours = source.priority(incoming.endpoint), target.priority(current.endpoint)
    if theirs != ours:
        return theirs < ours
    if incoming.stamp != current.stamp:
        return later(incoming.stamp, current.stamp)
    return endpoint_key(incoming.endpoint) < endpoint_key(current.endpoint)
