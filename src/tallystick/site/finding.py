"""Finding rows by what they hold: filters and orders that the database evaluates (core/filters.py).

Texts of a filter or search reach the database as parameters only; names come from the resource's definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tallystick.core import filters
from tallystick.core.filter_expressions import Expression
from tallystick.core.values import Logical
from tallystick.errors import FilterError
from tallystick.site.engines.engine import Address
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.schema import Field, Identity

_TEXTS = (Logical.TEXT, Logical.ANY, Logical.UUID, Logical.JSON)


class Question(NamedTuple):
    """Which rows are wanted, and in which order.

    ``fields`` are the names that a filter or order may use, ``aliases`` more of them by the kind of ledger value they
    stand for ("key", "stamp"). ``words`` must all occur in some text of the row. ``order`` is (name, descending).
    """

    fields: Mapping[str, Field]
    where: Expression | None = None
    words: Sequence[str] = ()
    order: Sequence[tuple[str, bool]] = ()
    aliases: Mapping[str, str] = {}


class Answer(NamedTuple):
    """How many rows match in all, and the addresses of those asked for."""

    total: int
    addresses: list[Address]


def find(ledger: Ledger, tracked: Tracked, question: Question, start: int, count: int) -> Answer:
    """The rows of a table that match, from the ``start``-th on (1-based), ``count`` of them.

    Raises FilterError for names that there are not and comparisons that their types do not allow.
    """
    engine, definition = ledger.engine, tracked.definition
    columns = _Columns(ledger, tracked, question)
    conditions: list[str] = []
    parameters: list[Any] = []
    if question.where is not None:
        made = filters.compile(question.where, columns.types, columns.sql, dialect=engine.dialect, placeholder="?")
        conditions.append(made.sql)
        parameters.extend(made.parameters)
    for word in question.words:
        conditions.append(columns.search())
        parameters.extend([f"%{_escaped(word.lower())}%"] * columns.searched)
    source = f"{_quoted(definition.name)} t{columns.join()}"
    where = f" WHERE {' AND '.join(f'({text})' for text in conditions)}" if conditions else ""
    total = int(engine.query(f"SELECT count(*) FROM {source}{where}", parameters)[0][0])
    if count <= 0 or start > total:
        return Answer(total, [])
    keys = ", ".join(f"t.{_quoted(name)}" for name in definition.key_columns)
    sql = f"SELECT {keys} FROM {source}{where} ORDER BY {columns.order(keys)} LIMIT ? OFFSET ?"
    return Answer(total, [tuple(row) for row in engine.query(sql, [*parameters, count, start - 1])])


class _Columns:
    """The names of a question as SQL."""

    def __init__(self, ledger: Ledger, tracked: Tracked, question: Question) -> None:
        self.ledger, self.tracked, self.question = ledger, tracked, question
        stands = {"key": Logical.TEXT, "stamp": Logical.INSTANT}
        self.types = {name: field.logical for name, field in question.fields.items()}
        self.types.update({name: stands[value] for name, value in question.aliases.items()})
        self.joined = False
        self.searched = sum(field.logical in _TEXTS for field in question.fields.values())

    def sql(self, name: str) -> str:
        """One name, quoted."""
        field = self.question.fields.get(name)
        if field is not None:
            return f"t.{_quoted(field.column)}"
        self.joined = True
        if self.question.aliases[name] == "key":
            return "r.key"
        return _INSTANTS[self.ledger.engine.dialect]

    def search(self) -> str:
        """The condition that a word occurs in one of the texts."""
        cast = "CAST(t.{} AS TEXT)"
        texts = [
            f"lower({cast.format(_quoted(field.column))}) LIKE ? ESCAPE '!'"
            for field in self.question.fields.values()
            if field.logical in _TEXTS
        ]
        return " OR ".join(texts) or "1=0"

    def order(self, keys: str) -> str:
        """ORDER BY: nulls first, then by value; the primary key last, so that pages never overlap."""
        parts = []
        for name, descending in self.question.order:
            if name not in self.types:
                listed = ", ".join(sorted(self.types))
                raise FilterError(f"there is no property {name!r}", hint=f"the properties are {listed}")
            column, way = self.sql(name), " DESC" if descending else ""
            byte = self.types[name] in _TEXTS and self.ledger.engine.dialect == "postgresql"
            collated = f'{column}::text COLLATE "C"' if byte else column
            parts.append(f"({column} IS NOT NULL){way}, {collated}{way}")
        return ", ".join([*parts, keys])

    def join(self) -> str:
        """The join to the ledger, where a name needs it. Ask after all names were."""
        for name, _ in self.question.order:
            if name in self.question.aliases:
                self.joined = True
        if not self.joined:
            return ""
        definition, key = self.tracked.definition, f"t.{_quoted(self.tracked.definition.key_columns[0])}"
        match = f"r.local={key}" if definition.identity is not Identity.NATURAL else f"coalesce(r.local, r.key)={key}"
        return f" JOIN tally_record r ON r.resource={self.tracked.number} AND {match} AND (r.flags & 1)=0"


_INSTANTS = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S', (r.stamp >> 16) / 1000, 'unixepoch') || '+00'",
    "postgresql": "to_timestamp((r.stamp >> 16) / 1000)",
}


def _escaped(word: str) -> str:
    return word.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
