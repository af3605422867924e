"""Versions of another Tallystick site taken as pages, with all that they have seen (DESIGN.md 4.1, 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.protocols.eden.deciding import Outcome, Policies
from tallystick.protocols.eden.site.catalog import Bound
from tallystick.protocols.eden.site.versions import Foreign, page_of
from tallystick.site.engines.engine import Entry
from tallystick.site.ledger import DELETED, UNSHOWN, Ledger
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Scope, Settings

PAGE = 1000


def policy_of(policies: Policies) -> Policy:
    """Eden's policies as those of the rules of versions.

    NEWER as an update policy is about records that may both have changed: a version that has seen ours is newer.
    What the conflict policy leaves open, the update policy decides (section 10.4).
    """
    update, conflict = policies.update, policies.conflict
    taken = _replaced(update, Resolution.NEWER, Resolution.MERGE)
    if conflict is Resolution.THIS:
        return Policy(policies.strategy, taken, FieldPolicy(Resolution.THIS))
    if conflict is Resolution.MASTER and update.default is Resolution.NEWER:
        return Policy(policies.strategy, taken, FieldPolicy(Resolution.MASTER, update.fields))
    return Policy(policies.strategy, taken, update)


def _replaced(policy: FieldPolicy, old: Resolution, new: Resolution) -> FieldPolicy:
    fields = {name: new if word is old else word for name, word in policy.fields.items()}
    return FieldPolicy(new if policy.default is old else policy.default, fields)


def join(replica: LocalReplica, bound: Bound, versions: Sequence[Foreign], policy: Policy, source: str) -> None:
    """Take versions of one resource. Every page is applied in a transaction of its own, after stamping."""
    settings = Settings(source, Scope((bound.tracked.wire,)), {"": policy}, allowed=-1)
    for start in range(0, len(versions), PAGE):
        chosen = {one.key: one for one in versions[start : start + PAGE]}
        replica.apply(page_of(bound, list(chosen.values())), settings)


def outcome_of(before: Entry | None, after: Entry | None) -> Outcome:
    """What became of a record, by the ledger before and after."""
    if after is None or (after.flags & UNSHOWN and (before is None or before.hash == after.hash)):
        return Outcome.REJECTED if after is not None else Outcome.SKIPPED
    was = before is not None and bool(before.hash)
    if after.flags & DELETED:
        return Outcome.DELETED if was else Outcome.SKIPPED
    if not was:
        return Outcome.CREATED if before is None else Outcome.REVIVED
    return Outcome.KEPT if before is not None and before.hash == after.hash else Outcome.TAKEN


def reasons(ledger: Ledger, bound: Bound, keys: Sequence[str]) -> Mapping[str, str]:
    """Why changes of these records wait, by key."""
    sql = f"SELECT key, reason FROM tally_parked WHERE resource={bound.tracked.number} AND key IN (*)"
    return dict(ledger.engine.query_in(sql, (), keys))
