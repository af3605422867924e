"""The active side: one pull and one push of one task (spec: sections 3, 4.1, 8, 9.5, 17 and 18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tallystick.core.policies import Resolution
from tallystick.errors import PeerError, PeerProtocolError, PeerRefused, TallystickError
from tallystick.protocols.eden import watermarks
from tallystick.protocols.eden.answering import NO_DATA, import_entry
from tallystick.protocols.eden.asking import EdenPeer, Pulled, reply_failure
from tallystick.protocols.eden.codec.elements import STATE, Document, Resource
from tallystick.protocols.eden.codec.filters import MAIN, Condition
from tallystick.protocols.eden.codec.queries import push_url
from tallystick.protocols.eden.codec.replies import PushReply, Registration
from tallystick.protocols.eden.codec.schema import Table
from tallystick.protocols.eden.collecting import collector_paused
from tallystick.protocols.eden.datasets import find_dataset, read_archive
from tallystick.protocols.eden.deciding import task_policies
from tallystick.protocols.eden.exporting import Layout, export
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Hook, Imported, Options
from tallystick.protocols.eden.store import Clock, EdenStore, LogEntry, Repository, Result, Selection, Task

PARKED = 1000
"""How many rejected records of a task are kept for retry; beyond it the watermark waits for them instead."""

_BLIND = (Resolution.THIS, Resolution.OTHER)


@dataclass(frozen=True, slots=True)
class Transferred:
    """What one direction of a task did: the error, if it failed, and the newest time of change transferred."""

    error: TallystickError | None = None
    mtime: datetime | None = None
    imported: Imported | None = None
    reply: PushReply | None = None


@dataclass(slots=True)
class Active:
    """We, talking to one peer. ``onconflict`` decides conflicts of pulls instead of the task's conflict policy."""

    store: EdenStore
    peer: EdenPeer
    repository: Repository
    clock: Clock
    _archives: dict[str, dict[str, Document]] = field(default_factory=dict)

    @property
    def _name(self) -> str:
        """What the peer is called here: the source of its records."""
        return self.repository.uuid or self.repository.url or self.repository.name

    # Registration ----------------------------------------------------------------------------------------------

    def register(self) -> bool:
        """Registers us at the peer. True on success; the peer's identifier becomes the uuid of the repository.

        A peer that cannot be reached now is no failure of the registration (section 4.1): it is logged as an error.
        """
        if not self.repository.url:
            return True
        identity = self.store.identity()
        try:
            reply = self.peer.register(Registration(identity.uuid, identity.name))
        except PeerRefused as error:
            self._log(None, "register", "request registration", Result.FATAL, str(error), remote=True)
            return False
        except PeerProtocolError as error:
            self._log(None, "register", "request registration", Result.FATAL, str(error), remote=True)
            return False
        except PeerError as error:
            self._log(None, "register", "request registration", Result.ERROR, str(error), remote=True)
            return True
        if not reply.success:
            self._log(None, "register", "request registration", Result.FATAL, reply.message, remote=True)
            return False
        self.repository = self.store.save_repository(
            replace(self.repository, uuid=reply.sender or self.repository.uuid)
        )
        self._log(None, "register", "request registration", Result.SUCCESS, reply.message)
        return True

    # Pull ------------------------------------------------------------------------------------------------------

    def pull(self, task: Task, onconflict: Hook | None = None, *, full: bool = False) -> Transferred:
        """Pulls a task and moves its ``last_pull``. ``full`` asks for everything, whatever was pulled before.

        A table that we do not have is no error and brings nothing.
        """
        table = self.store.table(task.resource)
        if table is None:
            return Transferred()
        blind = full or task.update.default in _BLIND
        try:
            with collector_paused():
                answer = self._archived(task) or self._ask(task, blind=blind)
                done = self._import(task, table, answer.document, onconflict)
        except TallystickError as error:
            self._log(task.resource, "pull", "import", Result.ERROR, str(error), remote=isinstance(error, PeerError))
            return Transferred(error)
        state = answer.document.attributes.get(STATE)
        if not blind and task.last_pull is not None and task.components and state is None:
            self._pull_components(task, table, onconflict)
        now = self.clock()
        peer_now, left = watermarks.clock_of(answer.date, now), self._park(table, done)
        watermark = watermarks.next_pull(task.last_pull, done.times, peer_now=peer_now, rejected=left)
        self.store.save_task(replace(task, last_pull=watermark, state=task.state if left else state))
        self.store.log(import_entry(done, self._name, task.resource, "pull", "outgoing", now))
        return Transferred(None, _newest(done), done)

    def _archived(self, task: Task) -> Pulled | None:
        """What the archive of a data set holds for the first pull of a task; None when there is none (section 15).

        The archive is as old as its newest record: from there on the peer is asked.
        """
        if not task.dataset or task.last_pull is not None:
            return None
        if task.dataset not in self._archives:
            found = find_dataset(self.peer, task.dataset)
            self._archives[task.dataset] = read_archive(self.peer, found) if found is not None else {}
        document = self._archives[task.dataset].get(task.uuid)
        times = [one.modified_on for one in document.resources if one.modified_on] if document is not None else []
        return Pulled(document, max(times)) if document is not None and times else None

    def _ask(self, task: Task, table: str | None = None, *, blind: bool = False) -> Pulled:
        """Asks for a task's records, or those of one of its component tables; ``blind`` asks for everything."""
        return self.peer.pull(
            table or task.resource,
            self.store.identity().uuid,
            msince=None if blind else task.last_pull,
            components=task.components,
            filters=task.filters if table is None else (),
            state=None if blind or table is not None else task.state,
        )

    def _import(self, task: Task, table: Table, document: Document, onconflict: Hook | None) -> Imported:
        """Imports what came, and tries again what was rejected before and has not come anew."""
        fresh = {one.uuid for one in document.resources}
        parked = self.store.parked(self._name, table.name)
        document.resources += [_cleared(one) for one in parked if one.uuid not in fresh]
        policies = task_policies(
            strategy=task.strategy,
            update=task.update,
            conflict=task.conflict,
            last_pull=task.last_pull,
            active=True,
        )
        options = Options(
            policies,
            self._name,
            synchronise_uuids=self.repository.synchronise_uuids,
            onconflict=onconflict,
        )
        return import_document(self.store, table, document, options, self.clock())

    def _park(self, table: Table, done: Imported) -> Sequence[datetime | None]:
        """Keeps rejected records for retry; gives the times of those that could not be kept."""
        rejected = [one for one in done.reply.rejected if one.name == table.name]
        if rejected or self.store.parked(self._name, table.name):
            self.store.park(self._name, table.name, rejected[:PARKED])
        return done.rejected_times if len(rejected) > PARKED else ()

    def _pull_components(self, task: Task, table: Table, onconflict: Hook | None) -> None:
        """Pulls component tables as tables of their own: newer Eden hides changes of components (section 8)."""
        for component in table.components:
            below = self.store.table(component.table) if component.imported else None
            if below is None or any(one.table == component.table for one in task.filters):
                continue
            try:
                answer = self._ask(task, component.table)
            except (PeerRefused, PeerProtocolError) as error:
                message = f"the peer does not give {component.table} by itself: {error.message}"
                self._log(component.table, "pull", "import", Result.WARNING, message, remote=True)
                continue
            except TallystickError as error:
                self._log(component.table, "pull", "import", Result.ERROR, str(error), remote=True)
                continue
            done = self._import(task, below, answer.document, onconflict)
            self._park(below, done)
            if done.outcomes:
                self.store.log(import_entry(done, self._name, below.name, "pull", "outgoing", self.clock()))

    # Push ------------------------------------------------------------------------------------------------------

    def push(self, task: Task) -> Transferred:
        """Pushes what the peer does not have yet, and remembers up to where it has everything.

        What came from the peer itself is not sent back. What the peer rejects is sent again with the next push. Under
        THIS and OTHER the whole table goes out (section 4.1).
        """
        table = self.store.table(task.resource)
        if table is None:
            return Transferred()
        head = self.store.head()
        found = export(self.store, table, self._selection(task), self._layout(task))
        if not found.count:
            self.store.save_task(replace(task, pushed=watermarks.next_push(task.pushed, head)))
            self._log(task.resource, "push", "export", Result.WARNING, NO_DATA)
            return Transferred()
        url = push_url(
            self.repository.url or self.peer.url,
            task.resource,
            self.store.identity().uuid,
            strategy=task.strategy,
            update=task.update.default,
            conflict=task.conflict,
            msince=None if task.update.default in _BLIND else task.last_push,
        )
        try:
            reply = self.peer.push(url, found.attributes, found.resources)
        except TallystickError as error:
            self._log(task.resource, "push", "export", Result.ERROR, str(error), remote=isinstance(error, PeerError))
            return Transferred(error)
        return self._pushed(task, reply, head, found.progress.newest)

    def _selection(self, task: Task) -> Selection:
        blind = task.update.default in _BLIND
        return Selection(
            after=None if blind else task.pushed,
            conditions=tuple(one.condition for one in task.filters if one.table in (MAIN, task.resource)),
            include_deleted=True,
            also=task.retry,
            without_source=None if blind else self._name,
            components=task.components,
        )

    def _layout(self, task: Task) -> Layout:
        conditions: dict[str, tuple[Condition, ...]] = {}
        for one in task.filters:
            if one.table not in (MAIN, task.resource):
                conditions[one.table] = (*conditions.get(one.table, ()), one.condition)
        return Layout(f"http://{self.store.identity().name}", task.components, conditions=conditions)

    def _pushed(self, task: Task, reply: PushReply, head: int, newest: datetime | None) -> Transferred:
        problem = reply_failure(reply)
        if problem is not None:
            self._log(task.resource, "push", "export", Result.ERROR, problem, remote=True)
            return Transferred(PeerProtocolError(f"the peer refused the push: {problem}"), None, None, reply)
        after = replace(
            task,
            pushed=watermarks.next_push(task.pushed, head),
            last_push=watermarks.eden_watermark(newest) or task.last_push,
            retry=frozenset(reply.rejected_uuids),
        )
        self.store.save_task(after)
        message = "\n".join([f"{reply.records} records taken", *reply.issues])
        result = Result.WARNING if reply.rejected else Result.SUCCESS
        self._log(task.resource, "push", "export", result, message, remote=bool(reply.rejected))
        return Transferred(None, newest, None, reply)

    def _log(
        self, resource: str | None, mode: str, action: str, result: Result, message: str, *, remote: bool = False
    ) -> None:
        entry = LogEntry(self.clock(), self._name, resource, mode, "outgoing", action, result, remote, message)
        self.store.log(entry)


def _newest(done: Imported) -> datetime | None:
    return max((moment for moment in done.times if moment is not None), default=None)


def _cleared(resource: Resource) -> Resource:
    """A rejected record without the errors of the last attempt."""
    resource.error = None
    resource.data = [one._replace(error=None) for one in resource.data]
    resource.references = [one._replace(error=None) for one in resource.references]
    resource.components = [_cleared(one) for one in resource.components]
    return resource
