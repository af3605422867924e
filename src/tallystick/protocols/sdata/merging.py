"""What a resource holds after a change arrives: fields over fields, children by uuid (spec 7; K 9; C16, C19). Pure."""

from __future__ import annotations

import msgspec

from tallystick.protocols.sdata.codec.payloads import Collection, Field, Payload


def merged(held: Payload | None, incoming: Payload) -> Payload:
    """What is stored after ``incoming``: absent fields stay, absent children stay unless deleteMissing (C16, C19)."""
    if held is None:
        fields = {name: _fresh(value) for name, value in incoming.fields.items()}
    else:
        fields = dict(held.fields)
        for name, value in incoming.fields.items():
            fields[name] = _merged_field(fields.get(name), value)
    return Payload(incoming.name, incoming.namespace, fields, incoming.uuid or (held.uuid if held is not None else ""))


def _fresh(value: Field) -> Field:
    return _merged_field(None, value) if isinstance(value, Collection) else value


def _merged_field(held: Field, incoming: Field) -> Field:
    if not isinstance(incoming, Collection):
        return incoming
    kept: dict[str | int, Payload] = {}
    if isinstance(held, Collection) and not _values(incoming):
        kept = {child.uuid or index: child for index, child in enumerate(held.items)}
    if incoming.delete_missing:
        named = {child.uuid for child in incoming.items}
        kept = {name: child for name, child in kept.items() if child.uuid and child.uuid in named}
    for index, child in enumerate(incoming.items, len(kept)):
        name = child.uuid or f"new {index}"
        if child.deleted:
            kept.pop(name, None)
        else:
            kept[name] = _child(kept[name], child) if name in kept else child
    return Collection(items=tuple(kept.values()), delete_missing=incoming.delete_missing, url=incoming.url)


def _values(incoming: Collection) -> bool:
    """True for a list of plain values: nothing tells one from the other, so the new list takes the place of the old."""
    return all(child.text and not child.fields and not child.uuid for child in incoming.items) and bool(incoming.items)


def _child(held: Payload, incoming: Payload) -> Payload:
    """A child after its update: matched by uuid, fields merged like those of a resource."""
    return msgspec.structs.replace(merged(held, incoming), text=incoming.text, key=incoming.key or held.key)
