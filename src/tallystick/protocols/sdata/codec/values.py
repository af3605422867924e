"""Canonical values (core/values.py) as XML Schema text and back (spec 12 *Schema*; types both ways)."""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from calendar import monthrange
from collections.abc import Callable
from typing import Final

from tallystick.core.values import CANONICAL, Logical, Value
from tallystick.errors import ValueRejected

_ZONE = re.compile(r"(Z|z|[+-]\d\d:\d\d)$")
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"(([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,6})?|24:00:00)"
_DATE = re.compile(_DAY, re.ASCII)
_TIME = re.compile(_CLOCK, re.ASCII)
_TIMESTAMP = re.compile(rf"{_DAY} {_CLOCK}(\+00)?", re.ASCII)
_DAYS: Final = frozenset({Logical.DATE, Logical.TIMESTAMP, Logical.INSTANT})
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DOUBLE = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)

_XS_TYPES: Final = {
    Logical.BOOL: "boolean",
    Logical.INT64: "long",
    Logical.DECIMAL: "decimal",
    Logical.FLOAT64: "double",
    Logical.BYTES: "base64Binary",
    Logical.DATE: "date",
    Logical.TIME: "time",
    Logical.TIMESTAMP: "dateTime",
    Logical.INSTANT: "dateTime",
}
_LOGICALS: Final = {
    "boolean": Logical.BOOL,
    "byte": Logical.INT64,
    "short": Logical.INT64,
    "int": Logical.INT64,
    "integer": Logical.INT64,
    "long": Logical.INT64,
    "unsignedByte": Logical.INT64,
    "unsignedShort": Logical.INT64,
    "unsignedInt": Logical.INT64,
    "decimal": Logical.DECIMAL,
    "float": Logical.FLOAT64,
    "double": Logical.FLOAT64,
    "base64Binary": Logical.BYTES,
    "date": Logical.DATE,
    "time": Logical.TIME,
    "dateTime": Logical.INSTANT,
}


def xs_type(logical: Logical) -> str:
    """The XML Schema type (local name) of a logical type; text for those that XML Schema does not know."""
    return _XS_TYPES.get(logical, "string")


def logical_of(xs_name: str) -> Logical:
    """The logical type of an XML Schema type (local name); text for an unknown one."""
    return _LOGICALS.get(xs_name, Logical.TEXT)


def to_wire(logical: Logical, value: Value) -> str | None:
    """The XML text of a canonical value; None for null."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if logical is Logical.BOOL and value in (0, 1):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if logical in (Logical.TIMESTAMP, Logical.INSTANT) and isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        zoned = value.endswith("+00")
        return value.removesuffix("+00").replace(" ", "T") + ("Z" if zoned else "")
    return str(value)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "INF" if value > 0 else "-INF"
    return repr(value)


def from_wire(logical: Logical, text: str | None) -> Value:
    """The canonical value of an XML text; None (``xsi:nil``) is null.

    Raises ValueRejected when the text is no value of the type: the entry fails, the page goes on.
    """
    if text is None:
        return None
    read = _READERS.get(logical)
    if read is None:
        return text
    value = read(text.strip())
    if value is None:
        raise ValueRejected(f"{text[:60]!r} is no {xs_type(logical) if logical in _XS_TYPES else logical.value}")
    return value


def _read_bool(text: str) -> Value:
    return {"true": 1, "1": 1, "false": 0, "0": 0}.get(text.lower())


def _read_int(text: str) -> Value:
    digits = text.removeprefix("+").removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def _read_decimal(text: str) -> Value:
    return CANONICAL[Logical.DECIMAL](text) if _DECIMAL.fullmatch(text) and len(text) <= 400 else None


def _read_float(text: str) -> Value:
    special = {"INF": math.inf, "+INF": math.inf, "-INF": -math.inf, "NaN": math.nan}.get(text)
    if special is not None:
        return special
    number = float(text) if _DOUBLE.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def _read_bytes(text: str) -> Value:
    try:
        return b64decode("".join(text.split()), validate=True)
    except (NotBase64, ValueError):
        return None


def _matching(logical: Logical, pattern: re.Pattern[str]) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        value = CANONICAL[logical](_ZONE.sub("", text) if logical in (Logical.DATE, Logical.TIME) else text)
        return value if isinstance(value, str) and pattern.fullmatch(value) and _has_day(logical, value) else None

    return read


def _has_day(logical: Logical, value: str) -> bool:
    """Whether the month has that day; asked of few, since every month has a 28th."""
    if logical not in _DAYS or value[8:10] <= "28":
        return True
    year, month, day = int(value[:4]), int(value[5:7]), int(value[8:10])
    return day <= monthrange(year or 4, month)[1]


_READERS: Final[dict[Logical, Callable[[str], Value]]] = {
    Logical.BOOL: _read_bool,
    Logical.INT64: _read_int,
    Logical.DECIMAL: _read_decimal,
    Logical.FLOAT64: _read_float,
    Logical.BYTES: _read_bytes,
    Logical.DATE: _matching(Logical.DATE, _DATE),
    Logical.TIME: _matching(Logical.TIME, _TIME),
    Logical.TIMESTAMP: _matching(Logical.TIMESTAMP, _TIMESTAMP),
    Logical.INSTANT: _matching(Logical.INSTANT, _TIMESTAMP),
    Logical.UUID: _matching(Logical.UUID, _UUID),
}
