"""The run log: every execution with its name, stamp, peer, outcome and report (DESIGN.md 2 *peer, task, run*)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from tallystick.site.ledger import Ledger

SUCCESS, WARNING, ERROR, FATAL = "success", "warning", "error", "fatal"


class Run(NamedTuple):
    """One execution. Times are milliseconds; ``outcome`` is running, success, warning, error or fatal."""

    id: int
    name: str
    stamp: str
    peer: str
    action: str
    started: int
    finished: int | None
    outcome: str
    report: dict[str, Any]


def begin(ledger: Ledger, name: str, peer: str, action: str, ago: int = 0) -> int:
    """Note that a run has begun, ``ago`` milliseconds ago; returns its number. Call inside ``ledger.write()``."""
    now = ledger.now() - ago
    stamp = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    number = int(ledger.engine.query("SELECT coalesce(max(id), 0)+1 FROM tally_run")[0][0])
    ledger.engine.execute(
        "INSERT INTO tally_run(id, name, stamp, peer, action, started, outcome, report) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, name, stamp, peer, action, now, "running", "{}"),
    )
    return number


def finish(ledger: Ledger, number: int, outcome: str, report: Mapping[str, Any]) -> None:
    """Note how a run ended. Call inside ``ledger.write()``."""
    ledger.engine.execute(
        "UPDATE tally_run SET finished=?, outcome=?, report=? WHERE id=?",
        (ledger.now(), outcome, msgspec.json.encode(dict(report)).decode(), number),
    )


def runs(ledger: Ledger, name: str = "", limit: int = 100) -> list[Run]:
    """The newest runs first; only those called ``name`` when given."""
    sql = "SELECT id, name, stamp, peer, action, started, finished, outcome, report FROM tally_run"
    parameters: list[Any] = []
    if name:
        sql += " WHERE name=?"
        parameters.append(name)
    rows = ledger.engine.query(sql + " ORDER BY id DESC LIMIT ?", (*parameters, limit))
    return [Run._make((*row[:8], msgspec.json.decode(row[8]))) for row in rows]
