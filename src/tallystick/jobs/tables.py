"""The tables that peers, tasks, leases and the log have beside the ledger (DESIGN.md 2 *peer, task, run*).

Times are milliseconds since the epoch.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from tallystick.site.ledger import Ledger

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ROOM: Final = "jobs"
STEPS: Final = (
    (
        "CREATE TABLE tally_jobs_peer (name {text} PRIMARY KEY, url {text} NOT NULL, identifier {text}, "
        "account {text}, credential {text}, synchronise {int} NOT NULL, connected {int})",
        "CREATE TABLE tally_jobs_task (name {text} PRIMARY KEY, peer {text} NOT NULL, resource {text} NOT NULL, "
        "settings {text} NOT NULL, enabled {int} NOT NULL, due {int}, started {int}, succeeded {int}, complete {int}, "
        "failures {int} NOT NULL)",
        "CREATE INDEX tally_jobs_task_due ON tally_jobs_task (due) WHERE due IS NOT NULL",
        "CREATE TABLE tally_jobs_lease (task {text} PRIMARY KEY, owner {text}, until {int} NOT NULL, "
        "number {int} NOT NULL)",
        "CREATE TABLE tally_jobs_log (id {int} PRIMARY KEY, at {int} NOT NULL, run {text} NOT NULL, "
        "task {text} NOT NULL, peer {text}, resource {text}, mode {text} NOT NULL, direction {text} NOT NULL, "
        "action {text}, result {text} NOT NULL, remote {int} NOT NULL, message {text})",
    ),
    ("ALTER TABLE tally_jobs_peer ADD COLUMN datasets {text}",),
)


def require_tables(ledger: Ledger) -> None:
    """See to it that the tables are there. Raises ConfigurationError when those of a newer release are."""
    ledger.require(ROOM, STEPS)


def milliseconds(moment: datetime | None) -> int | None:
    """A moment as it is stored: as a ledger's clock tells it, which cuts off what a millisecond is not full of."""
    return None if moment is None else (moment - _EPOCH) // timedelta(milliseconds=1)


def moment(stored: int | None) -> datetime | None:
    """A stored moment, in UTC."""
    return None if stored is None else datetime.fromtimestamp(stored / 1000, UTC)
