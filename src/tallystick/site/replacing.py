"""Replacing rows by what plainly follows them, a page at once: the way of every later synchronization (DESIGN.md 5).

The counterpart of ``entering``: nothing is asked of single rows but whether their maker had seen ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress, repeat
from typing import Any, NamedTuple

from tallystick.core.fingerprints import dot_names, fingerprint_of
from tallystick.core.forms import Extra, decode_extra
from tallystick.core.hashing import content_hashes
from tallystick.core.pages import EXTRA, FLAGS, KEY, ORIGIN, STAMP, TICK, VALUES, Page, Row
from tallystick.core.versions import vector_covers
from tallystick.site.engines.engine import Entry, Rejected
from tallystick.site.entering import column_values, refers_to_itself
from tallystick.site.holding import terms_of
from tallystick.site.identity import addresses_of
from tallystick.site.ledger import DELETED, GENESIS, WHOLE, Ledger, Tracked
from tallystick.site.unnamed import unnamed


class Replaced(NamedTuple):
    """How many records were replaced, and the rows that need the ordinary way."""

    updated: int
    left: Sequence[Row]


def replaces(ledger: Ledger, page: Page, row: Row, entry: Entry) -> bool:
    """True when the row's maker had seen all that our entry knows: ``join`` would leave just the row's version."""
    if entry.flags & (WHOLE | DELETED) or row[FLAGS] & GENESIS:
        return False
    mine, theirs = decode_extra(entry.extra), decode_extra(row[EXTRA])
    if mine.aside or theirs.aside or theirs.dots is not None or theirs.genesis is not None:
        return False
    origin, dot, tick = ledger.origin_name(entry.origin), page.origins[row[ORIGIN]], row[TICK]
    if (dot, tick) == (origin, entry.tick) or not _genesis_seen(entry, mine, theirs):
        return False
    if theirs.seen is None and mine.seen is None:
        return bool(dot == origin and tick >= entry.tick)
    return vector_covers(theirs.seen or {dot: tick}, mine.seen or {origin: entry.tick})


def _genesis_seen(entry: Entry, mine: Extra, theirs: Extra) -> bool:
    """True when the names that rows older than tracking had are all known to the row's maker."""
    own = entry.flags & GENESIS
    if not own and mine.genesis is None and mine.seen_genesis == theirs.seen_genesis:
        return True
    genesis = {*mine.seen_genesis, *(mine.genesis or ()), *((entry.hash,) if own else ())}
    return genesis.issubset(theirs.seen_genesis)


def replace(
    ledger: Ledger,
    tracked: Tracked,
    page: Page,
    rows: Sequence[Row],
    entries: Mapping[str, Entry],
    origins: Sequence[int],
) -> Replaced:
    """Write rows that replace ours (``replaces``), of a page that ``suits``. ``entries`` hold ours by key, each shown
    by a row; ``origins`` are the site's numbers of the page's origins.

    Rows whose parents are missing are left, and all of them where the database refuses one, changes others by itself,
    or has two rows of one key, or where they may refer to each other: the ordinary way finds out which.
    """
    definition = tracked.definition
    if refers_to_itself(tracked) or definition.updates_elsewhere:
        return Replaced(0, rows)
    values, orphans = column_values(ledger, tracked, list(zip(*rows, strict=True)), ())
    left = [rows[index] for index in sorted(orphans)]
    if left:
        staying = [index not in orphans for index in range(len(rows))]
        rows, values = list(compress(rows, staying)), [list(compress(part, staying)) for part in values]
    if not rows:
        return Replaced(0, left)
    olds = [entries[row[KEY]] for row in rows]
    addresses = addresses_of(definition, [(entry.key, entry.local) for entry in olds])
    if unnamed(tracked, addresses):
        return Replaced(0, [*left, *rows])
    written: Sequence[Sequence[Any]] = list(zip(*values, strict=True)) if values else [()] * len(rows)
    try:
        with ledger.engine.capture_off():
            tracked.rows.update(list(zip(addresses, written, strict=True)))
    except Rejected:
        return Replaced(0, [*left, *rows])
    _replace_entries(ledger, tracked, page, rows, olds, origins)
    return Replaced(len(rows), left)


def _replace_entries(
    ledger: Ledger, tracked: Tracked, page: Page, rows: Sequence[Row], olds: Sequence[Entry], origins: Sequence[int]
) -> None:
    """Enter what the rows say in the ledger, column by column."""
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    keys, ticks = columns[KEY], columns[TICK]
    hashes = content_hashes(tracked.definition.names, keys, columns[VALUES:])
    made = zip(
        ledger.next_seqs(tracked, len(rows)),
        keys,
        [entry.local for entry in olds],
        [entry.born_seq for entry in olds],
        map(origins.__getitem__, columns[ORIGIN]),
        ticks,
        columns[STAMP],
        hashes,
        repeat(None),
        columns[FLAGS],
        columns[EXTRA],
        strict=False,
    )
    tracked.rows.put(list(map(Entry._make, made)), [entry.seq for entry in olds])
    names = dot_names([page.origins[index] for index in columns[ORIGIN]], ticks)
    removed = terms_of(ledger, zip(olds, repeat(None), strict=False))
    ledger.count(tracked, fingerprint_of(keys, names, hashes), removed)
