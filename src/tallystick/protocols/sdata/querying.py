"""What ``where``, ``orderBy`` and ``search`` look at in a resource (spec 12 *Query*). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cmp_to_key
from typing import Any

from tallystick.core.values import Logical, Value
from tallystick.errors import ValueRejected
from tallystick.protocols.sdata.codec.kinds import Kind
from tallystick.protocols.sdata.codec.values import from_wire
from tallystick.protocols.sdata.store import Resource


def query_types(kind: Kind) -> dict[str, Logical]:
    """The names that ``where`` and ``orderBy`` may use, with their types (spec 12 *Query*)."""
    return {**kind.values, "$uuid": Logical.UUID, "$key": Logical.TEXT, "$updated": Logical.INSTANT}


def query_record(kind: Kind, resource: Resource) -> Mapping[str, Value]:
    """What ``where`` looks at: canonical values by property; a value that does not fit its type is null."""
    record: dict[str, Value] = {"$uuid": resource.uuid or None, "$key": resource.key}
    record["$updated"] = from_wire(Logical.INSTANT, resource.updated) if resource.updated else None
    for name, logical in kind.values.items():
        value = resource.payload.fields.get(name)
        try:
            record[name] = from_wire(logical, value) if isinstance(value, str) else None
        except ValueRejected:
            record[name] = None
    return record


def searchable(resource: Resource) -> str:
    """All text of a resource, in lower case: what the words of ``search`` are looked for in."""
    values = (value for value in resource.payload.fields.values() if isinstance(value, str))
    return " ".join([resource.title, *values]).lower()


def sorting(kind: Kind, name: str) -> Callable[[Resource], Any]:
    """The sort key of property ``name``: nulls first, then by value; decimals as numbers."""
    numeric = kind.values.get(name) is Logical.DECIMAL

    def compare(one: Resource, other: Resource) -> int:
        left, right = query_record(kind, one).get(name), query_record(kind, other).get(name)
        if left is None or right is None:
            return (left is not None) - (right is not None)
        if numeric:
            left, right = float(str(left)), float(str(right))
        return (left > right) - (left < right)  # type: ignore[operator]

    return cmp_to_key(compare)
