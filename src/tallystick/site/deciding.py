"""What becomes of one record of a page: the rules' decision, a hook's ruling, and the conflicts that either ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tallystick.core.decide import Held, Kind, Outcome, decide
from tallystick.core.join import edit
from tallystick.core.merge import Projection
from tallystick.core.pages import Tally
from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.core.values import mapping_hash
from tallystick.core.versions import Record, Vector, Version
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.schema import Identity


class Conflict(NamedTuple):
    """What an ``onconflict`` hook is shown: the record with all its versions, and the versions its row shows."""

    resource: str
    key: str
    record: Record
    shown: tuple[Version, ...]


OnConflict = Callable[[Conflict], Resolution | Policy | None]
"""Rules on one record: a resolution, or a policy with a strategy and resolutions; None leaves it to the run's policy.

What a hook decides is an edit that has seen every version: it travels and ends the conflict at every site.
"""


class Decider:
    """Decides on the records of one page of ``tracked``; ``tally`` counts doubts and conflicts.

    ``policy`` is turned to this site, ``digest`` and ``forgotten`` are what it has seen of the resource.
    """

    def __init__(
        self,
        ledger: Ledger,
        tracked: Tracked,
        policy: Policy,
        onconflict: OnConflict | None,
        tally: Tally,
        digest: Vector,
        forgotten: Vector,
    ) -> None:
        self._ledger, self._tracked, self._policy, self._onconflict = ledger, tracked, policy, onconflict
        self._tally, self._digest, self._forgotten = tally, digest, forgotten

    def decide(self, key: str, before: Held | None, incoming: Record) -> Outcome:
        """What ``incoming`` makes of the record ``before``. A conflict that keeps both is over with this decision."""
        policy = self._policy
        if before is not None and self._doubtful(before.record, incoming):
            self._tally.doubts += 1
            policy = _whole_only(policy)
        outcome = decide(before, incoming, policy, self._digest, self._forgotten)
        if outcome.conflict and self._onconflict is not None:
            outcome = self._asked(before, incoming, policy, outcome, key)
        if outcome.conflict:
            self._tally.conflicts += 1
        if outcome.kind is not Kind.UNCHANGED and outcome.projection is not None and outcome.projection.copies:
            return self._ended(key, outcome)
        return outcome

    def _ended(self, key: str, outcome: Outcome) -> Outcome:
        """The winner becomes an edit that has seen the losers: the conflict is over, here and wherever it travels."""
        projection = outcome.projection
        assert projection is not None
        (tick,) = self._ledger.next_ticks(self._tracked, 1)
        content = projection.content
        digest = b"" if content is None else mapping_hash(key, dict(content))
        dot, stamp = (self._ledger.origin, tick), self._ledger.stamp_at(self._ledger.now())
        record = edit(outcome.record, dot, stamp, digest, content)
        shown = Projection(content, record.versions, copies=projection.copies)
        return Outcome(outcome.kind, record, shown, outcome.conflict, outcome.lost, outcome.method)

    def _asked(self, before: Held | None, incoming: Record, policy: Policy, outcome: Outcome, key: str) -> Outcome:
        shown = () if before is None else before.shown
        assert self._onconflict is not None
        ruling = self._onconflict(Conflict(self._tracked.wire, key, outcome.record, shown))
        if ruling is None:
            return outcome
        asked = ruling
        if not isinstance(asked, Policy):
            asked = Policy(policy.strategy, policy.update, FieldPolicy(Resolution(asked)))
        decided = decide(before, incoming, asked, self._digest, self._forgotten)
        if decided.projection is None or decided.undecided or decided.projection.copies:
            return decided
        return self._ended(key, decided)

    def _doubtful(self, record: Record, incoming: Record) -> bool:
        """Rows older than tracking that only share an integer may be two different things: never mixed field-wise."""
        if self._tracked.definition.identity is not Identity.MAPPED:
            return False
        sides = (record.versions, incoming.versions)
        return all(any(version.genesis for version in side) for side in sides) and not any(
            mine.genesis & theirs.genesis or mine.hash == theirs.hash for mine in sides[0] for theirs in sides[1]
        )


def _whole_only(policy: Policy) -> Policy:
    default = policy.conflict.default
    if default is Resolution.MERGE or policy.conflict.fields:
        default = Resolution.NEWER if default is Resolution.MERGE else default
        return Policy(policy.strategy, policy.update, FieldPolicy(default))
    return policy
