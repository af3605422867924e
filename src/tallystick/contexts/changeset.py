"""What the actions of a run change in a context: entries by path, and what became of every action (spec contexts D).

``items`` names the leaves whose content has to be read; ``settle`` turns what was read into changes and an outcome.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tallystick.contexts.entries import DIRECTORY, FILE, LINK, FileEntry, is_one_chunk, packed
from tallystick.contexts.host import ContextHost
from tallystick.errors import StorageError
from tallystick.trees.contents import Given, Wanted
from tallystick.trees.ends import TreeEnd
from tallystick.trees.listing import NO_DIGEST, STATS, WIDTH, Entry, Listing, Mark
from tallystick.trees.nodes import Directory, Kind, Leaf, joined
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.plan import Action, Verb
from tallystick.trees.problems import SourceChanged, TargetChanged
from tallystick.trees.reading import link_digest
from tallystick.trees.steps import Step, steps_of
from tallystick.trees.unchanged import JOURNALS

ENTRIES_AT_ONCE = 5000
LINK_MODE = 0o777
DIRECTORY_MODE = 0o755
_WRITING = (Verb.MAKE, Verb.PUT, Verb.GRAFT)
_TYPES = {FILE: 0o100000, LINK: 0o120000, DIRECTORY: 0o040000}
_KINDS = {kind: bytes((kind,)) for kind in _TYPES}


@dataclass(slots=True)
class Item:
    """One leaf to be placed; ``own`` where its content comes from the context itself."""

    path: str
    wanted: Wanted
    own: bool = False
    entry: FileEntry | None = None
    given: Given | None = None
    problem: StorageError | None = None

    @property
    def is_link(self) -> bool:
        """True for a symbolic link."""
        return self.wanted.leaf.kind is Kind.LINK


@dataclass(slots=True)
class _Work:
    """One action with its directories and leaves."""

    action: Action
    directories: list[Step] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


class Changeset:
    """The changes of one upload. ``key`` makes packed keys of paths; ``listing`` says what stands where now."""

    def __init__(
        self,
        host: ContextHost,
        identifier: str,
        key: Callable[[str], str],
        listing: Callable[[str], Listing | None],
        other: TreeEnd,
        orders: Orders,
    ) -> None:
        self.host = host
        self.identifier = identifier
        self.key = key
        self.listing = listing
        self.other = other
        self.orders = orders
        self.outcome = Outcome()
        self.changes: dict[str, FileEntry | None] = {}
        self.wholes: list[Step] = []
        """Directories that are carried over as they are listed: their leaves are none of ``items``."""
        self.lacking: set[bytes] = set()
        """Chunks that the host said to lack."""
        self._works: list[_Work] = []
        self._own: Mapping[str, FileEntry] = {}

    # What has to be read ----------------------------------------------------------------------------------------------

    def items(self, actions: Sequence[Action]) -> list[Item]:
        """The leaves whose content is not known to be held."""
        self._works = [self._work(action) for action in actions]
        items = [item for work in self._works for item in work.items]
        self._read_own(actions, items)
        return self.unread(items)

    def unread(self, items: Sequence[Item]) -> list[Item]:
        """Those of the items whose content is not known to be held; the others get their entries."""
        self._skip_held(items)
        self._read_databases(items)
        return [item for item in items if item.entry is None and item.problem is None]

    def _work(self, action: Action) -> _Work:
        work = _Work(action)
        if action.verb not in _WRITING:
            return work
        own = action.origin is not None and action.origin.side is action.side
        for step in steps_of(action, ()):
            if step.leaf is not None:
                source = step.source if own else self.orders.relocated.get(step.source, step.source)
                work.items.append(Item(step.path, Wanted(source, step.leaf), own))
                continue
            work.directories.append(step)
        return work

    def _read_own(self, actions: Sequence[Action], items: Sequence[Item]) -> None:
        """Entries of this context that give content or permissions to others of it."""
        paths = [action.path for action in actions if action.verb is Verb.PERMIT]
        paths += [item.wanted.path for item in items if item.own]
        paths += [old for path, old in self.orders.moves.items()]
        keys = [self.key(path) for path in paths]
        found: dict[str, FileEntry] = {}
        for start in range(0, len(keys), ENTRIES_AT_ONCE):
            found.update(self.host.entries(self.identifier, keys[start : start + ENTRIES_AT_ONCE]))
        self._own = found

    def _skip_held(self, items: Sequence[Item]) -> None:
        """Give their entries to items whose content the context holds already: renames, copies, what came back."""
        small: dict[bytes, list[Item]] = {}
        for item in items:
            leaf = item.wanted.leaf
            old = item.wanted.path if item.own else self.orders.moves.get(item.path, "")
            known = self._own.get(self.key(old)) if old else None
            if item.own and known is None:
                item.problem = SourceChanged(f"[SourceChanged] {old!r} is not in the context any more")
            elif known is not None and known.digest == leaf.digest:
                mode = known.mode if item.own else _mode(leaf)
                item.entry = FileEntry(
                    known.kind, mode, known.size, leaf.mtime_ns, known.digest, known.chunks, known.target
                )
            elif leaf.digest is not None and leaf.kind is Kind.FILE and is_one_chunk(leaf.size):
                small.setdefault(leaf.digest, []).append(item)
        if small:
            self._give_held(small)

    def _give_held(self, small: Mapping[bytes, Sequence[Item]]) -> None:
        missing = set(self.host.missing(self.identifier, list(small)))
        self.lacking |= missing
        for digest, items in small.items():
            for item in items if digest not in missing else ():
                leaf = item.wanted.leaf
                item.entry = FileEntry(FILE, leaf.permissions, leaf.size, leaf.mtime_ns, digest)

    def _read_databases(self, items: Sequence[Item]) -> None:
        """Let the digests of a database be those of one state of all its files (U8)."""
        groups = [group for group in _databases(items) if any(item.wanted.leaf.digest is None for item in group)]
        if not groups:
            return
        values = self.other.read_values([[item.wanted.path for item in group] for group in groups])
        found = {value.path: value for value in values}
        for item in (item for group in groups for item in group):
            value = found.get(item.wanted.path)
            if value is None or value.problem is not None:
                item.problem = value.problem if value else SourceChanged(f"{item.wanted.path!r} has gone meanwhile")
            else:
                item.wanted = item.wanted._replace(leaf=item.wanted.leaf._replace(digest=value.digest))

    # What was read ----------------------------------------------------------------------------------------------------

    def take_file(self, item: Item, entry: FileEntry, given: Given | None = None) -> None:
        """A file was read; without ``given`` it was just as its listing says."""
        item.entry, item.given = entry, given
        self.outcome.bytes += entry.size

    def take_link(self, item: Item, target: str) -> None:
        """A link was read."""
        digest = link_digest(target)
        if item.wanted.leaf.digest not in (None, digest):
            item.problem = SourceChanged(f"[SourceChanged] the link {item.wanted.path!r} points elsewhere by now")
            return
        leaf = item.wanted.leaf
        item.entry = FileEntry(LINK, LINK_MODE, leaf.size, leaf.mtime_ns, digest, target=packed(target))

    def fail(self, item: Item, problem: StorageError) -> None:
        """A leaf could not be read."""
        item.problem = problem

    # Changes and outcome ----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Turn everything that was read into changes, and say what became of the actions. ``wholes`` are left."""
        self.fail_torn_databases([item for work in self._works for item in work.items])
        copies = {work.action.path for work in self._works if work.action.verb is Verb.PUT}
        for work in self._works:
            action = work.action
            if action.aside in copies and action.aside not in self.outcome.taken:
                problem = SourceChanged(
                    f"[SourceChanged] {action.path!r} was left: its conflict copy could not be made"
                )
                self.outcome.failed[action.path] = problem
            elif action.verb is Verb.PERMIT:
                self._permit(action)
            elif action.verb is Verb.REMOVE:
                self._remove(action.path, isinstance(action.node, Directory))
            else:
                self._write(work)

    def fail_torn_databases(self, items: Sequence[Item]) -> None:
        """A database goes whole or not at all."""
        for group in _databases(items):
            if any(item.problem is not None for item in group):
                for item in group:
                    item.problem = item.problem or SourceChanged(
                        f"[SourceChanged] another file of the database of {item.path!r} failed"
                    )

    def _write(self, work: _Work) -> None:
        action = work.action
        placed = [item for item in work.items if item.problem is None]
        for item in work.items:
            if item.problem is not None:
                self.outcome.failed[item.path] = item.problem
        if not placed and not work.directories:
            return
        if isinstance(action.replaces, Directory) and not work.directories:
            self._empty(action.path)
        for item in placed:
            assert item.entry is not None
            self.changes[item.path] = item.entry
            self._note_leaf(item, item.entry)
        bulk = {step.path for step in work.directories if step.listing is not None}
        for step in work.directories:
            entry = FileEntry(DIRECTORY, DIRECTORY_MODE if step.permissions is None else step.permissions | 0o700)
            self.changes[step.path] = entry
            if step.path.rpartition("/")[0] not in bulk:
                self.outcome.note(step.path, _entry(step.path, entry))
            if action.verb is Verb.GRAFT:
                self.outcome.grafted.add(step.path)
            if step.listing is None:
                self.outcome.made.add(step.path)
                self.outcome.entries.setdefault(step.path, {})
            else:
                self.wholes.append(step)

    def _note_leaf(self, item: Item, entry: FileEntry) -> None:
        leaf = item.wanted.leaf
        self.outcome.taken[item.path] = leaf._replace(
            digest=entry.digest, size=entry.size, mtime_ns=entry.mtime, permissions=entry.mode
        )
        self.outcome.note(item.path, _entry(item.path, entry))
        if item.given is not None and item.given.entry is not None:
            self.outcome.given[item.wanted.path] = item.given.entry

    def _permit(self, action: Action) -> None:
        known = self._own.get(self.key(action.path))
        assert isinstance(action.node, Leaf)
        if known is None or known.kind != FILE:
            self.outcome.failed[action.path] = TargetChanged(f"[TargetChanged] {action.path!r} is not known here")
            return
        entry = FileEntry(FILE, action.node.permissions, known.size, known.mtime, known.digest, known.chunks)
        self.changes[action.path] = entry
        self.outcome.note(action.path, _entry(action.path, entry))

    def _empty(self, path: str) -> None:
        """What a directory holds goes with it."""
        for entry in self.listing(path) or ():
            self._remove(joined(path, entry.name), entry.mark == Mark.DIRECTORY)

    def _remove(self, path: str, directory: bool) -> None:
        if directory:
            listing = self.listing(path)
            if listing is None or not {Mark.INVISIBLE, Mark.UNKNOWN}.isdisjoint(listing.values[::33]):
                self.outcome.failed[path] = TargetChanged(f"[TargetChanged] {path!r} holds something out of scope")
                return
            self._empty(path)
            if any(failed.startswith(f"{path}/") for failed in self.outcome.failed):
                self.outcome.failed[path] = TargetChanged(f"[TargetChanged] {path!r} holds something out of scope")
                return
        self.changes[path] = None
        self.outcome.gone.add(path)


def _mode(leaf: Leaf) -> int:
    return LINK_MODE if leaf.kind is Kind.LINK else leaf.permissions


def _entry(path: str, entry: FileEntry) -> Entry:
    """How the listing of the context shows an entry."""
    return Entry(path.rpartition("/")[2], stats_in_context(entry), entry.kind, entry.digest or NO_DIGEST)


def stats_in_context(entry: FileEntry) -> tuple[int, int, int, int, int]:
    """The numbers by which a listing of a context describes an entry."""
    return (_TYPES[entry.kind] | entry.mode, 0, entry.size, entry.mtime, 0)


def listing_in_context(named: Sequence[tuple[str, FileEntry]]) -> Listing:
    """How a context lists these entries, in their order: what ``stats_in_context`` says of each, by columns."""
    numbers = array("q", bytes(STATS.size * len(named)))
    numbers[0::WIDTH] = array("q", [_TYPES[entry.kind] | entry.mode for _, entry in named])
    numbers[2::WIDTH] = array("q", [entry.size for _, entry in named])
    numbers[3::WIDTH] = array("q", [entry.mtime for _, entry in named])
    values = b"".join([value_in_context(entry) for _, entry in named])
    return Listing([name for name, _ in named], numbers, values)


def value_in_context(entry: FileEntry) -> bytes:
    """The value by which listings describe an entry."""
    return _KINDS[entry.kind] + (entry.digest or NO_DIGEST)


def _databases(items: Sequence[Item]) -> list[list[Item]]:
    """The files of every database among the items."""
    named = [item for item in items if item.wanted.leaf.group or item.path.endswith(JOURNALS)]
    if not named:
        return []
    by_path = {item.path: item for item in items if not item.is_link}
    groups: dict[str, list[Item]] = {}
    for item in named:
        if item.path.endswith(JOURNALS):
            main = item.path.rpartition("-")[0]
            if main in by_path:
                groups.setdefault(main, [by_path[main]]).append(item)
    return list(groups.values())
