"""A site in memory: ledger, capture, stamping and applying of one resource, on the real rules of ``core``.

Everything but the rules is simplified: rows live in a dictionary, and a transaction is a method that either raises
before it changes anything or does all that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from tallystick.core import changes, clock, decide, history, join, versions
from tallystick.core.decide import Held, Kind, Outcome
from tallystick.core.policies import Policy
from tallystick.core.states import State
from tallystick.core.values import mapping_hash
from tallystick.core.versions import DELETED, Content, Origin, Record, Vector, Version
from tallystick.testing.simulated_witness import Witness

RESOURCE = "r"

Incoming = tuple[str, Record]


class Holding(NamedTuple):
    """One record as the site holds it: what ledger, siblings and parking know together.

    ``hash`` is the content hash of the row, empty without a row. ``aside`` is True when the row does not follow the
    record (a declined change).
    """

    seq: int
    record: Record
    shown: tuple[Version, ...]
    hash: bytes
    undecided: bool = False
    aside: bool = False


class SimulatedSite:
    """One site. ``identifier`` is its UUID, which copies share; ``label`` names it in traces; ``skew`` is in ms."""

    def __init__(self, identifier: str, label: str, witness: Witness, nonce: Callable[[], int], skew: int) -> None:
        self.identifier, self.label, self.witness, self.nonce, self.skew = identifier, label, witness, nonce, skew
        self.histories = history.Histories(history.origin_of(identifier, 1))
        self.tick = self.seq = self.stamp = self.horizon = 0
        self.holdings: dict[str, Holding] = {}
        self.rows: dict[str, Content] = {}
        self.marks: dict[str, frozenset[str] | None] = {}
        self.digest: dict[Origin, int] = {}
        self.forgotten: dict[Origin, int] = {}
        self.states: dict[tuple[str, str], State] = {}
        self.copied = False
        self.epoch = 0
        """Rises whenever names may have changed: passes that began before are broken off."""

    @property
    def origin(self) -> Origin:
        """The origin of the site's next change."""
        return self.histories.origin

    @property
    def incarnation(self) -> int:
        """The number in ``origin``."""
        return int(self.histories.origin.rpartition(".")[2])

    # Copies

    def copy(self, label: str, skew: int) -> SimulatedSite:
        """The site as a copy of its file taken now holds it."""
        twin = SimulatedSite(self.identifier, label, self.witness, self.nonce, skew)
        twin.become(self)
        return twin

    def become(self, backup: SimulatedSite) -> None:
        """Take over everything that ``backup`` holds, as restoring it does."""
        self.histories, self.copied = backup.histories, backup.copied
        self.tick, self.seq, self.stamp, self.horizon = backup.tick, backup.seq, backup.stamp, backup.horizon
        self.holdings, self.rows, self.marks = dict(backup.holdings), dict(backup.rows), dict(backup.marks)
        self.digest, self.forgotten, self.states = dict(backup.digest), dict(backup.forgotten), dict(backup.states)
        self.epoch += 1

    # The application

    def install(self, rows: Mapping[str, Content]) -> None:
        """Rows that exist before tracking begins become genesis records."""
        for key, content in rows.items():
            self.rows[key] = content
            self.tick += 1
            digest = mapping_hash(key, dict(content))
            record = versions.genesis_record(self.origin, self.tick, digest, 0, content)
            self.witness.made(key, record.versions[0], ())
            self._put(key, record, record.versions, digest)
        self.digest[self.origin] = self.tick

    def write(self, key: str, content: Content | None, changed: frozenset[str] | None) -> None:
        """The application writes a row or (None) deletes it; capture leaves a mark."""
        if content is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = content
        before = self.marks.get(key, frozenset())
        self.marks[key] = None if changed is None or before is None else before | changed

    def resolve(self, key: str, content: Content | None, now: int) -> None:
        """Somebody who was shown every sibling decides: one edit supersedes them all."""
        self.stamp_marks(now)
        held = self.holdings[key]
        self._show(key, content)
        self._edit(key, held, content, None, held.record.versions, held.record.versions, now)

    # Stamping

    def stamp_marks(self, now: int) -> None:
        """Turn marks into changes: after this, everything that was committed has its dot and seq."""
        if self.copied:
            self.copied = False
            self.meet(history.begin_elsewhere(self.histories, self.nonce()))
        for key in sorted(self.marks):
            self._stamp(key, self.marks[key], now)
        self.marks.clear()

    def _stamp(self, key: str, changed: frozenset[str] | None, now: int) -> None:
        held, content = self.holdings.get(key), self.rows.get(key)
        digest = DELETED if content is None else mapping_hash(key, dict(content))
        if held is None:
            if content is not None:
                self._edit(key, None, content, None, (), (), now)
        elif digest == held.hash:
            self._put(key, *held[1:])
        else:
            base = held.shown if held.undecided or held.aside else held.record.versions
            self._edit(key, held, content, changed if held.hash else None, base, held.shown, now)

    def _edit(
        self,
        key: str,
        held: Holding | None,
        content: Content | None,
        changed: frozenset[str] | None,
        base: Collection[Version],
        saw: Collection[Version],
        now: int,
    ) -> None:
        """Issue a change that supersedes ``base``, made by somebody who saw ``saw``."""
        digest = DELETED if content is None else mapping_hash(key, dict(content))
        self.tick += 1
        self.stamp = clock.advance(self.stamp, now + self.skew)
        dot = (self.origin, self.tick)
        before = None if held is None else held.record
        record = join.edit(before, dot, self.stamp, digest, content, superseded=base, changed=changed)
        made = next(version for version in record.versions if dot in version.dots)
        shown = {version.hash for version in saw}
        twins = () if before is None else (one for one in before.versions if one.hash in shown)
        self.witness.made(key, made, (*saw, *twins))
        for version in base:
            if version.hash not in shown:
                self.witness.settle(key, version, self.label)
        self.digest[self.origin] = self.tick
        undecided = held is not None and held.undecided and record.contested
        self._put(key, record, tuple(one for one in record.versions if one.hash == digest), digest, undecided)

    def _put(
        self,
        key: str,
        record: Record,
        shown: tuple[Version, ...],
        digest: bytes,
        undecided: bool = False,
        aside: bool = False,
    ) -> None:
        self.seq += 1
        self.holdings[key] = Holding(self.seq, record, shown, digest, undecided, aside)

    def _show(self, key: str, content: Content | None) -> None:
        if content is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = content

    # Applying

    def decided(self, page: Iterable[Incoming], policy: Policy) -> list[tuple[str, Outcome]]:
        """What becomes of the records of a page; nothing is written yet. Stamp first."""
        found = []
        for key, record in page:
            outcome = decide.decide(self.held(key), record, policy, self.digest, self.forgotten)
            if outcome.conflict:
                self.witness.conflicts.add(key)
            if outcome.kind is not Kind.UNCHANGED:
                found.append((key, outcome))
        return found

    def held(self, key: str) -> Held | None:
        """The record as the rules see it."""
        held = self.holdings.get(key)
        if held is None:
            return None
        return Held(held.record, held.shown, row=self.rows.get(key) if len(held.shown) > 1 else None)

    def keep(self, decided: Sequence[tuple[str, Outcome]], now: int) -> None:
        """Write what was decided: rows, ledger, clock. Copies of losers come last: the page may bring them, too."""
        for key, outcome in decided:
            self._keep(key, outcome)
            for version in outcome.record.versions:
                self.stamp = clock.observe(self.stamp, version.stamp, now + self.skew)
        for key, outcome in decided:
            if outcome.projection is not None:
                for version in outcome.projection.copies:
                    self._copy_sibling(key, version)

    def _keep(self, key: str, outcome: Outcome) -> None:
        held, projection, record = self.holdings.get(key), outcome.projection, outcome.record
        shown = held.shown if held is not None else ()
        digest = held.hash if held is not None else DELETED
        if outcome.kind is Kind.DECLINED:
            self._put(key, record, shown, digest, aside=True)
        elif outcome.kind is Kind.UNITED or projection is None:
            self._know(key, held, outcome)
        else:
            self._show(key, projection.content)
            digest = DELETED if projection.content is None else mapping_hash(key, dict(projection.content))
            self._put(key, record, projection.contributors, digest, projection.undecided)

    def _know(self, key: str, held: Holding | None, outcome: Outcome) -> None:
        """Only knowledge is new: the row shows what it showed."""
        record = outcome.record
        if held is None:
            self._put(key, record, record.versions, DELETED, outcome.undecided)
            return
        hashes = {version.hash for version in held.shown}
        still = tuple(version for version in record.versions if version.hash in hashes)
        undecided = record.contested and (outcome.undecided or held.undecided)
        self._put(key, record, still or held.shown, held.hash, undecided, held.aside and not still)

    def _copy_sibling(self, key: str, version: Version) -> None:
        """KEEP_BOTH: a loser becomes a record of its own."""
        name = decide.copy_key(key, version)
        if name in self.holdings or version.content is None:
            return
        self.tick += 1
        digest = mapping_hash(name, dict(version.content))
        record = decide.copy_record(version, digest, self.origin, self.tick)
        self._show(name, version.content)
        self.digest[self.origin] = self.tick
        self._put(name, record, record.versions, digest)
        self.witness.made(name, record.versions[0], ())

    # Knowledge of the whole

    def speak(self) -> None:
        """Note a contact before anything new is handed out."""
        self.histories = history.speak(self.histories, self.nonce(), {RESOURCE: self.tick}, self.seq)

    def meet(self, meeting: history.Meeting) -> None:
        """Take over what a contact means for this end."""
        for fork in meeting.forks:
            self._rename(fork)
        if meeting.forks or meeting.began:
            self.epoch += 1
        self.histories = meeting.histories

    def _rename(self, fork: history.Fork) -> None:
        for key, held in sorted(self.holdings.items()):
            record = history.renamed(held.record, RESOURCE, fork)
            if record is not held.record:
                shown = tuple(history.renamed_version(version, RESOURCE, fork) for version in held.shown)
                self._put(key, record, shown, *held[3:])
        self.digest = dict(history.renamed_vector(self.digest, RESOURCE, fork))
        self.forgotten = dict(history.renamed_vector(self.forgotten, RESOURCE, fork))

    def learn(self, digest: Vector, forgotten: Vector) -> None:
        """A whole pass ended: what its source knew, this site knows."""
        self.digest = versions.merge_vectors(self.digest, digest)
        self.forgotten = versions.merge_vectors(self.forgotten, forgotten)

    def purge(self) -> int:
        """Forget tombstones; the number of them."""
        dead = [
            key for key, held in self.holdings.items() if not held.hash and changes.purgeable(held.record, self.digest)
        ]
        for key in dead:
            held = self.holdings.pop(key)
            self.horizon = max(self.horizon, held.seq)
            self.forgotten = versions.merge_vectors(self.forgotten, held.record.seen.vector)
            for version in held.record.versions:
                self.witness.settle(key, version, self.label)
        self.epoch += bool(dead)
        return len(dead)

    def reconcile(self, others: Mapping[str, Record | None], digest: Vector, forgotten: Vector, policy: Policy) -> None:
        """Let go of what another end knew and holds no longer, since it has purged the deletions that would tell us.

        ``others`` are its records under keys of ours where the two differ, None where it has none. Stamp first.
        """
        for key, other in others.items():
            held = self.holdings[key]
            left = changes.bereft(held.record, digest, () if other is None else other.versions)
            if left is None:
                self.seq += 1
                del self.holdings[key]
                self._show(key, None)
            elif left is not held.record:
                self.keep(self.decided([(key, left)], policy), 0)
        self.forgotten = versions.merge_vectors(self.forgotten, forgotten)
        self.epoch += 1

    def live(self) -> list[tuple[str, Holding]]:
        """Live records by key, ascending."""
        return sorted((key, held) for key, held in self.holdings.items() if held.record.live)

    def contents(self) -> Sequence[tuple[str, Content]]:
        """The application's rows by key, ascending."""
        return sorted(self.rows.items())
