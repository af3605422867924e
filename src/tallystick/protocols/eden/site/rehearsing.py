"""What a synchronization would do: it is done in a transaction that is undone (docs/eden.md: ``--dry-run``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from tallystick.errors import GuardStopped
from tallystick.protocols.eden.answering import component_tables, unsent
from tallystick.protocols.eden.asking import Pulled
from tallystick.protocols.eden.codec.elements import UNSENT, Document
from tallystick.protocols.eden.codec.schema import Table
from tallystick.protocols.eden.deciding import Outcome
from tallystick.protocols.eden.partner import Partner
from tallystick.protocols.eden.pulling import ask, components_of, import_answer
from tallystick.protocols.eden.pushing import component_selection, held_back, selection_of
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.protocols.eden.store import Applied, Batch, EdenStore, Mode, Selection, Task

_UPDATES = (Outcome.TAKEN, Outcome.REVIVED)
_DELETIONS = (Outcome.DELETED, Outcome.MERGED)


@dataclass(slots=True)
class Expected:
    """What would happen to one table in one direction.

    ``changes`` and ``deletions`` are those that would be taken here, or sent. Of a pull it is known which of them are
    ``created`` and ``updated``, how many records have ``conflicts`` and how many would be ``refused``. ``held`` are
    deletions that the guard would hold back.
    """

    changes: int = 0
    deletions: int = 0
    created: int = 0
    updated: int = 0
    conflicts: int = 0
    refused: int = 0
    held: int = 0


ByTable = dict[str, Expected]


@dataclass(slots=True)
class Rehearsed:
    """What both directions would do, by task and table.

    ``stopped`` are the tables that the guard would stop, why. ``unsent`` says which records no run could send.
    """

    pulled: dict[str, ByTable] = field(default_factory=dict)
    pushed: dict[str, ByTable] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    unsent: list[str] = field(default_factory=list)

    @property
    def held(self) -> dict[str, int]:
        """Deletions that the guard would hold back, by ``here: table`` or ``there: table``."""
        sides = (("here", self.pulled), ("there", self.pushed))
        return {
            f"{where}: {table}": one.held
            for where, side in sides
            for tables in side.values()
            for table, one in tables.items()
            if one.held
        }

    @property
    def guarded(self) -> bool:
        """True when the guard would hold something back, or stop a table."""
        return bool(self.held or self.stopped)

    @property
    def waiting(self) -> bool:
        """True when single records would be refused here, or could not be sent."""
        return bool(self.unsent) or any(one.refused for tables in self.pulled.values() for one in tables.values())


class Asked(NamedTuple):
    """A task with what the peer answers to its pull; ``answer`` is None for one that only pushes."""

    task: Task
    answer: Pulled | None = None
    below: Sequence[tuple[Table, Document]] = ()


def asked(partner: Partner, task: Task) -> Asked:
    """Ask the peer what a task would bring. Raises what ``EdenPeer`` raises."""
    if task.mode not in (Mode.PULL, Mode.BOTH):
        return Asked(task)
    answer, table = ask(partner, task), partner.store.table(task.resource)
    return Asked(task, answer, () if table is None else tuple(components_of(partner, task, table, answer)))


def rehearse(partner: Partner, store: SiteStore, tasks: Sequence[Asked]) -> Rehearsed:
    """Do what the tasks would do here, one after the other, and undo it. The site is locked for so long."""
    found, waiting = Rehearsed(), list(tasks)
    while waiting:
        with store.trial():
            while waiting:
                one = waiting.pop(0)
                try:
                    _rehearse(partner, store, one, found)
                except GuardStopped as error:
                    found.stopped[one.task.resource] = str(error)
                    break  # what it wrote before it stopped is undone first
    return found


def _rehearse(partner: Partner, store: SiteStore, one: Asked, found: Rehearsed) -> None:
    name = one.task.resource
    if one.answer is not None:
        found.pulled[name] = _pulled(partner, store, one, one.answer)
        found.unsent += [f"there: {line}" for line in one.answer.document.attributes.get(UNSENT, "").splitlines()]
    if one.task.mode in (Mode.PUSH, Mode.BOTH):
        found.pushed[name] = _pushed(partner, one.task)
        table = store.table(name) if one.task.components else None
        found.unsent += [f"here: {line}" for line in unsent(store, table, one.task.filters)] if table else []


# What would come -----------------------------------------------------------------------------------------------


class _Counting:
    """A site's store that counts what becomes of the writes it is given."""

    def __init__(self, store: SiteStore) -> None:
        self._store = store
        self.found: ByTable = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def of(self, table: str) -> Expected:
        return self.found.setdefault(table, Expected())

    def apply(self, batch: Batch) -> Sequence[Applied]:
        done = self._store.apply(batch)
        for write, applied in zip(batch.writes, done, strict=True):
            outcome = applied.outcome or write.outcome
            if applied.error is not None:
                continue
            counted = self.of(write.table)
            counted.created += outcome is Outcome.CREATED
            counted.updated += outcome in _UPDATES
            counted.deletions += outcome in _DELETIONS
        return done


def _pulled(partner: Partner, store: SiteStore, one: Asked, answer: Pulled) -> ByTable:
    table = store.table(one.task.resource)
    if table is None:  # it would be created first: everything would come
        live = sum(not each.deleted for each in answer.document.resources if each.name == one.task.resource)
        return {one.task.resource: Expected(live, created=live)}
    counting, before = _Counting(store), store.conflicts_logged()
    trying = replace_store(partner, cast(EdenStore, counting))  # what it does not have itself is the other store's
    for each, document in ((table, answer.document), *one.below):
        done = import_answer(trying, one.task, each, document, None)
        for name, count in done.held.items():
            counting.of(name).held += count
        for resource in done.reply.rejected:
            counting.of(resource.name).refused += 1
    for name, count in store.conflicts_logged(before.total).by_table.items():
        counting.of(name).conflicts = count
    for expected in counting.found.values():
        expected.changes = expected.created + expected.updated
    return counting.found


def replace_store(partner: Partner, store: EdenStore) -> Partner:
    """The same partner over another store."""
    return Partner(store, partner.peer, partner.repository, partner.clock, partner.guard, partner.archives)


# What would go -------------------------------------------------------------------------------------------------


def _pushed(partner: Partner, task: Task) -> ByTable:
    store, table = partner.store, partner.store.table(task.resource)
    if table is None:
        return {}
    store.head()
    held = held_back(partner, task, table)
    found = {table.name: _sent(store, table, selection_of(partner, task), held)}
    if task.components and task.pushed:
        for below in component_tables(store, table, task.filters):
            found[below.name] = _sent(store, below, component_selection(partner, task), held)
    return found


def _sent(store: EdenStore, table: Table, chosen: Selection, held: dict[str, int]) -> Expected:
    deletions = store.count(table, replace(chosen, components=False, deleted_only=True))
    changes = store.count(table, chosen) - deletions
    back = held.get(table.name, 0)
    return Expected(changes, 0 if back else deletions, held=back)
