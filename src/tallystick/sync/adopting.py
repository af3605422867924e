"""Rows of a plain copy take the keys under which the other end knows them (DESIGN.md 4.4 *Keys*).

A copy that was made without its ledger holds rows which were made after tracking began: there they are older than its
own tracking, and their integers only propose keys. Equal content under an equal integer confirms which records they
are; without that every one of them would be there twice after first contact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick.core.changes import Rank, parents_first
from tallystick.errors import SchemaError
from tallystick.site.schema import Definition, Identity
from tallystick.sync.comparing import differences
from tallystick.sync.replica import Replica, Scope


def adopt(a: Replica, b: Replica, scope: Scope) -> bool:
    """Rename records at first contact, before anything is exchanged. Returns whether there were any.

    Only rows that one end has from before its tracking and the other one made later are renamed, and nowhere else
    than at an end that has agreed with nobody.
    """
    theirs = {item.wire: item for item in b.describe().resources}
    shared = [item for item in a.describe().resources if item.wire in scope.resources and item.wire in theirs]
    mapped = {item.wire: item for item in shared if Identity.MAPPED is item.identity is theirs[item.wire].identity}
    wires = tuple(wire for wire in mapped if wire not in scope.filters)
    here, there = (end.digest("", Scope(wires)).prints if wires else {} for end in (a, b))
    differing = {wire for wire in wires if here[wire] != there[wire] and here[wire][0] and there[wire][0]}
    adopted = False
    for wire in parents_first([Rank(item.wire, item.parents) for item in shared]):
        while wire in differing and _adopted(a, b, mapped[wire], theirs[wire]):
            adopted = True
            if wire not in mapped[wire].parents:  # else rows may refer to those that were renamed just now
                break
    return adopted


def _adopted(a: Replica, b: Replica, mine: Definition, theirs: Definition) -> bool:
    """Compare one resource and rename what can be. Returns whether anything was."""
    found = differences(a, b, mine.wire)
    if not found.mine or not found.theirs:
        return False
    sides = _Side(a, mine, found.mine), _Side(b, theirs, found.theirs)
    return _renamed(*sides) or _renamed(*reversed(sides))


class _Side(NamedTuple):
    """An end with a resource as it has it, and the keys that only it has."""

    end: Replica
    definition: Definition
    keys: Sequence[str]

    def naturals(self, names: Sequence[str]) -> dict[str, str]:
        """The keys of records by their integers and their values under ``names``, as text."""
        return self.end.naturals(self.definition.wire, [self.definition.key_fields[0].wire, *names])


def _renamed(copy: _Side, other: _Side) -> bool:
    """Give rows of ``copy`` the keys of the same rows of ``other``. Returns whether there were any."""
    older = set(copy.end.older(copy.definition.wire, copy.keys))
    if not older:
        return False
    names = sorted(copy.definition.wires & other.definition.wires)
    known, single = other.naturals(names), set(other.keys)
    mine = {text: key for text, key in copy.naturals(names).items() if key in older}
    found = {key: known[text] for text, key in mine.items() if known.get(text) in single}
    if not found:
        return False
    try:
        copy.end.rekey(copy.definition.wire, found)
    except SchemaError:  # it has agreed with somebody, who knows its rows by the keys they have
        return False
    return True
