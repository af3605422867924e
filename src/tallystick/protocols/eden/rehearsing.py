"""What a synchronization would bring and send, with nothing changed: ``tallystick sync --dry-run`` (docs/eden.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.protocols.eden.answering import component_tables
from tallystick.protocols.eden.codec.schema import Table
from tallystick.protocols.eden.deciding import Outcome, Policies
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Options
from tallystick.protocols.eden.partner import Partner
from tallystick.protocols.eden.pulling import ask, components_of
from tallystick.protocols.eden.pushing import component_selection, selection_of
from tallystick.protocols.eden.store import Applied, Batch, EdenStore, Selection, Task

_CHANGES = (Outcome.CREATED, Outcome.TAKEN, Outcome.REVIVED)
_DELETIONS = (Outcome.DELETED, Outcome.MERGED)


@dataclass(slots=True)
class Expected:
    """What one direction would bring, by table."""

    changes: dict[str, int] = field(default_factory=dict)
    deletions: dict[str, int] = field(default_factory=dict)


class Rehearsal:
    """A store that reads what another one holds, and keeps nothing of what it is given.

    Records that would be written are counted in ``expected``. Versions of other Tallystick sites are not looked at:
    what differs would change.
    """

    def __init__(self, store: EdenStore) -> None:
        self._store = store
        self.expected = Expected()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def foreign(self, *_: object) -> None:
        """None: decided by the record itself."""

    def apply(self, batch: Batch) -> Sequence[Applied]:
        """Counts what would be written."""
        for write in batch.writes:
            if write.outcome in _CHANGES:
                self.expected.changes[write.table] = self.expected.changes.get(write.table, 0) + 1
            elif write.outcome in _DELETIONS:
                self.expected.deletions[write.table] = self.expected.deletions.get(write.table, 0) + 1
        return [Applied(None) for _ in batch.writes]


def expected_pull(partner: Partner, task: Task) -> Expected:
    """What a pull of the task would bring that differs from what is here, whatever the policies make of it.

    Raises what ``EdenPeer`` raises. Of a table that is not here everything would come.
    """
    answer = ask(partner, task)
    table = partner.store.table(task.resource)
    if table is None:
        live = [one for one in answer.document.resources if one.name == task.resource and not one.deleted]
        return Expected({task.resource: len(live)})
    rehearsal = Rehearsal(partner.store)
    store = cast(EdenStore, rehearsal)  # every method that it does not have itself is the other store's
    policies = Policies(task.strategy | {Method.UPDATE}, FieldPolicy(Resolution.OTHER))
    options = Options(policies, partner.name, synchronise_uuids=partner.repository.synchronise_uuids)
    now = partner.clock()
    import_document(store, table, answer.document, options, now)
    for below, document in components_of(partner, task, table, answer):
        import_document(store, below, document, options, now)
    return rehearsal.expected


def expected_push(partner: Partner, task: Task) -> Expected:
    """What a push of the task would send."""
    store, found = partner.store, Expected()
    table = store.table(task.resource)
    if table is None:
        return found
    store.head()
    chosen = selection_of(partner, task)
    _count(store, table, chosen, found)
    if task.components and task.pushed:
        for below in component_tables(store, table, task.filters):
            _count(store, below, component_selection(partner, task), found)
    return found


def _count(store: EdenStore, table: Table, chosen: Selection, found: Expected) -> None:
    deletions = store.count(table, replace(chosen, components=False, deleted_only=True))
    found.deletions[table.name] = deletions
    found.changes[table.name] = store.count(table, chosen) - deletions
