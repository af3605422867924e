"""XML read safely and within bounds (DESIGN.md 8), and the few readings of an element that all messages share.

A DOCTYPE is refused before the parser sees it, so there are no entities to expand and nothing to fetch; the parser
itself is told the same. Comments and processing instructions are dropped: no message means anything by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from tallystick.protocols.sdata.errors import (
    DoctypeRefused,
    EncodingRefused,
    MalformedMessage,
    MessageTooLarge,
    UnknownNamespace,
)

CHUNK = 65536
LONGEST_PROLOG = 65536
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Limits(NamedTuple):
    """The bounds of one message: its bytes, the entries of a feed, the nesting of a payload."""

    size: int = 64 * 1024 * 1024
    entries: int = 100_000
    depth: int = 32


DEFAULT_LIMITS = Limits()

_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00<", b"<\x00")
_DECLARATION = re.compile(rb"<\?xml\s[^>]*?\bencoding\s*=\s*[\"']([^\"']*)[\"']")
_SKIPPED = re.compile(rb"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)


def harmless(data: bytes) -> bool:
    """True once ``data``, the first bytes of a message, reach its root element; False while more are needed.

    Raises EncodingRefused for anything that says it is not UTF-8, DoctypeRefused for a DOCTYPE, MalformedMessage for
    a prolog that does not end.
    """
    if data.startswith(_WIDE):
        raise EncodingRefused("the message is UTF-16 or UTF-32")
    if BYTE_ORDER_MARK.startswith(data):
        return False
    position = len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0
    declared = _DECLARATION.search(data[:1024])
    if declared and declared.group(1).lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
        raise EncodingRefused(f"the message declares the encoding {declared.group(1).decode('ascii', 'replace')!r}")
    while match := _SKIPPED.match(data, position):
        position = match.end()
    ahead = data[position : position + 4]
    if not (ahead == b"<!--" or ahead in (b"", b"<", b"<!", b"<!-") or ahead.startswith(b"<?")):
        if ahead.startswith(b"<!"):
            raise DoctypeRefused("the message has a document type declaration")
        return True
    if len(data) > LONGEST_PROLOG:
        raise MalformedMessage(f"the message's root element does not begin within {LONGEST_PROLOG} bytes")
    return False


def trimmed(data: bytes) -> bytes:
    """``data`` without a byte order mark and white space in front (L1 sends the former)."""
    return data.removeprefix(BYTE_ORDER_MARK).lstrip()


def parser_options() -> dict[str, bool]:
    """How every lxml parser here is built: no DTD, no entities, no network, no trees beyond libxml2's own bounds."""
    return {
        "resolve_entities": False,
        "no_network": True,
        "load_dtd": False,
        "dtd_validation": False,
        "huge_tree": False,
        "remove_comments": True,
        "remove_pis": True,
    }


def parse_document(data: bytes, limits: Limits = DEFAULT_LIMITS) -> etree._Element:
    """The root element of a whole message.

    Raises MessageTooLarge, EncodingRefused, DoctypeRefused, or MalformedMessage with the parser's line and reason.
    """
    check_size(len(data), limits)
    harmless(data)
    try:
        root = etree.fromstring(trimmed(data), etree.XMLParser(**parser_options()))  # type: ignore[arg-type]
    except etree.XMLSyntaxError as error:
        raise not_xml(error) from error
    return root


def check_size(size: int, limits: Limits) -> None:
    """Raise MessageTooLarge when a message has more than ``limits.size`` bytes."""
    if size > limits.size:
        raise MessageTooLarge(f"the message has more than {limits.size} bytes")


def not_xml(error: etree.XMLSyntaxError) -> MalformedMessage:
    """The named error for what the parser could not read."""
    return MalformedMessage(f"the message is not well-formed XML: {error.msg}")


def split(tag: str) -> tuple[str, str]:
    """Namespace ("" for none) and local name of a Clark name."""
    if tag[:1] == "{":
        namespace, _, local = tag[1:].partition("}")
        return namespace, local
    return "", tag


def expect_root(root: etree._Element, *tags: str) -> str:
    """The tag of ``root``, which must be one of ``tags`` (Clark names).

    Raises UnknownNamespace when only the namespace differs, MalformedMessage when it is another element.
    """
    if root.tag in tags:
        return root.tag
    namespace, local = split(root.tag)
    if local in {split(tag)[1] for tag in tags}:
        raise UnknownNamespace(f"the root element {local} is in namespace {namespace or 'none'!r}")
    wanted = " or ".join(split(tag)[1] for tag in tags)
    raise MalformedMessage(f"the root element is {local[:60]!r} instead of {wanted}")


def text_of(element: etree._Element | None) -> str:
    """The text of an element without the white space around it; "" when there is none."""
    return "" if element is None or element.text is None else element.text.strip()


def children(element: etree._Element, namespace: str) -> Iterator[tuple[str, etree._Element]]:
    """Local name and element of every child in ``namespace``."""
    prefix = f"{{{namespace}}}"
    for child in element:
        if child.tag.startswith(prefix):
            yield child.tag[len(prefix) :], child


def find(element: etree._Element, local: str, *namespaces: str) -> etree._Element | None:
    """The first child called ``local`` in the first of ``namespaces`` that has one."""
    for namespace in namespaces:
        found = element.find(f"{{{namespace}}}{local}")
        if found is not None:
            return found
    return None
