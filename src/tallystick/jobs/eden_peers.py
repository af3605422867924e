"""Synchronizing tables of a site with one Eden peer: who it is, which tables, how it went (docs/eden.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.errors import GuardStopped, PeerError, PeerRefused, PeerUnreachable, SchemaError
from tallystick.jobs.eden_repositories import Terms, repository_of, task_of
from tallystick.jobs.log import Mode
from tallystick.jobs.tasks import Peer
from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.filters import Filter
from tallystick.protocols.eden.codec.schema import UNSHARED_TABLES, Table
from tallystick.protocols.eden.deciding import NEWER
from tallystick.protocols.eden.partner import Transferred
from tallystick.protocols.eden.site.creating import create_tables, map_table
from tallystick.protocols.eden.site.rehearsing import Rehearsed, asked, rehearse
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.protocols.eden.store import LogEntry, Repository, Result, Task
from tallystick.protocols.eden.synchronizing import Active
from tallystick.protocols.eden.transport import HttpTransport, Transport
from tallystick.sync.guards import Guard

LACKING = "there is no table {} here"
LACKING_HINT = "create it as the peer describes it with --create, or map it with --map"
CREATED_AT_ONCE = 100
"""How many tables are created for one that was asked for: itself, components, and whatever those refer to."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How tables are to be synchronized. ``filters`` and ``columns`` are by table.

    ``locals_`` names the local table of one that is called differently here. Policies are written from our side.
    ``allowed`` deletions per table pass the guard, -1 for all.
    """

    mode: Mode = Mode.BOTH
    strategy: frozenset[Method] = frozenset(Method)
    update: Mapping[str, FieldPolicy] = field(default_factory=dict)
    conflict: Mapping[str, Resolution] = field(default_factory=dict)
    filters: Mapping[str, tuple[Filter, ...]] = field(default_factory=dict)
    locals_: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    create: bool = False
    components: bool = True
    allowed: int = 0


@dataclass(slots=True)
class TableReport:
    """How one table went: what became of records that came, how many the peer took, and what was refused.

    ``held`` are deletions that the guard held back, by ``here: table`` or ``there: table``; ``stopped`` is True when it
    stopped the table as a whole.
    """

    pulled: dict[str, int] = field(default_factory=dict)
    pushed: int = 0
    issues: list[str] = field(default_factory=list)
    error: str | None = None
    held: dict[str, int] = field(default_factory=dict)
    stopped: bool = False


@dataclass(slots=True)
class EdenReport:
    """How a synchronization went, by table."""

    created: list[str] = field(default_factory=list)
    tables: dict[str, TableReport] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """True when a table could not be synchronized at all."""
        return any(one.error and not one.stopped for one in self.tables.values())

    @property
    def held(self) -> dict[str, int]:
        """Deletions that the guard held back, by ``here: table`` or ``there: table``."""
        return {where: count for one in self.tables.values() for where, count in one.held.items()}

    @property
    def guarded(self) -> bool:
        """True when the guard held something back, or stopped a table."""
        return bool(self.held) or any(one.stopped for one in self.tables.values())

    @property
    def waiting(self) -> bool:
        """True when single records were refused, here or there; they are tried again."""
        return any(one.issues for one in self.tables.values())


@dataclass(slots=True)
class EdenPreview:
    """What a synchronization would do: the tables that it would create, and what would become of records."""

    created: list[str] = field(default_factory=list)
    rehearsed: Rehearsed = field(default_factory=Rehearsed)


def _now() -> datetime:
    return datetime.now(UTC)


def _unlogged(_entry: LogEntry) -> None:
    """Where nothing happens there is nothing to note."""


class EdenLink:
    """A site and one Eden peer. Registers this site at the peer where that has not happened yet.

    ``registered`` is told what the peer calls itself. Log entries bear the peer's name.
    """

    def __init__(
        self,
        store: SiteStore,
        peer: Peer,
        password: str | None,
        *,
        registered: Callable[[str], None] = lambda identifier: None,
        transport: Transport | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.store = store
        self._known = peer
        self._registered = registered
        self._said: list[LogEntry] = []
        self._log = store.peers.log
        store.peers.log = self._note
        repository = repository_of(store, peer, password)
        self.base = repository.url or ""
        self.peer = EdenPeer(self.base, transport or HttpTransport(), repository.username, repository.password)
        self.active = Active(store, self.peer, replace(repository, password=None), clock)

    def _note(self, entry: LogEntry) -> None:
        self._said.append(entry)
        self._log(replace(entry, repository=self._known.name))

    @property
    def repository(self) -> Repository:
        """The peer as it is known here."""
        return self.active.repository

    def register(self) -> None:
        """Register this site at the peer, once. Raises PeerError when the peer cannot be reached or refuses."""
        if self.repository.uuid is not None:
            return
        self.active.register()
        if self.active.repository.uuid:
            self._registered(self.active.repository.uuid)
            return
        last = self._said[-1] if self._said else None
        reason = (last.message or "").partition("; ")[0] if last is not None else "no reason given"
        if last is not None and last.result is Result.ERROR:
            raise PeerUnreachable(f"{self.base} cannot be reached: {reason}")
        raise PeerRefused(
            f"{self.base} did not register this site: {reason}",
            hint="check address, user and password; the account needs the rights of an administrator there",
        )

    def prepare(self, names: Sequence[str], wish: Wish) -> list[str]:
        """See to it that the tables are here: mapped, or created as the peer describes them. Returns what was created.

        Raises SchemaError for a table that is not here and shall not be created, and PeerError.
        """
        created: list[str] = []
        for name in names:
            local = wish.locals_.get(name)
            if local is not None or wish.columns.get(name):
                described = self.peer.describe(name, components=False)[0]
                columns = dict(wish.columns.get(name, {}))
                map_table(self.store.ledger, self.store.catalog, described, local or name, columns)
            elif self.store.table(name) is None:
                if not wish.create:
                    raise SchemaError(LACKING.format(name), hint=LACKING_HINT)
                created += create_tables(self.store.ledger, self.store.catalog, self._described(name))
        return created

    def _described(self, name: str) -> list[Table]:
        """A table, its components, and whatever those refer to, as far as the peer describes it."""
        found = {one.name: one for one in self.peer.describe(name)}
        waiting = [one for table in found.values() for one in _targets(table)]
        while waiting and len(found) < CREATED_AT_ONCE:
            target = waiting.pop(0)
            if target in found or target in UNSHARED_TABLES or self.store.table(target) is not None:
                continue
            try:
                (described, *_) = self.peer.describe(target, components=False)
            except PeerError:
                continue  # the peer does not tell: the reference is kept as its identifier
            found[target] = described
            waiting += _targets(described)
        return list(found.values())

    def task(self, name: str, wish: Wish, *, keep: bool = True) -> Task:
        """The task for a table, what is known of earlier runs included."""
        terms = Terms(
            wish.mode,
            wish.strategy,
            wish.update.get(name) or wish.update.get("") or NEWER,
            wish.conflict.get(name) or wish.conflict.get("") or Resolution.NEWER,
            wish.components,
            wish.filters.get(name, ()),
        )
        made = task_of(self.store, self.repository, name, terms)
        return self.store.save_task(made) if keep else made

    def preview(self, names: Sequence[str], wish: Wish) -> EdenPreview:
        """What ``synchronize`` would bring and send, by table. Registers nobody and leaves nothing behind.

        Raises SchemaError for a table that is not here and shall not be created, and PeerError.
        """
        found, answers = EdenPreview(), []
        self.active.guard, self.store.peers.log = Guard(allowed=wish.allowed), _unlogged
        for name in names:
            if self.store.table(name) is None:
                if not wish.create and name not in wish.locals_:
                    raise SchemaError(LACKING.format(name), hint=LACKING_HINT)
                found.created.append(name)
            answers.append(asked(self.active, self.task(name, wish, keep=False)))
        found.rehearsed = rehearse(self.active, self.store, answers)
        return found

    def synchronize(self, names: Sequence[str], wish: Wish) -> EdenReport:
        """Register, prepare the tables, then pull and push each; an error of one table costs no other."""
        self.register()
        report = EdenReport(self.prepare(names, wish))
        for name in names:
            report.tables[name] = self._one(name, wish)
        return report

    def _one(self, name: str, wish: Wish) -> TableReport:
        report, task = TableReport(), self.task(name, wish)
        self.active.guard = Guard(allowed=wish.allowed)
        if task.mode in (Mode.PULL, Mode.BOTH):
            self._take(report, self.active.pull(task), "here")
        if task.mode in (Mode.PUSH, Mode.BOTH) and report.error is None:
            latest = self.store.task(task.repository or "", name) or task
            self._take(report, self.active.push(latest), "there")
        return report

    @staticmethod
    def _take(report: TableReport, done: Transferred, where: str) -> None:
        if done.error is not None:
            report.error, report.stopped = str(done.error), isinstance(done.error, GuardStopped)
        report.held |= {f"{where}: {name}": count for name, count in done.held.items()}
        sender = "there" if where == "here" else "here"
        report.issues += [f"{sender}: {issue}" for issue in done.unsent]
        if done.imported is not None:
            for outcome, count in done.imported.outcomes.items():
                report.pulled[outcome.value] = report.pulled.get(outcome.value, 0) + count
            report.issues += [f"here: {issue}" for issue in done.imported.reply.issues]
        if done.reply is not None:
            report.pushed += done.reply.records
            report.issues += [f"there: {issue}" for issue in done.reply.issues]


def _targets(table: Table) -> list[str]:
    return [one.target for one in table.fields.values() if one.target]
