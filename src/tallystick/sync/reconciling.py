"""An end behind purged deletions lets go of what they deleted (DESIGN.md 4.5)."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.core.changes import Rank, parents_first
from tallystick.core.versions import vector_covers
from tallystick.site.schema import Definition
from tallystick.sync.comparing import differences
from tallystick.sync.replica import Known, Replica, Scope


def reconcile(source: Replica, target: Replica, scope: Scope, known: Known) -> None:
    """A target behind purged deletions finds by comparison what the source no longer has. ``known`` is its digest."""
    theirs = source.digest("", scope)
    behind = set()
    for wire, forgotten in theirs.forgotten.items():
        here = known.prints.get(wire)
        if here and here[0] and wire not in scope.filters and not vector_covers(known.digests[wire], forgotten):
            behind.add(wire)
    for wire in children_first(target.describe().resources) if behind else ():
        if wire in behind:
            keys = differences(target, source, wire).mine
            target.reconcile(wire, keys, theirs.digests[wire], theirs.forgotten[wire])


def children_first(definitions: Iterable[Definition]) -> list[str]:
    """Wire names, those that refer to others before these."""
    listed = list(definitions)
    wires = {item.name: item.wire for item in listed}
    ranks = []
    for item in listed:
        plain = (wires[one.parent] for one in item.references if one.parent in wires)
        ranks.append(Rank(item.wire, (*item.parents, *plain)))
    return parents_first(ranks)[::-1]
