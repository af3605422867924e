"""What keeps the rows of a SQLite table apart, as triggers compare it: whom REPLACE will remove (DESIGN.md 4.2)."""

from __future__ import annotations

from typing import Any, NamedTuple

from tallystick.site.engines.sqlite_declaration import terms
from tallystick.site.engines.sqlite_schema import Query, literal, quoted
from tallystick.site.schema import Definition

_ROWID = ("rowid", "oid", "_rowid_")
"""Other names of an integer primary key: a trigger on its own name alone does not see an update under these."""
_EXPRESSION = -2
"""What pragma index_xinfo says in place of a column's number."""


class Unique(NamedTuple):
    """One unique key: the condition under which row ``t`` has what the new row will have.

    ``columns`` are those whose update may change it, None where any may.
    """

    match: str
    columns: tuple[str, ...] | None


def uniques(query: Query, definition: Definition) -> list[Unique]:
    """Every unique key of a table. Conditions of partial indexes are left out: a mark too many says nothing wrong."""
    table = literal(definition.name)
    known = query(f"SELECT name, hidden>1 FROM pragma_table_xinfo({table}) WHERE hidden<>1")
    indexes = query(
        "SELECT l.name, l.origin, m.sql FROM pragma_index_list(" + table + ") l "
        "LEFT JOIN sqlite_master m ON m.type='index' AND m.name=l.name WHERE l.\"unique\" ORDER BY l.name"
    )
    found = [_indexed(query, name, statement, known) for name, _, statement in indexes]
    if not any(origin == "pk" for _, origin, _ in indexes):
        match = " AND ".join(f"t.{quoted(name)}=NEW.{quoted(name)}" for name in definition.key_columns)
        found.insert(0, Unique(match, (*definition.key_columns, *_ROWID)))
    return list(dict.fromkeys(found))


def _indexed(query: Query, index: str, statement: str | None, known: Any) -> Unique:
    """The unique key that an index keeps: it compares by collations of its own, and may hold expressions."""
    generated = {name for name, made in known if made}
    row = ", ".join(f"NEW.{quoted(name)} AS {quoted(name)}" for name, _ in known)
    written = terms(statement) if statement else []
    conditions, columns, any_column = [], [], False
    listed = query(f'SELECT seqno, cid, name, coll FROM pragma_index_xinfo({literal(index)}) WHERE "key" ORDER BY 1')
    for position, number, name, collation in listed:
        if number == _EXPRESSION:
            expression = written[position]
            held, new = f"({expression})", f"(SELECT {expression} FROM (SELECT {row}))"
        else:
            held, new = f"t.{quoted(name)}", f"NEW.{quoted(name)}"
            columns.append(name)
        any_column = any_column or number == _EXPRESSION or name in generated
        conditions.append(f"{held}={new} COLLATE {quoted(collation)}")
    return Unique(" AND ".join(conditions), None if any_column else tuple(columns))
