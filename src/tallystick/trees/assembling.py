"""Assembling the three trees of a run from what was noted (DESIGN.md 4.10, spec contexts K5, K6, M3-M5, D.5).

Only directories in which something may have to be done are spelled out; every other one is marked as known to be equal
on all three and read when, and only when, the merge has to look into it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from tallystick.trees.base_row import BaseRow
from tallystick.trees.listing import DIGEST_BYTES, NO_DIGEST, VALUE_BYTES, WIDTH, Entry, Listing, Mark
from tallystick.trees.merging import Side
from tallystick.trees.names import CLASH, POSIX, Volume, hidden_names, renamed_away
from tallystick.trees.nodes import (
    EXPIRED,
    PERMISSIONS,
    UNKNOWN,
    Directory,
    Kind,
    Leaf,
    Node,
    ancestors,
    children_of,
    joined,
)
from tallystick.trees.problems import Unreadable
from tallystick.trees.scope import Scope
from tallystick.trees.unchanged import JOURNALS, NOTHING, ends_with, unchanged_but, unchanged_names

_LEAVES = (Mark.UNREAD, Mark.FILE, Mark.LINK)
_LINK_TYPE = 0o120000
_TYPE = 0o170000
SHARED_MEMORY = "-shm"
SHARED = "shared memory of a database"
NO_LINKS = "no_links"
"""Why a symbolic link is hidden that the other volume cannot hold."""


def _untold(path: str) -> Collection[str] | None:
    return None


class Source(NamedTuple):
    """One side: how to get the listing of a directory, what could not be looked at, what the volume can hold.

    ``news`` gives the names that are not as they were when nothing was left to do about a directory, or None where
    that is not known.
    """

    listing: Callable[[str], Listing | None]
    unknown: frozenset[str]
    volume: Volume = POSIX
    news: Callable[[str], Collection[str] | None] = _untold


class Trees(NamedTuple):
    """The three trees of a run."""

    base: Directory
    local: Directory
    remote: Directory


class Forest:
    """Builds the three trees; remembers which names it hid, and why."""

    def __init__(
        self,
        local: Source,
        remote: Source,
        base: Callable[[str], BaseRow | None],
        scope: Scope,
        dirty: Iterable[str],
    ) -> None:
        self.sources = {Side.LOCAL: local, Side.REMOTE: remote}
        self.exact = all(source.volume.exact for source in self.sources.values())
        self.base = base
        self.scope = scope
        self.dirty = frozenset(dirty)
        self.ways = {ancestor for path in self.dirty for ancestor in ancestors(path)} - self.dirty
        self.hidden: dict[str, dict[str, str]] = {}
        self.partial: set[str] = set()
        """Directories of which only the way to dirty ones was spelled out."""
        self.unchanged: dict[str, frozenset[str]] = {}
        """Leaves that are equal in all three trees, by directory: they are left out of all three."""
        self._inner: dict[str, set[str]] = {}
        for path in self.dirty | self.ways:
            if path:
                parent, _, name = path.rpartition("/")
                self._inner.setdefault(parent, set()).add(name)

    def trees(self) -> Trees:
        """The three trees from the root. Raises Unreadable when a root cannot be listed."""
        nodes = self._at("")
        base, local, remote = (node if isinstance(node, Directory) else None for node in nodes)
        if local is None or remote is None:
            raise Unreadable("[Unreadable] the root of a tree cannot be listed")
        return Trees(base or Directory(), local, remote)

    def _at(self, path: str) -> tuple[Node, Node, Node]:
        """The nodes of a directory that all three trees have."""
        if path in self.dirty:
            return self._spelled_out(path)
        self.partial.add(path)
        inner = {name: self._at(joined(path, name)) for name in sorted(self._inner.get(path, ()))}
        local, remote = (
            UNKNOWN if path in self.sources[side].unknown else Directory(_column(inner, number))
            for side, number in ((Side.LOCAL, 1), (Side.REMOTE, 2))
        )
        return Directory(_column(inner, 0)), local, remote

    def _spelled_out(self, path: str) -> tuple[Node, Node, Node]:
        self.unchanged[path] = self._unchanged(path)
        nodes = (self.old(path) or Directory(), self.now(Side.LOCAL, path), self.now(Side.REMOTE, path))
        if not all(isinstance(node, Directory) for node in nodes):
            return nodes
        for name in self._inner.get(path, ()):
            olds = [children_of(node).get(name) for node in nodes]
            if all(isinstance(old, Directory) for old in olds):
                for node, old, new in zip(nodes, olds, self._at(joined(path, name)), strict=True):
                    _put_child(node, name, _like(old, new))
        return nodes

    def _unchanged(self, path: str) -> frozenset[str]:
        """Leaves that need no look, where nothing in the directory is hidden or unknown."""
        row = self.base(path)
        local, remote = (self._plain_listing(side, path) for side in Side)
        if row is None or local is None or remote is None or not self.scope.everything:
            return NOTHING
        here, there = (source.news(path) for source in self.sources.values())
        if here is None or there is None:
            return unchanged_names(row, local, remote)
        return unchanged_but({*here, *there}, row, local, remote)

    # One side -------------------------------------------------------------------------------------

    def now(self, side: Side, path: str) -> Node:
        """What stands at a directory's path on a side, its children converted, theirs not yet."""
        source = self.sources[side]
        listing = source.listing(path)
        if listing is None or path in source.unknown:
            return UNKNOWN
        hidden, unchanged = self.hidden_at(path), self.unchanged.get(path, NOTHING)
        children: dict[str, Node] = {}
        invisible = False
        for position, name in enumerate(listing.names):
            if name in unchanged:
                continue
            if name in hidden:
                invisible = invisible or hidden[name] != SHARED
            elif not source.unknown and listing.values[position * VALUE_BYTES] in _LEAVES:
                children[name] = _leaf_at(listing, position)
            else:
                children[name] = self._child(side, path, listing.at(position))
        if not source.volume.permissions:
            self._take_permissions(path, children)
        group_databases(children)
        shown = {name: child for name, child in children.items() if child is not None}
        return Directory(shown, invisible, permissions=None, unchanged=unchanged)

    def _take_permissions(self, path: str, children: dict[str, Node]) -> None:
        """Permissions that a volume cannot hold are those of the base: nobody has changed them (M5)."""
        row = self.base(path)
        olds = row.children() if row is not None else {}
        for name, child in children.items():
            old = olds.get(name)
            if isinstance(child, Leaf):
                permissions = old.permissions if isinstance(old, Leaf) else Leaf(child.kind, None).permissions
                children[name] = child._replace(permissions=permissions)

    def _child(self, side: Side, path: str, entry: Entry) -> Node:
        inner = joined(path, entry.name)
        if entry.mark == Mark.UNKNOWN or inner in self.sources[side].unknown:
            return UNKNOWN
        if entry.mark == Mark.EXPIRED:
            return EXPIRED
        if entry.mark != Mark.DIRECTORY:
            return leaf_of(entry)
        found = self._lazy(side, inner, entry.permissions)
        return None if found.holder and not found.children else found

    def _lazy(self, side: Side, path: str, permissions: int | None = None) -> Lazy:
        holder = not self.scope.everything and not self.scope.includes(path, True)
        found = Lazy(lambda: self.now(side, path), self._mark(path), holder, permissions)
        found.bulk = lambda: self._plain_listing(side, path)
        found.inner = lambda entry: self._lazy(side, joined(path, entry.name), entry.permissions)
        return found

    def _plain_listing(self, side: Side, path: str) -> Listing | None:
        """The listing of a directory all of whose entries are visible; None when some are not."""
        listing = self.sources[side].listing(path)
        if listing is None or path in self.sources[side].unknown or self.hidden_at(path):
            return None
        if self.sources[side].unknown and any(
            joined(path, name) in self.sources[side].unknown for name in listing.names
        ):
            return None
        return listing if listing.plain else None

    def old(self, path: str) -> Node:
        """The base of a directory, its children converted, theirs not yet; None when it is not in the base."""
        row = self.base(path)
        if row is None:
            return None
        hidden = self.hidden_at(path)
        children: dict[str, Node] = {}
        for name, child in row.children(self.unchanged.get(path, NOTHING)).items():
            inner = joined(path, name)
            if name in hidden or not self._in_scope(inner, isinstance(child, Directory)):
                continue
            if isinstance(child, Directory):
                lazy = Lazy(lambda inner=inner: self.old(inner) or Directory(), self._mark(inner))  # type: ignore[misc]
                lazy.materialised = child.materialised
                children[name] = lazy
            else:
                children[name] = child
        return Directory(children)

    def _mark(self, path: str) -> str | None:
        return None if path in self.dirty or path in self.ways else path

    def _in_scope(self, path: str, directory: bool) -> bool:
        if self.scope.everything:
            return True
        return self.scope.enters(path) if directory else self.scope.includes(path, False)

    # Names that one of the sides cannot show ------------------------------------------------------

    def hidden_at(self, path: str) -> Mapping[str, str]:
        """The names in a directory that are invisible on every tree, with the reason (K5, K7, M3, M4)."""
        known = self.hidden.get(path)
        if known is None:
            known = self.hidden[path] = self._find_hidden(path)
        return known

    def _find_hidden(self, path: str) -> dict[str, str]:
        listings = [source.listing(path) for source in self.sources.values()]
        hidden: dict[str, str] = {}
        for listing in listings:
            if listing is not None and Mark.INVISIBLE in listing.values[::VALUE_BYTES]:
                hidden.update((entry.name, "out of scope") for entry in listing if entry.mark == Mark.INVISIBLE)
        for source, listing in zip(self.sources.values(), reversed(listings), strict=True):
            if listing is not None and not source.volume.links:
                hidden.update(dict.fromkeys(_links_of(listing), NO_LINKS))
        if self.exact and not any(
            listing is not None and ends_with(listing.names, SHARED_MEMORY) for listing in listings
        ):
            return hidden
        names = {name for listing in listings if listing is not None for name in listing.names}
        hidden.update((name, SHARED) for name in names if name.endswith(SHARED_MEMORY) and _is_shared(name, names))
        if self.exact:
            return hidden
        for source, listing in zip(self.sources.values(), listings, strict=True):
            materialised = set(listing.names) if listing is not None and not source.volume.exact else set()
            found = hidden_names(sorted(names), source.volume, materialised)
            if CLASH in found.values():
                row = self.base(path)
                losers = [name for name, why in found.items() if why == CLASH]
                for name in renamed_away(losers, source.volume, materialised, row.children() if row else ()):
                    del found[name]
            hidden.update(found)
        return hidden


class Lazy(Directory):
    """A directory whose children are read when somebody asks for them.

    ``bulk`` gives its listing when the directory can be carried over as it is listed, without asking for children;
    ``inner`` then gives the directory that one of its entries is.
    """

    __slots__ = ("_loaded", "_loader", "bulk", "inner")

    def __init__(
        self, loader: Callable[[], Node], mark: str | None, holder: bool = False, permissions: int | None = None
    ) -> None:
        self._loader = loader
        self._loaded: Node = None
        self.bulk: Callable[[], Listing | None] | None = None
        self.inner: Callable[[Entry], Lazy] | None = None
        super().__init__(holder=holder, mark=mark, permissions=permissions)

    def _load(self) -> Directory:
        if self._loaded is None:
            self._loaded = self._loader()
        # A directory that could not be listed shows nothing and must not be removed.
        return self._loaded if isinstance(self._loaded, Directory) else Directory({"": UNKNOWN}, invisible=True)

    @property
    def children(self) -> Mapping[str, Node]:
        """The children, read now at the latest."""
        return self._load().children

    @children.setter
    def children(self, value: Mapping[str, Node]) -> None:
        """Ignored: the dataclass sets its default here."""

    @property
    def invisible(self) -> bool:
        """True when it directly holds something out of scope."""
        return self._load().invisible

    @invisible.setter
    def invisible(self, value: bool) -> None:
        """Ignored: the dataclass sets its default here."""


def _column(inner: Mapping[str, tuple[Node, Node, Node]], number: int) -> dict[str, Node]:
    return {name: nodes[number] for name, nodes in inner.items()}


def _put_child(parent: Node, name: str, child: Node) -> None:
    assert isinstance(parent, Directory)
    assert isinstance(parent.children, dict)
    parent.children[name] = child


def _like(old: Node, new: Node) -> Node:
    """The spelled out directory with what its parent's listing knows about it."""
    if isinstance(old, Directory) and isinstance(new, Directory):
        new.holder, new.permissions, new.materialised = old.holder, old.permissions, old.materialised
    return new


def leaf_of(entry: Entry) -> Leaf:
    """The leaf that an entry of a listing stands for; unread when nothing is known of its content yet."""
    kind = Kind.LINK if entry.stats[0] & _TYPE == _LINK_TYPE else Kind.FILE
    digest = None if entry.mark == Mark.UNREAD or entry.digest == NO_DIGEST else entry.digest
    return Leaf(kind, digest, entry.stats[2], entry.stats[3], entry.permissions)


def _leaf_at(listing: Listing, position: int) -> Leaf:
    """The same without an entry in between."""
    mode, _, size, mtime_ns, _ = listing.stats[position * WIDTH : (position + 1) * WIDTH]
    start = position * VALUE_BYTES + 1
    digest = bytes(listing.values[start : start + DIGEST_BYTES])
    kind = Kind.LINK if mode & _TYPE == _LINK_TYPE else Kind.FILE
    unread = listing.values[start - 1] == Mark.UNREAD or digest == NO_DIGEST
    return Leaf(kind, None if unread else digest, size, mtime_ns, mode & PERMISSIONS)


def group_databases(children: dict[str, Node]) -> None:
    """Mark the files of databases whose journals are beside them (U8)."""
    for name in [name for name in children if name.endswith(JOURNALS)]:
        main = name.rpartition("-")[0]
        members = [children.get(main), children[name]]
        if not all(isinstance(member, Leaf) and member.kind is Kind.FILE for member in members):
            continue
        for member in (main, name):
            leaf = children[member]
            assert isinstance(leaf, Leaf)
            children[member] = leaf._replace(group=main)


def _links_of(listing: Listing) -> list[str]:
    modes = listing.stats[::WIDTH]
    return [name for name, mode in zip(listing.names, modes, strict=True) if mode & _TYPE == _LINK_TYPE]


def _is_shared(name: str, names: Collection[str]) -> bool:
    """True for the shared memory of an SQLite journal: it is made anew from that, and changes without a trace."""
    main = name.removesuffix(SHARED_MEMORY)
    return main in names and f"{main}-wal" in names
