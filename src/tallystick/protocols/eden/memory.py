"""A store in memory: the reference for what ``EdenStore`` means, for tests, demonstrations and benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tallystick.protocols.eden.codec.elements import Resource
from tallystick.protocols.eden.codec.filters import Condition, Selector, holds
from tallystick.protocols.eden.codec.schema import Component, Table
from tallystick.protocols.eden.deciding import Outcome
from tallystick.protocols.eden.store import (
    BLOCKED,
    Applied,
    Batch,
    Dataset,
    Identity,
    LogEntry,
    Lost,
    Repository,
    Selection,
    Stored,
    Target,
    Task,
    Write,
)
from tallystick.protocols.eden.watermarks import Answered

Accept = Callable[["MemoryStore", Stored, Batch], None]
"""What an application does after a record of a table was written: computed fields, records of its own."""


class MemoryStore:
    """An ``EdenStore`` of dictionaries.

    ``restricting`` names (table, field) references that forbid the deletion of what they point to. ``accept`` maps
    table names to what the application does after a write.
    """

    def __init__(
        self,
        identity: Identity,
        tables: Iterable[Table],
        *,
        restricting: Collection[tuple[str, str]] = (),
        accept: Mapping[str, Accept] | None = None,
    ) -> None:
        self._identity = identity
        self.tables = {table.name: table for table in tables}
        self.records: dict[str, dict[str, Stored]] = {name: {} for name in self.tables}
        self.numbers: dict[str, int] = {}
        self.repositories: dict[str, Repository] = {}
        self.saved_tasks: dict[str, Task] = {}
        self.saved_datasets: dict[str, Dataset] = {}
        self.entries: list[LogEntry] = []
        self.lost: list[Lost] = []
        self._answers: dict[tuple[str, str], tuple[Answered, ...]] = {}
        self._parked: dict[tuple[str, str], tuple[Resource, ...]] = {}
        self._restricting = frozenset(restricting)
        self._accept = dict(accept or {})
        self._indexes: dict[tuple[str, str], tuple[int, dict[str, list[Stored]]]] = {}
        self._seq = 0

    # Records -------------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        """Who this site is."""
        return self._identity

    def table(self, name: str) -> Table | None:
        """The table of that name."""
        return self.tables.get(name)

    def head(self) -> int:
        """The last sequence number."""
        return self._seq

    def select(self, table: Table, selection: Selection) -> Iterator[Stored]:
        """The selected records, by local number."""
        chosen = [one for one in self.records[table.name].values() if self._selected(table, one, selection)]
        chosen.sort(key=lambda one: one.id)
        first = selection.start or 0
        last = None if selection.limit is None else first + selection.limit
        return iter(chosen[first:last])

    def count(self, table: Table, selection: Selection) -> int:
        """How many ``select`` gives."""
        return sum(1 for _ in self.select(table, selection))

    def _selected(self, table: Table, record: Stored, selection: Selection) -> bool:
        if selection.also and not selection.also.isdisjoint(self._told_with(table, record, selection)):
            return record.deleted or not selection.deleted_only
        if record.deleted and not selection.include_deleted:
            return False
        if selection.deleted_only and not record.deleted:
            return False
        if not all(self._holds(table, record, one) for one in selection.conditions):
            return False
        if _changed(record, selection):
            return True
        if not selection.components or record.deleted:
            return False
        return any(one.modified_on is not None and _changed(one, selection) for one in self._family(table, record))

    def _told_with(self, table: Table, record: Stored, selection: Selection) -> Iterator[str]:
        """The identifiers of a record, of its components, and of what it refers to."""
        yield record.uuid
        if selection.components and not record.deleted:
            yield from (one.uuid for one in self._family(table, record))
            yield from (to.uuid for to in record.values.values() if isinstance(to, Target))

    def _family(self, table: Table, record: Stored) -> Iterator[Stored]:
        for component in table.components:
            yield from self.children(component, (record.uuid,)).get(record.uuid, ())

    def _holds(self, table: Table, record: Stored, condition: Condition) -> bool:
        return holds(condition, lambda selector: self._values_at(table, record, selector))

    def _values_at(self, table: Table, record: Stored, selector: Selector) -> Sequence[object]:
        found = [record]
        if selector.alias not in ("~", table.short_name, table.name):
            near = (one for one in table.components if selector.alias in one.names)
            found = [child for one in near for child in self.children(one, (record.uuid,)).get(record.uuid, ())]
        for name in selector.path[:-1]:
            targets = [one.values.get(name) for one in found]
            found = [self.records[to.table][to.uuid] for to in targets if isinstance(to, Target) and self._has(to)]
        return [self._value(one, selector.path[-1]) for one in found]

    def _value(self, record: Stored, name: str) -> object:
        value = record.values.get(name, getattr(record, name, None) if name in ("uuid", "id", "deleted") else None)
        if isinstance(value, Target):
            return self.records[value.table][value.uuid].id if self._has(value) else None
        return value

    def _has(self, target: Target) -> bool:
        return target.uuid in self.records.get(target.table, {})

    def find(self, table: str, uuids: Collection[str]) -> dict[str, Stored]:
        """The records with these identifiers."""
        known = self.records.get(table, {})
        return {uuid: known[uuid] for uuid in uuids if uuid in known}

    def children(
        self, component: Component, parents: Collection[str], conditions: Sequence[Condition] = ()
    ) -> dict[str, list[Stored]]:
        """The live records of a component that fit, by parent."""
        by_parent = self._by_parent(component.table, component.key)
        found = {parent: by_parent[parent] for parent in parents if parent in by_parent}
        if not conditions:
            return found
        table = self.tables[component.table]
        return {
            parent: [one for one in children if all(self._holds(table, one, condition) for condition in conditions)]
            for parent, children in found.items()
        }

    def unsent(self, component: Component) -> list[str]:
        """The live records of a component whose parent is not here."""
        parents = self._by_parent(component.table, component.key)
        target = self.tables[component.table].fields[component.key].target or ""
        return [one.uuid for uuid in parents.keys() - self.records.get(target, {}).keys() for one in parents[uuid]]

    def _by_parent(self, table: str, key: str) -> dict[str, list[Stored]]:
        """Every live record of ``table`` by the record that ``key`` points to; kept until something changes."""
        seq, found = self._indexes.get((table, key), (-1, {}))
        if seq != self._seq:
            found = {}
            for record in self.records.get(table, {}).values():
                to = record.values.get(key)
                if isinstance(to, Target) and not record.deleted:
                    found.setdefault(to.uuid, []).append(record)
            self._indexes[table, key] = (self._seq, found)
        return found

    def matching(self, table: Table, field: str, values: Collection[object]) -> dict[object, list[str]]:
        """The identifiers of live records whose field holds one of the values."""
        wanted = {_folded(value): value for value in values}
        found: dict[object, list[str]] = {}
        for record in self.records[table.name].values():
            held = _folded(record.values.get(field))
            if held in wanted and held is not None and not record.deleted:
                found.setdefault(wanted[held], []).append(record.uuid)
        return found

    def recent_deletions(self, table: str) -> int:
        """None: nothing is looked back on."""
        return 0

    # Versions --------------------------------------------------------------------------------------------------

    def extension(self, record: Stored) -> str | None:
        """As it came."""
        return record.extension

    def foreign(self, table: Table, uuid: str, extension: str, values: Mapping[str, object]) -> object | None:
        """This store keeps no versions."""
        return None

    def renamed(self, record: Stored) -> bool:
        """This store keeps no versions."""
        return False

    # Writing -------------------------------------------------------------------------------------------------

    def apply(self, batch: Batch) -> list[Applied]:
        """Applies a batch."""
        self.lost.extend(batch.lost)
        return [self._apply(write, batch) for write in batch.writes]

    def _apply(self, write: Write, batch: Batch) -> Applied:
        record = self.records[write.table].get(write.uuid)
        if write.outcome is Outcome.CREATED or record is None:
            return Applied(self._create(write, batch).id)
        if write.outcome in (Outcome.DELETED, Outcome.MERGED):
            return self._delete(record, write, batch.source)
        changed = {name: value for name, value in write.values.items() if record.values.get(name) != value}
        if not changed and not record.deleted and write.new_uuid is None:
            return Applied(record.id)
        record.values.update(changed)
        record.deleted, record.replaced_by = False, None
        record.modified_by = write.modified_by or batch.user or record.modified_by
        self._stamp(record, write.modified_on, batch.source, write.extension)
        if write.new_uuid:
            self._rename(record, write.new_uuid)
        self._accepted(record, batch)
        return Applied(record.id)

    def _create(self, write: Write, batch: Batch) -> Stored:
        record = Stored(
            write.table,
            write.new_uuid or write.uuid,
            self.next_number(write.table),
            {name: value for name, value in write.values.items() if value is not None},
            write.copies,
            write.created_on or batch.now.replace(microsecond=0),
            created_by=write.created_by or batch.user,
            modified_by=write.modified_by or batch.user,
            owned_by_user=write.owned_by_user or batch.user,
            owned_by_group=write.owned_by_group,
        )
        for name, field in self.tables[write.table].fields.items():
            if field.default is not None and record.values.get(name) is None:
                record.values[name] = field.default
        self.records[write.table][record.uuid] = record
        self._stamp(record, write.modified_on, batch.source, write.extension)
        self._accepted(record, batch)
        return record

    def _delete(self, record: Stored, write: Write, source: str | None) -> Applied:
        survivor = Target(record.table, write.replaced_by) if write.replaced_by else None
        gone = Target(record.table, record.uuid)
        pointing = list(self._pointing_at(gone))
        if survivor is None and any((one.table, name) in self._restricting for one, name in pointing):
            return Applied(record.id, BLOCKED)
        for one, name in pointing if survivor is not None else ():
            one.values[name] = survivor
            self._stamp(one, max(write.modified_on, one.modified_on or write.modified_on), one.source, one.extension)
        record.deleted, record.replaced_by = True, write.replaced_by
        self._stamp(record, write.modified_on, source, write.extension)
        return Applied(record.id)

    def _pointing_at(self, gone: Target) -> Iterator[tuple[Stored, str]]:
        for records in self.records.values():
            for record in records.values():
                for name, value in record.values.items():
                    if value == gone and not record.deleted and (record.table, record.uuid) != gone:
                        yield record, name

    def _rename(self, record: Stored, uuid: str) -> None:
        before = Target(record.table, record.uuid)
        for one, name in list(self._pointing_at(before)):
            one.values[name] = Target(record.table, uuid)
        self.records[record.table].pop(record.uuid)
        record.uuid = uuid
        self.records[record.table][uuid] = record

    def _stamp(self, record: Stored, moment: datetime | None, source: str | None, extension: str | None) -> None:
        self._seq += 1
        record.seq, record.source, record.extension = self._seq, source, extension
        if self.tables[record.table].meta:
            record.modified_on = moment

    def _accepted(self, record: Stored, batch: Batch) -> None:
        accept = self._accept.get(record.table)
        if accept is not None:
            accept(self, record, batch)

    # What an application does ----------------------------------------------------------------------------------

    def next_number(self, table: str) -> int:
        """A new local number."""
        self.numbers[table] = self.numbers.get(table, 0) + 1
        return self.numbers[table]

    def put(self, record: Stored) -> Stored:
        """A local change: inserts or replaces a record as the application at this site would."""
        record.id = record.id or self.next_number(record.table)
        self.numbers[record.table] = max(self.numbers.get(record.table, 0), record.id)
        self._seq += 1
        record.seq, record.source = self._seq, None
        self.records[record.table][record.uuid] = record
        return record

    def edit(self, table: str, uuid: str, moment: datetime, **values: object) -> Stored:
        """A local change of some fields at ``moment``."""
        record = self.records[table][uuid]
        return self.put(replace(record, values={**record.values, **values}, modified_on=moment))

    def remove(self, table: str, uuid: str, moment: datetime, replaced_by: str | None = None) -> Stored:
        """A local deletion at ``moment``, or a merge into another record."""
        gone = replace(self.records[table][uuid], deleted=True, modified_on=moment, replaced_by=replaced_by)
        return self.put(gone)

    # Peers, tasks, log ---------------------------------------------------------------------------------------

    def repository(self, uuid: str) -> Repository | None:
        """The peer with this identifier."""
        return self.repositories.get(uuid)

    def save_repository(self, repository: Repository) -> Repository:
        """Inserts or updates."""
        key = repository.uuid or repository.url or repository.name
        repository.id = repository.id or self.next_number("sync_repository")
        self.repositories[key] = repository
        return repository

    def task(self, repository: str, resource: str) -> Task | None:
        """The task for a peer and table."""
        fitting = (one for one in self.saved_tasks.values() if (one.repository, one.resource) == (repository, resource))
        return next(fitting, None)

    def tasks(self) -> list[Task]:
        """Every task."""
        return list(self.saved_tasks.values())

    def save_task(self, task: Task) -> Task:
        """Inserts or updates."""
        task.id = task.id or self.next_number("sync_task")
        self.saved_tasks[task.uuid] = task
        return task

    def remove_task(self, uuid: str) -> None:
        """Forgets a task."""
        self.saved_tasks.pop(uuid, None)

    def datasets(self) -> list[Dataset]:
        """The data sets hosted here."""
        return list(self.saved_datasets.values())

    def answers(self, repository: str, scope: str) -> tuple[Answered, ...]:
        """What was remembered."""
        return self._answers.get((repository, scope), ())

    def remember(self, repository: str, scope: str, answers: Sequence[Answered]) -> None:
        """Keeps it."""
        self._answers[repository, scope] = tuple(answers)

    def parked(self, repository: str, resource: str) -> tuple[Resource, ...]:
        """The records that are tried again."""
        return self._parked.get((repository, resource), ())

    def park(self, repository: str, resource: str, rejected: Sequence[Resource]) -> None:
        """Keeps them."""
        self._parked[repository, resource] = tuple(rejected)

    def log(self, entry: LogEntry) -> None:
        """Appends to the log."""
        self.entries.append(entry)


def _changed(record: Stored, selection: Selection) -> bool:
    if selection.without_source is not None and record.source == selection.without_source:
        return False
    if selection.after is not None and record.seq <= selection.after:
        return False
    return selection.since is None or record.modified_on is None or record.modified_on >= selection.since


def _folded(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value
