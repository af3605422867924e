"""What a managed record holds: its place and flags, and the object's properties beside them. Pure.

Both are fields of one mapping, so that changes of different fields at two sites can be merged. Values are what
travels between sites: None, bool, int, float, str, bytes, lists and mappings of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from tallystick.errors import StorageCorrupt, ValueRejected

_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode

STRUCTURE = frozenset(("object", "parent", "name", "soft", "associated", "read", "delivered", "body", "parts"))
"""Fields that say what the record is and where; properties have other names."""

_PLAIN = frozenset((str, int, float, bool, bytes))
_INT64 = range(-(2**63), 2**63)


class Structure(NamedTuple):
    """Those fields. What is left at its default is not written."""

    object: str
    """Name of the ``Class``, in lower case."""
    parent: str = ""
    """Key of what it is in; empty for what stands at the top."""
    name: str = ""
    soft: bool = False
    associated: bool = False
    read: bool = False
    delivered: int | None = None
    body: str = ""
    """Key that its bulk parts are kept under, where it is not the record's own: that of its first place."""
    parts: Mapping[str, int] = {}
    """Names and sizes in bytes of its bulk parts."""


def content_of(structure: Structure, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a record. Raises ValueRejected for properties that cannot be kept."""
    fields = zip(Structure._fields, structure, strict=True)
    content = {name: value for name, value in fields if value or (name == "delivered" and value is not None)}
    if not STRUCTURE.isdisjoint(properties):
        (first, *_) = STRUCTURE & properties.keys()
        raise ValueRejected(f"no property can be called {first!r}", hint="choose another name")
    for name, value in properties.items():
        if value is not None:
            content[name] = value if type(value) in _PLAIN and type(value) is not int else _checked(name, value)
    return content


def _checked(name: str, value: Any) -> Any:
    kind = type(value)
    if kind is int and value in _INT64:
        return value
    if kind in (list, tuple):
        return [part if type(part) is str else _checked(name, part) for part in value]
    if kind is dict and all(type(key) is str for key in value):
        return {key: _checked(name, part) for key, part in value.items()}
    if value is None or (kind in _PLAIN and kind is not int):
        return value
    if isinstance(value, int) and value in _INT64:
        return int(value)
    raise ValueRejected(
        f"property {name!r} has a value that cannot be kept: {value!r:.80}",
        hint="use text, numbers of up to 64 bits, bytes, lists and mappings of them",
    )


def read_content(raw: bytes) -> dict[str, Any]:
    """The content in ``raw``. Raises StorageCorrupt when it is none."""
    if not raw:
        return {}
    try:
        return _decode(raw)
    except msgspec.MsgspecError as error:
        raise StorageCorrupt(f"the properties of a record cannot be read: {error}") from error


def structure_in(content: Mapping[str, Any]) -> Structure:
    """The structure in a content. Fields that another site left out or wrote wrongly are at their defaults."""
    delivered = content.get("delivered")
    parts = content.get("parts")
    return Structure(
        str(content.get("object", "")),
        str(content.get("parent", "")),
        str(content.get("name", "")),
        bool(content.get("soft")),
        bool(content.get("associated")),
        bool(content.get("read")),
        delivered if type(delivered) is int else None,
        str(content.get("body", "")),
        {name: size for name, size in parts.items() if type(size) is int} if type(parts) is dict else {},
    )


def read_properties(raw: bytes) -> dict[str, Any]:
    """The properties in the content of a record. Raises StorageCorrupt when it is none."""
    return {name: value for name, value in read_content(raw).items() if name not in STRUCTURE}
