"""Rows and ledger entries of one resource in SQLite, in bulk."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tallystick.core.values import CANONICAL, Logical, Value, canonical_uuid
from tallystick.errors import StorageError
from tallystick.site.engines.engine import Address, Entry, NewEntries, PlainRows, Rejected
from tallystick.site.engines.sqlite_schema import literal, quoted
from tallystick.site.identity import address_of, addressable
from tallystick.site.schema import Definition, Identity

if TYPE_CHECKING:
    from tallystick.site.engines.sqlite import SQLiteEngine

_ENTRY = "r.seq, r.key, r.local, r.born_seq, r.origin, r.tick, r.stamp, r.hash, r.rendered, r.flags, r.extra"
_WIDTH = 11
_KEYS = 10_000
_BY_KEY = "tally_record r INDEXED BY tally_record_key"
_BY_LOCAL = "tally_record r INDEXED BY tally_record_local"
"""Left alone, SQLite walks through all entries of the resource: every index begins with it."""
_COLUMNS = {"origins": "origin", "stamps": "stamp", "flags": "flags"}
_SMALL = 100
_NUMBERS = ("origin", "flags")
_OFTEN_NOTHING = ("local", "rendered", "extra")
_CONVERTED = (Logical.DECIMAL,)
_LIVE = "(r.flags & 1)=0"
_UNKNOWN = " AND NOT (r.origin=? AND r.tick<=? AND r.extra IS NULL AND (r.flags & 4)=0)"
GENESIS = 2
_WHOLE = re.compile(r"\s*[+-]?\d{1,300}\s*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(\d{1,300}\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
_INTEGERS = 1 << 63


class SQLiteRows:
    """See ``engines.engine.Rows``."""

    def __init__(self, engine: SQLiteEngine, number: int, definition: Definition, parents: Mapping[str, int]) -> None:
        self.engine = engine
        self.number = number
        self.definition = definition
        self.table = quoted(definition.name)
        self.managed = definition.identity is Identity.MANAGED
        self._converters = _converters(definition)
        self._expressions, self._joins = _field_sql(definition, parents)
        self._single = len(definition.key_columns) == 1

    # Reading

    def plain(
        self, seq: int, until: int, limit: int, skip: Sequence[tuple[int, int]], origins: int
    ) -> PlainRows | None:
        """See ``Rows.plain``."""
        if not self._single or self._converters:
            return None
        chosen = f"r.resource={self.number} AND r.seq>? AND r.seq<=? AND {_LIVE}{_UNKNOWN * len(skip)}"
        known = [value for pair in skip for value in pair]
        covered = " OR ".join(["(r.origin=? AND r.tick<=?)"] * len(skip)) or "0"
        counted = (
            f"SELECT r.seq, r.origin, r.flags, r.extra IS NOT NULL AND ({covered}) AS doubtful "
            f"FROM tally_record r WHERE {chosen} ORDER BY r.seq LIMIT ?"
        )
        count, last, doubtful, flags, highest = self.engine.query(
            f"SELECT count(*), max(seq), max(doubtful), max(flags), max(origin) FROM ({counted})",
            (*known, seq, until, *known, limit),
        )[0]
        if not count:
            return PlainRows((), 0)
        if doubtful or flags > GENESIS or highest > origins:
            return None
        columns = "".join(", " + expression for expression in self._expressions)
        rows = self.engine.query(
            f"SELECT r.key, r.local, r.origin-1, r.tick, r.stamp, r.flags, r.extra{columns} FROM tally_record r "
            f"CROSS JOIN {self.table} t ON {self._row_of_entry}{self._joins} WHERE {chosen} ORDER BY r.seq",
            (seq, last, *known),
        )
        return PlainRows(rows, last) if len(rows) == count else None

    @cached_property
    def _row_of_entry(self) -> str:
        """The condition by which a ledger entry finds its row, for keys of one column."""
        match = "r.local" if self.definition.identity is not Identity.NATURAL else "coalesce(r.local, r.key)"
        return f"t.{quoted(self.definition.key_columns[0])}={match}"

    def after(
        self,
        seq: int,
        until: int,
        limit: int,
        skip: Sequence[tuple[int, int]] = (),
        dead: bool | None = None,
        rows: bool = True,
    ) -> list[tuple[Entry, tuple[Value, ...] | None]]:
        conditions = _UNKNOWN * len(skip)
        if dead is not None:
            conditions += f" AND (r.flags & 1)={int(dead)}"
        where = f"WHERE r.resource={self.number} AND r.seq>? AND r.seq<=?{conditions} ORDER BY r.seq LIMIT ?"
        parameters = [seq, until, *(value for pair in skip for value in pair), limit]
        bare = dead or self.managed or not rows
        if self._single and not bare:
            return self._joined(where, parameters)
        entries = list(map(Entry._make, self.engine.query(f"SELECT {_ENTRY} FROM tally_record r {where}", parameters)))
        if bare:
            return [(entry, None) for entry in entries]
        addresses = {
            entry.seq: address_of(self.definition, entry.key, entry.local)
            for entry in entries
            if not entry.flags & 1 and addressable(self.definition, entry.key, entry.local)
        }
        found = self.values(list(addresses.values()))
        return [(entry, found.get(addresses[entry.seq]) if entry.seq in addresses else None) for entry in entries]

    def _joined(self, where: str, parameters: Sequence[Any]) -> list[tuple[Entry, tuple[Value, ...] | None]]:
        key = quoted(self.definition.key_columns[0])
        columns = "".join(", " + expression for expression in self._expressions)
        sql = (
            f"SELECT {_ENTRY}, t.{key} IS NOT NULL{columns} FROM tally_record r "
            f"LEFT JOIN {self.table} t ON {self._row_of_entry} AND {_LIVE}{self._joins} {where}"
        )
        rows = self.engine.query(sql, parameters)
        start = _WIDTH + 1
        if self._converters:
            return [(Entry._make(row[:_WIDTH]), self._canonical(row[start:]) if row[_WIDTH] else None) for row in rows]
        made = tuple.__new__  # what ``Entry._make`` does, without counting the columns again: half the time a record
        return [(made(Entry, row[:_WIDTH]), row[start:] if row[_WIDTH] else None) for row in rows]

    def _canonical(self, values: Sequence[Any]) -> tuple[Value, ...]:
        if not self._converters:
            return values if type(values) is tuple else tuple(values)
        converted = list(values)
        for index, convert in self._converters:
            if converted[index] is not None:
                converted[index] = convert(converted[index])
        return tuple(converted)

    def by_keys(self, keys: Sequence[str]) -> dict[str, Entry]:
        sql = f"SELECT {_ENTRY} FROM {_BY_KEY} WHERE r.resource={self.number} AND r.key IN (*)"
        return {row[1]: Entry._make(row) for row in self.engine.query_in(sql, (), keys)}

    def by_locals(self, locals_: Sequence[Any]) -> dict[Any, Entry]:
        sql = f"SELECT {_ENTRY} FROM {_BY_LOCAL} WHERE r.resource={self.number} AND {_LIVE} AND r.local IN (*)"
        return {row[2]: Entry._make(row) for row in self.engine.query_in(sql, (), locals_)}

    def values(self, addresses: Sequence[Address]) -> dict[Address, tuple[Value, ...]]:
        found: dict[Address, tuple[Value, ...]] = {}
        width = max(1, len(self.definition.key_columns))
        names = [quoted(name) for name in self.definition.key_columns]
        selected = ", ".join([*(f"t.{name}" for name in names), *self._expressions])
        step = max(1, _KEYS // width)
        for start in range(0, len(addresses), step):
            chunk = addresses[start : start + step]
            if width == 1:
                marks = ",".join("?" * len(chunk))
                sql = f"SELECT {selected} FROM {self.table} t{self._joins} WHERE t.{names[0]} IN ({marks})"
            else:
                rows = ",".join(["(" + ",".join("?" * width) + ")"] * len(chunk))
                match = " AND ".join(f"t.{name} IS k.column{index + 1}" for index, name in enumerate(names))
                sql = f"SELECT {selected} FROM (VALUES {rows}) k JOIN {self.table} t ON {match}{self._joins}"
            read = self.engine.query(sql, [value for address in chunk for value in address])
            found.update({row[:width]: self._canonical(row[width:]) for row in read})
        return found

    def spelled(self, addresses: Sequence[Address]) -> list[Address]:
        """See ``Rows.spelled``: numbers in columns of numbers are held as numbers."""
        decimal = [item.logical is Logical.DECIMAL for item in self.definition.key_fields]
        if not any(decimal):
            return list(addresses)
        return [
            tuple(_as_number(part) if is_one else part for part, is_one in zip(address, decimal, strict=True))
            for address in addresses
        ]

    def respelled(self, values: Sequence[Value]) -> dict[Value, Value]:
        """See ``Rows.respelled``. Texts are as the application wrote them, and UUIDs are written in many ways."""
        digits = {str(value).replace("-", ""): value for value in values if canonical_uuid(value) == value}
        wanted = {text: value for text, value in digits.items() if len(text) == 32}
        if not wanted:
            return {}
        key = quoted(self.definition.key_columns[0])
        plain = f"lower(replace(replace(replace({key}, '-', ''), '{{', ''), '}}', ''))"
        rows = self.engine.query_in(f"SELECT {plain}, {key} FROM {self.table} WHERE {plain} IN (*)", (), list(wanted))
        return {wanted[text]: spelled for text, spelled in rows}

    def unnamed(self, addresses: Sequence[Address]) -> dict[Address, str]:
        found: dict[Address, str] = {}
        for address in addresses:
            broken = any(type(value) is bytes for value in address)
            rows = self._rows_at(address, broken)
            if rows and set(address) == {None} and len(address) == 1:
                found[address] = f"the key of {_numbered(rows)} is NULL; give it one"
            elif broken and rows:
                found[address] = f"the key of {_numbered(rows)} is text that is not UTF-8; give it another"
            elif not broken and len(rows) > 1:
                found[address] = f"{_numbered(rows)} have the same key, with NULL in it; make their keys different"
        return found

    def _rows_at(self, address: Address, as_text: bool) -> list[Any]:
        """The rowids of rows at an address, None each where the table has none. Bytes may stand for text."""
        conditions = []
        for name, value in zip(map(quoted, self.definition.key_columns), address, strict=True):
            text = as_text and type(value) is bytes
            conditions.append(f"{name} IS CAST(? AS TEXT) AND typeof({name})='text'" if text else f"{name} IS ?")
        sql = "SELECT wr FROM pragma_table_list WHERE schema='main' AND name=?"
        rowid = "NULL" if self.engine.query(sql, (self.definition.name,))[0][0] else "rowid"
        rows = self.engine.query(f"SELECT {rowid} FROM {self.table} WHERE {' AND '.join(conditions)}", address)
        return [row[0] for row in rows]

    def scan(self) -> Iterator[tuple[Address, tuple[Value, ...]]]:
        width = len(self.definition.key_columns)
        names = [f"t.{quoted(name)}" for name in self.definition.key_columns]
        sql = f"SELECT {', '.join([*names, *self._expressions])} FROM {self.table} t{self._joins}"
        for rows in self.engine.stream(sql + f" ORDER BY {', '.join(names)}"):
            for row in rows:
                yield row[:width], self._canonical(row[width:])

    # The ledger

    def put(self, entries: Sequence[Entry], replaced: Sequence[int]) -> None:
        """See ``Rows.put``. What is the same for all entries stands in the statement, as with ``put_new``."""
        if replaced:
            self.engine.query_in(f"DELETE FROM tally_record WHERE resource={self.number} AND seq IN (*)", (), replaced)
        if not entries:
            return
        columns = dict(zip(Entry._fields, zip(*entries, strict=True), strict=True))
        fixed = {"resource": str(self.number)}
        for name in _NUMBERS:
            if (literal := _literal(columns[name])) is not None:
                fixed[name] = literal
                del columns[name]
        for name in _OFTEN_NOTHING:
            if columns[name].count(None) == len(entries):
                fixed[name] = "NULL"
                del columns[name]
        fixed |= dict.fromkeys(columns, "?")
        self._enter(fixed, zip(*columns.values(), strict=True))

    def put_new(self, entries: NewEntries) -> None:
        """See ``Rows.put_new``. What is the same for all of them, and small, stands in the statement: binding it would
        cost more than writing it. What is large differs the next time, and statements are kept: few serve all. A number
        that stands twice is bound twice: some releases of Python 3.12 warn of ``?1``."""
        columns: dict[str, Sequence[Any]] = {"key": entries.keys, "hash": entries.hashes, "tick": entries.ticks}
        fixed = {"resource": str(self.number), "seq": "?", "born_seq": "?"}
        for name in _COLUMNS:
            column: Sequence[int] = getattr(entries, name)
            if (literal := _literal(column)) is not None:
                fixed[_COLUMNS[name]] = literal
            else:
                columns[_COLUMNS[name]] = column
        if entries.locals is not None:
            columns["local"] = entries.locals
        fixed |= dict.fromkeys(columns, "?")
        self._enter(fixed, zip(entries.seqs, entries.seqs, *columns.values(), strict=True))

    def _enter(self, named: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> None:
        self.engine.insert_many(
            f"INSERT INTO tally_record({', '.join(named)}) VALUES ({', '.join(named.values())})", rows
        )

    def forget_all(self) -> None:
        self.engine.execute("DELETE FROM tally_record WHERE resource=?", (self.number,))

    # Writing rows

    def insert(self, rows: Sequence[tuple[Address, Sequence[Value]]]) -> None:
        self._many(self._insertion, ((*address, *values) for address, values in rows))

    def insert_columns(self, columns: Sequence[Sequence[Value]]) -> None:
        with self._refusing():
            self.engine.insert_many(self._insertion, zip(*columns, strict=True))

    @cached_property
    def _insertion(self) -> str:
        names = [*self.definition.key_columns, *self.definition.columns]
        marks = ",".join("?" * len(names))
        return f"INSERT INTO {self.table} ({', '.join(map(quoted, names))}) VALUES ({marks})"

    def update(self, rows: Sequence[tuple[Address, Sequence[Value]]]) -> None:
        if not self.definition.fields:
            return
        sets = ", ".join(f"{quoted(name)}=?" for name in self.definition.columns)
        self._many(
            f"UPDATE {self.table} SET {sets} WHERE {self._match()}", ((*values, *address) for address, values in rows)
        )

    def delete(self, addresses: Sequence[Address]) -> None:
        self._many(f"DELETE FROM {self.table} WHERE {self._match()}", addresses)

    def vacate(self, addresses: Sequence[Address]) -> None:
        columns = self._unique_columns()
        for item in self.definition.fields:
            if item.column in columns:
                passing = "NULL" if item.nullable else "'tally-' || hex(randomblob(12))"
                if not item.nullable and item.logical in (Logical.INT64, Logical.REFERENCE, Logical.DECIMAL):
                    passing = "-abs(random() % 4611686018427387904)"
                sql = f"UPDATE {self.table} SET {quoted(item.column)}={passing} WHERE {self._match()}"
                self._many(sql, addresses)

    def _unique_columns(self) -> set[str]:
        """Columns of every unique index, also of those with a condition, which the definition says nothing of."""
        table = literal(self.definition.name)
        rows = self.engine.query(
            f"SELECT c.name FROM pragma_index_list({table}) i, pragma_index_info(i.name) c "
            "WHERE i.\"unique\" AND i.origin<>'pk' AND c.name IS NOT NULL"
        )
        return {name for (name,) in rows}

    def _match(self) -> str:
        operator = "=" if self._single else " IS "
        return " AND ".join(f"{quoted(name)}{operator}?" for name in self.definition.key_columns)

    def _many(self, sql: str, rows: Any) -> None:
        """One statement for many rows, all or none. Raises Rejected."""
        with self._refusing():
            self.engine.executemany(sql, rows)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """All that is written inside, or nothing. Raises Rejected."""
        with self.engine.savepoint():
            try:
                yield
            except (sqlite3.InterfaceError, OverflowError, UnicodeEncodeError) as error:
                raise Rejected(str(error)) from error
            except StorageError as error:
                if "RAISE" in str(error) or "no such" in str(error):
                    raise Rejected(str(error.__cause__)) from error
                raise

    def lock_rows(self, addresses: Sequence[Address]) -> None:
        """One writer at a time: the transaction is the lock."""

    def fresh(self, count: int) -> list[int]:
        key = quoted(self.definition.key_columns[0])
        top = self.engine.query(f"SELECT coalesce(max({key}), 0) FROM {self.table}")[0][0]
        if self.engine.query("SELECT 1 FROM sqlite_master WHERE name='sqlite_sequence'"):
            rows = self.engine.query("SELECT seq FROM sqlite_sequence WHERE name=?", (self.definition.name,))
            top = max([top, *(row[0] for row in rows)])
        return list(range(top + 1, top + 1 + count))

    def settle_sequence(self) -> None:
        """AUTOINCREMENT follows explicit integers by itself."""


def _literal(column: Sequence[int]) -> str | None:
    """The one small number of a column as SQL says it; None where there are others."""
    return str(int(column[0])) if column[0] <= _SMALL and column.count(column[0]) == len(column) else None


def _as_number(value: Value) -> Value:
    """A decimal text as the number that SQLite makes of it in a column for numbers."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    number = int(value) if _WHOLE.fullmatch(value) else float(value)
    return int(number) if -_INTEGERS <= number < _INTEGERS and number == int(number) else float(number)


def _numbered(rowids: Sequence[Any]) -> str:
    """Rows as a message names them, the first few by their rowids."""
    if rowids[0] is None:
        return "a row"
    listed = " and ".join(str(rowid) for rowid in rowids[:3])
    return f"row {listed}" if len(rowids) == 1 else f"rows {listed}"


def _converters(definition: Definition) -> list[tuple[int, Callable[[Any], Value]]]:
    """Only decimals are converted: text is the application's own here, and travels exactly as it is."""
    return [
        (index, CANONICAL[item.logical]) for index, item in enumerate(definition.fields) if item.logical in _CONVERTED
    ]


def _field_sql(definition: Definition, parents: Mapping[str, int]) -> tuple[list[str], str]:
    """SELECT expressions of the fields, and the joins by which references read as keys."""
    expressions, joins = [], []
    for index, item in enumerate(definition.fields):
        column = f"t.{quoted(item.column)}"
        if item.refers_to and item.refers_to in parents:
            alias = f"p{index}"
            expressions.append(
                f"CASE WHEN {column} IS NULL THEN NULL ELSE coalesce({alias}.key, '\\?' || {column}) END"
            )
            # compared as it is: with the affinity of the column, SQLite would not find it in the index
            value = f"iif(typeof({column})='text', cast({column} AS INTEGER), {column})"
            joins.append(
                f" LEFT JOIN tally_record {alias} INDEXED BY tally_record_local "
                f"ON {alias}.resource={parents[item.refers_to]} AND {alias}.local={value} AND ({alias}.flags & 1)=0"
            )
        elif item.logical is Logical.FLOAT64:
            expressions.append(f"CASE typeof({column}) WHEN 'integer' THEN CAST({column} AS REAL) ELSE {column} END")
        else:
            expressions.append(column)
    return expressions, "".join(joins)
