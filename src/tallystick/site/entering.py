"""Entering rows that are plainly new, a page at once: the way of a first synchronization (DESIGN.md 5).

A page is taken apart into columns, because nothing here is asked of single rows: keys, hashes and ledger entries are
made column by column, and no step of a row is a step of the interpreter but its hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress, repeat
from types import MappingProxyType
from typing import Any, NamedTuple

from tallystick.core.fingerprints import EMPTY, Fingerprint, dot_names, fingerprint_of
from tallystick.core.hashing import content_hashes
from tallystick.core.pages import FLAGS, KEY, LOCAL, ORIGIN, STAMP, TICK, VALUES, Page, Row
from tallystick.core.values import Logical, Value
from tallystick.site.engines.engine import NewEntries, Rejected
from tallystick.site.identity import local_of
from tallystick.site.ledger import GENESIS, Ledger, Tracked
from tallystick.site.plain_references import absent_parents, natural_parents
from tallystick.site.schema import Identity
from tallystick.site.spelling import spelled

Column = Sequence[Value]
_NOTHING: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
BULK = 1000
"""Rows from which it pays to make ready for a bulk insertion."""


class Entered(NamedTuple):
    """The fingerprint of the records that were written, and the rows that need the ordinary way."""

    fingerprint: Fingerprint
    left: Sequence[Row]


def suits(tracked: Tracked, page: Page) -> bool:
    """True when rows of the page can be written as they came, given that the database keeps them exactly."""
    definition = tracked.definition
    simple = definition.identity in (Identity.NATURAL, Identity.MAPPED, Identity.COLUMN)
    return simple and not definition.triggers and definition.names == tuple(item.name for item in page.fields)


def enter(ledger: Ledger, tracked: Tracked, page: Page, rows: Sequence[Row], origins: Sequence[int]) -> Entered:
    """Write new rows of a page that ``suits``. ``origins`` are the site's numbers of the page's origins.

    Rows whose integer is taken here or whose parents are missing are left, and all of them when the database refuses
    one, or others may refer to those that are left: the ordinary way finds out which.
    """
    made = enter_columns(ledger, tracked, page, list(zip(*rows, strict=True)), origins)
    left = set(made.left)
    return Entered(made.fingerprint, [row for row in rows if row[KEY] in left] if left else ())


class EnteredColumns(NamedTuple):
    """The fingerprint of the records that were written, and the keys of those that need the ordinary way."""

    fingerprint: Fingerprint
    left: Sequence[str]


def enter_columns(
    ledger: Ledger,
    tracked: Tracked,
    page: Page,
    columns: Sequence[Sequence[Any]],
    origins: Sequence[int],
    known: Mapping[str, Mapping[str, Any]] = _NOTHING,
) -> EnteredColumns:
    """What ``enter`` does, for rows that are given column by column; those of ``page`` are not looked at.

    ``known`` are, by resource and key, integers of rows that this transaction wrote; the others are looked up.
    """
    keys = columns[KEY]
    if ledger.engine.dialect == "postgresql":  # one statement takes them all, and its indexes grow in order
        order = sorted(range(len(keys)), key=keys.__getitem__)
        columns = [list(map(column.__getitem__, order)) for column in columns]
        keys = columns[KEY]
    try:
        addresses = _addresses(ledger, tracked, columns)
    except ValueError:  # a key that is none of this table
        return EnteredColumns(EMPTY, keys)
    values, homeless = column_values(ledger, tracked, columns, addresses, known)
    homeless |= {index for index, part in enumerate(addresses[0]) if part is None} if None in addresses[0] else set()
    left: Sequence[str] = ()
    if homeless:
        if len(homeless) == len(keys) or refers_to_itself(tracked):
            return EnteredColumns(EMPTY, keys)
        left = [keys[index] for index in sorted(homeless)]
        staying = [index not in homeless for index in range(len(keys))]
        columns, addresses, values = (_staying(part, staying) for part in (columns, addresses, values))
    try:
        hashed = _insert(ledger, tracked, page, columns, [*addresses, *values])
    except Rejected:
        return EnteredColumns(EMPTY, keys)
    if tracked.definition.mapped:
        tracked.rows.settle_sequence()
    _enter_records(ledger, tracked, columns, addresses, origins, hashed.hashes)
    return EnteredColumns(hashed.fingerprint, left)


class _Hashed(NamedTuple):
    """Content hashes of records in the order of their rows, and the fingerprint of all of them."""

    hashes: list[bytes]
    fingerprint: Fingerprint


def _insert(
    ledger: Ledger, tracked: Tracked, page: Page, columns: Sequence[Sequence[Any]], written: Sequence[Column]
) -> _Hashed:
    """Write rows and hash their records: a server takes rows while this process hashes."""
    if len(written[0]) < BULK:
        with ledger.engine.capture_off():
            tracked.rows.insert_columns(written)
        return _hashed(tracked, page, columns)
    if ledger.engine.dialect != "postgresql":
        _insert_many(ledger, tracked, written)
        return _hashed(tracked, page, columns)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as beside:
        hashing = beside.submit(_hashed, tracked, page, columns)
        _insert_many(ledger, tracked, written)
        return hashing.result()


def _insert_many(ledger: Ledger, tracked: Tracked, columns: Sequence[Column]) -> None:
    engine = ledger.engine
    try:
        with engine.insertion_unmarked(tracked.number, tracked.definition):
            tracked.rows.insert_columns(columns)
    finally:
        ledger.put_meta("structure", engine.structure())


def _staying(columns: Sequence[Column], staying: Sequence[bool]) -> list[Column]:
    return [list(compress(column, staying)) for column in columns]


def refers_to_itself(tracked: Tracked) -> bool:
    """True when a row may refer to one of those that are left."""
    definition = tracked.definition
    return definition.wire in definition.parents or any(
        parent == definition.name for parent, _, _ in natural_parents(definition)
    )


def _enter_records(
    ledger: Ledger,
    tracked: Tracked,
    columns: Sequence[Sequence[Any]],
    addresses: Sequence[Column],
    origins: Sequence[int],
    hashes: Sequence[bytes],
) -> None:
    """Enter the records of the rows in the ledger."""
    keys, flags, ticks = columns[KEY], columns[FLAGS], columns[TICK]
    numbers = list(map(origins.__getitem__, columns[ORIGIN]))
    seqs, locals_ = ledger.next_seqs(tracked, len(keys)), _locals(tracked, keys, addresses)
    tracked.rows.put_new(NewEntries(seqs, keys, locals_, numbers, ticks, columns[STAMP], hashes, flags))


def _hashed(tracked: Tracked, page: Page, columns: Sequence[Sequence[Any]]) -> _Hashed:
    keys, flags = columns[KEY], columns[FLAGS]
    hashes = content_hashes(tracked.definition.names, keys, columns[VALUES:])
    if set(flags) == {GENESIS}:
        return _Hashed(hashes, fingerprint_of(keys, hashes, hashes))
    named = dot_names([page.origins[index] for index in columns[ORIGIN]], columns[TICK])
    names = [digest if flag else name for flag, digest, name in zip(flags, hashes, named, strict=True)]
    return _Hashed(hashes, fingerprint_of(keys, names, hashes))


# Where rows go ------------------------------------------------------------------------------------------------------


def _addresses(ledger: Ledger, tracked: Tracked, columns: Sequence[Sequence[Any]]) -> list[Column]:
    """The primary key, column by column; None where an integer is not free."""
    definition = tracked.definition
    if definition.identity is Identity.NATURAL:
        if _is_text(tracked) and not definition.respelled and not any(map(str.startswith, columns[KEY], repeat("\\"))):
            return [columns[KEY]]
        return list(zip(*spelled(tracked, columns[KEY]), strict=True))
    wanted = columns[LOCAL]
    taken = _taken(ledger, tracked, [number for number in wanted if type(number) is int])
    found: list[Value] = []
    for number in wanted:
        if type(number) is int and number not in taken:
            taken.add(number)
            found.append(number)
        else:
            found.append(None)
    return [found]


def _is_text(tracked: Tracked) -> bool:
    """True when a record's key is its primary key's text, unless it begins with a backslash."""
    fields = tracked.definition.key_fields
    return len(fields) == 1 and fields[0].logical not in (Logical.INT64, Logical.BOOL)


def _locals(tracked: Tracked, keys: Sequence[str], addresses: Sequence[Column]) -> Sequence[Any] | None:
    """What the ledger notes as ``local``, None where that is nothing."""
    definition = tracked.definition
    if definition.identity is not Identity.NATURAL:
        return addresses[0]
    if addresses[0] is keys or (len(addresses) == 1 and list(addresses[0]) == list(keys)):
        return None
    return [local_of(definition, key, address) for key, address in zip(keys, zip(*addresses, strict=True), strict=True)]


def _taken(ledger: Ledger, tracked: Tracked, wanted: Sequence[int]) -> set[Value]:
    """Those integers that rows here have. Integers beyond the highest need no look-up."""
    if not wanted:
        return set()
    column, table = (name.replace('"', '""') for name in (tracked.definition.key_columns[0], tracked.definition.name))
    highest = ledger.engine.query(f'SELECT max("{column}") FROM "{table}"')[0][0]
    if highest is None or min(wanted) > highest:
        return set()
    return {address[0] for address in tracked.rows.values([(number,) for number in wanted])}


# What they hold -----------------------------------------------------------------------------------------------------


def column_values(
    ledger: Ledger,
    tracked: Tracked,
    columns: Sequence[Sequence[Any]],
    addresses: Sequence[Column],
    known: Mapping[str, Mapping[str, Any]] = _NOTHING,
) -> tuple[list[Column], set[int]]:
    """The fields, column by column, with references as integers, and the positions of rows without a parent."""
    values: list[Column] = list(columns[VALUES:])
    orphans: set[int] = set()
    for index, item in enumerate(tracked.definition.fields):
        if item.refers_to:
            here = known.get(item.refers_to, {})
            integers = _integers(ledger, tracked, item.refers_to, columns[KEY], values[index], addresses, here)
            turned = list(map(integers.get, values[index]))
            orphans |= _lost(values[index], turned)
            values[index] = turned
    for parent, column, index in natural_parents(tracked.definition):
        absent = absent_parents(ledger, parent, column, set(values[index]) - {None})
        if parent == tracked.definition.name:
            absent -= set(addresses[0])
        if absent:
            orphans |= {position for position, value in enumerate(values[index]) if value in absent}
    return values, orphans


def _lost(before: Column, after: Column) -> set[int]:
    """Positions of values that became null."""
    if before.count(None) == after.count(None):
        return set()
    return {index for index, value in enumerate(after) if value is None and before[index] is not None}


def _integers(
    ledger: Ledger,
    tracked: Tracked,
    wire: str,
    keys: Sequence[str],
    referred: Column,
    addresses: Sequence[Column],
    known: Mapping[str, Any],
) -> Mapping[Value, Value]:
    """The integers of the records that a column refers to."""
    found: dict[Any, Any] = dict(known)
    if wire == tracked.wire:
        found |= {key: number for key, number in zip(keys, addresses[0], strict=True) if number is not None}
    lacking = sorted({key for key in referred if type(key) is str and key not in found})
    if lacking and ledger.has(wire):
        entries = ledger.resource(wire).rows.by_keys(lacking)
        found.update({key: entry.local for key, entry in entries.items() if entry.local is not None and entry.hash})
    return found
