"""Folder trees: their order, their net changes, and who stands inside (spec ics 3.5, 6). Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from tallystick.stores.changelog import Class, Entry, rows_after
from tallystick.stores.coalescing import Net, coalesce

_Node = TypeVar("_Node")


def breadth_first(root: _Node, children: Callable[[_Node], Iterable[_Node]]) -> list[_Node]:
    """Every descendant of ``root``, without it: parents before children, siblings in the order given."""
    found: list[_Node] = []
    waiting = deque([root])
    while waiting:
        below = list(children(waiting.popleft()))
        found.extend(below)
        waiting.extend(below)
    return found


def inside(folder: int, root: int, parent_of: Callable[[int], int | None], known: dict[int, bool]) -> bool:
    """True when ``folder`` is ``root`` or a live descendant of it.

    ``parent_of`` gives the parent of a live folder, None for anything else. ``known`` keeps answers between calls.
    """
    path: list[int] = []
    at: int | None = folder
    answer = False
    while at is not None:
        if at == root or at in known:
            answer = at == root or known[at]
            break
        path.append(at)
        at = parent_of(at)
    known.update(dict.fromkeys(path, answer))
    return answer


def folder_changes(
    entries: Iterable[Entry], seq: int, parents: Callable[[int], bool]
) -> tuple[Net, int, dict[int, Entry]]:
    """Net changes of folders beyond ``seq`` under the parents that ``parents`` accepts.

    Gives the net by record number (a folder moved inside the tree has two entries and is told once), the highest seq
    used (0 if none) and an entry for every record named.
    """
    used = [entry for entry in entries if entry.object == Class.FOLDER and entry.latest > seq and parents(entry.parent)]
    records = {entry.id: entry.record for entry in used}
    rows = rows_after(used, seq)
    net = coalesce(row._replace(entry=records[row.entry]) for row in rows)
    return net, max((row.seq for row in rows), default=0), {entry.record: entry for entry in used}


def parents_first(folders: Sequence[int], parent_of: Mapping[int, int]) -> list[int]:
    """``folders`` with each one behind its parent, if that is among them; otherwise in the order given."""
    present: Collection[int] = set(folders)
    ordered: dict[int, None] = {}
    for folder in folders:
        chain: list[int] = []
        at = folder
        while at in present and at not in ordered and at not in chain:
            chain.append(at)
            at = parent_of.get(at, 0)
        ordered.update(dict.fromkeys(reversed(chain)))
    return list(ordered)
