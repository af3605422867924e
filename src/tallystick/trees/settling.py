"""The base after a run: what both sides are known to hold (spec contexts D.3, last paragraph). Pure.

Paths that were held, blocked, unknown or that failed keep their old base; entries never held here stay until their
path is materialised or written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tallystick.trees.merging import Reconcile, Result
from tallystick.trees.nodes import (
    UNKNOWN,
    Directory,
    Leaf,
    Node,
    Sentinel,
    ancestors,
    children_of,
    joined,
    known_equal,
)
from tallystick.trees.plan import Half, Plan


def settle(
    found: Plan,
    failed: Collection[str] = (),
    taken: Mapping[str, Leaf] | None = None,
    grafted: Collection[str] = frozenset(),
) -> Directory:
    """The base after ``found`` has been carried out except at or below the ``failed`` paths.

    ``taken`` gives the values of leaves that were read only while they were carried over, by path. Directories in
    ``grafted`` came with a whole subtree: the caller knows their base, failures included.
    """
    settler = _Settler(found, frozenset(failed) | {action.path for action, _ in found.held}, taken or {}, grafted)
    root = settler.at("", found.base, found.local, found.remote, found.merged.result)
    assert isinstance(root, Directory)
    return root


class _Settler:
    def __init__(
        self, found: Plan, frozen: frozenset[str], taken: Mapping[str, Leaf], grafted: Collection[str]
    ) -> None:
        self.plan = found
        self.grafted = grafted
        self.frozen = frozen | frozenset(found.unknown)
        self.blocked = frozenset(found.blocked)
        self.taken = taken
        self.ways = {ancestor for path in (*self.frozen, *self.blocked, *taken) for ancestor in ancestors(path)}

    def at(self, path: str, base: Node, local: Node, remote: Node, result: Result | None) -> Node:
        """The base at one path afterwards."""
        if path in self.frozen or (result is not None and result.kept):
            return base
        if path in self.blocked:
            return self._blocked(path, base)
        if self.plan.mode is Reconcile.ADD:
            return self._added(path, base, local, remote, result)
        if self.plan.mode is Reconcile.MIRROR or self.plan.half is Half.UPLOAD:
            return self._as_read(path, base, local, result)
        if self.plan.half is Half.DOWNLOAD:
            return self._as_read(path, base, remote, result)
        return self._whole(path, base, result)

    def _blocked(self, path: str, base: Node) -> Node:
        """The directory stays in the base, without what has gone from it."""
        children = {}
        for name, child in children_of(base).items():
            inner = joined(path, name)
            if inner in self.frozen or inner in self.ways or inner in self.blocked:
                left = self.at(inner, child, None, None, Result("blocked"))
                if left is not None:
                    children[name] = left
        return Directory(children)

    def _whole(self, path: str, base: Node, result: Result | None) -> Node:
        if result is None or not result.present:
            return self._emptied(path, base)
        if result.leaf is not None:
            return self._value(path, result.leaf)
        if result.whole is not None:
            return self._copied(path, base, result.whole)
        assert result.children is not None
        olds = children_of(base)
        found = {
            name: self.at(joined(path, name), olds.get(name), None, None, child)
            for name, child in result.children.items()
        }
        return _directory(found)

    def _emptied(self, path: str, base: Node) -> Node:
        """Nothing is left, except below it what a guard or a failure froze."""
        if path not in self.ways:
            return None
        olds = children_of(base)
        found = {name: self.at(joined(path, name), child, None, None, None) for name, child in olds.items()}
        kept = {name: child for name, child in found.items() if child is not None}
        return _directory(kept) if kept else None

    def _copied(self, path: str, base: Node, tree: Node) -> Node:
        """The base that a subtree taken over as it stands leaves; frozen paths keep their old one."""
        if path in self.frozen:
            return base
        if isinstance(tree, Leaf):
            return self._value(path, tree)
        if not isinstance(tree, Directory):
            return base if tree is UNKNOWN else None
        if path in self.grafted or (tree.mark is not None and path not in self.ways):
            return tree
        olds = children_of(base)
        return _directory(
            {name: self._copied(joined(path, name), olds.get(name), child) for name, child in tree.children.items()}
        )

    def _value(self, path: str, leaf: Leaf) -> Leaf:
        found = self.taken.get(path, leaf)
        return found if found.materialised else found._replace(materialised=True)

    # Halves and one-way modes ---------------------------------------------------------------------

    def _as_read(self, path: str, base: Node, tree: Node, result: Result | None) -> Node:
        """The base is the tree as it was read, not as it becomes."""
        if isinstance(tree, Sentinel) or known_equal(base, tree):
            return base
        if tree is None:
            return base if isinstance(base, Leaf | Directory) and not base.materialised else self._emptied(path, base)
        if isinstance(tree, Leaf):
            return self._value(path, tree)
        if path in self.grafted:
            return tree
        olds = children_of(base)
        found = {}
        for name in sorted(olds.keys() | tree.children.keys()):
            found[name] = self._inside(path, name, olds.get(name), tree.children.get(name), result)
        return _directory(found)

    def _inside(self, path: str, name: str, base: Node, tree: Node, result: Result | None) -> Node:
        inner = joined(path, name)
        child = result.children.get(name) if result is not None and result.children is not None else None
        if inner in self.frozen or (child is not None and child.kept and not child.settled):
            return base
        if inner in self.blocked and tree is None:
            return self._blocked(inner, base)
        return self._as_read(inner, base, tree, child)

    def _added(self, path: str, base: Node, local: Node, remote: Node, result: Result | None) -> Node:
        """The local value where there is one, nothing where both are absent, else as it was."""
        if isinstance(local, Sentinel) or known_equal(base, local):
            return base
        if local is None:
            return None if remote is None and path not in self.ways else base
        if isinstance(local, Leaf):
            return self._value(path, local)
        if path in self.grafted:
            return local
        olds, theirs = children_of(base), children_of(remote)
        found = {}
        for name in sorted(olds.keys() | local.children.keys()):
            inner = joined(path, name)
            child = result.children.get(name) if result is not None and result.children is not None else None
            if inner in self.frozen or (child is not None and child.kept and not child.settled):
                found[name] = olds.get(name)
            else:
                found[name] = self._added(inner, olds.get(name), local.children.get(name), theirs.get(name), child)
        return _directory(found)


def _directory(found: Mapping[str, Node]) -> Directory:
    return Directory({name: child for name, child in found.items() if child is not None})
