"""Settling what equal integers mean before first contact (DESIGN.md 4.4: ``--identity separate|natural``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tallystick.core.changes import Rank, parents_first
from tallystick.core.values import composite_key
from tallystick.errors import SchemaError
from tallystick.site.capture import derived_keys
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import aside_of, row_hash, terms_of
from tallystick.site.identity import address_of, local_of
from tallystick.site.ledger import DELETED, TOLD, Ledger, Tracked
from tallystick.site.schema import Identity


def note_told(ledger: Ledger, wires: Iterable[str]) -> None:
    """Note that somebody is about to be told of resources, and will know their records by the keys they have now.

    Call inside ``write``.
    """
    for wire in wires:
        ledger.put_meta(TOLD + wire, "1")


def natural_values(ledger: Ledger, tracked: Tracked, columns: Sequence[str]) -> dict[str, str]:
    """For every live record its values of ``columns`` as text, to its key. Values that are not unique are left out.

    Among the columns may be the integer primary key of a mapped resource.
    """
    keyed = tracked.definition.mapped and tracked.definition.key_fields[0].wire
    positions = [None if column == keyed else _position(tracked, column) for column in columns]
    found: dict[str, str] = {}
    twice: set[str] = set()
    for entry, values in tracked.rows.after(0, 1 << 62, 1 << 31, (), False):
        if values is not None:
            text = composite_key([entry.local if at is None else values[at] for at in positions])
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

    Raises SchemaError once this site holds changes of another one, or has told others of its own: its names are known
    there.
    """
    affected = _affected(ledger, tracked)
    for item in affected:
        if ledger.meta(TOLD + item.wire) or any(origin != ledger.origin for origin in ledger.digest(item)):
            raise SchemaError(
                f"{item.wire!r} has already agreed with another site, so its records keep their keys",
                hint="settle --identity at the first synchronization, or untrack and track the table again",
            )
    for item in affected:
        _rename(ledger, item, keys if item is tracked else {})


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


def _rename(ledger: Ledger, tracked: Tracked, keys: Mapping[str, str]) -> None:
    """Give records their new keys, and then their new content hashes: rows may refer to each other.

    Dots stay: nobody knows them yet. So do tombstones, and rows that were edited since they were entered.
    """
    _replace(ledger, tracked, [(entry, _named(tracked, entry, keys[entry.key])) for entry in _live(tracked, keys)])
    changed = []
    entries = tracked.rows.after(0, 1 << 62, 1 << 31, (), False)
    rows = [(entry, values) for entry, values in entries if values is not None]
    for (entry, values), key in zip(rows, _keys_now(ledger, tracked, [entry for entry, _ in rows]), strict=True):
        digest = row_hash(tracked.definition, key, values, aside_of(entry))
        if (key, digest) != (entry.key, entry.hash):
            changed.append((entry, entry._replace(key=key, hash=digest)))
    _replace(ledger, tracked, changed)


def _named(tracked: Tracked, entry: Entry, key: str) -> Entry:
    """An entry under another key; its row is where it was."""
    definition = tracked.definition
    if definition.identity is not Identity.NATURAL:
        return entry._replace(key=key)
    return entry._replace(key=key, local=local_of(definition, key, address_of(definition, entry.key, entry.local)))


def _live(tracked: Tracked, keys: Mapping[str, str]) -> list[Entry]:
    return [entry for entry in tracked.rows.by_keys(list(keys)).values() if not entry.flags & DELETED]


def _keys_now(ledger: Ledger, tracked: Tracked, entries: Sequence[Entry]) -> list[str]:
    """The keys of records, made anew where they are made of those of others."""
    if tracked.definition.identity is not Identity.DERIVED:
        return [entry.key for entry in entries]
    return derived_keys(ledger, tracked, [address_of(tracked.definition, entry.key, entry.local) for entry in entries])


def _replace(ledger: Ledger, tracked: Tracked, changes: Sequence[tuple[Entry, Entry]]) -> None:
    if changes:
        seqs = ledger.next_seqs(tracked, len(changes))
        made = [entry._replace(seq=seq) for (_, entry), seq in zip(changes, seqs, strict=True)]
        tracked.rows.put(made, [entry.seq for entry, _ in changes])
        removed = terms_of(ledger, ((entry, None) for entry, _ in changes))
        ledger.count(tracked, terms_of(ledger, ((entry, None) for entry in made)), removed)
