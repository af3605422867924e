"""Versions in the extension attribute that two Tallystick sites exchange (DESIGN.md 4.1; docs/eden.md). Pure.

The attribute names the version of a record and what it has seen. Its content stands in the document, in Eden's form;
what Eden's form cannot carry exactly stands in the attribute. A hash over the whole content tells the receiver whether
it got the record as it was: where it did not, because a table looks different here, the record is one like any other.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from tallystick.core.forms import decode_extra, decode_record
from tallystick.core.pages import FieldForm, Page, Row
from tallystick.core.values import CANONICAL, canonical_any, mapping_hash
from tallystick.protocols.eden.codec.elements import EXTENSION
from tallystick.protocols.eden.site.catalog import Bound
from tallystick.protocols.eden.site.values import EXACT, written
from tallystick.protocols.eden.store import Target
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import aside_of, content_of_row
from tallystick.site.ledger import DELETED, GENESIS, WHOLE
from tallystick.site.schema import Identity

__all__ = ["EXTENSION", "Foreign", "page_of", "read_version", "version_text"]

_FORMAT = 1
_LONGEST = 1 << 20
_encode = msgspec.msgpack.Encoder().encode


class VersionText(msgspec.Struct, array_like=True):
    """What stands in the attribute. ``beside`` are values by wire name that the document cannot carry exactly."""

    format: int
    key: str
    origin: str
    tick: int
    stamp: int
    flags: int
    extra: bytes | None
    hash: bytes
    beside: dict[str, Any]
    whole: bytes | None


_decoder = msgspec.msgpack.Decoder(VersionText)


class Foreign(NamedTuple):
    """A version made elsewhere, ready for a page; ``content`` is None for deletions and for records given whole."""

    key: str
    origin: str
    tick: int
    stamp: int
    flags: int
    extra: bytes | None
    content: Mapping[str, Any] | None


def version_text(bound: Bound, entry: Entry, values: Any, origin: str, whole: bytes | None) -> str | None:
    """The attribute of a record; None for one that has a name at this site only.

    ``whole`` is the record with all its siblings, where it has any.
    """
    if bound.definition.identity is Identity.MAPPED and entry.key.isdigit():
        return None
    beside: dict[str, Any] = {}
    content = {} if values is None else content_of_row(bound.definition, values, aside_of(entry)) or {}
    if any(str(content.get(one.wire, "")).isdigit() for one in bound.pointing if not one.natural):
        return None  # it refers to such a record
    if whole is None and values is not None:
        exact = {one.wire for one in bound.plain if one.field.kind in EXACT and one.field.readable}
        beside = {name: value for name, value in content.items() if name not in exact}
    flags = WHOLE if whole is not None else entry.flags & (DELETED | GENESIS)
    extra = None if whole is not None else _without_aside(entry.extra)
    text = VersionText(_FORMAT, entry.key, origin, entry.tick, entry.stamp, flags, extra, entry.hash, beside, whole)
    return base64.b64encode(_encode(text)).decode()


def _without_aside(raw: bytes | None) -> bytes | None:
    """The extra of an entry without values that travel in ``beside``."""
    if raw is None:
        return None
    extra = decode_extra(raw)
    return raw if not extra.aside else _encode(msgspec.structs.replace(extra, aside={}))


KeyOf = Callable[[Target], str]
"""The key that a record has here by its identifier, whether it is here or not."""


def read_version(bound: Bound, uuid: str, text: str, values: Mapping[str, object], key_of: KeyOf) -> Foreign | None:
    """The version that an attribute states for the record ``uuid`` whose fields are ``values``.

    None for what is damaged, of a later format, of another record, or does not fit the content that came with it; and
    for one that refers to a record by a key which that record does not have here (a row older than tracking).
    """
    try:
        if len(text) > _LONGEST:
            return None
        found = _decoder.decode(base64.b64decode(text, validate=True))
        if found.extra is not None:
            decode_extra(found.extra)
        if found.whole is not None:
            decode_record(found.whole)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return None
    if found.format != _FORMAT or not _is_sound(found) or found.key not in bound.names.keys(uuid):
        return None
    head = (found.key, found.origin, found.tick, found.stamp)
    if not _refers_as_here(bound, values, found, key_of):
        return None
    if found.whole is not None:
        return Foreign(*head, WHOLE, found.whole, None)
    if found.flags & DELETED:
        return Foreign(*head, DELETED, found.extra, None)
    content = _content(bound, values, found.beside)
    if mapping_hash(found.key, content) != found.hash:
        return None
    return Foreign(*head, found.flags & GENESIS, found.extra, content)


def _refers_as_here(bound: Bound, values: Mapping[str, object], found: VersionText, key_of: KeyOf) -> bool:
    """False where a reference of the version means another record here, or none."""
    for link in bound.pointing:
        to = values.get(link.name)
        if isinstance(to, Target) and link.position >= 0:
            key = key_of(to)
            stated = found.beside.get(link.wire, link.value_of(key))  # with siblings only what is shown can be seen
            if stated != link.value_of(key) or (found.whole is not None and key.isdigit()):
                return False
    return True


def _is_sound(found: VersionText) -> bool:
    """True when nothing in it can be what no site makes."""
    plain = all(value is None or isinstance(value, int | float | str | bytes) for value in found.beside.values())
    return plain and bool(found.origin) and found.tick >= 1 and 0 <= found.stamp < 1 << 63 and len(found.key) <= 1024


def _content(bound: Bound, values: Mapping[str, object], beside: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical content that came with a record."""
    content = dict(beside)
    for name, value in values.items():
        link = bound.links.get(name)
        if link is None or link.wire in content or link.position < 0 or isinstance(value, Target):
            continue
        made = written(value, link.site.logical)
        if made is not None:
            content[link.wire] = CANONICAL.get(link.site.logical, canonical_any)(made)
    return content


def page_of(bound: Bound, versions: list[Foreign]) -> Page:
    """The versions as a page, in their order; keys must differ."""
    known = {one.wire: FieldForm(one.wire, one.logical.value, one.detail) for one in bound.definition.fields}
    further = sorted({name for one in versions for name in one.content or () if name not in known})
    forms = [*known.values(), *(FieldForm(name, "any") for name in further)]
    names = [form.name for form in forms]
    origins: dict[str, int] = {}
    rows: list[Row] = []
    for one in versions:
        index = origins.setdefault(one.origin, len(origins))
        head = (one.key, None, index, one.tick, one.stamp, one.flags, one.extra)
        rows.append(head if one.content is None else (*head, *map(one.content.get, names)))
    return Page(bound.tracked.wire, forms, list(origins), rows, "")
