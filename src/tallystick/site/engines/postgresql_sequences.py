"""Integers for new rows: from the sequence of a key column of PostgreSQL, or after the highest there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.site.engines.postgresql_layout import Layout
from tallystick.site.engines.postgresql_sql import quoted

if TYPE_CHECKING:
    from tallystick.site.engines.postgresql import PostgreSQLEngine

_STEPS = 1000


def fresh(engine: PostgreSQLEngine, layout: Layout, column: str, count: int) -> list[int]:
    """``count`` integers that no row has in the key ``column``."""
    key, sequence = quoted(column), layout.shape.sequences.get(column)
    if sequence is None:
        top = engine.native(f"SELECT coalesce(max({key}), 0) FROM {layout.table}")[0][0]
        return list(range(top + 1, top + 1 + count))
    found: list[int] = []
    while len(found) < count:
        rows = engine.native(
            "SELECT s.n FROM (SELECT pg_catalog.nextval($1::regclass) AS n FROM generate_series(1, $2::int8)) s "
            f"WHERE NOT EXISTS (SELECT FROM {layout.table} t WHERE t.{key} = s.n)",
            (sequence, str(count - len(found))),
        )
        found.extend(row[0] for row in rows)
    return found


def settle(engine: PostgreSQLEngine, layout: Layout, column: str) -> None:
    """Move the sequence of the key past the integers in the table.

    Small gaps are closed by drawing from the sequence, which cannot set back what others drew meanwhile.
    """
    sequence = layout.shape.sequences.get(column)
    if sequence is None:
        return
    (row,) = engine.native(
        f"SELECT (SELECT max({quoted(column)}) FROM {layout.table}), last_value, is_called::int FROM {sequence}"
    )
    top, last, called = row
    gap = 0 if top is None else top - last + (not called)
    if 0 < gap <= _STEPS:
        engine.native(
            "SELECT count(pg_catalog.nextval($1::regclass)) FROM generate_series(1, $2::int8)", (sequence, str(gap))
        )
    elif gap > 0:
        engine.native("SELECT pg_catalog.setval($1::regclass, $2::int8)", (sequence, str(top)))
