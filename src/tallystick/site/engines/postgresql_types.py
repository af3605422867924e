"""What the types of PostgreSQL are to us: logical types, canonical reading, exact comparing, declaring (DESIGN.md 4.7).

Every rule is stated for the base type of a column, domains looked through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tallystick.core.values import Logical, Value, canonical_uuid
from tallystick.site.engines.postgresql_sql import literal, quoted
from tallystick.site.schema import Column

_LOGICAL = {
    "bool": Logical.BOOL,
    "int2": Logical.INT64,
    "int4": Logical.INT64,
    "int8": Logical.INT64,
    "oid": Logical.INT64,
    "numeric": Logical.DECIMAL,
    "float4": Logical.FLOAT64,
    "float8": Logical.FLOAT64,
    "bytea": Logical.BYTES,
    "date": Logical.DATE,
    "time": Logical.TIME,
    "timestamp": Logical.TIMESTAMP,
    "timestamptz": Logical.INSTANT,
    "uuid": Logical.UUID,
    "json": Logical.JSON,
    "jsonb": Logical.JSON,
}
"""Logical types by base type; every other type is text."""

_EXACT_TEXT = ("text", "varchar", "citext")
"""Text types that keep what they take, or refuse it."""

_COMPARABLE = frozenset(
    ["bool", "int2", "int4", "int8", "oid", "numeric", "bytea", "date", "time", "timestamp", "timestamptz", "uuid"]
)
"""Types whose equality is that of canonical values; the others are compared byte by byte."""

_KEEPING = frozenset(["bool", "int2", "int4", "int8", "oid", "bytea", "uuid", "bpchar"])
"""Types of which the spelling is known without the server."""

_DECLARED = {
    Logical.ANY: "TEXT",
    Logical.BOOL: "BOOLEAN",
    Logical.INT64: "BIGINT",
    Logical.DECIMAL: "NUMERIC",
    Logical.FLOAT64: "DOUBLE PRECISION",
    Logical.TEXT: "TEXT",
    Logical.BYTES: "BYTEA",
    Logical.DATE: "DATE",
    Logical.TIME: "TIME",
    Logical.TIMESTAMP: "TIMESTAMP",
    Logical.INSTANT: "TIMESTAMPTZ",
    Logical.UUID: "UUID",
    Logical.JSON: "JSONB",
    Logical.REFERENCE: "BIGINT",
}
_BUILT_IN = re.compile(
    r"(interval|timetz|time with time zone|inet|cidr|macaddr8?|bit varying|bit|tsvector|tsquery|xml|money|point|line|"
    r"lseg|box|path|polygon|circle|name|int4range|int8range|numrange|daterange|tsrange|tstzrange|smallint|integer|"
    r"bigint|text|real|double precision|boolean|uuid|date|numeric)(\(\d+(,\d+)?\))?(\[\])?"
)
"""Details that name a built-in type, for which a column can be declared at another site."""


class ColumnType(NamedTuple):
    """The type of one column: base type (schema and name), type modifier, and whether its kind is an enumeration.

    ``typmod`` is -1 when there is none; ``declared`` is the type as its declaration reads.
    """

    schema: str
    base: str
    typmod: int
    declared: str
    enumeration: bool = False
    collation: str = ""

    @property
    def known(self) -> str:
        """The base type's name when it is built in, else ""."""
        return self.base if self.schema == "pg_catalog" else ""

    @property
    def sql(self) -> str:
        """The base type as SQL text, without a length: a cast to it never cuts a value."""
        return f"{quoted(self.schema)}.{quoted(self.base)}"


def logical_type(kind: ColumnType) -> Logical:
    """The logical type of a column."""
    return _LOGICAL.get(kind.known, Logical.TEXT)


def detail(kind: ColumnType) -> str:
    """What refines the logical type: columns of equal detail render values equally."""
    name, typmod = kind.known, kind.typmod
    if name == "numeric":
        return _precision(typmod)
    if name == "bpchar":
        return f"char {max(typmod - 4, 1)}"
    if name in ("time", "timestamp", "timestamptz"):
        return str(typmod) if 0 <= typmod < 6 else ""
    if name == "float4":
        return "float4"
    if name in _LOGICAL or kind.enumeration or kind.base in _EXACT_TEXT:
        return ""
    return kind.declared


def _precision(typmod: int) -> str:
    if typmod < 4:
        return ""
    scale = (typmod - 4) & 0x7FF
    return f"{(typmod - 4) >> 16 & 0xFFFF},{scale - 2048 if scale & 0x400 else scale}"


def limit(kind: ColumnType) -> int | None:
    """The number of characters that a varchar column takes: beyond it PostgreSQL cuts blanks without a word."""
    return kind.typmod - 4 if kind.known == "varchar" and kind.typmod >= 4 else None


def reading(kind: ColumnType, column: str) -> str:
    """The SQL expression that reads ``column`` (SQL text) as a canonical value.

    Needs the session settings of ``postgresql_driver``. JSON is the exception: it comes as the text it is.
    """
    name = kind.known
    if name in ("int2", "int4", "int8", "oid", "float8", "bytea"):
        return column
    if name == "bool":
        return f"{column}::int"
    if name == "numeric":
        return f"pg_catalog.trim_scale({column})::text"
    if name == "float4":
        return f"{column}::text::float8"
    return f"{column}::text"


def key_text(kind: ColumnType, column: str) -> str:
    """The SQL expression of a key column's canonical value as text, for marks."""
    if kind.known == "bytea":
        return f"pg_catalog.encode({column}, 'hex')"
    return reading(kind, column).removesuffix("::float8").removesuffix("::text") + "::text"


def same(kind: ColumnType, old: str, new: str) -> str:
    """The SQL condition that two values of a column are one, for any type, whatever operators it has.

    Equality with two tests for null is a little faster than IS NOT DISTINCT FROM, and capture pays it per column.
    """
    collate = ' COLLATE "C"' if kind.known in ("text", "varchar", "bpchar") else ""
    if collate or kind.known in _COMPARABLE:
        return f"({old}{collate} = {new}{collate} OR ({old} IS NULL AND {new} IS NULL))"
    if kind.known in ("float4", "float8"):  # zeros of both signs are equal, but two values
        sent = [f"pg_catalog.{kind.known}send({value})" for value in (old, new)]
        alike = f"{old} = {new} AND ({old} <> 0 OR {sent[0]} = {sent[1]})"
        return f"(({alike}) OR ({old} IS NULL AND {new} IS NULL))"
    return f"pg_catalog.record_image_eq(ROW({old}), ROW({new}))"


def declared_type(column: Column) -> str:
    """The type under which a column of another site is created here."""
    text = column.detail
    if column.logical is Logical.DECIMAL and re.fullmatch(r"\d+(,-?\d+)?", text):
        return f"NUMERIC({text})"
    if column.logical is Logical.FLOAT64 and text == "float4":
        return "REAL"
    if column.logical in (Logical.TIME, Logical.TIMESTAMP, Logical.INSTANT) and re.fullmatch(r"[0-6]", text):
        return f"{_DECLARED[column.logical]}({text})"
    if column.logical is Logical.TEXT and re.fullmatch(r"char \d{1,8}", text):
        return f"CHAR({text[5:]})"
    if column.logical is Logical.TEXT and _BUILT_IN.fullmatch(text):
        return text
    return _DECLARED[column.logical]


def has_rules(kind: ColumnType) -> bool:
    """True where only the server knows how it would spell a value of the type: rounded, turned to UTC, shortened."""
    return not (kind.enumeration or kind.known in _KEEPING or kind.base in _EXACT_TEXT)


def keeping(kind: ColumnType, values: Sequence[Value]) -> Sequence[Value]:
    """Values as a column holds them whose type ``has_rules`` of which none is left to the server."""
    if kind.known == "uuid":
        return list(map(canonical_uuid, values))
    if kind.known == "bpchar":
        return [value.rstrip(" ") if isinstance(value, str) else value for value in values]
    return values


def passing(kind: ColumnType, column: str, table: str) -> str | None:
    """An SQL expression that gives every row another value of a unique NOT NULL column, None where there is none.

    ``k.number`` counts the rows from 1; ``column`` and ``table`` are SQL text.
    """
    name = kind.known
    random = "pg_catalog.md5(pg_catalog.random()::text || k.number::text)"
    if name in ("text", "varchar", "bpchar"):
        size = kind.typmod - 4 if kind.typmod >= 4 else 38
        return (
            f"pg_catalog.left({literal('tally-')} || {random}, {size})"
            if size > 12
            else f"pg_catalog.left({random}, {size})"
        )
    if name in ("int2", "int4", "int8", "numeric"):
        return f"(SELECT least(min({column}), 0) FROM {table}) - k.number"
    if name == "bytea":
        return f"pg_catalog.decode({random}, 'hex')"
    if name == "uuid":
        return f"{random}::uuid"
    if name in ("date", "timestamp", "timestamptz"):
        return f"(SELECT min({column}) FROM {table}) - k.number::int * interval '1 day'"
    return None
