"""Rows and ledger entries of one resource in PostgreSQL, in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tallystick.core.values import Value
from tallystick.errors import SchemaError
from tallystick.site.engines import postgresql_sequences as sequences
from tallystick.site.engines.engine import Address, Entry, NewEntries, PlainRows, Rejected
from tallystick.site.engines.postgresql_layout import (
    Layout,
    cast,
    check,
    compiled,
    local_form,
    local_text,
    plain,
)
from tallystick.site.engines.postgresql_sql import SCHEMA, array, holdable, loaded_text, quoted, stored_text, untyped
from tallystick.site.engines.postgresql_types import has_rules, keeping, passing, reading
from tallystick.site.identity import address_of, addressable
from tallystick.site.schema import Definition, Field, Identity

if TYPE_CHECKING:
    from tallystick.site.engines.postgresql import PostgreSQLEngine

_WIDTH = 11
_FEW = 16
_SCAN = 5000
_LIVE = "(r.flags & 1) = 0"
_SIMPLE = "r.extra IS NULL AND (r.flags & 4) = 0"
_PUT = (
    f"COPY {SCHEMA}.record (resource, seq, key, local, born_seq, origin, tick, stamp, hash, rendered, flags, extra) "
    "FROM STDIN"
).encode()
_PUT_ONE = (
    "INSERT INTO tally_record (resource, seq, key, local, born_seq, origin, tick, stamp, hash, rendered, flags, extra) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INT64 = range(-(1 << 63), 1 << 63)

Row = tuple[Address, Sequence[Value]]


class PostgreSQLRows:
    """See ``engines.engine.Rows``. ``lock_rows`` is PostgreSQL's own."""

    def __init__(
        self, engine: PostgreSQLEngine, number: int, definition: Definition, parents: Mapping[str, int]
    ) -> None:
        self.engine = engine
        self.number = number
        self.definition = definition
        self.managed = definition.identity is Identity.MANAGED
        self._parents = parents
        self._local, self._decode = local_form(definition)
        self._entry = (
            f"r.seq, r.key, {self._local}, r.born_seq, r.origin, r.tick, r.stamp, r.hash, r.rendered, r.flags, r.extra"
        )
        self._compiled: tuple[str, Layout] | None = None
        self._staged = -1
        self._batches = 0

    @property
    def _layout(self) -> Layout:
        """Compiled on first use, and again when the table has changed since."""
        version = self.engine.version(self.number)
        if self._compiled is None or self._compiled[0] != version:
            self._compiled = (version, self._compile())
            self._staged = -1
        return self._compiled[1]

    def _compile(self) -> Layout:
        shape = self.engine.shape(self.definition.name)
        missing = [item.column for item in (*self.definition.key_fields, *self.definition.fields)]
        missing = [name for name in missing if shape is None or name not in shape.columns]
        if shape is None or missing:
            what = f"its column {missing[0]!r}" if shape is not None else "it"
            raise SchemaError(
                f"table {self.definition.name!r} is not what is tracked: {what} is gone",
                hint=f"put it back, or run: tallystick untrack SITE {self.definition.name}",
            )
        return compiled(self.engine.schema, self.definition, shape, self._parents)

    # Reading

    def plain(
        self, seq: int, until: int, limit: int, skip: Sequence[tuple[int, int]], origins: int
    ) -> PlainRows | None:
        """See ``Rows.plain``."""
        return None

    def after(
        self,
        seq: int,
        until: int,
        limit: int,
        skip: Sequence[tuple[int, int]] = (),
        dead: bool | None = None,
        rows: bool = True,
    ) -> list[tuple[Entry, tuple[Value, ...] | None]]:
        """See ``Rows.after``. Within one statement, or one snapshot where the key has to be read first."""
        state = "" if dead is None else f" AND (r.flags & 1) = {int(dead)}"
        known = "".join(f" AND NOT (r.origin = {int(o)} AND r.tick <= {int(t)} AND {_SIMPLE})" for o, t in skip)
        chosen = (
            f"SELECT * FROM {SCHEMA}.record r WHERE r.resource = {self.number} AND r.seq > {int(seq)} "
            f"AND r.seq <= {int(until)}{state}{known} ORDER BY r.seq LIMIT {int(limit)}"
        )
        if self.managed or not rows:
            return [(entry, None) for entry in self._entries(f"SELECT {self._entry} FROM ({chosen}) r ORDER BY r.seq")]
        match = self._row_of_entry()
        if match is not None:
            return self._joined(chosen, match)
        with self.engine.read():
            return self._looked_up(self._entries(f"SELECT {self._entry} FROM ({chosen}) r ORDER BY r.seq"))

    def _row_of_entry(self) -> str | None:
        """The condition by which a ledger entry finds its row in the same statement, None where it takes two."""
        layout = self._layout
        if len(layout.keys) != 1:
            return None
        key = f"t.{quoted(self.definition.key_columns[0])}"
        if layout.integer and self.definition.identity is not Identity.NATURAL:
            return f"{key} = {self._local}"
        if layout.castable and self.definition.identity is Identity.NATURAL:
            return f"{key} = {cast('coalesce(r.local, r.key)', layout.keys[0])}"
        return None

    def _joined(self, chosen: str, match: str) -> list[tuple[Entry, tuple[Value, ...] | None]]:
        layout = self._layout
        key = f"t.{quoted(self.definition.key_columns[0])}"
        columns = "".join(", " + expression for expression in layout.readings)
        sql = (
            f"SELECT {self._entry}, ({key} IS NOT NULL)::int{columns} FROM ({chosen}) r "
            f"LEFT JOIN {layout.table} t ON {match} AND {_LIVE}{layout.joins} ORDER BY r.seq"
        )
        start, rows = _WIDTH + 1, self.engine.native(sql)
        if self._decode is None and not layout.converters and not any(row[1].startswith("\\u") for row in rows):
            made = (
                tuple.__new__
            )  # what ``Entry._make`` does, without counting the columns again: half the time a record
            return [(made(Entry, row[:_WIDTH]), row[start:] if row[_WIDTH] else None) for row in rows]
        return [(self._as_entry(row[:_WIDTH]), self._canonical(row[start:]) if row[_WIDTH] else None) for row in rows]

    def _looked_up(self, entries: Sequence[Entry]) -> list[tuple[Entry, tuple[Value, ...] | None]]:
        addresses = {
            entry.seq: address_of(self.definition, entry.key, entry.local)
            for entry in entries
            if not entry.flags & 1 and addressable(self.definition, entry.key, entry.local)
        }
        found = self.values(list(addresses.values()))
        return [(entry, found.get(addresses[entry.seq]) if entry.seq in addresses else None) for entry in entries]

    def _entries(self, sql: str, parameters: Sequence[Any] = ()) -> list[Entry]:
        return [self._as_entry(row) for row in self.engine.native(sql, parameters)]

    def _as_entry(self, row: Sequence[Any]) -> Entry:
        entry = Entry._make(row)
        if entry.key.startswith("\\u"):
            entry = entry._replace(key=loaded_text(entry.key))
        if self._decode is not None and entry.local is not None:
            entry = entry._replace(local=self._decode(entry.local))
        return entry

    def _canonical(self, values: tuple[Any, ...]) -> tuple[Value, ...]:
        converters = self._layout.converters
        if not converters:
            return values
        converted = list(values)
        for index, convert in converters:
            if converted[index] is not None:
                converted[index] = convert(converted[index])
        return tuple(converted)

    def by_keys(self, keys: Sequence[str]) -> dict[str, Entry]:
        """See ``Rows.by_keys``."""
        if not keys:
            return {}
        sql = f"SELECT {self._entry} FROM {self._found('key')}"
        return {entry.key: entry for entry in self._entries(sql, (array(keys),))}

    def by_locals(self, locals_: Sequence[Any]) -> dict[Any, Entry]:
        """See ``Rows.by_locals``."""
        texts = [text for text in map(local_text, locals_) if text is not None]
        if not texts:
            return {}
        sql = f"SELECT {self._entry} FROM {self._found('local')} WHERE {_LIVE}"
        return {entry.local: entry for entry in self._entries(sql, (array(texts, ours=False),))}

    def _found(self, column: str, kind: str = "text") -> str:
        """A FROM item of the entries ``r`` whose ``column`` is among the parameter's values.

        One index look-up for each, whatever the server believes of a ledger that it has never analyzed.
        """
        return (
            f"unnest($1::{kind}[]) k(value) CROSS JOIN LATERAL (SELECT * FROM {SCHEMA}.record r "
            f"WHERE r.resource = {self.number} AND r.{column} = k.value OFFSET 0) r"
        )

    def values(self, addresses: Sequence[Address]) -> dict[Address, tuple[Value, ...]]:
        """See ``Rows.values``. Addresses that the key's type cannot hold have no row."""
        layout = self._layout
        asked = self._possible(addresses)
        if not asked:
            return {}
        asked_rows, match, parameters = self._asked(asked)
        place = "t." + quoted(self.definition.key_columns[0]) if layout.integer else "k.place"
        sql = (
            f"SELECT {', '.join([place, *layout.readings])} FROM {asked_rows} JOIN {layout.table} t ON {match}"
            f"{layout.joins}"
        )
        rows = self._guarded(sql, parameters)
        if rows is None:
            half = len(asked) // 2
            return {**self.values(asked[:half]), **self.values(asked[half:])} if half else {}
        if layout.integer:
            return {(row[0],): self._canonical(row[1:]) for row in rows}
        return {asked[row[0] - 1]: self._canonical(row[1:]) for row in rows}

    def _possible(self, addresses: Iterable[Address]) -> list[Address]:
        """The addresses that a row of this table can have at all."""
        if self._layout.integer:
            return [item for item in addresses if type(item[0]) is int and item[0] in _INT64]
        return [
            item
            for item in addresses
            if not any(part is None or (type(part) is str and not holdable(part)) for part in item)
        ]

    def _asked(self, addresses: Sequence[Address]) -> tuple[str, str, list[Any]]:
        """The addresses as a FROM item ``k``, the condition by which rows ``t`` match it, and its parameters.

        ``k.place`` counts the addresses from 1.
        """
        layout = self._layout
        columns = [f"c{index}" for index in range(len(layout.keys))]
        if layout.integer:
            source = "(SELECT c0, row_number() OVER () AS place FROM unnest($1::int8[]) c0) k"
        else:
            arrays = ", ".join(f"${index + 1}::text[]" for index in range(len(columns)))
            source = f"unnest({arrays}) WITH ORDINALITY k({', '.join(columns)}, place)"
        match = " AND ".join(
            f"t.{quoted(name)} = {'k.' + column if layout.integer else cast('k.' + column, kind)}"
            for name, column, kind in zip(self.definition.key_columns, columns, layout.keys, strict=True)
        )
        return source, match, [array(map(plain, parts), ours=False) for parts in zip(*addresses, strict=True)]

    def _guarded(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]] | None:
        """Rows of a query; None when the server cannot read an address as a key of its type."""
        if self._layout.castable or self._layout.integer:
            return self.engine.native(sql, parameters)
        try:
            with self.engine.read(), self.engine.savepoint():
                return self.engine.native(sql, parameters, refusals=True)
        except Rejected:
            return None

    def spelled(self, addresses: Sequence[Address]) -> list[Address]:
        """See ``Rows.spelled``. The server is asked where a type has rules of its own."""
        kinds = self._layout.keys
        columns = [
            keeping(kind, column) for kind, column in zip(kinds, zip(*addresses, strict=True), strict=bool(addresses))
        ]
        kept = list(zip(*columns, strict=True))
        if not any(map(has_rules, kinds)):
            return kept
        found = self._respelled(self._possible(kept))
        return [found.get(address, address) for address in kept]

    def _respelled(self, addresses: Sequence[Address]) -> dict[Address, Address]:
        """What the server makes of values in columns of the key's types; without those that it takes for none."""
        if not addresses:
            return {}
        source, _, parameters = self._asked(addresses)
        readings = [
            reading(kind, f"k.c{index}::{kind.declared}") if has_rules(kind) else f"k.c{index}"
            for index, kind in enumerate(self._layout.keys)
        ]
        rows = self._guarded(f"SELECT k.place, {', '.join(readings)} FROM {source}", parameters)
        if rows is None:
            half = len(addresses) // 2
            return {**self._respelled(addresses[:half]), **self._respelled(addresses[half:])} if half else {}
        return {addresses[row[0] - 1]: row[1:] for row in rows}

    def respelled(self, values: Sequence[Value]) -> dict[Value, Value]:
        """See ``Rows.respelled``: a type has one spelling for each value."""
        return {address[0]: address[0] for address in self.values([(value,) for value in values])}

    def unnamed(self, addresses: Sequence[Address]) -> dict[Address, str]:
        """None: a primary key is unique and NOT NULL, and every text is UTF-8."""
        return {}

    def scan(self) -> Iterator[tuple[Address, tuple[Value, ...]]]:
        """See ``Rows.scan``. Memory stays flat; the order is the server's."""
        layout = self._layout
        width = len(layout.keys)
        sql = f"SELECT {', '.join([*layout.key_readings, *layout.readings])} FROM {layout.table} t{layout.joins}"
        for rows in self.engine.stream(sql, _SCAN):
            for row in rows:
                yield row[:width], self._canonical(row[width:])

    # The ledger

    def put(self, entries: Sequence[Entry], replaced: Sequence[int]) -> None:
        """See ``Rows.put``. A few entries go with the next statement, many by COPY."""
        if replaced:
            found = self._found("seq", "int8").replace("SELECT * FROM", "SELECT r.ctid FROM")
            self.engine.later_native(
                f"DELETE FROM {SCHEMA}.record WHERE ctid = ANY(ARRAY(SELECT r.ctid FROM {found}))", (array(replaced),)
            )
        if len(entries) > _FEW:
            self._put(list(zip(*entries, strict=True)))
            return
        for entry in entries:
            self.engine.later(_PUT_ONE, (self.number, *entry))

    def put_new(self, entries: NewEntries) -> None:
        """See ``Rows.put_new``."""
        nothing = [None] * len(entries.keys)
        locals_ = nothing if entries.locals is None else entries.locals
        columns = (entries.seqs, entries.keys, locals_, entries.seqs, *entries[3:7], nothing, entries.flags, nothing)
        self._put(columns)

    def _put(self, columns: Sequence[Sequence[Any]]) -> None:
        seqs, keys, *others = columns
        together = "".join(keys)
        if not together.isascii() or "\\u" in together or "\0" in together:
            keys = list(map(stored_text, keys))
        self.engine.copy(_PUT, [[self.number] * len(keys), seqs, keys, *others])

    def forget_all(self) -> None:
        """See ``Rows.forget_all``."""
        self.engine.native(f"DELETE FROM {SCHEMA}.record WHERE resource = {self.number}")

    # Writing rows

    def insert(self, rows: Sequence[Row]) -> None:
        """See ``Rows.insert``. By COPY: also into columns GENERATED ALWAYS AS IDENTITY."""
        if rows:
            self.insert_columns(list(zip(*((*address, *values) for address, values in rows), strict=True)))

    def insert_columns(self, columns: Sequence[Sequence[Value]]) -> None:
        """See ``Rows.insert_columns``."""
        layout, count = self._layout, len(columns[0])
        names = [*self.definition.key_columns, *self.definition.columns]
        listed = ", ".join(map(quoted, names))
        check(columns, names, (*layout.keys, *layout.fields))
        with self._attempt():
            done = self.engine.copy(f"COPY {layout.name} ({listed}) FROM STDIN".encode(), columns, refusals=True)
            if done != count:
                raise Rejected(f"a trigger of {self.definition.name!r} kept out {count - done} of {count} rows")

    def update(self, rows: Sequence[Row]) -> None:
        """See ``Rows.update``. Raises Rejected also when a row is not there."""
        layout = self._layout
        names = [*self.definition.key_columns, *self.definition.columns]
        if not rows or not self.definition.fields:
            return
        flat = [(*address, *values) for address, values in rows]
        check(list(zip(*flat, strict=True)), names, (*layout.keys, *layout.fields))
        with self._attempt():
            done = self._update_few(flat) if len(flat) <= _FEW else self._update_staged(flat)
            if done != len(flat):
                raise Rejected(
                    f"{len(flat) - done} of {len(flat)} rows to update in {self.definition.name!r} are not there"
                )
            self.engine.check_overtaken(self.number)

    def _update_few(self, flat: Sequence[tuple[Value, ...]]) -> int:
        layout, width = self._layout, len(self.definition.key_columns)
        columns = self.definition.columns
        sets = ", ".join(f"{quoted(name)} = ${index + 1}" for index, name in enumerate(columns))
        match = " AND ".join(
            f"t.{quoted(name)} = {cast(f'${len(columns) + index + 1}', kind)}"
            for index, (name, kind) in enumerate(zip(self.definition.key_columns, layout.keys, strict=True))
        )
        rows = [untyped((*row[width:], *row[:width]), ours=False) for row in flat]
        return self.engine.many(f"UPDATE {layout.table} t SET {sets} WHERE {match}", rows)

    def _update_staged(self, flat: Sequence[tuple[Value, ...]]) -> int:
        layout, width = self._layout, len(self.definition.key_columns)
        stage, batch = self._stage(), self._batches
        columns = [f"c{index}" for index in range(len(flat[0]))]
        self.engine.copy(
            f"COPY {stage} (batch, {', '.join(columns)}) FROM STDIN".encode(),
            [[batch] * len(flat), *zip(*flat, strict=True)],
            refusals=True,
        )
        names = [quoted(name) for name in (*self.definition.key_columns, *self.definition.columns)]
        sets = ", ".join(f"{name} = s.{column}" for name, column in zip(names[width:], columns[width:], strict=True))
        match = " AND ".join(
            f"t.{name} = s.{column}" for name, column in zip(names[:width], columns[:width], strict=True)
        )
        return self.engine.changed(
            f"UPDATE {layout.table} t SET {sets} FROM {stage} s WHERE s.batch = {batch} AND {match}"
        )

    def _stage(self) -> str:
        """The temporary table through which this connection updates rows, with columns of the table's own types."""
        name = f"pg_temp.tally_stage_{self.number}"
        if self._staged != self.engine.generation:
            names = [*self.definition.key_columns, *self.definition.columns]
            columns = "".join(f", t.{quoted(column)} AS c{index}" for index, column in enumerate(names))
            self.engine.native(f"DROP TABLE IF EXISTS {name}")
            self.engine.native(
                f"CREATE TEMPORARY TABLE tally_stage_{self.number} ON COMMIT DELETE ROWS AS "
                f"SELECT 0::int8 AS batch{columns} FROM {self._layout.table} t WITH NO DATA"
            )
            self._staged = self.engine.generation
        self._batches += 1
        return name

    def delete(self, addresses: Sequence[Address]) -> None:
        """See ``Rows.delete``. Raises Rejected also when a row is still there afterwards."""
        asked = self._possible(addresses)
        if not asked:
            return
        source, match, parameters = self._asked(asked)
        with self._attempt():
            done = self.engine.changed(f"DELETE FROM {self._layout.table} t USING {source} WHERE {match}", parameters)
            if done < len(set(asked)) and self.values(asked):
                raise Rejected(f"a trigger of {self.definition.name!r} kept rows from being deleted")
            self.engine.check_overtaken(self.number)

    def vacate(self, addresses: Sequence[Address]) -> None:
        """See ``Rows.vacate``. One column of each unique constraint is freed."""
        asked = self._possible(addresses)
        vacated: set[str] = set()
        with self._attempt():
            for columns in self.definition.unique if asked else ():
                inside = [item for item in self.definition.fields if item.column in columns]
                if inside and not vacated & {item.column for item in inside}:
                    vacated.add(self._vacate(inside, asked))

    def _vacate(self, fields: Sequence[Field], asked: Sequence[Address]) -> str:
        """Free the values of one unique constraint by passing values in one of its columns. Returns its name."""
        layout = self._layout
        nullable = next((item for item in fields if item.nullable), None)
        chosen = nullable or next((item for item in fields if not item.refers_to), fields[0])
        kind = layout.shape.columns[chosen.column]
        value = "NULL" if nullable else passing(kind, quoted(chosen.column), layout.table)
        if value is None or (chosen.refers_to and not nullable):
            raise Rejected(f"{chosen.column!r} of {self.definition.name!r} can hold no passing value", "unique")
        source, match, parameters = self._asked(asked)
        self.engine.changed(
            f"UPDATE {layout.table} t SET {quoted(chosen.column)} = {value.replace('k.number', 'k.place')} "
            f"FROM {source} WHERE {match}",
            parameters,
        )
        return chosen.column

    def lock_rows(self, addresses: Sequence[Address]) -> None:
        """Lock rows before they are written, in key order (DESIGN.md 4.3).

        Outside ``write()`` the addresses are remembered: the next ``write()`` locks them without ever waiting for an
        application's lock while it holds the stamping lock. Inside, they are locked at once.
        """
        asked = self._possible(addresses)
        if not asked:
            return
        source, match, parameters = self._asked(asked)
        order = ", ".join(f"t.{quoted(name)}" for name in self.definition.key_columns)
        table = self._layout.table
        self.engine.lock_first(
            f"SELECT FROM {source} JOIN {table} t ON {match} ORDER BY {order} FOR UPDATE OF t", parameters
        )

    def _attempt(self) -> Any:
        return self.engine.savepoint()

    # Integers

    def fresh(self, count: int) -> list[int]:
        """See ``Rows.fresh``. From the key's sequence where it has one."""
        return sequences.fresh(self.engine, self._layout, self.definition.key_columns[0], count)

    def settle_sequence(self) -> None:
        """Move the sequence of the key past the integers in the table."""
        sequences.settle(self.engine, self._layout, self.definition.key_columns[0])
