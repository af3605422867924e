"""What is compiled once per resource for PostgreSQL: expressions that read, conditions that match, checks of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.core.values import CANONICAL, Logical, Value
from tallystick.site.engines.engine import Rejected
from tallystick.site.engines.postgresql_schema import Shape
from tallystick.site.engines.postgresql_sql import SCHEMA, holdable, loaded_text, qualified, quoted
from tallystick.site.engines.postgresql_types import ColumnType, limit, logical_type, reading
from tallystick.site.schema import Definition, Field, Identity


@dataclass(frozen=True, slots=True)
class Layout:
    """The SQL of a resource's table, compiled once from its definition and the catalogs."""

    name: str
    """The table for COPY and DDL."""
    table: str
    """The table for statements: without the children of old-style inheritance."""
    shape: Shape
    keys: tuple[ColumnType, ...]
    fields: tuple[ColumnType, ...]
    key_readings: tuple[str, ...]
    readings: tuple[str, ...]
    joins: str
    converters: tuple[tuple[int, Callable[[Any], Value]], ...]

    @property
    def integer(self) -> bool:
        """True for a single integer key."""
        return len(self.keys) == 1 and logical_type(self.keys[0]) is Logical.INT64

    @property
    def castable(self) -> bool:
        """True when any text can be compared with the key without an error."""
        return all(kind.known in ("text", "varchar", "bpchar") for kind in self.keys)


def compiled(schema: str, definition: Definition, shape: Shape, parents: Mapping[str, int]) -> Layout:
    """The layout of a resource. ``parents`` are numbers of referenced resources by wire name."""
    name = qualified(schema, definition.name)
    readings: list[str] = []
    joins: list[str] = []
    converters: list[tuple[int, Callable[[Any], Value]]] = []
    for index, item in enumerate(definition.fields):
        kind, column = shape.columns[item.column], f"t.{quoted(item.column)}"
        if item.refers_to in parents:
            alias = f"p{index}"
            joins.append(
                f" LEFT JOIN {SCHEMA}.record {alias} ON {alias}.resource = {parents[item.refers_to]} "
                f"AND {alias}.local = {column}::text AND ({alias}.flags & 1) = 0"
            )
            readings.append(f"coalesce({alias}.key, '\\?' || {column}::text)")
            converters.append((index, loaded_text))
        else:
            readings.append(reading(kind, column))
            convert = _converter(item, kind)
            if convert is not None:
                converters.append((index, convert))
    keys = tuple(shape.columns[column] for column in definition.key_columns)
    return Layout(
        name,
        name if shape.partitioned else "ONLY " + name,
        shape,
        keys,
        tuple(shape.columns[column] for column in definition.columns),
        tuple(reading(kind, f"t.{quoted(column)}") for column, kind in zip(definition.key_columns, keys, strict=True)),
        tuple(readings),
        "".join(joins),
        tuple(converters),
    )


def _converter(item: Field, kind: ColumnType) -> Callable[[Any], Value] | None:
    """What Python still has to do to a value that SQL has read."""
    actual = logical_type(kind)
    if item.logical is Logical.JSON or (item.logical is not actual and item.logical is not Logical.REFERENCE):
        return CANONICAL.get(item.logical)
    return None


def local_form(definition: Definition) -> tuple[str, Callable[[str], Any] | None]:
    """How ``local`` is read: the SQL expression, and what turns its text into the value it stands for."""
    if definition.mapped or (definition.identity is Identity.DERIVED and len(definition.key_fields) == 1):
        return "r.local::int8", None
    if definition.identity is not Identity.NATURAL or len(definition.key_fields) != 1:
        return "r.local", None
    logical = definition.key_fields[0].logical
    if logical is Logical.BYTES:
        return "r.local", lambda text: bytes.fromhex(text[2:])
    if logical is Logical.FLOAT64:
        return "r.local", float
    return "r.local", int if logical in (Logical.INT64, Logical.BOOL) else None


def local_text(value: Any) -> str | None:
    """The text that the ledger holds for a ``local``, None when it can hold none."""
    if value is None or (type(value) is str and not holdable(value)):
        return None
    return "\\x" + value.hex() if isinstance(value, bytes) else plain(value)


def plain(value: Any) -> Any:
    """A key value as an element of an array of texts."""
    return str(int(value)) if isinstance(value, bool | int) else repr(value) if isinstance(value, float) else value


def cast(expression: str, kind: ColumnType) -> str:
    """An expression as a value of a column's base type, under the column's collation so that its index serves."""
    return f"{expression}::{kind.sql}" + (f" COLLATE {kind.collation}" if kind.collation else "")


def check(columns: Sequence[Sequence[Value]], names: Sequence[str], kinds: Sequence[ColumnType]) -> None:
    """Raise Rejected for values that PostgreSQL would take for something else, or cut without a word."""
    for values, name, kind in zip(columns, names, kinds, strict=True):
        types = set(map(type, values))
        if kind.known == "bytea":
            if str in types or int in types or float in types:
                raise Rejected(f"column {name!r} holds bytes, the value is no bytes", "value")
        elif bytes in types:
            raise Rejected(f"column {name!r} holds {kind.declared}, the value is bytes", "value")
        longest = limit(kind)
        if longest is not None and any(len(value) > longest for value in values if type(value) is str):
            raise Rejected(f"value too long for type {kind.declared} in column {name!r}", "value")
