"""Two ends brought into agreement: preparation, first contact, both directions, the report (DESIGN.md 1, 4.4)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from tallystick.core.pages import Tally
from tallystick.core.states import parse_state
from tallystick.core.values import fold
from tallystick.errors import AccessDenied, IdentityDoubt, PeerRefused, SchemaError, StateError, UsageError
from tallystick.sync.adopting import adopt
from tallystick.sync.comparing import differences
from tallystick.sync.correspondence import correspondences, left_out
from tallystick.sync.guards import DOUBTS_ALLOWED, DOUBTS_SHARE, Guard
from tallystick.sync.meeting import Met, Unheard, meet, one_step, part, telling, untold
from tallystick.sync.plan import BOTH, PULL, PUSH, Plan, turned_hook
from tallystick.sync.reconciling import reconcile
from tallystick.sync.replica import Announced, Described, Known, Meeting, Replica, Scope, Selection, Settings, Wanted
from tallystick.sync.respelling import pair
from tallystick.sync.scoping import (
    check_named,
    chosen,
    differ,
    excluded,
    filters,
    lacks,
    offers,
    wanted,
)
from tallystick.sync.settling import settle
from tallystick.sync.uncollected import uncollected

__all__ = ["Plan", "Report", "agree", "preview"]


@dataclass(slots=True)
class Report:
    """What a synchronization did. Tallies by resource for each direction; ``waiting`` counts what needs somebody."""

    a: str
    b: str
    resources: tuple[str, ...] = ()
    pushed: dict[str, Tally] = field(default_factory=dict)
    pulled: dict[str, Tally] = field(default_factory=dict)
    tracked: list[str] = field(default_factory=list)
    """What one of the ends, or both, did not track before."""
    unkeyed: list[str] = field(default_factory=list)
    """Tables that stay out because they have no primary key."""
    barred: dict[str, str] = field(default_factory=dict)
    """Other tables that stay out, each with the reason."""
    records: int = 0
    seconds: float = 0.0
    parked: int = 0
    """Changes that wait at either end, each for itself."""
    undecided: int = 0
    """Records that wait for a decision, at the end that has more of them: a decision holds at both."""
    run: str = ""
    held: dict[str, int] = field(default_factory=dict)
    """Deletions that the guards held back, by ``target: resource``."""
    notes: list[str] = field(default_factory=list)
    """What else there is to say, a sentence each: names and types that differ, bundles that were written or taken."""
    refused: list[str] = field(default_factory=list)
    """What was not taken, and why: bundles that are damaged, foreign, incomplete."""

    @property
    def moved(self) -> bool:
        """True when records were sent, or what had been parked could be written."""
        return bool(self.records or self.total().written)

    @property
    def waiting(self) -> int:
        """Changes that are parked and conflicts that nobody has decided."""
        return self.parked + self.undecided

    def count_waiting(self, mine: Meeting, theirs: Meeting) -> None:
        """Take what the ends state of what waits there."""
        self.parked = mine.parked + theirs.parked
        self.undecided = max(mine.undecided, theirs.undecided)

    def total(self) -> Tally:
        """Everything of both directions together."""
        total = Tally()
        for tallies in (self.pushed, self.pulled):
            for tally in tallies.values():
                total.add(tally)
        return total


Note = Callable[[Report, Replica], None]
"""Called with the report, whole but for its seconds, and an end in the middle of a durable step."""


def agree(a: Replica, b: Replica, plan: Plan, note: Note | None = None) -> Report:
    """Bring ``a`` and ``b`` into agreement under ``plan``. Whatever was applied before an error stays applied.

    ``note`` is called in the last durable step at an end, where there is one when all is done but that. Raises
    IdentityDoubt when rows older than tracking pair up by integer but differ too often, and what the port raises.
    """
    with uncollected():
        return _agreed(a, b, plan, note)


def _agreed(a: Replica, b: Replica, plan: Plan, note: Note | None) -> Report:
    started = time.monotonic()
    report = Report(a.name, b.name, run=plan.run or os.urandom(8).hex())
    _check_hook(a, b, plan)
    scope, sites = _prepare(a, b, plan, report)
    met = meet(a, b, sites, scope, proving=plan.direction == BOTH and not plan.compare and not plan.identity)
    mine, theirs, _ = met
    if mine.site == theirs.site and mine.origin == theirs.origin:
        raise SchemaError(f"{a.name} and {b.name} are the same site", hint="name two different ends")
    adopted = not (mine.state and theirs.state) and bool(pair(a, b, scope) | adopt(a, b, scope, plan.identity))
    settled = not (mine.state or theirs.state) and settle(a, b, scope, plan)
    if adopted or settled:
        met = meet(a, b, sites, scope)  # what was entered again under other keys is nothing new
    passes = _Passes(a, b, plan, scope, report, met, started)
    for direction in (PULL, PUSH):
        if plan.direction in (BOTH, direction):
            passes.run(direction)
    report.notes.extend(_from_future(report))
    if report.moved:
        passes.part(note)
    report.count_waiting(passes.mine, passes.theirs)
    report.seconds = report.seconds or time.monotonic() - started
    return report


def _from_future(report: Report) -> Iterator[str]:
    """A sentence for each resource with changes that a clock which is wrong has stamped."""
    for target, tallies in ((report.b, report.pushed), (report.a, report.pulled)):
        for wire, tally in tallies.items():
            if tally.ahead:
                yield (
                    f"{tally.ahead} changes of {wire} are stamped ahead of the clock of {target}: "
                    "where the newer wins they do; set the clock right where they were made"
                )


def preview(a: Replica, b: Replica, plan: Plan) -> dict[str, dict[str, dict[str, int]]]:
    """What ``agree`` would send, by direction and resource: changes and deletions. Creates no table, moves no record.

    Rows that would be deleted because they left a filter are among the deletions. Where the guards would hold the
    deletions of a resource back, ``held`` is their number. Raises what ``agree`` raises.
    """
    report = Report(a.name, b.name)
    scope, sites = _prepare(a, b, plan, report, create=False)
    meet(a, b, sites, scope)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for direction, source, target in ((PUSH, a, b), (PULL, b, a)):
        if plan.direction in (BOTH, direction):
            known = target.digest(source.describe().site, scope)
            keys = {}
            if not known.state:
                keys = _first_contact(source, target, scope, known, source.digest("", scope), plan)
            selection = Selection(scope, known, keys)
            announced = _announced(source, selection)
            settings = Settings("", scope, plan.policies, allowed=plan.allowed)
            leaving = _leaving(announced, target, settings)
            held = _held(announced, leaving, selection, settings)
            found[f"{source.name} -> {target.name}"] = {
                wire: {
                    "changes": announced.changes[wire],
                    "deletions": announced.deletions[wire] + leaving.get(wire, 0),
                }
                | ({"held": held[wire]} if wire in held else {})
                for wire in scope.resources
            } | _created(source, target, plan)
    return found


def _created(source: Replica, target: Replica, plan: Plan) -> dict[str, dict[str, int]]:
    """What would be sent of resources that the target does not have yet."""
    there = {item.wire for item in target.describe().resources}
    wires = tuple(item.wire for item in wanted(source.describe(), plan) if item.wire not in there)
    prints = source.digest("", Scope(wires)).prints
    return {wire: {"changes": prints[wire][0], "deletions": 0} for wire in wires if wire in prints}


def _check_hook(a: Replica, b: Replica, plan: Plan) -> None:
    """A hook that nobody would ask decides nothing. Raises UsageError."""
    targets = [a] * (plan.direction != PUSH) + [b] * (plan.direction != PULL)
    if plan.onconflict is not None and not any(target.capabilities.hooks for target in targets):
        raise UsageError(
            f"onconflict cannot be asked: {' and '.join(target.name for target in targets)} apply on another machine",
            hint="synchronize from a site of this machine in both directions, or pull; or set a conflict policy",
        )


def _prepare(a: Replica, b: Replica, plan: Plan, report: Report, create: bool = True) -> tuple[Scope, tuple[str, str]]:
    """Have both ends track what is to agree, settle the scope, and tell which sites they are."""
    first, second = a.describe(), b.describe()
    offered = offers(plan, a, b, first, second)
    check_named(plan, first, second, offered)
    before = _wires(first), _wires(second)
    names = [{fold(name) for name in described.untracked} for described in (first, second)]
    if lacks(first, plan.only) or plan.references:
        first = _prepared(a, first, Wanted([], chosen(first, plan), False, {}, dict(plan.references)), plan, PUSH)
    if differ(first, second) or plan.naming:
        untracked = [name for name in second.untracked if not plan.only and fold(name) not in excluded(plan)]
        asked = Wanted(wanted(first, plan), untracked, create and plan.direction != PULL, dict(plan.naming), {})
        second = _prepared(b, second, asked, plan, PULL)
    here = _wires(first)
    lacking = [item for item in wanted(second, plan) if item.wire not in here]
    if lacking and (plan.direction != PUSH or first.untracked):
        first = _prepared(a, first, Wanted(lacking, [], create and plan.direction != PUSH), plan, PUSH)
    both = _wires(first) & _wires(second)
    check_named(plan, first, second, offered)
    report.tracked = sorted(both - (before[0] & before[1]))
    report.unkeyed = [] if plan.only else sorted(({*first.unkeyed, *second.unkeyed}) - {*plan.exclude})
    report.barred = {
        name: why for name, why in sorted((first.barred | second.barred).items()) if fold(name) not in excluded(plan)
    }
    report.resources = tuple(sorted({item.wire for item in wanted(first, plan)} & both))
    report.notes.extend(correspondences(first, second, sorted({*report.tracked} & {*report.resources})))
    for source, there, old in ((first, second, before[1] | names[1]), (second, first, before[0] | names[0])):
        report.notes.extend(left_out(source, there, [wire for wire in report.tracked if wire not in old]))
    return Scope(report.resources, filters(first, plan), plan.delete_left), (first.site, second.site)


def _wires(described: Described) -> set[str]:
    return {item.wire for item in described.resources}


def _prepared(end: Replica, before: Described, asked: Wanted, plan: Plan, giving: str) -> Described:
    """What ``end`` describes after preparing; what it could not track is remembered.

    An end that only gives, as it does in the direction ``giving``, may let us read and not track: it gives what it has.
    """
    try:
        described = end.prepare(asked)
    except PeerRefused as refusal:
        asked_for = plan.only or plan.naming or plan.references
        if refusal.code != AccessDenied.code or plan.direction != giving or asked_for:
            raise
        refused = dict.fromkeys(before.untracked, f"not tracked at {end.name}: {refusal.message}")
        return replace(before, untracked=[], barred=before.barred | refused)
    described.barred = before.barred | described.barred
    return described


class _Passes:
    """Both directions of one run. ``mine`` and ``theirs`` are what the ends state."""

    def __init__(
        self, a: Replica, b: Replica, plan: Plan, scope: Scope, report: Report, met: Met, started: float
    ) -> None:
        self.a, self.b, self.plan, self.scope, self.report = a, b, plan, scope, report
        self.mine, self.theirs, self._untold = met
        self._started = started
        self._sites = (met.mine.site, met.theirs.site)
        self._heard: dict[str, Known] = {}
        """What sources of a first contact said they know, by site: it serves once they are the target."""
        self._concluded: tuple[str, Meeting | None] | None = None
        """The direction that was last, and what its target stated at its end."""

    def run(self, direction: str) -> None:
        """One direction."""
        source, target = (self.a, self.b) if direction == PUSH else (self.b, self.a)
        stated, holder = (self.mine, self.theirs) if direction == PUSH else (self.theirs, self.mine)
        plan, scope, report = self.plan, self.scope, self.report
        if not plan.compare and self._holds_all(stated, holder):
            return
        settings = self._settings(direction, stated)
        known = self._heard.pop(holder.site, None)
        if known is None or holder.state or report.records:
            known = target.digest(stated.site, scope)
        if stated.purged:
            reconcile(source, target, scope, known)
        if plan.compare:
            known = Known("", {}, known.prints, recent=known.recent)
        keys: dict[str, list[str]] = {}
        if not known.state:
            self._heard[stated.site] = source.digest("", scope)
            keys = _first_contact(source, target, scope, known, self._heard[stated.site], plan)
        held: list[str] = []
        if _may_hold(stated, known, settings, keys):
            held = _guarded(source, target, Selection(scope, known, keys), settings, report)
        from tallystick.sync.transfer import transfer

        try:
            with telling(self.b, self._untold if direction == PUSH else None) as heard:
                done = transfer(
                    source,
                    target,
                    settings,
                    known,
                    keys=keys,
                    since=stated.seq,
                    held=held,
                    theirs=stated,
                    before=heard,
                    progress=plan.progress,
                )
        except Unheard:
            self.mine, self.theirs, self._untold = meet(self.a, self.b, self._sites, self.scope, at_once=True)
            return self.run(direction)
        tallies = report.pushed if direction == PUSH else report.pulled
        for wire, tally in done.tallies.items():
            tallies.setdefault(wire, Tally()).add(tally)
        report.records += done.records
        self._end(direction, done.state, done.meeting)

    def _settings(self, direction: str, stated: Meeting) -> Settings:
        plan = self.plan
        turned = {wire: policy if direction == PULL else policy.turned() for wire, policy in plan.policies.items()}
        hook = plan.onconflict if direction == PULL else turned_hook(plan.onconflict)
        return Settings(stated.site, self.scope, turned, self.report.run, plan.allowed, hook)

    def _holds_all(self, stated: Meeting, holder: Meeting) -> bool:
        """True when the target has everything that the source has: by its state, or because the rest came from it.

        Even then a target with parked changes has its pass: they are tried again at its end.
        """
        if self.report.pulled:
            concluded = self._concluded[1] if self._concluded else None
            return concluded is not None and bool(concluded.settled) and not holder.parked
        return _nothing_new(stated, holder) and not holder.parked

    def _end(self, direction: str, state: str, meeting: Meeting | None) -> None:
        """Note what the target holds now, and what it stated."""
        holder = self.mine if direction == PULL else self.theirs
        holder = replace(holder, state=state)
        if meeting is not None:
            waiting = {"parked": meeting.parked, "undecided": meeting.undecided}
            holder = replace(holder, token=meeting.token, seq=meeting.seq, **waiting)
        if direction == PULL:
            self.mine = holder
            if meeting is not None:  # what it made of the pass has names, too, and is told before it goes anywhere
                self._untold = untold(meeting, self.scope)
        else:
            self.theirs = holder
        self._concluded = (direction, meeting)

    def part(self, note: Note | None) -> None:
        """Have the ends state once more what they hold, and the last source hear of what its target made of it."""
        direction, concluded = self._concluded or ("", None)
        if concluded is None:
            self.mine, self.theirs, _ = meet(self.a, self.b, self._sites, self.scope)
            return
        end = self.a if direction == PUSH else self.b
        with one_step(end):
            said = part(end, concluded, self.scope)
            self.mine, self.theirs = (said, concluded) if direction == PUSH else (concluded, said)
            self.report.count_waiting(self.mine, self.theirs)
            self.report.seconds = time.monotonic() - self._started  # as long as what is logged
            if note is not None:
                note(self.report, end)


def _may_hold(stated: Meeting, known: Known, settings: Settings, keys: Mapping[str, list[str]]) -> bool:
    """False when guards hold nothing back even if everything that is new since the target's state is a deletion.

    Where both ends show the same (no ``keys``), a deletion finds nothing to delete.
    """
    new = stated.seq - _reached(stated, known.state)
    guard, recent = Guard(allowed=settings.allowed), known.recent
    deleting = [wire for wire in settings.scope.resources if settings.deletes(wire)]
    differing = [wire for wire in deleting if keys.get(wire) != []]
    counts = {wire: known.prints[wire][0] if wire in known.prints else 0 for wire in differing}
    return any(guard.holds(new, count, recent.get(wire, 0)) for wire, count in counts.items())


def _reached(stated: Meeting, text: str) -> int:
    """The seq up to which a target with this state has everything of the source; 0 when that may refuse the state."""
    try:
        state = parse_state(text)
    except StateError:
        return 0
    usable = f"{state.site}.{state.incarnation}" == stated.origin and state.seq <= stated.seq and not stated.purged
    return state.seq if usable else 0


def _guarded(source: Replica, target: Replica, selection: Selection, settings: Settings, report: Report) -> list[str]:
    """Resources whose deletions are held back."""
    selection.deletions_only = True
    announced = _announced(source, selection)
    held = _held(announced, _leaving(announced, target, settings), selection, settings)
    report.held.update({f"{target.name}: {wire}": count for wire, count in held.items()})
    return list(held)


def _announced(source: Replica, selection: Selection) -> Announced:
    try:
        return source.announce(selection)
    except StateError:
        selection.stateless = True
        return source.announce(selection)


def _leaving(announced: Announced, target: Replica, settings: Settings) -> dict[str, int]:
    """How many rows the target would delete because they left a filter, by wire name."""
    left = {wire: keys for wire, keys in announced.left.items() if keys and settings.deletes(wire)}
    return {wire: len(keys) for wire, keys in target.unreferred(left).items()} if left else {}


def _held(announced: Announced, leaving: Mapping[str, int], selection: Selection, settings: Settings) -> dict[str, int]:
    """Deletions that the guards hold back, by wire name: what left a filter, and what the strategy lets be deleted."""
    guard, known = Guard(allowed=settings.allowed), selection.known
    held = {}
    for wire, deleted in announced.deletions.items():
        if selection.keys.get(wire) == []:
            continue  # both ends show the same: a deletion finds nothing to delete
        records = known.prints[wire][0] if wire in known.prints else 0
        deletions = leaving.get(wire, 0) + (deleted if settings.deletes(wire) else 0)
        if guard.holds(deletions, records, known.recent.get(wire, 0)):
            held[wire] = deletions
    return held


def _nothing_new(stated: Meeting, holder: Meeting) -> bool:
    """True when the target's state says that it has everything the source has in the scope."""
    if not holder.state:
        return False
    state = parse_state(holder.state)
    same = f"{state.site}.{state.incarnation}" == stated.origin
    return same and not state.open and stated.seq <= state.seq


def _first_contact(
    source: Replica, target: Replica, scope: Scope, known: Known, theirs: Known, plan: Plan
) -> dict[str, list[str]]:
    """Where both ends hold data, find what differs: equal copies agree with nothing sent.

    ``known`` is the target's digest, ``theirs`` the source's.
    """
    mine = theirs.prints
    keys: dict[str, list[str]] = {}
    for wire in scope.resources:
        here, there = mine.get(wire), known.prints.get(wire)
        if here is None or there is None or not here[0] or not there[0] or wire in scope.filters:
            continue
        keys[wire] = [] if here == there else _differing(source, target, wire, here[0], plan)
    return keys


def _differing(source: Replica, target: Replica, wire: str, count: int, plan: Plan) -> list[str]:
    """Keys of the records that the target lacks or holds differently."""
    lacking, _, both = differences(source, target, wire)
    _doubt(source, target, wire, both, count, plan)
    return sorted({*lacking, *both})


def _doubt(source: Replica, target: Replica, wire: str, both: list[str], count: int, plan: Plan) -> None:
    """Rows older than tracking that share an integer and differ may be different things."""
    if not both or plan.identity:
        return
    doubtful = set(source.older(wire, both)) & set(target.older(wire, both))
    if len(doubtful) > DOUBTS_ALLOWED or len(doubtful) > DOUBTS_SHARE * count:
        raise IdentityDoubt(
            f"{len(doubtful)} of {count} rows of {wire!r} have the same integer key at {source.name} and {target.name} "
            "but different contents",
            hint="say what equal integers mean: --identity same (one record, edited), --identity separate (different "
            "records), or --identity natural:COLUMN,... (match by these columns)",
        )
