"""Filters in URLs and tasks (spec: section 12).

A key is ``[<table>]<selector>``, with ``~`` or nothing for the requested table, or a bare selector on plain REST. A
selector has a dot: ``~.name``, ``organisation.name``, ``~.dataset_id$code``; several are joined by ``|``. After a
double underscore comes the operator, ``!`` negates. As at a real site, keys without a dot and unknown operators are
ignored; ``ignored_keys`` names them so that the log can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import parse_qsl, quote

from tallystick.errors import FilterError

MAIN = "~"
_KEY = re.compile(r"\[(?P<table>[~\w]*)\](?P<rest>.+)", re.ASCII)
_SELECTOR = re.compile(r"[~\w]+(?:\.\w+)?(?:\$\w+)*(?:\|[~\w]+(?:\.\w+)?(?:\$\w+)*)*", re.ASCII)


class Operator(StrEnum):
    """The operators that are understood."""

    LT = "lt"
    LE = "le"
    EQ = "eq"
    NE = "ne"
    GE = "ge"
    GT = "gt"
    LIKE = "like"
    BELONGS = "belongs"
    CONTAINS = "contains"
    ANYOF = "anyof"
    TYPEOF = "typeof"


_OPERATORS = {one.value: one for one in Operator}


@dataclass(frozen=True, slots=True)
class Selector:
    """Where a value is found: ``alias`` is ``~`` or a table's short name, ``path`` field names joined by references."""

    alias: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.alias}.{'$'.join(self.path)}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One key and value: true when one of ``selectors`` compares with ``values`` (None stands for NONE, nothing)."""

    selectors: tuple[Selector, ...]
    operator: Operator
    values: tuple[str | None, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on the records of one table; ``~`` is the requested one."""

    table: str
    condition: Condition


# Reading -------------------------------------------------------------------------------------------------------


def parse_filters(parameters: Iterable[tuple[str, str]], *, bare: bool = False) -> tuple[Filter, ...]:
    """The filters among decoded URL parameters; ``bare`` takes keys without brackets too, as plain REST does."""
    found = (parse_filter(key, value, bare=bare) for key, value in parameters)
    return tuple(one for one in found if one is not None)


def parse_filter(key: str, value: str, *, bare: bool = False) -> Filter | None:
    """The filter of one parameter; None when it is none, or one that a real site ignores."""
    match = _KEY.fullmatch(key)
    if match is None and not bare:
        return None
    table = (match["table"] or MAIN) if match else MAIN
    condition = _condition(match["rest"] if match else key, value)
    return None if condition is None else Filter(table, condition)


def _condition(key: str, value: str) -> Condition | None:
    negated = key.endswith("!")
    selectors, _, operator = key.rstrip("!").partition("__")
    if not _SELECTOR.fullmatch(selectors) or (operator and operator not in _OPERATORS):
        return None
    parts = selectors.split("|")
    if not all("." in part for part in parts):
        return None
    chosen = _OPERATORS[operator] if operator else Operator.EQ
    return Condition(tuple(_selector(part) for part in parts), chosen, split_values(value), negated)


def _selector(text: str) -> Selector:
    alias, _, path = text.partition(".")
    return Selector(alias, tuple(path.split("$")))


def ignored_keys(parameters: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Bracketed keys that look like filters and are none that can be honoured."""
    return tuple(key for key, value in parameters if _KEY.fullmatch(key) and parse_filter(key, value) is None)


def split_values(text: str) -> tuple[str | None, ...]:
    """The list in a value: separated by commas, which quotes protect; ``NONE`` is nothing."""
    values: list[str | None] = []
    current, quoted, was_quoted = "", False, False
    for character in text + ",":
        if character == '"':
            quoted, was_quoted = not quoted, True
        elif character == "," and not quoted:
            values.append(None if current == "NONE" and not was_quoted else current)
            current, was_quoted = "", False
        else:
            current += character
    if quoted:
        values.append(current[:-1])
    return tuple(values)


def parse_filter_string(table: str, main: str, text: str) -> tuple[Filter, ...]:
    """The filters of a task's ``filter_string`` for ``table``, where ``main`` is the task's own table.

    Raises FilterError for one that a peer would silently ignore: it would send everything.
    """
    found = []
    for key, value in parse_qsl(text.lstrip("?"), keep_blank_values=True):
        condition = _condition(key, value)
        if condition is None:
            raise FilterError(
                f"the filter {key}={value} would be ignored by Eden", hint="write it like ~.name__like=S*"
            )
        found.append(Filter(MAIN if table in (main, MAIN, "") else table, condition))
    return tuple(found)


# Writing -------------------------------------------------------------------------------------------------------


def format_key(one: Filter) -> str:
    """The URL key, brackets literal as real Eden sends them."""
    condition = one.condition
    operator = "" if condition.operator is Operator.EQ else f"__{condition.operator}"
    return f"[{one.table}]{'|'.join(map(str, condition.selectors))}{operator}{'!' if condition.negated else ''}"


def format_values(values: Sequence[str | None]) -> str:
    """The value, not yet percent-encoded."""
    return ",".join("NONE" if one is None else _quoted(one) for one in values)


def _quoted(text: str) -> str:
    return f'"{text}"' if "," in text or text == "NONE" else text


def format_filter(one: Filter) -> str:
    """``key=value`` for a URL: the value percent-encoded, the key as it is (section 4.1)."""
    return f"{format_key(one)}={quote(format_values(one.condition.values))}"


# Deciding ------------------------------------------------------------------------------------------------------


def holds(condition: Condition, values_at: Callable[[Selector], Sequence[object]]) -> bool:
    """True when a record fits. ``values_at`` gives the values that a selector finds from the record."""
    found = any(_compares(condition, values_at(selector)) for selector in condition.selectors)
    return found is not condition.negated


def _compares(condition: Condition, found: Sequence[object]) -> bool:
    operator, wanted = condition.operator, condition.values
    if operator is Operator.NE:
        return not _any_equal(found, wanted)
    if operator is Operator.CONTAINS:
        return all(_any_equal(_flat(found), (one,)) for one in wanted)
    if operator is Operator.LIKE:
        return any(_like(pattern or "").fullmatch(_text(one)) for pattern in wanted for one in found if one is not None)
    if operator in (Operator.EQ, Operator.BELONGS, Operator.ANYOF, Operator.TYPEOF):
        return _any_equal(_flat(found) if operator is Operator.ANYOF else found, wanted)
    return any(_ordered(operator, one, wanted[0]) for one in found)


def _any_equal(found: Sequence[object], wanted: Sequence[str | None]) -> bool:
    present = [one for one in found if one is not None]
    if not present:
        return None in wanted
    return any(_text(one) == text or _same_number(one, text) for one in present for text in wanted if text is not None)


def _flat(found: Sequence[object]) -> list[object]:
    return [item for one in found for item in (one if isinstance(one, list | tuple) else (one,))]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _same_number(value: object, text: str) -> bool:
    if isinstance(value, bool):
        return text.lower() == _text(value)
    number = _number(text) if isinstance(value, int | float) else None
    return number is not None and number == value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _ordered(operator: Operator, value: object, text: str | None) -> bool:
    if value is None or text is None:
        return False
    left: float | str
    right: float | str | None
    if isinstance(value, int | float) and not isinstance(value, bool):
        left, right = float(value), _number(text)
    else:
        left, right = _text(value), text
    if right is None:
        return False
    return _ORDERS[operator](left, right)


_ORDERS: dict[Operator, Callable[[object, object], bool]] = {
    Operator.LT: lambda left, right: left < right,  # type: ignore[operator]
    Operator.LE: lambda left, right: left <= right,  # type: ignore[operator]
    Operator.GE: lambda left, right: left >= right,  # type: ignore[operator]
    Operator.GT: lambda left, right: left > right,  # type: ignore[operator]
}


@lru_cache(maxsize=256)
def _like(pattern: str) -> re.Pattern[str]:
    """``*`` any text, ``?`` any character; consecutive stars count once, so that no pattern is slow."""
    pieces = re.split(r"(\*+|\?)", pattern)
    text = "".join(".*" if piece.startswith("*") else "." if piece == "?" else re.escape(piece) for piece in pieces)
    return re.compile(text, re.IGNORECASE | re.DOTALL)
