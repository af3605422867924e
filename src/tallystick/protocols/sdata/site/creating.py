"""Tables for the resource kinds of another end, where a site has none (DESIGN.md 4.7). Pure."""

from __future__ import annotations

from tallystick.core.values import Logical, fold
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property, Relationship
from tallystick.protocols.sdata.site.nests import lists_of
from tallystick.site.schema import Definition, Field, Identity, Reference

_KEY = Field("uuid", "uuid", Logical.TEXT, False)


def definitions(contract: Contract) -> list[tuple[Kind, Definition]]:
    """The tables that hold a contract's kinds: the uuid as primary key, references by the uuid of what they refer to.

    A list of children is a table that refers to its parent's. Where a child has a property called like its parent
    there is no such table: the list is kept beside the parent's row.
    """
    kinds = [kind for kind in contract.kinds if not kind.embedded]
    names = {kind.name for kind in kinds}
    found = [(kind, _definition(kind, names)) for kind in kinds]
    for parent, _, child in lists_of(contract):
        if all(fold(one.name) != fold(parent.element) for one in child.properties):
            found.append((child, _definition(child, names, parent)))
    return found


def _definition(kind: Kind, names: set[str], parent: Kind | None = None) -> Definition:
    fields, references = [], []
    if parent is not None:
        fields.append(Field(parent.element, fold(parent.element), Logical.TEXT, False))
        references.append(Reference((parent.element,), parent.name, (_KEY.column,)))
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
