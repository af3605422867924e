"""One visit of a site to a directory: what taking and giving have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from tallystick.core.pages import Tally
from tallystick.core.policies import Policy
from tallystick.protocols.bundle.codec.parts import PART_BYTES
from tallystick.protocols.bundle.codec.signing import SigningKey
from tallystick.protocols.bundle.directory import Directory
from tallystick.protocols.bundle.trust import Trust
from tallystick.sync.agreement import Report
from tallystick.sync.local import LocalReplica
from tallystick.sync.plan import Plan, turned_hook
from tallystick.sync.replica import Meeting, Scope, Settings


@dataclass(slots=True)
class Session:
    """``second`` says that the site is the second-named end: THIS in the plan's policies is then not this site.

    A part is closed once it has ``part_bytes``.
    """

    local: LocalReplica
    directory: Directory
    key: SigningKey
    plan: Plan
    report: Report
    second: bool = False
    part_bytes: int = PART_BYTES
    trust: Trust = field(init=False)

    def __post_init__(self) -> None:
        self.trust = Trust(self.local.ledger)

    @property
    def me(self) -> str:
        """This site."""
        return self.local.ledger.site

    def settings(self, source: str, scope: Scope) -> Settings:
        """How this site applies what comes from ``source``."""
        policies: dict[str, Policy] = dict(self.plan.policies)
        hook = self.plan.onconflict
        if self.second:
            policies = {wire: policy.turned() for wire, policy in policies.items()}
            hook = turned_hook(hook)
        return Settings(source, scope, policies, self.report.run, self.plan.allowed, hook)

    def took(self, wire: str, tally: Tally) -> None:
        """Count what became of records that came in."""
        tallies = self.report.pushed if self.second else self.report.pulled
        tallies.setdefault(wire, Tally()).add(tally)

    def meet(self, other: str, scope: Scope, theirs: Meeting | None = None) -> Meeting:
        """State what this site holds, after stamping; first compare histories with what the other one stated."""
        histories = theirs.histories if theirs is not None else None
        origin = theirs.origin if theirs is not None else ""
        return self.local.meet(Meeting(other, origin, "", "", scope, histories=histories))
