"""PostgreSQL capture: triggers that append marks, and reading the marks back (DESIGN.md 4.2).

One row of ``tally.mark`` holds the addresses of up to 65,536 rows that one statement changed in the same columns:
statement-level triggers with transition tables aggregate them. ``numbers`` holds integer keys; ``texts`` every other
key, composite ones as a JSON array of texts (all integers: joined by commas). A row-level trigger notes the moves of
primary keys in ``tally.move``; the statement-level trigger that follows turns all moves of its statement into one
mark of kind M, because they happened at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from tallystick.core.values import Logical
from tallystick.site.engines.engine import Address, Mark, captured_columns
from tallystick.site.engines.postgresql_schema import OWN_FUNCTIONS, Shape
from tallystick.site.engines.postgresql_sql import SCHEMA, literal, qualified, quoted
from tallystick.site.engines.postgresql_types import ColumnType, key_text, same
from tallystick.site.schema import Definition

_WORD = 60
_INTEGERS = ("int2", "int4", "int8", "oid")
_OWN_RENDERING = (*_INTEGERS, "text", "varchar", "bpchar", "uuid", "bool", "bytea", "numeric")
_WHEN = "pg_catalog.current_setting('tally.applying', true) IS DISTINCT FROM 'on'"
TRIGGERS = ("tally_insert", "tally_update", "tally_delete", "tally_move", "tally_truncate")
"""Names of the triggers on every tracked table and each of its partitions."""

TABLES = (
    f"CREATE TABLE {SCHEMA}.mark (id BIGINT GENERATED ALWAYS AS IDENTITY, txid BIGINT NOT NULL, "
    "resource BIGINT NOT NULL, kind TEXT NOT NULL, at BIGINT NOT NULL, columns TEXT, "
    "numbers BIGINT[], texts TEXT[], news TEXT[], bitmaps TEXT[])",
    f"ALTER TABLE {SCHEMA}.mark ALTER numbers SET STORAGE EXTERNAL, ALTER texts SET STORAGE EXTERNAL, "
    "ALTER news SET STORAGE EXTERNAL, ALTER bitmaps SET STORAGE EXTERNAL",
    f"CREATE TABLE {SCHEMA}.move (id BIGINT GENERATED ALWAYS AS IDENTITY, txid BIGINT NOT NULL, "
    "resource BIGINT NOT NULL, depth INT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, columns TEXT NOT NULL)",
    f"CREATE INDEX move_txid ON {SCHEMA}.move (txid)",
    f"CREATE TABLE {SCHEMA}.capture (resource BIGINT PRIMARY KEY, signature TEXT NOT NULL, fingerprint TEXT NOT NULL)",
    f"CREATE TABLE {SCHEMA}.stamping (one INT)",
)
"""Our tables beside the ledger's: marks, moves under way, what was installed, and the one that is the stamping lock."""

MEMBERS = (
    "WITH RECURSIVE member(relation, schema, name, kind, root) AS ("
    "SELECT c.oid, n.nspname, c.relname, c.relkind, true FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = $1 AND c.relname = $2::name AND c.relkind IN ('r', 'p') "
    "UNION ALL SELECT c.oid, n.nspname, c.relname, c.relkind, false FROM member m "
    "JOIN pg_inherits i ON i.inhparent = m.relation JOIN pg_class c ON c.oid = i.inhrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE m.kind = 'p' OR c.relkind = 'f') "
    "SELECT m.schema, m.name, m.kind, m.root, EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = m.relation), "
    "ARRAY(SELECT t.tgname::text FROM pg_trigger t WHERE t.tgrelid = m.relation AND NOT t.tgisinternal "
    f"AND t.tgfoid IN {OWN_FUNCTIONS}) FROM member m ORDER BY m.root DESC, m.relation"
)
"""The table and its partitions: schema, name, kind, whether it is the table itself, whether a subscription feeds it,
and which of our triggers it has."""

CAPTURED = (
    "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.tgfoid = to_regprocedure($1) AND NOT c.relispartition "
    "AND n.nspname = $2"
)
"""The table that a trigger function of ours serves, partitions left out."""

FINGERPRINTS = (
    "WITH RECURSIVE member(resource, name, relation, kind, root) AS ("
    f"SELECT r.id, r.name, c.oid, c.relkind, true FROM {SCHEMA}.resource r JOIN pg_class c ON c.relname = r.name::name "
    "AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind IN ('r', 'p') "
    "WHERE r.kind <> 'managed' UNION ALL SELECT m.resource, '', c.oid, c.relkind, false FROM member m "
    "JOIN pg_inherits i ON i.inhparent = m.relation JOIN pg_class c ON c.oid = i.inhrelid WHERE m.kind = 'p') "
    "SELECT m.resource, max(m.name) FILTER (WHERE m.root), md5(string_agg(concat_ws(' ', m.relation, m.kind, "
    "(SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated), ',' "
    "ORDER BY a.attnum) FROM pg_attribute a WHERE m.root AND a.attrelid = m.relation AND a.attnum > 0 "
    "AND NOT a.attisdropped), "
    "(SELECT string_agg(concat_ws(' ', t.tgname, t.tgenabled, t.tgfoid, t.xmin), ',' ORDER BY t.tgname) "
    f"FROM pg_trigger t WHERE t.tgrelid = m.relation AND t.tgfoid IN {OWN_FUNCTIONS}), "
    "(SELECT count(*) FROM pg_subscription_rel s WHERE s.srrelid = m.relation)), ';' ORDER BY m.relation)) "
    "FROM member m GROUP BY m.resource ORDER BY m.resource"
)
"""Per tracked resource its table and a hash over what capture rests on: relations and partitions, columns with their
types, our triggers with their state and the transaction that last touched them."""


class Member(NamedTuple):
    """A tracked table or one of its partitions. ``kind`` is pg_class.relkind."""

    schema: str
    name: str
    kind: str
    root: bool
    subscribed: bool
    triggers: Sequence[str]

    @property
    def sql(self) -> str:
        """Its name as SQL text."""
        return qualified(self.schema, self.name)


# Installing ----------------------------------------------------------------------------------------------------


def function_names(number: int) -> list[str]:
    """The trigger functions of one resource."""
    return [f"{SCHEMA}.{kind}_{number}" for kind in ("insert", "update", "delete", "move", "truncate", "empty")]


def functions(number: int, definition: Definition, shape: Shape) -> list[str]:
    """CREATE FUNCTION statements of one resource."""
    insert, update, delete, move, truncate, empty = function_names(number)
    source = _Source(number, definition, shape)
    return [
        source.function(insert, source.rows("I", "new_rows", "n")),
        source.function(update, source.updated(shape.partitioned)),
        source.function(delete, source.rows("D", "old_rows", "o")),
        source.function(move, source.moved()),
        source.function(truncate, source.emptied()),
        source.function(empty, source.partition_emptied()),
    ]


def triggers(number: int, member: Member, definition: Definition, shape: Shape) -> list[str]:
    """CREATE TRIGGER statements for a table or a partition of it."""
    insert, update, delete, move, truncate, empty = function_names(number)
    old_rows, new_rows = "OLD TABLE AS old_rows", "NEW TABLE AS new_rows"
    each = f"FOR EACH STATEMENT WHEN ({_WHEN}) EXECUTE FUNCTION"
    moment, emptied = ("AFTER", truncate) if member.root else ("BEFORE", empty)
    statements = [
        f"CREATE TRIGGER tally_insert AFTER INSERT ON {member.sql} REFERENCING {new_rows} {each} {insert}()",
        f"CREATE TRIGGER tally_update AFTER UPDATE ON {member.sql} REFERENCING {old_rows} {new_rows} {each} {update}()",
        f"CREATE TRIGGER tally_delete AFTER DELETE ON {member.sql} REFERENCING {old_rows} {each} {delete}()",
        f"CREATE TRIGGER tally_truncate {moment} TRUNCATE ON {member.sql} {each} {emptied}()",
    ]
    names = ["tally_insert", "tally_update", "tally_delete", "tally_truncate"]
    if member.kind == "r":
        stayed = " AND ".join(
            same(shape.columns[name], f"OLD.{quoted(name)}", f"NEW.{quoted(name)}") for name in definition.key_columns
        )
        statements.append(
            f"CREATE TRIGGER tally_move AFTER UPDATE ON {member.sql} FOR EACH ROW "
            f"WHEN (({stayed}) IS NOT TRUE AND {_WHEN}) EXECUTE FUNCTION {move}()"
        )
        names.append("tally_move")
    return statements + [f"ALTER TABLE {member.sql} ENABLE ALWAYS TRIGGER {name}" for name in names]


def signature(number: int, definition: Definition, shape: Shape) -> str:
    """A hash over all statements that install capture: equal signatures install the same."""
    members = [Member("", "", kind, root, False, ()) for kind, root in (("r", True), ("p", True), ("r", False))]
    statements = functions(number, definition, shape)
    for member in members:
        statements += triggers(number, member, definition, shape)
    return sha256("\0".join(statements).encode()).hexdigest()


class _Source:
    """The PL/pgSQL text of one resource's trigger functions."""

    def __init__(self, number: int, definition: Definition, shape: Shape) -> None:
        self.number = number
        self.captured = captured_columns(definition)
        self.keys = {name: shape.columns[name] for name in definition.key_columns}
        self.fields = {name: shape.columns[name] for name in self.captured}
        self.integer = len(self.keys) == 1 and all(kind.known in _INTEGERS for kind in self.keys.values())
        self.column = "numbers" if self.integer else "texts"

    def function(self, name: str, body: str) -> str:
        settings = "SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB' "
        settings += "SET enable_nestloop = off SET enable_mergejoin = off SET standard_conforming_strings = on "
        if any(kind.known not in _OWN_RENDERING for kind in self.keys.values()):
            settings += "SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' "
            settings += "SET extra_float_digits = 1 "
        source = f"DECLARE moved text[]; moving boolean; BEGIN {self.unless_altered()} {body} RETURN NULL; END"
        return (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {settings}"
            f"AS {literal(source)}"
        )

    def unless_altered(self) -> str:
        """Nothing is marked while a column is missing: the application's statement must not fail for it, and the next
        stamping sees the other structure and compares the table with the ledger."""
        names = ", ".join(f"{literal(name)}" for name in self.captured)
        return (
            "IF NOT ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = TG_RELID AND a.attnum > 0) "
            f"@> ARRAY[{names}]::name[] THEN RETURN NULL; END IF;"
        )

    def key(self, row: str) -> str:
        """The address of a row as it is stored."""
        return f"{row}.{quoted(next(iter(self.keys)))}::bigint" if self.integer else self.text(row)

    def text(self, row: str) -> str:
        """The address of a row as text."""
        parts = [key_text(kind, f"{row}.{quoted(name)}") for name, kind in self.keys.items()]
        if len(parts) == 1:
            return parts[0]
        if all(kind.known in _INTEGERS for kind in self.keys.values()):
            return " || ',' || ".join(f"({part})" for part in parts)
        return f"json_build_array({', '.join(parts)})::text"

    def words(self, old: str, new: str) -> list[str]:
        """The changed-columns bitmap, 60 columns a word. Key columns of joined rows are equal: they cost nothing."""
        conditions = [
            same(kind, f"{old}.{quoted(name)}", f"{new}.{quoted(name)}") for name, kind in self.fields.items()
        ]
        joined = old == "o"
        words = []
        for start in range(0, len(conditions), _WORD):
            bits = [
                f"CASE WHEN {condition} THEN 0 ELSE {1 << bit}::bigint END"
                for bit, condition in enumerate(conditions[start : start + _WORD])
                if not (joined and start + bit < len(self.keys))
            ]
            words.append("(" + (" | ".join(bits) or "0::bigint") + ")")
        return words

    def same_row(self) -> str:
        """The condition that an old and a new row have the same key."""
        conditions = []
        for name, kind in self.keys.items():
            old, new = f"o.{quoted(name)}", f"n.{quoted(name)}"
            conditions.append(_equal(kind, old, new))
        return " AND ".join(conditions)

    def mark(self, kind: str, key: str, source: str, words: Sequence[str] = ()) -> str:
        """Marks of one kind for the rows of a FROM clause, in chunks; with ``words``, of those that changed.

        What is numbered has been cut down to address and words before (OFFSET 0 keeps it so): numbering carries every
        column along that it is given.
        """
        columns, named, changed = _columns("x", words), _named(words), _any_changed("y", words)
        groups = "".join(f", x.w{index}" for index in range(len(words)))
        return (
            f"INSERT INTO {SCHEMA}.mark (txid, resource, kind, at, columns, {self.column}) "
            f"SELECT pg_current_xact_id()::text::bigint, {self.number}, '{kind}', "
            f"(extract(epoch FROM clock_timestamp()) * 1000)::bigint, {columns}, array_agg(x.address) "
            f"FROM (SELECT y.*, (row_number() OVER () - 1) >> 16 AS chunk "
            f"FROM (SELECT {key} AS address{named} {source} OFFSET 0) y{changed}) x GROUP BY x.chunk{groups};"
        )

    def one(self, kind: str, columns: str, key: str, source: str) -> str:
        """The mark of the only row of a FROM clause: most statements change one row, and this costs them half."""
        return (
            f"INSERT INTO {SCHEMA}.mark (txid, resource, kind, at, columns, {self.column}) "
            f"SELECT pg_current_xact_id()::text::bigint, {self.number}, '{kind}', "
            f"(extract(epoch FROM clock_timestamp()) * 1000)::bigint, {columns}, ARRAY[{key}] {source};"
        )

    def rows(self, kind: str, table: str, row: str) -> str:
        """Marks of every row of a transition table."""
        source = f"FROM {table} {row}"
        return (
            f"IF NOT EXISTS (SELECT {source} OFFSET 1) THEN {self.one(kind, 'NULL', self.key(row), source)} "
            f"ELSE {self.mark(kind, self.key(row), source)} END IF;"
        )

    def updated(self, partitioned: bool) -> str:
        """Marks of an UPDATE: moved rows first, then rows that stayed, then rows that changed partition."""
        mine = (
            f"m.txid = pg_current_xact_id()::text::bigint AND m.resource = {self.number} "
            "AND m.depth = pg_trigger_depth()"
        )
        moves = f"FROM {SCHEMA}.move m WHERE {mine}"
        stayed = "NOT EXISTS (SELECT FROM unnest(moved) g(address) WHERE g.address = {})"
        single = f"ELSIF NOT EXISTS (SELECT FROM new_rows OFFSET 1) THEN {self._one_stayed()} "
        crossed = ""
        if partitioned:
            single = ""
            crossed = self._crossed("D", "old_rows", "o", "new_rows n", stayed)
            crossed += self._crossed("I", "new_rows", "n", "old_rows o", stayed)
        return (
            "moving := current_setting('tally.moved', true) = 'on'; "
            f"IF moving THEN moving := EXISTS (SELECT {moves}); END IF; "
            "IF moving THEN "
            f"INSERT INTO {SCHEMA}.mark (txid, resource, kind, at, texts, news, bitmaps) "
            f"SELECT pg_current_xact_id()::text::bigint, {self.number}, 'M', "
            "(extract(epoch FROM clock_timestamp()) * 1000)::bigint, array_agg(m.old ORDER BY m.id), "
            f"array_agg(m.new ORDER BY m.id), array_agg(m.columns ORDER BY m.id) {moves}; "
            f"moved := ARRAY(SELECT m.old {moves} UNION SELECT m.new {moves}); "
            f"DELETE {moves}; "
            f"{self._stayed(' WHERE ' + stayed.format(self.text('o')))} "
            f"{single}ELSE {self._stayed('')} END IF; {crossed}"
        )

    def _one_stayed(self) -> str:
        words = self.words("o", "n")
        source = f"FROM (SELECT {self.key('o')} AS address{_named(words)} FROM old_rows o, new_rows n OFFSET 0) x"
        return self.one("U", _columns("x", words), "x.address", source + _any_changed("x", words))

    def _stayed(self, where: str) -> str:
        source = f"FROM new_rows n JOIN old_rows o ON {self.same_row()}{where}"
        return self.mark("U", self.key("o"), source, self.words("o", "n"))

    def _crossed(self, kind: str, table: str, row: str, other: str, stayed: str) -> str:
        source = (
            f"FROM {table} {row} WHERE NOT EXISTS (SELECT FROM {other} WHERE {self.same_row()}) "
            f"AND {stayed.format(self.text(row))}"
        )
        return self.mark(kind, self.key(row), source)

    def moved(self) -> str:
        """One row's move, noted for the statement-level trigger that follows."""
        columns = " || ',' || ".join(f"{word}::text" for word in self.words("OLD", "NEW"))
        return (
            f"INSERT INTO {SCHEMA}.move (txid, resource, depth, old, new, columns) "
            f"VALUES (pg_current_xact_id()::text::bigint, {self.number}, pg_trigger_depth(), "
            f"{self.text('OLD')}, {self.text('NEW')}, {columns}); PERFORM set_config('tally.moved', 'on', true);"
        )

    def emptied(self) -> str:
        """The mark of a TRUNCATE of the whole table."""
        return (
            f"INSERT INTO {SCHEMA}.mark (txid, resource, kind, at) VALUES (pg_current_xact_id()::text::bigint, "
            f"{self.number}, 'T', (extract(epoch FROM clock_timestamp()) * 1000)::bigint);"
        )

    def partition_emptied(self) -> str:
        """Marks of every row of a partition that is about to be truncated."""
        before, after = self.mark("D", self.key("o"), "FROM ONLY \0 o").split("\0")
        body = before.replace("%", "%%") + "%1$I.%2$I" + after.removesuffix(";").replace("%", "%%")
        return f"EXECUTE format({literal(body)}, TG_TABLE_SCHEMA, TG_TABLE_NAME);"


def _named(words: Sequence[str]) -> str:
    """The words of a bitmap as further columns of a SELECT."""
    return "".join(f", {word} AS w{index}" for index, word in enumerate(words))


def _columns(row: str, words: Sequence[str]) -> str:
    """The bitmap as it is stored."""
    return " || ',' || ".join(f"{row}.w{index}::text" for index in range(len(words))) or "NULL"


def _any_changed(row: str, words: Sequence[str]) -> str:
    """The WHERE clause that leaves out rows in which no column changed."""
    return " WHERE " + " OR ".join(f"{row}.w{index} <> 0" for index in range(len(words))) if words else ""


def _equal(kind: ColumnType, old: str, new: str) -> str:
    if kind.known in ("text", "varchar", "bpchar"):
        return f'{old} COLLATE "C" = {new} COLLATE "C"'
    if kind.known in _OWN_RENDERING or kind.known in ("date", "time", "timestamp", "timestamptz", "float8", "float4"):
        return f"{old} = {new}"
    return f"{old}::text = {new}::text"


# Reading back --------------------------------------------------------------------------------------------------

MARK_COLUMNS = "id, resource, kind, at, columns, numbers, texts, news, bitmaps"


class Stored(NamedTuple):
    """One row of ``tally.mark``."""

    id: int
    resource: int
    kind: str
    at: int
    columns: str | None
    numbers: list[int] | None
    texts: list[str] | None
    news: list[str] | None
    bitmaps: list[str] | None


def address_parser(definition: Definition) -> Callable[[str], Address]:
    """How the text of a stored address becomes an address of this resource."""
    converters = [_converter(item.logical) for item in definition.key_fields]
    if len(converters) == 1:
        convert = converters[0]
        return lambda text: (convert(text),)

    def parsed(text: str) -> Address:
        parts = json.loads(text) if text.startswith("[") else text.split(",")
        return tuple([convert(part) for convert, part in zip(converters, parts, strict=True)])

    return parsed


def _converter(logical: Logical) -> Callable[[str], Any]:
    if logical in (Logical.INT64, Logical.BOOL, Logical.REFERENCE):
        return int
    if logical is Logical.FLOAT64:
        return float
    return bytes.fromhex if logical is Logical.BYTES else str


def expanded(definition: Definition, stored: Stored, exact: bool = True) -> Iterator[Mark]:
    """The marks of one stored row, in an order that can be followed one by one.

    ``exact`` False says that rows may be read in a later snapshot than the marks: then any column may have changed.
    """
    parse = address_parser(definition)
    if stored.kind == "T":
        yield Mark("T", None, None, stored.at, None)
    elif stored.kind == "M":
        yield from _moves(definition, stored, parse, exact)
    else:
        addresses = [(number,) for number in stored.numbers] if stored.numbers else map(parse, stored.texts or ())
        columns = _changed(definition, stored.columns) if exact and stored.kind == "U" else None
        for address in addresses:
            old = None if stored.kind == "I" else address
            new = None if stored.kind == "D" else address
            yield Mark(stored.kind, old, new, stored.at, columns)


def _moves(definition: Definition, stored: Stored, parse: Callable[[str], Address], exact: bool) -> Iterator[Mark]:
    olds, news = map(parse, stored.texts or ()), map(parse, stored.news or ())
    pairs = list(zip(olds, news, stored.bitmaps or (), strict=True))
    width = len(definition.key_fields)
    for old, new, bitmap in in_sequence(pairs, lambda index: (f"\0{stored.id}.{index}",) * width):
        columns = (_changed(definition, bitmap) if bitmap is not None else frozenset()) if exact else None
        yield Mark("U", old, new, stored.at, columns)


def in_sequence(
    moves: Sequence[tuple[Address, Address, str]], passing: Callable[[int], Address]
) -> Iterator[tuple[Address, Address, str | None]]:
    """Moves that happened at once as moves that can be made one after the other.

    A move is made when its target is free; a cycle is opened by letting one row wait at a passing address, which no
    row can have. The bitmap of that first half is None.
    """
    waiting = {old: (new, bitmap) for old, new, bitmap in moves}
    coming = {new: old for old, new, _ in moves}
    if len(waiting) != len(moves) or len(coming) != len(moves):
        yield from moves
        return
    free = [old for old, (new, _) in waiting.items() if new not in waiting]
    opened = 0
    while waiting:
        while free:
            old = free.pop()
            new, bitmap = waiting.pop(old)
            yield old, new, bitmap
            if old in coming and coming[old] in waiting:
                free.append(coming[old])
        if waiting:
            old, (new, bitmap) = next(iter(waiting.items()))
            place = passing(opened)
            opened += 1
            del waiting[old]
            yield old, place, None
            waiting[place] = (new, bitmap)
            coming[new] = place
            free.append(coming[old])


def _changed(definition: Definition, columns: str | None) -> frozenset[str] | None:
    if columns is None:
        return None
    names = captured_columns(definition)
    found: list[str] = []
    for index, word in enumerate(columns.split(",")):
        bits = int(word)
        found.extend(name for bit, name in enumerate(names[index * _WORD : (index + 1) * _WORD]) if bits >> bit & 1)
    return frozenset(found)


def without(definition: Definition, stored: Stored, addresses: set[Address]) -> Stored | None:
    """A stored row without the marks of some addresses; None when nothing is left."""
    parse = address_parser(definition)
    if stored.kind == "T":
        return stored
    if stored.kind == "M":
        kept = [
            triple
            for triple in zip(stored.texts or (), stored.news or (), stored.bitmaps or (), strict=True)
            if parse(triple[0]) not in addresses and parse(triple[1]) not in addresses
        ]
        texts, news, bitmaps = (list(column) for column in zip(*kept, strict=True)) if kept else ([], [], [])
        return stored._replace(texts=texts, news=news, bitmaps=bitmaps) if kept else None
    if stored.numbers:
        numbers = [number for number in stored.numbers if (number,) not in addresses]
        return stored._replace(numbers=numbers) if numbers else None
    texts = [text for text in stored.texts or () if parse(text) not in addresses]
    return stored._replace(texts=texts) if texts else None
