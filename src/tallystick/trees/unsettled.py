"""Where a run that writes one side only leaves differences behind. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tallystick.trees.nodes import Directory, Kind, Leaf, Node, children_of, joined, known_equal, same


def disagreeing(path: str, after: Node, local: Node, remote: Node, grafted: Collection[str]) -> Iterator[str]:
    """Directories of the base whose entries are not, or were not before the run, equal in all three trees.

    Not only those that changed: a run that writes one side leaves differences in directories that it passed through.
    """
    if not isinstance(after, Directory) or path in grafted or known_equal(after, local, remote):
        return
    if not _agree(after, local, remote):
        yield path
    olds, heres, theres = after.children, children_of(local), children_of(remote)
    for name, old in olds.items():
        yield from disagreeing(joined(path, name), old, heres.get(name), theres.get(name), grafted)


def _agree(*nodes: Node) -> bool:
    """True when all are directories with leaves of equal value and permissions and directories of the same names."""
    sides = [node.children for node in nodes if isinstance(node, Directory)]
    if len(sides) < len(nodes) or any(side.keys() != sides[0].keys() for side in sides):
        return False
    return all(_alike(sides[0][name], side[name]) for side in sides[1:] for name in side)


def _alike(one: Node, other: Node) -> bool:
    if isinstance(one, Leaf) and isinstance(other, Leaf):
        return same(one, other) and (one.kind is Kind.LINK or one.permissions == other.permissions)
    return isinstance(one, Directory) and isinstance(other, Directory)
