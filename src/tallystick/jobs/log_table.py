"""The synchronization log of a site, in its database: every register, login, pull, push and run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tallystick.jobs.log import LogEntry, Result
from tallystick.jobs.tables import milliseconds, require_tables
from tallystick.site.ledger import Ledger

_COLUMNS = "id, at, run, task, peer, resource, mode, direction, action, result, remote, message"


class Logged(NamedTuple):
    """An entry as kept: its number, and the run and task that it belongs to ("" for none)."""

    number: int
    run: str
    task: str
    entry: LogEntry


@dataclass(slots=True)
class LogTable:
    """Appends to and reads the log. Entries of one run share its name."""

    ledger: Ledger

    def __post_init__(self) -> None:
        require_tables(self.ledger)

    def append(self, entry: LogEntry, run: str = "", task: str = "") -> None:
        """Keep an entry, in a transaction of its own where there is none."""
        if not self.ledger.engine.writing:
            with self.ledger.engine.write():
                return self.append(entry, run, task)
        self.ledger.engine.execute(
            f"INSERT INTO tally_jobs_log({_COLUMNS}) VALUES "
            "((SELECT coalesce(max(id), 0)+1 FROM tally_jobs_log), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                milliseconds(entry.time),
                run,
                task,
                entry.repository,
                entry.resource,
                str(entry.mode),
                str(entry.direction),
                entry.action,
                entry.result.value,
                int(entry.remote),
                entry.message,
            ),
        )

    def entries(self, *, run: str = "", peer: str = "", task: str = "", limit: int = 100) -> list[Logged]:
        """The newest entries first; only those of a run, peer or task when named."""
        conditions = [(name, value) for name, value in (("run", run), ("peer", peer), ("task", task)) if value]
        where = " AND ".join(f"{name}=?" for name, _ in conditions)
        sql = f"SELECT {_COLUMNS} FROM tally_jobs_log" + (f" WHERE {where}" if where else "")
        rows = self.ledger.engine.query(sql + " ORDER BY id DESC LIMIT ?", (*(value for _, value in conditions), limit))
        return [_logged(row) for row in rows]

    def forget(self, peer: str) -> None:
        """Remove the entries of a peer. Call inside ``write``."""
        self.ledger.engine.execute("DELETE FROM tally_jobs_log WHERE peer=?", (peer,))


def _logged(row: tuple[Any, ...]) -> Logged:
    number, at, run, task, peer, resource, mode, direction, action, result, remote, message = row
    time = datetime.fromtimestamp(at / 1000, UTC)
    entry = LogEntry(time, peer, resource, mode, direction, action, Result(result), bool(remote), message)
    return Logged(number, run, task, entry)
