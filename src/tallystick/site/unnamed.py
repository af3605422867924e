"""Rows that no key names: they stay out, and are named in the list of what waits (DESIGN.md 4.4 *Keys*).

A primary key of SQLite may hold NULL, and then two rows may have the same; and a text may be no UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tallystick.site import parking
from tallystick.site.engines.engine import Address
from tallystick.site.identity import natural_key
from tallystick.site.ledger import Ledger, Tracked


def unnamed(tracked: Tracked, addresses: Iterable[Address]) -> dict[Address, str]:
    """Those of the addresses that no single row has, or that no key can tell, each with the reason."""
    suspects = [address for address in addresses if suspicious(address)]
    return tracked.rows.unnamed(suspects) if suspects else {}


def suspicious(address: Address) -> bool:
    """True for an address that may be one of those: it has NULL in it, or bytes, which a text may have been read as."""
    return any(value is None or type(value) is bytes for value in address)


def note(ledger: Ledger, tracked: Tracked, addresses: Sequence[Address]) -> Mapping[Address, str]:
    """Note which of the addresses are unnamed now, and which are no longer. Gives the former with the reason."""
    suspects = [address for address in addresses if suspicious(address)]
    found = tracked.rows.unnamed(suspects) if suspects else {}
    for address in suspects:
        key = natural_key(tracked.definition, address)
        if address in found:
            parking.leave_out(ledger, tracked, key, found[address])
        else:
            parking.take_in(ledger, tracked, key)
    return found
