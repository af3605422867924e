"""Filters answered on records: terms become one function over a mapping of names to canonical values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from tallystick.core import filter_readings as readings
from tallystick.core.filter_terms import Term
from tallystick.core.values import Value

Record = Mapping[str, Value]
Answer = Callable[[Record], Any]
"""Gives the value of a term for one record; null is None, conditions are True, False or None."""


def answer(term: Term) -> Answer:
    """The function that gives the value of ``term`` for a record; a name that the record lacks is null."""
    if term.operator in _BUILDERS:
        return _BUILDERS[term.operator](term)
    function = _FUNCTIONS[term.operator]
    counts = term.value if isinstance(term.value, tuple) else ()
    arguments = [answer(argument) for argument in term.arguments]
    if len(arguments) == 1:
        return _unary(function, arguments[0], counts)
    return _strict(function, arguments)


def _unary(function: Callable[..., Any], argument: Answer, counts: tuple[int, ...]) -> Answer:
    def apply(record: Record) -> Any:
        value = argument(record)
        return None if value is None else function(value, *counts)

    return apply


def _strict(function: Callable[..., Any], arguments: list[Answer]) -> Answer:
    """Null as soon as one argument is."""

    def apply(record: Record) -> Any:
        values = [argument(record) for argument in arguments]
        return None if None in values else function(*values)

    return apply


def _constant(term: Term) -> Answer:
    value = readings.from_decimal(term.value) if isinstance(term.value, Decimal) else term.value
    return lambda record: value


def _field(term: Term) -> Answer:
    name = str(term.value)
    return lambda record: record.get(name)


def _and(term: Term) -> Answer:
    conditions = [answer(argument) for argument in term.arguments]

    def apply(record: Record) -> bool | None:
        found: bool | None = True
        for condition in conditions:
            value = condition(record)
            if value is False:
                return False
            if value is None:
                found = None
        return found

    return apply


def _or(term: Term) -> Answer:
    conditions = [answer(argument) for argument in term.arguments]

    def apply(record: Record) -> bool | None:
        found: bool | None = False
        for condition in conditions:
            value = condition(record)
            if value is True:
                return True
            if value is None:
                found = None
        return found

    return apply


def _in(term: Term) -> Answer:
    value, *members = (answer(argument) for argument in term.arguments)

    def apply(record: Record) -> bool | None:
        wanted = value(record)
        found: bool | None = False
        for member in members:
            order = readings.order(wanted, member(record))
            if order == 0:
                return True
            if order is None:
                found = None
        return found

    return apply


def _between(term: Term) -> Answer:
    value, low, high = (answer(argument) for argument in term.arguments)

    def apply(record: Record) -> bool | None:
        wanted = value(record)
        above, below = readings.order(wanted, low(record)), readings.order(wanted, high(record))
        if (above is not None and above < 0) or (below is not None and below > 0):
            return False
        return None if above is None or below is None else True

    return apply


def _absent(term: Term) -> Answer:
    value, wanted = answer(term.arguments[0]), term.operator == "absent"
    return lambda record: (value(record) is None) is wanted


def _like(term: Term) -> Answer:
    value, pattern = answer(term.arguments[0]), str(term.value)
    return _unary(lambda text: matches(text, pattern), value, ())


_ORDERS: dict[str, Callable[[int], bool]] = {
    "eq": lambda order: order == 0,
    "ne": lambda order: order != 0,
    "lt": lambda order: order < 0,
    "le": lambda order: order <= 0,
    "gt": lambda order: order > 0,
    "ge": lambda order: order >= 0,
}


def _compare(term: Term) -> Answer:
    left, right = (answer(argument) for argument in term.arguments)
    accepted = _ORDERS[term.operator]

    def apply(record: Record) -> bool | None:
        order = readings.order(left(record), right(record))
        return None if order is None else accepted(order)

    return apply


def matches(text: str, pattern: str) -> bool:
    """Whether all of ``text`` is what ``pattern`` says: ``%`` any characters, ``_`` one; in time text x pattern."""
    position = at = 0
    star, resume = -1, 0
    while position < len(text):
        if at < len(pattern) and pattern[at] == "%":
            star, resume, at = at, position, at + 1
        elif at < len(pattern) and pattern[at] in ("_", text[position]):
            position, at = position + 1, at + 1
        elif star >= 0:
            resume += 1
            position, at = resume, star + 1
        else:
            return False
    return not pattern[at:].strip("%")


_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_ASCII_UPPER = {code + 32: code for code in range(ord("A"), ord("Z") + 1)}


def _part(start: int, end: int) -> Callable[[str], int]:
    """The number that stands there in a moment, or in a time (which begins where a moment's time does)."""

    def read(moment: str) -> int:
        return int(moment[start:end]) if len(moment) > 15 else int(moment[start - 11 : end - 11])

    return read


_BUILDERS: dict[str, Callable[[Term], Answer]] = {
    "constant": _constant,
    "field": _field,
    "and": _and,
    "or": _or,
    "in": _in,
    "between": _between,
    "absent": _absent,
    "present": _absent,
    "like": _like,
    **dict.fromkeys(_ORDERS, _compare),
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "not": lambda value: not value,
    "true": lambda value: value != 0,
    "counted": int,
    "flag": readings.as_flag,
    "as number": readings.as_number,
    "as text": readings.as_text,
    "as uuid": readings.as_uuid,
    "as moment": readings.as_moment,
    "as time": readings.as_time,
    "negated": readings.negated,
    "added": readings.added,
    "subtracted": readings.subtracted,
    "multiplied": readings.multiplied,
    "divided": readings.divided,
    "remainder": readings.remainder,
    "concat": lambda *texts: "".join(texts),
    "left": lambda text, length: text[:length],
    "right": lambda text, length: text[-length:] if length else "",
    "substring": lambda text, start, length=None: text[start - 1 : None if length is None else start - 1 + length],
    "lower": lambda text: text.translate(_ASCII_LOWER),
    "upper": lambda text: text.translate(_ASCII_UPPER),
    "trim": lambda text: text.strip(" "),
    "length": len,
    "locate": lambda wanted, text: text.find(wanted) + 1,
    "abs": readings.magnitude,
    "sign": readings.sign,
    "round": readings.rounded,
    "trunc": readings.truncated,
    "floor": readings.floor,
    "ceil": readings.ceiling,
    "year": _part(0, 4),
    "month": _part(5, 7),
    "day": _part(8, 10),
    "hour": _part(11, 13),
    "minute": _part(14, 16),
    "second": _part(17, 19),
}
