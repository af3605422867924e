"""Which tables are lists inside the resources of another one, and no kinds of their own (spec 7 *Children*). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick.core.values import Value, fold
from tallystick.errors import ConfigurationError
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property, Relationship
from tallystick.site.identity import key_parts, natural_key
from tallystick.site.schema import Definition, Field, Identity


class Nest(NamedTuple):
    """A child table inside its parent: both by wire name, and the child's field that names the parent."""

    parent: Definition
    child: Definition
    field: Field

    def value(self, key: str) -> Value:
        """What the child's field holds for the parent with this key."""
        return key if self.field.refers_to else key_parts(self.parent, key)[0]

    def key(self, value: Value) -> str:
        """The key of the parent that the child's field names."""
        return str(value) if self.field.refers_to else natural_key(self.parent, (value,))


def nests(definitions: Sequence[Definition], wanted: Sequence[str]) -> list[Nest]:
    """The nests that ``PARENT.CHILD`` texts ask for.

    Raises ConfigurationError where one cannot be: tables that are not tracked, a child without exactly one foreign key
    to the parent that may not be null, keys of several columns, a child inside a child, or inside two parents.
    """
    found = [_nest({item.wire: item for item in definitions}, text) for text in wanted]
    children = [nest.child.wire for nest in found]
    for nest, text in zip(found, wanted, strict=True):
        if nest.parent.wire in children:
            raise _cannot(text, f"{nest.parent.name} is nested itself")
        if children.count(nest.child.wire) > 1:
            raise _cannot(text, f"{nest.child.name} can be nested in one table only")
    return found


def nests_like(definitions: Sequence[Definition], contract: Contract) -> list[str]:
    """The nests, as ``PARENT.CHILD``, that tables make which are called like the lists of another end's contract."""
    known = {item.wire for item in definitions}
    found = []
    for kind, listed, child in lists_of(contract):
        parent = next((fold(name) for name in (kind.name, kind.element) if fold(name) in known), "")
        inner = next((fold(name) for name in (child.name, child.element, listed.name) if fold(name) in known), "")
        if parent and inner and _fits(definitions, f"{parent}.{inner}"):
            found.append(f"{parent}.{inner}")
    return found


def lists_of(contract: Contract) -> list[tuple[Kind, Property, Kind]]:
    """The lists of children in a contract: parent, property, and the child's kind, which is in no other list."""
    lists = [
        (kind, listed, child)
        for kind in contract.served
        for listed in kind.properties
        if listed.collection and listed.relationship is Relationship.CHILD
        if (child := contract.kind(listed.kind)) is not None and child.embedded
    ]
    names = [child.name for _, _, child in lists]
    return [one for one in lists if names.count(one[2].name) == 1]


def _fits(definitions: Sequence[Definition], text: str) -> bool:
    try:
        nests(definitions, [text])
    except ConfigurationError:
        return False
    return True


def _nest(known: dict[str, Definition], text: str) -> Nest:
    parent, child = (known.get(fold(name)) for name in (text.partition(".")[0], text.partition(".")[2]))
    if parent is None or child is None:
        missing = text.partition(".")[0] if parent is None else text.partition(".")[2]
        raise _cannot(text, f"{missing or 'no table'} is not tracked here")
    if (
        len(parent.key_columns) != 1
        or len(child.key_columns) != 1
        or Identity.MANAGED
        in (
            parent.identity,
            child.identity,
        )
    ):
        raise _cannot(text, "both tables need a primary key of one column")
    columns = [
        reference.columns[0]
        for reference in child.references
        if reference.parent == parent.name and reference.parent_columns == parent.key_columns
    ]
    fields = [one for one in child.fields if one.column in columns and not one.nullable]
    if len(fields) != 1:
        problem = "no foreign key" if not fields else "several foreign keys"
        raise _cannot(text, f"{child.name} has {problem} to {parent.name} that may not be null")
    return Nest(parent, child, fields[0])


def _cannot(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{text} cannot be nested: {why}", hint="write it like orders.order_line, parent first")
