"""Leases: several workers never run one task twice, and a dead one does not block it. Pure: the clock is handed in.

A lease has an end and a number that only grows. Whoever works under a lease writes its number along; a store that has
seen a higher one refuses, so a worker that slept past its end cannot spoil the work of its successor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tallystick.errors import TallystickError

TERM = timedelta(minutes=2)
"""How long a lease lasts without being renewed."""

RENEW_AFTER = TERM / 3
"""How much of a term passes before a worker renews."""

GRACE = timedelta(seconds=10)
"""How far the clocks of two workers may differ."""


class LeaseLost(TallystickError):
    """The lease ended and another worker may hold it. Stop working on the task; nothing of the last page was kept."""

    code = "lease-lost"
    exit_code = 3
    default_hint = "let the other worker finish; the next run continues from there"


@dataclass(frozen=True, slots=True)
class Lease:
    """``owner`` may run ``task`` until ``until``. An ``owner`` of None: free, the number is kept."""

    task: str
    owner: str | None
    until: datetime
    number: int


def claim(current: Lease | None, task: str, owner: str, now: datetime, term: timedelta = TERM) -> Lease | None:
    """The new lease, or None when another worker holds one that has not ended.

    A lease counts as ended only GRACE after its end, in case the clocks differ. The same owner claiming again gets a
    new number: it is a new attempt, of which the old one knows nothing.
    """
    if current is None:
        return Lease(task, owner, now + term, 1)
    if current.owner is not None and current.owner != owner and not is_stale(current, now):
        return None
    return Lease(task, owner, now + term, current.number + 1)


def is_stale(lease: Lease, now: datetime) -> bool:
    """True when its owner must have stopped."""
    return lease.owner is None or now >= lease.until + GRACE


def renew(held: Lease, current: Lease | None, now: datetime, term: timedelta = TERM) -> Lease:
    """``held`` with a later end. Raises LeaseLost when it is no longer the current one, or has ended."""
    if current is None or (current.owner, current.number) != (held.owner, held.number):
        raise LeaseLost(f"another worker took over {held.task}")
    if now >= held.until:
        raise LeaseLost(f"the lease of {held.task} ended before it was renewed")
    return replace(current, until=now + term)


def release(held: Lease, current: Lease | None, now: datetime) -> Lease | None:
    """What stands after the owner is done: free, if it still was its lease; else what is there."""
    if current is None or (current.owner, current.number) != (held.owner, held.number):
        return current
    return replace(current, owner=None, until=now)


def may_write(number: int, highest_seen: int) -> bool:
    """The fence: work under a lease number is accepted unless a higher one was seen."""
    return number >= highest_seen
