"""Which rows other rows hold on to, and which can be deleted by the application's own rules (DESIGN.md 4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tallystick.site.engines.engine import Address
from tallystick.site.ledger import Ledger
from tallystick.site.schema import Definition, Reference

_FOLLOWING = ("CASCADE", "SET NULL", "SET DEFAULT")


def removable(ledger: Ledger, definition: Definition, addresses: Sequence[Address]) -> set[Address]:
    """Those of the rows that can be deleted together: no other row refers to them, or the database sees to it.

    Rows of the same table that are deleted with the rows they refer to hold nothing.
    """
    holding = [
        (child, reference)
        for child, reference in definition.referrers
        if reference.declared and reference.on_delete.upper() not in _FOLLOWING
    ]
    return set(addresses) - _held(ledger, definition, holding, addresses)


def rows_with_children(ledger: Ledger, definition: Definition, addresses: Sequence[Address]) -> set[Address]:
    """Those of the rows that rows refer to which do not go with them: their deleter had not seen these."""
    return _held(ledger, definition, definition.referrers, addresses)


def _held(
    ledger: Ledger, definition: Definition, referrers: Sequence[tuple[str, Reference]], addresses: Sequence[Address]
) -> set[Address]:
    """The rows that must stay when the others go: rows of other tables refer to them, or ones of theirs that stay."""
    free: set[Address] = set(addresses)
    inner: list[tuple[Address, Address]] = []
    for child, reference in referrers:
        if child == definition.name:
            inner.extend(_inner(ledger, definition, reference, addresses))
        else:
            free -= referred(ledger, definition, child, reference, list(free))
    while blocked := {parent for parent, row in inner if parent in free and row not in free}:
        free -= blocked
    return set(addresses) - free


def _inner(
    ledger: Ledger, definition: Definition, reference: Reference, addresses: Sequence[Address]
) -> Iterator[tuple[Address, Address]]:
    """Rows of the table itself that refer to the addresses: parent and row."""
    keys, table = [_quoted(name) for name in definition.key_columns], _quoted(definition.name)
    below = ", ".join(f"c.{key}" for key in keys)
    joined = f"{table} p JOIN {table} c ON {_same(reference)}"
    if len(keys) == 1:
        sql = f"SELECT p.{keys[0]}, {below} FROM {joined} WHERE p.{keys[0]} IN (*)"
        for parent, row in ledger.engine.query_in(sql, (), [address[0] for address in addresses]):
            yield (parent,), (row,)
        return
    sql = f"SELECT {below} FROM {joined} WHERE " + " AND ".join(f"p.{key}=?" for key in keys)
    for address in addresses:
        for found in ledger.engine.query(sql, address):
            yield address, tuple(found)


def referred(
    ledger: Ledger, definition: Definition, child: str, reference: Reference, addresses: Sequence[Address]
) -> set[Address]:
    """Those of the rows at ``addresses`` that rows of the table ``child`` refer to, by key or by another unique one."""
    if len(definition.key_columns) > 1:
        return {address for address in addresses if _refers(ledger, definition, child, reference, address)}
    if reference.parent_columns == definition.key_columns:
        column = _quoted(reference.columns[0])
        sql = f"SELECT DISTINCT {column} FROM {_quoted(child)} WHERE {column} IN (*)"
    else:
        key = _quoted(definition.key_columns[0])
        sql = f"SELECT p.{key} FROM {_quoted(definition.name)} p WHERE {_joined(child, reference)} AND p.{key} IN (*)"
    return {(row[0],) for row in ledger.engine.query_in(sql, (), [address[0] for address in addresses])}


def _refers(ledger: Ledger, definition: Definition, child: str, reference: Reference, address: Address) -> bool:
    where = " AND ".join(f"p.{_quoted(name)}=?" for name in definition.key_columns)
    sql = f"SELECT 1 FROM {_quoted(definition.name)} p WHERE {where} AND {_joined(child, reference)}"
    return bool(ledger.engine.query(sql, address))


def _joined(child: str, reference: Reference) -> str:
    """The condition that some row of ``child`` refers to the row ``p``."""
    return f"EXISTS (SELECT 1 FROM {_quoted(child)} c WHERE {_same(reference)})"


def _same(reference: Reference) -> str:
    """The condition that the row ``c`` refers to the row ``p``."""
    pairs = zip(reference.columns, reference.parent_columns, strict=True)
    return " AND ".join(f"c.{_quoted(column)}=p.{_quoted(parent)}" for column, parent in pairs)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
