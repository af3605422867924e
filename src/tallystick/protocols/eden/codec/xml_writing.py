"""S3XML written (spec: section 6.1).

Text templates with escaping: several times faster than building trees, and a document of any length is written in
pieces. What XML cannot carry (control characters, lone surrogates) never reaches the wire as text: ``encoding`` puts
such strings into JSON ``value`` attributes, and what still comes here is replaced by U+FFFD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

from tallystick.protocols.eden.codec.elements import Data, Document, Reference, Resource

DECLARATION = "<?xml version='1.0' encoding='utf-8'?>\n"

_PIECE = 64 * 1024
_Put = Callable[[str], None]
_UNFIT = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
UNFIT = re.compile(f"[{_UNFIT}]")
"""Characters that no XML document can carry."""

_IN_TEXT = re.compile(f"[&<>\r{_UNFIT}]")
_IN_ATTRIBUTE = re.compile(f'[&<>"\t\n\r{_UNFIT}]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[0], "\ufffd")


def escape_text(text: str) -> str:
    """``text`` as the content of an element."""
    return _IN_TEXT.sub(_escape, text) if _IN_TEXT.search(text) else text


def escape_attribute(text: str) -> str:
    """``text`` between double quotes."""
    return _IN_ATTRIBUTE.sub(_escape, text) if _IN_ATTRIBUTE.search(text) else text


def write_xml(attributes: Mapping[str, str], resources: Iterable[Resource]) -> Iterator[bytes]:
    """An S3XML document in pieces of about 64 KiB. Takes the attributes of the root and the top-level records."""
    pieces = [DECLARATION, "<s3xml", _attributes(attributes)]
    size, empty = 0, True
    for resource in resources:
        if empty:
            pieces.append(">")
            empty = False
        text = resource_text(resource)
        pieces.append(text)
        size += len(text)
        if size >= _PIECE:
            yield "".join(pieces).encode()
            pieces, size = [], 0
    pieces.append("/>" if empty else "</s3xml>")
    yield "".join(pieces).encode()


def document_bytes(document: Document) -> bytes:
    """A whole document as bytes."""
    return b"".join(write_xml(document.attributes, document.resources))


def _attributes(attributes: Mapping[str, str]) -> str:
    return "".join([f' {name}="{escape_attribute(value)}"' for name, value in attributes.items()])


def resource_text(resource: Resource) -> str:
    """One record with everything in it."""
    pieces: list[str] = []
    _write_resource(resource, pieces.append)
    return "".join(pieces)


def _write_resource(resource: Resource, put: _Put) -> None:
    put(f'<resource name="{escape_attribute(resource.name)}"')
    if resource.alias is not None:
        put(f' alias="{escape_attribute(resource.alias)}"')
    put(_attributes(resource.attributes))
    if resource.error is not None:
        put(f' error="{escape_attribute(resource.error)}"')
    if not (resource.data or resource.references or resource.components):
        put("/>")
        return
    put(">")
    for data in resource.data:
        put(_data_text(data))
    for reference in resource.references:
        _write_reference(reference, put)
    for component in resource.components:
        _write_resource(component, put)
    put("</resource>")


@lru_cache(maxsize=4096)
def _data_head(field: str) -> str:
    return f'<data field="{escape_attribute(field)}"'


def _data_text(data: Data) -> str:
    field, value, text, url, filename, error = data
    head = _data_head(field)
    if value is not None:
        head += f' value="{escape_attribute(value)}"'
    if url is not None:
        head += f' url="{escape_attribute(url)}"'
    if filename is not None:
        head += f' filename="{escape_attribute(filename)}"'
    if error is not None:
        head += f' error="{escape_attribute(error)}"'
    return f"{head}/>" if text is None else f"{head}>{escape_text(text)}</data>"


def _write_reference(reference: Reference, put: _Put) -> None:
    put(f'<reference field="{escape_attribute(reference.field)}" resource="{escape_attribute(reference.table)}"')
    for name, found in (("uuid", reference.uuids), ("tuid", reference.tuids)):
        if found:
            text = json.dumps(found) if reference.many else found[0]
            put(f' {name}="{escape_attribute(text)}"')
    put(_attributes(dict(reference.attributes)))
    if reference.error is not None:
        put(f' error="{escape_attribute(reference.error)}"')
    if reference.text is None and reference.inline is None:
        put("/>")
        return
    put(">")
    if reference.text is not None:
        put(escape_text(reference.text))
    if reference.inline is not None:
        _write_resource(reference.inline, put)
    put("</reference>")
