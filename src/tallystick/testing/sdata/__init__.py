"""The SData conformance checklist (spec/sdata.md 16), for any provider: ``python -m tallystick.testing.sdata URL``."""

from __future__ import annotations

from tallystick.testing.sdata import exactness, reading, synchronizing
from tallystick.testing.sdata.checks import CHECKS, Check, Finding, Verdict, run_checks
from tallystick.testing.sdata.expecting import CheckFailed, CheckSkipped
from tallystick.testing.sdata.probe import Probe

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailed",
    "CheckSkipped",
    "Finding",
    "Probe",
    "Verdict",
    "exactness",
    "reading",
    "run_checks",
    "synchronizing",
]
