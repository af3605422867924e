"""Keys and addresses: how a record's key and its row's primary key belong together (DESIGN.md 4.4). Pure."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from typing import Any

from tallystick.core.values import (
    Logical,
    Value,
    canonical_decimal,
    composite_key,
    composite_values,
    single_key,
    single_value,
)
from tallystick.site.engines.engine import Address
from tallystick.site.schema import Definition, Identity


def new_key() -> str:
    """A random UUID for a new record, rising with time so that the ledger grows at one end."""
    milliseconds = time.time_ns() // 1_000_000
    random = os.urandom(10)
    raw = milliseconds.to_bytes(6, "big") + bytes([0x70 | random[0] & 0x0F]) + random[1:2]
    raw += bytes([0x80 | random[2] & 0x3F]) + random[3:]
    return str(uuid.UUID(bytes=raw))


def natural_key(definition: Definition, address: Address) -> str:
    """The key that a row with a natural identity gives its record, unless it has one in another spelling."""
    parts = _numbers_as_text(definition, address)
    return single_key(parts[0]) if len(parts) == 1 else composite_key(parts)


def _numbers_as_text(definition: Definition, parts: Sequence[Value]) -> Sequence[Value]:
    """Decimals as the text that they are everywhere: SQLite holds them as numbers of two kinds."""
    if float not in set(map(type, parts)):
        return parts
    decimal = (item.logical is Logical.DECIMAL for item in definition.key_fields)
    return [canonical_decimal(part) if is_one else part for part, is_one in zip(parts, decimal, strict=True)]


def proposed_key(address: Address) -> str:
    """The key that a mapped row older than tracking proposes: its integer."""
    return single_key(address[0])


def derived_key(definition: Definition, parts: Sequence[Value]) -> str:
    """The key of a record whose primary key holds references; ``parts`` have keys in their place."""
    parts = _numbers_as_text(definition, parts)
    return single_key(parts[0]) if len(parts) == 1 else composite_key(parts)


def local_of(definition: Definition, key: str, address: Address) -> Any:
    """What the ledger notes as ``local`` for a row."""
    if definition.identity is Identity.NATURAL:
        if len(address) == 1:
            return None if type(address[0]) is str and address[0] == key else address[0]
        return stored(address) if definition.respelled and not _says(definition, key, address) else None
    return address[0] if len(address) == 1 else stored(address)


def _says(definition: Definition, key: str, address: Address) -> bool:
    """True when a composite key leads to the address by itself."""
    return bool(key) and composite_values(key, [item.logical for item in definition.key_fields]) == list(address)


def address_of(definition: Definition, key: str, local: Any) -> Address:
    """The address of a record's row, from its ledger entry."""
    if local is not None:
        if len(definition.key_fields) == 1:
            return (local,)
        return tuple(parse_literals(local))
    logicals = [item.logical for item in definition.key_fields]
    if len(logicals) == 1:
        return (single_value(key, logicals[0]),)
    return tuple(composite_values(key, logicals))


def addresses_of(definition: Definition, named: Sequence[tuple[str, Any]]) -> list[Address]:
    """``address_of`` of many rows, by key and local."""
    fields = definition.key_fields
    if len(fields) == 1 and fields[0].logical is Logical.TEXT:
        return [
            (key,) if local is None and not key.startswith("\\") else address_of(definition, key, local)
            for key, local in named
        ]
    return [address_of(definition, key, local) for key, local in named]


def addressable(definition: Definition, key: str, local: Any) -> bool:
    """False for a record that is held but could have no row: its key is none of this table."""
    try:
        address_of(definition, key, local)
    except (ValueError, IndexError):
        return False
    return True


def key_parts(definition: Definition, key: str) -> list[Value]:
    """The parts of a derived key: keys of referenced records where the key field refers, else values."""
    logicals = [Logical.TEXT if item.refers_to else item.logical for item in definition.key_fields]
    return [single_value(key, logicals[0])] if len(logicals) == 1 else composite_values(key, logicals)


def stored(address: Address) -> Any:
    """The form in which a mark stores an address."""
    return address[0] if len(address) == 1 else ",".join(_literal(value) for value in address)


def _literal(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return "X'" + value.hex().upper() + "'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def parse_literals(text: str) -> list[Value]:
    """The values of SQL literals joined by commas, as SQLite's quote() writes them."""
    values: list[Value] = []
    position = 0
    while position <= len(text):
        value, position = _parse_literal(text, position)
        values.append(value)
        position += 1
    return values


def _parse_literal(text: str, start: int) -> tuple[Value, int]:
    if text.startswith("'", start):
        end = start + 1
        while text[end] != "'" or text.startswith("''", end):
            end += 2 if text[end] == "'" else 1
        return text[start + 1 : end].replace("''", "'"), end + 1
    comma = text.find(",", start)
    end = len(text) if comma < 0 else comma
    return _plain(text[start:end]), end


def _plain(word: str) -> Value:
    if word == "NULL":
        return None
    if word.startswith("X'"):
        return bytes.fromhex(word[2:-1])
    try:
        return int(word)
    except ValueError:
        return float(word.replace("Inf", "inf").replace("9.0e+999", "inf"))
