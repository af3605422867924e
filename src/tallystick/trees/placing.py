"""Carrying out the actions of one side on a directory (spec contexts L5, G7, T1).

In batches: stage everything under temporary names, make it durable, look at every target again, give the names. So a
crash leaves whole old or whole new files and some temporary ones, which the next run removes. Removals come last.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tallystick.errors import StorageError
from tallystick.trees.assembling import Lazy
from tallystick.trees.bulk import Copied, Wish, copy_directories
from tallystick.trees.contents import Contents, Wanted
from tallystick.trees.copying import Copy, Job, Staged, stage, storage_error
from tallystick.trees.files import Handle
from tallystick.trees.listing import DISTRUST, NO_DIGEST, Entry, Listing, Mark, same_file, settled_stats, stats_of
from tallystick.trees.merging import Origin
from tallystick.trees.mount import Mount
from tallystick.trees.moving import can_move, move
from tallystick.trees.nodes import PERMISSIONS, Directory, Kind, Leaf, Node, joined
from tallystick.trees.plan import Action, Verb
from tallystick.trees.problems import NoSpace, SourceChanged, TargetChanged
from tallystick.trees.progress import Progress

if TYPE_CHECKING:
    from tallystick.trees.ends import TreeEnd

BATCH_FILES = 20_000
BATCH_BYTES = 256 << 20
SPARE_BYTES = 16 << 20
"""What must remain free after everything has been written."""


@dataclass(slots=True)
class Outcome:
    """What became of the actions of one side.

    ``entries`` are the new entries of the side's listings by directory, ``made`` the directories that are new,
    ``gone`` the paths that are not there any more, ``taken`` the leaves that were placed, ``given`` what the source
    should note, ``failed`` why a path was left as it was. ``bulk`` are directories that were carried over as
    listed, ``grafted`` all that came with a whole subtree.
    """

    entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    taken: dict[str, Leaf] = field(default_factory=dict)
    given: dict[str, Entry] = field(default_factory=dict)
    failed: dict[str, StorageError] = field(default_factory=dict)
    bulk: dict[str, Copied] = field(default_factory=dict)
    grafted: set[str] = field(default_factory=set)
    bytes: int = 0

    @property
    def files(self) -> int:
        """How many leaves were placed."""
        return len(self.taken) + sum(copied.files for copied in self.bulk.values())

    def note(self, path: str, entry: Entry) -> None:
        """Remember the entry that stands at a path now."""
        self.entries.setdefault(path.rpartition("/")[0], {})[entry.name] = entry


class Step(NamedTuple):
    """One leaf (or, without one, one directory) to be placed for an action."""

    path: str
    leaf: Leaf | None
    source: str
    action: Action
    permissions: int | None = None
    listing: Listing | None = None
    """All that is to be carried over into a directory, when it goes as it is listed."""


@dataclass(slots=True)
class Orders:
    """How to carry out: ``moves`` maps new paths to old ones on this side, ``relocated`` paths of the other side to
    where their content stands by now; ``keep`` puts what will be lost into history; ``progress`` counts.
    """

    clock: Callable[[], int]
    durable: bool = True
    moves: Mapping[str, str] = field(default_factory=dict)
    relocated: Mapping[str, str] = field(default_factory=dict)
    keep: Callable[[str], None] | None = None
    progress: Progress | None = None


def place(
    mount: Mount,
    listing_of: Callable[[str], Listing | None],
    own: TreeEnd,
    other: TreeEnd,
    actions: Sequence[Action],
    orders: Orders,
) -> Outcome:
    """Carry out the actions of one side, in their order; what cannot be done is in ``failed``, the rest is done.

    ``listing_of`` gives what the scan noted of a directory of this side; ``own`` and ``other`` are the two trees as
    sources of content. Raises NoSpace before anything is written when the volume is too small.
    """
    placer = _Placer(mount, listing_of, own, other, orders)
    placer.check_space(actions)
    for batch in _batches(placer.steps(actions)):
        placer.build(batch)
    for action in actions:
        if action.verb is Verb.PERMIT:
            placer.permit(action)
    for action in actions:
        if action.verb is Verb.REMOVE:
            placer.remove(action)
    if orders.durable and actions:
        mount.files.sync_volume(mount.handle)
    return placer.outcome


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


def _batches(steps: Iterator[Step]) -> Iterator[list[Step]]:
    batch: list[Step] = []
    files = size = 0
    for step in steps:
        batch.append(step)
        files += 1 if step.listing is None else len(step.listing)
        size += _size(step)
        if files >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, files, size = [], 0, 0
    if batch:
        yield batch


def _size(step: Step) -> int:
    if step.listing is not None:
        return step.listing.size
    return step.leaf.size if step.leaf is not None else 0


class _Placer:
    def __init__(
        self,
        mount: Mount,
        listing_of: Callable[[str], Listing | None],
        own: TreeEnd,
        other: TreeEnd,
        orders: Orders,
    ) -> None:
        self.mount = mount
        self.files = mount.files
        self.listing_of = listing_of
        self.own = own
        self.other = other
        self.orders = orders
        self.outcome = Outcome()
        self.expected_copies: set[str] = set()
        self.linked: dict[str, Sequence[int]] = {}
        self.successors: dict[str, str] = {}
        self.moved_away: set[str] = set()

    def check_space(self, actions: Sequence[Action]) -> None:
        """Raise NoSpace unless everything fits (G7); also remember which conflict copies are on their way."""
        files = needed = 0
        for step in self.steps(actions):
            if step.path not in self.orders.moves:
                files += step.leaf is not None if step.listing is None else step.listing.leaves
                needed += _size(step)
        if self.orders.progress is not None:
            self.orders.progress.expect(files, needed)
        self.expected_copies = {action.path for action in actions if action.verb is Verb.PUT}
        free = self.files.free_space(self.mount.handle)
        if needed and needed + SPARE_BYTES > free:
            raise NoSpace(f"[NoSpace] {self.mount.root} has {free} bytes left and {needed} are to be written")

    def steps(self, actions: Sequence[Action]) -> Iterator[Step]:
        """Everything that is to be placed, parents first."""
        moved_into = {path.rpartition("/")[0] for path in self.orders.moves}
        for action in actions:
            yield from steps_of(action, moved_into, self.other.mount is not None)

    # Building -------------------------------------------------------------------------------------

    def build(self, steps: Sequence[Step]) -> None:
        """Stage one batch, make it durable, give the names."""
        batch = _Batch()
        for step in self._with_databases_read(steps):
            if not self._moved(batch, step):
                self._stage_step(batch, step)
        for staged in self._copied(batch):
            self._note_staged(batch, staged)
        self._copy_bulk(batch)
        self._fail_torn_databases(batch)
        if self.orders.durable and batch.published:
            self.files.sync_volume(self.mount.handle)
        for step, temporary in batch.published:
            self._attempt(step.path, partial(self._publish, batch, step, temporary))
        self._discard_rest(batch)

    def _with_databases_read(self, steps: Sequence[Step]) -> list[Step]:
        """The steps with the digests of unread databases, each read in one state (U8)."""
        groups: dict[tuple[str, str], list[str]] = {}
        for step in steps:
            if step.leaf is not None and step.leaf.group and step.leaf.digest is None:
                groups.setdefault((step.source.rpartition("/")[0], step.leaf.group), []).append(step.source)
        if not groups:
            return list(steps)
        digests = {value.path: value.digest for value in self.other.read_values(list(groups.values())) if value.digest}
        return [
            step._replace(leaf=step.leaf._replace(digest=digests[step.source]))
            if step.leaf is not None and step.leaf.digest is None and step.source in digests
            else step
            for step in steps
        ]

    def _stage_step(self, batch: _Batch, step: Step) -> None:
        parent, _, name = step.path.rpartition("/")
        if self._has_failed_above(step.path):
            self.outcome.failed[step.path] = SourceChanged(f"{step.path!r}: its directory could not be made")
            return
        where, temporary = batch.add(step, parent, name, self.mount.temporary)
        if step.leaf is None:
            self._attempt(step.path, partial(self._make, batch, step, where, temporary))
        elif step.path not in self.orders.moves or not self._linked(batch, step, where, temporary):
            origin = step.action.origin
            source = self.own if origin is not None and origin.side is step.action.side else self.other
            path = step.source if source is self.own else self.orders.relocated.get(step.source, step.source)
            batch.job(source, where).append(Copy(step.path, Wanted(path, step.leaf), temporary))

    def _make(self, batch: _Batch, step: Step, where: str, name: str) -> None:
        at = self.mount.directory(where)
        self.files.make_directory(name, at)
        batch.directories[step.path] = joined(where, name)
        found = self.files.status(name, at)
        if step.permissions is not None and (step.permissions | 0o700) != found.st_mode & 0o777:
            self.files.permit(self.mount.directory(joined(where, name)), step.permissions | 0o700)
            found = self.files.status(name, at)
        batch.entries[step.path] = Entry(step.path.rpartition("/")[2], stats_of(found), Mark.DIRECTORY, NO_DIGEST)

    def _moved(self, batch: _Batch, step: Step) -> bool:
        """True when a renamed file could simply be renamed; else it is staged like any other."""
        old, parent = self.orders.moves.get(step.path), step.path.rpartition("/")[0]
        if old is None or step.leaf is None or parent in batch.directories:
            return False
        if step.action.replaces is not None or step.action.aside is not None:
            return False
        noted = self._noted(old)
        if noted is None or not can_move(noted, step.leaf) or self._has_failed_above(step.path):
            return False
        return self._attempt(step.path, partial(self._move, step, step.leaf, noted, old), quietly=True)

    def _move(self, step: Step, leaf: Leaf, noted: Entry, old: str) -> None:
        entry = move(self.mount, noted, old, step.path, self.orders.clock())
        self.outcome.note(step.path, entry)
        self.outcome.taken[step.path] = leaf
        self.outcome.gone.add(old)
        self.moved_away.add(old)

    def _linked(self, batch: _Batch, step: Step, where: str, name: str) -> bool:
        """True when a renamed file got its new name as a link; else its content has to be copied."""
        if self._attempt(step.path, partial(self._link, batch, step, where, name), quietly=True):
            return True
        self._attempt(step.path, partial(self._discard, where, name), quietly=True)
        return False

    def _link(self, batch: _Batch, step: Step, where: str, name: str) -> None:
        """A renamed file: the same content gets its new name without being read (the old name goes later)."""
        assert step.leaf is not None
        old = self.orders.moves[step.path]
        noted = self._noted(old)
        at, old_name = self.mount.split(old)
        if noted is None or noted.digest != step.leaf.digest:
            raise SourceChanged(f"{old!r} is not what it was")
        if not same_file(noted.stats, stats_of(self.files.status(old_name, at))):
            raise TargetChanged(f"{old!r} was changed meanwhile")
        target = self.mount.directory(where)
        self.files.link(old_name, at, name, target)
        found = stats_of(self.files.status(name, target))
        if not same_file(noted.stats, found, renamed=True):
            raise TargetChanged(f"{old!r} was changed meanwhile")
        stats = settled_stats(found, self.orders.clock(), ours=True)
        if step.leaf.kind is Kind.FILE and (found[3], found[0] & PERMISSIONS) != (
            step.leaf.mtime_ns,
            step.leaf.permissions,
        ):
            self._dress(name, target, step.leaf)
            # Our own time would hide an edit of this very moment: it is read once more.
            stats = (*stats_of(self.files.status(name, target))[:4], DISTRUST)
        mark = Mark.LINK if step.leaf.kind is Kind.LINK else Mark.FILE
        batch.entries[step.path] = Entry(step.path.rpartition("/")[2], stats, mark, noted.digest)
        batch.leaves[step.path] = step.leaf
        # The same file under both names: giving the new one moves its ctime once more.
        self.linked[old] = (*stats[:4], DISTRUST)
        self.successors[old] = step.path

    def _dress(self, name: str, at: Handle, leaf: Leaf) -> None:
        """Give a linked file the time and permissions of the leaf."""
        handle = self.files.open_read(name, at)
        try:
            found = self.files.status_of(handle)
            if found.st_mtime_ns != leaf.mtime_ns:
                self.files.set_time(handle, leaf.mtime_ns)
            if found.st_mode & 0o777 != leaf.permissions:
                self.files.permit(handle, leaf.permissions)
        finally:
            self.files.close(handle)

    def _copied(self, batch: _Batch) -> Iterator[Staged]:
        for source, jobs in batch.jobs.values():
            yield from stage(
                self.mount, source, [Job(*job) for job in jobs.items()], self.orders.clock, self.orders.progress
            )

    def _copy_bulk(self, batch: _Batch) -> None:
        """Fill the staged directories that are carried over as they are listed."""
        wishes = [
            Wish(path, step.source, step.listing, batch.directories[path])
            for path, step in batch.steps.items()
            if step.listing is not None and path in batch.directories
        ]
        if not wishes:
            return
        source = self.other.mount
        assert source is not None, "only a directory on this machine offers its listings"
        for copied in copy_directories(source, self.mount, wishes, self.orders.clock, self.orders.progress):
            batch.bulk[copied.path] = copied
            for name, problem in copied.failed:
                self.outcome.failed[joined(copied.path, name)] = problem

    def _note_staged(self, batch: _Batch, staged: Staged) -> None:
        if staged.given is None or staged.entry is None:
            self.outcome.failed[staged.target] = staged.problem or SourceChanged(f"{staged.target!r} was not staged")
            return
        step = batch.steps[staged.target]
        assert step.leaf is not None
        name = staged.target.rpartition("/")[2]
        batch.entries[staged.target] = staged.entry._replace(name=name)
        given = staged.given
        batch.leaves[staged.target] = step.leaf._replace(
            digest=given.digest, size=given.size, mtime_ns=given.mtime_ns, permissions=given.permissions
        )
        self.outcome.bytes += given.size
        if given.entry is not None:
            self.outcome.given[step.source] = given.entry

    def _fail_torn_databases(self, batch: _Batch) -> None:
        """A database is placed with all its files or not at all (U8)."""
        groups: dict[tuple[str, str], list[str]] = {}
        for path, step in batch.steps.items():
            if step.leaf is not None and step.leaf.group:
                groups.setdefault((path.rpartition("/")[0], step.leaf.group), []).append(path)
        for (parent, main), paths in groups.items():
            if not any(path in self.outcome.failed for path in paths):
                continue
            problem = SourceChanged(f"[SourceChanged] another file of the database {main!r} failed")
            for path in paths:
                self.outcome.failed.setdefault(path, problem)
                if parent in batch.directories:
                    name = path.rpartition("/")[2]
                    self._attempt(path, partial(self._discard, batch.directories[parent], name), quietly=True)

    # Giving names ---------------------------------------------------------------------------------

    def _publish(self, batch: _Batch, step: Step, temporary: str) -> None:
        if step.path in self.outcome.failed:
            return
        self._check_aside(step.action)
        at, name = self.mount.split(step.path)
        expected = self._expected(step)
        if expected is not None and step.leaf is not None:
            self._keep(step.path)
            self.mount.publish_over(at, temporary, name, expected)
        else:
            self._clear(step)
            self.mount.publish_new(at, temporary, name)
        batch.done.add(temporary)
        if step.leaf is None:
            self.mount.forget(joined(step.path.rpartition("/")[0], temporary))
        self._note_published(batch, step, at, name)

    def _expected(self, step: Step) -> Sequence[int] | None:
        """The stats of the leaf that is to be replaced; None when nothing or a directory stands there."""
        if step.path != step.action.path or not isinstance(step.action.replaces, Leaf):
            return None
        noted = self._noted(step.path)
        if noted is None:
            raise TargetChanged(f"[TargetChanged] {step.path!r} is not known here")
        return noted.stats

    def _clear(self, step: Step) -> None:
        """Make room where a leaf becomes a directory or the other way round."""
        replaces = step.action.replaces
        if step.path != step.action.path or replaces is None:
            return
        self._keep(step.path)
        if isinstance(replaces, Directory):
            self._remove_directory(step.path)
        elif step.leaf is None:
            self._remove_leaf(step.path)

    def _check_aside(self, action: Action) -> None:
        aside = action.aside
        if aside is not None and aside in self.expected_copies and aside not in self.outcome.taken:
            raise SourceChanged(f"[SourceChanged] {action.path!r} was left: its conflict copy could not be made")

    def _note_published(self, batch: _Batch, step: Step, at: int, name: str) -> None:
        if step.leaf is not None:
            batch.entries[step.path] = self._as_published(batch.entries[step.path], at, name)
        inner = batch.inside[step.path]
        for path in inner:
            if path in self.outcome.failed:
                continue
            if batch.steps[path].leaf is None:
                self.outcome.gone.discard(path)  # a leaf went from there to make room
            if batch.steps[path].leaf is None and batch.steps[path].action.verb is Verb.GRAFT:
                self.outcome.grafted.add(path)
            if batch.steps[path].leaf is not None:
                self.outcome.taken[path] = batch.leaves[path]
            elif path in batch.bulk:
                self.outcome.bulk[path] = batch.bulk[path]
                self.outcome.bytes += batch.bulk[path].bytes
            else:
                self.outcome.made.add(path)
                self.outcome.entries.setdefault(path, {})
            if path.rpartition("/")[0] not in batch.bulk:
                self.outcome.note(path, batch.entries[path])

    def _as_published(self, staged: Entry, at: Handle, name: str) -> Entry:
        """The entry as it is noted: what somebody put in its place since is not ours, and is seen by the next scan."""
        try:
            found = stats_of(self.files.status(name, at))
        except FileNotFoundError:
            found = None
        if found is None or not same_file(staged.stats, found, renamed=True):
            return staged._replace(stats=(*staged.stats[:4], DISTRUST))
        return staged._replace(stats=settled_stats(found, self.orders.clock(), ours=True))

    def _discard_rest(self, batch: _Batch) -> None:
        """Remove what was staged and got no name; everything inside it has failed with it."""
        for step, temporary in batch.published:
            if temporary in batch.done:
                continue
            parent = step.path.rpartition("/")[0]
            self.mount.forget(joined(parent, temporary))
            self._attempt(step.path, partial(self._discard, parent, temporary), quietly=True)
            problem = self.outcome.failed.setdefault(step.path, SourceChanged(f"{step.path!r} was not placed"))
            for path in batch.inside[step.path]:
                self.outcome.failed.setdefault(path, problem)

    def _discard(self, parent: str, name: str) -> None:
        self.mount.discard(self.mount.directory(parent), name)

    # Permitting and removing ----------------------------------------------------------------------

    def permit(self, action: Action) -> None:
        """Change the permission bits of a file that is still what was noted."""
        self._attempt(action.path, lambda: self._permit(action))

    def _permit(self, action: Action) -> None:
        assert isinstance(action.node, Leaf)
        noted = self._noted(action.path)
        at, name = self.mount.split(action.path)
        handle = self.files.open_read(name, at)
        try:
            if noted is None or not same_file(noted.stats, stats_of(self.files.status_of(handle))):
                raise TargetChanged(f"[TargetChanged] {action.path!r} was changed meanwhile")
            self.files.permit(handle, action.node.permissions)
            stats = stats_of(self.files.status_of(handle))
            if stats[1:4] != tuple(noted.stats[1:4]):
                raise TargetChanged(f"[TargetChanged] {action.path!r} was changed meanwhile")
        finally:
            self.files.close(handle)
        settled = settled_stats(stats, self.orders.clock(), ours=True)
        self.outcome.note(action.path, noted._replace(stats=settled))

    def remove(self, action: Action) -> None:
        """Remove a leaf or a directory with everything in it that is as it was noted."""
        self._attempt(action.path, lambda: self._remove(action))

    def _remove(self, action: Action) -> None:
        self._keep(action.path)
        if isinstance(action.node, Directory):
            self._remove_directory(action.path)
        else:
            self._remove_leaf(action.path)

    def _remove_leaf(self, path: str) -> None:
        if path in self.moved_away:
            return  # it has its new name already
        noted = self._noted(path)
        if noted is None:
            raise TargetChanged(f"[TargetChanged] {path!r} is not known here")
        at, name = self.mount.split(path)
        self.mount.remove_checked(at, name, self.linked.get(path, noted.stats))
        self.outcome.gone.add(path)
        if path in self.successors:
            self._note_again(self.successors[path])

    def _note_again(self, path: str) -> None:
        """A file lost its other name, which moved its ctime: what was noted of it follows."""
        parent, _, name = path.rpartition("/")
        entry = self.outcome.entries.get(parent, {}).get(name)
        if entry is not None and entry.stats[4] != DISTRUST:
            at, _ = self.mount.split(path)
            self.outcome.note(path, self._as_published(entry, at, name))

    def _remove_directory(self, path: str) -> None:
        listing = self.listing_of(path)
        if listing is None:
            raise TargetChanged(f"[TargetChanged] {path!r} is not known here")
        whole = True
        for entry in listing:
            inner = joined(path, entry.name)
            if entry.mark in (Mark.INVISIBLE, Mark.UNKNOWN):
                whole = False
                continue
            remove = self._remove_directory if entry.mark == Mark.DIRECTORY else self._remove_leaf
            whole = self._attempt(inner, partial(remove, inner)) and whole
        if not whole:
            raise TargetChanged(f"[TargetChanged] {path!r} holds something that changed meanwhile")
        self.mount.forget(path)
        at, name = self.mount.split(path)
        try:
            self.files.remove_directory(name, at)
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise TargetChanged(f"[TargetChanged] {path!r} holds something new") from None
        self.outcome.gone.add(path)

    # What everything needs ------------------------------------------------------------------------

    def _noted(self, path: str) -> Entry | None:
        parent, _, name = path.rpartition("/")
        listing = self.listing_of(parent)
        return None if listing is None else listing.find(name)

    def _keep(self, path: str) -> None:
        if self.orders.keep is not None:
            self.orders.keep(path)

    def _has_failed_above(self, path: str) -> bool:
        while self.outcome.failed and (path := path.rpartition("/")[0]):
            if path in self.outcome.failed:
                return True
        return False

    def _attempt(self, path: str, work: Callable[[], None], quietly: bool = False) -> bool:
        """Do it; when it fails, remember why (unless ``quietly``) and go on with the rest."""
        try:
            work()
        except StorageError as problem:
            if not quietly:
                self.outcome.failed[path] = problem
            return False
        except OSError as problem:
            if not quietly:
                self.outcome.failed[path] = _named(path, problem)
            return False
        return True


def _named(path: str, problem: OSError) -> StorageError:
    if problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        return TargetChanged(f"[TargetChanged] {path!r}: {problem.strerror}")
    return storage_error(path, problem)


@dataclass(slots=True)
class _Batch:
    """What is staged: steps by path, where their directories stand for now, and which names are to be given.

    ``inside`` lists, for every step that gets its name by a rename, all steps that appear with it.
    """

    steps: dict[str, Step] = field(default_factory=dict)
    directories: dict[str, str] = field(default_factory=dict)
    published: list[tuple[Step, str]] = field(default_factory=list)
    inside: dict[str, list[str]] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    bulk: dict[str, Copied] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    jobs: dict[int, tuple[Contents, dict[str, list[Copy]]]] = field(default_factory=dict)

    def add(self, step: Step, parent: str, name: str, temporary: Callable[[], str]) -> tuple[str, str]:
        """The directory to stage a step in, and its name there: temporary unless its directory is staged too."""
        self.steps[step.path] = step
        root = self.roots.get(parent) if parent in self.directories else None
        if root is None:
            root = step.path
            name = temporary()
            self.published.append((step, name))
            self.inside[root] = []
        self.inside[root].append(step.path)
        if step.leaf is None:
            self.roots[step.path] = root
        return self.directories.get(parent, parent), name

    def job(self, source: Contents, directory: str) -> list[Copy]:
        """The copies of one source into one directory."""
        return self.jobs.setdefault(id(source), (source, {}))[1].setdefault(directory, [])
