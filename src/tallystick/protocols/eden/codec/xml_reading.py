"""S3XML read as it arrives (spec: sections 6.1 and 6.5).

Document type declarations are refused before the parser sees them, the network and external files are never
touched, and size, nesting and the number of elements of one record are bounded. What was read is dropped from the
parser at once, so memory holds the records that the caller keeps and no tree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from lxml import etree

from tallystick.protocols.eden.codec.elements import DEFAULT_LIMITS, Data, Document, Limits, Reference, Resource
from tallystick.protocols.eden.errors import DoctypeRefused, DocumentError, DocumentTooDeep, DocumentTooLarge

_PROLOG_BYTES = 64 * 1024
_SLICE = 64 * 1024
_PROLOG = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_ENCODING = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._\-]+)[\"']")
_ENCODINGS = re.compile(rb"utf-?8|utf-?16(?:le|be)?|us-ascii|ascii|iso-8859-\d+|latin-?1|windows-125\d", re.IGNORECASE)
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_INFORMATIVE = ("id", "lat", "lon")
_Element = Any
"""The stubs of lxml do not know what its elements can do."""
_plain_data: Callable[[tuple[str | None, ...]], Data] = partial(tuple.__new__, Data)
"""A ``Data`` of six values, made without the call that gives each its default."""


class XmlReader:
    """Feeds on chunks of bytes, gives top-level records as soon as each is complete.

    ``attributes`` are those of the root; complete once a record was given or ``close`` returned.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.attributes: dict[str, str] = {}
        self._limits = limits
        self._bytes = 0
        self._prolog: bytes | None = b""
        self._started = False
        self._names: dict[str, str] = {}
        """Names of fields, each once in memory."""
        self._parser = etree.XMLPullParser(
            events=("end",),
            tag="resource",
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )

    def feed(self, chunk: bytes) -> list[Resource]:
        """The top-level records that ``chunk`` completes.

        Raises DocumentError for what is no XML, DoctypeRefused, DocumentTooLarge and DocumentTooDeep; the document
        is then lost as a whole, records given before included.
        """
        self._bytes += len(chunk)
        if self._bytes > self._limits.document_bytes:
            raise DocumentTooLarge(f"the document is larger than {self._limits.document_bytes} bytes")
        if self._prolog is not None:
            chunk = self._read_prolog(self._prolog + chunk)
        return self._parsed(chunk)

    def close(self) -> list[Resource]:
        """The records of a document too short to have been read before its end. Raises like ``feed``."""
        rest = [] if self._prolog is None else self._force_prolog()
        try:
            root = self._parser.close()
        except etree.XMLSyntaxError as error:
            raise _document_error(error) from None
        self._start(root)
        return rest

    def _read_prolog(self, seen: bytes) -> bytes:
        """``seen`` once the prolog in it is whole and clean, else nothing yet."""
        if not refuse_prolog(seen):
            if len(seen) > _PROLOG_BYTES:
                raise DocumentError("XML Parse error: no start tag found")
            self._prolog = seen
            return b""
        self._prolog = None
        return seen

    def _force_prolog(self) -> list[Resource]:
        seen, self._prolog = self._prolog or b"", None
        if not seen.strip():
            raise DocumentError("XML Parse error: Document is empty")
        return self._parsed(seen)

    def _parsed(self, chunk: bytes) -> list[Resource]:
        """What a chunk completes, parsed in slices: the parser refuses more than some megabytes at once."""
        found: list[Resource] = []
        for start in range(0, len(chunk), _SLICE):
            try:
                self._parser.feed(chunk[start : start + _SLICE])
            except etree.XMLSyntaxError as error:
                raise _document_error(error) from None
            found.extend(self._take())
        return found

    def _start(self, root: _Element) -> None:
        if self._started:
            return
        self._started = True
        if root.getroottree().docinfo.doctype:
            raise DoctypeRefused("the document has a document type declaration")
        self.attributes.update((str(name), str(value)) for name, value in root.items())

    def _take(self) -> Iterator[Resource]:
        limits = self._limits
        completed: Any = self._parser.read_events()
        for _, element in completed:
            parent = element.getparent()
            if parent is None or parent.getparent() is not None:
                continue
            self._start(parent)
            yield _resource(element, limits.nesting, limits.elements, self._names)
            element.clear(keep_tail=True)
            while element.getprevious() is not None:
                del parent[0]


def read_xml(chunks: bytes | Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> Document:
    """A whole S3XML document. Raises what ``XmlReader.feed`` raises."""
    reader = XmlReader(limits)
    resources: list[Resource] = []
    for chunk in (chunks,) if isinstance(chunks, bytes) else chunks:
        resources.extend(reader.feed(chunk))
    resources.extend(reader.close())
    return Document(reader.attributes, resources)


def refuse_prolog(seen: bytes) -> bool:
    """True when ``seen`` reaches past a clean prolog to the root's start tag, False when more bytes are needed.

    Raises DoctypeRefused for a document type declaration, DocumentError for an encoding that could hide one. Shared by
    everything here that hands foreign bytes to an XML parser.
    """
    plain = seen.replace(b"\0", b"")
    for mark in _MARKS:
        plain = plain.removeprefix(mark)
    declared = _ENCODING.match(plain)
    if declared and not _ENCODINGS.fullmatch(declared.group(1)):
        raise DocumentError(f"XML Parse error: encoding {declared.group(1).decode('ascii')} is not accepted")
    match = _PROLOG.match(plain)
    rest = plain[match.end() :] if match else plain
    if rest.startswith(b"<!DOCTYPE"):
        raise DoctypeRefused("the document has a document type declaration")
    if len(rest) < len(b"<!DOCTYPE") or rest.startswith((b"<?", b"<!--")):
        return False
    if not rest.startswith(b"<"):
        raise DocumentError("XML Parse error: Start tag expected, '<' not found")
    return True


def _document_error(error: Any) -> Exception:
    message = str(error.msg or "no XML").strip()
    if "xcessive depth" in message:
        return DocumentTooDeep(f"XML Parse error: {message}")
    if error.code == etree.ErrorTypes.ERR_RESOURCE_LIMIT:
        return DocumentTooLarge(f"XML Parse error: {message}")
    return DocumentError(f"XML Parse error: {message}")


def _resource(element: _Element, nesting: int, elements: int, names: dict[str, str]) -> Resource:
    if nesting <= 0:
        raise DocumentTooDeep("records are nested too deep in records")
    if len(element) > elements:
        raise DocumentTooLarge(f"one record has {len(element)} elements, {elements} are accepted")
    one = names.setdefault
    attributes: dict[str, str] = {one(name, name): value for name, value in element.items()}
    resource = Resource(
        attributes.pop("name", ""),
        attributes,
        alias=attributes.pop("alias", None) if "alias" in attributes else None,
        error=attributes.pop("error", None) if "error" in attributes else None,
    )
    put = resource.data.append
    for child in element:
        tag = child.tag
        if tag == "data":
            items = child.items()
            if len(items) == 2 and items[0][0] == "field" and items[1][0] == "value":  # as nearly all of them are
                (_, name), (_, value) = items
                put(_plain_data((one(name, name), value, child.text, None, None, None)))
            elif len(items) == 1 and items[0][0] == "field":
                name = items[0][1]
                put(_plain_data((one(name, name), None, child.text, None, None, None)))
            else:
                put(_data(dict(items), child.text))
        elif tag == "reference":
            resource.references.append(_reference(child, nesting, elements, names))
        elif tag == "resource":
            resource.components.append(_resource(child, nesting - 1, elements, names))
    return resource


def _data(given: dict[str, str], text: str | None) -> Data:
    get = given.get
    return Data(get("field", ""), get("value"), text, get("url"), get("filename"), get("error"))


def _reference(element: _Element, nesting: int, elements: int, names: dict[str, str]) -> Reference:
    given = dict(element.items())
    get = given.get
    uuids, many = identifiers(get("uuid"))
    tuids, many_tuids = identifiers(get("tuid")) if "tuid" in given else ((), False)
    inline = next((child for child in element if child.tag == "resource"), None) if len(element) else None
    return Reference(
        get("field", ""),
        get("resource", ""),
        uuids,
        tuids,
        many or many_tuids,
        element.text,
        tuple([(name, given[name]) for name in _INFORMATIVE if name in given]),
        None if inline is None else _resource(inline, nesting - 1, elements, names),
        get("error"),
    )


def identifiers(text: str | None) -> tuple[tuple[str, ...], bool]:
    """The identifiers in a ``uuid`` or ``tuid`` attribute, and whether they were written as a JSON list."""
    if not text:
        return (), False
    if text.startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            return (text,), False
        if isinstance(listed, list):
            return tuple(str(one) for one in listed if one), True
    return (text,), False
