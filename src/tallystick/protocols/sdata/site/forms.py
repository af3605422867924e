"""Resource kinds made from tables: names, types, relations, and the way between content and payload (spec 12). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import msgspec

from tallystick.core.changes import Rank, parents_first
from tallystick.core.values import Logical, Value, fold
from tallystick.errors import ValueRejected
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property, Relationship
from tallystick.protocols.sdata.codec.payloads import Field as PayloadField
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.schema import xml_name
from tallystick.protocols.sdata.codec.values import from_wire, to_wire
from tallystick.protocols.sdata.site.nests import Nest
from tallystick.site.identity import derived_key, key_parts, natural_key
from tallystick.site.schema import Definition, Field, Identity

OPAQUE = "\x00payload:"
"""Begins a value that keeps a payload element which no column holds and which is more than a text (Q3)."""
ORDER_STEP = 10
_opaque = msgspec.json.Decoder(PayloadField)


class Referred(NamedTuple):
    """What names a record that others refer to, by (resource, key): its uuid, else the key that URLs show."""

    uuids: Mapping[tuple[str, str], str]
    keys: Mapping[tuple[str, str], str]

    def reference(self, name: str, resource: str, key: str) -> Payload:
        """The element ``name`` that refers to a record."""
        uuid = self.uuids.get((resource, key), "")
        return Payload(name, uuid=uuid) if uuid else Payload(name, key=self.keys.get((resource, key), key))


class Form:
    """One resource as a resource kind.

    ``fields`` are the ledger's fields by property name, ``keys`` the primary key columns that are properties because
    the key is made of them, ``lists`` the properties that are tables nested in this one.
    """

    def __init__(
        self,
        kind: Kind,
        definition: Definition,
        fields: Mapping[str, Field],
        keys: Mapping[str, Field],
        lists: Mapping[str, Nest] | None = None,
    ) -> None:
        self.kind = kind
        self.lists = dict(lists or {})
        self.definition = definition
        self.fields = dict(fields)
        self.keys = dict(keys)
        self._readers = {
            name: (field.wire, field, None if field.refers_to or _plain(field) else partial(_read, name, field))
            for name, field in ({**self.keys, **self.fields}).items()
        }
        self.columns = [(name, field.wire, field.logical, field.refers_to) for name, field in self.fields.items()]
        self._writers: dict[Logical, Callable[[Any], str | None] | None] = {
            logical: None if logical in (Logical.TEXT, Logical.UUID) else partial(to_wire, logical)
            for logical in Logical
        }

    @property
    def wire(self) -> str:
        """The resource's name on the wire of the house."""
        return self.definition.wire

    @property
    def referred(self) -> dict[str, str]:
        """Resources that properties refer to, by the field's wire name."""
        return {wire: target for _, wire, _, target in self.columns if target}

    # Content to payload -------------------------------------------------------------------------------------------

    def payload(self, namespace: str, content: Mapping[str, Any], uuid: str, told: Referred) -> Payload:
        """The payload of a record; ``told`` names what it refers to."""
        made: dict[str, PayloadField] = {}
        writers = self._writers
        for name, wire, logical, target in self.columns:
            value = content.get(wire)
            if value is None:
                made[name] = None
            elif target:
                made[name] = told.reference(name, target, value)
            elif value.__class__ is str and writers[logical] is None:
                made[name] = value
            else:
                made[name] = to_wire(logical, value)
        if len(content) > len(made) or not content.keys() <= self.definition.wires:
            made.update(_unknown(content, self.definition.wires, self.key_wires))
        return Payload(self.kind.element, namespace, made, uuid)

    def add_key(
        self, payload: Payload, key: str, address: Sequence[Value], uuids: Mapping[tuple[str, str], str]
    ) -> None:
        """Put the primary key's own fields into a payload; references in it as uuids."""
        parts = key_parts(self.definition, key)
        for (name, field), part, local in zip(self.keys.items(), parts, address or parts, strict=True):
            if field.refers_to:
                payload.fields[name] = Payload(name, uuid=uuids.get((field.refers_to, str(part)), str(part)))
            else:
                payload.fields[name] = to_wire(field.logical, local)

    @property
    def key_wires(self) -> frozenset[str]:
        """Wire names of the primary key's fields that are properties."""
        return frozenset(field.wire for field in self.keys.values())

    # Payload to content -------------------------------------------------------------------------------------------

    def key(self, payload: Payload, keys: Mapping[tuple[str, str], str]) -> str:
        """The record key that a payload's own fields make; "" where one of them is missing.

        Raises ValueRejected for a value that is none of its type.
        """
        stated = self.content(payload, keys)
        parts = [stated.get(field.wire) for field in self.keys.values()]
        if any(part is None for part in parts):
            return ""
        made_of = self.definition.identity is Identity.DERIVED
        return derived_key(self.definition, parts) if made_of else natural_key(self.definition, tuple(parts))

    def content(self, payload: Payload, keys: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        """The fields that a payload states, canonical, by wire name; None for null. Children are left out.

        ``keys`` are record keys by (resource, uuid). Raises ValueRejected for a value that is none of its type.
        """
        made: dict[str, Any] = {}
        for name, value in payload.fields.items():
            known = self._readers.get(name)
            if known is None:
                if self.kind.find(name) is None:
                    made[name] = _kept(value)
                continue
            wire, field, read = known
            if field.refers_to:
                made[wire] = self._reference(name, field, value, keys)
            elif value is None or value.__class__ is str:
                made[wire] = value if read is None or value is None else read(value)
            else:
                raise ValueRejected(f"{name}: a plain value was expected")
        return made

    def _reference(
        self, name: str, field: Field, value: PayloadField, keys: Mapping[tuple[str, str], str]
    ) -> str | None:
        if value is None or value == "":
            return None
        if not isinstance(value, Payload) or not value.uuid:
            if isinstance(value, Payload) and not (value.key or value.url or value.fields):
                return None
            raise ValueRejected(f"{name}: a reference names its resource by sdata:uuid")
        return keys.get((field.refers_to, value.uuid), value.uuid)


def _plain(field: Field) -> bool:
    return field.logical in (Logical.TEXT, Logical.ANY)


def _read(name: str, field: Field, value: str) -> Value:
    try:
        return from_wire(field.logical, value)
    except ValueRejected as error:
        raise ValueRejected(f"{name}: {error.message}", hint=error.hint) from error


def _kept(value: PayloadField) -> Any:
    if value is None or isinstance(value, str):
        return value
    return OPAQUE + msgspec.json.encode(value).decode()


def _unknown(content: Mapping[str, Any], known: frozenset[str], keys: frozenset[str]) -> dict[str, PayloadField]:
    found: dict[str, PayloadField] = {}
    for name, value in content.items():
        if name in known or name in keys:
            continue
        if isinstance(value, str) and value.startswith(OPAQUE):
            found[name] = _opaque.decode(value[len(OPAQUE) :])
        else:
            found[xml_name(name)] = to_wire(Logical.ANY, value)
    return found


# Kinds -----------------------------------------------------------------------------------------------------------


def forms(
    definitions: Sequence[Definition],
    name: str,
    namespace: str,
    priority: int,
    spelling: Contract | None = None,
    inside: Sequence[Nest] = (),
) -> tuple[Contract, dict[str, Form]]:
    """The contract that a site's tables make, and the forms by resource name. Managed resources are no kinds.

    ``spelling`` is another end's contract, whose names are used where they are ours but for case and underscores.
    Tables ``inside`` others are kinds without an address of their own.
    """
    tables = [item for item in definitions if item.identity is not Identity.MANAGED]
    names = _distinct({item.wire: _camel(item.name, item.wire) for item in tables}, _plural)
    order = parents_first([Rank(item.wire, (*item.parents, *_through(item, inside))) for item in tables])
    elements = _distinct(names, _singular)
    by_uuid = {item.name: item.wire for item in tables if _is_uuid(item)}
    spelled = {wire: _theirs(spelling, names[wire]) for wire in order}
    for wire, theirs in spelled.items():
        if theirs is not None:
            names[wire], elements[wire] = theirs.name, theirs.element
    nested = {nest.child.wire: nest.field.column for nest in inside}
    made = {}
    for position, wire in enumerate(order, 1):
        definition, theirs = next(item for item in tables if item.wire == wire), spelled[wire]
        fields, keys = (_spelled(one, theirs) for one in _properties(_with_references(definition, by_uuid)))
        fields = {prop: field for prop, field in fields.items() if field.column != nested.get(wire)}
        lists = _lists([nest for nest in inside if nest.parent.wire == wire], names, {**keys, **fields}, theirs)
        kind = Kind(
            name=names[wire],
            element=elements[wire],
            properties=(
                *(_property(prop, field, names) for prop, field in ({**keys, **fields}).items()),
                *(_list(prop, nest, names) for prop, nest in lists.items()),
            ),
            label=definition.name,
            priority=priority,
            order=position * ORDER_STEP,
            embedded=wire in nested,
        )
        made[wire] = Form(kind, definition, fields, keys, lists)
    return Contract(name=name, namespace=namespace, kinds=tuple(form.kind for form in made.values())), made


def _through(definition: Definition, inside: Sequence[Nest]) -> list[str]:
    """What the lists in a resource refer to: it goes first, too."""
    lists = [nest.child for nest in inside if nest.parent.wire == definition.wire]
    return [wire for child in lists for wire in child.parents if wire not in (child.wire, definition.wire)]


def _lists(
    inside: Sequence[Nest], names: Mapping[str, str], taken: Mapping[str, Field], theirs: Kind | None
) -> dict[str, Nest]:
    """The properties that nested tables are: called like their kind, or as the other end calls such a list."""
    made = {}
    for nest in inside:
        name = names[nest.child.wire]
        known = () if theirs is None else theirs.properties
        name = next((one.name for one in known if one.collection and fold(one.kind) == fold(name)), name)
        made[f"{name}List" if name in taken else name] = nest
    return made


def _list(name: str, nest: Nest, kinds: Mapping[str, str]) -> Property:
    return Property(
        name=name,
        type=Logical.REFERENCE,
        label=nest.child.name,
        relationship=Relationship.CHILD,
        kind=kinds[nest.child.wire],
        collection=True,
        delete_missing=True,
    )


def _camel(name: str, wire: str) -> str:
    """The name that SData shows: the table's or column's in camelCase, unless another was agreed (``--map``)."""
    if fold(name) != wire:
        return xml_name(wire)
    words = [word for word in re.split(r"[_\s]+", name) if word]
    if not words:
        return xml_name(wire)
    first = words[0].lower() if words[0].isupper() else words[0][:1].lower() + words[0][1:]
    rest = (word.capitalize() if word.isupper() else word[:1].upper() + word[1:] for word in words[1:])
    return xml_name(first + "".join(rest))


def _distinct(names: Mapping[str, str], change: Callable[[str], str]) -> dict[str, str]:
    """Names changed one by one, as far as that keeps them apart."""
    changed = {wire: change(name) for wire, name in names.items()}
    taken = [name.lower() for name in changed.values()]
    return {wire: name if taken.count(name.lower()) == 1 else names[wire] for wire, name in changed.items()}


def _plural(name: str) -> str:
    if name.endswith("s"):
        return name
    if re.search(r"(ss|sh|ch|x)$", name):
        return name + "es"
    return name[:-1] + "ies" if re.search(r"[^aeiou]y$", name) else name + "s"


def _singular(name: str) -> str:
    if name.endswith("ies") and len(name) > 4:
        return name[:-3] + "y"
    if re.search(r"(ss|sh|ch|x)es$", name):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and len(name) > 2 else name


def _properties(definition: Definition) -> tuple[dict[str, Field], dict[str, Field]]:
    """Fields and key fields by property name."""
    made_of = definition.identity in (Identity.NATURAL, Identity.DERIVED)
    own = definition.key_fields if made_of and not _is_uuid(definition) else ()
    keys = {_camel(item.column, item.wire): item for item in own}
    fields: dict[str, Field] = {}
    for item in definition.fields:
        name = _camel(item.column, item.wire)
        short = name[:-2]
        free = short and short not in keys and all(_camel(o.column, o.wire) != short for o in definition.fields)
        fields[short if item.refers_to and name.endswith("Id") and free else name] = item
    return fields, keys


def _is_uuid(definition: Definition) -> bool:
    """True when the primary key is the resource's uuid and nothing else."""
    return len(definition.key_fields) == 1 and definition.key_fields[0].wire == "uuid"


def _with_references(definition: Definition, by_uuid: Mapping[str, str]) -> Definition:
    """Columns that refer to a uuid as primary key are references, as those to integers are."""
    found = {one.columns[0]: by_uuid[one.parent] for one in definition.references if one.parent in by_uuid}
    return replace(
        definition,
        fields=tuple(
            replace(one, refers_to=found[one.column]) if one.column in found else one for one in definition.fields
        ),
    )


def _theirs(spelling: Contract | None, name: str) -> Kind | None:
    listed = () if spelling is None else spelling.kinds
    return next((kind for kind in listed if fold(name) in (fold(kind.name), fold(kind.element))), None)


def _spelled(fields: Mapping[str, Field], theirs: Kind | None) -> dict[str, Field]:
    known = {} if theirs is None else {fold(found.name): found.name for found in theirs.properties}
    return {known.get(fold(name), name): field for name, field in fields.items()}


def _property(name: str, field: Field, kinds: Mapping[str, str]) -> Property:
    if field.refers_to in kinds:
        return Property(
            name=name,
            type=Logical.REFERENCE,
            nullable=field.nullable,
            label=field.column,
            relationship=Relationship.REFERENCE,
            kind=kinds[field.refers_to],
        )
    length = re.search(r"char(?:acter)?(?: varying)?\s*\(?(\d+)", field.detail)
    return Property(
        name=name,
        type=Logical.TEXT if field.logical is Logical.REFERENCE else field.logical,
        nullable=field.nullable,
        label=field.column,
        max_length=int(length.group(1)) if length else 0,
    )


def referred_uuids(payloads: Iterable[Payload], form: Form) -> dict[str, set[str]]:
    """The uuids that payloads refer to, by resource."""
    found: dict[str, set[str]] = {}
    named = {name: field.refers_to for name, field in {**form.fields, **form.keys}.items() if field.refers_to}
    for payload in payloads:
        for name, target in named.items():
            value = payload.fields.get(name)
            if isinstance(value, Payload) and value.uuid:
                found.setdefault(target, set()).add(value.uuid)
    return found
