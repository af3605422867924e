"""Records by the addresses of their rows, where databases spell primary keys in their own way (DESIGN.md 4.4 *Keys*).

A natural key is what the row's primary key said where the record was born, and stays that everywhere. A database that
holds the value under another type may spell it otherwise; then ``local`` of the entry is the address of the row there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import repeat

from tallystick.core.values import Logical, Value, composite_key, single_key
from tallystick.site import parking
from tallystick.site.engines.engine import Address, Entry
from tallystick.site.identity import address_of, key_parts, local_of, natural_key
from tallystick.site.issuing import Touched
from tallystick.site.ledger import DELETED, Ledger, Tracked


def records_at(tracked: Tracked, addresses: Collection[Address]) -> dict[Address, Entry]:
    """The entries of the records with natural keys whose rows are, or last were, at the addresses."""
    definition = tracked.definition
    keys = {address: natural_key(definition, address) for address in addresses}
    entries = tracked.rows.by_keys(list(keys.values()))
    found = {address: entries[key] for address, key in keys.items() if key in entries}
    if not definition.respelled:
        return found
    found = {address: entry for address, entry in found.items() if _may_be_at(tracked, entry, address)}
    locals_ = {local_of(definition, "", address): address for address in addresses}
    there = tracked.rows.by_locals(list(locals_))
    return found | {locals_[local]: entry for local, entry in there.items() if local in locals_}


def _may_be_at(tracked: Tracked, entry: Entry, address: Address) -> bool:
    """False for a record whose row is at another address."""
    gone = bool(entry.flags & DELETED) or not entry.hash
    return gone or address_of(tracked.definition, entry.key, entry.local) == address


def namesakes_apart(
    ledger: Ledger, tracked: Tracked, touched: Sequence[Touched], found: dict[Address, tuple[Value, ...]]
) -> list[Touched]:
    """What marks speak of without new rows whose key is that of a record with its row elsewhere: they are left out.

    Rows that were left out before are among it again. ``found`` is what the rows hold; theirs is added.
    """
    before = [address_of(tracked.definition, key, None) for key in parking.left_out(ledger, tracked)]
    at = {item.address for item in touched}
    again = [one for one in before if one not in at and not {type(None), bytes} & set(map(type, one))]
    found.update(tracked.rows.values(again))
    everyone = [*touched, *(Touched(None, address, ledger.now(), None) for address in again)]
    new = {item.address: item for item in everyone if item.entry is None and item.address is not None}
    gone = {item.entry.key for item in everyone if item.entry is not None and item.address not in found}
    keys = {address: natural_key(tracked.definition, address) for address in new}
    reasons = _namesakes(tracked, gone, {address: key for address, key in keys.items() if address in found})
    for address, reason in reasons.items():
        parking.leave_out(ledger, tracked, keys[address], reason)
    for address in set(before) & keys.keys() - reasons.keys():
        parking.take_in(ledger, tracked, keys[address])
    return [item for item in everyone if item.address not in reasons]


def _namesakes(tracked: Tracked, gone: Collection[str], new: Mapping[Address, str]) -> dict[Address, str]:
    """Those of new rows (``new``: their keys) whose key is that of a record with its row elsewhere, with the reason.

    ``gone`` are keys of records whose rows are found gone: what has such a key now is where the record went.
    """
    if not new:
        return {}
    entries = tracked.rows.by_keys(list(new.values()))
    held = {key: entry for key, entry in entries.items() if key not in gone}
    return {
        address: f"its key is that of another row, which spells it {written(_address(tracked, held[key]))!r}"
        "; give one of them another key"
        for address, key in new.items()
        if key in held and not _may_be_at(tracked, held[key], address)
    }


def derived_key_kept(tracked: Tracked, entry: Entry, key: str, address: Address) -> str:
    """The key of a record whose row at ``address`` would give it ``key``: its own where only spellings differ."""
    definition = tracked.definition
    if not definition.respelled or entry.key == key:
        return key
    pairs = zip(
        definition.key_fields, key_parts(definition, entry.key), key_parts(definition, key), address, strict=True
    )
    placed = [(item.refers_to and old != new, here if item.refers_to else old) for item, old, new, here in pairs]
    if any(moved for moved, _ in placed):
        return key
    return entry.key if tracked.rows.spelled([tuple(part for _, part in placed)]) == [address] else key


def _address(tracked: Tracked, entry: Entry) -> Address:
    return address_of(tracked.definition, entry.key, entry.local)


def spelled(tracked: Tracked, keys: Sequence[str]) -> list[Address]:
    """Where rows of new records go: the primary keys that their keys stand for, as this database spells them.

    All of the keys must be addressable.
    """
    definition = tracked.definition
    (only, *more) = definition.key_fields
    text = (
        not more
        and only.logical not in (Logical.INT64, Logical.BOOL)
        and not any(map(str.startswith, keys, repeat("\\")))
    )
    addresses: list[Address] = (
        list(zip(keys, strict=True)) if text else [address_of(definition, key, None) for key in keys]
    )
    return tracked.rows.spelled(addresses) if definition.respelled else addresses


def taken(tracked: Tracked, placed: Mapping[str, Address]) -> dict[str, str]:
    """Why rows cannot go where their keys (``placed``) would have them: another record has its row there."""
    definition = tracked.definition
    if not definition.respelled:
        return {}
    keys = {address: key for key, address in placed.items()}
    return {
        keys[address]: f"key: {keys[address]!r} is {written(address)!r} here, and that is the row of another record, "
        f"{entry.key!r}; give one of them another key"
        for address, entry in records_at(tracked, keys).items()
        if entry.key != keys[address] and entry.hash
    }


def written(address: Address) -> str:
    """An address as the key that it would be."""
    return single_key(address[0]) if len(address) == 1 else composite_key(address)
