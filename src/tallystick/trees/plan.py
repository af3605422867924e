"""The plan: what each side has to do so that three trees become the merged one (spec contexts D, T4). Pure.

    plan(base, local, remote) -> actions with a reason each, conflicts, blocked and unknown paths
    settle(plan, failed)      -> the base afterwards

Actions of one side stand in an order in which they can be carried out: parents before children, conflict copies before
what they are copies of, removals last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, TypeAlias

from tallystick.trees.conflict_names import is_conflict_name
from tallystick.trees.merging import Conflict, Merge, Origin, Reconcile, Result, Side, merge
from tallystick.trees.nodes import (
    EXPIRED,
    UNKNOWN,
    Directory,
    Leaf,
    Node,
    children_of,
    is_guarded,
    joined,
    known_equal,
    leaves,
    same,
    upward,
)

Vanished: TypeAlias = dict[bytes, int]
"""The sizes of leaves that left a tree, by their digest."""
NOWHERE: Mapping[Side, Vanished] = {}


class Half(Enum):
    """Which sides a run writes."""

    WHOLE = "whole"
    UPLOAD = "upload"
    DOWNLOAD = "download"

    def writes(self, side: Side) -> bool:
        """True when the run may change that side."""
        return self is Half.WHOLE or (self is Half.UPLOAD) == (side is Side.REMOTE)


class Verb(Enum):
    """What an action does at its path."""

    PUT = "put"
    """A leaf takes this value."""
    MAKE = "make"
    """An empty directory stands here."""
    GRAFT = "graft"
    """A whole subtree of the other side stands here."""
    PERMIT = "permit"
    """The permission bits change."""
    REMOVE = "remove"
    """The leaf, or the directory with all that is visible in it, goes."""


class Action(NamedTuple):
    """One thing to do on one side, and why.

    ``node`` is what stands there afterwards (for REMOVE: what goes); ``origin`` is where the content stands now.
    ``replaces`` is what the side shows there now. ``aside`` is the path on the same side that must exist before.
    """

    verb: Verb
    side: Side
    path: str
    node: Node
    reason: str
    origin: Origin | None = None
    replaces: Node = None
    aside: str | None = None

    @property
    def deletes(self) -> int:
        """How many leaves lose their path by this action, without a copy of theirs being set aside."""
        if self.verb is Verb.REMOVE:
            return count(self.node)
        if isinstance(self.replaces, Directory):
            return count(self.replaces)
        replaced = isinstance(self.replaces, Leaf) and not isinstance(self.node, Leaf)
        return int(replaced and self.aside is None and self.verb is not Verb.PERMIT)


@dataclass(slots=True)
class Plan:
    """What a run intends. ``held`` are actions that a guard keeps back, with the guard's words."""

    base: Directory
    local: Directory
    remote: Directory
    mode: Reconcile
    half: Half
    merged: Merge
    actions: list[Action] = field(default_factory=list)
    held: list[tuple[Action, str]] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    @property
    def conflicts(self) -> list[Conflict]:
        """Paths that both sides changed."""
        return self.merged.conflicts

    @property
    def unknown(self) -> list[str]:
        """Paths that were left alone because they could not be read."""
        return self.merged.unknown

    def of(self, side: Side) -> list[Action]:
        """The actions of one side, in order."""
        return [action for action in self.actions if action.side is side]


def plan(
    base: Directory,
    local: Directory,
    remote: Directory,
    mode: Reconcile = Reconcile.SAFE,
    half: Half = Half.WHOLE,
) -> Plan:
    """The plan for three trees. One-way modes write the remote only, whatever ``half`` says."""
    if mode.one_way:
        half = Half.UPLOAD
    merged = merge(base, local, remote, mode)
    found = Plan(base, local, remote, mode, half, merged, blocked=list(merged.blocked))
    for side, tree in ((Side.REMOTE, remote), (Side.LOCAL, local)):
        if half.writes(side):
            differ = _Differ(side, found.blocked)
            differ.at("", tree, merged.result)
            found.actions.extend(_ordered(differ.actions))
    return found


class _Differ:
    """The actions that turn one side's tree into the result."""

    def __init__(self, side: Side, blocked: list[str]) -> None:
        self.side = side
        self.blocked = blocked
        self.actions: list[Action] = []

    def at(self, path: str, current: Node, result: Result) -> None:
        """Find the actions at and below one path."""
        if result.kept:
            return
        if current is EXPIRED:
            current = None
        if result.whole is not None:
            self._whole(path, current, result, result.whole)
        elif result.children is not None:
            self._children(path, current, result, result.children)
        elif result.leaf is not None:
            self._leaf(path, current, result, result.leaf)
        elif current is not None:
            self._absent(path, current, result)

    def _whole(self, path: str, current: Node, result: Result, whole: Directory) -> None:
        assert result.origin is not None
        if result.origin.side is not self.side:
            self._act(Verb.GRAFT, path, whole, result, current)

    def _children(self, path: str, current: Node, result: Result, children: Mapping[str, Result]) -> None:
        if not isinstance(current, Directory):
            self._act(Verb.MAKE, path, Directory(), result, current)
        stands = children_of(current)
        for name, child in children.items():
            self.at(joined(path, name), stands.get(name), child)

    def _leaf(self, path: str, current: Node, result: Result, leaf: Leaf) -> None:
        if not same(current, leaf):
            self._act(Verb.PUT, path, leaf, result, current)
        elif isinstance(current, Leaf) and current.permissions != leaf.permissions:
            self._act(Verb.PERMIT, path, leaf, result, current)

    def _absent(self, path: str, current: Node, result: Result) -> None:
        """Whatever may go goes; directories that hold something invisible or unknown stay (D.5)."""
        if current is UNKNOWN:
            return
        if isinstance(current, Directory) and (current.holder or is_guarded(current)):
            if not current.holder:
                self.blocked.append(path)
            for name, child in sorted(current.children.items()):
                self._absent(joined(path, name), child, result)
        else:
            self._act(Verb.REMOVE, path, current, result, None)

    def _act(self, verb: Verb, path: str, node: Node, result: Result, replaces: Node) -> None:
        self.actions.append(Action(verb, self.side, path, node, result.reason, result.origin, replaces, result.aside))


def _ordered(listed: list[Action]) -> list[Action]:
    """Copies and creations from the root down, then removals from the leaves up."""
    copies = {action.aside for action in listed if action.aside}
    builds = [action for action in listed if action.verb is not Verb.REMOVE]
    builds.sort(key=lambda action: (action.path.count("/"), action.path not in copies, action.path))
    removes = [action for action in listed if action.verb is Verb.REMOVE]
    removes.sort(key=lambda action: (-action.path.count("/"), action.path))
    return builds + removes


def count(node: Node) -> int:
    """How many leaves stand at or below a node."""
    return sum(1 for _ in leaves(node))


# Holding back -------------------------------------------------------------------------------------


def held_back(found: Plan, held: Collection[Action], why: str) -> Plan:
    """The plan without the ``held`` actions and without everything of that side that stands below them."""
    roots = {(action.side, action.path) for action in held}
    kept: list[Action] = []
    dropped: list[Action] = []
    for action in found.actions:
        target = dropped if any((action.side, path) in roots for path in upward(action.path)) else kept
        target.append(action)
    return replace(found, actions=kept, held=[*found.held, *((action, why) for action in dropped)])


# Moves --------------------------------------------------------------------------------------------


def moves(found: Plan, side: Side) -> dict[str, str]:
    """For each path that takes a value which this side already holds at a path about to go: that old path.

    So a rename on one side is a rename on the other and moves no content. One old path serves one new path.
    """
    leaving: dict[bytes, list[str]] = {}
    for path, leaf in _leaving(found, side):
        if leaf.digest is not None and leaf.size:
            leaving.setdefault(leaf.digest, []).append(path)
    found_moves: dict[str, str] = {}
    if not leaving:
        return found_moves
    for path, leaf in arriving(found, side):
        sources = leaving.get(leaf.digest or b"")
        if sources:
            found_moves[path] = sources.pop(0)
    return found_moves


def _leaving(found: Plan, side: Side) -> Iterator[tuple[str, Leaf]]:
    for action in found.of(side):
        if action.verb is Verb.REMOVE:
            yield from leaves(action.node, action.path)


def arriving(found: Plan, side: Side) -> Iterator[tuple[str, Leaf]]:
    """Every leaf that a side is to take, with its path."""
    for action in found.of(side):
        if action.verb is Verb.PUT or action.verb is Verb.GRAFT:
            yield from leaves(action.node, action.path)


# What has to be read first ------------------------------------------------------------------------


def undetermined(base: Node, local: Node, remote: Node, path: str = "") -> Iterator[tuple[Side, str]]:
    """Leaves whose digest is unknown although the merge compares it: read them before planning."""
    if known_equal(base, local, remote):
        return
    yield from _compared(path, base, local, remote)
    if base is None and (local is None or remote is None):
        return
    olds, heres, theres = children_of(base), children_of(local), children_of(remote)
    for name in sorted(olds.keys() | heres.keys() | theres.keys()):
        old, here, there = olds.get(name), heres.get(name), theres.get(name)
        if isinstance(old, Directory) or isinstance(here, Directory) or isinstance(there, Directory):
            yield from undetermined(old, here, there, joined(path, name))
        elif _is_unread(here) or _is_unread(there):
            yield from _compared(joined(path, name), old, here, there)


def _compared(path: str, base: Node, local: Node, remote: Node) -> list[tuple[Side, str]]:
    """The sides whose leaf at one path is unread and compared."""
    alone = base is None and (local is None or remote is None)  # then it is read while it is carried over ...
    return [
        (side, path)
        for side, node in ((Side.LOCAL, local), (Side.REMOTE, remote))
        if _is_unread(node) and (not alone or _decides_others(node, path))  # ... unless others depend on it
    ]


def _is_unread(node: Node) -> bool:
    return isinstance(node, Leaf) and node.digest is None


def _decides_others(node: Node, path: str) -> bool:
    return isinstance(node, Leaf) and (node.group != "" or is_conflict_name(path))


def possible_moves(
    base: Node, local: Node, remote: Node, elsewhere: Mapping[Side, Vanished] = NOWHERE
) -> Iterator[tuple[Side, str]]:
    """New unread leaves that may be renamed ones: their size is that of a leaf that left the same side.

    ``elsewhere`` are leaves that left the sides in trees that are not shown.
    """
    for side, tree in ((Side.LOCAL, local), (Side.REMOTE, remote)):
        sizes = set(vanished(base, tree).values())
        sizes.update(elsewhere.get(side, {}).values())
        if sizes:
            yield from ((side, path) for path, leaf in _unread(tree, "") if leaf.size in sizes)


def vanished(base: Node, tree: Node) -> Vanished:
    """Every leaf of the base that is not in a tree and has content."""
    found: Vanished = {}
    _add_vanished(found, base, tree)
    return found


def _add_vanished(found: Vanished, base: Node, tree: Node) -> None:
    if not isinstance(base, Directory) or known_equal(base, tree):
        return
    stands = children_of(tree)
    for name, child in base.children.items():
        if isinstance(child, Directory):
            _add_vanished(found, child, stands.get(name))
        elif isinstance(child, Leaf) and name not in stands and child.size and child.digest is not None:
            found[child.digest] = child.size


def _unread(tree: Node, path: str) -> Iterator[tuple[str, Leaf]]:
    if isinstance(tree, Leaf) and tree.digest is None:
        yield path, tree
    if isinstance(tree, Directory) and tree.mark is None:
        for name, child in tree.children.items():
            if isinstance(child, Directory):
                yield from _unread(child, joined(path, name))
            elif isinstance(child, Leaf) and child.digest is None:
                yield joined(path, name), child
