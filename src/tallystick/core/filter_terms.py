"""A filter with types: every expression becomes a term of one kind, every conversion is written out.

``term_of`` decides all that can be decided without a record: which properties there are, which literals convert,
what may be compared with what. The two ways to answer a filter (``filter_values``, ``filter_sql``) know terms only,
and so cannot disagree on it. Rules:

* Text compared with a number, moment, time or UUID is read as one; where it is none, the comparison is null.
* A property of no known type (``Logical.ANY``) is read as what it is compared with.
* Truth values count 1 and 0 where a number is wanted; a number is a condition where it is not 0.
* Binary and JSON properties can only be compared with ``null``.
* Conditions are true, false or null, as in SQL; a record is selected where its condition is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from tallystick.core.filter_expressions import (
    And,
    Arithmetic,
    Between,
    Call,
    Comparison,
    Expression,
    Field,
    In,
    Like,
    Moment,
    Negate,
    Not,
    Null,
    Number,
    Or,
    Text,
    Truth,
    children,
)
from tallystick.core.filter_readings import as_moment, as_number, as_time, as_uuid
from tallystick.core.values import Logical
from tallystick.errors import FilterError


class Kind(StrEnum):
    """What a term gives."""

    NUMBER = "a number"
    TEXT = "text"
    MOMENT = "a date or timestamp"
    TIME = "a time of day"
    UUID = "a UUID"
    TRUTH = "true or false"
    OPAQUE = "binary or JSON"
    ANY = "of no known type"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Term:
    """``operator`` applied to ``arguments``, giving ``kind``.

    A ``constant`` carries its ``value`` (text for moments and times), a ``field`` its name and ``logical`` type, a
    function with a count its counts in ``value``.
    """

    operator: str
    kind: Kind
    arguments: tuple[Term, ...] = ()
    value: int | Decimal | str | tuple[int, ...] | None = None
    logical: Logical = Logical.ANY


class Signature(NamedTuple):
    """What a function takes: terms of ``takes`` (the last kind repeated if ``repeats``), then counts; what it gives."""

    takes: tuple[Kind, ...]
    gives: Kind
    counts: tuple[int, int] = (0, 0)
    """How many integer literals must and may follow."""
    repeats: bool = False


FUNCTIONS: dict[str, Signature] = {
    "concat": Signature((Kind.TEXT,), Kind.TEXT, repeats=True),
    "left": Signature((Kind.TEXT,), Kind.TEXT, counts=(1, 1)),
    "right": Signature((Kind.TEXT,), Kind.TEXT, counts=(1, 1)),
    "substring": Signature((Kind.TEXT,), Kind.TEXT, counts=(1, 2)),
    "lower": Signature((Kind.TEXT,), Kind.TEXT),
    "upper": Signature((Kind.TEXT,), Kind.TEXT),
    "trim": Signature((Kind.TEXT,), Kind.TEXT),
    "length": Signature((Kind.TEXT,), Kind.NUMBER),
    "locate": Signature((Kind.TEXT, Kind.TEXT), Kind.NUMBER),
    "abs": Signature((Kind.NUMBER,), Kind.NUMBER),
    "sign": Signature((Kind.NUMBER,), Kind.NUMBER),
    "round": Signature((Kind.NUMBER,), Kind.NUMBER, counts=(0, 1)),
    "trunc": Signature((Kind.NUMBER,), Kind.NUMBER, counts=(0, 1)),
    "floor": Signature((Kind.NUMBER,), Kind.NUMBER),
    "ceil": Signature((Kind.NUMBER,), Kind.NUMBER),
    "year": Signature((Kind.MOMENT,), Kind.NUMBER),
    "month": Signature((Kind.MOMENT,), Kind.NUMBER),
    "day": Signature((Kind.MOMENT,), Kind.NUMBER),
    "hour": Signature((Kind.MOMENT,), Kind.NUMBER),
    "minute": Signature((Kind.MOMENT,), Kind.NUMBER),
    "second": Signature((Kind.MOMENT,), Kind.NUMBER),
}
"""Of the functions of SData those whose answer depends on the record alone and is the same on every engine."""

_SYNONYMS = {"len": "length"}
_CLOCK = frozenset({"currentdate", "currenttime", "currenttimestamp"})
_TIME_PARTS = frozenset({"hour", "minute", "second"})
_COUNT_LIMIT = 10_000

_FIELD_KINDS = {
    Logical.ANY: Kind.ANY,
    Logical.BOOL: Kind.TRUTH,
    Logical.INT64: Kind.NUMBER,
    Logical.DECIMAL: Kind.NUMBER,
    Logical.FLOAT64: Kind.NUMBER,
    Logical.TEXT: Kind.TEXT,
    Logical.REFERENCE: Kind.TEXT,
    Logical.BYTES: Kind.OPAQUE,
    Logical.JSON: Kind.OPAQUE,
    Logical.DATE: Kind.MOMENT,
    Logical.TIMESTAMP: Kind.MOMENT,
    Logical.INSTANT: Kind.MOMENT,
    Logical.TIME: Kind.TIME,
    Logical.UUID: Kind.UUID,
}

_ARITHMETIC = {"+": "added", "-": "subtracted", "mul": "multiplied", "div": "divided", "mod": "remainder"}


def term_of(expression: Expression, fields: Mapping[str, Logical] | None = None) -> Term:
    """The condition that ``expression`` is, over properties of the types ``fields``.

    Without ``fields`` every property is taken as one of no known type, and every name is allowed.
    Raises FilterError for unknown properties and functions, and for what cannot be compared; show it to whoever
    wrote the filter.
    """
    return _Typing(fields).condition(expression)


class _Typing:
    """The types of the properties, and the rules over them."""

    def __init__(self, fields: Mapping[str, Logical] | None) -> None:
        self.fields = fields

    # conditions

    def condition(self, expression: Expression) -> Term:
        match expression:
            case And(conditions):
                return Term("and", Kind.TRUTH, tuple(self.condition(condition) for condition in conditions))
            case Or(conditions):
                return Term("or", Kind.TRUTH, tuple(self.condition(condition) for condition in conditions))
            case Not(operand):
                return Term("not", Kind.TRUTH, (self.condition(operand),))
            case Comparison():
                return self.comparison(expression)
            case Between(value, low, high):
                kind = self.common((value, low, high))
                return Term("between", Kind.TRUTH, tuple(self.read(each, kind) for each in (value, low, high)))
            case In(value, members):
                kind = self.common((value, *members))
                return Term("in", Kind.TRUTH, tuple(self.read(each, kind) for each in (value, *members)))
            case Like(value, pattern):
                return Term("like", Kind.TRUTH, (self.read(value, Kind.TEXT),), value=pattern)
            case _:
                return self.bare(expression)

    def bare(self, expression: Expression) -> Term:
        """A condition that is no comparison: a truth value, or a number that is not 0."""
        kind = self.kind(expression)
        if kind not in (Kind.TRUTH, Kind.NUMBER, Kind.ANY) or isinstance(expression, Number):
            raise FilterError(f"{_shown(expression)} is {kind.value}, not a condition")
        return Term("true", Kind.TRUTH, (self.read(expression, Kind.NUMBER),))

    def comparison(self, expression: Comparison) -> Term:
        operator, left, right = expression.operator, expression.left, expression.right
        if isinstance(left, Null) or isinstance(right, Null):
            return self.null_test(operator, left if isinstance(right, Null) else right)
        kind = self.common((left, right))
        return Term(operator, Kind.TRUTH, (self.read(left, kind), self.read(right, kind)))

    def null_test(self, operator: str, operand: Expression) -> Term:
        if operator not in ("eq", "ne"):
            raise FilterError(f"{operator!r} cannot compare with null", hint="use eq null or ne null")
        if isinstance(operand, Null):
            raise FilterError("null is compared with null", hint="compare a property with null")
        asked = self.field(operand) if isinstance(operand, Field) else self.read(operand, self.common((operand,)))
        return Term("absent" if operator == "eq" else "present", Kind.TRUTH, (asked,))

    # kinds

    def kind(self, expression: Expression) -> Kind:
        """What ``expression`` gives by itself."""
        match expression:
            case Field():
                return _FIELD_KINDS[self.logical(expression)]
            case Number() | Negate() | Arithmetic():
                return Kind.NUMBER
            case Text():
                return Kind.TEXT
            case Moment():
                return Kind.MOMENT
            case Null():
                return Kind.NULL
            case Call(function, _):
                return _signature(function).gives
            case _:
                return Kind.TRUTH

    def logical(self, field: Field) -> Logical:
        if self.fields is None:
            return Logical.ANY
        if field.name not in self.fields:
            raise FilterError(
                f"there is no property {field.name!r}",
                hint=f"the properties are {_listed(self.fields)}",
                code="filter-unknown-property",
            )
        return self.fields[field.name]

    def common(self, expressions: tuple[Expression, ...]) -> Kind:
        """The kind in which ``expressions`` can be compared."""
        common = Kind.ANY
        for expression in expressions:
            kind = self.kind(expression)
            if kind in (Kind.OPAQUE, Kind.NULL):
                raise FilterError(
                    f"{_shown(expression)} is {kind.value} and cannot be compared with a value",
                    hint="compare it by eq null or ne null",
                )
            common = self.united(common, Kind.NUMBER if kind is Kind.TRUTH else kind, expressions)
        return common

    def united(self, first: Kind, second: Kind, expressions: tuple[Expression, ...]) -> Kind:
        if first is Kind.ANY or first is second:
            return second
        if second in (Kind.ANY, Kind.TEXT):
            return first
        if first is Kind.TEXT:
            return second
        named = " and ".join(f"{_shown(each)} is {self.kind(each).value}" for each in expressions[:3])
        raise FilterError(f"different kinds are compared: {named}", hint="compare values of one kind")

    # values

    def read(self, expression: Expression, kind: Kind) -> Term:
        """``expression`` as a term of ``kind``."""
        own = self.kind(expression)
        if isinstance(expression, Number | Text | Moment | Truth):
            constant = _constant(expression, kind)
            if constant is not None:
                return Term("constant", kind, value=constant)
        elif own is kind or _convertible(own, kind):
            return self.converted(self.computed(expression), kind)
        raise FilterError(f"{_shown(expression)} is {own.value}, not {kind.value}")

    def computed(self, expression: Expression) -> Term:
        match expression:
            case Field():
                return self.field(expression)
            case Negate(operand):
                return Term("negated", Kind.NUMBER, (self.read(operand, Kind.NUMBER),))
            case Arithmetic(operator, left, right):
                arguments = self.read(left, Kind.NUMBER), self.read(right, Kind.NUMBER)
                return Term(_ARITHMETIC[operator], Kind.NUMBER, arguments)
            case Call():
                return self.call(expression)
            case _:
                return self.condition(expression)

    def field(self, field: Field) -> Term:
        logical = self.logical(field)
        return Term("field", _FIELD_KINDS[logical], value=field.name, logical=logical)

    def converted(self, term: Term, kind: Kind) -> Term:
        """Fields hold what they like on some engines, so they are always read; computed terms are what they are."""
        if kind is Kind.ANY or (term.kind is kind and term.operator != "field"):
            return term
        if term.kind is Kind.TRUTH:
            return Term("flag" if term.operator == "field" else "counted", Kind.NUMBER, (term,))
        if term.kind is Kind.UUID:
            return Term("as uuid", kind, (term,))
        return Term(f"as {kind.name.lower()}", kind, (term,))

    def call(self, call: Call) -> Term:
        function, signature = _SYNONYMS.get(call.function, call.function), _signature(call.function)
        taken = len(call.arguments) if signature.repeats else len(signature.takes)
        arguments, counted = call.arguments[:taken], call.arguments[taken:]
        if len(arguments) < len(signature.takes) or not signature.counts[0] <= len(counted) <= signature.counts[1]:
            raise FilterError(f"{function} is called with {len(call.arguments)} arguments", hint=_usage(function))
        takes = signature.takes if not signature.repeats else signature.takes * taken
        if function in _TIME_PARTS and self.kind(arguments[0]) is Kind.TIME:
            takes = (Kind.TIME,)
        terms = tuple(self.read(each, kind) for each, kind in zip(arguments, takes, strict=True))
        return Term(function, signature.gives, terms, value=_counts(function, counted))


def _convertible(own: Kind, kind: Kind) -> bool:
    if own is Kind.TRUTH:
        return kind is Kind.NUMBER
    if own is Kind.UUID:
        return kind is Kind.TEXT
    return own is Kind.ANY or (own is Kind.TEXT and kind is not Kind.OPAQUE)


def _constant(literal: Number | Text | Moment | Truth, kind: Kind) -> int | Decimal | str | None:
    """The value of ``literal`` as one of ``kind``; None where it is none."""
    match literal:
        case Truth(value):
            return int(value) if kind is Kind.NUMBER else None
        case Number(value):
            return value if kind is Kind.NUMBER else None
        case Moment(value):
            return value if kind is Kind.MOMENT else None
        case Text(value):
            return _from_text(value, kind)


def _from_text(value: str, kind: Kind) -> int | Decimal | str | None:
    if kind is Kind.TEXT:
        return value
    if kind is Kind.NUMBER:
        number = as_number(value)
        return Decimal(repr(number)) if isinstance(number, float) else number
    readings = {Kind.MOMENT: as_moment, Kind.TIME: as_time, Kind.UUID: as_uuid}
    return readings[kind](value) if kind in readings else None


def _counts(function: str, arguments: Iterable[Expression]) -> tuple[int, ...]:
    found = []
    for argument in arguments:
        if not isinstance(argument, Number) or not isinstance(argument.value, int):
            raise FilterError(f"{function} needs a whole number there, written out", hint=_usage(function))
        found.append(argument.value)
    least = 1 if function == "substring" else 0
    if found and not (least <= found[0] <= _COUNT_LIMIT and 0 <= found[-1] <= _COUNT_LIMIT):
        raise FilterError(f"{function} takes numbers from {least} to {_COUNT_LIMIT}", hint=_usage(function))
    return tuple(found)


def _usage(function: str) -> str:
    signature = FUNCTIONS[function]
    arguments = [kind.name.lower() for kind in signature.takes] + ["count"] * signature.counts[0]
    more = ", ..." if signature.repeats else "[, count]" if signature.counts[1] > signature.counts[0] else ""
    return f"write {function}({', '.join(arguments)}{more})"


def _signature(function: str) -> Signature:
    if function in _CLOCK:
        raise FilterError(
            f"{function} would make a filter select other records tomorrow although nothing changed",
            hint="write the date itself, like @2008-05-19@",
        )
    found = FUNCTIONS.get(_SYNONYMS.get(function, function))
    if found is None:
        raise FilterError(f"there is no function {function!r}", hint=f"the functions are {', '.join(FUNCTIONS)}")
    return found


def _shown(expression: Expression) -> str:
    match expression:
        case Field(name):
            return name
        case Number(value) | Text(value) | Moment(value) | Truth(value):
            return f"{value!s:.60}"
        case Null():
            return "null"
        case Call(function, _):
            return f"{function}(...)"
        case _:
            inner = ", ".join(_shown(child) for child in children(expression)[:2])
            return f"the expression over {inner}"[:80]


def _listed(names: Iterable[str]) -> str:
    known = sorted(names)
    return ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
