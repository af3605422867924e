"""What an import does not do as it takes away too much: deletions, local edits that lose (DESIGN.md 4.8)."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.errors import GuardStopped
from tallystick.protocols.eden.deciding import WRITTEN, Decision, Outcome
from tallystick.protocols.eden.items import Item, Job
from tallystick.protocols.eden.store import Selection
from tallystick.site.deletions import overrules
from tallystick.sync.guards import Guard

_LIVE = Selection(include_deleted=False)


def hold_back(job: Job, items: Sequence[Item], guard: Guard) -> None:
    """Turns the deletions of a table into HELD where they are too many for the guard.

    Raises GuardStopped, before anything is written, where most of what was edited here would lose a conflict.
    """
    for name, removals in _by_table([item for item in items if _removes(item)]).items():
        table = job.model(name)
        records = 0 if table is None else job.store.count(table, _LIVE)
        if guard.holds(len(removals), records, job.store.recent_deletions(name)):
            job.held[name] = len(removals)
            for item in removals:
                item.decision = Decision(Outcome.HELD)
    for name, losing in _by_table([item for item in items if _overrules(item)]).items():
        table = job.model(name)
        records = 0 if table is None else job.store.count(table, _LIVE)
        if guard.allowed >= 0 and overrules(len(losing), records, guard.allowed):
            raise GuardStopped(
                f"{len(losing)} of {records} records of {name!r} edited here would lose a conflict",
                hint=f"choose --conflict this, or let it through with --allow-deletes {len(losing)} (or all)",
            )


def _by_table(items: Sequence[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.table.name, []).append(item)
    return found


def _removes(item: Item) -> bool:
    if item.decision is None or item.local is None or item.local.deleted:
        return False
    outcome = item.decision.outcome
    return outcome in (Outcome.DELETED, Outcome.MERGED) or (outcome is Outcome.JOINED and item.deleted)


def _overrules(item: Item) -> bool:
    """True where a conflict was decided against what is here, and the two differ."""
    decision, local = item.decision, item.local
    if decision is None or local is None or not decision.conflict or decision.outcome not in WRITTEN:
        return False
    return item.deleted or any(local.values.get(name) != value for name, value in item.values.items())
