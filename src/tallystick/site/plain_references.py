"""Declared references to natural keys: their values travel as they are, and the rows must be there (DESIGN.md 4.4)."""

from __future__ import annotations

from collections.abc import Collection

from tallystick.core.values import Value
from tallystick.site.engines.engine import Address
from tallystick.site.ledger import Ledger
from tallystick.site.schema import Definition


def natural_parents(definition: Definition) -> list[tuple[str, str, int]]:
    """Declared references by one column to a natural key: parent table and column, position among the fields."""
    positions = {name: index for index, name in enumerate(definition.columns)}
    mapped = {item.column for item in definition.fields if item.refers_to}
    return [
        (reference.parent, reference.parent_columns[0], positions[reference.columns[0]])
        for reference in definition.references
        if reference.declared and len(reference.columns) == 1 and reference.columns[0] in positions.keys() - mapped
    ]


def absent_parents(ledger: Ledger, parent: str, column: str, wanted: Collection[Value]) -> set[Value]:
    """Those of the wanted values that no row of the parent table has in the column."""
    if not wanted:
        return set()
    quoted = [name.replace('"', '""') for name in (column, parent)]
    sql = f'SELECT "{quoted[0]}" FROM "{quoted[1]}" WHERE "{quoted[0]}" IN (*)'
    return set(wanted) - {row[0] for row in ledger.engine.query_in(sql, (), list(wanted))}


def parents_spelled(ledger: Ledger, parent: str, column: str, wanted: Collection[Value]) -> dict[Value, Value]:
    """References to natural keys as the rows of the parent table spell them, where they do so in another way."""
    tracked = next((item for item in ledger.resources() if item.definition.name == parent), None)
    if not wanted or tracked is None or tracked.definition.key_columns != (column,):
        return {}
    asked: dict[Value, Address] = {value: (value,) for value in wanted}
    if tracked.definition.respelled:
        asked = dict(zip(wanted, tracked.rows.spelled(list(asked.values())), strict=True))
    there = tracked.rows.respelled([address[0] for address in asked.values()])
    return {value: there[address[0]] for value, address in asked.items() if address[0] in there}
