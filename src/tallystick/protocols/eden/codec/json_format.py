"""S3JSON, the same model in JSON (spec: section 7, *S3JSON*).

``$_<table>`` holds records, ``$k_<field>`` references, ``@name`` attributes, ``$`` text. A field with nothing but text
is a plain string. ``@value`` is a real JSON value; in ``Data.value`` it is kept as JSON text, as S3XML writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from tallystick.protocols.eden.codec.elements import DEFAULT_LIMITS, Data, Document, Limits, Reference, Resource
from tallystick.protocols.eden.errors import DocumentError, DocumentTooDeep, DocumentTooLarge

_RECORDS, _REFERENCE, _ATTRIBUTE = "$_", "$k_", "@"
_NAME = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)
_PIECE = 64 * 1024
_encode = msgspec.json.Encoder().encode

# Reading -------------------------------------------------------------------------------------------------------


def read_json(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Document:
    """A whole S3JSON document. Raises DocumentError, DocumentTooLarge and DocumentTooDeep."""
    if len(body) > limits.document_bytes:
        raise DocumentTooLarge(f"the document is larger than {limits.document_bytes} bytes")
    document = Document()
    for name, found in _decoded(body).items():
        if name.startswith(_RECORDS):
            document.resources.extend(_records(name[2:], found, limits.nesting, limits.elements))
        elif name.startswith(_ATTRIBUTE) and _NAME.fullmatch(name[1:]):
            document.attributes[name[1:]] = _text(found)
    return document


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        tree = msgspec.json.decode(body)
    except RecursionError:
        raise DocumentTooDeep("the document is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DocumentError(f"JSON Parse error: {error}") from None
    if not isinstance(tree, dict):
        raise DocumentError("JSON Parse error: the document is no object")
    return tree


def _records(table: str, found: object, nesting: int, elements: int) -> Iterator[Resource]:
    if nesting <= 0:
        raise DocumentTooDeep("records are nested too deep in records")
    for one in found if isinstance(found, list) else (found,):
        if not isinstance(one, dict):
            raise DocumentError(f"JSON Parse error: {_RECORDS}{table} holds something that is no record")
        if len(one) > elements:
            raise DocumentTooLarge(f"one record has {len(one)} elements, {elements} are accepted")
        yield _resource(table, one, nesting, elements)


def _resource(table: str, members: dict[str, Any], nesting: int, elements: int) -> Resource:
    resource = Resource(table)
    for name, found in members.items():
        if name.startswith(_ATTRIBUTE):
            if _NAME.fullmatch(name[1:]):
                resource.attributes[name[1:]] = _text(found)
        elif name.startswith(_REFERENCE):
            for one in found if isinstance(found, list) else (found,):
                resource.references.append(_reference(name[3:], one, nesting, elements))
        elif name.startswith(_RECORDS):
            resource.components.extend(_records(name[2:], found, nesting - 1, elements))
        else:
            resource.data.append(_data(name, found))
    resource.alias = resource.attributes.pop("alias", None)
    resource.error = resource.attributes.pop("error", None)
    _merge_lists(resource)
    return resource


def _merge_lists(resource: Resource) -> None:
    """A list of reference objects is one multi-reference."""
    if len({reference.field for reference in resource.references}) == len(resource.references):
        return
    merged: dict[str, Reference] = {}
    for one in resource.references:
        seen = merged.get(one.field)
        merged[one.field] = (
            one
            if seen is None
            else seen._replace(uuids=seen.uuids + one.uuids, tuids=seen.tuids + one.tuids, many=True)
        )
    resource.references = list(merged.values())


def _data(field: str, found: object) -> Data:
    if isinstance(found, str):
        return Data(field, None, found)
    if not isinstance(found, dict):
        return Data(field, _raw(found))
    text = found.get("$")
    return Data(
        field,
        _raw(found["@value"]) if "@value" in found else None,
        None if text is None else _text(text),
        *(None if found.get(name) is None else _text(found[name]) for name in ("@url", "@filename", "@error")),
    )


def _reference(field: str, found: object, nesting: int, elements: int) -> Reference:
    if not isinstance(found, dict):
        raise DocumentError(f"JSON Parse error: {_REFERENCE}{field} is no reference")
    inline = next((name for name in found if name.startswith(_RECORDS)), None)
    uuids, tuids = _identifiers(found.get("@uuid")), _identifiers(found.get("@tuid"))
    text, error = found.get("$"), found.get("@error")
    return Reference(
        field,
        _text(found.get("@resource", inline[2:] if inline else "")),
        uuids,
        tuids,
        isinstance(found.get("@uuid"), list) or isinstance(found.get("@tuid"), list),
        None if text is None else _text(text),
        tuple((name, _text(found["@" + name])) for name in ("id", "lat", "lon") if found.get("@" + name) is not None),
        next(_records(inline[2:], found[inline], nesting - 1, elements), None) if inline else None,
        None if error is None else _text(error),
    )


def _identifiers(found: object) -> tuple[str, ...]:
    if not found:
        return ()
    return tuple(_text(one) for one in found) if isinstance(found, list) else (_text(found),)


def _text(found: object) -> str:
    return found if isinstance(found, str) else _raw(found)


def _raw(found: object) -> str:
    try:
        return _encode(found).decode()
    except RecursionError:
        raise DocumentTooDeep("a value is nested too deep") from None


# Writing -------------------------------------------------------------------------------------------------------


def json_value(raw: str) -> object:
    """The JSON value that a raw ``value`` attribute stands for; text that is no JSON stands for itself."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return raw


def write_json(attributes: Mapping[str, str], resources: Iterable[Resource]) -> Iterator[bytes]:
    """An S3JSON document in pieces.

    A table may be named once in an object: records of the first record's table flow, those of other tables
    (dependencies, of which there are few) are kept until the end.
    """
    first: str | None = None
    others: dict[str, list[bytes]] = {}
    pieces, size = [b"{"], 0
    for resource in resources:
        encoded = _encode(resource_object(resource))
        if first is None:
            first = resource.name
            pieces.append(_encode(_RECORDS + first) + b":[" + encoded)
        elif resource.name == first:
            pieces.append(b"," + encoded)
        else:
            others.setdefault(resource.name, []).append(encoded)
            continue
        size += len(encoded)
        if size >= _PIECE:
            yield b"".join(pieces)
            pieces, size = [], 0
    members = [_encode(_RECORDS + table) + b":[" + b",".join(found) + b"]" for table, found in others.items()]
    members += [_encode(_ATTRIBUTE + name) + b":" + _encode(value) for name, value in attributes.items()]
    if first is not None:
        pieces.append(b"]" + (b"," if members else b""))
    yield b"".join(pieces) + b",".join(members) + b"}"


def resource_object(resource: Resource) -> dict[str, Any]:
    """One record as the object that stands for it in S3JSON."""
    members: dict[str, Any] = {data.field: _data_object(data) for data in resource.data}
    for reference in resource.references:
        members[_REFERENCE + reference.field] = _reference_object(reference)
    for component in resource.components:
        members.setdefault(_RECORDS + component.name, []).append(resource_object(component))
    if resource.alias is not None:
        members["@alias"] = resource.alias
    members.update((_ATTRIBUTE + name, value) for name, value in resource.attributes.items())
    if resource.error is not None:
        members["@error"] = resource.error
    return members


def _data_object(data: Data) -> object:
    if data.value is None and data.url is None and data.filename is None and data.error is None:
        return data.text or ""
    members: dict[str, object] = {}
    if data.value is not None:
        members["@value"] = json_value(data.value)
    for name, found in (("@url", data.url), ("@filename", data.filename), ("@error", data.error), ("$", data.text)):
        if found is not None:
            members[name] = found
    return members


def _reference_object(reference: Reference) -> dict[str, Any]:
    members: dict[str, Any] = {"@resource": reference.table}
    members.update((_ATTRIBUTE + name, value) for name, value in reference.attributes)
    for name, found in (("@uuid", reference.uuids), ("@tuid", reference.tuids)):
        if found:
            members[name] = list(found) if reference.many else found[0]
    if reference.inline is not None:
        members[_RECORDS + reference.inline.name] = [resource_object(reference.inline)]
    if reference.error is not None:
        members["@error"] = reference.error
    if reference.text is not None:
        members["$"] = reference.text
    return members
