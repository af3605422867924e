"""One pass between two simulated sites: meeting, ranges, pages, closing, each a step that may be the last.

The rules of a pass (DESIGN.md 4.5), which a real engine follows too:

* The target's digest takes over the source's only when everything behind it was delivered: an unfiltered pass that ran
  to its end, at whose end no record had moved past its bound and none was waiting for a new dot.
* A pass is broken off when either end renames changes, drops or purges records, or begins a new incarnation.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from tallystick.core import changes, history, ranges
from tallystick.core.fingerprints import canonical_names, names_term
from tallystick.core.policies import Policy
from tallystick.core.states import State, check_state, parse_state, scope_of
from tallystick.core.versions import Content, Record, vector_covers
from tallystick.errors import StateError
from tallystick.testing.simulated_site import RESOURCE, Holding, Incoming, SimulatedSite

Matches = Callable[[Content], bool]


class Fate(StrEnum):
    """What the network and the machines do to one step."""

    FINE = "fine"
    LOST = "lost"
    """The request never arrives, or the target dies before it commits."""
    REPLY_LOST = "reply lost"
    """The target commits, and nobody hears of it."""
    TWICE = "twice"
    """The page arrives twice."""


class BrokenOff(Exception):
    """The pass ends here; the next one resumes from what was committed."""


class Scope(NamedTuple):
    """What a pass covers: everything, or the records that match."""

    name: str
    matches: Matches | None = None


EVERYTHING = Scope(scope_of([RESOURCE]))


class SimulatedPass:
    """One pass from ``source`` to ``target``. ``policy`` is turned to the target; ``now`` reads the world's clock."""

    page_size = 2

    def __init__(
        self, source: SimulatedSite, target: SimulatedSite, policy: Policy, scope: Scope, now: Callable[[], int]
    ) -> None:
        self.source, self.target, self.policy, self.scope, self.now = source, target, policy, scope, now
        self.sent = self.written = self.repeated = 0
        self.waiting = False
        self.forced: frozenset[str] = frozenset()
        self.skipped: frozenset[str] = frozenset()

    # Before the first page

    def begin(self, fate: Fate = Fate.FINE) -> bool:
        """Meet, and find out where to go on. False when there is nothing to do. Raises BrokenOff."""
        self._meet(fate)
        source, target = self.source, self.target
        state = self._state()
        if not state.open and state.seq >= source.seq:
            return False
        self.known = dict(target.digest)
        if target.holdings and self.scope.matches is None:
            if not vector_covers(target.digest, source.forgotten):
                self._reconcile()
            elif source.holdings and not state.seq and not state.open:
                differing = self._difference()
                self.skipped = frozenset(key for key, _ in source.live()) - {*differing.theirs, *differing.both}
        self.state = state
        self.until = state.until if state.open else source.seq
        self.position = state.position if state.open else state.seq
        self.closing = (dict(source.digest), dict(source.forgotten))
        self.epochs = (source.epoch, target.epoch)
        return True

    def _meet(self, fate: Fate) -> None:
        """Both ends stamp and speak; then they compare what they know of histories."""
        source, target = self.source, self.target
        for end in (source, target):
            end.stamp_marks(self.now())
            end.speak()
        mine, theirs = source.histories, target.histories
        if mine.origin != theirs.origin and mine.contacts == theirs.contacts and mine.forks == theirs.forks:
            return
        meetings = history.meet(mine, theirs, source.nonce()), history.meet(theirs, mine, target.nonce())
        if fate is Fate.LOST:
            raise BrokenOff
        target.meet(meetings[1])
        if fate is Fate.REPLY_LOST:
            raise BrokenOff
        source.meet(meetings[0])

    def _state(self) -> State:
        """The state to go on from: the target's, if the source can go on from it."""
        source = self.source
        state = self.target.states.get((source.origin, self.scope.name))
        fresh = State(source.identifier, source.incarnation, self.scope.name, 0)
        if state is None:
            return fresh
        try:
            check_state(
                state,
                site=source.identifier,
                incarnation=source.incarnation,
                scope=self.scope.name,
                seq=source.seq,
                horizon=source.horizon,
            )
        except StateError:
            return fresh
        return state

    def _reconcile(self) -> None:
        """The target is behind purged deletions of the source: what differs is found by ranges."""
        source, target = self.source, self.target
        differing = self._difference()
        self.forced = frozenset(differing.both)
        others = {key: source.holdings[key].record for key in differing.both}
        target.reconcile({**others, **dict.fromkeys(differing.mine)}, source.digest, source.forgotten, self.policy)

    def _difference(self) -> ranges.Difference:
        """Keys of live records that only the target holds (mine), only the source, and those that differ."""
        ends = (_items(self.target), _items(self.source))
        found = ranges.Difference([], [], [])
        turn, stated = 0, ranges.whole(ends[1])
        while stated:
            stated, part = ranges.answer(ends[turn], stated)
            found.mine.extend(part.theirs if turn else part.mine)
            found.theirs.extend(part.mine if turn else part.theirs)
            found.both.extend(part.both)
            turn = 1 - turn
        return found

    # Pages

    def step(self, fate: Fate = Fate.FINE) -> bool:
        """Deliver the next page, or close the pass. True while there is more to do. Raises BrokenOff."""
        if self.epochs != (self.source.epoch, self.target.epoch):
            raise BrokenOff
        page, position = self._page()
        if not page:
            self._close(fate)
            return False
        self.sent += len(page)
        state = self.state._replace(until=self.until, resource=RESOURCE, position=position)
        self._deliver(page, state, fate)
        self.position = position
        return True

    def _page(self) -> tuple[list[Incoming], int]:
        """The next records in commit order, and the seq that they reach."""
        source = self.source
        ahead = sorted(
            (held.seq, key) for key, held in source.holdings.items() if self.position < held.seq <= self.until
        )
        page: list[Incoming] = []
        for seq, key in ahead:
            held = source.holdings[key]
            if key in source.marks:
                self.waiting = True
            elif self._selected(key, held):
                page.append((key, held.record))
                if len(page) == self.page_size:
                    return page, seq
        return page, self.until

    def _selected(self, key: str, held: Holding) -> bool:
        if self.scope.matches is not None and not _in_scope(held.record, self.scope.matches):
            return False
        if key in self.skipped:
            return False
        return key in self.forced or changes.is_news(held.record, self.known)

    def _deliver(self, page: list[Incoming], state: State, fate: Fate) -> None:
        """One transaction of the target: stamp, apply, note the state."""
        target = self.target
        target.stamp_marks(self.now())
        if self.epochs[1] != target.epoch:
            raise BrokenOff
        decided = target.decided(page, self.policy)
        if fate is Fate.LOST:
            raise BrokenOff
        target.keep(decided, self.now())
        self.written += len(decided)
        self._note(state)
        if fate is Fate.TWICE:
            again = target.decided(page, self.policy)
            self.repeated += len(again)
            target.keep(again, self.now())
        if fate is Fate.REPLY_LOST:
            raise BrokenOff

    def _close(self, fate: Fate) -> None:
        """The end of the pass: the digest advances if nothing is missing, the state closes."""
        if fate is Fate.LOST:
            raise BrokenOff
        if self._complete():
            self.target.learn(*self.closing)
        self._note(self.state._replace(seq=self.until, until=0, resource="", position=0))
        if fate is Fate.REPLY_LOST:
            raise BrokenOff

    def _complete(self) -> bool:
        """True when the pass delivered everything that the source's digest, as it was at the beginning, stands for."""
        moved = any(held.seq > self.until for held in self.source.holdings.values())
        return self.scope.matches is None and not self.waiting and not moved

    def _note(self, state: State) -> None:
        self.target.states[self.source.origin, self.scope.name] = parse_state(state.text())


def _in_scope(record: Record, matches: Matches) -> bool:
    return any(version.deleted or matches(version.content or {}) for version in record.versions)


def _items(site: SimulatedSite) -> list[ranges.Item]:
    """What ranges compare: live records by key, with what is known of them."""
    found = []
    for key, held in site.live():
        names = canonical_names((version.genesis, version.dots) for version in held.record.versions)
        found.append((key, names_term(key, names).to_bytes(32, "big")[:16]))
    return found
