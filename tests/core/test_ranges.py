"""Ranges find exactly the difference, at a cost that grows with it and with the logarithm of the size."""

from hashlib import sha256
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.ranges import BRANCHES, LEAF, Item, Range, answer, whole


class Found(NamedTuple):
    """What an exchange found, and what it took."""

    mine: list[str]
    theirs: list[str]
    both: list[str]
    rounds: int
    listed: int
    stated: int


def exchange(mine: dict[str, int], theirs: dict[str, int]) -> Found:
    """Let two ends compare; the result is seen from the first."""
    ends = [items(mine), items(theirs)]
    only: list[list[str]] = [[], []]
    both: list[str] = []
    stated, turn, rounds, listed, ranges = whole(ends[0]), 1, 0, 0, 1
    while stated:
        stated, found = answer(ends[turn], stated)
        only[turn] += found.mine
        only[1 - turn] += found.theirs
        both += found.both
        listed += sum(len(item.items or ()) for item in stated)
        ranges += len(stated)
        rounds += 1
        turn = 1 - turn
    return Found(only[0], only[1], both, rounds, listed, ranges)


def items(records: dict[str, int]) -> list[Item]:
    return [(key, sha256(f"{key}={value}".encode()).digest()[:16]) for key, value in sorted(records.items())]


def numbered(count: int) -> dict[str, int]:
    return {f"{number:07}": 0 for number in range(count)}


sets = st.dictionaries(st.text("abc", max_size=4), st.integers(0, 1), max_size=60)


@given(sets, sets)
def test_ranges_find_exactly_the_difference(mine, theirs):
    found = exchange(mine, theirs)
    assert sorted(found.mine) == sorted(mine.keys() - theirs.keys())
    assert sorted(found.theirs) == sorted(theirs.keys() - mine.keys())
    assert sorted(found.both) == sorted(key for key in mine.keys() & theirs.keys() if mine[key] != theirs[key])


@pytest.mark.parametrize("size", (0, 1, LEAF, LEAF + 1, LEAF * BRANCHES + 1, 20_000))
def test_equal_sets_are_told_in_one_statement(size):
    found = exchange(numbered(size), numbered(size))
    assert found[:3] == ([], [], [])
    assert (found.rounds, found.stated) == (1, 1)


@pytest.mark.parametrize("size", (1_000, 30_000))
@pytest.mark.parametrize("changes", (1, 7))
def test_the_cost_grows_with_the_difference_and_the_logarithm_of_the_size(size, changes):
    mine, theirs = numbered(size), numbered(size)
    step = size // changes
    for number in range(changes):
        theirs[f"{number * step:07}"] = 1
    found = exchange(mine, theirs)
    assert len(found.both) == changes
    depth = 1
    while LEAF * BRANCHES**depth < size:
        depth += 1
    assert found.rounds <= depth + 2
    assert found.listed <= changes * LEAF
    assert found.stated <= 1 + changes * BRANCHES * (depth + 1)


@pytest.mark.parametrize(("few", "many"), ((0, 500), (3, 500), (LEAF, 5_000)))
def test_a_small_end_and_a_large_one_find_each_other_in_both_directions(few, many):
    small, large = {f"x{number}": 0 for number in range(few)}, numbered(many)
    for one, other in ((small, large), (large, small)):
        found = exchange(one, other)
        assert sorted(found.mine) == sorted(one)
        assert sorted(found.theirs) == sorted(other)


def test_a_range_that_nobody_holds_anything_of_ends_the_exchange():
    replies, found = answer([], [Range("a", "b", 0, 0)])
    assert replies == []
    assert found == ([], [], [])
