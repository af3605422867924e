"""Logical types, canonical values, names, keys and content hashes (DESIGN.md 4.7; docs/protocol.md, *Values*).

A canonical value is one of null, int, float, text, bytes. Every logical type has one canonical form, chosen so
that the same fact read from SQLite and from PostgreSQL is the same value without any agreement: a boolean is 0 or
1, a decimal is its shortest plain text, dates, times and instants are ISO text, a UUID is lower-case text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

Value = int | float | str | bytes | None


class Logical(StrEnum):
    """The logical types of the wire."""

    ANY = "any"
    BOOL = "bool"
    INT64 = "int64"
    DECIMAL = "decimal"
    FLOAT64 = "float64"
    TEXT = "text"
    BYTES = "bytes"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    INSTANT = "instant"
    UUID = "uuid"
    JSON = "json"
    REFERENCE = "reference"


_encode = msgspec.msgpack.Encoder().encode
_FOLD = re.compile(r"[_\s]+")
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T]00:00(?::00(?:\.0+)?)?)?", re.ASCII)
_TIME = re.compile(r"(\d\d:\d\d)(:\d\d)?(?:\.(\d{1,9}))?", re.ASCII)
_DECIMAL = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*|(?i:[+-]?inf(?:inity)?|nan)", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHORTEST_DECIMAL = re.compile(r"-?[1-9]\d{0,30}(?:\.\d{0,30}[1-9])?|0", re.ASCII)
"""Most of what comes is in its shortest form already."""
_INTEGER = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_LONGEST_DECIMAL = 140_000
"""More digits than any engine holds: what is written shorter with an exponent stays as it is written."""


def fold(name: str) -> str:
    """The name under which ends that spell it differently meet: lower case, without underscores and spaces."""
    return _FOLD.sub("", name).casefold()


def content_hash(key: str, names: Sequence[str], values: Sequence[Value]) -> bytes:
    """The 32-byte hash of a record's content: binds its key and every field that is not null.

    ``names`` are wire names in ascending order, ``values`` canonical and in the same order. A field that is null
    everywhere leaves no trace, so an added nullable column changes no hash.
    """
    content: dict[str, Value]
    if None in values:
        content = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    else:
        content = dict(zip(names, values, strict=True))
    return sha256(key.encode("utf-8", "surrogatepass") + b"\0" + _encode(content)).digest()


def encoded_hash(key: str, encoded: bytes) -> bytes:
    """``mapping_hash`` of a mapping that is encoded already: MessagePack, names ascending, no nulls."""
    return sha256(key.encode("utf-8", "surrogatepass") + b"\0" + encoded).digest()


def content_of(names: Sequence[str], values: Sequence[Value]) -> dict[str, Value]:
    """The fields that are not null, by wire name."""
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def mapping_hash(key: str, content: dict[str, Any]) -> bytes:
    """``content_hash`` of a mapping of wire names to canonical values."""
    names = sorted(content)
    return content_hash(key, names, [content[name] for name in names])


# Keys ----------------------------------------------------------------------------------------------------------


def single_key(value: Value) -> str:
    """The key of a record whose primary key is one value."""
    if type(value) is str:
        return "\\" + value if value.startswith("\\") else value
    return _key_part(value)


def composite_key(parts: Iterable[Value]) -> str:
    """The key of a record whose primary key has several parts."""
    return ",".join(
        part.replace("\\", "\\\\").replace(",", "\\,") if type(part) is str else _key_part(part) for part in parts
    )


def _key_part(value: Value) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float):
        return "\\f" + repr(value)
    return str(int(value)) if isinstance(value, bool | int) else str(value)


def single_value(key: str, logical: Logical) -> Value:
    """The primary key value that ``single_key`` made ``key`` of."""
    if key.startswith("\\\\"):
        return key[1:]
    return _part_value(key, logical)


def composite_values(key: str, logicals: Sequence[Logical]) -> list[Value]:
    """The primary key values that ``composite_key`` made ``key`` of."""
    parts = _split(key)
    if len(parts) != len(logicals):
        raise ValueError(f"key {key!r} has {len(parts)} parts, not {len(logicals)}")
    return [
        _part_value(part, logical) if _is_coded(part) else _plain_value(_unescape(part), logical)
        for part, logical in zip(parts, logicals, strict=True)
    ]


def _is_coded(part: str) -> bool:
    return len(part) > 1 and part[0] == "\\" and part[1] in "Nxf"


def _split(key: str) -> list[str]:
    parts, start, position = [], 0, 0
    while position < len(key):
        if key[position] == "\\":
            position += 1
        elif key[position] == ",":
            parts.append(key[start:position])
            start = position + 1
        position += 1
    parts.append(key[start:])
    return parts


def _unescape(part: str) -> str:
    return re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL)


def _part_value(part: str, logical: Logical) -> Value:
    if part == "\\N":
        return None
    if part.startswith("\\x"):
        return bytes.fromhex(part[2:])
    if part.startswith("\\f"):
        return float(part[2:])
    return _plain_value(part, logical)


def _plain_value(part: str, logical: Logical) -> Value:
    if logical in (Logical.INT64, Logical.BOOL) and _INTEGER.fullmatch(part):
        return int(part)
    return part


# Canonical forms -----------------------------------------------------------------------------------------------


def canonical_bool(value: Any) -> Value:
    """0 or 1; other values as they are."""
    if isinstance(value, str) and value.lower() in ("t", "true", "f", "false"):
        return int(value[0] in "tT")
    return int(value) if isinstance(value, bool) else canonical_any(value)


def canonical_decimal(value: Any) -> Value:
    """The shortest plain decimal text; what is no number stays as it is."""
    if value.__class__ is int:
        return str(value)
    if value.__class__ is str and _SHORTEST_DECIMAL.fullmatch(value):
        return value
    if not isinstance(value, Decimal):
        value = canonical_any(value)
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        value = repr(value)
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        return value
    number = Decimal(value)
    if not number.is_finite():
        return "NaN" if number.is_nan() else str(number)
    if abs(number.adjusted()) > _LONGEST_DECIMAL:
        return str(value)
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def canonical_date(value: Any) -> Value:
    """``YYYY-MM-DD``; other text as it is."""
    text = canonical_any(value)
    match = _DATE.fullmatch(text) if isinstance(text, str) else None
    return match.group(1) if match else text


def canonical_time(value: Any) -> Value:
    """``HH:MM:SS[.f]`` without trailing zeros; other text as it is."""
    text = canonical_any(value)
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match:
        return match.group(1) + (match.group(2) or ":00") + _fraction(match.group(3))
    return text


def canonical_timestamp(value: Any) -> Value:
    """``YYYY-MM-DD HH:MM:SS[.f]``, with ``+00`` and turned to UTC when a zone was given."""
    text = canonical_any(value)
    if not isinstance(text, str):
        return text
    match = _TIMESTAMP.fullmatch(text)
    if match:
        day, minute, second, fraction, zone = match.groups()
        plain = f"{day} {minute}{second or ':00'}"
        if zone is None:
            return plain + _fraction(fraction)
        return _utc(plain, fraction, zone) or text
    return text + " 00:00:00" if len(text) == 10 and _DATE.fullmatch(text) else text


def canonical_instant(value: Any) -> Value:
    """``YYYY-MM-DD HH:MM:SS[.f]+00``: a timestamp without a zone is read as UTC."""
    text = canonical_timestamp(value)
    if not isinstance(text, str):
        return text
    match = _TIMESTAMP.fullmatch(text)
    return text + "+00" if match and match.group(5) is None else text


def _fraction(digits: str | None) -> str:
    kept = (digits or "")[:6].rstrip("0")
    return "." + kept if kept else ""


def _utc(plain: str, fraction: str | None, zone: str) -> str | None:
    offset = "+00:00" if zone in "Zz" else zone if len(zone) > 3 else zone + ":00"
    try:
        moment = datetime.fromisoformat(plain + offset).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0") + _fraction(fraction) + "+00"


def canonical_uuid(value: Any) -> Value:
    """Lower-case text with hyphens; other text as it is."""
    if value.__class__ is str and _UUID.fullmatch(value):
        return value
    if isinstance(value, str):
        digits = value.strip("{}").replace("-", "").lower()
        if len(digits) == 32 and all(digit in "0123456789abcdef" for digit in digits):
            return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return canonical_any(value)


def canonical_json(value: Any) -> Value:
    """Compact text with sorted members. What is no JSON stays as it is, and what this form could not hold exactly."""
    if isinstance(value, dict | list):
        value = json.dumps(value)
    if not isinstance(value, str):
        return canonical_any(value)
    try:
        parsed = json.loads(value, parse_float=_exact_float, object_pairs_hook=_members)
        text = json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):
        return value
    return text


def _exact_float(text: str) -> float:
    number = float(text)
    if Decimal(repr(number)) != Decimal(text):
        raise ValueError(f"{text} has more digits than a float")
    return number


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def canonical_any(value: Any) -> Value:
    """Storage classes as they are, with booleans as integers."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, int | float | str | bytes):
        return value
    return bytes(value) if isinstance(value, bytearray | memoryview) else str(value)


def canonical_float(value: Any) -> Value:
    """A float for every number: 5 read from an untyped engine is the 5.0 of a typed one."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else canonical_any(value)


CANONICAL: dict[Logical, Callable[[Any], Value]] = {
    Logical.BOOL: canonical_bool,
    Logical.DECIMAL: canonical_decimal,
    Logical.FLOAT64: canonical_float,
    Logical.DATE: canonical_date,
    Logical.TIME: canonical_time,
    Logical.TIMESTAMP: canonical_timestamp,
    Logical.INSTANT: canonical_instant,
    Logical.UUID: canonical_uuid,
    Logical.JSON: canonical_json,
}
"""How a value read from a column of the logical type becomes canonical; absent types need no conversion."""
