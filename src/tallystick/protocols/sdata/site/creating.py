"""Tables for the resource kinds of another end, where a site has none (DESIGN.md 4.7). Pure."""

from __future__ import annotations

from tallystick.core.values import Logical, fold
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property, Relationship
from tallystick.site.schema import Definition, Field, Identity, Reference

_KEY = Field("uuid", "uuid", Logical.TEXT, False)


def definitions(contract: Contract) -> list[Definition]:
    """The tables that hold a contract's kinds: the uuid as primary key, references by the uuid of what they refer to.

    Lists of children have no column; their payload is kept beside the row.
    """
    kinds = [kind for kind in contract.kinds if not kind.embedded]
    names = {kind.name for kind in kinds}
    return [_definition(kind, names) for kind in kinds]


def _definition(kind: Kind, names: set[str]) -> Definition:
    fields, references = [], []
    for found in kind.properties:
        if _refers(found, names):
            fields.append(Field(found.name, fold(found.name), Logical.TEXT, found.nullable))
            references.append(Reference((found.name,), found.kind, (_KEY.column,)))
        elif found.relationship is None and fold(found.name) != _KEY.wire:
            fields.append(Field(found.name, fold(found.name), found.type, found.nullable))
    return Definition(
        kind.name,
        fold(kind.name),
        Identity.NATURAL,
        tuple(sorted(fields, key=lambda item: item.wire)),
        (_KEY,),
        references=tuple(references),
    )


def _refers(found: Property, names: set[str]) -> bool:
    return found.relationship is Relationship.REFERENCE and found.kind in names and not found.collection
