"""Time windows: what a restricted synchronization admits, against what was held (spec ics 1.4, 5.3). Pure.

A log cannot say what slid out of a window, so restricted synchronizations compare sets: the entries that the
consumer holds against those that the window admits now. Sets are remembered per state, packed.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from time import mktime
from typing import NamedTuple

from tallystick.errors import StorageCorrupt
from tallystick.stores.changelog import Kind, Row

REMEMBERED_SETS = 11
"""How many sets of one registration are kept: the newest, the one it was made from, and nine older."""


class Window(NamedTuple):
    """Delivery times that are wanted: from ``begin``, before ``end``; microseconds since 1970 UTC, None = open."""

    begin: int | None = None
    end: int | None = None

    def admits(self, delivered: int | None) -> bool:
        """True for a delivery time inside. What was never delivered is in no window."""
        if delivered is None or (self.begin is not None and delivered < self.begin):
            return False
        return self.end is None or delivered < self.end


def window_of(
    now: float, window: float | None = None, begin: datetime | None = None, end: datetime | None = None
) -> Window | None:
    """The window that the arguments of ``sync`` ask for; None = everything.

    ``now`` is in seconds since 1970 UTC. ``window`` (seconds back from now) wins over ``begin`` and ``end``, which are
    read as naive local time to the second.
    """
    if window:
        return Window(begin=round((now - window) * 1_000_000))
    if begin is None and end is None:
        return None
    return Window(_local(begin), _local(end))


def _local(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    return int(mktime((*moment.timetuple()[:8], -1))) * 1_000_000


EVER = (-(2**62), 2**62)
"""Bounds that every delivery time is between."""


def edges(before: Window, now: Window) -> list[tuple[int, int]]:
    """The delivery times, from and before, at which one of two windows may admit what the other does not."""
    found: list[tuple[int, int]] = []
    if before.begin != now.begin:
        begins = [EVER[0] if window.begin is None else window.begin for window in (before, now)]
        found.append((min(begins), max(begins)))
    if before.end != now.end:
        ends = [EVER[1] if window.end is None else window.end for window in (before, now)]
        found.append((min(ends), max(ends)))
    return found


class Live(NamedTuple):
    """A live item, as far as windows care."""

    entry: int
    record: int
    created: int
    content: int
    flagged: int
    read: bool
    delivered: int | None


def admitted(live: Iterable[Live], window: Window | None) -> set[int]:
    """Entries of ``live`` that ``window`` admits; all of them when it is None."""
    if window is None:
        return {item.entry for item in live}
    return {item.entry for item in live if window.admits(item.delivered)}


def difference(live: Sequence[Live], fit: Collection[int], known: Collection[int], seq: int) -> list[Row]:
    """What a consumer holding ``known`` as of ``seq`` must be told to hold ``fit``, of ``live`` in the given order.

    Those known that are no longer live end the list, ascending. What left the window counts as deleted for good.
    """
    rows: list[Row] = []
    for item in live:
        if item.entry in known:
            if item.entry not in fit:
                rows.append(Row(seq, Kind.HARD, item.entry, False))
            elif item.created > seq or item.content > seq:
                rows.append(Row(seq, Kind.CHANGE, item.entry, False))
            elif item.flagged > seq:
                rows.append(Row(seq, Kind.FLAG, item.entry, item.read))
        elif item.entry in fit:
            rows.append(Row(seq, Kind.NEW, item.entry, False))
    alive = {item.entry for item in live}
    rows.extend(Row(seq, Kind.HARD, entry, False) for entry in sorted(known) if entry not in alive)
    return rows


def restriction(live: Sequence[Live], fit: Collection[int], seq: int) -> list[Row]:
    """What a consumer holding everything as of ``seq`` is told when a window begins, as the original does it.

    New items that are admitted and deletions of older ones that are not; saves, flags and deletions since ``seq`` are
    left out (spec ics 5.3); ``difference`` with all that is held is the lossless form.
    """
    rows: list[Row] = []
    for item in live:
        if item.entry in fit and item.created > seq:
            rows.append(Row(seq, Kind.NEW, item.entry, False))
        elif item.entry not in fit and item.created <= seq:
            rows.append(Row(seq, Kind.HARD, item.entry, False))
    return rows


def pack(entries: Iterable[int]) -> bytes:
    """A set of entries as bytes: ascending differences in 7-bit groups, compressed. An empty set is not empty bytes."""
    out = bytearray()
    last = 0
    for entry in sorted(entries):
        step, last = entry - last, entry
        while step > 127:
            out.append(step & 127 | 128)
            step >>= 7
        out.append(step)
    return zlib.compress(bytes(out), 1)


def unpack(packed: bytes) -> set[int]:
    """The set that ``pack`` packed. Raises StorageCorrupt for anything else; a sync without state starts afresh."""
    entries: set[int] = set()
    last = step = shift = 0
    try:
        raw = zlib.decompress(packed)
    except zlib.error as error:
        raise StorageCorrupt("a remembered set of items is damaged", hint="synchronize without a state") from error
    for byte in raw:
        step |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            last += step
            entries.add(last)
            step = shift = 0
    return entries
