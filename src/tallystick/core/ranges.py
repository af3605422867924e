"""Finding the difference of two sets of records by recursive ranges (DESIGN.md 4.4 first contact, 4.8 verification).

Both ends hold items (key, identifier), keys ascending. One end states a sum per range; the other answers for every
range that differs either with its own items, where they are few, or with the sums of smaller ranges. The cost
grows with the difference and the logarithm of the size.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

BRANCHES = 16
LEAF = 32
MODULUS = 1 << 128

Item = tuple[str, bytes]
"""Key and a 16-byte identifier of what is known of it."""


class Range(NamedTuple):
    """Keys from ``lower`` (included) to ``upper`` (excluded, None = no bound), with the count and sum of its items.

    ``items`` are stated only for small ranges.
    """

    lower: str
    upper: str | None
    count: int  # type: ignore[assignment]
    total: int
    items: tuple[Item, ...] | None = None


class Difference(NamedTuple):
    """Keys only this end holds, only the other holds, and those where both hold something different."""

    mine: list[str]
    theirs: list[str]
    both: list[str]


def whole(items: Sequence[Item]) -> list[Range]:
    """The opening statement: one range over everything."""
    return [_summary(items, "", None)]


def answer(items: Sequence[Item], stated: Sequence[Range]) -> tuple[list[Range], Difference]:
    """Compare the other end's ranges with our ``items``.

    Returns the ranges to state in turn (empty when finished) and the differences found in ranges whose items the
    other end has listed. A range answered with items lets the other end find the rest.
    """
    replies: list[Range] = []
    found = Difference([], [], [])
    keys = [item[0] for item in items]
    for theirs in stated:
        own = _between(items, keys, theirs.lower, theirs.upper)
        if theirs.items is not None:
            _compare(own, theirs.items, found)
        elif (len(own), _sum(own)) != (theirs.count, theirs.total):
            replies.extend(_divided(own, theirs))
    return replies, found


def _divided(own: Sequence[Item], theirs: Range) -> list[Range]:
    if len(own) <= LEAF or theirs.count <= LEAF // 2:
        return [_summary(own, theirs.lower, theirs.upper)._replace(items=tuple(own))]
    step = max(1, -(-len(own) // BRANCHES))
    bounds = [theirs.lower, *(own[index][0] for index in range(step, len(own), step))]
    uppers: list[str | None] = [*bounds[1:], theirs.upper]
    return [
        _summary(own[index * step : (index + 1) * step], lower, upper)
        for index, (lower, upper) in enumerate(zip(bounds, uppers, strict=True))
    ]


def _summary(items: Sequence[Item], lower: str, upper: str | None) -> Range:
    return Range(lower, upper, len(items), _sum(items))


def _sum(items: Sequence[Item]) -> int:
    return sum(int.from_bytes(identifier, "big") for _, identifier in items) % MODULUS


def _between(items: Sequence[Item], keys: Sequence[str], lower: str, upper: str | None) -> Sequence[Item]:
    start = bisect_left(keys, lower)
    end = len(items) if upper is None else bisect_left(keys, upper)
    return items[start:end]


def _compare(own: Sequence[Item], theirs: Sequence[Item], found: Difference) -> None:
    mine, other = dict(own), dict(theirs)
    found.mine.extend(key for key in mine if key not in other)
    found.theirs.extend(key for key in other if key not in mine)
    found.both.extend(key for key in mine if key in other and mine[key] != other[key])
