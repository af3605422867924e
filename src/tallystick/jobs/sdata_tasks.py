"""Peers and tasks of a site, run over SData: the adapter face over the engine between providers (docs/sdata.md).

The active methods are passes of the engine; the passive ones give and take single feeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import IO

from tallystick.core.clock import milliseconds_of
from tallystick.core.policies import DEFAULT_POLICY, Method
from tallystick.errors import AccessError, PeerError, PeerUnreachable, TallystickError, UsageError
from tallystick.jobs import sdata
from tallystick.jobs.adapter import Answer, Outcome
from tallystick.jobs.answering import Asked
from tallystick.jobs.ends import Ends, Stopped, WatchedReplica
from tallystick.jobs.leases import LeaseLost
from tallystick.jobs.log import LogEntry, Result, result_of
from tallystick.jobs.registry import Registry
from tallystick.jobs.replica_adapter import UNREGISTERED, policy_of
from tallystick.jobs.sdata_answering import Answering, answered_refusal
from tallystick.jobs.tasks import EVERYTHING, Peer, Task
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.sdata.codec.schema import read_schema, write_schema
from tallystick.protocols.sdata.engine import PassReport, dataset_contract
from tallystick.protocols.sdata.site.direct import DirectTransport
from tallystick.site.deciding import OnConflict
from tallystick.sync.local import LocalReplica

MIXED = "mixed transmissions are not supported: a feed holds resources of one kind"


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
            contract = dataset_contract(remote)
        finally:
            remote.transport.close()
        Registry(self.site.ledger).keep_offer(self.peer.name, write_schema(contract).decode())
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
        """Answers a pull with one feed: all that a target which knows nothing would get, as a source job gives it.

        With ``start``, ``limit``, ``msince`` or ``filters`` it is an extract: without syncMode, it moves no digest.
        ``mixed`` is refused: a feed holds one kind. ``pretty_print`` changes nothing: feeds are readable.
        """
        if mixed:
            return answered_refusal(Result.ERROR, MIXED)
        try:
            with self._answering() as answering:
                response, records = answering.send(Asked(resource, start, limit, msince, filters or {}))
        except TallystickError as error:
            return answered_refusal(Result.ERROR, str(error))
        self._log("pull", resource, Result.SUCCESS, f"{records} records", incoming=True)
        return Answer(status=Result.SUCCESS.value, remote=False, message=None, response=response)

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
        """Answers a push of feeds with one result feed. The peer must be registered.

        A sync feed is taken as ``$syncTarget`` takes it, an extract like it, without moving the digest; a feed whose
        entries say what to do (``http:httpMethod``) as ``$batch``. All are read before any is applied. ``strategy`` is
        this side's; policies are refused, and neither ``onconflict`` nor ``last_sync`` is asked: digest and priority
        decide.
        """
        if mixed:
            return answered_refusal(Result.ERROR, MIXED)
        if not self.peer.identifier:
            return answered_refusal(Result.FATAL, UNREGISTERED)
        try:
            methods = _checked_strategy(strategy, update_policy, conflict_policy)
            with self._answering() as answering:
                response, untaken = answering.receive(source, resource, methods)
        except TallystickError as error:
            self._log("push", resource, result_of(error), str(error), True, incoming=True)
            return answered_refusal(result_of(error), str(error))
        result = Result.WARNING if untaken else Result.SUCCESS
        message = f"{untaken} entries were not taken: the response says why" if untaken else None
        self._log("push", resource, result, message, bool(untaken), incoming=True)
        return Answer(status=result.value, remote=bool(untaken), message=message, response=response)

    @contextmanager
    def _answering(self) -> Iterator[Answering]:
        """The site behind a provider of its own, its names spelled as the peer does."""
        offer = Registry(self.site.ledger).offer(self.peer.name)
        name = sdata.address(self._url).dataset.split("/")[-2]
        spelling = read_schema(offer.encode(), name) if offer else None
        pool = Pool(self._opened)
        try:
            transport = DirectTransport(pool, spelling)
            try:
                yield Answering(transport, self.run or f"receive-{self.clock():%Y%m%d-%H%M%S-%f}")
            finally:
                transport.close()
        finally:
            pool.close()

    def _log(
        self,
        mode: str,
        resource: str | None,
        result: Result,
        message: str | None,
        remote: bool = False,
        incoming: bool = False,
    ) -> None:
        action = "request registration" if mode == "register" else "synchronize"
        direction = "outgoing"
        if incoming:
            action, direction = ("send" if mode == "pull" else "receive"), "incoming"
        self.log(LogEntry(self.clock(), self.peer.name, resource, mode, direction, action, result, remote, message))


def _checked_strategy(
    strategy: Sequence[str] | None, update: str | Mapping[str, str] | None, conflict: str | None
) -> frozenset[Method]:
    """The methods that are wanted. Raises UsageError for words that are none, and for policies."""
    policy = policy_of(strategy, update, conflict)
    if (policy.update, policy.conflict) != (DEFAULT_POLICY.update, DEFAULT_POLICY.conflict):
        raise UsageError(
            "policies mean nothing between SData ends",
            hint="SData decides by digest and conflict priority: leave them out",
        )
    return policy.strategy
