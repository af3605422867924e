"""Two ends brought into agreement, and noted in the run log of those that are here."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
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
    began = time.monotonic()
    try:
        report = _agreed(a, b, plan)
    except TallystickError as error:
        found = {"error": str(error), "remote": isinstance(error, PeerError | AccessError)}
        with suppress(TallystickError):  # an end that is full or gone must not hide why
            _log(a, b, plan.run, runs.ERROR, found, began)
        raise
    if report.records or report.held or report.tracked or report.refused:
        outcome = runs.WARNING if report.waiting or report.held or report.refused else runs.SUCCESS
        tallies = {
            side: {wire: _counts(tally) for wire, tally in found.items()}
            for side, found in (("pushed", report.pushed), ("pulled", report.pulled))
        }
        told = {name: found for name in ("notes", "refused") if (found := getattr(report, name))}
        noted = {**tallies, "records": report.records, "held": report.held, **told}
        _log(a, b, report.run, outcome, noted, began)
    return report


def _agreed(a: Replica | BundleExchange, b: Replica | BundleExchange, plan: Plan) -> Report:
    """A directory cannot be asked, so the engine between two ends that answer has nothing to do there."""
    if is_replica(a) and is_replica(b):
        from tallystick.sync.agreement import agree

        return agree(a, b, plan)
    from tallystick.jobs.bundles import visit

    return visit(a, b, plan)


def _counts(tally: Tally) -> dict[str, int]:
    return {name: value for name in tally.__struct_fields__ if (value := getattr(tally, name))}


def _log(
    a: Replica | BundleExchange,
    b: Replica | BundleExchange,
    run: str,
    outcome: str,
    report: Mapping[str, Any],
    began: float,
) -> None:
    ago = round((time.monotonic() - began) * 1000)
    for mine, other in ((a, b), (b, a)):
        if isinstance(mine, LocalReplica):
            with mine.ledger.write():
                runs.finish(mine.ledger, runs.begin(mine.ledger, run, other.name, "sync", ago), outcome, report)


def as_plain(report: Report) -> dict[str, Any]:
    """A report as plain data, for ``--json``."""
    plain = asdict(report)
    for side in ("pushed", "pulled"):
        plain[side] = {wire: _counts(tally) for wire, tally in getattr(report, side).items()}
    return plain
