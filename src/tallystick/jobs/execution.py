"""One run of one task under a lease: the adapter is chosen, the run logged, the task's progress kept."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tallystick.errors import AccessError, PeerError, TallystickError
from tallystick.jobs.adapter import Adapter
from tallystick.jobs.bundles import signing_key
from tallystick.jobs.credentials import Credentials
from tallystick.jobs.ends import Ends, Stopped, WatchedReplica
from tallystick.jobs.languages import BundleLanguage, Language, NativeLanguage
from tallystick.jobs.lease_table import LeaseTable
from tallystick.jobs.leases import TERM, Lease, LeaseLost
from tallystick.jobs.log import LogEntry, Result, worst
from tallystick.jobs.log_table import LogTable
from tallystick.jobs.registry import Registry
from tallystick.jobs.replica_adapter import ReplicaAdapter
from tallystick.jobs.running import run_peer
from tallystick.jobs.schedule import is_full_due
from tallystick.jobs.tasks import Peer, Run, Task
from tallystick.protocols.bundle.trust import Trust
from tallystick.site.deciding import OnConflict
from tallystick.site.engines.engine import Engine
from tallystick.site.ledger import Ledger
from tallystick.sync.transfer import Progress


def adapter_for(
    site: WatchedReplica,
    peer: Peer,
    ends: Ends,
    log: Callable[[LogEntry], None],
    *,
    run: str = "",
    progress: Progress | None = None,
) -> Adapter[Task]:
    """The adapter that a peer's protocol asks for. Raises ConfigurationError where its secret cannot be opened."""
    secret = Credentials(site.ledger).find(peer.credential) if peer.credential else None
    registry = Registry(site.ledger)
    save = registry.save_peer
    if peer.protocol == "eden":
        from tallystick.jobs.eden_tasks import EdenPeerAdapter

        return EdenPeerAdapter(site, peer, log, save, registry.progress, secret)
    if peer.protocol == "sdata":
        from tallystick.jobs.sdata_tasks import SDataPeerAdapter

        check: Callable[[], None] = (lambda: progress("", 0)) if progress is not None else (lambda: None)
        return SDataPeerAdapter(site, peer, ends, log, save, registry.now, secret, run, check)
    return ReplicaAdapter(site, peer, ends, language_of(site, peer), log, save, secret, run=run, progress=progress)


def language_of(site: WatchedReplica, peer: Peer) -> Language:
    """The language that documents of a peer are written in."""
    if peer.protocol != "files":
        return NativeLanguage()
    trust = Trust(site.ledger)
    return BundleLanguage(signing_key(site.ledger), trust.key_of)


@dataclass(slots=True)
class Execution:
    """One run. ``stop`` is looked at between pages; a lost lease ends the run like that, too."""

    ends: Ends
    lease: Lease
    stop: threading.Event = field(default_factory=threading.Event)
    onconflict: OnConflict | None = None
    name: str = field(default_factory=lambda: secrets.token_hex(6))
    term: timedelta = TERM
    _lost: threading.Event = field(default_factory=threading.Event)
    _done: threading.Event = field(default_factory=threading.Event)
    _results: list[Result] = field(default_factory=list)
    _remote: bool = False
    _messages: list[str] = field(default_factory=list)

    def run(self) -> Run | None:
        """Run the task. Returns None where the run was stopped, or another worker took over: nothing is noted then.

        Raises UsageError when the task or its peer has been removed.
        """
        site = self.ends.replica()
        keeper = threading.Thread(target=self._keep_lease, name="tally-lease", daemon=True)
        try:
            registry, table = Registry(site.ledger), LeaseTable(site.ledger, self.term)
            task = registry.task(self.lease.task)
            peer = registry.peer(task.peer)
            site.fence = lambda: table.check(self.lease)
            started = registry.now()
            keeper.start()
            try:
                self._synchronize(site, peer, task, registry)
            except (Stopped, LeaseLost):
                self._release(site, table)
                return None
            return self._end(site, registry, table, task, started)
        finally:
            self._done.set()
            if keeper.is_alive():
                keeper.join()
            site.close()

    def _synchronize(self, site: WatchedReplica, peer: Peer, task: Task, registry: Registry) -> None:
        def log(entry: LogEntry) -> None:
            self._check()
            if not entry.idle:
                self._results.append(entry.result)
            self._remote |= entry.remote and entry.result in (Result.ERROR, Result.FATAL)
            if entry.message:
                self._messages.append(entry.message)
            LogTable(site.ledger).append(entry, self.name, task.name)

        def progress(resource: str, records: int) -> None:
            self._check()

        try:
            adapter = adapter_for(site, peer, self.ends, log, run=self.name, progress=progress)
            run_peer(
                adapter,
                lambda: [task],
                lambda one: one,
                log,
                registry.now,
                address=peer.url,
                name=peer.name,
                onconflict=self.onconflict,
            )
        except (Stopped, LeaseLost):
            raise
        except TallystickError as error:
            remote, message = isinstance(error, PeerError | AccessError), str(error)
            log(
                LogEntry(registry.now(), peer.name, task.resource, "none", "none", "run", Result.FATAL, remote, message)
            )

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped(f"the run of {self.lease.task} was stopped")
        if self._lost.is_set():
            raise LeaseLost(f"another worker took over {self.lease.task}")

    def _end(
        self, site: WatchedReplica, registry: Registry, table: LeaseTable, task: Task, started: datetime
    ) -> Run | None:
        """Note the outcome, the next due time and the end of the lease in one transaction."""
        result = worst(*self._results)
        message = "; ".join(self._messages) or None
        full = is_full_due(task.full_every, registry.progress(task.name).full, started)
        run = Run(self.name, started, task.name, result, registry.now(), message, full)
        entry = LogEntry(run.ended, task.peer, task.resource, "run", "none", "run", result, self._remote, message)
        try:
            with site.ledger.engine.write():
                table.check(self.lease)
                registry.ended(task, run)
                LogTable(site.ledger).append(entry, self.name, task.name)
                table.release(self.lease)
        except LeaseLost:
            return None
        return run

    def _release(self, site: WatchedReplica, table: LeaseTable) -> None:
        with site.ledger.engine.write():
            table.release(self.lease)

    def _keep_lease(self) -> None:
        """Renew the lease while the run lasts, over a connection of its own."""
        engine: Engine | None = None
        try:
            while not self._done.wait(self.term.total_seconds() / 3):
                try:
                    engine = engine or self.ends.engine()
                    self.lease = LeaseTable(Ledger(engine), self.term).renew(self.lease)
                except LeaseLost:
                    self._lost.set()
                    return
                except TallystickError:  # the database is busy or away: there is time for another try
                    continue
        finally:
            if engine is not None:
                engine.close()
