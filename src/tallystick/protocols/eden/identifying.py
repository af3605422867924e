"""Which record here an incoming one is (spec: section 9.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tallystick.protocols.eden.codec.schema import Table
from tallystick.protocols.eden.items import Item, Job
from tallystick.protocols.eden.store import Stored, Target


def identify(job: Job) -> None:
    """Finds the original of every item: by unique fields, by identifier, or by duplicate detection."""
    groups: dict[str, list[Item]] = {}
    for item in job.items:
        groups.setdefault(item.table.name, []).append(item)
    for items in groups.values():
        table = items[0].table
        found = job.store.find(table.name, [item.uuid for item in items if item.given])
        for item in items:
            item.local = found.get(item.uuid) if item.given else None
        _match_unique(job, table, items)
        _match_duplicates(job, table, [item for item in items if item.local is None and _asks(job, item)])


def _asks(job: Job, item: Item) -> bool:
    """True when duplicate detection is asked: no identifier, or identifiers are being synchronized."""
    return not item.deleted and (not item.given or job.options.synchronise_uuids)


def _match_unique(job: Job, table: Table, items: Sequence[Item]) -> None:
    for one in table.unique:
        if one.is_reference:
            continue
        values = {item.values.get(one.name) for item in items} - {None, ""}
        matches = job.store.matching(table, one.name, values) if values else {}
        for item in items:
            uuids = matches.get(item.values.get(one.name), ())
            if len(uuids) == 1 and uuids[0] != item.uuid and (item.local is None or item.local.uuid != uuids[0]):
                _meet(job, item, uuids[0])


def _match_duplicates(job: Job, table: Table, items: Sequence[Item]) -> None:
    if not table.identity or not items:
        return
    first = table.identity[0]
    values = {item.values.get(first) for item in items} - {None, ""}
    matches = job.store.matching(table, first, values) if values else {}
    known = job.store.find(table.name, [uuid for uuids in matches.values() for uuid in uuids])
    for item in items:
        uuids = matches.get(item.values.get(first), ())
        fitting = [uuid for uuid in uuids if uuid in known and _alike(table, item.values, known[uuid])]
        if len(fitting) == 1:
            _meet(job, item, fitting[0])


def _meet(job: Job, item: Item, uuid: str) -> None:
    """Makes a record of the document the one that is here under another identifier."""
    local = job.store.find(item.table.name, (uuid,)).get(uuid)
    if local is None:
        return
    if item.given:
        if job.options.synchronise_uuids:
            item.rename = item.uuid
        job.by_name[Target(item.table.name, item.uuid)] = item
    item.local, item.uuid = local, uuid


def adopt_single_children(job: Job) -> None:
    """A component that exists once meets the record that its parent already has."""
    for item in job.items:
        single = [child for child in item.children if child.component is not None and not child.component.many]
        for child in single if item.local is not None else ():
            component = child.component
            if component is None or child.local is not None:
                continue
            existing = job.store.children(component, (item.uuid,)).get(item.uuid, ())
            if existing:
                child.local, child.uuid = existing[0], existing[0].uuid


def _alike(table: Table, values: Mapping[str, object], record: Stored) -> bool:
    """True when all primary fields match, and secondary ones where both sides have them, without regard to case."""
    for name in table.identity:
        if _folded(values.get(name)) != _folded(record.values.get(name)):
            return False
    for name in table.identity_also:
        mine, theirs = values.get(name), record.values.get(name)
        if mine not in (None, "") and theirs not in (None, "") and _folded(mine) != _folded(theirs):
            return False
    return not record.deleted


def _folded(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value
