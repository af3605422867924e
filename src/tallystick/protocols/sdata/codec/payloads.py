"""Payloads: resources with their fields, children and references as a plain tree (spec 7, 12; K 3.7-3.8).

A field is text, None (``xsi:nil``), a nested resource or a list of them. What the tree cannot tell without a schema
is decided by form: an element with identity (uuid, key, url, isDeleted) is a resource; one flagged deleteMissing,
or whose children all share one name and are resources themselves, is a list.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec
from lxml import etree

from tallystick.protocols.sdata.codec.documents import split
from tallystick.protocols.sdata.codec.escaping import checked_name, escape, escape_attribute
from tallystick.protocols.sdata.codec.names import SDATA, SYNC, XSI
from tallystick.protocols.sdata.errors import MalformedMessage, MessageTooLarge

_LOWER_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_NIL: Final = f"{{{XSI}}}nil"
_SDATA: Final = f"{{{SDATA}}}"
_SYNC: Final = f"{{{SYNC}}}"
_TRUE: Final = ("true", "1")
_ATTRIBUTES: Final = {
    f"{_SDATA}uuid": "uuid",
    f"{_SDATA}key": "key",
    f"{_SDATA}url": "url",
    f"{_SDATA}uri": "url",
    f"{_SDATA}lookup": "lookup",
    f"{_SDATA}descriptor": "descriptor",
    f"{_SDATA}isDeleted": "deleted",
    f"{_SYNC}uuid": "uuid",
    f"{_SYNC}isDeleted": "deleted",
}
_UUID: Final = f"{_SDATA}uuid"
_IDENTITY: Final = frozenset(_ATTRIBUTES)
_OLD_UUID: Final = f"{_SYNC}uuid"
_OLD_DELETED: Final = f"{_SYNC}isDeleted"
_DELETE_MISSING: Final = f"{_SDATA}deleteMissing"


class Payload(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="payload"):
    """One resource, whole or only referenced.

    ``name`` is its element, ``namespace`` "" when it is its parent's. A field in another namespace has a Clark name.
    ``text`` is the value of a list element that is no resource.
    """

    name: str
    namespace: str = ""
    fields: dict[str, Field] = msgspec.field(default_factory=dict)
    uuid: str = ""
    key: str = ""
    url: str = ""
    lookup: str = ""
    descriptor: str = ""
    deleted: bool = False
    text: str = ""

    @property
    def reference(self) -> bool:
        """True when it only points at a resource: identity, but no content."""
        return not self.fields and not self.deleted and bool(self.uuid or self.key or self.url)


class Collection(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="collection"):
    """A list of children; ``delete_missing``: what it does not name is deleted (C16)."""

    items: tuple[Payload, ...] = ()
    delete_missing: bool = False
    url: str = ""


Field = str | None | Payload | Collection


def checked_uuid(text: str) -> str:
    """The UUID in lower case, as it is compared (spec 7).

    Raises MalformedMessage for anything that is not 8-4-4-4-12 hexadecimal digits.
    """
    if _LOWER_UUID(text):
        return text
    text = text.strip().lower()
    if not _LOWER_UUID(text):
        raise MalformedMessage(f"{text[:60]!r} is no UUID")
    return text


def read_payload(element: etree._Element, depth: int = 32, namespace: str = "") -> Payload:
    """The resource in ``element``; ``namespace`` is that of its parent.

    Raises MessageTooLarge below ``depth`` levels, MalformedMessage for a uuid that is none. Both attribute forms of
    identity and deletion are read, and sync schema 1.0's elements; ``sdata:uri`` is ``sdata:url`` (L1).
    """
    if depth <= 0:
        raise MessageTooLarge("a payload nests too deep")
    own, name = _split(element.tag)
    values: dict[str, Field] = {}
    uuid, key, url, lookup, descriptor, deleted = _identity(element)
    prefix = f"{{{own}}}" if own else ""
    length = len(prefix)
    for child in element:
        tag = child.tag
        if length and tag.startswith(prefix):
            field = tag[length:]
        elif tag == _OLD_UUID:
            uuid = uuid or checked_uuid(child.text or "")
            continue
        elif tag == _OLD_DELETED:
            deleted = (child.text or "").strip().lower() in ("", *_TRUE)
            continue
        else:
            field = tag
        value: Field = child.text
        if value is None or len(child):
            value = _read_field(child, depth - 1, own)
        if field in values:
            value = _repeated(values[field], value, child)
        values[field] = value
    text = "" if values else _own_text(element)
    shown = "" if own == namespace else own
    return Payload(name, shown, values, uuid, key, url, lookup, descriptor, deleted, text)


def read_identity(element: etree._Element) -> Payload:
    """Who the resource in ``element`` is and whether it was deleted, without its content.

    Raises MalformedMessage for a uuid that is none.
    """
    own, name = _split(element.tag)
    uuid, key, url, lookup, descriptor, deleted = _identity(element)
    if not uuid and (old := element.findtext(_OLD_UUID)):
        uuid = checked_uuid(old)
    if not deleted and (old := element.findtext(_OLD_DELETED)) is not None:
        deleted = old.strip().lower() in ("", *_TRUE)
    return Payload(name, own, {}, uuid, key, url, lookup, descriptor, deleted)


_split = lru_cache(maxsize=1024)(split)


def _own_text(element: etree._Element) -> str:
    text = element.text if len(element) == 0 else None
    return text if text and not text.isspace() else ""


def _identity(element: etree._Element) -> tuple[str, str, str, str, str, bool]:
    listed: list[tuple[str, str]] = element.items()  # type: ignore[assignment]
    if len(listed) == 1 and listed[0][0] == _UUID and _LOWER_UUID(listed[0][1]):
        return listed[0][1], "", "", "", "", False
    uuid = key = url = lookup = descriptor = ""
    deleted = False
    for name, value in listed:
        meaning = _ATTRIBUTES.get(name)
        if meaning == "uuid":
            uuid = checked_uuid(value) if value.strip() else ""
        elif meaning == "key":
            key = value
        elif meaning == "url":
            url = url or value
        elif meaning == "deleted":
            deleted = value.strip().lower() in _TRUE
        elif meaning == "lookup":
            lookup = value
        elif meaning == "descriptor":
            descriptor = value
    return uuid, key, url, lookup, descriptor, deleted


def _read_field(child: etree._Element, depth: int, namespace: str) -> Field:
    listed: list[tuple[str, str]] = child.items()  # type: ignore[assignment]
    if len(child) == 0:
        if not listed:
            return ""
        if len(listed) == 1 and listed[0][0] == _NIL:
            return None if listed[0][1].strip() in _TRUE else ""
    attributes = dict(listed)
    identified = not _IDENTITY.isdisjoint(attributes)
    if attributes.get(_NIL, "").strip() in _TRUE and not identified:
        return None
    if _DELETE_MISSING in attributes or _looks_like_list(child, attributes):
        return _read_collection(child, attributes, depth, namespace)
    if len(child) or identified:
        return read_payload(child, depth, namespace)
    return child.text or ""


def _looks_like_list(element: etree._Element, attributes: dict[str, str]) -> bool:
    if len(element) == 0 or attributes.keys() & _IDENTITY - {f"{_SDATA}url", f"{_SDATA}uri"}:
        return False
    return len({child.tag for child in element}) == 1 and all(
        len(child) or _IDENTITY & set(child.keys()) for child in element
    )


def _read_collection(element: etree._Element, attributes: dict[str, str], depth: int, namespace: str) -> Collection:
    return Collection(
        items=tuple(read_payload(child, depth - 1, namespace) for child in element),
        delete_missing=attributes.get(_DELETE_MISSING, "").strip().lower() in _TRUE,
        url=attributes.get(f"{_SDATA}url") or attributes.get(f"{_SDATA}uri") or "",
    )


def _repeated(first: Field, second: Field, child: etree._Element) -> Field:
    """Elements repeated without a list around them are kept, all of them, as a list of their name."""
    name = split(child.tag)[1]
    held = first.items if isinstance(first, Collection) and first.url == _UNWRAPPED else (_as_item(name, first),)
    return Collection(items=(*held, _as_item(name, second)), url=_UNWRAPPED)


_UNWRAPPED: Final = "#unwrapped"


def _as_item(name: str, value: Field) -> Payload:
    if isinstance(value, Payload):
        return value
    if isinstance(value, Collection):
        return Payload(name=name, fields={item.name: item for item in value.items})
    return Payload(name=name, text=value or "")


def write_payload(payload: Payload) -> str:
    """The element of ``payload``, its namespace declared as default; prefixes sdata and xsi must be in scope.

    Raises ValueRejected for a field whose name is no XML name.
    """
    return _write_resource(payload, f' xmlns="{escape_attribute(payload.namespace)}"')


def _write_resource(payload: Payload, declared: str) -> str:
    fields = payload.fields
    start = f"<{checked_name(payload.name)}{declared}{_identity_attributes(payload)}"
    if not fields:
        return f"{start}>{escape(payload.text)}</{payload.name}>" if payload.text else f"{start}/>"
    parts = [start, ">"]
    for name, value in fields.items():
        if value.__class__ is str:
            opening, closing = _tags(name)
            parts.append(f"{opening}>{escape(value)}{closing}" if value else f"{opening}/>")
        else:
            parts.append(_write_field(name, value))
    parts.append(f"</{payload.name}>")
    return "".join(parts)


_known_tags: dict[str, tuple[str, str]] = {}


def _tags(name: str) -> tuple[str, str]:
    found = _known_tags.get(name)
    if found is None:
        namespace, local = split(name)
        declared = f' xmlns="{escape_attribute(namespace)}"' if namespace else ""
        found = (f"<{checked_name(local)}{declared}", f"</{local}>")
        if len(_known_tags) < 8192:
            _known_tags[name] = found
    return found


def _write_field(name: str, value: Field) -> str:
    opening, closing = _tags(name)
    if value is None:
        return f'{opening} xsi:nil="true"/>'
    if isinstance(value, Payload):
        return _write_nested(value)
    if isinstance(value, Collection):
        inner = "".join(map(_write_nested, value.items))
        if value.url == _UNWRAPPED:
            return inner
        flag = ' sdata:deleteMissing="true"' if value.delete_missing else ""
        url = f' sdata:url="{escape_attribute(value.url)}"' if value.url else ""
        return f"{opening}{url}{flag}>{inner}{closing}" if inner else f"{opening}{url}{flag}/>"
    return f"{opening}>{escape(value)}{closing}"


def _write_nested(payload: Payload) -> str:
    return _write_resource(payload, f' xmlns="{escape_attribute(payload.namespace)}"' if payload.namespace else "")


def _identity_attributes(payload: Payload) -> str:
    attributes = f' sdata:uuid="{escape_attribute(payload.uuid)}"' if payload.uuid else ""
    if payload.key:
        attributes += f' sdata:key="{escape_attribute(payload.key)}"'
    if payload.url:
        attributes += f' sdata:url="{escape_attribute(payload.url)}"'
    if payload.lookup:
        attributes += f' sdata:lookup="{escape_attribute(payload.lookup)}"'
    if payload.descriptor:
        attributes += f' sdata:descriptor="{escape_attribute(payload.descriptor)}"'
    return attributes + ' sdata:isDeleted="true"' if payload.deleted else attributes
