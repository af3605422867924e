"""Peers and tasks of a site, run over the Eden protocol: the one vocabulary turned into Eden's (spec/eden.md: 2, 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import IO, Any

from tallystick.core.filter_expressions import And, Comparison, Expression, Field, In, Like, Null, Number, Text, Truth
from tallystick.core.filter_text import parse
from tallystick.core.policies import FieldPolicy, Resolution
from tallystick.errors import FilterError, UsageError
from tallystick.jobs.adapter import Answer, Outcome
from tallystick.jobs.eden import EdenAdapter, eden_store
from tallystick.jobs.eden_repositories import Terms, repository_of, task_of
from tallystick.jobs.log import LogEntry
from tallystick.jobs.schedule import is_full_due
from tallystick.jobs.tasks import EVERYTHING, Peer, Progress, Task
from tallystick.protocols.eden import store as eden
from tallystick.protocols.eden.codec.filters import MAIN, Filter, parse_filter
from tallystick.site.deciding import OnConflict
from tallystick.sync.guards import Guard
from tallystick.sync.local import LocalReplica

_KNOWN = (Resolution.THIS, Resolution.OTHER, Resolution.NEWER, Resolution.MASTER)


@dataclass(slots=True)
class EdenPeerAdapter:
    """The six methods for a peer with an ``eden+http(s)://`` URL. ``progress`` tells how far a task is."""

    site: LocalReplica
    peer: Peer
    log: Callable[[LogEntry], None]
    save: Callable[[Peer], None]
    progress: Callable[[str], Progress]
    password: str | None = field(default=None, repr=False)
    adapter: EdenAdapter = field(init=False)

    def __post_init__(self) -> None:
        store = eden_store(self.site, keep_secrets=False)
        store.peers.log = lambda entry: self.log(replace(entry, repository=self.peer.name))
        self.adapter = EdenAdapter(repository_of(store, self.peer, self.password), store)

    # Active ----------------------------------------------------------------------------------------------------

    def register(self) -> bool:
        """Registers this site at the peer, and keeps the identifier that it answers with."""
        done = self.adapter.register()
        if self.adapter.repository.uuid:
            self.peer = replace(self.peer, identifier=self.adapter.repository.uuid)
            self.save(self.peer)
        return done

    def login(self) -> str | None:
        """Nothing to do: credentials travel with every request."""
        return self.adapter.login()

    def probe(self) -> str | None:
        """Whether the peer answers and lets us in: None, otherwise what is wrong."""
        return self.adapter.probe()

    def refresh(self) -> str | None:
        """Brings the tasks of public data sets up to date."""
        return self.adapter.refresh()

    def pull(self, task: Task, onconflict: OnConflict | None = None) -> Outcome:
        """Pulls one table, or the data sets of the peer; everything again where the task says so and it is time."""
        self.adapter.guard = Guard(allowed=task.allowed)
        progress = self.progress(task.name)
        full = is_full_due(task.full_every, progress.full, self.adapter.clock())
        if task.resource == EVERYTHING and self.peer.datasets:
            return self._pull_datasets(full)
        try:
            kept = self._kept(task)
        except (UsageError, FilterError) as error:
            return self._refused(task, "pull", error)
        return self.adapter.pull(kept, onconflict, full=full)

    def _pull_datasets(self, full: bool) -> Outcome:
        """Pulls every task that the peer's data sets have."""
        name = self.adapter.repository.uuid
        ours = [one for one in self.adapter.store.tasks() if one.dataset is not None and one.repository == name]
        outcomes = [self.adapter.pull(one, full=full) for one in ours]
        errors = [error for error, _ in outcomes if error is not None]
        return "; ".join(errors) or None, max((time for _, time in outcomes if time is not None), default=None)

    def push(self, task: Task) -> Outcome:
        """Pushes one table. Data sets are pulled only."""
        if task.resource == EVERYTHING and self.peer.datasets:
            return None, None
        self.adapter.guard = Guard(allowed=task.allowed)
        try:
            kept = self._kept(task)
        except (UsageError, FilterError) as error:
            return self._refused(task, "push", error)
        return self.adapter.push(kept)

    def _refused(self, task: Task, mode: str, error: UsageError | FilterError) -> Outcome:
        """A task that cannot run as it was entered: its run is fatal, and others go on."""
        now, name = self.adapter.clock(), self.peer.name
        self.adapter.store.log(
            LogEntry(now, name, task.resource, mode, "outgoing", mode, eden.Result.FATAL, False, str(error))
        )
        return str(error), None

    def _kept(self, task: Task) -> eden.Task:
        """The task as Eden's store keeps it, with its watermarks. Raises UsageError, FilterError."""
        terms = terms_of(task)
        if self.adapter.store.table(task.resource) is None:
            raise lacking(task)
        store = self.adapter.store
        return store.save_task(task_of(store, self.adapter.repository, task.resource, terms))

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
        """Answers a pull with S3XML."""
        return self.adapter.send(resource, start, limit, msince, filters, mixed, pretty_print)

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
        """Answers a push of S3XML documents."""
        return self.adapter.receive(
            source, resource, strategy, update_policy, conflict_policy, onconflict, last_sync, mixed
        )


def terms_of(task: Task) -> Terms:
    """What a task asks for, in Eden's words. Raises UsageError and FilterError for what Eden cannot be asked."""
    if task.resource == EVERYTHING:
        raise UsageError(
            f"the task {task.name} names no table; an Eden site is asked for one",
            hint="add one task per table: --resource org_organisation; or name data sets: peers add --dataset CODE",
        )
    filters = tuple(one for table, text in task.filters.items() for one in _filters(task, table, text))
    policy = task.policy
    return Terms(
        task.mode, policy.strategy, _update(policy.update), _conflict(policy.conflict), task.components, filters
    )


def lacking(task: Task) -> UsageError:
    """What is wrong with a task about a table that is not here."""
    return UsageError(
        f"the task {task.name} names the table {task.resource}, which is not here",
        hint=f"create it as the peer describes it: tallystick sync URL SITE --only {task.resource} --create",
    )


def fields_of(text: str) -> list[str]:
    """The fields that a filter text which Eden can be asked is about."""
    found: list[str] = []
    for part in _parts(parse(text)):
        match part:
            case Comparison(_, Field(name)) | Like(Field(name)) | In(Field(name)):
                found.append(name)
    return found


def _update(policy: FieldPolicy) -> FieldPolicy:
    """Ours takes what had seen ours unless told otherwise; times are all that Eden has, so that is NEWER there."""
    words = {name: _word(word) for name, word in policy.fields.items()}
    return FieldPolicy(_word(policy.default), words)


def _conflict(policy: FieldPolicy) -> Resolution:
    if policy.fields:
        raise UsageError("an Eden task has one conflict policy for all fields", hint="leave out FIELD=POLICY")
    return _word(policy.default)


def _word(word: Resolution) -> Resolution:
    if word is Resolution.MERGE:
        return Resolution.NEWER
    if word not in _KNOWN:
        raise UsageError(f"Eden has no policy {word}", hint=f"use one of {', '.join(_KNOWN)}")
    return word


def _filters(task: Task, table: str, text: str) -> list[Filter]:
    """A filter text as Eden's conditions, which all must hold. Raises FilterError for what Eden cannot say."""
    name = MAIN if table in (task.resource, MAIN, "") else table
    found = []
    for part in _parts(parse(text)):
        one = parse_filter(*_parameter(name, part, text))
        if one is None:
            raise FilterError(f"Eden cannot be asked for {text!r}", hint="use conditions of one field, joined by and")
        found.append(one)
    return found


def _parts(expression: Expression) -> tuple[Expression, ...]:
    return expression.conditions if isinstance(expression, And) else (expression,)


def _parameter(table: str, part: Expression, text: str) -> tuple[str, str]:
    match part:
        case Comparison(operator, Field(name), right):
            suffix = "" if operator == "eq" else f"__{operator}"
            return f"[{table}]~.{name}{suffix}", _literal(right, text)
        case Like(Field(name), pattern):
            return f"[{table}]~.{name}__like", pattern.replace("%", "*").replace("_", "?")
        case In(Field(name), members):
            return f"[{table}]~.{name}__belongs", ",".join(_literal(member, text) for member in members)
    raise FilterError(f"Eden cannot be asked for {text!r}", hint="use conditions of one field, joined by and")


def _literal(value: Any, text: str) -> str:
    match value:
        case Number(found):
            return str(found)
        case Text(found):
            return f'"{found}"' if "," in found else found
        case Truth(found):
            return str(found)
        case Null():
            return "NONE"
    raise FilterError(f"Eden cannot be asked for {text!r}", hint="compare a field with a plain value")
