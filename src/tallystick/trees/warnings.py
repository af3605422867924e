"""What deserves to be known before anything is transferred, and is no failure (spec contexts K7, M3, M4)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain

from tallystick.trees.assembling import NO_LINKS, Forest
from tallystick.trees.ends import TreeEnd
from tallystick.trees.listing import unpacked_names
from tallystick.trees.names import CLASH, ILLEGAL, portability
from tallystick.trees.nodes import joined
from tallystick.trees.scan import Scan

UNSHOWN = (ILLEGAL, CLASH, NO_LINKS)

Warned = tuple[str, str, str]
"""A code, a path, and why."""


def warnings_of(scans: Collection[Scan], ends: Collection[TreeEnd], forest: Forest) -> list[Warned]:
    """The warnings of the scans, and what is odd about the names in directories that changed."""
    warnings = [warning for scan in scans for warning in scan.warnings]
    for path in sorted(set().union(*(scan.changed.keys() for scan in scans))):
        warnings += _of_directory(path, ends, forest)
    return warnings


def _of_directory(path: str, ends: Collection[TreeEnd], forest: Forest) -> Iterator[Warned]:
    hidden = forest.hidden_at(path)
    for name, why in sorted(hidden.items()):
        if why in UNSHOWN:
            yield why, joined(path, name), "cannot be shown on a side; it is left alone on both"
    listings = [end.listing(path) for end in ends]
    names = set(chain.from_iterable(listing.names for listing in listings if listing is not None))
    names -= hidden.keys()
    row = forest.base(path)
    if row is None or not names.issubset(unpacked_names(row.names)):  # else all of them have travelled
        for name, why in sorted(portability(names).items()):
            yield "portability", joined(path, name), why
