"""Actions on single files on their way from one process to another: plain tuples instead of objects. Pure."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

from tallystick.trees.merging import Origin, Side
from tallystick.trees.nodes import Kind, Leaf, Node
from tallystick.trees.plan import Action, Verb


def packed_actions(actions: Iterable[Action]) -> bytes:
    """The actions, whose nodes are leaves or nothing, as one byte string."""
    return pickle.dumps([_packed(action) for action in actions], pickle.HIGHEST_PROTOCOL)


def unpacked_actions(packed: bytes) -> list[Action]:
    """The actions that ``packed_actions`` packed."""
    return [_unpacked(*parts) for parts in pickle.loads(packed)]


def _packed(action: Action) -> tuple[Any, ...]:
    origin = action.origin and (action.origin.side.value, action.origin.path)
    node, replaces = _packed_leaf(action.node), _packed_leaf(action.replaces)
    return action.verb.value, action.side.value, action.path, node, action.reason, origin, replaces, action.aside


def _packed_leaf(node: Node) -> tuple[Any, ...] | None:
    return (node.kind.value, *node[1:]) if isinstance(node, Leaf) else None


def _unpacked(
    verb: str, side: str, path: str, node: Any, reason: str, origin: Any, replaces: Any, aside: str | None
) -> Action:
    known = origin and Origin(Side(origin[0]), origin[1])
    return Action(Verb(verb), Side(side), path, _unpacked_leaf(node), reason, known, _unpacked_leaf(replaces), aside)


def _unpacked_leaf(packed: Any) -> Node:
    return packed and Leaf(Kind(packed[0]), *packed[1:])
