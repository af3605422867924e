"""What is one to two ends though they call it otherwise, or keep it under another type (DESIGN.md 4.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import starmap

from tallystick.core.values import Logical
from tallystick.site.schema import Definition, Field
from tallystick.sync.replica import Described

_LISTED = 6
"""How many columns of a table are named."""


def correspondences(one: Described, other: Described, resources: Iterable[str]) -> list[str]:
    """A sentence for each of the resources whose names, and one for each whose types, are not the same at both ends."""
    mine, theirs = ({item.wire: item for item in end.resources} for end in (one, other))
    pairs = [(mine[wire], theirs[wire]) for wire in resources if wire in mine and wire in theirs]
    return [sentence for pair in pairs for sentence in _sentences(*pair)]


def left_out(source: Described, created: Described, wires: Iterable[str]) -> list[str]:
    """A sentence for each table that was created for one of the resources and lacks what the first one declares."""
    first, second = ({item.wire: item for item in end.resources} for end in (source, created))
    found = {wire: list(_lacking(first[wire], second[wire])) for wire in wires if wire in first and wire in second}
    return [f"left out of the new table {second[wire].name}: {_listed(what)}" for wire, what in found.items() if what]


def _lacking(first: Definition, second: Definition) -> Iterator[str]:
    there = {item.wire: item.default for item in (*second.key_fields, *second.fields)}
    for item in (*first.key_fields, *first.fields):
        if item.default is not None and there.get(item.wire) is None:
            yield f"the default of {item.column}"
    made = {index.columns for index in second.indexes}
    yield from (f"the index {index.name}" for index in first.indexes if index.columns not in made)
    yield from first.omitted


def _sentences(mine: Definition, theirs: Definition) -> Iterator[str]:
    both = list(_paired(mine, theirs))
    renamed = [(mine.name, theirs.name)] * (mine.name != theirs.name)
    renamed += [(here.column, there.column) for here, there in both if here.column != there.column]
    if renamed:
        yield f"taken for the same in {mine.name}: {_listed(starmap('{} and {}'.format, renamed))}"
    typed = [(here, there) for here, there in both if _type(here) != _type(there)]
    if typed:
        told = (f"{here.column} is {_type(here)} and {_type(there)}" for here, there in typed)
        yield f"of two types in {mine.name}: {_listed(told)}"


def _paired(mine: Definition, theirs: Definition) -> Iterator[tuple[Field, Field]]:
    there = {item.wire: item for item in (*theirs.key_fields, *theirs.fields)}
    for item in (*mine.key_fields, *mine.fields):
        if item.wire in there:
            yield item, there[item.wire]


def _type(item: Field) -> str:
    if item.logical is Logical.ANY:
        return "anything"
    return f"{item.logical.value}({item.detail})" if item.detail else item.logical.value


def _listed(texts: Iterable[str]) -> str:
    listed = list(texts)
    more = len(listed) - _LISTED
    return ", ".join(listed[:_LISTED]) + (f" and {more} more" if more > 0 else "")
