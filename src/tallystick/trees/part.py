"""One part of the trees of a run, or all of them: what differs, what to do about it, and remembering what was done.

A part is a closed set of directories: nothing that is planned in one depends on another, and each remembers what it
did in a transaction of its own. Large trees are brought into agreement in two parts (``cut``, ``run``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tallystick.errors import StorageError
from tallystick.trees.assembling import Forest, Source, Trees
from tallystick.trees.base_row import BaseRow
from tallystick.trees.cut import Cut
from tallystick.trees.ends import ReadValue, TreeEnd
from tallystick.trees.history import History
from tallystick.trees.intending import Intending
from tallystick.trees.listing import Entry, Listing
from tallystick.trees.merging import Side
from tallystick.trees.names import CLASH
from tallystick.trees.nodes import UNKNOWN, Directory, Leaf, Node, find, joined, known_equal, upward
from tallystick.trees.noted_side import NotedSide
from tallystick.trees.options import Options
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.plan import (
    Action,
    Half,
    Plan,
    Vanished,
    Verb,
    moves,
    plan,
    possible_moves,
    undetermined,
    vanished,
)
from tallystick.trees.problems import NoSpace, storage_error
from tallystick.trees.report import Report
from tallystick.trees.scan import Scan, unread
from tallystick.trees.scope import Scope
from tallystick.trees.settling import settle
from tallystick.trees.state import Changes, State
from tallystick.trees.unchanged import NOTHING
from tallystick.trees.unsettled import disagreeing
from tallystick.trees.warnings import warnings_of

Exchange = Callable[[Mapping[Side, Vanished]], Mapping[Side, Vanished]]
"""Tells the other part what vanished in this one, and gives what vanished in the other."""


@dataclass(slots=True)
class Sides:
    """Both trees of a run in their roles, and what is remembered of them; a pulling one-way run exchanges the roles.

    ``stored`` says under which side each is remembered.
    """

    state: State
    clock: Callable[[], int]
    options: Options
    ends: Mapping[Side, TreeEnd]
    stored: Mapping[Side, Side]
    noted: Mapping[Side, NotedSide]


class Part:
    """The directories of a part from the scans of both sides to what is remembered of them.

    ``cut`` tells which unsettled directories belong to it: those in the cut, or (``first``) all others; None: all.
    """

    def __init__(
        self, sides: Sides, scans: Mapping[Side, Scan], scope: Scope, cut: Cut | None = None, first: bool = True
    ) -> None:
        self.sides = sides
        self.state, self.options, self.ends, self.noted = sides.state, sides.options, sides.ends, sides.noted
        self.scans = scans
        self.scope = scope
        self.changes = Changes()
        self.touched: dict[Side, set[str]] = {side: set() for side in Side}
        self.failures: dict[str, StorageError] = {}
        self.grafted: dict[str, Side] = {}
        self.elsewhere: Mapping[Side, Vanished] = {side: {} for side in Side}
        self._moves: dict[Side, dict[str, str]] = {}
        self._whole_rows: dict[tuple[Side, str], tuple[Listing, BaseRow]] = {}
        self.unsettled = self.state.unsettled()
        if cut is not None:
            self.unsettled = {path for path in self.unsettled if cut.holds(path) is not first}
        self.dirty = set(self.unsettled)
        for side, scan in scans.items():
            self.dirty |= scan.changed.keys()
            self.touched[side] |= scan.changed.keys() | scan.reordered.keys()
        self.base_rows: dict[str, BaseRow | None] = self.state.base_rows(self.dirty)
        for side, scan in scans.items():
            self.noted[side].expect(self.dirty - scan.changed.keys() - scan.reordered.keys())

    def prepare(self, exchange: Exchange | None = None) -> Plan:
        """The plan; leaves whose content decides something are read for it."""
        sources = [
            Source(end.listing, end.unknown, end.volume, partial(self._news, side)) for side, end in self.ends.items()
        ]
        self.forest = Forest(sources[0], sources[1], self._base_row, self.scope, self.dirty)
        trees = self.forest.trees()
        self._read(trees, exchange)
        found = plan(*trees, self.options.mode, self.options.half)
        found.unknown.extend(unread(self.scans.values(), found.unknown))
        return found

    def moves(self, found: Plan, side: Side) -> dict[str, str]:
        """The old path of what has only another name, by its new one, on one side."""
        if side not in self._moves:
            self._moves[side] = moves(found, side)
        return self._moves[side]

    def report(self, found: Plan) -> Report:
        """The report of what is planned, for ``carry_out`` to complete."""
        exchanged = self.sides.stored[Side.LOCAL] is not Side.LOCAL
        report = Report(found, self.options.dry_run, exchanged, failed=self.failures)
        report.warnings = warnings_of(self.scans.values(), self.ends.values(), self.forest)
        report.entries = sum(scan.entries for scan in self.scans.values())
        return report

    def _news(self, side: Side, path: str) -> Collection[str] | None:
        """The names that are not as they were when nothing was left to do about a directory; None: not known."""
        if self.noted[side].afresh or path in self.unsettled:
            return None
        scan = self.scans[side]
        return scan.news.get(path) if path in scan.changed else NOTHING

    def _base_row(self, path: str) -> BaseRow | None:
        if path not in self.base_rows:
            self.base_rows[path] = self.state.base_row(path)
        return self.base_rows[path]

    # Reading what the plan depends on -------------------------------------------------------------

    def _read(self, trees: Trees, exchange: Exchange | None) -> None:
        """Read leaves whose value decides something; the trees are completed in place."""
        self._read_leaves(trees, undetermined(*trees))
        if exchange is not None:
            self.elsewhere = exchange({side: vanished(trees.base, self._tree(trees, side)) for side in Side})
        self._read_leaves(trees, possible_moves(*trees, self.elsewhere))

    def _read_leaves(self, trees: Trees, unread_leaves: Iterable[tuple[Side, str]]) -> None:
        wanted: dict[Side, dict[tuple[str, str], list[str]]] = {side: {} for side in Side}
        for side, path in unread_leaves:
            leaf = find(self._tree(trees, side), path)
            group = leaf.group if isinstance(leaf, Leaf) else ""
            wanted[side].setdefault((path.rpartition("/")[0], group) if group else (path, ""), []).append(path)
        for side, groups in wanted.items():
            values = self.ends[side].read_values(list(groups.values())) if groups else ()
            self._note_values(trees, side, values)

    def _tree(self, trees: Trees, side: Side) -> Directory:
        return trees.local if side is Side.LOCAL else trees.remote

    def _note_values(self, trees: Trees, side: Side, values: Iterable[ReadValue]) -> None:
        """Complete the trees and the listings with what was read."""
        listed: dict[str, list[ReadValue]] = {}
        for value in values:
            listed.setdefault(value.path.rpartition("/")[0], []).append(value)
        for path, found in listed.items():
            directory = find(self._tree(trees, side), path)
            assert isinstance(directory, Directory)
            assert isinstance(directory.children, dict)
            read = [self._note_value(directory.children, side, value) for value in found]
            entries = [entry for entry in read if entry is not None]
            if entries:
                self.ends[side].note(path, (self.ends[side].listing(path) or Listing()).changed_with(entries))
                self.touched[side].add(path)

    def _note_value(self, children: dict[str, Node], side: Side, value: ReadValue) -> Entry | None:
        name = value.path.rpartition("/")[2]
        if value.problem is not None:
            self.failures[value.path] = value.problem
            children[name] = UNKNOWN
            return None
        old = children[name]
        assert isinstance(old, Leaf)
        entry = Entry(name, tuple(value.stats), value.mark, value.digest)
        permissions = entry.permissions if self.ends[side].volume.permissions else old.permissions
        children[name] = old._replace(
            digest=value.digest, size=entry.size, mtime_ns=entry.mtime_ns, permissions=permissions
        )
        return entry

    def _note_entries(self, side: Side, path: str, entries: Sequence[Entry], gone: Collection[str] = ()) -> None:
        self.ends[side].note(path, (self.ends[side].listing(path) or Listing()).changed_with(entries, gone))
        self.touched[side].add(path)

    # Carrying out ---------------------------------------------------------------------------------

    def carry_out(self, found: Plan, report: Report) -> None:
        """Do what is planned; the report says what became of it, and the changes to remember are ready."""
        taken: dict[str, Leaf] = {}
        relocated: dict[str, str] = {}
        for side in (Side.REMOTE, Side.LOCAL):
            actions = found.of(side)
            if not actions:
                continue
            self.ends[side.other].settle()  # what is replaced here may have been saved there
            outcome = self._place(found, side, actions, relocated, report)
            relocated = {
                conflict.path: conflict.copy
                for conflict in found.conflicts
                if conflict.origin.side is side and conflict.copy in outcome.taken and conflict.copy is not None
            }
            self._note_outcome(side, outcome)
            taken.update(outcome.taken)
            self.failures.update(outcome.failed)
            report.files += outcome.files
            report.removals += sum(action.verb is Verb.REMOVE for action in actions)
            self.grafted.update(dict.fromkeys(outcome.grafted, side))
            report.bytes += outcome.bytes
        self._note_changes(found, taken)

    def _place(
        self, found: Plan, side: Side, actions: list[Action], relocated: Mapping[str, str], report: Report
    ) -> Outcome:
        stored, token = self.sides.stored[side], self.ends[side].token
        intending = Intending(self.state, stored, token, found, side, partial(self._whole_row, side))
        orders = Orders(
            clock=self.sides.clock,
            durable=self.options.durable,
            moves=self.moves(found, side),
            relocated=relocated,
            keep=self._keeper(found, side, report),
            progress=self.options.progress,
            intending=intending,
        )
        try:
            outcome = self.ends[side].place(self.ends[side.other], actions, orders)
        except NoSpace as problem:
            return Outcome(failed={action.path: problem for action in actions})
        except OSError as problem:
            # What was placed before it is found by the next run, by what was intended.
            error = storage_error(self.ends[side].title, problem)
            return Outcome(failed={action.path: error for action in actions})
        self.changes.fulfilled.update(intending.numbers)
        return outcome

    def _keeper(self, found: Plan, side: Side, report: Report) -> Callable[[str], None] | None:
        """What puts the losers of a side into history before they are replaced or removed."""
        losers = {loser.path for loser in found.conflicts if loser.copy is None and loser.origin.side is side}
        if not losers or self.options.history is None:
            return None
        history = History(self.options.history, self.sides.clock())
        report.kept = history.kept

        def keep(path: str) -> None:
            for loser in sorted(loser for loser in losers if _is_below(loser, path)):
                leaf = find(found.local if side is Side.LOCAL else found.remote, loser)
                assert isinstance(leaf, Leaf)
                history.keep(self.ends[side], loser, leaf)

        return keep

    def _note_outcome(self, side: Side, outcome: Outcome) -> None:
        """Bring the listings of both sides up to date with what was done."""
        gone: dict[str, set[str]] = {}
        for path in outcome.gone:
            parent, _, name = path.rpartition("/")
            gone.setdefault(parent, set()).add(name)
        for path in outcome.made:
            self.ends[side].note(path, Listing())
        for path in outcome.entries.keys() | gone.keys():
            if path not in outcome.gone:
                self._note_entries(side, path, list(outcome.entries.get(path, {}).values()), gone.get(path, ()))
        for path, copied in outcome.bulk.items():
            self.ends[side].note(path, copied.target)
            self.ends[side.other].note(copied.source, copied.origin)
            self.touched[side].add(path)
            self.touched[side.other].add(copied.source)
        given: dict[str, list[Entry]] = {}
        for path, entry in outcome.given.items():
            given.setdefault(path.rpartition("/")[0], []).append(entry)
        for path, entries in given.items():
            self._note_entries(side.other, path, entries)
        for path in outcome.gone:
            parent, _, name = path.rpartition("/")
            if name in self.noted[side].subdirectories(parent) or path in self.scans[side].changed:
                self.ends[side].note(path, None)
                self.touched[side].add(path)

    # Remembering ----------------------------------------------------------------------------------

    def remember(self, meta: Mapping[str, str | None]) -> None:
        """Remember what was carried out, and these settings, in one durable transaction."""
        self.changes.meta.update(meta)
        if self.changes == Changes():
            self._settle()
        if self.changes != Changes():
            self.state.remember(self.changes, self._settle)

    def _settle(self) -> None:
        """Wait until what was carried out is certain, and note what it made of the tokens."""
        for side, end in self.ends.items():
            end.settle()
            if end.token and end.token != self.noted[side].token():
                self.changes.note_token(self.sides.stored[side], end.token)

    def _note_changes(self, found: Plan, taken: Mapping[str, Leaf]) -> None:
        after = settle(found, self.failures.keys(), taken, self.grafted.keys())
        for side, paths in self.touched.items():
            for path in paths:
                self._remember_listing(side, path)
        self._remember_base("", found.base, after)
        self._remember_unsettled(found, after)

    def _remember_listing(self, side: Side, path: str) -> None:
        listing = self.ends[side].listing(path)
        self.changes.listings[(self.sides.stored[side], path)] = listing
        if listing is None:
            return
        for name in set(self.noted[side].subdirectories(path)).difference(listing.subdirectories()):
            self.changes.listings.setdefault((self.sides.stored[side], joined(path, name)), None)

    def _remember_base(self, path: str, before: Node, after: Node) -> None:
        """The rows that differ between the base before and after."""
        if path in self.grafted:
            self._remember_grafted(path)
            return
        if after is before or known_equal(before, after):
            return
        if not isinstance(after, Directory):
            if isinstance(before, Directory):
                self.changes.base[path] = None
            return
        olds = before.children if isinstance(before, Directory) else {}
        if path not in self.forest.partial:
            children = {**after.children, **self._hidden_base(path)}
            old = self._base_row(path)
            row = (old or BaseRow(b"", b"")).updated(self.forest.unchanged.get(path, NOTHING), children)
            if old != row:
                self.changes.base[path] = row
        inner = {name for part in (olds, after.children) for name, node in part.items() if isinstance(node, Directory)}
        for name in sorted(inner):
            self._remember_base(joined(path, name), olds.get(name), after.children.get(name))

    def _remember_grafted(self, path: str) -> None:
        """The base of a directory that came with a whole subtree is what arrived."""
        arrived = self.ends[self.grafted[path]].listing(path) or Listing()
        self.changes.base[path] = self._whole_row(self.grafted[path], path, arrived)
        directories = arrived.subdirectories()
        old = self._base_row(path)
        for name, child in old.children().items() if old is not None else ():
            if isinstance(child, Directory) and name not in directories:
                self.changes.base[joined(path, name)] = None
        for name in directories:
            if joined(path, name) in self.grafted:
                self._remember_grafted(joined(path, name))

    def _whole_row(self, side: Side, path: str, arrived: Listing) -> BaseRow:
        """The base of a directory that came whole; it is noted before and remembered after, and made once."""
        known = self._whole_rows.get((side, path))
        if known is None or known[0] is not arrived:
            known = self._whole_rows[(side, path)] = (arrived, BaseRow.listed(self._as_sent(side, path, arrived)))
        return known[1]

    def _as_sent(self, side: Side, path: str, arrived: Listing) -> Listing:
        """What arrived, with the permissions that were sent where the volume forgets them (M5)."""
        sent = None if self.ends[side].volume.permissions else self.ends[side.other].listing(path)
        return arrived if sent is None else arrived.permitted_as(sent)

    def _hidden_base(self, path: str) -> dict[str, Node]:
        """Base entries of names that could not be shown this time: they stay, unless they left the scope (K6)."""
        hidden = self.forest.hidden_at(path)
        row = self._base_row(path) if hidden else None
        if row is None:
            return {}
        return {
            name: child
            for name, child in row.children().items()
            if name in hidden and (self.scope.everything or self.scope.includes(joined(path, name), False))
        }

    def _remember_unsettled(self, found: Plan, after: Directory) -> None:
        """Directories to be planned again although nothing may change in them."""
        troubles = {*self.failures, *found.unknown, *found.blocked, *(action.path for action, _ in found.held)}
        troubles |= self.ends[Side.LOCAL].unknown | self.ends[Side.REMOTE].unknown
        unsettled = {trouble.rpartition("/")[0] for trouble in troubles}
        unsettled |= {path for path in self.dirty if not troubles.isdisjoint(upward(path))}
        clashing = {path for path, hidden in self.forest.hidden.items() if CLASH in hidden.values()}
        unsettled |= clashing & {action.path.rpartition("/")[0] for action in found.actions}  # the name may be free now
        if found.half is not Half.WHOLE:
            unsettled |= set(disagreeing("", after, found.local, found.remote, self.grafted))
        self.changes.unsettled = unsettled - self.unsettled
        self.changes.settled = self.unsettled - unsettled


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")
