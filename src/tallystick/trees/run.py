"""One run of a pair: roots, scans, guards, and the parts that do the rest (DESIGN.md 4.10, spec contexts B, D).

Large directories of this machine are brought into agreement in two parts, the second one by a process beside this one.
Both parts find their plans first. Unless all of it is changes of single files that no guard holds back and that do not
go from one part to the other, this process takes over what the other one has scanned and plans as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tallystick.trees.base_row import BaseRow
from tallystick.trees.cut import Cut, cut_of
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.ends import TreeEnd
from tallystick.trees.guards import Facts, guarded, objection
from tallystick.trees.history import purge
from tallystick.trees.intended import has_intentions
from tallystick.trees.intending import take_up
from tallystick.trees.merging import Side
from tallystick.trees.mount import is_swap
from tallystick.trees.nodes import Directory, Leaf, upward
from tallystick.trees.part import Part, Sides
from tallystick.trees.placing import SPARE_BYTES
from tallystick.trees.plan import Plan
from tallystick.trees.problems import RootChanged
from tallystick.trees.processes import in_processes, may_fork
from tallystick.trees.report import Report
from tallystick.trees.scan import Scan
from tallystick.trees.scope import Both, Scope
from tallystick.trees.second_part import Intent, SecondPart, Seen

MAX_RULE_ROUNDS = 4
WORTH_ENTRIES = 4000
"""Trees that held so many entries are scanned in two parts."""
WORTH_DIRECTORIES = 100
"""When so many directories differ, the rest is done in two parts as well."""


class Run:
    """One run over both sides of a pair."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides
        self.state, self.options, self.ends, self.noted = sides.state, sides.options, sides.ends, sides.noted
        self.meta: dict[str, str | None] = {}
        self.afresh = False
        self.rule_paths: dict[Side, list[str]] = {}
        self.second: SecondPart | None = None
        self.entries = 0
        self.replaced: Mapping[str, BaseRow] = {}

    def run(self) -> Report:
        """All of it. Raises what ``Pair.run`` raises, OSError and sqlite3.DatabaseError as they come."""
        self._check_roots()
        try:
            self._refresh()
            if not self.options.dry_run:
                self._clean_staged()
            self._note_mounts()
            self.replaced = take_up(
                self.state, {self.sides.stored[side]: end for side, end in self.ends.items()}, self.scope
            )
            return self._agree()
        finally:
            if self.second is not None:
                self.second.end()

    def _agree(self) -> Report:
        """Plan, guard, carry out, remember."""
        part, found = self._planned()
        rescued = [] if self.options.dry_run else self._clean_swaps()
        if not self.options.confirm_deletions and self.second is None:
            found = guarded(found, self._facts(), self.options.limits)
        report = part.report(found)
        report.rescued = rescued
        report.entries += self.entries
        if not self.options.dry_run:
            part.carry_out(found, report)
            part.remember(self.meta)
            self._add_second(report)
            if self.options.history is not None:
                purge(self.options.history, self.sides.clock())
        return report

    def _facts(self) -> Facts:
        return Facts(self.state.base_files(), self.options.first_download_done)

    # Two parts ------------------------------------------------------------------------------------

    def _planned(self) -> tuple[Part, Plan]:
        """The plan of the first part while there is a second one that may go on with its own, else of everything."""
        if self.second is not None:
            part = Part(self.sides, self.scans, self.scope, self.second.cut)
            found = part.prepare(self.second.exchange)
            if self._may_go_on(Intent.of(part, found), self.second.intent()):
                self.second.go_on()
                return part, found
            self._take_over(self.second)
        part = Part(self.sides, self.scans, self.scope)
        return part, part.prepare()

    def _may_go_on(self, own: Intent, other: Intent) -> bool:
        """True when what both parts plan is all there is to know about what they do together (G1, G2, G5, G7)."""
        if not (own.simple and other.simple):
            return False
        for side, end in self.ends.items():
            assert end.mount is not None
            size = own.sizes[side] + other.sizes[side]
            if size and size + SPARE_BYTES > end.mount.files.free_space(end.mount.handle):
                return False
            gone = [number for number in (own.deletions[side], other.deletions[side]) if number is not None]
            if self.options.confirm_deletions or not gone:
                continue
            if objection(sum(gone), side, self._facts(), self.options.limits) is not None:
                return False
        if self.options.progress is not None:
            self.options.progress.expect(other.files, sum(other.sizes.values()))
        return True

    def _add_second(self, report: Report) -> None:
        """Wait for the second part and report it, too."""
        if self.second is None:
            return
        done = self.second.done()
        report.beside = done.actions
        report.removals += done.removals
        report.files += done.files
        report.bytes += done.bytes
        report.failed.update(done.failed)
        report.warnings += done.warnings

    def _take_over(self, second: SecondPart) -> None:
        """Go on alone with what the second part has scanned."""
        self.second = None
        self.entries = 0
        for side, scan in second.take_over().items():
            self.noted[side].keep_to(None)
            self.scans[side].add(scan)
        self._adopt()
        for side, scan in self.scans.items():
            # The second part could not enter what has gone or is no directory by now: the first has seen that.
            scan.unknown -= {path for path in second.cut.paths & scan.unknown if not self._stands(side, path)}

    def _stands(self, side: Side, path: str) -> bool:
        """True when a directory is listed at a path, and all above it."""
        while path:
            path, _, name = path.rpartition("/")
            above = self.ends[side].listing(path)
            if above is None or name not in above.subdirectories():
                return False
        return True

    def _adopt(self) -> None:
        for side, scan in self.scans.items():
            self.ends[side].adopt(self.noted[side], scan)

    def _cut(self) -> Cut | None:
        """Where both trees can be cut: between directories that they and their base are known to have."""
        sides = list(Side)
        if self.options.dry_run or any(self.rule_paths.values()) or self.noted[Side.LOCAL].afresh or not may_fork():
            return None
        if not all(isinstance(end, DirectoryEnd) and end.parallel for end in self.ends.values()):
            return None
        if has_intentions(self.state):
            return None  # what an earlier run meant to place is taken up first, all over both trees
        entries = self.state.entries(self.sides.stored[Side.LOCAL])
        if sum(entries.values()) < WORTH_ENTRIES:
            return None

        def common(directory: str) -> set[str]:
            row = self.state.base_row(directory)
            names = {name for name, node in row.children().items() if isinstance(node, Directory)} if row else set()
            for side in sides:
                listing = self.noted[side].listing(directory)
                names &= set(listing.subdirectories()) if listing is not None else set()
            return names

        return cut_of(entries, common)

    def _scan_in_parts(self, cut: Cut) -> None:
        second = self.second = SecondPart(self.sides, self.scope, cut)
        for side, end in self.ends.items():
            assert isinstance(end, DirectoryEnd)
            self.noted[side].keep_to(cut.span, inside=False)
            self.scans[side] = end.refresh(self.noted[side], self.scope, cut)
        self._adopt()
        seen = second.seen()
        self.entries = seen.entries
        if self._goes_apart(Seen.of(self.scans), seen, cut):
            second.go_on()
        else:
            self._take_over(second)

    def _goes_apart(self, own: Seen, other: Seen, cut: Cut) -> bool:
        """True when there is enough to do, and above the second part nothing changed that belongs to it."""
        if not (own.plain and other.plain) or own.differing + other.differing < WORTH_DIRECTORIES:
            return False
        return not any(
            cut.is_below(path) and cut.runs_through(path, scan.news.get(path))
            for scan in self.scans.values()
            for path in scan.changed
        )

    # Before the plan ------------------------------------------------------------------------------

    def _check_roots(self) -> None:
        """G3: the roots must be the directories that were synchronized before."""
        for side, end in self.ends.items():
            name = f"root:{self.sides.stored[side].value}"
            known, found = self.state.meta(name), end.identity()
            if known is not None and not end.is_same(known, found):
                if not self.options.accept_root:
                    raise RootChanged(f"[RootChanged] {end.title} is not the tree that was synchronized before")
                self.state.forget_base()
                self.afresh = True
            if known != found:
                self.meta[name] = found
            self._learn_volume(side, end, anew=known != found)

    def _learn_volume(self, side: Side, end: TreeEnd, anew: bool) -> None:
        """What the volume of a root can hold is found out once (M4)."""
        name = f"volume:{self.sides.stored[side].value}"
        known = "" if anew else self.state.meta(name) or ""
        found = end.learn(known, may_write=not self.options.dry_run)
        if found != known:
            self.meta[name] = found

    def _refresh(self) -> None:
        """Scan both trees under the rules that both trees hold by now."""
        known = self._known_paths("rules")
        self.rule_paths = {side: list(paths) for side, paths in known.items()}
        for side, paths in self._known_paths("mounts").items():
            self.noted[side].mounts = paths
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
            self.meta["scope"] = fingerprint
        present = {side: [path for path in self.rule_paths[side] if path in rules[side]] for side in Side}
        if any(present.values()) or any(known.values()):
            self.meta["rules"] = _packed({self.sides.stored[side].value: present[side] for side in Side})

    def _known_paths(self, name: str) -> dict[Side, list[str]]:
        """Remembered paths of either side."""
        stored = self.state.meta(name)
        known = _unpacked(stored) if stored else {}
        return {side: list(known.get(self.sides.stored[side].value, ())) for side in Side}

    def _note_mounts(self) -> None:
        """Remember where other file systems stand, so that one that is not mounted is not taken for deletions (G4)."""
        found = {
            side: {path for path in self.noted[side].mounts if not scan.unknown.isdisjoint(upward(path))} | scan.mounted
            for side, scan in self.scans.items()
        }
        if any(found[side] != set(self.noted[side].mounts) for side in Side):
            self.meta["mounts"] = _packed({self.sides.stored[side].value: sorted(found[side]) for side in Side})

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
        self.scans: dict[Side, Scan] = {}
        cut = self._cut()
        if cut is not None:
            self._scan_in_parts(cut)
            return
        sides = list(Side)
        if not all(self.ends[side].parallel for side in sides):
            answers = [self._scan_side(side) for side in sides]
        else:
            answers = in_processes(self._scan_side, sides)
        self.scans = dict(zip(sides, answers, strict=True))
        self._adopt()

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


def _packed(paths: Mapping[str, Sequence[str]]) -> str:
    import json  # few trees have rules of their own

    return json.dumps(paths, sort_keys=True)


def _unpacked(packed: str) -> dict[str, list[str]]:
    import json

    found: dict[str, list[str]] = json.loads(packed)
    return found
