"""Are two ends in agreement, and if not, where (DESIGN.md 4.8)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tallystick.sync.agreement import Plan, Report, agree
from tallystick.sync.comparing import differences
from tallystick.sync.replica import Meeting, Print, Replica, Scope


@dataclass(frozen=True, slots=True)
class Difference:
    """How one resource differs. ``knowledge`` False: both know the same and only show it differently.

    ``only_a``, ``only_b`` and ``both`` are keys, at most ``LISTED`` of each.
    """

    resource: str
    knowledge: bool
    counts: tuple[int, int]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    both: tuple[str, ...] = ()


@dataclass(slots=True)
class Verdict:
    """Whether two ends agree, resource by resource, and what does not.

    ``corrupt`` lists, by end and resource, rows that are not what the end's ledger says (only with ``deep``).
    ``missing`` are resources that only one end has.
    """

    a: str
    b: str
    resources: tuple[str, ...] = ()
    differences: list[Difference] = field(default_factory=list)
    corrupt: dict[str, dict[str, list[tuple[str, str]]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    records: int = 0

    @property
    def agree(self) -> bool:
        """True when something was compared, nothing differs and nothing is corrupt."""
        return bool(self.resources) and not self.differences and not self.corrupt


LISTED = 100


def verify(a: Replica, b: Replica, *, deep: bool = False, only: tuple[str, ...] = ()) -> Verdict:
    """Compare two ends without changing their data. One round trip and under 1 KB when they agree.

    ``deep`` has both recompute everything from the data first. Raises what the port raises.
    """
    first, second = a.describe(), b.describe()
    mine, theirs = {item.wire for item in first.resources}, {item.wire for item in second.resources}
    shared = tuple(sorted((mine & theirs) & set(only) if only else mine & theirs))
    verdict = Verdict(a.name, b.name, shared)
    verdict.missing = dict.fromkeys(sorted(theirs - mine), a.name) | dict.fromkeys(sorted(mine - theirs), b.name)
    scope = Scope(shared)
    for one in (a, b):
        one.meet(Meeting("", "", "", "", scope))
        if deep and (found := one.check(shared)):
            verdict.corrupt[one.name] = found
    here, there = a.digest("", scope).prints, b.digest("", scope).prints
    for wire in shared:
        verdict.records += here[wire][0]
        if tuple(here[wire]) != tuple(there[wire]):
            verdict.differences.append(_difference(a, b, wire, here[wire], there[wire]))
    return verdict


def _difference(a: Replica, b: Replica, wire: str, here: Print, there: Print) -> Difference:
    found = differences(a, b, wire)
    return Difference(
        wire,
        here[1] != there[1],
        (here[0], there[0]),
        tuple(found.mine[:LISTED]),
        tuple(found.theirs[:LISTED]),
        tuple(found.both[:LISTED]),
    )


def repair(a: Replica, b: Replica, plan: Plan | None = None) -> Report:
    """Take what bypassed capture at either end as edits, then bring both into agreement by comparing every record.

    Raises what the port raises.
    """
    first, second = a.describe(), b.describe()
    shared = tuple(sorted({item.wire for item in first.resources} & {item.wire for item in second.resources}))
    for one in (a, b):
        one.heal(shared)
    chosen = plan or Plan()
    chosen.compare = True
    return agree(a, b, chosen)
