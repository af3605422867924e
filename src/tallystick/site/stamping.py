"""Stamping: captured changes get their dots and seqs, before anyone reads changes (DESIGN.md 4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tallystick.core.changes import Rank, parents_first
from tallystick.core.values import Value
from tallystick.site import dangling, unnamed
from tallystick.site.capture import column_key, derived_keys, restored_capture
from tallystick.site.dangling import Marks
from tallystick.site.engines.engine import Address, Entry, Mark
from tallystick.site.holding import (
    aside_of,
    row_hash,
)
from tallystick.site.identity import address_of, local_of, natural_key, new_key
from tallystick.site.issuing import Change, Told, Touched, write_changes
from tallystick.site.ledger import DELETED, Ledger, Tracked
from tallystick.site.projection import restore_aside
from tallystick.site.schema import Identity
from tallystick.site.spelling import derived_key_kept, namesakes_apart, records_at


def stamp(
    ledger: Ledger,
    *,
    checked: bool = True,
    told: Told | None = None,
    stored: Sequence[tuple[Any, ...]] | None = None,
) -> int:
    """Stamp every committed mark. Returns how many records got a new seq. Call inside ``ledger.write()``.

    Without ``checked`` the structure of the database is not looked at: for followers, who do that once a second and
    stamp far more often. Whoever serves changes on demand must check. ``told`` is given what this stamps of marks in
    resources without references; what a check finds is not among it. ``stored`` are the rows of the engine's
    ``marking``, when the transaction began with them.
    """
    total = recapture(ledger) if checked else 0
    definitions = {item.number: item.definition for item in ledger.resources()}
    if not definitions:
        return total
    marks, last = ledger.engine.marks(definitions, stored)
    total += _stamp_marks(ledger, marks, told)
    if last:
        ledger.engine.clear_marks(last)
    if ledger.dangling:
        led = dangling.found(ledger)
        total += _stamp_marks(ledger, led)
    return total


def _stamp_marks(ledger: Ledger, marks: Marks, told: Told | None = None) -> int:
    """Stamp what marks speak of, parents first, and then the rows that name other records because of that."""
    total = 0
    order = parents_first([Rank(item.wire, item.definition.parents) for item in ledger.resources()]) if marks else []
    while marks:
        for wire in order:
            tracked = ledger.resource(wire)
            if tracked.number in marks:
                made = None if told is None or tracked.definition.parents else told.setdefault(wire, [])
                total += _stamp_resource(ledger, tracked, marks.pop(tracked.number), marks, made)
    return total


def recapture(ledger: Ledger) -> int:
    """Where the structure of the database changed, install capture again and compare tables with the ledger.

    Returns how many records got a new seq. Raises SchemaError when a tracked table is gone.
    """
    structure = ledger.engine.structure()
    if ledger.meta("structure") == structure:
        return 0
    changed = restored_capture(ledger)
    for wire in changed:
        restore_aside(ledger, ledger.resource(wire))
    total = sum(compare(ledger, ledger.resource(wire)) for wire in changed)
    ledger.put_meta("structure", ledger.engine.structure())
    return total


def compare(ledger: Ledger, tracked: Tracked) -> int:
    """Compare every row with the ledger and stamp the differences. Returns how many there were."""
    touched = differences(ledger, tracked)
    left_out = unnamed.note(ledger, tracked, [item.address for item in touched if item.address is not None])
    touched = [item for item in touched if item.address not in left_out]
    if not touched:
        return 0
    before = _keys_before(tracked, touched)
    changes = _read(ledger, tracked, touched)
    total = write_changes(ledger, tracked, changes)
    marks = _marked_children(ledger, tracked, before, changes, {})
    return total + _stamp_marks(ledger, marks)


def differences(ledger: Ledger, tracked: Tracked) -> list[Touched]:
    """Records whose rows are not what the ledger says: capture was bypassed or lost."""
    now = ledger.now()
    entries = {address_of(tracked.definition, entry.key, entry.local): entry for entry in all_shown(tracked)}
    found = []
    for address, values in tracked.rows.scan():
        entry = entries.pop(address, None)
        if entry is None:
            found.append(Touched(_dead(tracked, address), address, now, None))
        elif row_hash(tracked.definition, entry.key, values, aside_of(entry)) not in (entry.hash, entry.rendered):
            found.append(Touched(entry, address, now, None))
    found.extend(Touched(entry, None, now, None) for entry in entries.values())
    return found


def _dead(tracked: Tracked, address: Address) -> Entry | None:
    if tracked.definition.identity is not Identity.NATURAL:
        return None
    return records_at(tracked, [address]).get(address)


def _stamp_resource(
    ledger: Ledger,
    tracked: Tracked,
    mine: Sequence[Mark],
    marks: Marks,
    told: list[tuple[Entry, tuple[Value, ...] | None]] | None,
) -> int:
    """Stamp what the marks of one resource speak of; marks of rows that refer to it are added to ``marks``."""
    if tracked.definition.identity is Identity.NATURAL:
        touched = _follow_keys(tracked, mine)
    else:
        touched = _follow_rows(tracked, mine)
    touched = _with_names(ledger, tracked, mine, touched)
    before = _keys_before(tracked, touched)
    _move(ledger, tracked, touched)
    changes = _read(ledger, tracked, touched)
    total = write_changes(ledger, tracked, changes, told)
    _marked_children(ledger, tracked, before, changes, marks)
    return total


def _with_names(ledger: Ledger, tracked: Tracked, marks: Sequence[Mark], touched: list[Touched]) -> list[Touched]:
    """What marks speak of without rows that no key names, and with those that have one again by themselves."""
    addresses = {address for mark in marks for address in (mark.old, mark.new) if address is not None}
    suspects = unnamed.suspects(addresses)
    if not suspects:
        return touched
    left_out = unnamed.note(ledger, tracked, suspects)
    at = {item.address for item in touched}
    alone = [address for address in suspects if address not in at and address not in left_out]
    again = [Touched(None, address, ledger.now(), None) for address in alone]
    for item in touched:
        if item.address in left_out and _moved(tracked, item):
            item.address = None  # its row went where no key names it: under its own key there is none
    return [*(item for item in touched if item.address not in left_out), *again]


def _moved(tracked: Tracked, item: Touched) -> bool:
    """True for a record whose row is no longer where the ledger has it."""
    entry = item.entry
    if entry is None or entry.local is None:
        return False
    return address_of(tracked.definition, entry.key, entry.local) != item.address


def _keys_before(tracked: Tracked, touched: Sequence[Touched]) -> dict[Value, str]:
    """The keys that integers have in the ledger, for those of the records that rows may refer to."""
    if not tracked.definition.mapped:
        return {}
    entries = [item.entry for item in touched if item.entry is not None]
    return {entry.local: entry.key for entry in entries if entry.local is not None}


def _marked_children(
    ledger: Ledger, tracked: Tracked, before: Mapping[Value, str], changes: Sequence[Change], marks: Marks
) -> Marks:
    """Marks of rows that name other records now, or none, because integers of ``tracked`` changed hands."""
    if before:
        placed = [change for change in changes if change.values is not None and change.touched.address]
        after = {change.touched.address[0]: change.key for change in placed if change.touched.address}
        dangling.mark_children(ledger, tracked, before, after, marks)
    return marks


# Following marks -----------------------------------------------------------------------------------------------


def _follow_keys(tracked: Tracked, marks: Sequence[Mark]) -> list[Touched]:
    """For natural keys only the end matters: every address that a mark names is looked at again."""
    touched: dict[Address, Touched] = {}
    for mark in marks:
        if mark.kind == "T":
            for entry in all_shown(tracked):
                address = address_of(tracked.definition, entry.key, entry.local)
                touched.setdefault(address, Touched(entry, address, mark.at, None))
            continue
        stayed = mark.kind == "U" and mark.old == mark.new
        noted = mark if stayed else mark._replace(columns=None)
        for named in (mark.old,) if stayed else (mark.old, mark.new):
            if named is not None:
                item = touched.get(named)
                if item is None:
                    item = touched[named] = Touched(None, named, mark.at)
                item.note(noted)
    entries = records_at(tracked, touched)
    for address, item in touched.items():
        item.entry = entries.get(address)
    return list(touched.values())


def _follow_rows(tracked: Tracked, marks: Sequence[Mark]) -> list[Touched]:
    """For mapped and derived keys a record lives from insert to delete, wherever its primary key moves."""
    named = {address for mark in marks for address in (mark.old, mark.new) if address is not None}
    entries = _by_address(tracked, named)
    if any(mark.kind == "T" for mark in marks):
        entries.update({address_of(tracked.definition, entry.key, entry.local): entry for entry in all_shown(tracked)})
    holder: dict[Address, Touched | None] = {}
    everyone: list[Touched] = []

    def at(address: Address, mark: Mark) -> Touched | None:
        if address not in holder:
            entry = entries.get(address)
            holder[address] = Touched(entry, address, mark.at) if entry is not None else None
            if entry is not None:
                everyone.append(holder[address])  # type: ignore[arg-type]
        return holder[address]

    for mark in marks:
        _follow(mark, at, holder, everyone, entries)
    return everyone


def _follow(mark: Mark, at: Any, holder: dict[Address, Touched | None], everyone: list[Touched], entries: Any) -> None:
    if mark.kind == "T":
        for address in [*entries, *holder]:
            item = at(address, mark)
            if item is not None:
                item.note(mark)
                item.address, holder[address] = None, None
        return
    item = at(mark.old, mark) if mark.old is not None else at(mark.new, mark)
    if mark.kind == "I" and item is None:
        item = Touched(None, mark.new, mark.at, None)
        holder[mark.new] = item  # type: ignore[index]
        everyone.append(item)
    elif item is None and mark.kind == "U":
        item = Touched(None, mark.old, mark.at, None)
        holder[mark.old] = item  # type: ignore[index]
        everyone.append(item)
    if item is None:
        return
    item.note(mark)
    if mark.kind == "D":
        item.address, holder[mark.old] = None, None  # type: ignore[index]
    elif mark.kind == "U" and mark.old != mark.new:
        _displace(at(mark.new, mark), item, everyone)
        item.address, holder[mark.new], holder[mark.old] = mark.new, item, None  # type: ignore[index]


def _displace(there: Touched | None, moved: Touched, everyone: list[Touched]) -> None:
    """A row moves to an address at which marks spoke of one already.

    One that the ledger does not know is the moved row itself: what a cascade does to it is marked before its move. One
    that may have been evicted was.
    """
    if there is None or there is moved:
        return
    if there.entry is None:
        unsure = moved.columns is None or there.columns is None
        moved.columns = None if unsure else (moved.columns or frozenset()) | (there.columns or frozenset())
        everyone[:] = [item for item in everyone if item is not there]
    elif there.evicted:
        there.address = None


def all_shown(tracked: Tracked) -> list[Entry]:
    """Every entry whose row should exist. Live records that no row shows have no address, and their key is none."""
    found = tracked.rows.after(0, 1 << 62, 1 << 31, ())
    return [entry for entry, _ in found if entry.hash and not entry.flags & DELETED]


def _by_address(tracked: Tracked, addresses: Iterable[Address]) -> dict[Address, Entry]:
    by_local = {local_of(tracked.definition, "", address): address for address in addresses}
    return {by_local[local]: entry for local, entry in tracked.rows.by_locals(list(by_local)).items()}


def _move(ledger: Ledger, tracked: Tracked, touched: Sequence[Touched]) -> None:
    """Let the ledger know of moved rows at once, so that references to them are read as the right keys."""
    moved = []
    for item in touched:
        if item.entry is not None and item.entry.local is not None:
            local = None if item.address is None else local_of(tracked.definition, item.entry.key, item.address)
            if local != item.entry.local:
                moved.append((local, tracked.number, item.entry.seq))
                item.entry = item.entry._replace(local=local)
    if moved:
        sql = "UPDATE tally_record SET local=? WHERE resource=? AND seq=?"
        ledger.engine.executemany(sql, [(None, number, seq) for _, number, seq in moved])
        ledger.engine.executemany(sql, moved)


def _read(ledger: Ledger, tracked: Tracked, touched: Sequence[Touched]) -> list[Change]:
    """What the rows hold now, and the keys of new records."""
    definition = tracked.definition
    found = tracked.rows.values([item.address for item in touched if item.address is not None])
    if definition.identity is Identity.NATURAL and definition.respelled:
        touched = namesakes_apart(ledger, tracked, touched, found)
    if definition.wire in definition.parents:
        return _read_self_references(ledger, tracked, touched, found)
    return _named(ledger, tracked, touched, found)


def _named(
    ledger: Ledger, tracked: Tracked, touched: Sequence[Touched], found: Mapping[Address, tuple[Value, ...]]
) -> list[Change]:
    definition = tracked.definition
    changes = []
    derived: dict[Address, str] = {}
    if definition.identity is Identity.DERIVED:
        there = [item.address for item in touched if item.address in found]
        derived = dict(zip(there, derived_keys(ledger, tracked, there), strict=True))  # type: ignore[arg-type]
    for item in touched:
        values = found.get(item.address) if item.address is not None else None
        key = _key(tracked, item, values, derived)
        if item.entry is not None and key != item.entry.key:
            changes.append(Change(Touched(item.entry, None, item.at, None), item.entry.key, None))
            changes.append(Change(Touched(None, item.address, item.at, None), key, values))
        else:
            changes.append(Change(item, key, values))
    if definition.identity in (Identity.DERIVED, Identity.COLUMN) or definition.respelled:
        return _with_known_keys(tracked, changes)
    return changes


def _key(tracked: Tracked, item: Touched, values: tuple[Value, ...] | None, derived: Mapping[Address, str]) -> str:
    definition = tracked.definition
    if definition.identity is Identity.NATURAL:
        if item.entry is not None:
            return item.entry.key
        assert item.address is not None
        return natural_key(definition, item.address)
    if values is not None and definition.identity is Identity.DERIVED and item.address is not None:
        key = derived[item.address]
        return key if item.entry is None else derived_key_kept(tracked, item.entry, key, item.address)
    if values is not None and definition.identity is Identity.COLUMN:
        return column_key(definition, values)
    return item.entry.key if item.entry is not None else new_key()


def _with_known_keys(tracked: Tracked, changes: list[Change]) -> list[Change]:
    """A row whose key is made of its values may be one that the ledger knows, dead or alive."""
    unknown = [change.key for change in changes if change.touched.entry is None]
    entries = tracked.rows.by_keys(unknown)
    latest: dict[str, Change] = {}
    for change in changes:
        if change.touched.entry is None and change.key in entries:
            change.touched.entry = entries[change.key]
        if change.key not in latest or change.values is not None:
            latest[change.key] = change
    return list(latest.values())


def _read_self_references(
    ledger: Ledger, tracked: Tracked, touched: Sequence[Touched], found: Mapping[Address, tuple[Value, ...]]
) -> list[Change]:
    """New rows may refer to each other: the keys they get here take the place of unresolved integers."""
    changes = _named(ledger, tracked, touched, found)
    own = {f"\\?{change.touched.address[0]!s}": change.key for change in changes if change.touched.address}
    positions = [
        index for index, item in enumerate(tracked.definition.fields) if item.refers_to == tracked.definition.wire
    ]
    resolved = []
    for change in changes:
        if change.values is not None:
            values = list(change.values)
            for index in positions:
                values[index] = own.get(values[index], values[index])  # type: ignore[arg-type]
            change = change._replace(values=tuple(values))
        resolved.append(change)
    return resolved
