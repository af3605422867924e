"""Which rows can be deleted by the application's own rules: rows that nothing holds on to (DESIGN.md 4.3)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tallystick.site.engines.engine import Address
from tallystick.site.ledger import Ledger
from tallystick.site.schema import Definition, Reference

_FOLLOWING = ("CASCADE", "SET NULL", "SET DEFAULT")


def removable(ledger: Ledger, definition: Definition, addresses: Sequence[Address]) -> set[Address]:
    """Those of the rows that can be deleted together: no other row refers to them, or the database sees to it.

    Rows of the same table that are deleted with the rows they refer to hold nothing.
    """
    free: set[Address] = set(addresses)
    inner: list[tuple[Address, Address]] = []
    for child, reference in definition.referrers:
        if reference.declared and reference.on_delete.upper() not in _FOLLOWING:
            if child == definition.name and len(definition.key_columns) == 1:
                inner.extend(_inner(ledger, definition, reference, free))
            else:
                free -= _held(ledger, child, reference.columns, free)
    while blocked := {parent for parent, row in inner if parent in free and row not in free}:
        free -= blocked
    return free


def _inner(
    ledger: Ledger, definition: Definition, reference: Reference, addresses: Collection[Address]
) -> Iterator[tuple[Address, Address]]:
    """Rows of the table itself that refer to the addresses: parent and row."""
    column, key, table = map(_quoted, (reference.columns[0], definition.key_columns[0], definition.name))
    sql = f"SELECT {column}, {key} FROM {table} WHERE {column} IN (*)"
    for parent, row in ledger.engine.query_in(sql, (), [address[0] for address in addresses]):
        yield (parent,), (row,)


def _held(ledger: Ledger, child: str, columns: Sequence[str], addresses: Collection[Address]) -> set[Address]:
    """Those addresses that rows of another table refer to."""
    if len(columns) > 1:
        where = " AND ".join(f"{_quoted(name)}=?" for name in columns)
        sql = f"SELECT 1 FROM {_quoted(child)} WHERE {where} LIMIT 1"
        return {address for address in addresses if ledger.engine.query(sql, address)}
    column = _quoted(columns[0])
    sql = f"SELECT DISTINCT {column} FROM {_quoted(child)} WHERE {column} IN (*)"
    return {(row[0],) for row in ledger.engine.query_in(sql, (), [address[0] for address in addresses])}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
