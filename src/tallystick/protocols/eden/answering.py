"""Answering a pull and a push (spec: sections 4.1 *send* and *receive*, 8, 9.5 and 17), whatever carries them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from tallystick.core.policies import Method, Resolution
from tallystick.protocols.eden import watermarks
from tallystick.protocols.eden.codec.elements import STATE, UNSENT, Document, Resource
from tallystick.protocols.eden.codec.filters import MAIN, Condition, Filter, format_filter
from tallystick.protocols.eden.codec.replies import PushReply
from tallystick.protocols.eden.codec.schema import Table
from tallystick.protocols.eden.deciding import Outcome, Policies, receiver_policies, task_policies
from tallystick.protocols.eden.exporting import Export, Layout, export
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Imported, Options
from tallystick.protocols.eden.store import EdenStore, LogEntry, Repository, Result, Selection, Task
from tallystick.site.deciding import OnConflict

MIXED = "Mixed resource synchronization not supported"
UNREGISTERED = "Registration required"
NO_DATA = "No data to send"
LOST_PARENT = "the record it belongs to is not there, so it is not sent: have it belong to another one, or delete it"
NAMED = 100
"""How many records that cannot be sent are named."""

# A pull --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pull:
    """What a peer asks for. ``scope`` names everything but ``msince`` that decides which records it gets."""

    table: Table
    repository: Repository | None = None
    msince: datetime | None = None
    filters: tuple[Filter, ...] = ()
    include_deleted: bool = True
    components: bool = True
    component_names: tuple[str, ...] | None = None
    start: int | None = None
    limit: int | None = None
    show_ids: bool = False
    endpoint: str = "sync"
    state: str | None = None

    @property
    def scope(self) -> str:
        """Equal scopes get equal records."""
        shape = f"{self.endpoint}:{self.table.name}:{self.include_deleted:d}{self.components:d}"
        return "&".join([shape, *(format_filter(one) for one in self.filters)])


def answer_pull(store: EdenStore, pull: Pull, base: str, now: datetime) -> Export:
    """The export that answers ``pull``; read to its end, it is remembered for the peer and logged.

    A registered peer that comes back with the ``msince`` which our last answer gave it is served by our own sequence
    of changes: rows from the future, rows within one second and rows that arrived late with an old time are not
    missed. Any other ``msince`` selects by time, as documented; one from the future that we never gave rise to cannot
    tell what the peer has, so it gets everything. A Tallystick peer says by a state where it stopped.
    """
    site = store.identity().uuid
    peer = pull.repository.uuid if pull.repository is not None else None
    paged = pull.start is not None or pull.limit is not None
    answers = store.answers(peer, pull.scope) if peer and not paged else ()
    head = store.head()
    reached = watermarks.state_seq(site, pull.scope, pull.state)
    if reached is None:
        reached = watermarks.known_seq(answers, pull.msince)
    since = pull.msince if reached is None and (pull.msince is None or pull.msince <= now) else None
    chosen = Selection(
        since,
        reached,
        tuple(one.condition for one in pull.filters if one.table in (MAIN, pull.table.name)),
        pull.include_deleted,
        components=pull.components,
        start=pull.start,
        limit=pull.limit,
    )
    found = export(store, pull.table, chosen, _layout(pull, base))
    left = unsent(store, pull.table, pull.filters) if pull.components and not paged else []
    if pull.state is not None and not paged:
        found.attributes[STATE] = watermarks.state_text(site, pull.scope, head)
        if left:
            found.attributes[UNSENT] = "\n".join(left)
        if pull.components and (since is not None or reached is not None):
            found.resources = chain(found.resources, _component_stubs(store, pull, chosen, base))
    if peer and not paged:
        found.resources = _remembering(store, found, found.resources, pull, head, now, left)
    return found


def _component_stubs(store: EdenStore, pull: Pull, chosen: Selection, base: str) -> Iterator[Resource]:
    """Component records that were deleted, beside the records: no record shows a component that is gone.

    Only a Tallystick peer reads them; a real Eden that wants to know asks for the component table itself.
    """
    layout = Layout(base, components=False, dependencies=False)
    for below in component_tables(store, pull.table, pull.filters):
        gone = Selection(chosen.since, chosen.after, components=False, deleted_only=True)
        yield from export(store, below, gone, layout).resources


def unsent(store: EdenStore, table: Table, filters: Sequence[Filter]) -> list[str]:
    """What is said of records that go with those of a table and belong to none of them: no document can hold them."""
    found = []
    for component in table.components:
        if component.imported and not any(one.table == component.table for one in filters):
            place = f"{component.table}.{component.key}"
            found += [f"(UID: {uuid}) {place}: {LOST_PARENT}" for uuid in store.unsent(component)]
    return found if len(found) <= NAMED else [*found[:NAMED], f"and {len(found) - NAMED} more like them"]


def component_tables(store: EdenStore, table: Table, filters: Sequence[Filter]) -> Iterator[Table]:
    """The component tables that are synchronized with a table, but those that a filter cuts."""
    for component in table.components:
        below = store.table(component.table) if component.imported else None
        if below is not None and not any(one.table == component.table for one in filters):
            yield below


def _layout(pull: Pull, base: str) -> Layout:
    conditions: dict[str, tuple[Condition, ...]] = {}
    for one in pull.filters:
        if one.table not in (MAIN, pull.table.name):
            conditions[one.table] = (*conditions.get(one.table, ()), one.condition)
    ours = pull.state is not None
    return Layout(base, pull.components, pull.component_names, conditions, pull.show_ids, extensions=ours, nulls=ours)


def _remembering(
    store: EdenStore,
    found: Export,
    resources: Iterator[Resource],
    pull: Pull,
    head: int,
    now: datetime,
    left: Sequence[str],
) -> Iterator[Resource]:
    yield from resources
    if pull.repository is None or not pull.repository.uuid:
        return
    peer = pull.repository.uuid
    before = store.answers(peer, pull.scope)
    after = watermarks.remember(before, pull.msince, found.progress.newest, head)
    if tuple(after) != tuple(before):
        store.remember(peer, pull.scope, after)
    store.save_repository(replace(pull.repository, last_connected=now))
    message = f"{found.progress.records} records sent" if found.progress.records else NO_DATA
    message, result = "\n".join([message, *left]), Result.WARNING if left else Result.SUCCESS
    store.log(LogEntry(now, peer, pull.table.name, "pull", "incoming", "send", result, False, message))


# A push --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Push:
    """What a peer wants us to take. Strategy and policies are the sender's; a task of ours goes before them."""

    table: Table
    repository: Repository
    strategy: frozenset[Method] = frozenset(Method)
    update: Resolution | None = None
    conflict: Resolution | None = None
    msince: datetime | None = None
    user: str | None = None
    onconflict: OnConflict | None = None
    permitted: Callable[[Table, Method], bool] = lambda _table, _method: True


def policies_for(push: Push, task: Task | None) -> Policies:
    """Whose policies apply, and what is known of the last synchronization (section 9.5)."""
    if task is not None:
        return task_policies(
            strategy=task.strategy,
            update=task.update,
            conflict=task.conflict,
            last_pull=task.last_pull,
            active=False,
        )
    return receiver_policies(strategy=push.strategy, update=push.update, last_sync=push.msince, conflict=push.conflict)


def answer_push(store: EdenStore, push: Push, document: Document, now: datetime) -> PushReply:
    """Takes a pushed document; the reply says what became of it. Logs and stamps. Raises what the store raises."""
    repository = push.repository
    task = store.task(repository.uuid or "", push.table.name)
    options = Options(
        policies_for(push, task),
        repository.uuid,
        push.user,
        onconflict=push.onconflict,
        permitted=push.permitted,
    )
    done = import_document(store, push.table, document, options, now)
    store.save_repository(replace(repository, last_connected=now))
    store.log(import_entry(done, repository.uuid, push.table.name, "push", "incoming", now))
    return done.reply


def import_entry(
    done: Imported, repository: str | None, resource: str, mode: str, direction: str, now: datetime
) -> LogEntry:
    """The log entry of an import: a warning with one line per issue when something was rejected."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(done.outcomes.items()))
    issues = done.reply.issues
    message = "\n".join([counts or "nothing new", *held_lines(done.held), *issues])
    left = done.outcomes.get(Outcome.REJECTED, 0) or issues
    result = Result.WARNING if left or done.held else Result.SUCCESS
    return LogEntry(now, repository, resource, mode, direction, "import", result, bool(left), message)


def held_lines(held: Mapping[str, int]) -> list[str]:
    """What the log says of deletions that a guard held back, by table."""
    return [f"the guard held back {count} deletions of {name}" for name, count in sorted(held.items())]
