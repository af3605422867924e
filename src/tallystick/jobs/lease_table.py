"""Leases of tasks, in the site's database: several workers never run one task twice (rules in ``leases``).

Every claim is one short transaction under the lock that all writers of a site share, so two workers cannot take one
task on either engine. Nothing is locked while a task runs: the lease is a row, and a worker that died leaves only that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tallystick.jobs import leases
from tallystick.jobs.leases import GRACE, TERM, Lease, LeaseLost
from tallystick.jobs.tables import milliseconds, require_tables
from tallystick.site.ledger import Ledger


@dataclass(slots=True)
class LeaseTable:
    """Claims, renews and releases. ``term`` is how long a lease lasts without being renewed."""

    ledger: Ledger
    term: timedelta = TERM

    def __post_init__(self) -> None:
        require_tables(self.ledger)

    def now(self) -> datetime:
        """The moment, by the site's clock."""
        return datetime.fromtimestamp(self.ledger.now() / 1000, UTC)

    def claim_due(self, owner: str) -> Lease | None:
        """The lease of the task that waits longest among those that are due and free; None when there is none."""
        with self.ledger.engine.write():
            now = self.now()
            stale = milliseconds(now - GRACE)
            rows = self.ledger.engine.query(
                "SELECT t.name FROM tally_jobs_task t LEFT JOIN tally_jobs_lease l ON l.task=t.name "
                "WHERE t.due<=? AND (l.owner IS NULL OR l.until<=?) ORDER BY t.due, t.name LIMIT 1",
                (milliseconds(now), stale),
            )
            return self._claim(rows[0][0], owner, now) if rows else None

    def claim(self, task: str, owner: str) -> Lease | None:
        """The lease of one task, due or not; None while another worker holds it."""
        with self.ledger.engine.write():
            return self._claim(task, owner, self.now())

    def _claim(self, task: str, owner: str, now: datetime) -> Lease | None:
        made = leases.claim(self.current(task), task, owner, now, self.term)
        if made is not None:
            self._put(made)
        return made

    def renew(self, held: Lease) -> Lease:
        """``held`` with a later end. Raises LeaseLost when another worker may have taken over."""
        with self.ledger.engine.write():
            renewed = leases.renew(held, self.current(held.task), self.now(), self.term)
            self._put(renewed)
            return renewed

    def check(self, held: Lease) -> None:
        """Raise LeaseLost unless ``held`` is the highest lease of its task. Call inside the ``write`` it protects."""
        current = self.current(held.task)
        if current is None or not leases.may_write(held.number, current.number):
            raise LeaseLost(f"another worker took over {held.task}")

    def release(self, held: Lease) -> None:
        """Free the task, where the lease still stands. Call inside ``write``."""
        left = leases.release(held, self.current(held.task), self.now())
        if left is not None:
            self._put(left)

    def current(self, task: str) -> Lease | None:
        """The lease of a task as it stands."""
        sql = "SELECT owner, until, number FROM tally_jobs_lease WHERE task=?"
        rows = self.ledger.engine.query(sql, (task,))
        if not rows:
            return None
        owner, until, number = rows[0]
        return Lease(task, owner, datetime.fromtimestamp(until / 1000, UTC), number)

    def next_due(self) -> datetime | None:
        """The earliest moment at which a task that nobody runs is due, or a dead worker's lease has ended."""
        rows = self.ledger.engine.query(
            "SELECT t.due, l.owner, l.until FROM tally_jobs_task t LEFT JOIN tally_jobs_lease l ON l.task=t.name "
            "WHERE t.due IS NOT NULL"
        )
        grace = round(GRACE.total_seconds() * 1000)
        moments = [due if owner is None else max(due, until + grace) for due, owner, until in rows]
        return datetime.fromtimestamp(min(moments) / 1000, UTC) if moments else None

    def _put(self, lease: Lease) -> None:
        self.ledger.engine.execute(
            "INSERT INTO tally_jobs_lease(task, owner, until, number) VALUES (?, ?, ?, ?) ON CONFLICT (task) DO UPDATE "
            "SET owner=excluded.owner, until=excluded.until, number=excluded.number",
            (lease.task, lease.owner, milliseconds(lease.until), lease.number),
        )
