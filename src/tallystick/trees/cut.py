"""Where large trees are cut in two, so that two processes can each bring a part into agreement (DESIGN.md 4.10). Pure.

The parts share the directories above the cut, which belong to the first one; no directory belongs to both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from typing import NamedTuple

from tallystick.trees.listing import packed
from tallystick.trees.nodes import joined

HEAVY = 0.65
"""A directory that holds more than this share of all entries is cut itself."""
WORTH = 0.2
"""A part that holds less than this share of all entries is not worth a process."""


class Cut(NamedTuple):
    """The directories of some names in a directory, with all below them: the second part."""

    directory: str
    names: frozenset[str]
    first: str
    """The first of the names, when they are packed."""

    @property
    def span(self) -> tuple[bytes, bytes]:
        """Where its paths begin and end (b"": nowhere) in the order of packed ones: all of it, and little else."""
        return packed(joined(self.directory, self.first)), packed(self.directory) + b"0" if self.directory else b""

    @property
    def paths(self) -> set[str]:
        """The directories that are cut off, without those below them."""
        return {joined(self.directory, name) for name in self.names}

    def holds(self, path: str) -> bool:
        """True for every directory of the second part."""
        if self.directory:
            if not path.startswith(f"{self.directory}/"):
                return False
            path = path[len(self.directory) + 1 :]
        return path.partition("/")[0] in self.names

    def is_below(self, directory: str) -> bool:
        """True when the second part lies in a directory."""
        return not directory or directory == self.directory or self.directory.startswith(f"{directory}/")

    def runs_through(self, directory: str, names: Collection[str] | None) -> bool:
        """True when, of a directory that it lies in, these names (None: any) are or lead to the second part."""
        if names is None:
            return True
        if directory == self.directory:
            return not self.names.isdisjoint(names)
        start = len(directory) + 1 if directory else 0
        return self.directory[start:].partition("/")[0] in names


def cut_of(entries: Mapping[str, int], common: Callable[[str], Set[str]]) -> Cut | None:
    """The cut after which both parts hold about as many entries; None where there is none.

    ``entries`` says how many there are in each directory, ``common`` names the directories in one that may be cut off.
    """
    total, directory = sum(entries.values()), ""
    while True:
        weights = _weights(entries, directory)
        heaviest = max(weights, key=weights.__getitem__, default="")
        if not weights or weights[heaviest] <= HEAVY * total:
            break
        directory = joined(directory, heaviest)
    names = _last(weights, total, sorted(common(directory) & weights.keys(), key=packed))
    if sum(weights[name] for name in names) <= WORTH * total:
        return None
    return Cut(directory, frozenset(names), names[0])


def _last(weights: Mapping[str, int], total: int, names: list[str]) -> list[str]:
    """The last of the names, which are in order, that hold about half of all entries together."""
    weight = 0
    start = len(names)
    while start and 2 * weight + weights[names[start - 1]] <= total:
        start -= 1
        weight += weights[names[start]]
    # What is below "a" stands after "a-b", and must not be left behind when that goes.
    while start < len(names) and any(names[start].startswith(name) for name in names[:start]):
        start += 1
    return names[start:]


def _weights(entries: Mapping[str, int], directory: str) -> dict[str, int]:
    """The entries at and below each directory in one."""
    start = len(directory) + 1 if directory else 0
    inside = f"{directory}/" if directory else ""
    weights: dict[str, int] = {}
    for path, number in entries.items():
        if path and path.startswith(inside):
            name = path[start:].partition("/")[0]
            weights[name] = weights.get(name, 0) + number
    return weights
