"""Versions of another Tallystick site taken as pages, with all that they have seen (DESIGN.md 4.1, 4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.protocols.eden.deciding import Outcome, Policies
from tallystick.protocols.eden.site.catalog import Bound
from tallystick.protocols.eden.site.versions import Foreign, page_of
from tallystick.protocols.eden.store import Batch, Write
from tallystick.site.deciding import OnConflict
from tallystick.site.engines.engine import Entry
from tallystick.site.ledger import DELETED, UNSHOWN, Ledger
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Scope, Settings

PAGE = 1000


def policy_of(policies: Policies) -> Policy:
    """Eden's policies as those of the rules of versions.

    NEWER as an update policy is about records that may both have changed: a version that has seen ours is newer.
    What the conflict policy leaves open, the update policy decides (section 10.4). Under THIS of a site that pushes,
    its versions stand here as they do there.
    """
    update, conflict = policies.update, policies.conflict or policies.versions
    taken = _replaced(update, Resolution.NEWER, Resolution.MERGE)
    if conflict is Resolution.THIS and policies.conflict is not None:
        return Policy(policies.strategy, taken, FieldPolicy(Resolution.THIS))
    if conflict is Resolution.OTHER and policies.conflict is None:
        return Policy(policies.strategy, taken, FieldPolicy(Resolution.OTHER))
    if conflict is Resolution.MASTER and update.default is Resolution.NEWER:
        return Policy(policies.strategy, taken, FieldPolicy(Resolution.MASTER, update.fields))
    return Policy(policies.strategy, taken, update)


def _replaced(policy: FieldPolicy, old: Resolution, new: Resolution) -> FieldPolicy:
    fields = {name: new if word is old else word for name, word in policy.fields.items()}
    return FieldPolicy(new if policy.default is old else policy.default, fields)


class Leaving(NamedTuple):
    """A record that another site deleted, before it goes here."""

    write: Write
    key: str
    entry: Entry | None


class Joining:
    """The versions of one resource in a batch, and what became of them. ``chosen`` are writes with their places."""

    def __init__(self, ledger: Ledger, bound: Bound, chosen: Sequence[tuple[int, Write]]) -> None:
        self._ledger = ledger
        self.bound = bound
        self._places = [index for index, _ in chosen]
        self.writes = [one for _, one in chosen]
        self._versions = [one.foreign for one in self.writes if isinstance(one.foreign, Foreign)]
        self.keys = [one.key for one in self._versions]
        self._before = bound.tracked.rows.by_keys(self.keys)

    @property
    def deletes(self) -> bool:
        """True when there are deletions among the versions."""
        return any(one.flags & DELETED for one in self._versions)

    def take(self, replica: LocalReplica, batch: Batch, *, deletions: bool) -> None:
        """Take live versions, or deletions. Every page is applied in a transaction of its own, after stamping.

        Raises GuardStopped where the batch has a guard and overrules too many local edits; earlier pages stay applied.
        """
        chosen = {one.key: one for one in self._versions if bool(one.flags & DELETED) == deletions}
        policy = policy_of(self.writes[0].policies or Policies())
        scope = Scope((self.bound.tracked.wire,))
        settings = Settings(batch.source or "eden", scope, {"": policy}, batch.run, batch.allowed, self._hook(batch))
        versions = list(chosen.values())
        for start in range(0, len(versions), PAGE):
            replica.apply(page_of(self.bound, versions[start : start + PAGE]), settings)

    def _hook(self, batch: Batch) -> OnConflict | None:
        """The hook of an import, told of records by the names that Eden has for them."""
        ask = batch.onconflict
        if ask is None:
            return None
        name, identifier = self.bound.table.name, self.bound.names.identifier
        return lambda conflict: ask(conflict._replace(resource=name, key=identifier(conflict.key)))

    def leaving(self) -> list[Leaving]:
        """The records that are here and are deleted by what came."""
        found = []
        for write, version in zip(self.writes, self._versions, strict=True):
            entry = self._before.get(version.key)
            if version.flags & DELETED and entry is not None and entry.hash:
                found.append(Leaving(write, version.key, entry))
        return found

    def moved(self, key: str, after: Entry) -> bool:
        """True when taking the versions changed what is known of a record."""
        before = self._before.get(key)
        return before is None or before.seq != after.seq

    def outcomes(self) -> Iterator[tuple[int, str, Outcome, str | None]]:
        """Place, key, what became of the version, and why it waits."""
        after, waiting = self.bound.tracked.rows.by_keys(self.keys), self._reasons()
        for place, key in zip(self._places, self.keys, strict=True):
            outcome = outcome_of(self._before.get(key), after.get(key))
            yield place, key, outcome, waiting.get(key, "refused") if outcome is Outcome.REJECTED else None

    def _reasons(self) -> Mapping[str, str]:
        """Why changes of these records wait, by key."""
        sql = f"SELECT key, reason FROM tally_parked WHERE resource={self.bound.tracked.number} AND key IN (*)"
        return dict(self._ledger.engine.query_in(sql, (), self.keys))


def outcome_of(before: Entry | None, after: Entry | None) -> Outcome:
    """What became of a record, by the ledger before and after."""
    if after is None or (after.flags & UNSHOWN and (before is None or before.hash == after.hash)):
        return Outcome.REJECTED if after is not None else Outcome.SKIPPED
    was = before is not None and bool(before.hash)
    if after.flags & DELETED or not after.hash:
        return Outcome.DELETED if was else Outcome.SKIPPED
    if not was:
        return Outcome.CREATED if before is None else Outcome.REVIVED
    return Outcome.KEPT if before is not None and before.hash == after.hash else Outcome.TAKEN
