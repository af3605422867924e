"""From the log to what happened: created, updated, deleted (spec ics 7). Pure.

The log keeps the latest change of each kind, so what happened several times between two looks is told once. A move is
told as a creation in the new place, then a deletion in the old one.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from tallystick.stores.changelog import Class, Detail, Entry, Kind, Row, rows_after


class Event(StrEnum):
    """What happened to an object."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


class Notice(NamedTuple):
    """One thing that happened."""

    event: Event
    object: Class
    """ITEM, FOLDER or STORE."""
    record: int
    """Number of the object."""
    parent: int
    """Number of the folder it is or was in; 0 where that does not matter."""
    store: int
    seq: int
    entry: Entry | None
    """Its log entry; None for a folder that is told of only because something in it changed."""


def notices_after(entries: Iterable[Entry], seq: int) -> list[Notice]:
    """What happened beyond ``seq``, in order.

    Creations, deletions, moves and read flags of items are followed by an update of the folders they are in, because
    their counts change. What went with a folder above is not told.
    """
    known = {entry.id: entry for entry in entries if entry.object in _TOLD}
    rows = rows_after(known.values(), seq)
    moves, halves = _moves(rows, known)
    found: list[Notice] = []
    for row in rows:
        entry = known[row.entry]
        if row in moves:
            found += _moved(row.seq, known[moves[row].here], known[moves[row].there])
        elif row not in halves and not (row.kind >= Kind.SOFT and entry.detail & Detail.CASCADE):
            found += _changed(row, entry)
    return found


_TOLD = (Class.ITEM, Class.FOLDER, Class.STORE)


class _Move(NamedTuple):
    """Entries of what moved: where it is, and where it was."""

    here: int
    there: int


def _moves(rows: Iterable[Row], known: dict[int, Entry]) -> tuple[dict[Row, _Move], set[Row]]:
    """Moves by their first row, and the second rows. Items arrive one seq before they depart, folders one after."""
    placed = {(known[row.entry].record, row.seq): row for row in rows if row.kind <= Kind.CHANGE}
    moves: dict[Row, _Move] = {}
    halves: set[Row] = set()
    for row in rows:
        entry = known[row.entry]
        arrival = placed.get((entry.record, row.seq + _AFTER[entry.object])) if _departs(row, entry) else None
        if arrival is not None and arrival.entry != row.entry:
            moves[min(row, arrival)] = _Move(arrival.entry, row.entry)
            halves.add(max(row, arrival))
    return moves, halves


_AFTER: dict[int, int] = {Class.ITEM: -1, Class.FOLDER: 1, Class.STORE: 0}


def _departs(row: Row, entry: Entry) -> bool:
    """True for the row that a move leaves at its source."""
    left = Kind.HARD if entry.object == Class.ITEM else Kind.CHANGE
    return bool(entry.detail & Detail.DEPARTED) and row.kind == left


def _moved(seq: int, here: Entry, there: Entry) -> list[Notice]:
    return [
        _notice(Event.CREATED, here, seq),
        _notice(Event.DELETED, there, seq),
        _above(there, seq),
        _above(here, seq),
    ]


def _changed(row: Row, entry: Entry) -> list[Notice]:
    if row.kind is Kind.NEW:
        return [_notice(Event.CREATED, entry, row.seq), _above(entry, row.seq)]
    if row.kind is Kind.CHANGE:
        return [_notice(Event.UPDATED, entry, row.seq)]
    if row.kind is Kind.FLAG:
        return [_notice(Event.UPDATED, entry, row.seq), _above(entry, row.seq)]
    return [_notice(Event.DELETED, entry, row.seq), _above(entry, row.seq)]


def _notice(event: Event, entry: Entry, seq: int) -> Notice:
    return Notice(event, Class(entry.object), entry.record, entry.parent, entry.store, seq, entry)


def _above(entry: Entry, seq: int) -> Notice:
    """The folder something is in, updated."""
    return Notice(Event.UPDATED, Class.FOLDER, entry.parent, 0, entry.store, seq, None)
