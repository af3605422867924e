"""Which records of a document are imported (spec: section 9.1).

Top-level records of the requested table, the components that the model defines, and, in turn, every record of the
document that one of these refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tallystick.protocols.eden.codec.elements import Reference, Resource
from tallystick.protocols.eden.codec.identifiers import imported, reference_spellings
from tallystick.protocols.eden.codec.schema import Component
from tallystick.protocols.eden.items import Item, Job
from tallystick.protocols.eden.store import Target


def reach(job: Job) -> list[Item]:
    """Fills ``job.items`` and ``job.by_name``; gives the items of the top-level records of the requested table."""
    resources = job.document.resources
    found = (_item(job, one, None, None) for one in resources if one.name == job.table.name)
    tops = list({id(item): item for item in found}.values())
    _follow(job, tops, _index(job, resources))
    return tops


def _index(job: Job, resources: Iterable[Resource]) -> dict[Target, Resource]:
    index: dict[Target, Resource] = {}
    for one in resources:
        if one.tuid:
            index[Target(one.name, "tuid:" + one.tuid)] = one
        if one.uuid:
            index[Target(one.name, imported(one.uuid, job.own_domain))] = one
    return index


def _item(job: Job, resource: Resource, parent: Item | None, component: Component | None) -> Item:
    table = job.model(resource.name) or job.table
    given = resource.uuid
    uuid = imported(given, job.own_domain) if given else job.options.new_uuid()
    known = job.by_name.get(Target(table.name, uuid))
    if known is not None:
        return known
    item = Item(resource, table, uuid, job.options.policies, parent, component, bool(given))
    if given:
        job.by_name[Target(table.name, uuid)] = item
    if resource.tuid:
        job.by_name[Target(table.name, "tuid:" + resource.tuid)] = item
    job.items.append(item)
    return item


def _follow(job: Job, tops: Sequence[Item], index: Mapping[Target, Resource]) -> None:
    """Items for component records, and for what is referred to and stands in the document."""
    waiting = list(tops)
    while waiting:
        item = waiting.pop()
        if item.resource.deleted:
            continue
        fresh = list(_nested(job, item))
        for reference in item.resource.references:
            fresh += _referred(job, item, reference, index)
        waiting += fresh


def _nested(job: Job, item: Item) -> Iterator[Item]:
    seen: set[Component] = set()
    for resource in item.resource.components:
        component = item.table.component(resource.name, resource.alias)
        if component is None or job.model(resource.name) is None or (component in seen and not component.many):
            continue
        seen.add(component)
        child = _item(job, resource, item, component)
        item.children.append(child)
        yield child


def _referred(job: Job, item: Item, reference: Reference, index: Mapping[Target, Resource]) -> list[Item]:
    one = item.table.fields.get(reference.field)
    if one is None or not one.is_reference or job.model(reference.table) is None:
        return []
    fresh = []
    if reference.inline is not None and reference.inline.name == reference.table:
        inline = _item(job, reference.inline, None, None)
        job.by_name[Target(reference.table, f"inline:{id(reference)}")] = inline
        fresh.append(inline)
    for name in spellings_of(job, reference):
        for spelling in name:
            to = Target(reference.table, spelling)
            if to not in job.by_name and to in index:
                fresh.append(_item(job, index[to], None, None))
    return fresh


def spellings_of(job: Job, reference: Reference) -> list[tuple[str, ...]]:
    """The spellings of each identifier that a reference gives."""
    names = [reference_spellings(uuid, job.own_domain, job.document.domain) for uuid in reference.uuids]
    names += [("tuid:" + tuid,) for tuid in reference.tuids]
    if reference.inline is not None:
        names.append((f"inline:{id(reference)}",))
    return names
