"""The merge of three trees into one result (spec contexts D.1-D.3, D.5). Pure.

``merge`` reads what base, local and remote hold at every path and says what both become, which leaves are set aside
as conflict copies, and what is left alone. ``plan`` turns the result into actions for each side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from blake3 import blake3

from tallystick.errors import InternalError
from tallystick.trees.conflict_names import conflict_names
from tallystick.trees.nodes import (
    EXPIRED,
    UNKNOWN,
    Directory,
    Kind,
    Leaf,
    Node,
    children_of,
    is_guarded,
    joined,
    known_equal,
    same,
)


class Side(Enum):
    """Which of the two trees."""

    LOCAL = "local"
    REMOTE = "remote"

    __hash__ = object.__hash__  # there is one of each: no need to hash their names

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.REMOTE if self is Side.LOCAL else Side.LOCAL


class Reconcile(Enum):
    """How differences are settled. One-way modes write the remote only; callers swap the trees for the other way."""

    SAFE = "safe"
    NEWER = "newer"
    ADD = "add"
    MIRROR = "mirror"
    LOCAL = "local"
    """As newer, but of two changed leaves the local one takes the name."""
    REMOTE = "remote"
    """As newer, but of two changed leaves the remote one takes the name."""

    @property
    def one_way(self) -> bool:
        """True when the local tree is never written."""
        return self in (Reconcile.ADD, Reconcile.MIRROR)


class Origin(NamedTuple):
    """Where content stands before the run."""

    side: Side
    path: str


class Result(NamedTuple):
    """What a path becomes on both sides: a leaf, a directory, a whole subtree as it stands, nothing, or no change.

    ``origin`` says where the content of a leaf or a whole subtree stands. ``aside`` is the path of the conflict
    copy that must exist before anything here is replaced. ``kept`` leaves the path and its base alone.
    """

    reason: str
    leaf: Leaf | None = None
    children: Mapping[str, Result] | None = None
    whole: Directory | None = None
    origin: Origin | None = None
    aside: str | None = None
    kept: bool = False
    settled: bool = False

    @property
    def present(self) -> bool:
        """True when something stands there afterwards."""
        return self.leaf is not None or self.children is not None or self.whole is not None


class Conflict(NamedTuple):
    """Both sides changed a path; the value of ``origin`` is kept as ``copy`` (None: in history only)."""

    path: str
    origin: Origin
    copy: str | None


@dataclass(slots=True)
class Merge:
    """The whole result, with what deserves a report."""

    result: Result
    conflicts: list[Conflict] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Choice(Enum):
    """What leaf values (or groups of them) at one path become."""

    LOCAL = "local"
    REMOTE = "remote"
    BOTH = "both"


SETTLED = Result("in agreement", kept=True, settled=True)


def merge(base: Directory, local: Directory, remote: Directory, mode: Reconcile = Reconcile.SAFE) -> Merge:
    """The result of three trees under a mode. Total and deterministic; the arguments are not changed."""
    merger = _Merger(mode)
    merger.found.result = merger.at("", base, local, remote)
    return merger.found


class _Copy(NamedTuple):
    """Leaves of one database, or a single one, that lost their names and wait for new ones in the same directory."""

    main: str
    digest: bytes
    leaves: Mapping[str, Leaf]
    side: Side


class _Merger:
    def __init__(self, mode: Reconcile) -> None:
        self.mode = mode
        self.found = Merge(SETTLED)

    def at(self, path: str, base: Node, local: Node, remote: Node, copies: list[_Copy] | None = None) -> Result:
        """The result at one path; leaves that lose their name are added to ``copies``."""
        copies = [] if copies is None else copies
        if base is UNKNOWN or local is UNKNOWN or remote is UNKNOWN:
            self.found.unknown.append(path)
            return Result("cannot be read", kept=True)
        if known_equal(base, local, remote):
            return SETTLED
        if remote is EXPIRED:
            return self._expired(path, base, local, copies)
        base = _effective(base, local, remote)
        local_is, remote_is = isinstance(local, Directory), isinstance(remote, Directory)
        if local_is and remote_is:
            kids = self.below(path, base, local, remote)
            return Result("directories on both sides", children=kids)
        if local_is or remote_is:
            return self._one_directory(path, base, local, remote, copies)
        return self._leaves(path, base, local, remote, copies)

    def below(self, path: str, base: Node, local: Node, remote: Node) -> dict[str, Result]:
        """The results of all children; the side of a leaf or of nothing is read as an empty directory."""
        olds, heres = children_of(base), children_of(local)
        expired = remote is EXPIRED
        theres = children_of(remote)
        names = sorted(olds.keys() | heres.keys() | theres.keys())
        results: dict[str, Result] = {}
        copies: list[_Copy] = []
        for group in _groups(names, olds, heres, theres):
            if len(group) == 1:
                name = group[0]
                there = EXPIRED if expired and name in olds else theres.get(name)
                results[name] = self.at(joined(path, name), olds.get(name), heres.get(name), there, copies)
                continue
            triples = {
                name: (olds.get(name), heres.get(name), EXPIRED if expired and name in olds else theres.get(name))
                for name in group
            }
            if all(_leafy(node) for triple in triples.values() for node in triple):
                results.update(self._group(path, triples, copies))
                continue
            for name, triple in triples.items():
                results[name] = self.at(joined(path, name), *triple, copies)
        self._place(path, results, copies)
        return results

    # One path -------------------------------------------------------------------------------------

    def _expired(self, path: str, base: Node, local: Node, copies: list[_Copy]) -> Result:
        if isinstance(local, Directory):
            if known_equal(base, local):
                return Result("expired in the store, unchanged here", kept=True)
            kids = self.below(path, base, local, EXPIRED)
            if any(kid.present for kid in kids.values()) or not isinstance(base, Directory):
                return Result("expired in the store, edited here", children=kids)
            return Result("expired in the store, unchanged here", kept=True)
        if isinstance(local, Leaf) and same(local, base):
            return Result("expired in the store, unchanged here", kept=True)
        return self._leaves(path, base, local, None, copies)

    def _leaves(self, path: str, base: Node, local: Node, remote: Node, copies: list[_Copy]) -> Result:
        agree, local_stands, remote_stands = same(local, remote), same(local, base), same(remote, base)
        choice = _ruled(self.mode, agree, local_stands, remote_stands, local is None, remote is None)
        choice = choice or _preferred(self.mode, (local,), (remote,))
        if choice is Choice.BOTH:
            copies.append(_copy_of(path, local, Side.LOCAL))
        return self._chosen(path, choice, base, local, remote)

    def _chosen(self, path: str, choice: Choice, base: Node, local: Node, remote: Node) -> Result:
        reason = reason_of(base, local, remote)
        side = Side.LOCAL if choice is Choice.LOCAL else Side.REMOTE
        winner, loser = (local, remote) if side is Side.LOCAL else (remote, local)
        if choice is not Choice.BOTH and not same(winner, loser):
            self._note_losses(path, base, loser, side.other)
        aside = "" if choice is Choice.BOTH and local is not None else None
        if not isinstance(winner, Leaf):
            return Result(reason, aside=aside)
        permissions = _permissions(self.mode, base, local, remote, winner)
        if permissions != winner.permissions:
            winner = winner._replace(permissions=permissions)
        return Result(reason, leaf=winner, origin=Origin(side, path), aside=aside)

    def _note_losses(self, path: str, base: Node, loser: Node, side: Side) -> None:
        """Remember every value that nobody has seen before and that nothing keeps: history has to."""
        if isinstance(loser, Leaf) and not same(loser, base):
            self.found.conflicts.append(Conflict(path, Origin(side, path), None))
        if isinstance(loser, Directory) and not known_equal(base, loser):
            for name, child in sorted(loser.children.items()):
                self._note_losses(joined(path, name), children_of(base).get(name), child, side)

    def _one_directory(self, path: str, base: Node, local: Node, remote: Node, copies: list[_Copy]) -> Result:
        if self.mode is Reconcile.MIRROR:
            return self._mirrored(path, base, local, remote)
        if self.mode is Reconcile.ADD and not isinstance(local, Directory):
            return self._add_beside_directory(path, base, local, remote, copies)
        return self._directory_and_other(path, base, local, remote, copies)

    def _directory_and_other(self, path: str, base: Node, local: Node, remote: Node, copies: list[_Copy]) -> Result:
        side = Side.LOCAL if isinstance(local, Directory) else Side.REMOTE
        directory, other = (local, remote) if side is Side.LOCAL else (remote, local)
        reason = reason_of(base, local, remote)
        if isinstance(base, Directory):
            kids = self.below(path, base, local, remote)
            stands = Result(reason, children=kids)
            if not any(kid.present for kid in kids.values()):
                return self._emptied(path, kids, directory, other, side.other, reason)
        else:
            assert isinstance(directory, Directory)
            stands = Result(reason, whole=directory, origin=Origin(side, path))
        if other is None or same(other, base):
            return stands
        copies.append(_copy_of(path, other, side.other))
        return stands._replace(aside="")

    def _emptied(
        self, path: str, kids: Mapping[str, Result], directory: Node, other: Node, side: Side, reason: str
    ) -> Result:
        """A directory of which nothing is left, against nothing or a leaf."""
        if isinstance(other, Leaf):
            if is_guarded(directory) or any(kid.kept for kid in kids.values()):
                return self._block(path)
            return Result(reason, leaf=other, origin=Origin(side, path))
        return Result(reason)

    def _block(self, path: str) -> Result:
        self.found.blocked.append(path)
        return Result("holds something that is out of scope or cannot be read", kept=True)

    def _add_beside_directory(self, path: str, base: Node, local: Node, remote: Node, copies: list[_Copy]) -> Result:
        """Add: the target's directory is left whole; an edited local leaf becomes a copy beside it."""
        assert isinstance(remote, Directory)
        reason = reason_of(base, local, remote)
        if isinstance(local, Leaf) and not same(local, base):
            copies.append(_copy_of(path, local, Side.LOCAL))
        return Result(reason, whole=remote, origin=Origin(Side.REMOTE, path))

    def _mirrored(self, path: str, base: Node, local: Node, remote: Node) -> Result:
        reason = reason_of(base, local, remote)
        if isinstance(local, Leaf) and is_guarded(remote):
            return self._block(path)
        self._note_losses(path, base, remote, Side.REMOTE)
        if isinstance(local, Directory):
            return Result(reason, whole=local, origin=Origin(Side.LOCAL, path))
        return Result(reason, leaf=local if isinstance(local, Leaf) else None, origin=Origin(Side.LOCAL, path))

    # Several paths of one directory ---------------------------------------------------------------

    def _group(
        self, path: str, triples: Mapping[str, tuple[Node, Node, Node]], copies: list[_Copy]
    ) -> dict[str, Result]:
        """Files that are one database are decided as one value (U8)."""
        paths = [joined(path, name) for name in triples]
        if any(UNKNOWN in triple for triple in triples.values()):
            self.found.unknown.extend(paths)
            return {name: Result("a part of the database cannot be read", kept=True) for name in triples}
        bases, heres, theres = zip(*(_readable(triple) for triple in triples.values()), strict=True)
        choice = decide(self.mode, bases, heres, theres)
        if choice is Choice.BOTH:
            copies.append(_group_copy(dict(zip(triples, heres, strict=True))))
        return {name: self._chosen(joined(path, name), choice, *_readable(triple)) for name, triple in triples.items()}

    def _place(self, path: str, results: dict[str, Result], copies: list[_Copy]) -> None:
        """Give every leaf that lost its name a free one, and tell its old place to wait for that."""
        for copy in sorted(copies, key=lambda copy: copy.main):
            for name, chosen in _free_names(results, copy).items():
                leaf, origin = copy.leaves[name], Origin(copy.side, joined(path, name))
                if not (chosen in results and results[chosen].present):
                    results[chosen] = Result(f"conflict copy of {name}", leaf=leaf, origin=origin)
                self.found.conflicts.append(Conflict(joined(path, name), origin, joined(path, chosen)))
                if results[name].aside == "":
                    results[name] = results[name]._replace(aside=joined(path, chosen))


def _copy_of(path: str, leaf: Node, side: Side) -> _Copy:
    assert isinstance(leaf, Leaf)
    assert leaf.digest is not None, "a leaf that conflicts has been read"
    name = path.rpartition("/")[2]
    return _Copy(name, leaf.digest, {name: leaf}, side)


def _group_copy(members: Mapping[str, Node]) -> _Copy:
    """All local files of one database; the copy is named by the content of all of them."""
    leaves = {name: leaf for name, leaf in members.items() if isinstance(leaf, Leaf)}
    digests = [leaf.digest or b"" for _, leaf in sorted(leaves.items())]
    digest = digests[0] if len(digests) == 1 else bytes(blake3(b"".join(digests)).digest())
    main = min(leaves, key=lambda name: (name != leaves[name].group, name))
    return _Copy(main, digest, leaves, Side.LOCAL)


def _free_names(results: Mapping[str, Result], copy: _Copy) -> dict[str, str]:
    """New names for all leaves of a copy: those of a database stay together (``x.db-wal`` follows ``x.db``)."""
    for candidate in conflict_names(copy.main, copy.digest):
        names = {name: _follow(name, copy.main, candidate) for name in copy.leaves}
        if all(_is_free(results.get(chosen), copy.leaves[name]) for name, chosen in names.items()):
            return names
    raise InternalError(f"no free name for a conflict copy of {copy.main!r}")


def _follow(name: str, main: str, candidate: str) -> str:
    return candidate + name.removeprefix(main) if name.startswith(main) else f"{candidate}.{name}"


def _is_free(result: Result | None, leaf: Leaf) -> bool:
    if result is None:
        return True
    if result.kept:
        return False
    return not result.present or same(result.leaf, leaf)


# Rules of values ----------------------------------------------------------------------------------

Value = tuple[Node, ...]
"""The leaves (or absences) of one or several files that are decided together."""


def decide(mode: Reconcile, base: Value, local: Value, remote: Value) -> Choice:
    """What becomes of leaf values at one path (D.3, second case; add and mirror by their columns of D.2)."""
    found = _ruled(
        mode, _equal(local, remote), _equal(local, base), _equal(remote, base), _absent(local), _absent(remote)
    )
    return found or _preferred(mode, local, remote)


def _ruled(
    mode: Reconcile, agree: bool, local_stands: bool, remote_stands: bool, absent_here: bool, absent_there: bool
) -> Choice | None:
    """The choice where the two sides have not both written something; ``stands``: it is as the base says."""
    if mode is Reconcile.MIRROR:
        return Choice.LOCAL
    if agree or local_stands:
        return Choice.REMOTE
    if mode is Reconcile.ADD and absent_here:
        return Choice.REMOTE
    if remote_stands or absent_there:
        return Choice.LOCAL
    return Choice.REMOTE if absent_here else None


def _preferred(mode: Reconcile, local: Value, remote: Value) -> Choice:
    """Which of two values wins that both sides changed."""
    if mode is Reconcile.NEWER:
        return Choice.LOCAL if _latest(local) > _latest(remote) else Choice.REMOTE
    return {Reconcile.LOCAL: Choice.LOCAL, Reconcile.REMOTE: Choice.REMOTE}.get(mode, Choice.BOTH)


def _readable(triple: tuple[Node, Node, Node]) -> tuple[Node, Node, Node]:
    """One path's base, local and remote, with an expired remote read as absent and the base as far as it counts."""
    base, local, remote = triple
    remote = None if remote is EXPIRED else remote
    return _effective(base, local, remote), local, remote


def _equal(one: Value, other: Value) -> bool:
    return all(map(same, one, other))


def _absent(value: Value) -> bool:
    return value.count(None) == len(value)


def _latest(value: Value) -> int:
    return max(node.mtime_ns for node in value if isinstance(node, Leaf))


def _effective(base: Node, local: Node, remote: Node) -> Node:
    """An entry never held here counts as a base only where both sides have something (D.5)."""
    if isinstance(base, Leaf | Directory) and not base.materialised and (local is None or remote is None):
        return None
    return base


def _permissions(mode: Reconcile, base: Node, local: Node, remote: Node, winner: Leaf) -> int:
    """Bit by bit, the side that changed it wins; without a base, the remote's (D.1)."""
    if mode is Reconcile.MIRROR or not isinstance(local, Leaf) or not isinstance(remote, Leaf):
        return winner.permissions
    if winner.kind is not Kind.FILE or local.kind is not remote.kind:
        return winner.permissions
    if not isinstance(base, Leaf) or base.kind is not Kind.FILE:
        return remote.permissions
    return base.permissions ^ ((local.permissions ^ base.permissions) | (remote.permissions ^ base.permissions))


# Words and groups ---------------------------------------------------------------------------------


def reason_of(base: Node, local: Node, remote: Node) -> str:
    """What happened at a path, in words."""
    return f"local {_state(base, local)}, remote {_state(base, remote)}"


def _state(base: Node, node: Node) -> str:
    if node is None:
        return "absent" if base is None else "deleted"
    if base is None:
        return "new"
    if isinstance(node, Directory) and isinstance(base, Directory):
        return "directory"
    return "unchanged" if same(node, base) else "changed"


def _leafy(node: Node) -> bool:
    return not isinstance(node, Directory)


def _groups(names: list[str], *sides: Mapping[str, Node]) -> list[list[str]]:
    """The names of a directory, those of one database together."""
    mains: dict[str, str] = {}
    for side in sides:
        for name, node in side.items():
            if isinstance(node, Leaf) and node.group:
                mains[name] = node.group
    if not mains:
        return [[name] for name in names]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(mains.get(name, name), []).append(name)
    return list(groups.values())
