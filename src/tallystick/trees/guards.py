"""Guards: which deletions of a plan are held back until somebody confirms them (spec contexts G1, G2, G5). Pure.

The other guards stand where their facts are: a missing root (G3) and unreadable paths (G4) in the scan, a lost base
(G6) in the state, missing space (G7) before the first write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tallystick.trees.merging import Side
from tallystick.trees.nodes import Directory, leaves
from tallystick.trees.plan import Action, Plan, held_back, moves
from tallystick.trees.problems import DeletionsHeld


class Limits(NamedTuple):
    """How much may be deleted on one side in one run without being confirmed."""

    share: float = 0.5
    """Held when more than this share of the base goes ..."""
    at_least: int = 10
    """... and at least this many files,"""
    at_most: int = 1000
    """or when more than this many files go."""
    emptied: int = 2
    """Held when a side that held at least this many files is empty."""
    allowed: int = 0
    """So many deletions pass whatever the other limits say."""


class Facts(NamedTuple):
    """What the guards have to know beside the plan: the number of materialised files in the base, in scope, and
    whether every download that the mount was promised has succeeded once.
    """

    base_files: int
    first_download_done: bool = True


USUAL = Limits()


def guarded(found: Plan, facts: Facts, limits: Limits = USUAL) -> Plan:
    """The plan with the deletions held back that no guard lets through, each with the reason."""
    for side in Side:
        why = _objection(found, side, facts, limits)
        if why is not None:
            found = held_back(found, [action for action in found.of(side) if action.deletes], why)
    return found


def _objection(found: Plan, side: Side, facts: Facts, limits: Limits) -> str | None:
    deleting = [action for action in found.of(side) if action.deletes]
    if not deleting:
        return None
    number = deletions(deleting, moves(found, side))
    emptied = found.local if side is Side.REMOTE else found.remote
    is_emptied = not (emptied.children or emptied.unchanged) and facts.base_files >= limits.emptied
    if is_emptied and not 0 < number <= limits.allowed:
        return f"the {side.other.value} side is empty and held {facts.base_files} files"
    return objection(number, side, facts, limits)


def objection(number: int, side: Side, facts: Facts, limits: Limits = USUAL) -> str | None:
    """Why so many deletions on a side must wait although the other side is not empty; None when they may go on."""
    if 0 < number <= limits.allowed:
        return None
    if side is Side.REMOTE and not facts.first_download_done:
        return "the first download has not succeeded yet, so that absence proves nothing"
    if number > limits.at_most:
        return f"{number} files would be deleted, more than {limits.at_most}"
    if number >= limits.at_least and number > limits.share * facts.base_files:
        return f"{number} files would be deleted, more than {limits.share:.0%} of the {facts.base_files} agreed on"
    return None


def deletions(deleting: list[Action], moved_to: Mapping[str, str]) -> int:
    """How many files of a side the actions delete; renamed ones go on under another name and do not count.

    ``moved_to`` gives the old paths of those by their new ones.
    """
    gone = sum(action.deletes for action in deleting)
    if not moved_to:
        return gone
    moved = set(moved_to.values())
    return gone - sum(1 for action in deleting for path, _ in leaves(action.node, action.path) if path in moved)


def check_held(found: Plan) -> None:
    """Raise DeletionsHeld, naming the paths, when the plan holds anything back."""
    if found.held:
        paths = [action.path for action, _ in found.held]
        raise DeletionsHeld(f"[DeletionsHeld] {len(paths)} paths: {found.held[0][1]}", paths)


def base_files(base: Directory) -> int:
    """How many materialised files a base holds."""
    return sum(leaf.materialised for _, leaf in leaves(base))
