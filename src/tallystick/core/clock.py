"""Hybrid logical clock: the time of changes (DESIGN.md 4.6, word *stamp*).

A stamp is an integer: milliseconds since the Unix epoch, shifted left by 16 bits, plus a counter that keeps
stamps of one site rising. A stamp is never altered after its dot is issued.
"""

from __future__ import annotations

COUNTER_BITS = 16
MAX_AHEAD_MS = 60_000
"""How far a remote stamp may drag our own clock along."""


def stamp_of(milliseconds: int, counter: int = 0) -> int:
    """The stamp of a wall clock time in milliseconds."""
    return (milliseconds << COUNTER_BITS) | counter


def milliseconds_of(stamp: int) -> int:
    """The wall clock part of a stamp, in milliseconds since the epoch."""
    return stamp >> COUNTER_BITS


def advance(last: int, now_ms: int) -> int:
    """The next stamp of a site whose last one was ``last`` when its wall clock reads ``now_ms``."""
    return max(last + 1, stamp_of(now_ms))


def observe(last: int, remote: int, now_ms: int) -> int:
    """The site's clock after it has seen ``remote``: follows it, but never further than MAX_AHEAD_MS past now."""
    if milliseconds_of(remote) > now_ms + MAX_AHEAD_MS:
        return last
    return max(last, remote)


def from_future(stamp: int, now_ms: int) -> bool:
    """True when a stamp lies so far ahead that a clock must be wrong; it is compared as it is, and reported."""
    return milliseconds_of(stamp) > now_ms + MAX_AHEAD_MS
