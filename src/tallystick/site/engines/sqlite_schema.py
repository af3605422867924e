"""Reading and writing SQLite table structures."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tallystick.core.values import Logical
from tallystick.site.engines import defaults
from tallystick.site.engines.sqlite_declaration import collations, words
from tallystick.site.schema import ACTIONS, Column, Index, Reference, Table

Query = Callable[[str], Sequence[tuple[Any, ...]]]

_LOGICAL = (
    (r"BOOL", Logical.BOOL),
    (r"UUID|UNIQUEIDENTIFIER", Logical.UUID),
    (r"TIMESTAMPTZ|TIMESTAMP WITH TIME ZONE", Logical.INSTANT),
    (r"DATETIME|TIMESTAMP", Logical.TIMESTAMP),
    (r"^DATE", Logical.DATE),
    (r"^TIME", Logical.TIME),
    (r"JSON", Logical.JSON),
    (r"INT", Logical.INT64),
    (r"CHAR|CLOB|TEXT", Logical.TEXT),
    (r"BLOB|BYTEA|BINARY", Logical.BYTES),
    (r"REAL|FLOA|DOUB", Logical.FLOAT64),
    (r"NUMERIC|DECIMAL|MONEY", Logical.DECIMAL),
)
_DECLARED = {
    Logical.ANY: "",
    Logical.BOOL: "BOOLEAN",
    Logical.INT64: "INTEGER",
    Logical.DECIMAL: "NUMERIC",
    Logical.FLOAT64: "REAL",
    Logical.TEXT: "TEXT",
    Logical.BYTES: "BLOB",
    Logical.DATE: "DATE",
    Logical.TIME: "TIME",
    Logical.TIMESTAMP: "DATETIME",
    Logical.INSTANT: "TIMESTAMPTZ",
    Logical.UUID: "UUID",
    Logical.JSON: "JSON",
    Logical.REFERENCE: "INTEGER",
}
PREFIX = "tally_"
_COLLATIONS = {"NOCASE", "RTRIM"}
"""Those of SQLite itself but for the default: others are known to the connections of the application only."""


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal as SQL text, for DDL where parameters are not allowed."""
    return "'" + text.replace("'", "''") + "'"


def logical_type(declared: str) -> Logical:
    """The logical type of a declared column type."""
    upper = declared.upper()
    for pattern, logical in _LOGICAL:
        if re.search(pattern, upper):
            return logical
    return Logical.ANY


def declared_type(column: Column) -> str:
    """The type under which a column is created here."""
    detail = column.detail
    if column.logical is Logical.DECIMAL and re.fullmatch(r"\d+(,\d+)?", detail):
        return f"NUMERIC({detail})"
    return _DECLARED[column.logical]


def reflect(query: Query, own: Collection[str]) -> list[Table]:
    """Every table of the application; ``own`` are ours. Virtual tables and those called like ours are barred."""
    names, barred = [], []
    for name, virtual in query(
        "SELECT name, sql LIKE 'CREATE VIRTUAL%' FROM sqlite_master WHERE type='table' "
        "AND substr(name, 1, 7)<>'sqlite_' ORDER BY name"
    ):
        if name in own:
            continue
        if virtual:
            barred.append(Table(name, (), (), barred="it is a virtual table"))
        elif name.casefold().startswith(PREFIX):
            barred.append(Table(name, (), (), barred=f"names that begin with {PREFIX} are kept for the ledger"))
        elif not _is_shadow(query, name):
            names.append(name)
    references = {name: _references(query, name) for name in names}
    acted_on = {
        reference.parent.casefold()
        for listed in references.values()
        for reference in listed
        if reference.on_delete in ACTIONS
    }
    return [*(_table(query, name, references, name.casefold() in acted_on) for name in names), *barred]


def _is_shadow(query: Query, name: str) -> bool:
    rows = query(f"SELECT type FROM pragma_table_list WHERE schema='main' AND name={literal(name)}")
    return bool(rows) and rows[0][0] != "table"


def _table(query: Query, name: str, references: dict[str, tuple[Reference, ...]], acted_on: bool) -> Table:
    columns, keys = [], []
    ((statement, without_rowid),) = query(
        f"SELECT m.sql, l.wr FROM sqlite_master m JOIN pragma_table_list l ON l.schema='main' AND l.name=m.name "
        f"WHERE m.type='table' AND m.name={literal(name)}"
    )
    collated, said = collations(statement), words(statement)
    omitted = ["its CHECK constraints"] * ("CHECK" in said)
    for _, column, declared, not_null, default, position, hidden in query(f"PRAGMA table_xinfo({quoted(name)})"):
        if hidden == 1:
            continue
        logical = logical_type(declared or "")
        detail, collation = _detail(declared, logical), collated.get(column, "")
        found = None if default is None else defaults.of_sqlite(default)
        columns.append(Column(column, declared or "", logical, not not_null, detail, hidden > 1, collation, found))
        if hidden > 1:
            omitted.append(f"the generated column {column}")
        elif found is None and default is not None and default.upper() != "NULL":
            omitted.append(f"the default of {column}")
        if position:
            keys.append((position, column))
    triggers = query(
        f"SELECT name FROM sqlite_master WHERE type='trigger' AND lower(tbl_name)=lower({literal(name)}) "
        "AND substr(name, 1, 6)<>'tally_' ORDER BY name"
    )
    real = _with_parent_keys(query, references[name])
    listed = _indexes(query, name, columns)
    return Table(
        name,
        tuple(columns),
        tuple(column for _, column in sorted(keys)),
        real,
        listed.unique,
        tuple(row[0] for row in triggers),
        acted_on,
        bool(without_rowid),
        indexes=listed.plain,
        autoincrement="AUTOINCREMENT" in said,
        omitted=(*omitted, *listed.omitted),
    )


def _detail(declared: str | None, logical: Logical) -> str:
    match = re.search(r"\(\s*(\d+)\s*(?:,\s*(\d+))?\s*\)", declared or "")
    if logical is Logical.DECIMAL and match:
        return match.group(1) + ("," + match.group(2) if match.group(2) else "")
    return ""


def _references(query: Query, name: str) -> tuple[Reference, ...]:
    groups: dict[int, list[tuple[Any, ...]]] = {}
    for row in query(f"PRAGMA foreign_key_list({quoted(name)})"):
        groups.setdefault(row[0], []).append(row)
    found = []
    for _, rows in sorted(groups.items()):
        ordered = sorted(rows, key=lambda row: row[1])
        targets = tuple(row[4] for row in ordered if row[4] is not None)
        on_update, on_delete = ordered[0][5].upper(), ordered[0][6].upper()
        columns = tuple(row[3] for row in ordered)
        found.append(Reference(columns, ordered[0][2], targets, on_delete, on_update=on_update))
    return tuple(found)


def _with_parent_keys(query: Query, references: Sequence[Reference]) -> tuple[Reference, ...]:
    """References with the parent's spelling, and its primary key where the declaration left the columns out."""
    found = []
    for reference in references:
        spelled = query(
            f"SELECT name FROM sqlite_master WHERE type='table' AND lower(name)=lower({literal(reference.parent)})"
        )
        parent = spelled[0][0] if spelled else reference.parent
        info = query(f"PRAGMA table_info({quoted(parent)})")
        by_fold = {row[1].casefold(): row[1] for row in info}
        named = tuple(by_fold.get(column.casefold(), column) for column in reference.parent_columns)
        keys = tuple(row[1] for row in sorted(info, key=lambda row: row[5]) if row[5])
        found.append(replace(reference, parent=parent, parent_columns=named or keys))
    return tuple(found)


class _Indexes(NamedTuple):
    """The indexes of a table, as far as other ends can have them."""

    unique: tuple[tuple[str, ...], ...]
    plain: tuple[Index, ...]
    omitted: tuple[str, ...]


_LONG = (Logical.TEXT, Logical.BYTES, Logical.JSON, Logical.ANY)


def _indexes(query: Query, name: str, columns: Sequence[Column]) -> _Indexes:
    """See ``_Indexes``. Those of the primary key are the table's own."""
    unique: set[tuple[str, ...]] = set()
    plain: list[Index] = []
    omitted: list[str] = []
    by_name = {column.name: column for column in columns}
    for _, index, is_unique, origin, is_partial in query(f"PRAGMA index_list({quoted(name)})"):
        if origin == "pk":
            continue
        parts = [row for row in query(f"PRAGMA index_xinfo({quoted(index)})") if row[5]]
        names = tuple(row[2] for row in parts)
        if is_unique and not is_partial and names and None not in names:
            unique.add(names)
        usual = all(row[2] in by_name and row[4].upper() == (by_name[row[2]].collation or "BINARY") for row in parts)
        if is_partial or not usual or index.casefold().startswith(PREFIX):
            omitted.append(f"the index {index}")
        elif not is_unique and names not in [one.columns for one in plain]:
            short = all(by_name[column].logical not in _LONG for column in names)
            plain.append(Index(index, names, tuple(row[2] for row in parts if row[3]), short))
    indexes = tuple(sorted(plain, key=lambda one: one.name))
    return _Indexes(tuple(sorted(unique)), indexes, tuple(sorted(omitted)))


def index_statement(table: Table, index: Index) -> str:
    """CREATE INDEX for a table of another site."""
    listed = ", ".join(quoted(name) + (" DESC" if name in index.descending else "") for name in index.columns)
    return f"CREATE INDEX {quoted(index.name)} ON {quoted(table.name)} ({listed})"


def create_statement(table: Table) -> str:
    """CREATE TABLE for a table of another site."""
    single = table.primary_key[0] if len(table.primary_key) == 1 else ""
    lines = []
    for column in table.columns:
        rowid = column.name == single and column.logical is Logical.INT64
        text = f"{quoted(column.name)} {declared_type(column)}".rstrip()
        if column.collation in _COLLATIONS:
            text += f" COLLATE {column.collation}"
        default = None if column.default is None else defaults.for_sqlite(column.default, column.logical)
        if default is not None and not rowid:
            text += f" DEFAULT {default}"
        if rowid:
            text += " PRIMARY KEY" + " AUTOINCREMENT" * (table.autoincrement and not table.without_rowid)
        elif not column.nullable:
            text += " NOT NULL"
        lines.append(text)
        if rowid:
            single = ""
    rowid_key = len(table.primary_key) == 1 and table.column(table.primary_key[0]).logical is Logical.INT64
    if not rowid_key:
        lines.append(f"PRIMARY KEY ({_listed(table.primary_key)})")
    lines.extend(f"UNIQUE ({_listed(columns)})" for columns in table.unique if columns != table.primary_key)
    for reference in table.references:
        action = f" ON DELETE {reference.on_delete}" if reference.on_delete in ACTIONS else ""
        action += f" ON UPDATE {reference.on_update}" if reference.on_update in ACTIONS else ""
        lines.append(
            f"FOREIGN KEY ({_listed(reference.columns)}) REFERENCES {quoted(reference.parent)}"
            f" ({_listed(reference.parent_columns)}){action}"
        )
    options = " WITHOUT ROWID" if table.without_rowid else ""
    return f"CREATE TABLE {quoted(table.name)} (\n  " + ",\n  ".join(lines) + f"\n){options}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)
