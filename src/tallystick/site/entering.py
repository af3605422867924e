"""Entering rows that are plainly new, a page at once: the way of a first synchronization (DESIGN.md 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from tallystick.core.fingerprints import EMPTY, Fingerprint, dot_name, fingerprint_of
from tallystick.core.hashing import hasher
from tallystick.core.pages import FLAGS, KEY, LOCAL, ORIGIN, STAMP, TICK, VALUES, Page, Row
from tallystick.core.values import Value
from tallystick.site.engines.engine import Address, Entry, Rejected
from tallystick.site.identity import address_of, local_of
from tallystick.site.ledger import GENESIS, Ledger, Tracked
from tallystick.site.projection import absent_parents, natural_parents
from tallystick.site.schema import Identity


class Entered(NamedTuple):
    """Ledger entries of the rows that were written, their fingerprint, and the rows that need the ordinary way."""

    entries: list[Entry]
    fingerprint: Fingerprint
    left: list[Row]


def suits(tracked: Tracked, page: Page) -> bool:
    """True when rows of the page can be written as they came, given that the database keeps them exactly."""
    definition = tracked.definition
    simple = definition.identity in (Identity.NATURAL, Identity.MAPPED, Identity.COLUMN)
    watched = definition.triggers or definition.acted_on
    return simple and not watched and definition.names == tuple(item.name for item in page.fields)


def enter(ledger: Ledger, tracked: Tracked, page: Page, rows: Sequence[Row], origins: Sequence[int]) -> Entered:
    """Write new rows of a page that ``suits``. ``origins`` are the site's numbers of the page's origins.

    Rows whose integer is taken here or whose parents are missing are left, and all of them when the database refuses
    one, or others may refer to those that are left: the ordinary way finds out which.
    """
    addresses = _addresses(ledger, tracked, rows)
    values = _values(ledger, tracked, rows, addresses)
    ready: list[tuple[Row, Address, tuple[Value, ...]]] = []
    left = []
    for row, address, held in zip(rows, addresses, values, strict=True):
        if address is None or held is None:
            left.append(row)
        else:
            ready.append((row, address, held))
    if not ready or (left and _refers_to_itself(tracked)):
        return Entered([], EMPTY, list(rows))
    try:
        with ledger.engine.capture_off():
            tracked.rows.insert([(address, held) for _, address, held in ready])
    except Rejected:
        return Entered([], EMPTY, list(rows))
    if tracked.definition.mapped:
        tracked.rows.settle_sequence()
    return _entered(ledger, tracked, page, [item[0] for item in ready], [item[1] for item in ready], origins, left)


def _refers_to_itself(tracked: Tracked) -> bool:
    """True when a row may refer to one of those that are left."""
    definition = tracked.definition
    return definition.wire in definition.parents or any(
        parent == definition.name for parent, _, _ in natural_parents(definition)
    )


def _entered(
    ledger: Ledger,
    tracked: Tracked,
    page: Page,
    rows: Sequence[Row],
    addresses: Sequence[Address],
    origins: Sequence[int],
    left: list[Row],
) -> Entered:
    hashed = hasher(tracked.definition.names)
    keys = [row[KEY] for row in rows]
    hashes = [hashed(row[KEY], row[VALUES:]) for row in rows]
    names = [
        digest if row[FLAGS] & GENESIS else dot_name(page.origins[row[ORIGIN]], row[TICK])
        for row, digest in zip(rows, hashes, strict=True)
    ]
    seqs = ledger.next_seqs(tracked, len(rows))
    definition = tracked.definition
    columns = (
        seqs,
        keys,
        [local_of(definition, key, address) for key, address in zip(keys, addresses, strict=True)],
        seqs,
        [origins[row[ORIGIN]] for row in rows],
        [row[TICK] for row in rows],
        [row[STAMP] for row in rows],
        hashes,
        repeat(None),
        [row[FLAGS] & GENESIS for row in rows],
        repeat(None),
    )
    return Entered(list(map(Entry._make, zip(*columns, strict=False))), fingerprint_of(keys, names, hashes), left)


# Where rows go ------------------------------------------------------------------------------------------------------


def _addresses(ledger: Ledger, tracked: Tracked, rows: Sequence[Row]) -> list[Address | None]:
    """The address of each row; None where its integer is not free."""
    definition = tracked.definition
    if definition.identity is Identity.NATURAL:
        return [address_of(definition, row[KEY], None) for row in rows]
    wanted = [row[LOCAL] for row in rows]
    taken = _taken(ledger, tracked, [number for number in wanted if type(number) is int])
    found: list[Address | None] = []
    for number in wanted:
        if type(number) is int and number not in taken:
            taken.add(number)
            found.append((number,))
        else:
            found.append(None)
    return found


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


def _values(
    ledger: Ledger, tracked: Tracked, rows: Sequence[Row], addresses: Sequence[Address | None]
) -> list[tuple[Value, ...] | None]:
    """The values of each row with references as integers; None where there is no address, or no parent."""
    values: list[tuple[Value, ...] | None] = [
        None if address is None else row[VALUES:] for row, address in zip(rows, addresses, strict=True)
    ]
    for index, item in enumerate(tracked.definition.fields):
        if item.refers_to:
            _refer(values, index, _integers(ledger, tracked, item.refers_to, index, rows, addresses))
    for parent, column, index in natural_parents(tracked.definition):
        wanted = {found[index] for found in values if found is not None} - {None}
        absent = absent_parents(ledger, parent, column, wanted)
        if parent == tracked.definition.name:
            absent -= {address[0] for address in addresses if address is not None}
        if absent:
            values = [None if found is not None and found[index] in absent else found for found in values]
    return values


def _refer(values: list[tuple[Value, ...] | None], index: int, integers: Mapping[Value, Value]) -> None:
    """Put integers in the place of keys in one column; rows with a key that has none become None."""
    for position, found in enumerate(values):
        if found is not None and found[index] is not None:
            integer = integers.get(found[index])
            values[position] = None if integer is None else (*found[:index], integer, *found[index + 1 :])


def _integers(
    ledger: Ledger, tracked: Tracked, wire: str, index: int, rows: Sequence[Row], addresses: Sequence[Address | None]
) -> dict[Value, Value]:
    """The integers of the records that column ``index`` refers to."""
    found: dict[Value, Value] = {}
    if wire == tracked.wire:
        found = {row[KEY]: address[0] for row, address in zip(rows, addresses, strict=True) if address is not None}
    lacking = sorted({key for row in rows if type(key := row[VALUES + index]) is str and key not in found})
    if lacking and ledger.has(wire):
        entries = ledger.resource(wire).rows.by_keys(lacking)
        found.update({key: entry.local for key, entry in entries.items() if entry.local is not None and entry.hash})
    return found
