"""From logged changes to net ones: what the holder of an older state has to be told (spec ics 4.1, 4.3, 6). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tallystick.stores.changelog import Kind, Row


class Net(NamedTuple):
    """Net changes, each object (by its log entry) in at most one group, each group in delivery order.

    Groups are delivered in the order of the fields: deletions always follow updates.
    """

    updates: dict[int, bool]
    """Entry -> True when the object is new to whoever stands at the older state."""
    softs: dict[int, None]
    hards: dict[int, None]
    reads: dict[int, bool]
    """Entry -> the read flag's value."""

    @property
    def empty(self) -> bool:
        """True when there is nothing to tell."""
        return not (self.updates or self.softs or self.hards or self.reads)


def nothing() -> Net:
    """No changes."""
    return Net({}, {}, {}, {})


def coalesce(rows: Iterable[Row]) -> Net:
    """The net of ``rows``, which are ascending by seq.

    First position and first kind of an update stand; a deletion ends whatever came before it; what comes back under
    the same key is an update that is not new; a read flag is only told of objects that nothing else happened to.
    """
    net = nothing()
    for row in rows:
        _add(net, row.entry, row.kind, row.value)
    return net


def _add(net: Net, entry: int, kind: Kind, value: bool) -> None:
    updates, softs, hards, reads = net
    if kind is Kind.NEW or kind is Kind.CHANGE:
        if entry not in updates:
            updates[entry] = not _drop(net, entry) and kind is Kind.NEW
    elif kind is Kind.FLAG:
        if entry not in updates and entry not in softs and entry not in hards:
            reads[entry] = value
    else:
        _drop(net, entry)
        (softs if kind is Kind.SOFT else hards)[entry] = None


def _drop(net: Net, entry: int) -> bool:
    """Forget what was to be told of ``entry``; True if there was anything."""
    found = False
    for group in net:
        if entry in group:
            del group[entry]
            found = True
    return found
