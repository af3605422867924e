"""Settling what equal integers mean before first contact (DESIGN.md 4.4: ``--identity separate|natural``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tallystick.core.changes import Rank, parents_first
from tallystick.core.fingerprints import EMPTY
from tallystick.core.values import composite_key
from tallystick.errors import SchemaError
from tallystick.site.capture import enter_rows
from tallystick.site.engines.engine import Entry
from tallystick.site.identity import address_of
from tallystick.site.ledger import DELETED, Ledger, Tracked
from tallystick.site.schema import Identity


def natural_values(ledger: Ledger, tracked: Tracked, columns: Sequence[str]) -> dict[str, str]:
    """For every live record its values of ``columns`` as text, to its key. Values that are not unique are left out."""
    positions = [_position(tracked, column) for column in columns]
    found: dict[str, str] = {}
    twice: set[str] = set()
    for entry, values in tracked.rows.after(0, 1 << 62, 1 << 31, (), False):
        if values is not None:
            text = composite_key([values[position] for position in positions])
            if text in found:
                twice.add(text)
            found[text] = entry.key
    return {text: key for text, key in found.items() if text not in twice}


def _position(tracked: Tracked, column: str) -> int:
    names = tracked.definition.names
    if column not in names:
        raise SchemaError(f"{tracked.wire!r} has no field {column!r}", hint=f"fields: {', '.join(names)}")
    return names.index(column)


def rekey(ledger: Ledger, tracked: Tracked, keys: Mapping[str, str]) -> None:
    """Give records other keys, and everything that refers to them their new content. Call inside ``write``.

    Raises SchemaError once this site holds changes of another one: its names are known there.
    """
    affected = _affected(ledger, tracked)
    for item in affected:
        if any(origin != ledger.origin for origin in ledger.digest(item)):
            raise SchemaError(
                f"{item.wire!r} has already agreed with another site, so its records keep their keys",
                hint="settle --identity at the first synchronization, or untrack and track the table again",
            )
    named = {item.wire: _named(item, keys if item is tracked else {}) for item in affected}
    for item in affected:
        _enter_again(ledger, item, named[item.wire])


def _affected(ledger: Ledger, tracked: Tracked) -> list[Tracked]:
    """The resource and all that refer to it, parents first."""
    wires = {tracked.wire}
    grown = True
    while grown:
        more = {item.wire for item in ledger.resources() if wires & set(item.definition.parents)}
        grown = not more <= wires
        wires |= more
    order = parents_first([Rank(item.wire, item.definition.parents) for item in ledger.resources()])
    return [ledger.resource(wire) for wire in order if wire in wires]


def _named(tracked: Tracked, keys: Mapping[str, str]) -> dict[str, str]:
    if tracked.definition.identity is not Identity.MAPPED:
        return {}
    entries: list[Entry] = [entry for entry, _ in tracked.rows.after(0, 1 << 62, 1 << 31, (), False)]
    return {
        str(address_of(tracked.definition, entry.key, entry.local)[0]): keys.get(entry.key, entry.key)
        for entry in entries
        if not entry.flags & DELETED
    }


def _enter_again(ledger: Ledger, tracked: Tracked, named: Mapping[str, str]) -> None:
    tracked.rows.forget_all()
    tracked.fingerprint = EMPTY
    own = {tracked.wire: named} if tracked.wire in tracked.definition.parents else {}
    enter_rows(ledger, tracked, tracked.rows.scan(), own, named)
