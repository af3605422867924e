"""What incoming records refer to (spec: sections 6.4, 7 and 9.1)."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.protocols.eden.codec.embedded import embedded_targets, with_numbers
from tallystick.protocols.eden.codec.identifiers import imported
from tallystick.protocols.eden.codec.schema import Kind, Table
from tallystick.protocols.eden.items import Item, Job, Pointer
from tallystick.protocols.eden.store import Target


def refer(job: Job) -> None:
    """Turns references into Targets among the values of every item; fills ``job.known``."""
    job.known = known = _known_targets(job)
    for item in job.items:
        if item.component is not None and item.parent is not None:
            item.values[item.component.key] = item.parent.target
        for pointer in item.pointers:
            _resolve(job, item, pointer, known)
    _embed(job)


def _known_targets(job: Job) -> set[Target]:
    asked: dict[str, set[str]] = {}
    for item in job.items:
        for _, table, names in item.pointers:
            for spellings in names:
                for one in spellings:
                    if Target(table, one) not in job.by_name:
                        asked.setdefault(table, set()).add(one)
        if item.replaced_by:
            asked.setdefault(item.table.name, set()).add(item.replaced_by)
    return {Target(name, uuid) for name, uuids in asked.items() for uuid in job.store.find(name, uuids)}


def _resolve(job: Job, item: Item, pointer: Pointer, known: set[Target]) -> None:
    field, table, names = pointer
    targets = [_resolve_one(job, item, table, spellings, known) for spellings in names]
    if field.kind is Kind.REFERENCE_LIST:
        item.values[field.name] = tuple(targets)
    elif targets:
        item.values[field.name] = targets[0]


def _resolve_one(job: Job, item: Item, table: str, spellings: Sequence[str], known: set[Target]) -> Target:
    for spelling in spellings:
        to = Target(table, spelling)
        found = job.by_name.get(to)
        if found is not None:
            if found is not item:
                item.needs.append(found)
            return to if found.uuid == spelling else found.target
        if to in known:
            return to
    return Target(table, spellings[0])


def _embed(job: Job) -> None:
    """References inside JSON values become local numbers where their targets are here (section 7)."""
    tables = {item.table.name: item.table for item in job.items}
    fields = {name: found for name, each in tables.items() if (found := _json_fields(each))}
    holding = [
        (item, name, item.values[name])
        for item in (job.items if fields else ())
        for name in fields.get(item.table.name, ())
        if isinstance(item.values.get(name), (dict, list))
    ]
    asked: dict[str, set[str]] = {}
    for _, _, value in holding:
        for table, uuid in embedded_targets(value):
            asked.setdefault(table, set()).add(imported(uuid, job.own_domain))
    numbers = {
        (table, uuid): one.id
        for table, uuids in asked.items()
        if job.model(table) is not None
        for uuid, one in job.store.find(table, uuids).items()
    }
    for item, name, value in holding if numbers else ():
        item.values[name] = with_numbers(value, numbers)


def _json_fields(table: Table) -> list[str]:
    return [one.name for one in table.fields.values() if one.kind is Kind.JSON]
