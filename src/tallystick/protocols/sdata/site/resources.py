"""Reading and changing single resources of a site (spec 12): finding by SQL, writing as local edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.core.filters import fields as fields_of
from tallystick.errors import FilterError, TallystickError, ValueRejected
from tallystick.protocols.sdata.codec.payloads import Collection, Payload
from tallystick.protocols.sdata.site import children, jobs
from tallystick.protocols.sdata.site.children import Listed, references_in
from tallystick.protocols.sdata.site.keyed import resolved
from tallystick.protocols.sdata.site.place import Place
from tallystick.protocols.sdata.store import Found, LinkTaken, NoResource, Query, Resource, StaleETag
from tallystick.site import editing
from tallystick.site.editing import Edit, Edited, Operation, Reason
from tallystick.site.engines.engine import Entry
from tallystick.site.finding import Question, find
from tallystick.site.ledger import DELETED
from tallystick.site.schema import Field, Identity

RESOURCE = "resource"
_ALIASES = {"$updated": "stamp", "$uuid": "key"}


def found(place: Place, query: Query) -> Found:
    """The live resources that a query selects. Raises FilterError for what does not fit the kind."""
    form, definition = place.form, place.tracked.definition
    plain = {name: field for name, field in {**form.keys, **form.fields}.items() if not field.refers_to}
    key = definition.key_fields[0]
    names = {**plain, "$key": Field(key.column, "$key", key.logical)}
    question = Question(names, query.where, query.search.split(), query.order, _ALIASES)
    _check_uuid(place, query)
    answer = find(place.ledger, place.tracked, question, query.start, query.count)
    entries = place.entries_at(answer.addresses)
    return Found(answer.total, place.resources(entries, full=False))


def _check_uuid(place: Place, query: Query) -> None:
    """``$uuid`` is compared with keys, so it can be asked for only where no other uuids were given."""
    named = {name for name, _ in query.order} | (fields_of(query.where) if query.where is not None else frozenset())
    if "$uuid" in named and place.tracked.definition.identity is not Identity.MAPPED:
        raise FilterError("$uuid cannot be compared here", hint="ask for $linked('uuid') instead")


def one(place: Place, key: str) -> Resource:
    """The live resource that URLs call ``key``. Raises NoResource."""
    return place.resources([_live(place, key)], full=False)[0]


def _live(place: Place, key: str) -> Entry:
    entry = place.entry_at(key)
    if entry is None or entry.flags & DELETED or not entry.hash:
        gone = entry is not None or jobs.was_dropped(place.ledger, (place.form.kind.name, RESOURCE, key))
        raise NoResource(f"there is no {place.form.kind.element} {key!r}", gone=gone)
    return entry


def create(place: Place, payload: Payload) -> tuple[Resource, bool]:
    """A new resource, or the one that has the payload's uuid already, and whether it is new. Raises ValueRejected."""
    known = place.links.keys([payload.uuid]) if payload.uuid else {}
    if payload.uuid in known:
        entry = place.tracked.rows.by_keys([known[payload.uuid]]).get(known[payload.uuid])
        if entry is not None and entry.hash:
            return place.resources([entry], full=False)[0], False
    content, lists = _content(place, payload)
    mapped = place.tracked.definition.identity in (Identity.MAPPED, Identity.COLUMN)
    key = known.get(payload.uuid) or (payload.uuid if mapped else "")
    local = int(payload.key) if mapped and payload.key.isdigit() and len(payload.key) < 19 else None
    edited = _written(place, Edit(Operation.INSERT, key, _without_null(content), local))
    if payload.uuid and payload.uuid != edited.key:
        place.links.link({edited.key: payload.uuid})
    _write_lists(place, edited.key, lists)
    return _stored(place, edited.key), True


def update(place: Place, key: str, payload: Payload, etag: str | None) -> Resource:
    """The resource once the payload's fields were written over it. Raises NoResource, StaleETag, ValueRejected."""
    held = one(place, key)
    check_etag(held, etag)
    entry = _live(place, key)
    content, lists = _content(place, payload, entry)
    edited = _written(place, Edit(Operation.UPDATE, entry.key, content))
    _write_lists(place, edited.key, lists)
    return _stored(place, edited.key)


def delete(place: Place, key: str, etag: str | None) -> None:
    """Delete a resource. Raises NoResource, StaleETag, and ValueRejected when others refer to it."""
    held = one(place, key)
    check_etag(held, etag)
    entry = _live(place, key)
    _check_lists(children.end(place, [entry.key]))
    _written(place, Edit(Operation.DELETE, entry.key))
    jobs.remember(place.ledger, (place.form.kind.name, RESOURCE, key))


def check_etag(held: Resource, etag: str | None) -> None:
    """Raise StaleETag when ``etag`` is given and not the present one."""
    if etag is not None and etag != held.etag:
        raise StaleETag(f"resource {held.key!r} has changed since it was read", held)


def _content(place: Place, payload: Payload, entry: Entry | None = None) -> tuple[dict[str, Any], list[Listed]]:
    for name in payload.fields:
        known = place.form.kind.find(name)
        if known is None:
            listed = ", ".join(found.name for found in place.form.kind.properties)
            raise ValueRejected(f"{place.form.kind.element} has no property {name!r}", hint=f"it has {listed}")
        if isinstance(payload.fields[name], Collection) and name not in place.nested:
            raise ValueRejected(f"{name} is no list")
    payload = resolved(place, payload, entry)
    references = references_in(place, [payload])
    return place.form.content(payload, references), children.read(place, payload, references)


def _write_lists(place: Place, key: str, lists: Sequence[Listed]) -> None:
    _check_lists(children.write(place, [(key, lists)]))


def _check_lists(problems: Mapping[str, str]) -> None:
    for problem in problems.values():
        raise ValueRejected(problem)


def _without_null(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}


def _written(place: Place, edit: Edit) -> Edited:
    (edited,) = editing.write(place.ledger, place.tracked, [edit])
    if edited.refusal is not None:
        raise _refused(place, edited)
    return edited


def _refused(place: Place, edited: Edited) -> TallystickError:
    assert edited.refusal is not None
    if edited.refusal.reason is Reason.ABSENT:
        return NoResource(edited.refusal.message)
    return ValueRejected(edited.refusal.message)


def _stored(place: Place, key: str) -> Resource:
    return place.resources([place.tracked.rows.by_keys([key])[key]], full=False)[0]


# Links ------------------------------------------------------------------------------------------------------------


def linked(place: Place, start: int, count: int) -> Found:
    """The resources that have a uuid."""
    total, keys = place.links.page(start, count)
    by_key = place.tracked.rows.by_keys(keys)
    return Found(total, place.resources([by_key[key] for key in keys], full=False))


def by_uuid(place: Place, uuid: str) -> Resource:
    """The live resource with this uuid. Raises NoResource."""
    key = place.links.keys([uuid.lower()]).get(uuid.lower())
    entry = place.tracked.rows.by_keys([key]).get(key) if key else None
    if entry is None or not entry.hash or entry.flags & DELETED:
        raise NoResource(f"no {place.form.kind.element} is linked to {uuid}", gone=entry is not None)
    return place.resources([entry], full=False)[0]


def link(place: Place, key: str, uuid: str) -> Resource:
    """The resource under ``key`` once it has ``uuid``. Raises NoResource, LinkTaken."""
    entry, element = _live(place, key), place.form.kind.element
    present = place.links.uuids([entry.key]).get(entry.key, "")
    if present:
        if uuid and uuid != present:
            raise LinkTaken(f"{element} {key!r} is linked to {present}")
        return _stored(place, entry.key)
    if uuid:
        taken = place.links.keys([uuid]).get(uuid)
        if taken is not None and taken != entry.key:
            raise LinkTaken(f"{uuid} is linked to another {element}")
        place.links.link({entry.key: uuid})
    else:
        place.links.name([entry.key])
    return _stored(place, entry.key)


def relink(place: Place, uuid: str, key: str) -> Resource:
    """The resource under ``key`` once ``uuid`` points at it alone. Raises NoResource, LinkTaken."""
    old, entry = by_uuid(place, uuid), _live(place, key)
    if old.key == place.shown_key(entry):
        return old
    present = place.links.uuids([entry.key]).get(entry.key, "")
    if present:
        raise LinkTaken(f"{place.form.kind.element} {key!r} is linked to {present}")
    unlink(place, uuid)
    place.links.link({entry.key: uuid})
    return _stored(place, entry.key)


def unlink(place: Place, uuid: str) -> None:
    """Remove the correlation, not the resource. Raises NoResource."""
    by_uuid(place, uuid)
    place.links.unlink(uuid.lower(), place.links.keys([uuid.lower()])[uuid.lower()])
