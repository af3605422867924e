"""The adapter face over any end that the engine can reach: native, databases, SData, bundles (spec/eden.md: section 4).

Written once: the active methods hand two ends to the engine, the passive ones a document of the peer's language to the
site. What differs between protocols is how an end is opened (``Ends.connect``) and how a document is written
(``Language``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import IO, Any

import msgspec

from tallystick.core.pages import Tally
from tallystick.core.policies import DEFAULT_POLICY, FieldPolicy, Method, Policy, Resolution
from tallystick.errors import AccessError, PeerError, PeerUnreachable, TallystickError, UsageError
from tallystick.jobs.adapter import Answer, Outcome, refusal
from tallystick.jobs.answering import Asked, changes_of, take
from tallystick.jobs.ends import Ends, Stopped, WatchedReplica
from tallystick.jobs.languages import Language
from tallystick.jobs.leases import LeaseLost
from tallystick.jobs.log import LogEntry, Result, result_of
from tallystick.jobs.tasks import EVERYTHING, Peer, Task
from tallystick.protocols.bundle.exchange import NEITHER, BundleExchange
from tallystick.site.deciding import OnConflict
from tallystick.sync.agreement import Report
from tallystick.sync.plan import PULL, PUSH, Plan
from tallystick.sync.replica import Described
from tallystick.sync.transfer import Progress

UNREGISTERED = "the peer is not registered here"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class ReplicaAdapter:
    """The six methods for one peer of ``site``. ``save`` keeps what registering learnt of the peer."""

    site: WatchedReplica
    peer: Peer
    ends: Ends
    language: Language
    log: Callable[[LogEntry], None] = lambda entry: None
    save: Callable[[Peer], None] = lambda peer: None
    password: str | None = field(default=None, repr=False)
    clock: Callable[[], datetime] = _now
    run: str = ""
    progress: Progress | None = None

    # Active ----------------------------------------------------------------------------------------------------

    def register(self) -> bool:
        """Learns who the peer is, and with a directory leaves this site's card there; True on success."""
        action = "request registration"
        try:
            self.peer = replace(self.peer, identifier=self._identified(), last_connected=self.clock())
        except TallystickError as error:
            self._log("register", None, action, result_of(error), isinstance(error, PeerError), str(error))
            return False
        self.save(self.peer)
        self._log("register", None, action, Result.SUCCESS, False, f"the peer is {self.peer.identifier}")
        return True

    refused: bool = False
    """Whether it was the peer that said no at the last login."""
    unreachable: str | None = None
    """Why the peer did not answer at the last login."""

    def login(self) -> str | None:
        """Sees whether the peer is who it was and knows the user; None on success, otherwise the error.

        A peer that does not answer now is no error of the login: pull and push say so, as what may work later.
        """
        self.unreachable, self.refused = None, False
        try:
            found = self._identified()
        except PeerUnreachable as error:
            self.unreachable = str(error)
            return None
        except TallystickError as error:
            self.refused = isinstance(error, PeerError | AccessError)
            return str(error)
        if self.peer.identifier not in (None, found):
            return f"{self.peer.url} is the site {found}, not {self.peer.identifier}: register the peer again"
        return None

    def _identified(self) -> str:
        """The identifier of the site at the peer's URL; that of a directory is where it is."""
        end = self.ends.connect(self.peer, self.password)
        try:
            if isinstance(end, BundleExchange):
                plan = Plan(direction=NEITHER, run=self.run)
                report = self.ends.agree(self.site, end, plan)
                if report.refused:
                    raise PeerError("; ".join(report.refused), hint="")
                return self.peer.url
            described: Described = end.describe()  # type: ignore[attr-defined]
            return described.site
        finally:
            end.close()

    def pull(self, task: Task, onconflict: OnConflict | None = None) -> Outcome:
        """Brings here what is new at the peer; ``onconflict`` is asked about every conflict."""
        return self._transfer(task, PULL, onconflict)

    def push(self, task: Task) -> Outcome:
        """Brings to the peer what is new here."""
        return self._transfer(task, PUSH, None)

    def _transfer(self, task: Task, direction: str, onconflict: OnConflict | None) -> Outcome:
        try:
            report = self._agreed(plan_of(task, direction, self.run, onconflict, self.progress))
        except (Stopped, LeaseLost):
            raise
        except TallystickError as error:
            remote = isinstance(error, PeerError | AccessError)
            self._log(direction, task.resource, "synchronize", result_of(error), remote, str(error))
            return str(error), None
        newest = self.site.newest_change()
        problem = "; ".join([*report.refused, *_held(report)])
        waiting = report.waiting or problem
        result = Result.ERROR if report.refused else Result.WARNING if waiting else Result.SUCCESS
        self._log(
            direction, task.resource, "synchronize", result, bool(report.refused), problem or _told(report, direction)
        )
        return ("; ".join(report.refused) or None), newest

    def _agreed(self, plan: Plan) -> Report:
        end = self.ends.connect(self.peer, self.password)
        try:
            report = self.ends.agree(self.site, end, plan)
        finally:
            end.close()
        self.peer = replace(self.peer, last_connected=self.clock())
        self.save(self.peer)
        return report

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
        """Answers a pull with a document of the peer's language. ``mixed`` gives every resource."""
        asked = Asked("" if mixed else resource, start, limit, msince, filters or {})
        try:
            document = changes_of(self.site, asked, self.peer.identifier or "")
            response = self.language.write(document, readable=pretty_print)
        except TallystickError as error:
            return refusal(Result.ERROR, str(error))
        self._log("pull", resource, "send", Result.SUCCESS, False, f"{document.records} records", "incoming")
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
        """Answers a push. The peer must be registered; the policies are those of this side.

        ``last_sync`` is not needed: changes say themselves what they have seen. Documents are read whole before
        anything of them is applied.
        """
        if not self.peer.identifier:
            return refusal(Result.FATAL, UNREGISTERED)
        try:
            policy = policy_of(strategy, update_policy, conflict_policy)
            documents = [self.language.read(one) for one in source]
            sender = "" if self.language.vouches else self.peer.identifier
            wanted = "" if mixed else resource
            tallies = take(self.site, documents, wanted, sender, policy, self.run, onconflict)
        except TallystickError as error:
            self._log("push", resource, "receive", result_of(error), True, str(error), "incoming")
            return refusal(result_of(error), str(error))
        waiting = sum(tally.parked + tally.undecided for tally in tallies.values())
        result = Result.WARNING if waiting else Result.SUCCESS
        message = f"{waiting} records wait: parked, or in conflict" if waiting else None
        self._log("push", resource, "receive", result, bool(waiting), message, "incoming")
        return Answer(status=result.value, remote=bool(waiting), message=message, response=_reply(tallies))

    def _log(
        self,
        mode: str,
        resource: str | None,
        action: str,
        result: Result,
        remote: bool,
        message: str | None,
        direction: str = "outgoing",
    ) -> None:
        self.log(LogEntry(self.clock(), self.peer.name, resource, mode, direction, action, result, remote, message))


def plan_of(
    task: Task, direction: str, run: str, onconflict: OnConflict | None = None, progress: Progress | None = None
) -> Plan:
    """What a task wants, as the engine's plan. THIS is the task's own site."""
    only = () if task.resource == EVERYTHING else (task.resource,)
    return Plan(
        only=only,
        direction=direction,
        policies={"": task.policy},
        where=dict(task.filters),
        run=run,
        allowed=task.allowed,
        onconflict=onconflict,
        progress=progress,
    )


def policy_of(strategy: Sequence[str] | None, update: str | Mapping[str, str] | None, conflict: str | None) -> Policy:
    """The policy that words stand for. Raises UsageError for words that are none."""
    try:
        return Policy(
            DEFAULT_POLICY.strategy if strategy is None else frozenset(Method(word) for word in strategy),
            DEFAULT_POLICY.update if update is None else _field_policy(update),
            DEFAULT_POLICY.conflict if conflict is None else FieldPolicy(Resolution(conflict.lower())),
        )
    except ValueError as error:
        raise UsageError(f"{error}", hint=f"methods: {', '.join(Method)}; policies: {', '.join(Resolution)}") from None


def _field_policy(words: str | Mapping[str, str]) -> FieldPolicy:
    if isinstance(words, str):
        return FieldPolicy(Resolution(words.lower()))
    fields = {name: Resolution(word.lower()) for name, word in words.items() if name != "__default__"}
    return FieldPolicy(Resolution(words.get("__default__", Resolution.THIS).lower()), fields)


def _held(report: Report) -> list[str]:
    return [f"the guard held back {count} deletions of {where}" for where, count in sorted(report.held.items())]


def _told(report: Report, direction: str) -> str:
    """What a report says, in a line."""
    total = report.total()
    counted: dict[str, Any] = {name: getattr(total, name) for name in ("created", "updated", "deleted", "conflicts")}
    listed = [f"{value} {name}" for name, value in counted.items() if value > 0]
    if report.undecided or report.parked:
        listed.append(f"{report.undecided} undecided, {report.parked} parked")
    return ", ".join([f"{report.records} records", *listed, *report.notes])


def _reply(tallies: Mapping[str, Tally]) -> bytes:
    return msgspec.json.encode({"status": "success", "resources": tallies})
