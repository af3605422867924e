"""Trees as deep as they may be, and deeper ones (spec contexts K2)."""

from __future__ import annotations

import os
import sys
import time

from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.names import MAX_DEPTH
from tallystick.trees.opening import Wishes, synchronize
from tallystick.trees.scope import Everything
from tallystick.trees.verifying import compare, rules_in


def grow(root, levels):
    place = root / "/".join(["d"] * levels)
    place.mkdir(parents=True)
    (place / "f").write_text("deep")
    (root / "x").write_text("flat")
    return place / "f"


def verdict(a, b):
    ends = [DirectoryEnd(str(root), time.time_ns) for root in (a, b)]
    try:
        assert [rules_in(end) for end in ends] == [{}, {}]
        return compare(*ends, Everything())
    finally:
        for end in ends:
            end.close()


def test_the_deepest_tree_travels_both_ways_and_is_verified(tmp_path):
    before = sys.getrecursionlimit()
    a, b, state = tmp_path / "a", tmp_path / "b", tmp_path / "state"
    deepest = grow(a, MAX_DEPTH - 1)
    other = b / deepest.relative_to(a)
    assert synchronize(str(a), str(b), state=state).succeeded
    other.write_text("edited")
    assert synchronize(str(a), str(b), state=state).succeeded
    assert deepest.read_text() == "edited"
    os.rename(a / "d" / "d", a / "d" / "e")
    assert synchronize(str(a), str(b), Wishes(allowed=None), state).succeeded
    assert [os.listdir(root / "d") for root in (a, b)] == [["e"], ["e"]]
    assert verdict(a, b).agree
    assert sys.getrecursionlimit() == before


def test_what_is_deeper_is_left_alone_and_named_and_the_rest_travels(tmp_path):
    a, b, state = tmp_path / "a", tmp_path / "b", tmp_path / "state"
    deeper = grow(a, MAX_DEPTH + 88)
    report = synchronize(str(a), str(b), state=state)
    assert not report.succeeded
    assert [path.count("/") for path in report.plan.unknown] == [MAX_DEPTH]
    assert not report.idle
    assert (b / "x").read_text() == "flat"
    assert deeper.read_text() == "deep"
    assert not verdict(a, b).agree
