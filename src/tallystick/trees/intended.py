"""What runs meant to place and could not be seen to have remembered, as the state keeps it (docs/trees.md).

A side is written before the base can move: in between a run may die, or the answer of a site may be lost. So what is
about to stand on a side is noted first, and forgotten in the transaction that moves the base. What a later run finds
noted is asked after: where it came to stand, both sides have held it, and it is the base.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tallystick.trees.base_row import BaseRow
from tallystick.trees.listing import packed, packed_names, unpacked, unpacked_names
from tallystick.trees.merging import Side
from tallystick.trees.nodes import Node, upward
from tallystick.trees.state import State
from tallystick.trees.sums import checked, summed


class Row(NamedTuple):
    """Of one directory: the entries that are to stand there, and the names that are to be gone.

    A name in both is to be gone first, to make room.
    """

    there: BaseRow
    gone: Sequence[str] = ()

    def nodes(self) -> Mapping[str, Node]:
        """What is to stand under each name; None for nothing."""
        return {**dict.fromkeys(self.gone), **self.there.children()}


Rows = Mapping[str, Row]
"""By the path of the directory."""


class Intention(NamedTuple):
    """What was to stand on one side of the pair.

    ``run`` names the publication that was to bring it about and ``token`` the version it was to follow; both are ""
    for a directory. ``placed`` says that it was seen to stand, durably.
    """

    number: int
    side: Side
    run: str
    token: str
    placed: bool
    rows: Rows


def has_intentions(state: State) -> bool:
    """True when something is noted."""
    return state.connection.execute("SELECT 1 FROM intention LIMIT 1").fetchone() is not None


def intentions(state: State) -> list[Intention]:
    """All that is noted, the oldest first."""
    found = state.connection.execute("SELECT number, side, run, token, placed FROM intention ORDER BY number")
    return [
        Intention(number, tuple(Side)[side], run, token, bool(placed), _rows(state, number))
        for number, side, run, token, placed in found.fetchall()
    ]


def _rows(state: State, number: int) -> Rows:
    found = state.connection.execute(
        "SELECT path, names, content, gone FROM intended WHERE number = ? ORDER BY path", (number,)
    )
    return {
        unpacked(path): Row(BaseRow(names, checked(content, number, path, names, gone)), unpacked_names(gone))
        for path, names, content, gone in found
    }


def note(state: State, side: Side, run: str, token: str, rows: Rows) -> int:
    """Note what is about to stand on a side; durable on return. Gives the number of the note."""
    with state.transaction():
        made = state.connection.execute(
            "INSERT INTO intention(side, run, token, placed) VALUES (?, ?, ?, 0)",
            (tuple(Side).index(side), run, token),
        )
        number = made.lastrowid
        assert number is not None
        state.connection.executemany(
            "INSERT INTO intended VALUES (?, ?, ?, ?, ?)",
            (_summed(number, path, row) for path, row in sorted(rows.items())),
        )
    return number


def _summed(number: int, path: str, row: Row) -> tuple[int | bytes, ...]:
    (names, content), key, gone = row.there, packed(path), packed_names(sorted(row.gone))
    return number, key, names, summed(content, number, key, names, gone), gone


def note_placed(state: State, number: int, failed: Collection[str]) -> None:
    """What was noted stands by now, durably, but for what is at or below the ``failed`` paths."""
    with state.transaction():
        if failed:
            _leave_out(state, number, failed)
        state.connection.execute("UPDATE intention SET placed = 1 WHERE number = ?", (number,))


def _leave_out(state: State, number: int, failed: Collection[str]) -> None:
    for path, row in _rows(state, number).items():
        prefix = f"{path}/" if path else ""
        if any(above in failed for above in upward(path)):
            state.connection.execute("DELETE FROM intended WHERE number = ? AND path = ?", (number, packed(path)))
            continue
        nodes = {name: node for name, node in row.nodes().items() if f"{prefix}{name}" not in failed}
        there = BaseRow.of({name: node for name, node in nodes.items() if node is not None})
        left = Row(there, [name for name, node in nodes.items() if node is None])
        state.connection.execute("INSERT OR REPLACE INTO intended VALUES (?, ?, ?, ?, ?)", _summed(number, path, left))
