"""Two ends brought into agreement, and noted in the run log of those that are here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tallystick.api.ends import is_replica
from tallystick.core.pages import Tally
from tallystick.errors import AccessError, PeerError, TallystickError
from tallystick.site import runs
from tallystick.sync.local import LocalReplica

if TYPE_CHECKING:
    from tallystick.protocols.bundle.exchange import BundleExchange
    from tallystick.sync.agreement import Report
    from tallystick.sync.plan import Plan
    from tallystick.sync.replica import Replica


def logged_agree(a: Replica | BundleExchange, b: Replica | BundleExchange, plan: Plan) -> Report:
    """``agree``, noted in the run log of every local end when something moved, waits or went wrong."""
    plan = replace(plan, run=plan.run or os.urandom(8).hex())
    log = _Log(a, b, plan.run)
    try:
        report = _agreed(a, b, plan, log.note)
    except TallystickError as error:
        found = {"error": str(error), "remote": isinstance(error, PeerError | AccessError)}
        with suppress(TallystickError):  # an end that is full or gone must not hide why
            for end in log.ends:
                log.write(end, runs.ERROR, found)
        raise
    for end in log.lacking():
        log.note(report, end)
    return report


def _agreed(
    a: Replica | BundleExchange,
    b: Replica | BundleExchange,
    plan: Plan,
    note: Callable[[Report, Replica | BundleExchange], None],
) -> Report:
    """A directory cannot be asked, so the engine between two ends that answer has nothing to do there."""
    if is_replica(a) and is_replica(b):
        from tallystick.sync.agreement import agree

        return agree(a, b, plan, note)
    from tallystick.jobs.bundles import visit

    return visit(a, b, plan)


class _Log:
    """The run logs of the local ends of one run, which begins now."""

    def __init__(self, a: Replica | BundleExchange, b: Replica | BundleExchange, run: str) -> None:
        pairs = ((a, b), (b, a))
        self.ends = {end: other.name for end, other in pairs if isinstance(end, LocalReplica)}
        self._run, self._began = run, time.monotonic()
        self._written: list[object] = []

    def lacking(self) -> list[LocalReplica]:
        """The ends whose log does not have the run yet."""
        return [end for end in self.ends if end not in self._written]

    def note(self, report: Report, end: Replica | BundleExchange) -> None:
        """Log a run that did not fail, if it is worth it, at an end that has a log."""
        if isinstance(end, LocalReplica) and (report.moved or report.held or report.tracked or report.refused):
            outcome = runs.WARNING if report.waiting or report.held or report.refused else runs.SUCCESS
            self.write(end, outcome, _noted(report))

    def write(self, end: LocalReplica, outcome: str, found: Mapping[str, Any]) -> None:
        """Log the run at one end."""
        ago = round((time.monotonic() - self._began) * 1000)
        with end.ledger.write():
            runs.finish(end.ledger, runs.begin(end.ledger, self._run, self.ends[end], "sync", ago), outcome, found)
        self._written.append(end)


def _noted(report: Report) -> dict[str, Any]:
    tallies = {
        side: {wire: _counts(tally) for wire, tally in found.items()}
        for side, found in (("pushed", report.pushed), ("pulled", report.pulled))
    }
    told = {name: found for name in ("notes", "refused") if (found := getattr(report, name))}
    return {**tallies, "records": report.records, "held": report.held, **told}


def _counts(tally: Tally) -> dict[str, int]:
    return {name: value for name in tally.__struct_fields__ if (value := getattr(tally, name))}


def as_plain(report: Report) -> dict[str, Any]:
    """A report as plain data, for ``--json``."""
    plain = asdict(report)
    for side in ("pushed", "pulled"):
        plain[side] = {wire: _counts(tally) for wire, tally in getattr(report, side).items()}
    return plain
