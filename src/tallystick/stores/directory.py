"""Net changes of the address book (spec ics 3.6). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tallystick.stores.changelog import Entry, Kind, rows_after


class DirectoryNet(NamedTuple):
    """What somebody who knows an older state of the address book has to be told, each user at most once."""

    updates: list[int]
    """Entries, in the order of their first change."""
    deletes: list[int]


def directory_changes(entries: Iterable[Entry], seq: int) -> DirectoryNet:
    """Net changes of users beyond ``seq``.

    Added and changed = updated; changed and deleted = deleted; added and deleted = nothing;
    deleted and added = updated.
    """
    history: dict[int, list[Kind]] = {}
    for row in rows_after(entries, seq):
        history.setdefault(row.entry, []).append(row.kind)
    gone = {entry for entry, kinds in history.items() if kinds[-1] in (Kind.SOFT, Kind.HARD)}
    updates = [entry for entry in history if entry not in gone]
    deletes = [entry for entry, kinds in history.items() if entry in gone and kinds[0] is not Kind.NEW]
    return DirectoryNet(updates, deletes)
