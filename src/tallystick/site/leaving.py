"""Records that left a filter, where the task deletes what left (DESIGN.md 4.5).

A row that others refer to stays: what a cascade took along would be deleted at home, too. Rows that leave together hold
nothing among themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tallystick.core.changes import Rank, parents_first
from tallystick.site import parking
from tallystick.site.engines.engine import Address, Entry
from tallystick.site.holding import Kept, Whole, held, make_entry
from tallystick.site.identity import address_of
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.projection import Projector, Writing
from tallystick.site.referring import referred
from tallystick.site.schema import Definition, Identity, Reference


class Left(NamedTuple):
    """A record whose row is gone now: its entry and whole before and after."""

    old: Entry
    old_whole: Whole | None
    new: Entry
    whole: Whole | None


def unreferred(ledger: Ledger, leaving: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Those of the records (keys by wire name) with a row to which none refers, but such as leave together."""
    ranks = [Rank(wire, ledger.resource(wire).definition.parents) for wire in leaving]
    going: dict[str, set[Address]] = {}
    found: dict[str, list[str]] = {}
    for wire in reversed(parents_first(_with_plain_parents(ledger, ranks))):
        tracked = ledger.resource(wire)
        live = [entry for entry in tracked.rows.by_keys(leaving[wire]).values() if entry.hash]
        if tracked.definition.identity is Identity.MANAGED:
            found[wire] = [entry.key for entry in live]
            continue
        addresses = {address_of(tracked.definition, entry.key, entry.local): entry.key for entry in live}
        free = going[tracked.definition.name] = set(addresses)
        while blocked := _referred(ledger, tracked.definition, free, going):
            free -= blocked
        found[wire] = [key for address, key in addresses.items() if address in free]
    return found


def _with_plain_parents(ledger: Ledger, ranks: Sequence[Rank]) -> list[Rank]:
    """Ranks with the resources, too, that rows refer to by plain keys."""
    wires = {ledger.resource(rank.name).definition.name: rank.name for rank in ranks}
    found = []
    for rank in ranks:
        references = ledger.resource(rank.name).definition.references
        plain = (wires[one.parent] for one in references if one.declared and one.parent in wires)
        found.append(Rank(rank.name, (*rank.references, *plain)))
    return found


def _referred(
    ledger: Ledger, definition: Definition, addresses: Collection[Address], going: Mapping[str, set[Address]]
) -> set[Address]:
    """Those of the rows to which a row refers that does not go."""
    blocked: set[Address] = set()
    for child, reference in definition.referrers if addresses else ():
        if child in going and len(definition.key_columns) == 1:
            blocked |= _staying(ledger, definition, child, reference, addresses, going[child])
        else:
            blocked |= referred(ledger, definition, child, reference, list(addresses))
    return blocked & set(addresses)


def _staying(
    ledger: Ledger,
    definition: Definition,
    child: str,
    reference: Reference,
    addresses: Collection[Address],
    going: Collection[Address],
) -> set[Address]:
    keys = next(item.definition.key_columns for item in ledger.resources() if item.definition.name == child)
    same = " AND ".join(
        f"c.{_quoted(column)}=p.{_quoted(parent)}"
        for column, parent in zip(reference.columns, reference.parent_columns, strict=True)
    )
    key = f"p.{_quoted(definition.key_columns[0])}"
    listed = ", ".join(f"c.{_quoted(name)}" for name in keys)
    sql = (
        f"SELECT {key}, {listed} FROM {_quoted(definition.name)} p JOIN {_quoted(child)} c ON {same} WHERE {key} IN (*)"
    )
    rows = ledger.engine.query_in(sql, (), [address[0] for address in addresses])
    return {(row[0],) for row in rows if tuple(row[1:]) not in going}


def leave(
    ledger: Ledger,
    tracked: Tracked,
    entries: Sequence[Entry],
    wholes: Mapping[str, Whole],
    shown: Mapping[str, dict[str, object]],
) -> list[Left]:
    """Delete the rows of records that left the filter, and hold the records. ``shown`` is what the rows hold.

    Call inside ``ledger.write()``. Records that rows refer to are not among those returned, and keep their rows.
    """
    free = set(unreferred(ledger, {tracked.wire: [entry.key for entry in entries]})[tracked.wire])
    writings = {entry.key: Writing(entry.key, None, entry) for entry in entries if entry.key in free}
    Projector(ledger, tracked).write(list(writings.values()))
    gone = [entry for entry in entries if entry.key in writings and not writings[entry.key].failure]
    found = []
    for entry, seq in zip(gone, ledger.next_seqs(tracked, len(gone)), strict=True):
        before = held(ledger, entry, shown.get(entry.key), wholes.get(entry.key))
        kept = Kept(before.record, (), b"", None, unshown=True)
        new, whole = make_entry(ledger, entry.key, seq, entry.born_seq, kept)
        parking.decline(ledger, tracked, entry.key, parking.LEFT)
        found.append(Left(entry, wholes.get(entry.key), new, whole))
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
