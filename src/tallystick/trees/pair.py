"""Two trees brought into agreement: scan, plan, guard, carry out, remember (DESIGN.md 4.10, spec contexts B and D).

    pair = Pair(DirectoryEnd(one), DirectoryEnd(other), State(file), clock)
    report = pair.run(Options())

The base moves only with what was carried out, in one transaction with the listings that belong to it. Everything before
that can be interrupted at any instant and run again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from tallystick.errors import StorageError
from tallystick.sync.uncollected import uncollected
from tallystick.trees.assembling import Forest, Source, Trees
from tallystick.trees.copying import storage_error
from tallystick.trees.ends import ReadValue, TreeEnd
from tallystick.trees.guards import Facts, guarded
from tallystick.trees.history import History, purge
from tallystick.trees.intending import Intending, take_up
from tallystick.trees.listing import Entry, Listing
from tallystick.trees.merging import Side
from tallystick.trees.mount import is_swap
from tallystick.trees.nodes import UNKNOWN, Directory, Leaf, Node, find, joined, known_equal
from tallystick.trees.options import Options
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.plan import Action, Half, Plan, moves, plan, possible_moves, undetermined
from tallystick.trees.problems import NoSpace, RootChanged
from tallystick.trees.processes import in_processes
from tallystick.trees.report import Report
from tallystick.trees.scan import Scan, unread
from tallystick.trees.scope import Both, Scope
from tallystick.trees.settling import settle
from tallystick.trees.state import BaseRow, Changes, NotedSide, State, is_damage
from tallystick.trees.unchanged import NOTHING
from tallystick.trees.unsettled import disagreeing
from tallystick.trees.warnings import warnings_of

MAX_RULE_ROUNDS = 4


class Pair:
    """Two ends and what they remember of each other. ``clock`` gives nanoseconds since the epoch."""

    def __init__(self, local: TreeEnd, remote: TreeEnd, state: State, clock: Callable[[], int]) -> None:
        self.local = local
        self.remote = remote
        self.state = state
        self.clock = clock

    def run(self, options: Options | None = None) -> Report:
        """Bring both trees into agreement once.

        What fails, is held back or cannot be read is in the report; everything else is done. Raises RootMissing or
        RootChanged with nothing done (G3), StorageLocked while another run of this pair is under way, and StorageError
        when a tree or the memory as a whole cannot be used. Running again is always safe.
        """
        options = options or Options()
        with self.state.held(), uncollected():
            try:
                return _Run(self, options).run()
            except sqlite3.DatabaseError as problem:
                if not is_damage(problem):
                    raise StorageError(f"{self.state.path}: {problem}") from problem
                self.state.put_aside()
                return _Run(self, options).run()
            except OSError as problem:
                raise storage_error(f"{self.local.title} or {self.remote.title}", problem) from problem

    def close(self) -> None:
        """Give both ends' handles back."""
        self.local.close()
        self.remote.close()


class _Run:
    """One run. Sides are roles: a pulling one-way run exchanges them."""

    def __init__(self, pair: Pair, options: Options) -> None:
        self.state = pair.state
        self.clock = pair.clock
        self.options = options
        turned = options.pull and options.mode.one_way
        local, remote = (pair.remote, pair.local) if turned else (pair.local, pair.remote)
        self.ends: dict[Side, TreeEnd] = {Side.LOCAL: local, Side.REMOTE: remote}
        self.stored = {side: side.other if turned else side for side in Side}
        self.noted: dict[Side, NotedSide] = {side: self.state.side(self.stored[side]) for side in Side}
        self.changes = Changes()
        self.afresh = False
        self.rule_paths: dict[Side, list[str]] = {}
        self.touched: dict[Side, set[str]] = {side: set() for side in Side}
        self.failures: dict[str, StorageError] = {}
        self.dirty: set[str] = set()
        self.grafted: dict[str, Side] = {}
        self.base_rows: dict[str, BaseRow | None] = {}
        self.replaced: Mapping[str, BaseRow] = {}

    def run(self) -> Report:
        """All of it."""
        self._check_roots()
        self._refresh()
        if not self.options.dry_run:
            self._clean_staged()
        self.replaced = take_up(self.state, {self.stored[side]: end for side, end in self.ends.items()}, self.scope)
        self._find_dirty()
        forest = self._forest()
        trees = forest.trees()
        self._read(trees)
        rescued = [] if self.options.dry_run else self._clean_swaps()
        found = plan(*trees, self.options.mode, self.options.half)
        found.unknown.extend(unread(self.scans.values(), found.unknown))
        if not self.options.confirm_deletions:
            facts = Facts(self.state.base_files(), self.options.first_download_done)
            found = guarded(found, facts, self.options.limits)
        report = Report(found, self.options.dry_run, rescued=rescued, failed=self.failures)
        report.warnings = warnings_of(self.scans.values(), self.ends.values(), forest)
        report.entries = sum(end_scan.entries for end_scan in self.scans.values())
        if not self.options.dry_run:
            self._carry_out(found, forest, report)
            if self.options.history is not None:
                purge(self.options.history, self.clock())
        return report

    # Before the plan ------------------------------------------------------------------------------

    def _check_roots(self) -> None:
        """G3: the roots must be the directories that were synchronized before."""
        for side, end in self.ends.items():
            name = f"root:{self.stored[side].value}"
            known, found = self.state.meta(name), end.identity()
            if known is not None and not f"{found}:".startswith(f"{known}:"):  # older memories have no generation
                if not self.options.accept_root:
                    raise RootChanged(f"[RootChanged] {end.title} is not the tree that was synchronized before")
                self.state.forget_base()
                self.afresh = True
            if known != found:
                self.changes.meta[name] = found
            self._learn_volume(side, end, anew=known != found)

    def _learn_volume(self, side: Side, end: TreeEnd, anew: bool) -> None:
        """What the volume of a root can hold is found out once (M4)."""
        name = f"volume:{self.stored[side].value}"
        known = "" if anew else self.state.meta(name) or ""
        found = end.learn(known, may_write=not self.options.dry_run)
        if found != known:
            self.changes.meta[name] = found

    def _refresh(self) -> None:
        """Scan both trees under the rules that both trees hold by now."""
        stored = self.state.meta("rules")
        known = _unpacked(stored) if stored else {}
        self.rule_paths = {side: list(known.get(self.stored[side].value, ())) for side in Side}
        for _ in range(MAX_RULE_ROUNDS):
            rules = self._rules()
            self.scope = self._scope(rules)
            fingerprint = self.scope.fingerprint().hex()
            before = self.state.meta("scope")
            afresh = self.afresh or self.state.lost or (before is not None and before != fingerprint)
            for side in Side:
                self.noted[side].afresh = afresh
            self._scan()
            for side, scan in self.scans.items():
                self.rule_paths[side] = sorted({*self.rule_paths[side], *scan.rules})
            if self._rules() == rules:
                break
        if before != fingerprint:
            self.changes.meta["scope"] = fingerprint
        present = {side: [path for path in self.rule_paths[side] if path in rules[side]] for side in Side}
        if any(present.values()) or known:
            self.changes.meta["rules"] = _packed({self.stored[side].value: present[side] for side in Side})

    def _rules(self) -> dict[Side, Mapping[str, bytes]]:
        if not self.options.ignore_files:
            return {side: {} for side in Side}
        return {
            side: end.rules(self.rule_paths[side]) if self.rule_paths[side] else {} for side, end in self.ends.items()
        }

    def _scope(self, rules: Mapping[Side, Mapping[str, bytes]]) -> Scope:
        parts = [self.options.scope]
        if self.options.patterns or any(rules.values()):
            from tallystick.trees.ignoring import IgnoreRules

            files = [dict(found) for found in rules.values()]
            if files[0] == files[1]:
                files.pop()
            parts += [IgnoreRules(found, self.options.patterns) for found in files]
        return Both(parts)

    def _scan(self) -> None:
        sides = list(Side)
        if not all(self.ends[side].parallel for side in sides):
            answers = [self._scan_side(side) for side in sides]
        else:
            answers = in_processes(self._scan_side, sides)
        self.scans: dict[Side, Scan] = dict(zip(sides, answers, strict=True))
        for side, scan in self.scans.items():
            self.ends[side].adopt(self.noted[side], scan)

    def _scan_side(self, side: Side) -> Scan:
        return self.ends[side].refresh(self.noted[side], self.scope)

    def _clean_staged(self) -> None:
        """Remove what an interrupted run had staged, then look again: some of it may be linked to what is there."""
        cleaned = False
        for side, scan in self.scans.items():
            staged = [path for path in scan.leftovers if not is_swap(path.rpartition("/")[2])]
            if staged:
                self.ends[side].clean(staged, self._is_known)
                cleaned = True
        if cleaned:
            self._scan()

    def _clean_swaps(self) -> list[str]:
        """Remove what an interrupted run had swapped out; content that is nowhere else gets a visible name."""
        rescued: list[str] = []
        for side, scan in self.scans.items():
            if scan.leftovers:
                rescued += self.ends[side].clean(scan.leftovers, self._is_known)
        return rescued

    def _is_known(self, directory: str, digest: bytes) -> bool:
        """True when content of this digest is in the base or noted on a side in this directory."""
        rows = (self.state.base_row(directory), self.replaced.get(directory))
        leaves = [leaf for row in rows if row is not None for leaf in row.children().values()]
        if any(isinstance(leaf, Leaf) and leaf.digest == digest for leaf in leaves):
            return True
        listings = [end.listing(directory) for end in self.ends.values()]
        return any(entry.digest == digest for listing in listings if listing is not None for entry in listing)

    def _find_dirty(self) -> None:
        self.unsettled = self.state.unsettled()
        self.dirty = set(self.unsettled)
        for side, scan in self.scans.items():
            self.dirty |= scan.changed.keys()
            self.touched[side] |= scan.changed.keys() | scan.reordered.keys()
        self.base_rows = self.state.base_rows(self.dirty)
        for side, scan in self.scans.items():
            self.noted[side].expect(self.dirty - scan.changed.keys() - scan.reordered.keys())

    def _forest(self) -> Forest:
        sources = [
            Source(end.listing, end.unknown, end.volume, partial(self._news, side)) for side, end in self.ends.items()
        ]
        return Forest(sources[0], sources[1], self._base_row, self.scope, self.dirty)

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

    def _read(self, trees: Trees) -> None:
        """Read leaves whose value decides something; the trees are completed in place."""
        for find_unread in (undetermined, possible_moves):
            wanted: dict[Side, dict[tuple[str, str], list[str]]] = {side: {} for side in Side}
            for side, path in find_unread(trees.base, trees.local, trees.remote):
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

    def _carry_out(self, found: Plan, forest: Forest, report: Report) -> None:
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
            self.grafted.update(dict.fromkeys(outcome.grafted, side))
            report.bytes += outcome.bytes
        self._remember(found, forest, taken)

    def _place(
        self, found: Plan, side: Side, actions: list[Action], relocated: Mapping[str, str], report: Report
    ) -> Outcome:
        intending = Intending(
            self.state, self.stored[side], self.ends[side].token, found, side, partial(self._as_sent, side)
        )
        orders = Orders(
            clock=self.clock,
            durable=self.options.durable,
            moves=moves(found, side),
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
        history = History(self.options.history, self.clock())
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

    def _remember(self, found: Plan, forest: Forest, taken: Mapping[str, Leaf]) -> None:
        after = settle(found, self.failures.keys(), taken, self.grafted.keys())
        for side, paths in self.touched.items():
            for path in paths:
                self._remember_listing(side, path)
        self._remember_base("", found.base, after, forest)
        self._remember_unsettled(found, after)
        if self.changes == Changes():
            self._settle()
        if self.changes != Changes():
            self.state.remember(self.changes, self._settle)

    def _settle(self) -> None:
        """Wait until what was carried out is certain, and note what it made of the tokens."""
        for side, end in self.ends.items():
            end.settle()
            if end.token and end.token != self.noted[side].token():
                self.changes.note_token(self.stored[side], end.token)

    def _remember_listing(self, side: Side, path: str) -> None:
        listing = self.ends[side].listing(path)
        self.changes.listings[(self.stored[side], path)] = listing
        if listing is None:
            return
        for name in set(self.noted[side].subdirectories(path)).difference(listing.subdirectories()):
            self.changes.listings.setdefault((self.stored[side], joined(path, name)), None)

    def _remember_base(self, path: str, before: Node, after: Node, forest: Forest) -> None:
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
        if path not in forest.partial:
            children = {**after.children, **self._hidden_base(path, forest)}
            old = self._base_row(path)
            row = (old or BaseRow(b"", b"")).updated(forest.unchanged.get(path, NOTHING), children)
            if old != row:
                self.changes.base[path] = row
        inner = {name for part in (olds, after.children) for name, node in part.items() if isinstance(node, Directory)}
        for name in sorted(inner):
            self._remember_base(joined(path, name), olds.get(name), after.children.get(name), forest)

    def _remember_grafted(self, path: str) -> None:
        """The base of a directory that came with a whole subtree is what arrived."""
        arrived = self.ends[self.grafted[path]].listing(path) or Listing()
        self.changes.base[path] = BaseRow.listed(self._as_sent(self.grafted[path], path, arrived))
        for name in arrived.subdirectories():
            if joined(path, name) in self.grafted:
                self._remember_grafted(joined(path, name))

    def _as_sent(self, side: Side, path: str, arrived: Listing) -> Listing:
        """What arrived, with the permissions that were sent where the volume forgets them (M5)."""
        sent = None if self.ends[side].volume.permissions else self.ends[side.other].listing(path)
        return arrived if sent is None else arrived.permitted_as(sent)

    def _hidden_base(self, path: str, forest: Forest) -> dict[str, Node]:
        """Base entries of names that could not be shown this time: they stay, unless they left the scope (K6)."""
        hidden = forest.hidden_at(path)
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
        unsettled |= {path for path in self.dirty if any(_is_below(path, trouble) for trouble in troubles)}
        if found.half is not Half.WHOLE:
            unsettled |= set(disagreeing("", after, found.local, found.remote, self.grafted))
        self.changes.unsettled = unsettled - self.unsettled
        self.changes.settled = self.unsettled - unsettled


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}/")


def _packed(paths: Mapping[str, Sequence[str]]) -> str:
    import json  # few trees have rules of their own

    return json.dumps(paths, sort_keys=True)


def _unpacked(packed: str) -> dict[str, list[str]]:
    import json

    found: dict[str, list[str]] = json.loads(packed)
    return found
