"""The change log: which changes of an object are remembered, and in which order (spec ics 5.1, 6). Pure.

The log is replaced, never appended to: of each kind of change of an object under one parent only the latest is kept.
So it is bounded by the number of objects that ever existed, and any seq, however old, can be continued from. One
``Entry`` holds all kinds of one object under one parent; ``rows_after`` unfolds entries into single changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, IntFlag
from typing import NamedTuple


class Kind(IntEnum):
    """What happened to an object."""

    NEW = 1
    CHANGE = 2
    FLAG = 3
    """The read flag, and nothing else, changed."""
    SOFT = 4
    """Deleted, recoverable."""
    HARD = 5
    """Deleted for good, or moved to another folder."""


class Class(IntEnum):
    """What kind of object a record is."""

    MARK = 0
    """No object: the note that gives a folder's state a new number."""
    ITEM = 1
    FOLDER = 2
    STORE = 3
    COMPANY = 4
    USER = 5
    GROUP = 6


class Detail(IntFlag):
    """What a log entry has to say beside its seqs."""

    READ = 1
    """The read flag's value at the latest FLAG."""
    CASCADE = 2
    """The latest deletion came with that of a folder above."""
    DEPARTED = 4
    """The latest CHANGE of a folder, or HARD of an item, was a move to another parent."""
    ASSOCIATED = 8
    """The item is an associated (hidden) one."""


class Entry(NamedTuple):
    """All that is remembered of one object under one parent: for each kind the seq of its latest change, 0 if none."""

    id: int
    """Identity of (parent, key); never used again for another object."""
    parent: int
    key: bytes
    object: int
    """A ``Class``."""
    record: int
    """Number of the record. A moved item keeps its number and gets a new entry."""
    store: int
    """Number of the store; 0 for what is in none."""
    created: int = 0
    content: int = 0
    flagged: int = 0
    soft: int = 0
    hard: int = 0
    detail: int = 0
    """``Detail`` bits."""

    @property
    def latest(self) -> int:
        """The highest seq of any kind."""
        return max(self.created, self.content, self.flagged, self.soft, self.hard)


class Row(NamedTuple):
    """One change: the latest of its kind for its object."""

    seq: int
    kind: Kind
    entry: int
    value: bool
    """The read flag, for FLAG."""


def rows_after(entries: Iterable[Entry], seq: int) -> list[Row]:
    """The single changes beyond ``seq``, ascending; of two in one write, the creation first."""
    rows: list[Row] = []
    for entry in entries:
        if entry.created > seq:
            rows.append(Row(entry.created, Kind.NEW, entry.id, False))
        if entry.content > seq:
            rows.append(Row(entry.content, Kind.CHANGE, entry.id, False))
        if entry.flagged > seq:
            rows.append(Row(entry.flagged, Kind.FLAG, entry.id, bool(entry.detail & Detail.READ)))
        if entry.soft > seq:
            rows.append(Row(entry.soft, Kind.SOFT, entry.id, False))
        if entry.hard > seq:
            rows.append(Row(entry.hard, Kind.HARD, entry.id, False))
    rows.sort()
    return rows
