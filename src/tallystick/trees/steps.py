"""Actions as steps: one leaf or one directory each, parents first, in batches of a bounded size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from tallystick.trees.assembling import Lazy
from tallystick.trees.listing import Listing
from tallystick.trees.merging import Origin
from tallystick.trees.nodes import Directory, Leaf, Node, joined
from tallystick.trees.plan import Action, Verb

BATCH_FILES = 20_000
BATCH_BYTES = 256 << 20


class Step(NamedTuple):
    """One leaf (or, without one, one directory) to be placed for an action."""

    path: str
    leaf: Leaf | None
    source: str
    action: Action
    permissions: int | None = None
    listing: Listing | None = None
    """All that is to be carried over into a directory, when it goes as it is listed."""


def steps_of(action: Action, moved_into: Collection[str], whole: bool = True) -> Iterator[Step]:
    """The steps of an action; directories that renamed files move into are taken apart, so that these can be linked.

    Without ``whole`` every directory is taken apart: its listing is none of a directory on this machine.
    """
    if action.verb is Verb.MAKE:
        yield Step(action.path, None, "", action)
    elif action.verb is Verb.PUT:
        assert isinstance(action.node, Leaf)
        assert action.origin is not None
        yield Step(action.path, action.node, action.origin.path, action)
    elif action.verb is Verb.GRAFT:
        assert action.origin is not None
        yield from _subtree(action.path, action.node, action.origin, action, moved_into, whole)


def _subtree(
    path: str, node: Node, origin: Origin, action: Action, moved_into: Collection[str], whole: bool
) -> Iterator[Step]:
    if isinstance(node, Leaf):
        yield Step(path, node, origin.path, action)
    elif isinstance(node, Directory):
        listing = None
        if whole and path not in moved_into and isinstance(node, Lazy) and node.bulk is not None:
            listing = node.bulk()
        yield Step(path, None, origin.path, action, node.permissions, listing)
        inner = node.children.items() if listing is None else _directories(node, listing)
        for name, child in inner:
            source = Origin(origin.side, joined(origin.path, name))
            yield from _subtree(joined(path, name), child, source, action, moved_into, whole)


def _directories(node: Directory, listing: Listing) -> Iterator[tuple[str, Node]]:
    """The directories in one that is carried over as it is listed."""
    assert isinstance(node, Lazy)
    for name in listing.subdirectories():
        entry = listing.find(name)
        if entry is not None and node.inner is not None:
            yield name, node.inner(entry)


def batches(steps: Iterator[Step]) -> Iterator[list[Step]]:
    """The steps in their order, as many together as are staged at once."""
    batch: list[Step] = []
    files = size = 0
    for step in steps:
        batch.append(step)
        files += 1 if step.listing is None else len(step.listing)
        size += size_of(step)
        if files >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, files, size = [], 0, 0
    if batch:
        yield batch


def unread_databases(steps: Iterable[Step]) -> list[list[str]]:
    """The sources of files that nobody has read, those of one database together (U8)."""
    groups: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        if step.leaf is not None and step.leaf.group and step.leaf.digest is None:
            groups.setdefault((step.source.rpartition("/")[0], step.leaf.group), []).append(step.source)
    return list(groups.values())


def with_digests(steps: Iterable[Step], digests: Mapping[str, bytes]) -> list[Step]:
    """The steps, those without a digest with the one of their source."""
    return [
        step._replace(leaf=step.leaf._replace(digest=digests[step.source]))
        if step.leaf is not None and step.leaf.digest is None and step.source in digests
        else step
        for step in steps
    ]


def size_of(step: Step) -> int:
    """Bytes of content that a step writes."""
    if step.listing is not None:
        return step.listing.size
    return step.leaf.size if step.leaf is not None else 0
