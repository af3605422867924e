"""Records that ordinary resources name by their key, where they have no uuid yet (spec 12).

A record gets a uuid when it is first linked or synchronized, and reading must not give it one: linking would then find
two. So feeds show the key instead, and what a client writes back is understood. Keys in synchronization feeds are those
of somebody else and are never looked up here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from tallystick.errors import ValueRejected
from tallystick.protocols.sdata.codec.payloads import Collection, Payload
from tallystick.protocols.sdata.codec.payloads import Field as PayloadField
from tallystick.protocols.sdata.site import children
from tallystick.site.engines.engine import Entry
from tallystick.site.ledger import DELETED, Ledger, Tracked
from tallystick.site.schema import Identity

if TYPE_CHECKING:
    from tallystick.protocols.sdata.site.place import Place


def shown_key(tracked: Tracked, entry: Entry) -> str:
    """The key that URLs show: the integer of a row where integers are chosen here, else the record's key."""
    return str(entry.local) if _has_integers(tracked) and entry.local is not None else entry.key


def entry_at(tracked: Tracked, key: str) -> Entry | None:
    """The entry of the record that URLs call ``key``, dead or alive."""
    if _has_integers(tracked) and key.lstrip("-").isdigit() and len(key) < 19:
        found = tracked.rows.by_locals([int(key)]).get(int(key))
        if found is not None:
            return found
    return tracked.rows.by_keys([key]).get(key)


def shown_keys(ledger: Ledger, wanted: Mapping[str, Iterable[str]]) -> dict[tuple[str, str], str]:
    """The keys that URLs show, by (resource, key), of records of several resources."""
    found: dict[tuple[str, str], str] = {}
    for wire, keys in wanted.items():
        if ledger.has(wire):
            tracked = ledger.resource(wire)
            entries = tracked.rows.by_keys(sorted(keys))
            found.update({(wire, key): shown_key(tracked, entry) for key, entry in entries.items()})
    return found


def resolved(place: Place, payload: Payload, entry: Entry | None = None) -> Payload:
    """A client's payload with record keys for uuids where it names by key what it refers to.

    With the ``entry`` of the resource it is written over, its children are found by key, too; only those that are the
    resource's already, since a copy of another one names that one's. Raises ValueRejected for a key that is not here.
    """
    fields = _references(place, payload)
    for name, nested in place.nested.items():
        listed = fields.get(name)
        if isinstance(listed, Collection):
            held = children.held(place, nested, name, entry) if entry is not None else {}
            items = [msgspec.structs.replace(item, fields=_references(nested, item)) for item in listed.items]
            named = tuple(_named(item, held.get(item.key, "")) for item in items)
            fields[name] = msgspec.structs.replace(listed, items=named)
    return msgspec.structs.replace(payload, fields=fields)


def _references(place: Place, payload: Payload) -> dict[str, PayloadField]:
    fields = dict(payload.fields)
    for name, field in {**place.form.fields, **place.form.keys}.items():
        value = fields.get(name)
        if field.refers_to and isinstance(value, Payload) and value.key and not value.uuid:
            fields[name] = _named(value, _key_of(place.ledger, field.refers_to, name, value.key))
    return fields


def _key_of(ledger: Ledger, wire: str, name: str, key: str) -> str:
    entry = entry_at(ledger.resource(wire), key) if ledger.has(wire) else None
    if entry is None or entry.flags & DELETED or not entry.hash:
        raise ValueRejected(f"{name}: there is no resource {key!r}", hint="name one by sdata:uuid or sdata:key")
    return entry.key


def _named(payload: Payload, key: str) -> Payload:
    return msgspec.structs.replace(payload, uuid=key) if key and not payload.uuid else payload


def _has_integers(tracked: Tracked) -> bool:
    return tracked.definition.identity in (Identity.MAPPED, Identity.COLUMN)
