"""Properties of a managed record: a mapping kept as one blob, decoded when first looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tallystick.errors import StorageCorrupt, ValueRejected

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
_encode = msgspec.msgpack.Encoder().encode


def read_properties(blob: bytes) -> dict[str, Any]:
    """The mapping in ``blob``. Raises StorageCorrupt when it is not one."""
    if not blob:
        return {}
    try:
        return _decode(blob)
    except msgspec.MsgspecError as error:
        raise StorageCorrupt(f"the properties of a record cannot be read: {error}") from error


def write_properties(properties: Mapping[str, Any]) -> bytes:
    """``properties`` as a blob; those that are None are left out.

    Values may be what MessagePack knows: None, bool, int, float, str, bytes, datetime, lists and mappings of them.
    Raises ValueRejected for anything else.
    """
    try:
        return _encode({name: value for name, value in properties.items() if value is not None})
    except (TypeError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueRejected(
            f"a property has a value that cannot be kept: {error}", hint="use text, numbers, bytes, datetimes and lists"
        ) from error
