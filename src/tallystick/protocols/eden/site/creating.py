"""Tables made at a site as a peer describes them, or mapped onto those that are there (spec/eden.md: section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tallystick.core.values import Logical
from tallystick.errors import SchemaError
from tallystick.protocols.eden.codec.schema import META_FIELDS, UNSHARED_TABLES, Field, Kind, Table
from tallystick.protocols.eden.site.catalog import Catalog
from tallystick.protocols.eden.site.values import COLUMNS
from tallystick.site import schema
from tallystick.site.capture import track
from tallystick.site.ledger import Ledger

NUMBER = "id"
"""The primary key of created tables: a number that means nothing elsewhere."""


def create_tables(ledger: Ledger, catalog: Catalog, tables: Sequence[Table]) -> list[str]:
    """Create the tables that are missing, track all of them, and keep their descriptions. Returns what was created.

    A reference to a table that is neither here nor among ``tables`` is kept as text, the identifier of its target.
    Components go with their record; other references are emptied when their target is deleted, mandatory ones forbid
    it. Raises SchemaError, and then nothing is changed.
    """
    with ledger.write():
        existing = {one.name: one for one in ledger.engine.tables()}
        wanted = [one for one in tables if one.name not in existing and one.name not in UNSHARED_TABLES]
        keys = {one.name: one.primary_key for one in existing.values()} | {one.name: (NUMBER,) for one in wanted}
        belonging = {(part.table, part.key) for one in tables for part in one.components}
        for table in _parents_first(wanted):
            made = _schema(table, keys, belonging)
            ledger.engine.create_table(made)
            for reference in made.references:
                (column,) = reference.columns
                ledger.engine.execute(
                    f"CREATE INDEX {_quoted(f'{table.name}_{column}')} ON {_quoted(table.name)} ({_quoted(column)})"
                )
        _track(ledger, [one.name for one in tables if one.name not in UNSHARED_TABLES])
        for table in wanted:
            catalog.describe(table, table.name, {})
    catalog.read()
    return [one.name for one in wanted]


def map_table(ledger: Ledger, catalog: Catalog, table: Table, local: str, columns: Mapping[str, str]) -> None:
    """Synchronize the local table ``local`` as Eden's ``table``; ``columns`` are those called differently here.

    The table is tracked where it is not. Raises SchemaError for a table or column that is not here.
    """
    with ledger.write():
        known = {one.name: one for one in ledger.engine.tables()}
        if local not in known:
            raise SchemaError(f"there is no table {local!r}", hint=f"tables: {', '.join(sorted(known)) or 'none'}")
        here = {one.name for one in known[local].columns}
        lacking = sorted(set(columns.values()) - here)
        if lacking:
            raise SchemaError(f"{local!r} has no column {lacking[0]!r}", hint=f"columns: {', '.join(sorted(here))}")
        _track(ledger, [local])
        catalog.describe(table, local, columns)


def _track(ledger: Ledger, names: Iterable[str]) -> None:
    tracked = {one.definition.name for one in ledger.resources()}
    fresh = [name for name in dict.fromkeys(names) if name not in tracked]
    if fresh:
        track(ledger, fresh, ledger.references())
        ledger.put_meta("structure", "")  # tables that were there before are referred to by new ones: look again


def _parents_first(tables: Sequence[Table]) -> list[Table]:
    """Referenced tables first, as far as there is an order."""
    left, ordered = {one.name: one for one in tables}, []
    while left:
        free = [one for one in left.values() if not _targets(one) & (left.keys() - {one.name})]
        for one in free or [next(iter(left.values()))]:
            ordered.append(left.pop(one.name))
    return ordered


def _targets(table: Table) -> set[str]:
    return {one.target for one in table.fields.values() if one.target}


def _schema(table: Table, keys: Mapping[str, Sequence[str]], belonging: set[tuple[str, str]]) -> schema.Table:
    columns = [schema.Column(NUMBER, "", Logical.INT64, False)]
    references, unique = [], []
    for one in table.fields.values():
        if one.name == NUMBER or one.name in META_FIELDS:
            continue
        refers = one.kind is Kind.REFERENCE and len(keys.get(one.target or "", ())) == 1
        if refers:
            rule = _on_delete(table, one, belonging)
            references.append(schema.Reference((one.name,), one.target or "", tuple(keys[one.target or ""]), rule))
        logical = Logical.INT64 if refers else COLUMNS.get(one.kind, Logical.TEXT)
        columns.append(schema.Column(one.name, "", logical, not one.required))
        if one.unique:
            unique.append((one.name,))
    return schema.Table(table.name, tuple(columns), (NUMBER,), tuple(references), tuple(unique))


def _on_delete(table: Table, one: Field, belonging: set[tuple[str, str]]) -> str:
    if (table.name, one.name) in belonging:
        return "CASCADE"
    return "NO ACTION" if one.required else "SET NULL"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
