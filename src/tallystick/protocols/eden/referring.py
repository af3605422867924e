"""What incoming records refer to (spec: sections 6.4, 7 and 9.1)."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.protocols.eden.codec.elements import Reference
from tallystick.protocols.eden.codec.embedded import embedded_targets, with_numbers
from tallystick.protocols.eden.codec.identifiers import imported
from tallystick.protocols.eden.codec.schema import Field, Kind
from tallystick.protocols.eden.items import Item, Job
from tallystick.protocols.eden.reaching import spellings_of
from tallystick.protocols.eden.store import Target


def refer(job: Job) -> None:
    """Turns references into Targets among the values of every item; fills ``job.known``."""
    job.known = known = _known_targets(job)
    for item in job.items:
        if item.component is not None and item.parent is not None:
            item.values[item.component.key] = item.parent.target
        for reference in item.resource.references if not item.resource.deleted else ():
            one = item.table.fields.get(reference.field)
            if one is not None and one.is_reference and one.writable:
                _resolve(job, item, one, reference, known)
    _embed(job)


def _known_targets(job: Job) -> set[Target]:
    asked: dict[str, set[str]] = {}
    for item in job.items:
        for reference in item.resource.references:
            for spellings in spellings_of(job, reference):
                asked.setdefault(reference.table, set()).update(
                    one for one in spellings if Target(reference.table, one) not in job.by_name
                )
        if item.replaced_by:
            asked.setdefault(item.table.name, set()).add(item.replaced_by)
    return {
        Target(name, uuid)
        for name, uuids in asked.items()
        if job.model(name) is not None and uuids
        for uuid in job.store.find(name, uuids)
    }


def _resolve(job: Job, item: Item, one: Field, reference: Reference, known: set[Target]) -> None:
    if job.model(reference.table) is None:
        return
    targets: list[Target] = []
    for spellings in spellings_of(job, reference):
        targets.append(_resolve_one(job, item, reference.table, spellings, known))
    if one.kind is Kind.REFERENCE_LIST:
        item.values[one.name] = tuple(targets)
    elif targets:
        item.values[one.name] = targets[0]


def _resolve_one(job: Job, item: Item, table: str, spellings: Sequence[str], known: set[Target]) -> Target:
    for spelling in spellings:
        to = Target(table, spelling)
        found = job.by_name.get(to)
        if found is not None:
            if found is not item:
                item.needs.append(found)
            return found.target
        if to in known:
            return to
    return Target(table, spellings[0])


def _embed(job: Job) -> None:
    """References inside JSON values become local numbers where their targets are here (section 7)."""
    holding = [
        (item, name, value)
        for item in job.items
        for name, value in item.values.items()
        if isinstance(value, dict | list) and item.table.fields[name].kind is Kind.JSON
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
