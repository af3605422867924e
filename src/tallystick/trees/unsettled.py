"""Where a run that writes one side only leaves differences behind. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tallystick.trees.nodes import Directory, Node, children_of, joined, known_equal, same


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
    """True when all are directories with equal leaves and directories of the same names."""
    sides = [node.children for node in nodes if isinstance(node, Directory)]
    if len(sides) < len(nodes) or any(side.keys() != sides[0].keys() for side in sides):
        return False
    return all(
        same(sides[0][name], side[name])
        or (isinstance(sides[0][name], Directory) and isinstance(side[name], Directory))
        for side in sides[1:]
        for name in side
    )
