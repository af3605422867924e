"""What people call the record that the ledger knows by its key: the primary key of its row here."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.site.identity import address_of, addressable
from tallystick.site.ledger import DELETED, Tracked
from tallystick.site.schema import Identity


def row_names(tracked: Tracked, keys: Sequence[str]) -> dict[str, str]:
    """The primary keys of the rows that show these records, as text; records without a row here are left out."""
    definition = tracked.definition
    if definition.identity is Identity.MANAGED:
        return {}
    addresses = {
        key: address_of(definition, key, entry.local)
        for key, entry in tracked.rows.by_keys(keys).items()
        if not entry.flags & DELETED
        and not (definition.mapped and entry.local is None)
        and addressable(definition, key, entry.local)
    }
    there = tracked.rows.values(list(addresses.values()))
    return {key: ", ".join(map(str, address)) for key, address in addresses.items() if address in there}


def key_named(tracked: Tracked, name: str, keys: Sequence[str]) -> str:
    """The one of ``keys`` that is called ``name``: the key itself, else that of the row; ``name`` where none is."""
    if name in keys:
        return name
    return next((key for key, row in row_names(tracked, keys).items() if row == name), name)
