"""What a check of the conformance checklist is, and how all of them are run."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from tallystick.errors import TallystickError
from tallystick.protocols.sdata.transport import Transport
from tallystick.testing.sdata.expecting import CheckFailed, CheckSkipped
from tallystick.testing.sdata.probe import Probe


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Check(NamedTuple):
    """One check: its number in the checklist, what it asks for, whether it changes the provider."""

    number: int
    name: str
    writes: bool
    action: Callable[[Probe], None]


class Finding(NamedTuple):
    """What a check found."""

    number: int
    name: str
    verdict: Verdict
    detail: str = ""


CHECKS: list[Check] = []
"""Filled by the modules that hold the checks; `run_checks` goes by their numbers."""


def check(
    number: int, name: str, *, writes: bool = False
) -> Callable[[Callable[[Probe], None]], Callable[[Probe], None]]:
    """Register a check under its number in the checklist."""

    def register(action: Callable[[Probe], None]) -> Callable[[Probe], None]:
        CHECKS.append(Check(number, name, writes, action))
        return action

    return register


def run_checks(
    endpoint: str, transport: Transport, *, write: bool = False, told: Callable[[Finding], None] | None = None
) -> list[Finding]:
    """What every check finds at ``endpoint``; those that write only with ``write``."""
    findings = []
    for found in sorted(CHECKS, key=lambda one: one.number):
        finding = _finding(found, Probe(endpoint, transport), write)
        findings.append(finding)
        if told is not None:
            told(finding)
    return findings


def _finding(found: Check, probe: Probe, write: bool) -> Finding:
    if found.writes and not write:
        return Finding(found.number, found.name, Verdict.SKIPPED, "changes the provider; allow it with --write")
    try:
        found.action(probe)
    except CheckSkipped as reason:
        return Finding(found.number, found.name, Verdict.SKIPPED, str(reason))
    except (CheckFailed, TallystickError) as error:
        return Finding(found.number, found.name, Verdict.FAILED, str(error))
    return Finding(found.number, found.name, Verdict.PASSED)
