"""Filters: which records of a resource take part (SData 1.1 Core 2.12, spec/sdata.md 12, DESIGN.md 4.5).

One language on every road: ``--where``, tasks, ``where=`` of the protocols, and, as canonical text, part of the scope
of a state. It answers on records (``evaluate``, ``predicate``) and as SQL (``compile``), with the same result. That
is why it has no clock, knows upper and lower case of A-Z only, and compares text by code point: a filter that meant
one thing on SQLite and another on PostgreSQL, or another tomorrow, would make records come and go by themselves.

The parts: ``filter_expressions`` (the tree), ``filter_text`` (text to tree and back), ``filter_terms`` (types),
``filter_readings`` (stored values), ``filter_values`` and ``filter_sql`` (the two answers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tallystick.core import filter_sql, filter_values
from tallystick.core.filter_expressions import Expression, fields
from tallystick.core.filter_readings import SQLITE_FUNCTIONS
from tallystick.core.filter_sql import Condition
from tallystick.core.filter_terms import FUNCTIONS, term_of
from tallystick.core.filter_text import parse, text
from tallystick.core.values import Logical, Value

__all__ = [
    "FUNCTIONS",
    "SQLITE_FUNCTIONS",
    "Condition",
    "Expression",
    "compile",
    "evaluate",
    "fields",
    "parse",
    "predicate",
    "text",
]


def predicate(
    expression: Expression, types: Mapping[str, Logical] | None = None
) -> Callable[[Mapping[str, Value]], bool]:
    """The question whether a record is selected, to be asked of many records.

    A record maps property names to canonical values (``core.values``); an absent name is null. ``types`` are the
    properties there are; without them every name is allowed and each value is taken as it is. A record is selected
    where the condition is true, not where it is null. Raises FilterError where the expression does not fit ``types``.
    """
    answer = filter_values.answer(term_of(expression, types))
    return lambda record: answer(record) is True


def evaluate(expression: Expression, record: Mapping[str, Value], types: Mapping[str, Logical] | None = None) -> bool:
    """Whether ``record`` is selected; see ``predicate``, which is faster for many records."""
    return predicate(expression, types)(record)


def compile(
    expression: Expression,
    types: Mapping[str, Logical],
    column: Callable[[str], str],
    *,
    dialect: str,
    placeholder: str | None = None,
) -> Condition:
    """The WHERE condition that selects the records which ``predicate(expression, types)`` selects.

    ``types`` are the properties there are, ``column`` gives the quoted SQL of one of them, ``dialect`` is "sqlite" or
    "postgresql", ``placeholder`` "?" or "%s" (by default what the standard driver of the dialect takes). A SQLite
    connection needs ``SQLITE_FUNCTIONS``. Raises FilterError for properties that there are not, naming those that
    there are, and for comparisons that the types do not allow.
    """
    return filter_sql.condition_of(term_of(expression, types), column, dialect, placeholder)
