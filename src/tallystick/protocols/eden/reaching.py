"""Which records of a document are imported (spec: section 9.1).

Top-level records of the requested table, the components that the model defines, and, in turn, every record of the
document that one of these refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tallystick.protocols.eden.codec.elements import Reference, Resource
from tallystick.protocols.eden.codec.identifiers import imported, reference_spellings
from tallystick.protocols.eden.codec.schema import Component
from tallystick.protocols.eden.items import Item, Job, Pointer
from tallystick.protocols.eden.store import Target


def reach(job: Job) -> list[Item]:
    """Fills ``job.items`` and ``job.by_name``; gives the items of the top-level records of the requested table."""
    resources = job.document.resources
    name = job.table.name
    found = [_item(job, one, None, None) for one in resources if one.name == name]
    tops = found if len(found) == len(job.items) else list({id(item): item for item in found}.values())
    _follow(job, tops, _index(job, resources))
    return tops


def _index(job: Job, resources: Iterable[Resource]) -> dict[Target, Resource]:
    """What stands at the top of the document by its names; records that ``job.by_name`` has need none."""
    index: dict[Target, Resource] = {}
    for one in resources:
        get = one.attributes.get
        uuid, tuid = get("uuid"), get("tuid")
        if uuid and not tuid and one.name == job.table.name:
            continue
        if tuid:
            index[Target(one.name, "tuid:" + tuid)] = one
        if uuid:
            index[Target(one.name, imported(uuid, job.own_domain))] = one
    return index


def _item(job: Job, resource: Resource, parent: Item | None, component: Component | None) -> Item:
    table, attributes = job.model(resource.name) or job.table, resource.attributes
    given, tuid = attributes.get("uuid"), attributes.get("tuid")
    uuid = imported(given, job.own_domain) if given else job.options.new_uuid()
    target = Target(table.name, uuid)
    item = job.by_name.get(target)
    if item is not None:
        if item.parent is None and parent is not item:
            item.parent, item.component = parent, component
        return item
    deleted = "deleted" in attributes and resource.deleted
    item = Item(resource, table, uuid, job.options.policies, parent, component, bool(given), deleted)
    if given:
        job.by_name[target] = item
    if tuid:
        job.by_name[Target(table.name, "tuid:" + tuid)] = item
    job.items.append(item)
    return item


def _follow(job: Job, tops: Sequence[Item], index: Mapping[Target, Resource]) -> None:
    """Items for component records, and for what is referred to and stands in the document."""
    waiting = list(tops)
    while waiting:
        item = waiting.pop()
        if item.deleted:
            continue
        for resource in item.resource.components:
            child = _nested(job, item, resource)
            if child is not None:
                waiting.append(child)
        for reference in item.resource.references:
            waiting += _referred(job, item, reference, index)


def _nested(job: Job, item: Item, resource: Resource) -> Item | None:
    """The item of a component record; None for one that the model does not define, or that may exist only once."""
    component = item.table.component(resource.name, resource.alias)
    if component is None or job.model(resource.name) is None:
        return None
    if not component.many and any(child.component == component for child in item.children):
        return None
    child = _item(job, resource, item, component)
    item.children.append(child)
    return child


def _referred(job: Job, item: Item, reference: Reference, index: Mapping[Target, Resource]) -> list[Item]:
    """Notes what a reference points to; gives the items that it reaches for the first time."""
    one = item.table.fields.get(reference.field)
    table = reference.table
    if one is None or not (one.is_reference and one.writable) or job.model(table) is None:
        return []
    fresh = []
    domain = job.document.domain
    names = [reference_spellings(uuid, job.own_domain, domain) for uuid in reference.uuids]
    if reference.tuids:
        names += [("tuid:" + tuid,) for tuid in reference.tuids]
    if reference.inline is not None and reference.inline.name == table:
        inline = _item(job, reference.inline, None, None)
        fresh.append(inline)
        names.append((inline.uuid,))
        job.by_name[Target(table, inline.uuid)] = inline
    item.pointers.append(Pointer(one, table, names))
    if index:
        for spelling in [spelling for name in names for spelling in name]:
            to = Target(table, spelling)
            if to in index and to not in job.by_name:
                fresh.append(_item(job, index[to], None, None))
    return fresh
