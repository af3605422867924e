"""What the guards look back on: recent deletions, and local edits that lost in this run (DESIGN.md 4.8)."""

from __future__ import annotations

import msgspec

from tallystick.errors import GuardStopped
from tallystick.site.ledger import Ledger, Tracked

WINDOW_MS = 24 * 3600 * 1000
LOST = 20
SHARE = 0.30

_Log = dict[str, list[tuple[int, int]]]
_Lost = dict[str, tuple[int, dict[str, int]]]
"""By run: when it last lost any, and how many by wire name."""


def _load(ledger: Ledger) -> _Log:
    text = ledger.meta("deletions")
    log = msgspec.json.decode(text, type=_Log) if text else {}
    since = ledger.now() - WINDOW_MS
    return {wire: [item for item in items if item[0] >= since] for wire, items in log.items()}


def note(ledger: Ledger, wire: str, count: int) -> None:
    """Note deletions that were applied without an allowance."""
    if count:
        log = _load(ledger)
        log.setdefault(wire, []).append((ledger.now(), count))
        ledger.put_meta("deletions", msgspec.json.encode(log).decode())


def recent(ledger: Ledger) -> dict[str, int]:
    """Deletions of the last day that nobody explicitly allowed, by wire name."""
    return {wire: sum(count for _, count in items) for wire, items in _load(ledger).items() if items}


def overrules(lost: int, records: int, allowed: int) -> bool:
    """True when so many local edits of so many live records must not lose. ``allowed`` is a number of them."""
    return lost > max(LOST, allowed) and lost > SHARE * records


def note_lost(ledger: Ledger, wire: str, run: str, count: int) -> None:
    """Note local edits that lost a conflict in a run. The conflict log tells as much, but only by being read whole."""
    if count:
        runs = _load_lost(ledger)
        lost = runs.get(run, (0, {}))[1]
        lost[wire] = lost.get(wire, 0) + count
        runs[run] = (ledger.now(), lost)
        ledger.put_meta("lost", msgspec.json.encode(runs).decode())


def _load_lost(ledger: Ledger) -> _Lost:
    text = ledger.meta("lost")
    runs = msgspec.json.decode(text, type=_Lost) if text else {}
    since = ledger.now() - WINDOW_MS
    return {run: noted for run, noted in runs.items() if noted[0] >= since}


def check_lost(ledger: Ledger, tracked: Tracked, run: str, allowed: int) -> None:
    """Stop a run that overrules most of what was edited here.

    Raises GuardStopped, which undoes the page in flight; resumptions of the run count together.
    """
    lost = _load_lost(ledger).get(run, (0, {}))[1].get(tracked.wire, 0)
    if overrules(lost, tracked.fingerprint.count, allowed):
        raise GuardStopped(
            f"{lost} of {tracked.fingerprint.count} records of {tracked.wire!r} edited here would lose a conflict",
            hint=f"choose --conflict this or ask, or let it through with --allow-deletes {lost} (or all)",
        )
