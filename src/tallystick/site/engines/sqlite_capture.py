"""SQLite capture: triggers that append marks, and reading the marks back (DESIGN.md 4.2).

A mark stores an address as the value itself when the key has one column, else as the SQL literals of its values,
joined by commas; an update's new one is left out where the key stayed. Changed columns are bitmaps of 60 columns each,
joined by commas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tallystick.core.values import Logical
from tallystick.site.engines.engine import Address, Mark, captured_columns
from tallystick.site.engines.sqlite_schema import quoted
from tallystick.site.engines.sqlite_unique import Unique
from tallystick.site.identity import parse_literals
from tallystick.site.schema import Definition

EDITION = 2
"""Which triggers are installed. Sites with those of another release get these when they are stamped next, and their
tables are compared with the ledger."""
_WORD = 60
_NOW = "CAST((julianday()-2440587.5)*86400000+0.5 AS INTEGER)"
_WHEN = "NOT EXISTS (SELECT 1 FROM tally_applying)"


def trigger_names(number: int) -> list[str]:
    """Names of the triggers of one resource."""
    return [f"tally_{kind}_{number}" for kind in ("insert", "update", "delete", "evict_insert", "evict_update")]


def insertion_triggers(number: int) -> tuple[str, str]:
    """Names of those that run when a row is inserted."""
    return f"tally_insert_{number}", f"tally_evict_insert_{number}"


def triggers(number: int, definition: Definition, unique: Sequence[Unique]) -> list[str]:
    """CREATE TRIGGER statements for a table with its unique keys."""
    insert, update, delete, evict_insert, evict_update = trigger_names(number)
    name = quoted(definition.name)
    old, new = _address(definition, "OLD"), _address(definition, "NEW")
    statements = [
        f"CREATE TRIGGER {insert} AFTER INSERT ON {name} WHEN {_WHEN} BEGIN {_mark(number, 'I', 'NULL', new)} END",
        f"CREATE TRIGGER {update} AFTER UPDATE ON {name} WHEN {_WHEN} BEGIN "
        f"{_mark(number, 'U', old, _unless_stayed(definition, new), _bitmap(definition))} END",
        f"CREATE TRIGGER {delete} AFTER DELETE ON {name} WHEN {_WHEN} BEGIN {_mark(number, 'D', old, 'NULL')} END",
    ]
    statements.append(
        f"CREATE TRIGGER {evict_insert} BEFORE INSERT ON {name} WHEN {_WHEN} "
        f"BEGIN {_evicted(number, definition, unique)} END"
    )
    statements.append(
        f"CREATE TRIGGER {evict_update} BEFORE UPDATE{_watched(unique)} ON {name} WHEN {_WHEN} "
        f"BEGIN {_evicted(number, definition, unique, f'NOT ({_is_old(definition)})')} END"
    )
    return statements


def _watched(unique: Sequence[Unique]) -> str:
    """The columns whose update may evict a row, nothing where any may."""
    named: dict[str, None] = {}
    for item in unique:
        if item.columns is None:
            return ""
        named.update(dict.fromkeys(item.columns))
    return " OF " + ", ".join(map(quoted, named))


def _mark(number: int, kind: str, old: str, new: str, columns: str = "NULL") -> str:
    return (
        "INSERT INTO tally_mark(resource, kind, old, new, at, columns) "
        f"VALUES ({number}, '{kind}', {old}, {new}, {_NOW}, {columns});"
    )


def _address(definition: Definition, row: str) -> str:
    if len(definition.key_columns) == 1:
        return f"{row}.{quoted(definition.key_columns[0])}"
    return "||','||".join(f"quote({row}.{quoted(name)})" for name in definition.key_columns)


def _unless_stayed(definition: Definition, new: str) -> str:
    """The new address, NULL where the key is the old one: a mark without it costs an application's update less.

    Columns without a type hold 1 and 1.0 apart, which SQLite calls the same: there it is always stored.
    """
    if any(item.logical in (Logical.ANY, Logical.BYTES) for item in definition.key_fields):
        return new
    stayed = " AND ".join(_same(name) for name in definition.key_columns)
    return f"iif({stayed}, NULL, {new})"


def _same(name: str) -> str:
    """The condition that a column stayed. By bytes: a column's collation may call other texts the same."""
    return f"OLD.{quoted(name)} IS NEW.{quoted(name)} COLLATE BINARY"


def _bitmap(definition: Definition) -> str:
    names = captured_columns(definition)
    words = []
    for start in range(0, len(names), _WORD):
        bits = [f"iif({_same(name)},0,{1 << bit})" for bit, name in enumerate(names[start : start + _WORD])]
        words.append("(" + "|".join(bits) + ")")
    return "||','||".join(words)


def _is_old(definition: Definition) -> str:
    return " AND ".join(f"t.{quoted(name)} IS OLD.{quoted(name)}" for name in definition.key_columns)


def _evicted(number: int, definition: Definition, unique: Sequence[Unique], only: str = "1") -> str:
    """Marks of the rows that hold any of the new row's unique values: REPLACE would remove them silently."""
    single = len(definition.key_columns) == 1
    parts = [f"t.{quoted(name)}" for name in definition.key_columns]
    address = parts[0] if single else "||','||".join(f"quote({part})" for part in parts)
    statements = [
        "INSERT INTO tally_mark(resource, kind, old, new, at, columns) "
        f"SELECT {number}, 'E', {address}, NULL, {_NOW}, NULL FROM {quoted(definition.name)} t "
        f"WHERE {item.match} AND {only};"
        for item in unique
    ]
    return " ".join(statements)


class MarkReader:
    """Stored marks of one resource as values. An application's statement changes the same columns in every row: what
    a bitmap says is worked out once."""

    def __init__(self, definition: Definition) -> None:
        self._width = len(definition.key_columns)
        self._key = definition.key_columns
        self._definition = definition
        self._bitmaps: dict[Any, tuple[frozenset[str] | None, bool]] = {}

    def mark(self, kind: str, old: Any, new: Any, at: int, columns: Any) -> Mark:
        """One stored mark as a value."""
        if kind != "U":
            return Mark(kind, self._parsed(old, kind != "I"), self._parsed(new, kind == "I"), at, None)
        said = self._bitmaps.get(columns)
        if said is None:
            changed = _changed(self._definition, columns)
            said = self._bitmaps[columns] = (changed, changed is not None and changed.isdisjoint(self._key))
        changed, stayed = said
        address = self._parsed(old, True)
        return Mark(kind, address, address if stayed and new is None else self._parsed(new, True), at, changed)

    def _parsed(self, stored_address: Any, present: bool) -> Address | None:
        return _parsed(stored_address, self._width, present)


def _parsed(stored_address: Any, width: int, present: bool) -> Address | None:
    if not present:
        return None
    if width == 1:
        return (stored_address,)
    if isinstance(stored_address, bytes):  # a key that is no UTF-8 names no row
        stored_address = stored_address.decode(errors="replace")
    return tuple(parse_literals(stored_address))


def _changed(definition: Definition, columns: Any) -> frozenset[str] | None:
    if columns is None:
        return None
    names = captured_columns(definition)
    found: list[str] = []
    for index, word in enumerate(str(columns).split(",")):
        bits = int(word)
        found.extend(name for bit, name in enumerate(names[index * _WORD : (index + 1) * _WORD]) if bits >> bit & 1)
    return frozenset(found)
