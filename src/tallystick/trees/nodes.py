"""What stands at a path of a tree: a leaf, a directory, or something that must not be decided on (spec contexts D.1).

A tree is a Directory; absence is None. Nodes say what a path holds, never how it is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

NO_CHILDREN: Mapping[str, Node] = {}

PERMISSIONS = 0o777
"""The permission bits that are kept in agreement; never setuid, setgid or sticky (K7)."""


class Kind(Enum):
    """What a leaf is."""

    FILE = "file"
    LINK = "link"


class Leaf(NamedTuple):
    """A regular file or a symbolic link, compared by kind and digest only.

    ``digest`` of a file covers its content; None means that it has not been read yet, because nothing depends on
    it. ``mtime_ns`` travels but is no change by itself. ``materialised`` is False for a base entry that was
    known when the mount was bound and has never been held there (D.5). ``group`` names the database whose content
    spreads over several files (U8): its members are decided together.
    """

    kind: Kind
    digest: bytes | None
    size: int = 0
    mtime_ns: int = 0
    permissions: int = 0o644
    materialised: bool = True
    group: str = ""


@dataclass(slots=True)
class Directory:
    """A directory and its visible children.

    ``invisible`` says that it directly holds something out of scope; ``holder`` that it is itself out of scope and
    is seen only because something below it is in scope (W2). Directories of the three trees at one path that carry
    an equal ``mark`` (not None) are known to be equal, all the way down. ``permissions`` are given to a copy.
    ``unchanged`` names leaves that are equal in all three trees and therefore not among the children.
    """

    children: Mapping[str, Node] = field(default_factory=dict)
    invisible: bool = False
    holder: bool = False
    materialised: bool = True
    mark: object = None
    permissions: int | None = None
    unchanged: Collection[str] = ()


class Sentinel(Enum):
    """What must not be mistaken for absence."""

    UNKNOWN = "unknown"
    """Unreadable, busy or failing: no action at or below (G4)."""
    EXPIRED = "expired"
    """The store has forgotten it by a recycle rule (R3)."""


UNKNOWN = Sentinel.UNKNOWN
EXPIRED = Sentinel.EXPIRED

Node: TypeAlias = "Leaf | Directory | Sentinel | None"


def same(one: Node, other: Node) -> bool:
    """True when both are leaves of one value, or both absent."""
    if one is None or other is None:
        return one is other
    if not isinstance(one, Leaf) or not isinstance(other, Leaf):
        return False
    return one.kind is other.kind and one.digest == other.digest


def known_equal(*nodes: Node) -> bool:
    """True when all are directories marked as equal."""
    first = nodes[0]
    if not isinstance(first, Directory) or first.mark is None:
        return False
    return all(isinstance(node, Directory) and node.mark == first.mark for node in nodes)


def children_of(node: Node) -> Mapping[str, Node]:
    """The children of a directory; none for everything else."""
    return node.children if isinstance(node, Directory) else NO_CHILDREN


def is_guarded(node: Node) -> bool:
    """True when something at or below the node is out of scope or unknown, so that it must not be removed."""
    if node is UNKNOWN:
        return True
    if not isinstance(node, Directory):
        return False
    return node.invisible or any(is_guarded(child) for child in node.children.values())


def leaves(node: Node, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Every leaf at or below the node with its path, in order."""
    if isinstance(node, Leaf):
        yield path, node
    elif isinstance(node, Directory):
        for name, child in sorted(node.children.items()):
            yield from leaves(child, joined(path, name))


def joined(path: str, name: str) -> str:
    """The path of a child; the root is ``""``."""
    return f"{path}/{name}" if path else name


def upward(path: str) -> Iterator[str]:
    """The path and all above it but the root, the nearest first; nothing for the root."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def ancestors(path: str) -> list[str]:
    """All above the path, the nearest first, the root last; nothing for the root."""
    return [above.rpartition("/")[0] for above in upward(path)]


def find(node: Node, path: str) -> Node:
    """The node at a path below ``node``; None where there is nothing."""
    for name in path.split("/") if path else ():
        if isinstance(node, Sentinel):
            return node
        node = children_of(node).get(name)
    return node
