"""The scheduler loop: claim a due task, run it, wait for the next (docs/tasks.md).

Any number of workers, on any number of machines, may run the tasks of one site; leases keep them apart.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tallystick.errors import StorageError, TallystickError, UsageError
from tallystick.jobs.ends import Ends
from tallystick.jobs.execution import Execution
from tallystick.jobs.lease_table import LeaseTable
from tallystick.jobs.leases import TERM, Lease
from tallystick.jobs.registry import Registry
from tallystick.jobs.tasks import Run
from tallystick.site.ledger import Ledger

POLL_S = 5.0
"""How soon a task is noticed that somebody added, changed or asked for meanwhile."""


def _owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(slots=True)
class Worker:
    """One worker. ``stop`` ends it cleanly: the page in flight is finished, the lease given back.

    ``told`` is called with every run that ended, and with a sentence for what went wrong outside of one.
    """

    ends: Ends
    told: Callable[[Run | str], None] = lambda what: None
    stop: threading.Event = field(default_factory=threading.Event)
    owner: str = field(default_factory=_owner)
    term: timedelta = TERM

    def run(self, *, once: bool = False) -> list[Run]:
        """Run tasks as they come due, until ``stop``; with ``once`` those that are due now.

        With ``once`` returns the runs that ended. A database that is away or locked is waited for; with ``once``
        it raises StorageError.
        """
        ledger = Ledger.create(self.ends.engine())
        ended: list[Run] = []
        try:
            table = LeaseTable(ledger, self.term)
            while not self.stop.is_set():
                try:
                    lease = table.claim_due(self.owner)
                    if lease is not None:
                        found = self._execute(table, lease)
                        ended.extend(found if once else [])
                        continue
                    pause = self._pause(table)
                except StorageError as error:
                    if once:
                        raise
                    self.told(str(error))
                    pause = POLL_S
                if once:
                    break
                self.stop.wait(pause)
        finally:
            ledger.engine.close()
        return ended

    def run_task(self, name: str) -> Run | None:
        """Run one task now, due or not. None where it was stopped.

        Raises UsageError for a task that is not there, or that another worker runs at the moment.
        """
        ledger = Ledger.create(self.ends.engine())
        try:
            Registry(ledger).task(name)
            table = LeaseTable(ledger, self.term)
            lease = table.claim(name, self.owner)
            if lease is None:
                raise UsageError(f"another worker runs the task {name!r}", hint="wait until it is done")
            found = self._execute(table, lease)
            return found[0] if found else None
        finally:
            ledger.engine.close()

    def _execute(self, table: LeaseTable, lease: Lease) -> list[Run]:
        try:
            run = Execution(self.ends, lease, self.stop, term=self.term).run()
        except UsageError as error:  # the task or its peer was removed meanwhile
            self.told(str(error))
            run = None
            with table.ledger.engine.write():
                table.release(lease)
        except TallystickError as error:
            self.told(str(error))
            run = None
            self.stop.wait(POLL_S)
        if run is None:
            return []
        self.told(run)
        return [run]

    def _pause(self, table: LeaseTable) -> float:
        due = table.next_due()
        if due is None:
            return POLL_S
        left = (due - datetime.fromtimestamp(table.ledger.now() / 1000, UTC)).total_seconds()
        return min(POLL_S, max(0.05, left))
