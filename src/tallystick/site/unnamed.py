"""Rows that no key names: they stay out, and are named in the list of what waits (DESIGN.md 4.4 *Keys*).

A primary key of SQLite may hold NULL, and then two rows may have the same; and a text may be no UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tallystick.site import parking
from tallystick.site.engines.engine import Address
from tallystick.site.identity import natural_key
from tallystick.site.ledger import Ledger, Tracked

_ODD = frozenset((type(None), bytes))


def unnamed(tracked: Tracked, addresses: Iterable[Address]) -> dict[Address, str]:
    """Those of the addresses that no single row has, or that no key can tell, each with the reason."""
    doubtful = suspects(addresses)
    return tracked.rows.unnamed(doubtful) if doubtful else {}


def suspects(addresses: Iterable[Address]) -> list[Address]:
    """Those that may be unnamed: they have NULL in them, or bytes, which a text may have been read as."""
    listed = list(addresses)
    if all(_ODD.isdisjoint(map(type, column)) for column in zip(*listed, strict=True)):
        return []
    return [address for address in listed if not _ODD.isdisjoint(map(type, address))]


def note(ledger: Ledger, tracked: Tracked, addresses: Iterable[Address]) -> Mapping[Address, str]:
    """Note which of the addresses are unnamed now, and which are no longer. Gives the former with the reason."""
    doubtful = suspects(addresses)
    found = tracked.rows.unnamed(doubtful) if doubtful else {}
    for address in doubtful:
        key = natural_key(tracked.definition, address)
        if address in found:
            parking.leave_out(ledger, tracked, key, found[address])
        else:
            parking.take_in(ledger, tracked, key)
    return found
