"""Peers and tasks of a site, run over SData: the adapter face over the engine between providers (docs/sdata.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import IO

from tallystick.core.clock import milliseconds_of
from tallystick.core.policies import DEFAULT_POLICY
from tallystick.errors import AccessError, PeerError, PeerUnreachable, TallystickError, UsageError
from tallystick.jobs import sdata
from tallystick.jobs.adapter import Answer, Outcome, refusal
from tallystick.jobs.ends import Ends, Stopped, WatchedReplica
from tallystick.jobs.leases import LeaseLost
from tallystick.jobs.log import LogEntry, Result, result_of
from tallystick.jobs.tasks import EVERYTHING, Peer, Task
from tallystick.protocols.sdata.engine import PassReport, dataset_contract
from tallystick.site.deciding import OnConflict
from tallystick.sync.local import LocalReplica

SERVED = "an SData peer is answered by the provider: tallystick serve SITE --sdata"


def check_terms(task: Task) -> None:
    """Refuse what SData does not know. Raises UsageError."""
    if task.policy != DEFAULT_POLICY or task.filters:
        raise UsageError(
            f"policies and filters of the task {task.name} mean nothing between SData ends",
            hint="SData decides by digest and conflict priority: leave them out",
        )


@dataclass(slots=True)
class SDataPeerAdapter:
    """The six methods for a peer with an ``sdata+http(s)://`` URL. ``check`` is called after every pass."""

    site: WatchedReplica
    peer: Peer
    ends: Ends
    log: Callable[[LogEntry], None]
    save: Callable[[Peer], None]
    clock: Callable[[], datetime]
    password: str | None = field(default=None, repr=False)
    run: str = ""
    check: Callable[[], None] = lambda: None

    # Active ----------------------------------------------------------------------------------------------------

    def register(self) -> bool:
        """Reads what the peer offers; SData knows no registration beyond that. True on success."""
        try:
            dataset = self._offered()
        except TallystickError as error:
            self._log("register", None, result_of(error), str(error), isinstance(error, PeerError))
            return False
        self.peer = replace(self.peer, identifier=dataset, last_connected=self.clock())
        self.save(self.peer)
        self._log("register", None, Result.SUCCESS, f"the peer is {dataset}")
        return True

    refused: bool = False
    """Whether it was the peer that said no at the last login."""
    unreachable: str | None = None
    """Why the peer did not answer at the last login."""

    def login(self) -> str | None:
        """Sees whether the peer knows the user. One that does not answer now says so at the pull and push."""
        self.unreachable, self.refused = None, False
        try:
            self._offered()
        except PeerUnreachable as error:
            self.unreachable = str(error)
            return None
        except TallystickError as error:
            self.refused = isinstance(error, PeerError | AccessError)
            return str(error)
        return None

    def _offered(self) -> str:
        """The peer's dataset, once its schema could be read."""
        wish = sdata.Wish(password=self.password)
        place = sdata.address(self._url)
        remote = sdata.remote(place, wish)
        try:
            dataset_contract(remote)
        finally:
            remote.transport.close()
        return place.dataset

    @property
    def _url(self) -> str:
        scheme, separator, rest = self.peer.url.partition("://")
        named = self.peer.user is None or "@" in rest.partition("/")[0]
        return self.peer.url if named else f"{scheme}{separator}{self.peer.user}@{rest}"

    def pull(self, task: Task, onconflict: OnConflict | None = None) -> Outcome:
        """Brings here what is new at the peer. SData has no hook for conflicts: digest and priority decide."""
        return self._transfer(task, "pull")

    def push(self, task: Task) -> Outcome:
        """Brings to the peer what is new here."""
        return self._transfer(task, "push")

    def _transfer(self, task: Task, direction: str) -> Outcome:
        before = int(self.site.ledger.meta("seq"))
        try:
            reports = self._agreed(task, direction)
        except (Stopped, LeaseLost):
            raise
        except TallystickError as error:
            self._log(direction, task.resource, result_of(error), str(error), isinstance(error, PeerError))
            return str(error), None
        refused = sum(report.refused for report in reports)
        entries = sum(report.entries for report in reports)
        told = [f"{entries} entries", *([f"{refused} refused"] if refused else [])]
        told += [warning for report in reports for warning in report.warnings]
        result = Result.WARNING if refused or len(told) > 1 else Result.SUCCESS
        self._log(direction, task.resource, result, "; ".join(told), bool(refused) and direction == "push")
        return None, self._newest(before if direction == "pull" else 0) if entries else None

    def _agreed(self, task: Task, direction: str) -> list[PassReport]:
        check_terms(task)
        wish = sdata.Wish(
            direction=direction,
            kinds=() if task.resource == EVERYTHING else (task.resource,),
            run=f"{self.run} {direction}" if self.run else "",
            password=self.password,
            progress=lambda report: self.check(),
        )
        reports = sdata.agree(self._opened, self._url, wish)
        self.peer = replace(self.peer, last_connected=self.clock())
        self.save(self.peer)
        return reports

    def _opened(self) -> LocalReplica:
        """The site once more, under the lease of this run."""
        opened = self.ends.replica()
        opened.fence = self.site.fence
        return opened

    def _newest(self, after: int) -> datetime | None:
        """When the newest of the records was made that moved after a seq."""
        rows = self.site.ledger.engine.query("SELECT max(stamp) FROM tally_record WHERE seq>?", (after,))
        stamp = rows[0][0] or 0
        return datetime.fromtimestamp(milliseconds_of(stamp) // 1000, UTC) if stamp else None

    # Passive ---------------------------------------------------------------------------------------------------

    def send(
        self,
        resource: str,
        start: int | None = None,
        limit: int | None = None,
        msince: datetime | str | None = None,
        filters: Mapping[str, Mapping[str, str]] | None = None,
        mixed: bool = False,
        pretty_print: bool = False,
    ) -> Answer:
        """Refuses: an SData pull is a job with several requests, which the provider answers."""
        return refusal(Result.FATAL, SERVED)

    def receive(
        self,
        source: Sequence[IO[bytes]],
        resource: str,
        strategy: Sequence[str] | None = None,
        update_policy: str | Mapping[str, str] | None = None,
        conflict_policy: str | None = None,
        onconflict: OnConflict | None = None,
        last_sync: datetime | None = None,
        mixed: bool = False,
    ) -> Answer:
        """Refuses: an SData push is a job with several requests, which the provider answers."""
        return refusal(Result.FATAL, SERVED)

    def _log(self, mode: str, resource: str | None, result: Result, message: str | None, remote: bool = False) -> None:
        action = "request registration" if mode == "register" else "synchronize"
        self.log(LogEntry(self.clock(), self.peer.name, resource, mode, "outgoing", action, result, remote, message))
