"""Filters as SQL: terms become a WHERE condition for SQLite or PostgreSQL.

Literals travel as bound parameters only; the rest of the text comes from the templates below, from whole numbers that
were checked, and from the caller's ``column``. Nothing in a condition can fail on a row: what cannot be read is null.

On SQLite the condition calls ``filter_readings.SQLITE_FUNCTIONS``, which the connection must have; the answer is that
of ``filter_values`` on the canonical record. On PostgreSQL numbers are compared as exact decimals and text by code
point, whatever the collation of the database.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from string import Formatter
from typing import Any, NamedTuple

from tallystick.core.filter_readings import from_decimal
from tallystick.core.filter_terms import Kind, Term
from tallystick.core.values import Logical
from tallystick.errors import FilterError


class Condition(NamedTuple):
    """A WHERE condition: ``sql`` in parentheses, and the ``parameters`` of its placeholders in order."""

    sql: str
    parameters: tuple[Any, ...]


_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"

_COMMON = {
    "not": "(NOT {0})",
    "true": "({0} <> 0)",
    "eq": "({0} = {1})",
    "ne": "({0} <> {1})",
    "lt": "({0} < {1})",
    "le": "({0} <= {1})",
    "gt": "({0} > {1})",
    "ge": "({0} >= {1})",
    "between": "({0} BETWEEN {1} AND {2})",
    "absent": "({0} IS NULL)",
    "present": "({0} IS NOT NULL)",
    "length": "length({0})",
}

_SQLITE = _COMMON | {
    "as number": "CASE typeof({0}) WHEN 'integer' THEN {0} WHEN 'real' THEN nullif(nullif({0}, 9e999), -9e999)"
    " ELSE tally_number({0}) END",
    "as text": "CASE typeof({0}) WHEN 'text' THEN {0} WHEN 'integer' THEN CAST({0} AS TEXT) END",
    "as uuid": "tally_uuid({0})",
    "as moment": "tally_moment({0})",
    "as time": "tally_time({0})",
    "flag": "CASE typeof({0}) WHEN 'integer' THEN {0} ELSE tally_flag({0}) END",
    "counted": "{0}",
    "negated": "tally_negated({0})",
    "added": "tally_added({0}, {1})",
    "subtracted": "tally_subtracted({0}, {1})",
    "multiplied": "tally_multiplied({0}, {1})",
    "divided": "tally_divided({0}, {1})",
    "remainder": "tally_remainder({0}, {1})",
    "left": "substr({0}, 1, {count})",
    "right": "substr({0}, -{count})",
    "right 0": "substr({0}, 1, 0)",
    "substring": "substr({0}, {count})",
    "substring to": "substr({0}, {count}, {second})",
    "lower": "lower({0})",
    "upper": "upper({0})",
    "trim": "trim({0})",
    "locate": "instr({1}, {0})",
    "abs": "tally_magnitude({0})",
    "sign": "tally_sign({0})",
    "round": "tally_rounded({0}, {count})",
    "trunc": "tally_truncated({0}, {count})",
    "floor": "tally_floor({0})",
    "ceil": "tally_ceiling({0})",
    "year": "CAST(substr({0}, 1, 4) AS INTEGER)",
    "month": "CAST(substr({0}, 6, 2) AS INTEGER)",
    "day": "CAST(substr({0}, 9, 2) AS INTEGER)",
    "hour": "CAST(substr({0}, -15, 2) AS INTEGER)",
    "minute": "CAST(substr({0}, -12, 2) AS INTEGER)",
    "second": "CAST(substr({0}, -9, 2) AS INTEGER)",
}

_NUMERIC = r"'^[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9][0-9]?[0-9]?)?$'"
_HEX_DIGITS = "lower(replace(btrim({0}::text, '{{}}'), '-', ''))"
_NATIVE_MOMENT = (
    "CASE pg_typeof({0})::text"
    " WHEN 'timestamp with time zone' THEN {0}::text::timestamptz AT TIME ZONE 'UTC'"
    " WHEN 'timestamp without time zone' THEN {0}::text::timestamp"
    " WHEN 'date' THEN {0}::text::date::timestamp END"
)
_NATIVE_TIME = "CASE pg_typeof({0})::text WHEN 'time without time zone' THEN {0}::text::time END"

_POSTGRESQL = _COMMON | {
    "as number": f"CASE WHEN {{0}}::text ~ {_NUMERIC} THEN {{0}}::text::numeric END",
    "as text": '({0}::text COLLATE "C")',
    "as uuid": f"(CASE WHEN {_HEX_DIGITS} ~ '^[0-9a-f]{{{{32}}}}$' THEN {_HEX_DIGITS}::uuid::text ELSE {{0}}::text END"
    ' COLLATE "C")',
    "as moment": f"CASE WHEN {_NATIVE_MOMENT} BETWEEN '0001-01-01' AND '9999-12-31 23:59:59.999999'"
    f" THEN {_NATIVE_MOMENT} END",
    "as time": f"CASE WHEN {_NATIVE_TIME} < '24:00' THEN {_NATIVE_TIME} END",
    "flag": "CASE WHEN lower({0}::text) IN ('t', 'true') THEN 1::numeric WHEN lower({0}::text) IN ('f', 'false')"
    f" THEN 0::numeric WHEN {{0}}::text ~ {_NUMERIC} THEN {{0}}::text::numeric END",
    "counted": "{0}::int::numeric",
    "negated": "(- {0})",
    "added": "({0} + {1})",
    "subtracted": "({0} - {1})",
    "multiplied": "({0} * {1})",
    "divided": "({0} / nullif({1}, 0))",
    "remainder": "mod({0}, nullif({1}, 0))",
    "left": "left({0}, {count})",
    "right": "right({0}, {count})",
    "right 0": "right({0}, 0)",
    "substring": "substr({0}, {count})",
    "substring to": "substr({0}, {count}, {second})",
    "lower": f"translate({{0}}, '{_UPPER}', '{_LOWER}')",
    "upper": f"translate({{0}}, '{_LOWER}', '{_UPPER}')",
    "trim": "btrim({0})",
    "length": "length({0})::numeric",
    "locate": "strpos({1}, {0})::numeric",
    "abs": "abs({0})",
    "sign": "sign({0})",
    "round": "round({0}, {count})",
    "trunc": "trunc({0}, {count})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "year": "extract(year FROM {0})::numeric",
    "month": "extract(month FROM {0})::numeric",
    "day": "extract(day FROM {0})::numeric",
    "hour": "extract(hour FROM {0})::numeric",
    "minute": "extract(minute FROM {0})::numeric",
    "second": "floor(extract(second FROM {0}))::numeric",
}

_TEMPLATES = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
_PLACEHOLDERS = {"sqlite": "?", "postgresql": "%s"}
_CASTS = {Kind.NUMBER: "numeric", Kind.TEXT: "text", Kind.UUID: "text", Kind.MOMENT: "timestamp", Kind.TIME: "time"}
_ORDERS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_COMPARED = frozenset({*_ORDERS, "between", "in"})
_NATIVE_TIMES = frozenset({Logical.DATE, Logical.TIMESTAMP, Logical.INSTANT, Logical.TIME})


def condition_of(term: Term, column: Callable[[str], str], dialect: str, placeholder: str | None = None) -> Condition:
    """``term`` as a condition in the SQL of ``dialect`` ("sqlite" or "postgresql").

    ``column`` gives the SQL of a property, quoted, without placeholders; a per cent sign in it is doubled here where
    the placeholder is ``%s``. Raises FilterError where the dialect cannot compare what the filter compares: text
    with dates, and two properties of no known type, on PostgreSQL.
    """
    return _Writer(column, dialect, placeholder or _PLACEHOLDERS[dialect]).write(term)


class _Writer:
    def __init__(self, column: Callable[[str], str], dialect: str, placeholder: str) -> None:
        self.column = column
        self.dialect = dialect
        self.placeholder = placeholder
        self.templates = _TEMPLATES[dialect]

    def write(self, term: Term) -> Condition:
        match term.operator:
            case "constant":
                return self.constant(term)
            case "field":
                return self.field(term)
            case "and" | "or" | "concat":
                separator = " || " if term.operator == "concat" else f" {term.operator.upper()} "
                return self.joined("(", separator, term.arguments, ")")
            case "like":
                return self.like(term)
            case "as moment" | "as time" if self.dialect == "postgresql":
                self.require_native_time(term)
        if term.operator in _COMPARED and term.arguments[0].kind is Kind.ANY:
            return self.dynamic(term)
        if term.operator == "in":
            value = self.write(term.arguments[0])
            members = self.joined("(", ", ", term.arguments[1:], ")")
            return Condition(f"({value.sql} IN {members.sql})", value.parameters + members.parameters)
        return self.filled(self.template(term), term.arguments, term.value)

    def template(self, term: Term) -> str:
        if term.operator == "right" and term.value == (0,):
            return self.templates["right 0"]
        if term.operator == "substring" and isinstance(term.value, tuple) and len(term.value) == 2:
            return self.templates["substring to"]
        return self.templates[term.operator]

    def filled(self, template: str, arguments: tuple[Term, ...], counts: object = None) -> Condition:
        """``template`` with its arguments, parameters in the order in which their placeholders come to stand."""
        written = [self.write(argument) for argument in arguments]
        count, second = (*counts, 0, 0)[:2] if isinstance(counts, tuple) else (0, 0)
        sql: list[str] = []
        parameters: list[Any] = []
        for literal, name, _, _ in Formatter().parse(template):
            sql.append(literal)
            if name is None:
                continue
            if name.isdigit():
                sql.append(written[int(name)].sql)
                parameters += written[int(name)].parameters
            else:
                sql.append(str(int(count if name == "count" else second)))
        return Condition("".join(sql), tuple(parameters))

    def joined(self, start: str, separator: str, terms: tuple[Term, ...], end: str) -> Condition:
        written = [self.write(term) for term in terms]
        parameters = [parameter for each in written for parameter in each.parameters]
        return Condition(start + separator.join(each.sql for each in written) + end, tuple(parameters))

    def constant(self, term: Term) -> Condition:
        if self.dialect == "postgresql":
            return Condition(f"{self.placeholder}::{_CASTS[term.kind]}", (term.value,))
        value = from_decimal(term.value) if isinstance(term.value, Decimal) else term.value
        return Condition(self.placeholder, (value,))

    def field(self, term: Term) -> Condition:
        sql = self.column(str(term.value))
        return Condition(sql.replace("%", "%%") if self.placeholder == "%s" else sql, ())

    def like(self, term: Term) -> Condition:
        value, pattern = self.write(term.arguments[0]), str(term.value)
        if self.dialect == "postgresql":
            return Condition(f"({value.sql} LIKE {self.placeholder} ESCAPE '')", (*value.parameters, pattern))
        return Condition(f"({value.sql} GLOB {self.placeholder})", (*value.parameters, _glob(pattern)))

    def dynamic(self, term: Term) -> Condition:
        """Properties of no known type compared with each other: as numbers or as text, as each row has them."""
        if self.dialect == "postgresql":
            named = " and ".join(str(argument.value) for argument in term.arguments[:2])
            raise FilterError(f"{named} are of types that cannot be compared here")
        value, *others = (self.field(argument).sql for argument in term.arguments)
        if term.operator == "in":
            return Condition("(" + " OR ".join(f"tally_order({value}, {other}) = 0" for other in others) + ")", ())
        if term.operator == "between":
            return Condition(f"(tally_order({value}, {others[0]}) >= 0 AND tally_order({value}, {others[1]}) <= 0)", ())
        return Condition(f"(tally_order({value}, {others[0]}) {_ORDERS[term.operator]} 0)", ())

    def require_native_time(self, term: Term) -> None:
        if term.arguments[0].logical not in _NATIVE_TIMES:
            raise FilterError(
                "text cannot be compared with a date on PostgreSQL",
                hint="give the column a date or timestamp type, or compare text with text",
            )


def _glob(pattern: str) -> str:
    """The GLOB pattern that matches what the LIKE pattern ``pattern`` does, with regard to case."""
    signs = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(signs.get(character, character) for character in pattern)
