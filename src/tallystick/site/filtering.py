"""Filters of a resource as questions to its records (DESIGN.md 4.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tallystick.core.values import Logical
from tallystick.errors import FilterError
from tallystick.site.identity import addressable, key_parts
from tallystick.site.schema import Definition

Matches = Callable[[Mapping[str, Any]], bool]
"""Asked with a record's content by wire name, and its key under ``$key``."""


def selector(definition: Definition, text: str) -> Matches:
    """The filter ``text`` as a question. Fields may be spelled as columns or as on the wire.

    Raises FilterError for text that is no filter and for fields that the resource does not have. Integers that each
    site chooses for itself cannot be asked for: they differ from site to site.
    """
    from tallystick.core import filters  # here: most passes have no filter, and it is the largest of the pure rooms

    known = [*definition.fields, *(() if definition.mapped else definition.key_fields)]
    spelled = {name: item for item in known for name in (item.wire, item.column)}
    expression = filters.parse(text)
    types = {name: item.logical for name, item in spelled.items()}
    named = filters.fields(expression)
    if unknown := sorted(named - {*types, "$key"}) if types else []:
        raise FilterError(
            f"table {definition.name!r} has no column {unknown[0]!r}",
            hint=f"columns: {', '.join(sorted({item.column for item in known}))}",
            code="filter-unknown-property",
        )
    selects = filters.predicate(expression, {**types, "$key": Logical.TEXT} if types else None)
    aliases = {name: spelled[name].wire if name in spelled else name for name in named}
    parts = [] if definition.mapped else [item.wire for item in definition.key_fields]

    def matches(content: Mapping[str, Any]) -> bool:
        key = content.get("$key")
        if parts and key is not None and addressable(definition, key, None):
            content = {**content, **dict(zip(parts, key_parts(definition, key), strict=True))}
        return selects({**{name: content.get(wire) for name, wire in aliases.items()}, "$key": key})

    return matches
