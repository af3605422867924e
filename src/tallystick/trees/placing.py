"""Carrying out the actions of one side on a directory (spec contexts L5, G7, T1).

In batches: stage everything under temporary names, make it durable, look at every target again, give the names. So a
crash leaves whole old or whole new files and some temporary ones, which the next run removes. Removals come last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tallystick.trees.bulk import Wish, copy_directories
from tallystick.trees.contents import Contents, Wanted
from tallystick.trees.copying import Copy, Job, Staged, stage
from tallystick.trees.holding import WORTH_BYTES, Held
from tallystick.trees.listing import DISTRUST, NO_DIGEST, Entry, Listing, Mark, stats_of
from tallystick.trees.mount import Mount
from tallystick.trees.moving import can_move, link, move
from tallystick.trees.nodes import Directory, Kind, Leaf, Node, joined
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.plan import Action, Verb
from tallystick.trees.problems import NoSpace, SourceChanged, TargetChanged
from tallystick.trees.removing import Remover
from tallystick.trees.staging import Batch
from tallystick.trees.steps import Step, batches, size_of, steps_of, unread_databases, with_digests
from tallystick.trees.target import Target

if TYPE_CHECKING:
    from tallystick.trees.ends import TreeEnd

SPARE_BYTES = 16 << 20
"""What must remain free after everything has been written."""


def place(
    mount: Mount,
    listing_of: Callable[[str], Listing | None],
    holders_of: Callable[[Collection[bytes]], Mapping[bytes, str]],
    own: TreeEnd,
    other: TreeEnd,
    actions: Sequence[Action],
    orders: Orders,
) -> Outcome:
    """Carry out the actions of one side, in their order; what cannot be done is in ``failed``, the rest is done.

    ``listing_of`` gives what the scan noted of a directory of this side, ``holders_of`` where content of these
    digests was noted; ``own`` and ``other`` are the two trees as sources of content. Raises NoSpace before anything is
    written when the volume is too small.
    """
    placer = _Placer(Target(mount, listing_of, orders), own, other)
    placer.check_space(actions)
    if other.mount is None:
        placer.find_held(actions, holders_of)
    placer.begin(actions)
    for batch in batches(placer.steps(actions)):
        placer.build(batch)
    for action in actions:
        if action.verb is Verb.PERMIT:
            placer.remover.permit(action)
    for action in actions:
        if action.verb is Verb.REMOVE:
            placer.remover.remove(action)
    if orders.durable and actions:
        mount.files.sync_volume(mount.handle)
    return placer.outcome


class _Placer:
    def __init__(self, target: Target, own: TreeEnd, other: TreeEnd) -> None:
        self.target = target
        self.mount, self.files = target.mount, target.files
        self.orders, self.outcome = target.orders, target.outcome
        self.remover = Remover(target)
        self.own = own
        self.other = other
        self.expected_copies: set[str] = set()
        self.held = Held(own, {})

    def check_space(self, actions: Sequence[Action]) -> None:
        """Raise NoSpace unless everything fits (G7); also remember which conflict copies are on their way."""
        files = needed = 0
        for step in self.steps(actions):
            if step.path not in self.orders.moves:
                files += step.leaf is not None if step.listing is None else step.listing.leaves
                needed += size_of(step)
        if self.orders.progress is not None:
            self.orders.progress.expect(files, needed)
        self.expected_copies = {action.path for action in actions if action.verb is Verb.PUT}
        free = self.files.free_space(self.mount.handle)
        if needed and needed + SPARE_BYTES > free:
            raise NoSpace(
                f"[NoSpace] {self.mount.root} has {free:,} bytes left; {needed:,} are to be written "
                f"and {SPARE_BYTES:,} to stay free"
            )

    def find_held(
        self, actions: Sequence[Action], holders_of: Callable[[Collection[bytes]], Mapping[bytes, str]]
    ) -> None:
        """Find out what is to come from far away although it is here already: copies, and what was moved and edited."""
        digests = {
            step.leaf.digest
            for step in self.steps(actions)
            if step.leaf is not None and step.leaf.digest and step.leaf.kind is Kind.FILE
            if step.leaf.size >= WORTH_BYTES and step.path not in self.orders.moves
        }
        if digests:
            self.held = Held(self.own, holders_of(digests))

    def steps(self, actions: Sequence[Action]) -> Iterator[Step]:
        """Everything that is to be placed, parents first."""
        moved_into = {path.rpartition("/")[0] for path in self.orders.moves}
        for action in actions:
            yield from steps_of(action, moved_into, self.other.mount is not None)

    # Building -------------------------------------------------------------------------------------

    def build(self, steps: Sequence[Step]) -> None:
        """Stage one batch, make it durable, give the names."""
        batch = Batch()
        for step in self._with_databases_read(steps):
            if not self._moved(batch, step):
                self._stage_step(batch, step)
        for staged in self._copied(batch):
            self._note_staged(batch, staged)
        self._copy_bulk(batch)
        self._fail_torn_databases(batch)
        if self.orders.durable and batch.published:
            self.files.sync_volume(self.mount.handle)
        self._intend(batch)
        for step, temporary in batch.published:
            self.target.attempt(step.path, partial(self._publish, batch, step, temporary))
        self._discard_rest(batch)

    def begin(self, actions: Sequence[Action]) -> None:
        """Note what will be done as it comes: removals, permissions, and renames of what is known."""
        if self.orders.intending is not None and actions:
            moved = {action.path: action.node for action in actions if action.path in self.orders.moves}
            self.orders.intending.begin(moved)

    def _intend(self, batch: Batch) -> None:
        """Note what is about to get its name; what got its name before is durable by now."""
        if self.orders.intending is None or not batch.published:
            return
        nodes: dict[str, Node] = {path: Directory() for path in batch.directories}
        nodes.update(batch.leaves)
        self.orders.intending.placed(self.outcome.failed.keys())
        self.orders.intending.intend(nodes, {path: copied.target for path, copied in batch.bulk.items()})

    def _with_databases_read(self, steps: Sequence[Step]) -> Sequence[Step]:
        """The steps with the digests of unread databases, each read in one state (U8)."""
        groups = unread_databases(steps)
        if not groups:
            return steps
        digests = {value.path: value.digest for value in self.other.read_values(groups) if value.digest}
        return with_digests(steps, digests)

    def _stage_step(self, batch: Batch, step: Step) -> None:
        parent, _, name = step.path.rpartition("/")
        if self.target.has_failed_above(step.path):
            self.outcome.failed[step.path] = SourceChanged(f"{step.path!r}: its directory could not be made")
            return
        where, temporary = batch.add(step, parent, name, self.mount.temporary)
        if step.leaf is None:
            self.target.attempt(step.path, partial(self._make, batch, step, where, temporary))
        elif step.path not in self.orders.moves or not self._linked(batch, step, where, temporary):
            origin = step.action.origin
            source = self.own if origin is not None and origin.side is step.action.side else self.other
            path = step.source if source is self.own else self.orders.relocated.get(step.source, step.source)
            wanted = Wanted(path, step.leaf)
            held = source is self.other and self.held.has(wanted)
            batch.job(self.held if held else source, where).append(Copy(step.path, wanted, temporary))

    def _make(self, batch: Batch, step: Step, where: str, name: str) -> None:
        at = self.mount.directory(where)
        self.files.make_directory(name, at)
        batch.directories[step.path] = joined(where, name)
        found = self.files.status(name, at)
        if step.permissions is not None and (step.permissions | 0o700) != found.st_mode & 0o777:
            self.files.permit(self.mount.directory(joined(where, name)), step.permissions | 0o700)
            found = self.files.status(name, at)
        batch.entries[step.path] = Entry(step.path.rpartition("/")[2], stats_of(found), Mark.DIRECTORY, NO_DIGEST)

    def _moved(self, batch: Batch, step: Step) -> bool:
        """True when a renamed file could simply be renamed; else it is staged like any other."""
        old, parent = self.orders.moves.get(step.path), step.path.rpartition("/")[0]
        if old is None or step.leaf is None or parent in batch.directories:
            return False
        if step.action.replaces is not None or step.action.aside is not None:
            return False
        noted = self.target.noted(old)
        if noted is None or not can_move(noted, step.leaf) or self.target.has_failed_above(step.path):
            return False
        return self.target.attempt(step.path, partial(self._move, step, step.leaf, noted, old), quietly=True)

    def _move(self, step: Step, leaf: Leaf, noted: Entry, old: str) -> None:
        entry = move(self.mount, noted, old, step.path, self.orders.clock())
        self.outcome.note(step.path, entry)
        self.outcome.taken[step.path] = leaf
        self.outcome.gone.add(old)
        self.remover.moved_away.add(old)

    def _linked(self, batch: Batch, step: Step, where: str, name: str) -> bool:
        """True when a renamed file got its new name as a link; else its content has to be copied."""
        if self.target.attempt(step.path, partial(self._link, batch, step, where, name), quietly=True):
            return True
        self.target.attempt(step.path, partial(self._discard, where, name), quietly=True)
        return False

    def _link(self, batch: Batch, step: Step, where: str, name: str) -> None:
        """A renamed file: the same content gets its new name without being read (the old name goes later)."""
        assert step.leaf is not None
        old = self.orders.moves[step.path]
        noted = self.target.noted(old)
        if noted is None or noted.digest != step.leaf.digest:
            raise SourceChanged(f"{old!r} is not what it was")
        stats = link(self.mount, noted, old, where, name, step.leaf, self.orders.clock())
        mark = Mark.LINK if step.leaf.kind is Kind.LINK else Mark.FILE
        batch.entries[step.path] = Entry(step.path.rpartition("/")[2], stats, mark, noted.digest)
        batch.leaves[step.path] = step.leaf
        # The same file under both names: giving the new one moves its ctime once more.
        self.remover.linked[old] = (*stats[:4], DISTRUST)
        self.remover.successors[old] = step.path

    def _copied(self, batch: Batch) -> Iterator[Staged]:
        for source, jobs in list(batch.jobs.values()):
            for staged in self._stage(source, jobs):
                if source is not self.held or staged.problem is None or isinstance(staged.problem, NoSpace):
                    yield staged
                    continue
                for where, copies in jobs.items():
                    again = [copy for copy in copies if copy.target == staged.target]
                    yield from self._stage(self.other, {where: again}) if again else ()

    def _stage(self, source: Contents, jobs: Mapping[str, Sequence[Copy]]) -> list[Staged]:
        listed = [Job(*job) for job in jobs.items()]
        return stage(self.mount, source, listed, self.orders.clock, self.orders.progress)

    def _copy_bulk(self, batch: Batch) -> None:
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

    def _note_staged(self, batch: Batch, staged: Staged) -> None:
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

    def _fail_torn_databases(self, batch: Batch) -> None:
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
                    self.target.attempt(path, partial(self._discard, batch.directories[parent], name), quietly=True)

    # Giving names ---------------------------------------------------------------------------------

    def _publish(self, batch: Batch, step: Step, temporary: str) -> None:
        if step.path in self.outcome.failed:
            return
        self._check_aside(step.action)
        at, name = self.mount.split(step.path)
        expected = self._expected(step)
        if expected is not None and step.leaf is not None:
            self.target.keep(step.path)
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
        noted = self.target.noted(step.path)
        if noted is None:
            raise TargetChanged(f"[TargetChanged] {step.path!r} is not known here")
        return noted.stats

    def _clear(self, step: Step) -> None:
        """Make room where a leaf becomes a directory or the other way round."""
        replaces = step.action.replaces
        if step.path != step.action.path or replaces is None:
            return
        self.target.keep(step.path)
        if isinstance(replaces, Directory):
            self.remover.remove_directory(step.path)
        elif step.leaf is None:
            self.remover.remove_leaf(step.path)

    def _check_aside(self, action: Action) -> None:
        aside = action.aside
        if aside is not None and aside in self.expected_copies and aside not in self.outcome.taken:
            raise SourceChanged(f"[SourceChanged] {action.path!r} was left: its conflict copy could not be made")

    def _note_published(self, batch: Batch, step: Step, at: int, name: str) -> None:
        if step.leaf is not None:
            batch.entries[step.path] = self.target.as_published(batch.entries[step.path], at, name)
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

    def _discard_rest(self, batch: Batch) -> None:
        """Remove what was staged and got no name; everything inside it has failed with it."""
        for step, temporary in batch.published:
            if temporary in batch.done:
                continue
            parent = step.path.rpartition("/")[0]
            self.mount.forget(joined(parent, temporary))
            self.target.attempt(step.path, partial(self._discard, parent, temporary), quietly=True)
            problem = self.outcome.failed.setdefault(step.path, SourceChanged(f"{step.path!r} was not placed"))
            for path in batch.inside[step.path]:
                self.outcome.failed.setdefault(path, problem)

    def _discard(self, parent: str, name: str) -> None:
        self.mount.discard(self.mount.directory(parent), name)
