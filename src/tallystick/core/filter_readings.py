"""How a filter reads a stored value as a number, text, moment, time or UUID: one function each, null where it is none.

Both answers to a filter go through these: ``filter_values`` calls them on records, and SQLite calls them from
compiled SQL (``SQLITE_FUNCTIONS``), so that a value of an unexpected type means the same to both. NaN and infinities
are null to a filter: engines disagree on how they compare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from tallystick.core.values import (
    Value,
    canonical_bool,
    canonical_decimal,
    canonical_time,
    canonical_timestamp,
    canonical_uuid,
)

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_NUMBER = re.compile(r"[-+]?[0-9]{1,400}(?:\.[0-9]{0,400})?(?:[eE][-+]?[0-9]{1,3})?")
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.(\d{1,6}))?", re.ASCII)


def fitting(value: int | float) -> int | float | None:
    """A number that every engine can hold: an integer of 64 bits or a finite float; null for what is neither."""
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX else _finite(value)
    return value if math.isfinite(value) else None


def _finite(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def from_decimal(value: Decimal) -> int | float | None:
    """The integer where ``value`` is one of 64 bits, the nearest float otherwise."""
    if value == value.to_integral_value() and INT64_MIN <= value <= INT64_MAX:
        return int(value)
    return fitting(float(value))


def as_number(value: Value) -> int | float | None:
    """Integers and finite floats as they are, text that is a number as that number."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return fitting(value)
    if isinstance(value, str):
        plain = value if _NUMBER.fullmatch(value) else canonical_decimal(value)
        if isinstance(plain, str) and _NUMBER.fullmatch(plain):
            return from_decimal(Decimal(plain))
    return None


def as_flag(value: Value) -> int | float | None:
    """The value of a boolean field as a number: 0 or 1 also for ``true``, ``f`` and their like."""
    return as_number(canonical_bool(value))


def as_text(value: Value) -> str | None:
    """Text as it is, integers in digits (references and untyped columns hold them); nothing else is text."""
    if isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, int) else None


def as_uuid(value: Value) -> str | None:
    """Text in the one spelling of UUIDs, where it is one."""
    text = as_text(value)
    return None if text is None else str(canonical_uuid(text))


def as_moment(value: Value) -> str | None:
    """``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC, of years 1 to 9999; read as UTC without a zone, as midnight if a date."""
    canonical = canonical_timestamp(value) if isinstance(value, str) else None
    if not isinstance(canonical, str) or len(canonical) < 19:
        return None
    day, time = canonical[:10], as_time(canonical[11:].removesuffix("+00"))
    try:
        date.fromisoformat(day)
    except ValueError:
        return None
    return None if time is None else f"{day} {time}"


def as_time(value: Value) -> str | None:
    """``HH:MM:SS.ffffff``."""
    canonical = canonical_time(value) if isinstance(value, str) else None
    match = _TIME.fullmatch(canonical) if isinstance(canonical, str) else None
    if match is None:
        return None
    return f"{match.group()[:8]}.{(match.group(1) or '').ljust(6, '0')}"


def order(left: Value, right: Value) -> int | None:
    """-1, 0 or 1 as ``left`` stands before, at or after ``right``; null unless both are numbers or both are text."""
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if isinstance(left, int | float) and isinstance(right, int | float):
        first, second = fitting(left), fitting(right)
        if first is not None and second is not None:
            return (first > second) - (first < second)
    return None


# Arithmetic and functions --------------------------------------------------------------------------------------

_Number = int | float | None


def negated(value: _Number) -> _Number:
    """``-value``."""
    return None if value is None else fitting(-value)


def added(left: _Number, right: _Number) -> _Number:
    """``left + right``."""
    return None if left is None or right is None else fitting(left + right)


def subtracted(left: _Number, right: _Number) -> _Number:
    """``left - right``."""
    return None if left is None or right is None else fitting(left - right)


def multiplied(left: _Number, right: _Number) -> _Number:
    """``left mul right``."""
    return None if left is None or right is None else fitting(left * right)


def divided(left: _Number, right: _Number) -> _Number:
    """``left div right``, never rounded to an integer; null where ``right`` is 0."""
    return None if left is None or not right else fitting(left / right)


def remainder(left: _Number, right: _Number) -> _Number:
    """``left mod right`` with the sign of ``left``; null where ``right`` is 0."""
    if left is None or not right:
        return None
    if isinstance(left, int) and isinstance(right, int):
        return abs(left) % abs(right) * (-1 if left < 0 else 1)
    return fitting(math.fmod(left, right))


def _rounded(value: _Number, decimals: int, rounding: str) -> _Number:
    if value is None or isinstance(value, int):
        return value
    exact = Decimal(repr(value))
    if -exact.as_tuple().exponent <= decimals:  # type: ignore[operator]
        return from_decimal(exact)
    return from_decimal(exact.quantize(Decimal(1).scaleb(-decimals), rounding=rounding))


def rounded(value: _Number, decimals: int = 0) -> _Number:
    """``round(x[, d])``: halves away from zero, as decimal digits show them."""
    return _rounded(value, decimals, ROUND_HALF_UP)


def truncated(value: _Number, decimals: int = 0) -> _Number:
    """``trunc(x[, d])``: towards zero."""
    return _rounded(value, decimals, ROUND_DOWN)


def floor(value: _Number) -> _Number:
    """``floor(x)``."""
    return _rounded(value, 0, ROUND_FLOOR)


def ceiling(value: _Number) -> _Number:
    """``ceil(x)``."""
    return _rounded(value, 0, ROUND_CEILING)


def magnitude(value: _Number) -> _Number:
    """``abs(x)``."""
    return None if value is None else fitting(abs(value))


def sign(value: _Number) -> _Number:
    """``sign(x)``: -1, 0 or 1."""
    return None if value is None else (value > 0) - (value < 0)


SQLITE_FUNCTIONS: dict[str, tuple[int, Callable[..., Value]]] = {
    "tally_number": (1, as_number),
    "tally_flag": (1, as_flag),
    "tally_text": (1, as_text),
    "tally_uuid": (1, as_uuid),
    "tally_moment": (1, as_moment),
    "tally_time": (1, as_time),
    "tally_order": (2, order),
    "tally_negated": (1, negated),
    "tally_added": (2, added),
    "tally_subtracted": (2, subtracted),
    "tally_multiplied": (2, multiplied),
    "tally_divided": (2, divided),
    "tally_remainder": (2, remainder),
    "tally_rounded": (2, rounded),
    "tally_truncated": (2, truncated),
    "tally_floor": (1, floor),
    "tally_ceiling": (1, ceiling),
    "tally_magnitude": (1, magnitude),
    "tally_sign": (1, sign),
}
"""Name to (number of arguments, function): what a SQLite connection needs before it can run compiled filters
(``connection.create_function(name, arguments, function, deterministic=True)``)."""
