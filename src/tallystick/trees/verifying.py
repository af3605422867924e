"""Do two trees agree? Every file of both is read; nothing is changed and nothing remembered is trusted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tallystick.errors import StorageError
from tallystick.trees.assembling import leaf_of
from tallystick.trees.contents import Wanted
from tallystick.trees.depth import as_deep_as_trees
from tallystick.trees.ends import TreeEnd
from tallystick.trees.listing import Entry, Listing, Mark
from tallystick.trees.nodes import joined
from tallystick.trees.scan import Scan
from tallystick.trees.scope import Everything, Scope

SAMPLE = 1000
"""How many paths of each kind are named."""


class NothingNoted:
    """What is known of a tree that nobody has looked at."""

    mounts: Collection[str] = ()

    def signature(self, path: str) -> tuple[bytes, bytes] | None:
        """Nothing."""
        return None

    def listing(self, path: str) -> Listing | None:
        """Nothing."""
        return None

    def expect(self, paths: Collection[str]) -> None:
        """Nothing to read."""

    def holders(self, digests: Collection[bytes]) -> dict[bytes, str]:
        """Nothing."""
        return {}

    def token(self) -> str:
        """Nothing."""
        return ""


@dataclass(slots=True)
class TreeVerdict:
    """What a comparison found: paths that only one side has, that differ in content or kind, or in permissions, and
    those that could not be read. ``agree`` is True only when all are empty.
    """

    files: int = 0
    bytes: int = 0
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    permissions: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        """True when both sides hold the same, everything was read, and nothing differs."""
        return not (self.only_a or self.only_b or self.different or self.permissions or self.unreadable)


@as_deep_as_trees()
def rules_in(end: TreeEnd) -> Mapping[str, bytes]:
    """The content of every ignore file of a tree, by path. Raises RootMissing."""
    scan = end.refresh(NothingNoted(), Everything())
    return end.rules(scan.rules)


@as_deep_as_trees()
def compare(a: TreeEnd, b: TreeEnd, scope: Scope, deep: bool = False) -> TreeVerdict:
    """Compare two trees under a scope, file by file. Raises RootMissing; what cannot be read is in the verdict.

    Every file of a directory is read. What a tree elsewhere holds is told by its manifest; ``deep`` fetches that too
    and checks it, for content that was damaged where it is stored.
    """
    verdict = TreeVerdict()
    sides = []
    for end in (a, b):
        scan = end.refresh(NothingNoted(), scope)
        end.adopt(NothingNoted(), scan)
        sides.append(_entries(end, scan, verdict))
    one, other = sides
    verdict.only_a = sorted(one.keys() - other.keys())
    verdict.only_b = sorted(other.keys() - one.keys())
    _compare_common(a, b, one, other, verdict)
    for end, entries in ((a, one), (b, other)) if deep else ():
        if end.mount is None:
            verdict.unreadable += [f"{end.title}/{path}" for path in _lost(end, entries)]
    return verdict


@as_deep_as_trees()
def unreadable(end: TreeEnd, among: Collection[str] | None = None) -> list[str]:
    """Files of a tree, or those of them that are asked for, whose content does not come as the tree lists it."""
    end.adopt(NothingNoted(), end.refresh(NothingNoted(), Everything()))
    return _lost(end, {path: entry for path, entry in _walk(end, "") if among is None or path in among})


def _lost(end: TreeEnd, entries: Mapping[str, Entry]) -> list[str]:
    """Read all content of a tree elsewhere; what does not come as its manifest says is lost."""
    wanted = [Wanted(path, leaf_of(entry)) for path, entry in sorted(entries.items()) if entry.mark == Mark.FILE]
    end.prepare(wanted)
    lost = []
    for item in wanted:
        try:
            end.give(item, lambda data: None, lambda: None)
        except StorageError:
            lost.append(item.path)
    return lost


def _entries(end: TreeEnd, scan: Scan, verdict: TreeVerdict) -> dict[str, Entry]:
    """Everything that is visible, by path."""
    verdict.unreadable += sorted(f"{end.title}/{path}" for path in end.unknown)
    return {path: entry for path, entry in _walk(end, "") if entry.mark not in (Mark.INVISIBLE, Mark.EXPIRED)}


def _walk(end: TreeEnd, path: str) -> Iterator[tuple[str, Entry]]:
    for entry in end.listing(path) or ():
        inner = joined(path, entry.name)
        yield inner, entry
        if entry.mark == Mark.DIRECTORY and inner not in end.unknown:
            yield from _walk(end, inner)


def _compare_common(
    a: TreeEnd, b: TreeEnd, one: dict[str, Entry], other: dict[str, Entry], verdict: TreeVerdict
) -> None:
    to_read = []
    for path in sorted(one.keys() & other.keys()):
        mine, theirs = one[path], other[path]
        if mine.mode & 0o170000 != theirs.mode & 0o170000:
            verdict.different.append(path)
        elif mine.mark == Mark.DIRECTORY:
            continue
        elif mine.size != theirs.size:
            verdict.different.append(path)
        else:
            to_read.append(path)
            if mine.permissions != theirs.permissions:
                verdict.permissions.append(path)
    digests = [_digests(end, to_read, entries, verdict) for end, entries in ((a, one), (b, other))]
    for path in to_read:
        found = [side.get(path) for side in digests]
        if None not in found:
            verdict.files += 1
            verdict.bytes += one[path].size
            if found[0] != found[1]:
                verdict.different.append(path)
    verdict.different.sort()


def _digests(end: TreeEnd, paths: Sequence[str], entries: dict[str, Entry], verdict: TreeVerdict) -> dict[str, bytes]:
    known = {path: entries[path].digest for path in paths if entries[path].mark in (Mark.FILE, Mark.LINK)}
    found = dict(known)
    for value in end.read_values([[path] for path in paths if path not in known]):
        if value.problem is not None:
            verdict.unreadable.append(f"{end.title}/{value.path}")
        else:
            found[value.path] = value.digest
    return found
