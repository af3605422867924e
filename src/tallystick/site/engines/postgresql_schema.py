"""Reading and writing PostgreSQL table structures from its catalogs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tallystick.core.values import Logical
from tallystick.site.engines import defaults
from tallystick.site.engines.postgresql_sql import array, listed, qualified, quoted
from tallystick.site.engines.postgresql_types import ColumnType, declared_type, detail, logical_type
from tallystick.site.schema import ACTIONS, Column, Index, Reference, Table

Query = Callable[..., Sequence[tuple[Any, ...]]]

OWN_FUNCTIONS = (
    "(SELECT f.oid FROM pg_proc f JOIN pg_namespace fn ON fn.oid = f.pronamespace WHERE fn.nspname = 'tally')"
)
"""SQL of the functions in our schema: triggers that call one of them are ours."""

_DEFAULT_COLLATION = 'pg_catalog."default"'
_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_OURS = (
    "c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind IN ('r', 'p') "
    "AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass "
    "AND d.objid = c.oid AND d.deptype = 'e')"
)
_COLUMNS = (
    "SELECT c.relname, c.relkind, a.attname, a.atttypid::int8, a.atttypmod, format_type(a.atttypid, a.atttypmod), "
    "a.attnotnull, a.attgenerated <> '' OR (a.attidentity = 'a' AND NOT EXISTS (SELECT FROM pg_index i "
    "WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY(i.indkey::int2[]))), "
    "coalesce(quote_ident(n.nspname) || '.' || quote_ident(l.collname), ''), "
    "coalesce(pg_get_serial_sequence(quote_ident(s.nspname) || '.' || quote_ident(c.relname), a.attname), "
    "(SELECT q.oid::regclass::text FROM pg_attrdef e JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass "
    "AND d.objid = e.oid JOIN pg_class q ON q.oid = d.refobjid AND q.relkind = 'S' "
    "WHERE e.adrelid = c.oid AND e.adnum = a.attnum LIMIT 1)), "
    "(SELECT pg_get_expr(x.adbin, x.adrelid) FROM pg_attrdef x WHERE x.adrelid = c.oid AND x.adnum = a.attnum) "
    "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "JOIN pg_namespace s ON s.oid = c.relnamespace "
    "LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = l.collnamespace "
    f"WHERE {_OURS} AND ($2::text IS NULL OR c.relname = $2::text::name) ORDER BY c.relname, a.attnum"
)
_TYPES = (
    "SELECT t.oid::int8, n.nspname, t.typname, t.typtype, t.typbasetype::int8, t.typtypmod FROM pg_type t "
    "JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' OR t.oid = ANY($1) "
    "OR t.oid IN (SELECT d.typbasetype FROM pg_type d WHERE d.typtype = 'd')"
)
_KEYS = (
    "SELECT c.relname, ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(number, place) "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number ORDER BY u.place) "
    f"FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' WHERE {_OURS}"
)
_UNIQUE = (
    "SELECT c.relname, ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(number, place) "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number WHERE u.place <= i.indnkeyatts "
    "ORDER BY u.place) FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique AND NOT i.indisprimary "
    f"AND i.indpred IS NULL AND i.indexprs IS NULL WHERE {_OURS} ORDER BY 1, 2"
)
_INDEXES = (
    "SELECT c.relname, r.relname, i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree' AND NOT EXISTS ("
    "SELECT FROM unnest(i.indclass::oid[]) o(id) JOIN pg_opclass p ON p.oid = o.id WHERE NOT p.opcdefault), "
    "i.indisunique, ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(number, place) "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number WHERE u.place <= i.indnkeyatts "
    "ORDER BY u.place), ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(number, place) "
    "JOIN unnest(i.indoption::int2[]) WITH ORDINALITY w(bits, place) ON w.place = u.place "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number WHERE w.bits & 1 = 1 ORDER BY u.place) "
    "FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND NOT i.indisprimary "
    f"JOIN pg_class r ON r.oid = i.indexrelid JOIN pg_am m ON m.oid = r.relam WHERE {_OURS} ORDER BY 1, 2"
)
_CHECKS = (
    "SELECT c.relname, count(*) FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype IN ('c', 'x') "
    f"WHERE {_OURS} GROUP BY 1"
)
_REFERENCES = (
    "SELECT c.relname, p.relname, c.relnamespace = s.oid, p.relnamespace = s.oid, k.confdeltype, k.confupdtype, "
    "ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(number, place) "
    "JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place), "
    "ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(number, place) "
    "JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place) "
    "FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid "
    "JOIN pg_namespace s ON s.nspname = $1 AND s.oid IN (c.relnamespace, p.relnamespace) "
    "WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, k.conname"
)
_TRIGGERS = (
    "SELECT c.relname, t.tgname FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal "
    f"AND t.tgenabled <> 'D' AND t.tgfoid NOT IN {OWN_FUNCTIONS} WHERE {_OURS} ORDER BY 1, 2"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the catalogs say about one table beyond ``Table``: its kind and the exact types of its columns."""

    name: str
    partitioned: bool
    columns: Mapping[str, ColumnType]
    sequences: Mapping[str, str]
    """Owned sequences by column, as SQL text."""


class _Listed(NamedTuple):
    shape: Shape
    columns: list[Column]
    omitted: list[str]


def shape(query: Query, schema: str, name: str) -> Shape | None:
    """The shape of one table, None when there is none of that name."""
    return next((found.shape for found in _listed(query, schema, name).values()), None)


def reflect(query: Query, schema: str) -> list[Table]:
    """Every ordinary or partitioned table of a schema that no extension owns, by name."""
    listed_tables = _listed(query, schema, None)
    keys = {name: tuple(columns) for name, columns in query(_KEYS, (schema,))}
    unique = _grouped(query(_UNIQUE, (schema,)), lambda row: tuple(row[1]))
    triggers = _grouped(query(_TRIGGERS, (schema,)), lambda row: row[1])
    indexes = _grouped(query(_INDEXES, (schema,)), lambda row: row[1:])
    checked = {row[0] for row in query(_CHECKS, (schema,))}
    references: dict[str, list[Reference]] = {}
    acted_on: set[str] = set()
    for child, parent, child_inside, parent_inside, *actions, columns, parent_columns in query(_REFERENCES, (schema,)):
        on_delete, on_update = (_ACTIONS[action] for action in actions)
        reference = Reference(tuple(columns), parent, tuple(parent_columns), on_delete, on_update=on_update)
        if parent_inside and on_delete in ACTIONS:
            acted_on.add(parent)
        if child_inside and parent_inside:
            references.setdefault(child, []).append(reference)
    return [
        Table(
            name,
            tuple(found.columns),
            keys.get(name, ()),
            tuple(references.get(name, ())),
            tuple(dict.fromkeys(unique.get(name, ()))),
            tuple(triggers.get(name, ())),
            name in acted_on,
            indexes=tuple(
                Index(index, tuple(columns), tuple(falling))
                for index, usual, unique_one, columns, falling in indexes.get(name, ())
                if usual and not unique_one
            ),
            autoincrement=any(column in found.shape.sequences for column in keys.get(name, ())),
            omitted=(
                *["its CHECK constraints"] * (name in checked),
                *found.omitted,
                *(f"the index {index}" for index, usual, *_ in indexes.get(name, ()) if not usual),
            ),
        )
        for name, found in listed_tables.items()
    ]


def _grouped(rows: Sequence[tuple[Any, ...]], made: Callable[[tuple[Any, ...]], Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(made(row))
    return found


def _listed(query: Query, schema: str, only: str | None) -> dict[str, _Listed]:
    rows = query(_COLUMNS, (schema, only))
    types = {row[0]: row[1:] for row in query(_TYPES, (array({row[3] for row in rows}),))} if rows else {}
    found: dict[str, _Listed] = {}
    for name, kind, column, type_id, typmod, declared, not_null, generated, collation, sequence, default in rows:
        if name not in found:
            found[name] = _Listed(Shape(name, kind == "p", {}, {}), [], [])
        of_column = _column_type(types, type_id, typmod, declared, collation)
        entry = found[name]
        entry.shape.columns[column] = of_column  # type: ignore[index]
        if sequence:
            entry.shape.sequences[column] = sequence  # type: ignore[index]
        own = "" if collation == _DEFAULT_COLLATION else collation
        made = None if default is None or sequence else defaults.of_postgresql(default)
        logical = logical_type(of_column)
        entry.columns.append(
            Column(column, declared, logical, not not_null, detail(of_column), bool(generated), own, made)
        )
        if generated:
            entry.omitted.append(f"the generated column {column}")
        elif default is not None and made is None and not sequence and not default.startswith("NULL"):
            entry.omitted.append(f"the default of {column}")
    return found


def _column_type(
    types: Mapping[int, Sequence[Any]], type_id: int, typmod: int, declared: str, collation: str
) -> ColumnType:
    schema, base, kind, basis, basis_typmod = types.get(type_id, ("pg_catalog", "text", "b", 0, -1))
    while kind == "d":
        typmod = basis_typmod if basis_typmod >= 0 else typmod
        schema, base, kind, basis, basis_typmod = types.get(basis, ("pg_catalog", "text", "b", 0, -1))
    return ColumnType(schema, base, typmod, declared, kind == "e", collation)


# Writing -------------------------------------------------------------------------------------------------------


def create_statement(table: Table, schema: str, existing: Sequence[str], collations: Collection[str] = ()) -> str:
    """CREATE TABLE for a table of another site, with references to itself and to ``existing`` tables only.

    ``collations`` are those that this server has, as SQL text.
    """
    lines = [_column_line(table, column, collations) for column in table.columns]
    lines.append(f"PRIMARY KEY ({listed(table.primary_key)})")
    lines.extend(f"UNIQUE ({listed(columns)})" for columns in table.unique if columns != table.primary_key)
    lines.extend(
        reference_clause(reference, schema)
        for reference in table.references
        if reference.parent == table.name or reference.parent in existing
    )
    return f"CREATE TABLE {qualified(schema, table.name)} (\n  " + ",\n  ".join(lines) + "\n)"


def _column_line(table: Table, column: Column, collations: Collection[str]) -> str:
    text = f"{quoted(column.name)} {declared_type(column)}"
    if column.collation in collations:
        text += f" COLLATE {column.collation}"
    refers = any(column.name in reference.columns for reference in table.references)
    if table.primary_key == (column.name,) and column.logical is Logical.INT64 and not refers:
        return text + " GENERATED BY DEFAULT AS IDENTITY"
    default = None if column.default is None else defaults.for_postgresql(column.default, column.logical, column.detail)
    if default is not None:
        text += f" DEFAULT {default}"
    return text if column.nullable and column.name not in table.primary_key else text + " NOT NULL"


def index_statement(table: Table, index: Index, schema: str) -> str:
    """CREATE INDEX for a table of another site; nothing where the name is taken."""
    columns = ", ".join(quoted(name) + (" DESC" if name in index.descending else "") for name in index.columns)
    return f"CREATE INDEX IF NOT EXISTS {quoted(index.name)} ON {qualified(schema, table.name)} ({columns})"


def reference_clause(reference: Reference, schema: str) -> str:
    """FOREIGN KEY clause of a reference."""
    action = f" ON DELETE {reference.on_delete}" if reference.on_delete in ACTIONS else ""
    action += f" ON UPDATE {reference.on_update}" if reference.on_update in ACTIONS else ""
    target = f" ({listed(reference.parent_columns)})" if reference.parent_columns else ""
    return f"FOREIGN KEY ({listed(reference.columns)}) REFERENCES {qualified(schema, reference.parent)}{target}{action}"


def add_column_statement(table: Table, name: str, schema: str) -> str:
    """ALTER TABLE that adds a nullable column."""
    return f"ALTER TABLE {qualified(schema, table.name)} ADD COLUMN {quoted(name)} {declared_type(table.column(name))}"
