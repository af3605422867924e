"""Defaults of columns: read from what an engine declares, written for another (DESIGN.md 4.7). Pure.

What travels is a value or the name of one of a few functions, never SQL: a peer's expression would be run by the
database of whoever creates the table.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import date, datetime, time

from tallystick.core.values import CANONICAL, Logical
from tallystick.site.schema import Default, DefaultKind

_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_TEXT = re.compile(r"'((?:[^']|'')*)'")
_BYTES = re.compile(r"[xX]'((?:[0-9a-fA-F]{2})*)'")
_CAST = re.compile(r"(.*?)::([a-z][a-z0-9_ ]*?)(\(\d+(,\d+)?\))?( without time zone| with time zone)?", re.DOTALL)
_LONGEST = 1000
_NUMERIC = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
_SQLITE_UUID = (
    "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || "
    "substr('89AB', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))"
)
_SQLITE = {
    DefaultKind.NOW: "CURRENT_TIMESTAMP",
    DefaultKind.TODAY: "CURRENT_DATE",
    DefaultKind.TIME: "CURRENT_TIME",
    DefaultKind.UUID: _SQLITE_UUID,
}
_POSTGRESQL = {
    DefaultKind.NOW: "CURRENT_TIMESTAMP",
    DefaultKind.TODAY: "CURRENT_DATE",
    DefaultKind.TIME: "CURRENT_TIME",
    DefaultKind.UUID: "pg_catalog.gen_random_uuid()",
}
_NAMED = {
    "current_timestamp": DefaultKind.NOW,
    "now()": DefaultKind.NOW,
    "current_date": DefaultKind.TODAY,
    "current_time": DefaultKind.TIME,
    "gen_random_uuid()": DefaultKind.UUID,
    _SQLITE_UUID[1:-1].lower(): DefaultKind.UUID,
}
_FITTING = {
    DefaultKind.NOW: frozenset((Logical.TIMESTAMP, Logical.INSTANT)),
    DefaultKind.TODAY: frozenset((Logical.DATE,)),
    DefaultKind.TIME: frozenset((Logical.TIME,)),
    DefaultKind.UUID: frozenset((Logical.UUID, Logical.TEXT, Logical.ANY)),
}
_NUMBERS = frozenset((Logical.INT64, Logical.DECIMAL, Logical.FLOAT64, Logical.ANY, Logical.BOOL))


def of_sqlite(text: str) -> Default | None:
    """The default that an expression of SQLite stands for, None when it is none that another end could have."""
    plain = text.strip()
    if plain.lower() in ("true", "false"):
        return Default(DefaultKind.NUMBER, str(int(plain.lower() == "true")))
    if quoted := re.fullmatch(r'"((?:[^"]|"")*)"', plain):  # SQLite takes a name that is none for a text
        return Default(DefaultKind.TEXT, quoted.group(1).replace('""', '"'))
    return _of_literal(plain) or _of_name(plain)


def of_postgresql(text: str) -> Default | None:
    """The default that an expression of PostgreSQL, as its catalog writes it, stands for; None as above."""
    plain = text.strip()
    kind = ""
    while cast := _CAST.fullmatch(plain):
        plain, kind = cast.group(1).strip(), cast.group(2)
    if plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1].strip()
    if plain in ("true", "false"):
        return Default(DefaultKind.NUMBER, str(int(plain == "true")))
    found = _of_literal(plain) or _of_name(plain)
    if found is None or found.kind is not DefaultKind.TEXT:
        return found
    if kind in _NUMERIC:  # negative numbers are written so
        return Default(DefaultKind.NUMBER, found.value) if _NUMBER.fullmatch(found.value) else None
    if kind == "bytea":
        raw = re.fullmatch(r"\\x([0-9a-f]*)", found.value)
        return None if raw is None else Default(DefaultKind.BYTES, raw.group(1))
    return found


def _of_literal(plain: str) -> Default | None:
    if len(plain) > _LONGEST:
        return None
    if _NUMBER.fullmatch(plain):
        return Default(DefaultKind.NUMBER, plain)
    if text := _TEXT.fullmatch(plain):
        return Default(DefaultKind.TEXT, text.group(1).replace("''", "'"))
    if raw := _BYTES.fullmatch(plain):
        return Default(DefaultKind.BYTES, raw.group(1).lower())
    return None


def _of_name(plain: str) -> Default | None:
    kind = _NAMED.get(plain.lower())
    return None if kind is None else Default(kind)


def for_sqlite(default: Default, logical: Logical) -> str | None:
    """The expression of a default for a column of SQLite; None where it is none of the column's type."""
    kind = default.kind
    if kind in _SQLITE:
        return _SQLITE[kind] if logical in _FITTING[kind] else None
    if not _is_fitting(default, logical):
        return None
    if kind is DefaultKind.BYTES:
        return f"X'{default.value}'"
    return default.value if kind is DefaultKind.NUMBER else _quoted(default.value)


def for_postgresql(default: Default, logical: Logical, detail: str = "") -> str | None:
    """The expression of a default for a column of PostgreSQL; None where the server might refuse it there.

    ``detail`` refines the logical type: of texts that are kept under a type of their own nothing is known here.
    """
    kind = default.kind
    if kind in _POSTGRESQL:
        return _POSTGRESQL[kind] if logical in _FITTING[kind] and not detail.isalpha() else None
    if not _is_fitting(default, logical) or (logical is Logical.TEXT and detail):
        return None
    if kind is DefaultKind.BYTES:
        return f"'\\x{default.value}'"
    if logical is Logical.BOOL:
        return "TRUE" if int(default.value) else "FALSE"
    return default.value if kind is DefaultKind.NUMBER and logical is not Logical.TEXT else _quoted(default.value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _is_fitting(default: Default, logical: Logical) -> bool:
    value = default.value
    if default.kind is DefaultKind.BYTES:
        return logical in (Logical.BYTES, Logical.ANY) and _BYTES.fullmatch(f"x'{value}'") is not None
    if default.kind is DefaultKind.NUMBER:
        return _is_number(value, logical)
    if "\0" in value or "\\" in value or not value.isprintable():
        return False
    return logical in (Logical.TEXT, Logical.ANY) or _is_spelled(value, logical)


def _is_number(value: str, logical: Logical) -> bool:
    if logical not in _NUMBERS or not _NUMBER.fullmatch(value):
        return False
    if logical is Logical.BOOL:
        return value in ("0", "1")
    if logical is Logical.INT64:
        return _INTEGER.fullmatch(value) is not None and -(1 << 63) <= int(value) < 1 << 63
    return math.isfinite(float(value))


def _is_spelled(value: str, logical: Logical) -> bool:
    """True for the text of a value of a type that a database checks: nothing must fail when the table is created."""
    check = _CHECKS.get(logical)
    if check is None:
        return False
    try:
        check(str(CANONICAL[logical](value)))
    except ValueError:
        return False
    return True


def _uuid(text: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        raise ValueError(text)


_CHECKS: dict[Logical, Callable[[str], object]] = {
    Logical.DATE: date.fromisoformat,
    Logical.TIME: time.fromisoformat,
    Logical.TIMESTAMP: datetime.fromisoformat,
    Logical.INSTANT: lambda text: datetime.fromisoformat(text + ":00" if text.endswith("+00") else text),
    Logical.JSON: json.loads,
    Logical.UUID: _uuid,
}
