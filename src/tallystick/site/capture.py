"""Tracking: entering a table into the ledger, and noticing when capture was lost (DESIGN.md 4.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat

from tallystick.core.changes import Rank, parents_first
from tallystick.core.fingerprints import EMPTY, fingerprint_of
from tallystick.core.hashing import content_hashes
from tallystick.core.values import Value
from tallystick.errors import SchemaError
from tallystick.site import dangling, unnamed
from tallystick.site.engines.engine import Address, Entry, NewEntries
from tallystick.site.history import begin_again
from tallystick.site.identity import derived_key, local_of, natural_key, proposed_key
from tallystick.site.ledger import GENESIS, TOLD, Ledger, Tracked
from tallystick.site.schema import Definition, Identity, Reference, Table, define

_BATCH = 5000
_UNTRACKED = "untracked "
"""What tally_meta notes of a resource that was tracked once, before its wire name."""


def track(
    ledger: Ledger,
    names: Iterable[str] | None = None,
    references: Sequence[tuple[str, Reference]] = (),
    left_out: dict[str, str] | None = None,
) -> list[Tracked]:
    """Track tables (all that can be when ``names`` is None) and return those that are new, parents first.

    Rows that are there already become genesis records. With ``left_out``, tables that cannot be tracked are entered
    there with the reason, and the others are tracked. Raises SchemaError for an unknown table; and, without
    ``left_out``, for a named table without a primary key, or whose rows share a key.
    """
    tables = ledger.engine.tables()
    chosen = _chosen(tables, names)
    tracked_names = {item.definition.name for item in ledger.resources()}
    fresh = [name for name in chosen if name not in tracked_names]
    if names is None or left_out is not None:
        reasons = _reasons(ledger, tables, fresh)
        fresh = [name for name in fresh if name not in reasons]
        if left_out is not None:
            left_out.update(reasons)
    definitions = define(tables, fresh, ledger.naming(), references)
    by_wire = {definition.wire: definition for definition in definitions}
    order = parents_first([Rank(definition.wire, definition.parents) for definition in definitions])
    if any(ledger.meta(_UNTRACKED + wire) for wire in order):
        begin_again(ledger)  # their ticks begin again, and peers know others by the same numbers
    added = [ledger.add_resource(by_wire[wire]) for wire in order]
    pending: dict[str, dict[str, str]] = {wire: {} for wire in order}
    for tracked in [ledger.resource(wire) for wire in order]:
        ledger.engine.install_capture(tracked.number, tracked.definition)
        pending[tracked.wire] = _keys_by_integer(tracked)
    for wire in order:
        tracked = ledger.resource(wire)
        enter_rows(ledger, tracked, tracked.rows.scan(), pending)
    if added:
        ledger.put_meta("structure", ledger.engine.structure())
    return [ledger.resource(wire) for wire in order]


def _reasons(ledger: Ledger, tables: Sequence[Table], names: Collection[str]) -> dict[str, str]:
    """Those of the tables whose rows cannot be named, with the reason."""
    found = {}
    for table in tables:
        if table.name not in names:
            continue
        if table.barred or not table.primary_key:
            found[table.name] = table.barred or "it has no primary key"
        elif ledger.engine.keys_occur_twice(table):
            found[table.name] = "two of its rows have the same key, with NULL in it"
    return found


def _keys_by_integer(tracked: Tracked) -> dict[str, str]:
    """For a uuid column: the key of every integer, because other rows refer to the integers."""
    definition = tracked.definition
    if definition.identity is not Identity.COLUMN:
        return {}
    return {str(address[0]): column_key(definition, values) for address, values in tracked.rows.scan()}


def _chosen(tables: Sequence[Table], names: Iterable[str] | None) -> list[str]:
    """The tables to track, with those that they refer to."""
    known = {table.name: table for table in tables}
    if names is None:
        return [table.name for table in tables if table.primary_key]
    chosen = dict.fromkeys(names)
    queue = list(chosen)
    for name in queue:
        if name not in known:
            raise SchemaError(f"there is no table {name!r}", hint=f"tables: {', '.join(sorted(known)) or 'none'}")
        for reference in known[name].references:
            if reference.parent in known and reference.parent not in chosen:
                chosen[reference.parent] = None
                queue.append(reference.parent)
    return list(chosen)


def untrack(ledger: Ledger, tracked: Tracked) -> None:
    """Remove capture and the ledger's rows of one resource; the application's table stays as it is."""
    ledger.engine.remove_capture(tracked.number, tracked.definition.name)
    ledger.put_meta(_UNTRACKED + tracked.wire, "1")
    ledger.put_meta(TOLD + tracked.wire, "")
    ledger.remove_resource(tracked)


def enter_rows(
    ledger: Ledger,
    tracked: Tracked,
    rows: Iterable[tuple[Address, tuple[Value, ...]]],
    pending: Mapping[str, Mapping[str, str]],
    named: Mapping[str, str] | None = None,
) -> None:
    """Enter rows older than tracking: each is named by its content hash beside its dot.

    ``pending`` are the resources entered in the same step, with the keys of their rows (see ``_resolved``).
    ``named`` gives keys to mapped rows by their integers as text, in place of the proposed ones.
    """
    definition = tracked.definition
    own = ledger.origin_number(ledger.origin)
    refers = any(item.refers_to in pending for item in definition.fields)
    for batch in _batches(rows):
        if left_out := unnamed.note(ledger, tracked, (address for address, _ in batch)):
            batch = [row for row in batch if row[0] not in left_out]
            if not batch:
                continue
        if refers:
            known = _led_to(ledger, definition, batch, pending)
            batch = [(address, _resolved(definition, values, known)) for address, values in batch]
        dangling.note(ledger, tracked, [values for _, values in batch])
        keys = keys_of_rows(ledger, tracked, batch)
        if named:
            keys = [named.get(str(address[0]), key) for (address, _), key in zip(batch, keys, strict=True)]
        seqs = ledger.next_seqs(tracked, len(batch))
        ticks = ledger.next_ticks(tracked, len(batch))
        hashes = content_hashes(definition.names, keys, list(zip(*(values for _, values in batch), strict=True)))
        locals_ = _locals(definition, keys, batch)
        _check_once(tracked, keys)
        same = [own] * len(keys), ticks, [0] * len(keys), hashes, [GENESIS] * len(keys)
        tracked.rows.put_new(NewEntries(seqs, keys, locals_, *same))
        ledger.count(tracked, fingerprint_of(keys, hashes, hashes), EMPTY)


def _locals(
    definition: Definition, keys: Sequence[str], rows: Sequence[tuple[Address, tuple[Value, ...]]]
) -> list[Value] | None:
    """What the ledger notes as ``local`` of the rows, None where that is nothing."""
    if definition.identity is Identity.NATURAL and all(
        key is address[0] for key, (address, _) in zip(keys, rows, strict=True)
    ):
        return None
    found = [local_of(definition, key, address) for key, (address, _) in zip(keys, rows, strict=True)]
    return None if set(found) == {None} else found


def _check_once(tracked: Tracked, keys: Sequence[str]) -> None:
    """Raises SchemaError when two rows have the same key."""
    if len(set(keys)) != len(keys):
        twice = next(key for key, count in Counter(keys).items() if count > 1)
        raise SchemaError(
            f"two rows of {tracked.definition.name!r} have the same key {twice!r} (NULL in a primary key)",
            hint="make the primary key unique and NOT NULL, or exclude the table",
        )


def _led_to(
    ledger: Ledger,
    definition: Definition,
    rows: Sequence[tuple[Address, tuple[Value, ...]]],
    pending: Mapping[str, Mapping[str, str]],
) -> dict[str, dict[str, str]]:
    """The keys of rows that are entered in the same step and that ``rows`` refer to: by wire name, by integer as text.

    ``pending`` holds those that are not proposed by the integer. A reference that leads nowhere has none.
    """
    found: dict[str, dict[str, str]] = {}
    for index, item in enumerate(definition.fields):
        if item.refers_to in pending:
            values = {values[index] for _, values in rows}
            wanted = [int(value[2:]) for value in values if isinstance(value, str) and value.startswith("\\?")]
            there = ledger.resource(item.refers_to).rows.values([(integer,) for integer in wanted]) if wanted else {}
            given = pending[item.refers_to]
            names = {str(integer): given.get(str(integer), str(integer)) for (integer,) in there}
            found.setdefault(item.refers_to, {}).update(names)
    return found


def _resolved(
    definition: Definition, values: tuple[Value, ...], keys: Mapping[str, Mapping[str, str]]
) -> tuple[Value, ...]:
    """Values with references to rows that are entered in the same step named by the keys those will get.

    ``keys`` maps, per wire name, integers as text to keys; a reference without one stays as it is.
    """
    changed = list(values)
    for index, item in enumerate(definition.fields):
        value = changed[index]
        if item.refers_to in keys and isinstance(value, str) and value.startswith("\\?"):
            changed[index] = keys[item.refers_to].get(value[2:], value)
    return tuple(changed)


def keys_of_rows(ledger: Ledger, tracked: Tracked, rows: Sequence[tuple[Address, tuple[Value, ...]]]) -> list[str]:
    """The keys under which rows older than tracking enter the ledger."""
    definition = tracked.definition
    if definition.identity is Identity.NATURAL:
        return _texts(rows) or [natural_key(definition, address) for address, _ in rows]
    if definition.identity is Identity.MAPPED:
        return [proposed_key(address) for address, _ in rows]
    if definition.identity is Identity.COLUMN:
        return [column_key(definition, values) for _, values in rows]
    return derived_keys(ledger, tracked, [address for address, _ in rows])


def _texts(rows: Sequence[tuple[Address, tuple[Value, ...]]]) -> list[str] | None:
    """Primary keys that are keys as they are, which most texts are; None where one of them is not."""
    keys = [address[0] for address, _ in rows if len(address) == 1 and type(address[0]) is str]
    return None if len(keys) != len(rows) or any(map(str.startswith, keys, repeat("\\"))) else keys


def column_key(definition: Definition, values: Sequence[Value]) -> str:
    """The key that the uuid column holds."""
    return str(values[definition.columns.index(definition.key_column)])


def derived_keys(ledger: Ledger, tracked: Tracked, addresses: Sequence[Address]) -> list[str]:
    """Keys made of the keys of the referenced records."""
    columns = list(zip(*addresses, strict=True)) if addresses else []
    parts: list[Sequence[Value]] = []
    for item, values in zip(tracked.definition.key_fields, columns, strict=bool(addresses)):
        part: Sequence[Value] = values
        if item.refers_to:
            part = reference_keys(ledger, item.refers_to, values)
            dangling.note_keys(ledger, tracked, item, part)
        parts.append(part)
    return [derived_key(tracked.definition, row) for row in zip(*parts, strict=True)]


def reference_keys(ledger: Ledger, wire: str, locals_: Sequence[Value]) -> list[Value]:
    """Keys of the records whose rows in resource ``wire`` have these integers; ``\\?integer`` where there is none."""
    known: Mapping[object, Entry] = {}
    if ledger.has(wire):
        known = ledger.resource(wire).rows.by_locals(sorted({value for value in locals_ if value is not None}, key=str))
    return [None if value is None else known[value].key if value in known else f"\\?{value!s}" for value in locals_]


def _batches(rows: Iterable[tuple[Address, tuple[Value, ...]]]) -> Iterator[list[tuple[Address, tuple[Value, ...]]]]:
    batch: list[tuple[Address, tuple[Value, ...]]] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def restored_capture(ledger: Ledger) -> list[str]:
    """Install capture where it is not what it should be, and take over changed definitions.

    Returns the wire names of the resources whose rows must be compared with the ledger. Raises SchemaError when a
    tracked table is gone.
    """
    tables = ledger.engine.tables()
    follow_renamed(ledger, {table.name for table in tables})
    names = [item.definition.name for item in ledger.resources() if item.definition.identity is not Identity.MANAGED]
    missing = set(names) - {table.name for table in tables}
    if missing:
        raise SchemaError(
            f"the tracked table {min(missing)!r} is gone",
            hint=f"put it back, or run: tallystick untrack SITE {min(missing)}",
        )
    definitions = {item.name: item for item in define(tables, names, ledger.naming(), ledger.references())}
    changed = []
    for tracked in ledger.resources():
        definition = definitions.get(tracked.definition.name)
        if definition is None:
            continue
        same = definition == tracked.definition
        if same and ledger.engine.capture_intact(tracked.number, definition):
            continue
        _same_identity(tracked.definition, definition)
        _no_column_gone(tracked.definition, definition)
        if not same:
            ledger.change_resource(tracked.number, definition)
        ledger.engine.install_capture(tracked.number, definition)
        changed.append(definition.wire)
    return changed


def follow_renamed(ledger: Ledger, tables: Collection[str]) -> None:
    """Take over the new names of tracked tables that were renamed: our triggers went with them.

    On the wire they keep the names that other ends know.
    """
    for tracked in ledger.resources():
        before = tracked.definition
        if before.identity is Identity.MANAGED or before.name in tables:
            continue
        after = ledger.engine.captured_table(tracked.number)
        if after in tables and after is not None:
            ledger.rename_table(before.name, after, before.wire)
            ledger.change_resource(tracked.number, replace(before, name=after))


def _no_column_gone(before: Definition, after: Definition) -> None:
    """Raises SchemaError where columns were dropped or renamed: as an edit that would empty them at every other end."""
    gone = sorted(item.column for item in before.fields if item.wire not in after.wires)
    if gone:
        raise SchemaError(
            f"columns of {before.name!r} were dropped or renamed since it was tracked: {', '.join(gone)}",
            hint=f"put them back, or say that this end does without: tallystick untrack SITE {before.name}, "
            "then track it again; the other ends keep their values",
        )


def _same_identity(before: Definition, after: Definition) -> None:
    """Raises SchemaError where a new primary key would give every record another name."""
    if (before.identity is Identity.NATURAL) != (after.identity is Identity.NATURAL):
        raise SchemaError(
            f"the primary key of the tracked table {after.name!r} became another one "
            f"({', '.join(before.key_columns)}, now {', '.join(after.key_columns)}), so its records have no names",
            hint=f"put it back, or change it at every site, run tallystick untrack SITE {after.name}, and sync again",
        )
