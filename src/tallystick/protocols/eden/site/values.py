"""Canonical values of a site to Eden's values and back (spec/eden.md: sections 6.2 and 6.3; DESIGN.md 4.7). Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from tallystick.core.values import CANONICAL, Logical, Value, canonical_any
from tallystick.protocols.eden.codec.encoding import Upload
from tallystick.protocols.eden.codec.schema import Kind
from tallystick.protocols.eden.codec.times import format_time, parse_time
from tallystick.protocols.eden.errors import TimeFormatError
from tallystick.protocols.eden.store import Target

Reading = Callable[[Any], object]

KINDS = {
    Logical.BOOL: Kind.BOOLEAN,
    Logical.INT64: Kind.INTEGER,
    Logical.DECIMAL: Kind.DECIMAL,
    Logical.FLOAT64: Kind.DOUBLE,
    Logical.BYTES: Kind.BLOB,
    Logical.DATE: Kind.DATE,
    Logical.TIME: Kind.TIME,
    Logical.TIMESTAMP: Kind.DATETIME,
    Logical.INSTANT: Kind.DATETIME,
    Logical.JSON: Kind.JSON,
}
"""What a column is on Eden's wire when nobody says more; absent types are strings."""

COLUMNS = {
    Kind.INTEGER: Logical.INT64,
    Kind.DOUBLE: Logical.FLOAT64,
    Kind.DECIMAL: Logical.DECIMAL,
    Kind.BOOLEAN: Logical.BOOL,
    Kind.DATE: Logical.DATE,
    Kind.TIME: Logical.TIME,
    Kind.DATETIME: Logical.TIMESTAMP,
    Kind.JSON: Logical.JSON,
}
"""The type of a column that is created for a field; absent kinds are text."""

EXACT = frozenset({Kind.STRING, Kind.TEXT, Kind.INTEGER, Kind.DOUBLE, Kind.BOOLEAN})
"""Kinds whose values come back from the wire exactly as they left."""


def _read_moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    if len(value) >= 19 and value[4] == "-" and value[10] in " T" and value[19:] in ("", "+00", "Z"):
        return f"{value[:10]}T{value[11:19]}"
    try:
        return format_time(parse_time(value))
    except (TimeFormatError, ValueError):
        return value


def _read_decimal(value: object) -> object:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return value


def _read_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _read_upload(value: object) -> object:
    found = _read_json(value)
    if isinstance(found, dict):
        return Upload(found.get("url"), found.get("filename"))
    return Upload(None, str(found))


def _read_text(value: object) -> object:
    return value if isinstance(value, str) else str(value)


_READINGS: dict[Kind, Reading] = {
    Kind.BOOLEAN: lambda value: bool(value) if isinstance(value, int) else value,
    Kind.DECIMAL: _read_decimal,
    Kind.DATE: lambda value: value[:10] if isinstance(value, str) else value,
    Kind.TIME: lambda value: value[:8] if isinstance(value, str) else value,
    Kind.DATETIME: _read_moment,
    Kind.JSON: _read_json,
    Kind.STRING_LIST: _read_json,
    Kind.INTEGER_LIST: _read_json,
    Kind.UPLOAD: _read_upload,
}

_PLAIN = {
    Kind.INTEGER: frozenset({Logical.INT64}),
    Kind.DOUBLE: frozenset({Logical.FLOAT64}),
    **dict.fromkeys((Kind.STRING, Kind.TEXT, Kind.PASSWORD), frozenset({Logical.TEXT, Logical.UUID})),
}
"""What needs no conversion."""


def reading(kind: Kind, logical: Logical, target: str | None = None) -> Reading | None:
    """How a column's canonical values read as a field of that kind; None: as they are."""
    if kind is Kind.REFERENCE_LIST:
        return _targets_of(target or "")
    if kind is Kind.REFERENCE:
        return lambda value: Target(target or "", str(value))
    found = _READINGS.get(kind)
    if found is not None:
        return found
    if logical in _PLAIN.get(kind, ()):
        return None
    return _read_text if kind in (Kind.STRING, Kind.TEXT, Kind.PASSWORD, Kind.BLOB) else None


def _targets_of(table: str) -> Reading:
    def targets(value: object) -> object:
        found = _read_json(value)
        return tuple(Target(table, str(one)) for one in found) if isinstance(found, list) else ()

    return targets


AS_IT_IS = frozenset({str, int, float})
"""Types whose values are canonical in every column whose type needs no other form."""


def written(value: object, logical: Logical) -> Value:
    """The canonical value of a field's value in a column of that type."""
    if value is None or (type(value) in AS_IT_IS and logical not in CANONICAL):
        return value  # type: ignore[return-value]
    if isinstance(value, Target):
        return value.uuid
    if isinstance(value, Upload):
        value = json.dumps({"url": value.url, "filename": value.filename})
    elif isinstance(value, tuple):
        value = json.dumps([one.uuid if isinstance(one, Target) else one for one in value])
    elif isinstance(value, list | dict):
        value = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    elif isinstance(value, Decimal) and logical is not Logical.DECIMAL:
        value = float(value) if logical is Logical.FLOAT64 else format(value, "f")
    elif isinstance(value, bool) and logical is Logical.TEXT:
        value = "true" if value else "false"
    return CANONICAL.get(logical, canonical_any)(value)
