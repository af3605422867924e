"""References by integer whose meaning changes without a change of the row that holds them (DESIGN.md 4.2, 4.4).

A row refers to an integer; what travels is the key of the record that has it. The record may come later, or go while
the row stays: then the row names another record, or none, and no trigger saw it. Integers that rows refer to and
nobody has are noted, so that who looks for them later need not look at every row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from tallystick.core.values import Value
from tallystick.site.engines.engine import Address, Mark
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.schema import Field

DANGLING = "\\?"
"""How a reference to an integer begins under which no record is known where it was read."""

Marks = dict[int, list[Mark]]
"""Marks by resource number."""


def note(ledger: Ledger, tracked: Tracked, rows: Sequence[Sequence[Value]]) -> None:
    """Note which integers the rows (field values, references as keys) refer to that nobody has."""
    for index, item in enumerate(tracked.definition.fields):
        if item.refers_to:
            note_keys(ledger, tracked, item, [values[index] for values in rows])


def note_keys(ledger: Ledger, tracked: Tracked, target: Field, keys: Iterable[Value]) -> None:
    """Note those of the keys that one column of ``tracked`` refers to by nothing but an integer."""
    lost = {key for key in keys if isinstance(key, str) and key.startswith(DANGLING)}
    integers = sorted(int(key[2:]) for key in lost if key[2:].lstrip("-").isdigit())
    if not integers or not ledger.has(target.refers_to):
        return
    parent = ledger.resource(target.refers_to).number
    ledger.engine.executemany(
        "INSERT INTO tally_dangling(parent, integer, child) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(parent, integer, tracked.number) for integer in integers],
    )
    ledger.note_dangling(True)


def integers(ledger: Ledger, parent: Tracked, child: Tracked) -> list[Value]:
    """Integers noted of ``parent`` that rows of ``child`` referred to and nobody had: some may have come since."""
    sql = "SELECT integer FROM tally_dangling WHERE parent=? AND child=? ORDER BY integer"
    return [row[0] for row in ledger.engine.query(sql, (parent.number, child.number))]


def found(ledger: Ledger) -> Marks:
    """Marks of the rows that led nowhere and lead somewhere now. Call inside ``ledger.write()``."""
    rows = ledger.engine.query(
        "SELECT d.parent, d.integer, d.child FROM tally_dangling d "
        "JOIN tally_record r ON r.resource=d.parent AND r.local=d.integer AND (r.flags & 1)=0"
    )
    marks: Marks = {}
    if not rows:
        return marks
    numbered = {item.number: item for item in ledger.resources()}
    integers: dict[tuple[int, int], set[Value]] = {}
    for parent, integer, child in rows:
        integers.setdefault((parent, child), set()).add(integer)
    for (parent, child), values in sorted(integers.items()):
        mark_rows(ledger, numbered[child], numbered[parent], values, marks)
    ledger.engine.executemany("DELETE FROM tally_dangling WHERE parent=? AND integer=? AND child=?", rows)
    ledger.note_dangling(bool(ledger.engine.query("SELECT 1 FROM tally_dangling LIMIT 1")))
    return marks


def mark_children(
    ledger: Ledger, parent: Tracked, before: Mapping[Value, str], after: Mapping[Value, str], marks: Marks
) -> None:
    """Mark the rows that refer to integers which had one key ``before`` and have another, or none, ``after``."""
    changed = {integer for integer, key in before.items() if after.get(integer) != key}
    if changed:
        for child in ledger.resources():
            if parent.wire in child.definition.parents:
                mark_rows(ledger, child, parent, changed, marks)


def mark_rows(ledger: Ledger, child: Tracked, parent: Tracked, integers: Collection[Value], marks: Marks) -> None:
    """Mark the rows of ``child`` that refer to those integers of ``parent``."""
    definition = child.definition
    for item in (*definition.fields, *definition.key_fields):
        if item.refers_to == parent.wire:
            columns = frozenset((item.column,)) if item in definition.fields else None
            for address in _referring(ledger, child, item.column, integers):
                mark = Mark("U", address, address, ledger.now(), columns)
                marks.setdefault(child.number, []).append(mark)


def _referring(ledger: Ledger, child: Tracked, column: str, integers: Collection[Value]) -> list[Address]:
    names = [name.replace('"', '""') for name in (*child.definition.key_columns, child.definition.name, column)]
    *keys, table, referring = (f'"{name}"' for name in names)
    sql = f"SELECT {', '.join(keys)} FROM {table} WHERE {referring} IN (*)"
    return [tuple(row) for row in ledger.engine.query_in(sql, (), sorted(integers, key=str))]
