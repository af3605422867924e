"""Where two ends differ, found by comparing ranges of keys (DESIGN.md 4.8)."""

from __future__ import annotations

from tallystick.core.ranges import Difference
from tallystick.sync.replica import Replica


def differences(a: Replica, b: Replica, wire: str) -> Difference:
    """Keys that only ``a`` holds, only ``b`` holds, and that both hold differently."""
    stated = a.ranges(wire, []).ranges
    found = Difference([], [], [])
    asked, other, turned = b, a, True
    while stated:
        answered = asked.ranges(wire, stated)
        found.mine.extend(answered.theirs if turned else answered.mine)
        found.theirs.extend(answered.mine if turned else answered.theirs)
        found.both.extend(answered.both)
        stated = answered.ranges
        asked, other, turned = other, asked, not turned
    return Difference(*(sorted(set(keys)) for keys in found))
