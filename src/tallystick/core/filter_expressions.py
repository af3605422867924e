"""What a filter says: the syntax tree of the SData query language (SData 1.1 Core 2.12). Immutable, compared by value.

``filter_text`` reads and writes it, ``filter_terms`` gives it types, ``filter_values`` and ``filter_sql`` answer it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Field:
    """A property by its name; of a path the names joined by dots (``address.city``); ``$key`` and the like included."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """An integer of 64 bits, or a decimal fraction without trailing zeros."""

    value: int | Decimal


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    value: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A date or timestamp: ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC; a date is its midnight."""

    value: str


@dataclass(frozen=True, slots=True)
class Truth:
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True, slots=True)
class Null:
    """``null``: ``x eq null`` asks whether x is absent."""


@dataclass(frozen=True, slots=True)
class Negate:
    """``-x``."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Not:
    """``not x``."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``left operator right`` with ``+ - mul div mod``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right`` with ``eq ne lt le gt ge``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Between:
    """``value between low and high``, both included."""

    value: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class In:
    """``value in (member, ...)``."""

    value: Expression
    members: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """``value like 'pattern'``: ``%`` stands for any characters, ``_`` for one; case matters."""

    value: Expression
    pattern: str


@dataclass(frozen=True, slots=True)
class And:
    """``a and b and ...``, two conditions at least."""

    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """``a or b or ...``, two conditions at least."""

    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """``function(argument, ...)``; the name in lower case."""

    function: str
    arguments: tuple[Expression, ...]


Expression = (
    Field
    | Number
    | Text
    | Moment
    | Truth
    | Null
    | Negate
    | Not
    | Arithmetic
    | Comparison
    | Between
    | In
    | Like
    | And
    | Or
    | Call
)

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
ADDITIONS = ("+", "-")
MULTIPLICATIONS = ("mul", "div", "mod")


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly below ``expression``."""
    match expression:
        case Negate(operand) | Not(operand):
            return (operand,)
        case Arithmetic(_, left, right) | Comparison(_, left, right):
            return (left, right)
        case Between(value, low, high):
            return (value, low, high)
        case In(value, members):
            return (value, *members)
        case Like(value, _):
            return (value,)
        case And(conditions) | Or(conditions):
            return conditions
        case Call(_, arguments):
            return arguments
        case _:
            return ()


def walk(expression: Expression) -> Iterator[tuple[Expression, int]]:
    """Every expression in the tree with its depth, the root (depth 1) first. Never recurses."""
    waiting = [(expression, 1)]
    while waiting:
        found, depth = waiting.pop()
        yield found, depth
        waiting.extend((child, depth + 1) for child in reversed(children(found)))


def fields(expression: Expression) -> frozenset[str]:
    """The names of all properties that ``expression`` looks at."""
    return frozenset(found.name for found, _ in walk(expression) if isinstance(found, Field))
