"""Getting a site ready for a peer: tracking tables, creating missing ones, agreeing on names (DESIGN.md 4.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from tallystick.core.changes import Rank, parents_first
from tallystick.core.values import Logical, fold
from tallystick.errors import SchemaError
from tallystick.site.capture import track
from tallystick.site.ledger import Ledger
from tallystick.site.managed import create_resource
from tallystick.site.schema import Column, Definition, Field, Identity, Reference, Table


def prepare(
    ledger: Ledger,
    resources: Sequence[Definition],
    only: Sequence[str] = (),
    create: bool = True,
    naming: Mapping[str, str] | None = None,
    references: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Track the tables that match ``resources`` (a peer's) and the named ones in ``only``; create missing tables.

    ``naming`` maps local names (``table`` or ``table.column``) to wire names, ``references`` maps ``child.column`` to
    the parent table. Call inside ``ledger.write()``. Returns the tables that cannot be tracked, each with the reason:
    they hold up no other. Raises SchemaError.
    """
    _agree_names(ledger, naming or {}, references or {})
    tables = {table.name: table for table in ledger.engine.tables()}
    names = ledger.naming()
    by_wire = {names.table(name): name for name in tables}
    chosen = [_local_name(name, by_wire, tables) for name in only]
    missing = []
    for definition in resources:
        if ledger.has(definition.wire):
            continue
        if definition.identity is Identity.MANAGED:
            create_resource(ledger, definition.wire)
        elif definition.wire in by_wire:
            chosen.append(by_wire[definition.wire])
        else:
            missing.append(definition)
    if missing and create:
        chosen.extend(_create(ledger, missing, by_wire))
    tracked = {item.definition.name for item in ledger.resources()}
    wanted = [name for name in dict.fromkeys(chosen) if name not in tracked]
    left_out: dict[str, str] = {}
    if wanted:
        track(ledger, wanted, ledger.references(), left_out)
    return left_out


def _local_name(name: str, by_wire: Mapping[str, str], tables: Mapping[str, Table]) -> str:
    if name in tables:
        return name
    found = by_wire.get(fold(name))
    if found is None:
        raise SchemaError(f"there is no table {name!r}", hint=f"tables: {', '.join(sorted(tables)) or 'none'}")
    return found


def _agree_names(ledger: Ledger, naming: Mapping[str, str], references: Mapping[str, str]) -> None:
    if naming:
        for name, wire in naming.items():
            _check_name(ledger, name, wire)
        agreed = {**ledger.naming().names, **naming}
        ledger.put_meta("naming", msgspec.json.encode(agreed).decode())
    if references:
        declared = [*ledger.references(), *(_declared(ledger, *pair) for pair in references.items())]
        ledger.put_meta("references", msgspec.json.encode(declared).decode())


def _check_name(ledger: Ledger, name: str, wire: str) -> None:
    """Raises SchemaError for a name that no table or column has, and for one that is tracked under another."""
    tables = {table.name: table for table in ledger.engine.tables()}
    table, _, column = (name, "", "") if name in tables else name.partition(".")
    if table not in tables or (column and column not in {item.name for item in tables[table].columns}):
        known = sorted(tables) if table not in tables else [item.name for item in tables[table].columns]
        raise SchemaError(f"--map names {name!r}, which is not there", hint=f"there are: {', '.join(known) or 'none'}")
    for item in ledger.resources():
        definition = item.definition
        if definition.name == table:
            names = {one.column: one.wire for one in (*definition.key_fields, *definition.fields)}
            agreed = names.get(column, definition.wire) if column else definition.wire
            if agreed != wire:
                raise SchemaError(
                    f"--map says that {name!r} is {wire!r}, and it is tracked as {agreed!r}",
                    hint=f"run tallystick untrack SITE {table} first, or leave the mapping out",
                )


def _declared(ledger: Ledger, child: str, parent: str) -> tuple[str, Reference]:
    table, _, column = child.rpartition(".")
    tables = {item.name: item for item in ledger.engine.tables()}
    known = tables.get(table)
    if known is None or column not in {item.name for item in known.columns} or parent not in tables:
        raise SchemaError(
            f"--ref {child}={parent} names a table or column that is not here", hint="write it as CHILD.COLUMN=PARENT"
        )
    return table, Reference((column,), parent, tables[parent].primary_key, declared=False)


def _create(ledger: Ledger, missing: Sequence[Definition], by_wire: Mapping[str, str]) -> list[str]:
    """Create tables of a peer here, parents first."""
    by_definition = {definition.wire: definition for definition in missing}
    order = parents_first([Rank(item.wire, item.parents) for item in missing])
    names = {**{definition.name: definition.name for definition in missing}}
    for definition in missing:
        for reference in definition.references:
            names.setdefault(reference.parent, by_wire.get(fold(reference.parent), reference.parent))
    there = {*by_wire.values(), *(definition.name for definition in missing)}
    for wire in order:
        table = table_of(by_definition[wire], names)
        known = tuple(reference for reference in table.references if reference.parent in there)
        ledger.engine.create_table(replace(table, references=known))
    return [by_definition[wire].name for wire in order]


def table_of(definition: Definition, names: Mapping[str, str]) -> Table:
    """The table that would hold a peer's resource. ``names`` are local names of referenced tables.

    What is unique in columns that do not travel, generated ones, is so at the peer alone.
    """
    declared = {name: position for position, name in enumerate(definition.order)}
    items = (*definition.key_fields, *definition.fields)
    columns = [_column(item) for item in sorted(items, key=lambda item: declared.get(item.column, len(declared)))]
    references = tuple(
        replace(item, parent=names.get(item.parent, item.parent)) for item in definition.references if item.declared
    )
    here = {column.name for column in columns}
    return Table(
        definition.name,
        tuple(columns),
        definition.key_columns,
        references,
        tuple(unique for unique in definition.unique if here.issuperset(unique)),
        without_rowid=definition.without_rowid,
        indexes=definition.indexes,
        autoincrement=definition.autoincrement,
    )


def _column(item: Field) -> Column:
    logical = Logical.INT64 if item.logical is Logical.REFERENCE else item.logical
    return Column(item.column, "", logical, item.nullable, item.detail, collation=item.collation, default=item.default)
