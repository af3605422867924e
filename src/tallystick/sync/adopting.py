"""Rows of a plain copy take the keys under which the other end knows them (DESIGN.md 4.4 *Keys*).

A copy that was made without its ledger holds rows which were made after tracking began: there they are older than its
own tracking, and their integers only propose keys. Equal content under an equal integer confirms which records they
are; without that every one of them would be there twice after first contact.

A row that differs was edited since the copy was made where rows with higher integers are the same at both ends: new
rows get higher ones. It is the same record then, in two versions. Above the highest, two rows of one integer may have
been made independently; they stay apart unless the plan says that equal integers are one record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tallystick.core.changes import Rank, parents_first
from tallystick.errors import IdentityDoubt, SchemaError
from tallystick.site.schema import Definition, Identity
from tallystick.sync.comparing import differences
from tallystick.sync.guards import DOUBTS_ALLOWED, DOUBTS_SHARE
from tallystick.sync.replica import Replica, Scope


def adopt(a: Replica, b: Replica, scope: Scope, identity: str = "") -> bool:
    """Rename records at first contact, before anything is exchanged. Returns whether there were any.

    Only rows that one end has from before its tracking and the other one made later are renamed, and nowhere else
    than at an end that has agreed with nobody. ``identity`` is what the plan says of equal integers. Raises
    IdentityDoubt where many rows are the same at both ends under different keys and neither can rename them.
    """
    theirs = {item.wire: item for item in b.describe().resources}
    shared = [item for item in a.describe().resources if item.wire in scope.resources and item.wire in theirs]
    mapped = {item.wire: item for item in shared if Identity.MAPPED is item.identity is theirs[item.wire].identity}
    wires = tuple(wire for wire in mapped if wire not in scope.filters)
    here, there = (end.digest("", Scope(wires)).prints if wires else {} for end in (a, b))
    differing = {wire for wire in wires if here[wire] != there[wire] and here[wire][0] and there[wire][0]}
    adopted = False
    for wire in parents_first([Rank(item.wire, item.parents) for item in shared]):
        while wire in differing and _adopted(a, b, mapped[wire], theirs[wire], identity):
            adopted = True
            if wire not in mapped[wire].parents:  # else rows may refer to those that were renamed just now
                break
    return adopted


def _adopted(a: Replica, b: Replica, mine: Definition, theirs: Definition, identity: str) -> bool:
    """Compare one resource and rename what can be. Returns whether anything was."""
    found = differences(a, b, mine.wire)
    if not found.mine or not found.theirs:
        return False
    sides = _Side(a, mine, found.mine), _Side(b, theirs, found.theirs)
    known: set[str] = set()
    for copy, other in (sides, sides[::-1]):
        pairs = _pairs(copy, other, identity)
        try:
            if pairs:
                copy.end.rekey(mine.wire, pairs)
                return True
        except SchemaError:  # it has agreed with somebody, who knows its rows by the keys they have
            known |= pairs.keys()
    if not identity and len(known) > max(DOUBTS_ALLOWED, DOUBTS_SHARE * len(found.mine)):
        raise IdentityDoubt(
            f"{len(known)} rows of {mine.wire!r} are the same at {a.name} and {b.name}, but each knows them under keys "
            "of its own, and has already told others of them",
            hint=f"make one of them forget: tallystick untrack SITE {mine.name} there and wherever it was synchronized "
            "to, then sync again; or take them for different records with --identity separate",
        )
    return False


class _Side(NamedTuple):
    """An end with a resource as it has it, and the keys that only it has."""

    end: Replica
    definition: Definition
    keys: Sequence[str]

    def naturals(self, names: Sequence[str] = ()) -> dict[str, str]:
        """The keys of records by their integers and their values under ``names``, as text."""
        return self.end.naturals(self.definition.wire, [self.definition.key_fields[0].wire, *names])


def _pairs(copy: _Side, other: _Side, identity: str) -> dict[str, str]:
    """Keys of rows of ``copy`` to those of the same rows of ``other``."""
    older = set(copy.end.older(copy.definition.wire, copy.keys))
    if not older:
        return {}
    names = sorted(copy.definition.wires & other.definition.wires)
    known, single = other.naturals(names), set(other.keys)
    mine = {text: key for text, key in copy.naturals(names).items() if key in older}
    equal = {key: known[text] for text, key in mine.items() if known.get(text) in single}
    if identity in ("", "same") and (equal or identity):
        return _edited(copy, other, older, single, equal, identity) | equal
    return equal


def _edited(
    copy: _Side, other: _Side, older: set[str], single: set[str], equal: Mapping[str, str], identity: str
) -> dict[str, str]:
    """Pairs of rows with one integer that differ, and are the same record all the same."""
    theirs = {int(text): key for text, key in other.naturals().items() if key in single}
    mine = {int(text): key for text, key in copy.naturals().items() if key in older}
    highest = max((number for number, key in mine.items() if key in equal), default=0)
    return {
        key: theirs[number]
        for number, key in mine.items()
        if number in theirs and (identity == "same" or number < highest)
    }
