"""Atom feeds, read as they stream in and written from templates (spec 7, 8, 12)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
from lxml import etree

from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, read_diagnosis, write_diagnosis
from tallystick.protocols.sdata.codec.digest_messages import EPOCH, one_digest, read_names, write_digest, write_names
from tallystick.protocols.sdata.codec.digests import Digest
from tallystick.protocols.sdata.codec.documents import (
    CHUNK,
    DEFAULT_LIMITS,
    Limits,
    check_size,
    expect_root,
    find,
    harmless,
    not_xml,
    parse_document,
    parser_options,
    split,
    text_of,
    trimmed,
)
from tallystick.protocols.sdata.codec.entries import (
    ENTRY,
    NAMESPACES,
    Entry,
    Link,
    read_entry,
    read_status,
    write_entry,
)
from tallystick.protocols.sdata.codec.escaping import escape, escape_attribute
from tallystick.protocols.sdata.codec.names import ATOM, CATEGORIES, FEED_TYPE, HTTP, OPENSEARCH, SDATA, SYNC
from tallystick.protocols.sdata.codec.payloads import checked_uuid
from tallystick.protocols.sdata.errors import MalformedMessage, MessageTooLarge

CATCH_UP: Final = "catchUp"
IMMEDIATE: Final = "immediate"

WHOLE: Final = 4 * 1024 * 1024
"""Messages up to this size are parsed into one tree, a quarter faster; larger ones piece by piece, in flat memory."""

_FEED: Final = f"{{{ATOM}}}feed"


class FeedHead(msgspec.Struct, frozen=True, kw_only=True):
    """A feed without its entries. ``mode`` is CATCH_UP, IMMEDIATE or "" (ordinary and result feeds).

    ``total``, ``start`` (1-based) and ``per_page`` are the opensearch counts, None when they were not sent.
    """

    id: str = ""
    title: str = ""
    updated: str = ""
    author: str = ""
    term: str = ""
    links: tuple[Link, ...] = ()
    total: int | None = None
    start: int | None = None
    per_page: int | None = None
    mode: str = ""
    digest: Digest | None = None
    diagnoses: tuple[Diagnosis, ...] = ()

    def link(self, rel: str) -> str | None:
        """The address of the first link with relation ``rel``; None when there is none."""
        return next((link.href for link in self.links if link.rel == rel), None)

    @property
    def last(self) -> bool:
        """True for the last page of a pass: the only sign is that it has no next link (spec 7)."""
        return self.link("next") is None


class Feed(msgspec.Struct, frozen=True):
    """One page: its head and its entries in order."""

    head: FeedHead
    entries: list[Entry]


class FeedReader:
    """A feed read while it arrives: give it bytes, take entries, close it for the head. Memory stays flat.

    ``bare`` leaves all of payloads but their identity out, for those who only want outcomes or states.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, bare: bool = False) -> None:
        self._limits = limits
        self._bare = bare
        self._size = 0
        self._count = 0
        self._prolog: bytes | None = b""
        self._parser = etree.XMLPullParser(events=("end",), tag=ENTRY, **parser_options())  # type: ignore[arg-type]

    def feed(self, data: bytes) -> list[Entry]:
        """The entries that ``data``, the next piece of the message, completes.

        Raises MalformedMessage or MessageTooLarge; the reader cannot be used after that.
        """
        self._size += len(data)
        check_size(self._size, self._limits)
        if self._prolog is not None:
            held = self._prolog + data
            if not harmless(held):
                self._prolog = held
                return []
            data, self._prolog = trimmed(held), None
        found: list[Entry] = []
        for position in range(0, len(data), CHUNK):
            self._push(data[position : position + CHUNK])
            self._collect(found)
        return found

    def close(self) -> FeedHead:
        """The head of the feed, once all bytes were given; a message that is one entry has an empty head.

        Raises MalformedMessage when the message ended early or is neither feed nor entry.
        """
        try:
            root = self._parser.close()
        except etree.XMLSyntaxError as error:
            raise not_xml(error) from error
        return FeedHead() if expect_root(root, _FEED, ENTRY) == ENTRY else _read_head(root)

    def _push(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except etree.XMLSyntaxError as error:
            raise not_xml(error) from error

    def _collect(self, found: list[Entry]) -> None:
        limits, bare = self._limits, self._bare
        element: etree._Element
        for _, element in self._parser.read_events():  # type: ignore[assignment]
            parent = element.getparent()
            if parent is not None and parent.getparent() is not None:
                continue
            self._count += 1
            if self._count > limits.entries:
                raise MessageTooLarge(f"the message has more than {limits.entries} entries")
            found.append(read_entry(element, limits, bare))
            if parent is not None:
                element.clear()


def read_feed(data: bytes, limits: Limits = DEFAULT_LIMITS, *, bare: bool = False) -> Feed:
    """The feed in ``data``; a message that is one entry is a feed of one (spec 1: the root element decides).

    Raises MalformedMessage or MessageTooLarge; nothing of such a message is to be used.
    """
    if len(data) > WHOLE:
        reader = FeedReader(limits, bare=bare)
        entries = reader.feed(data)
        return Feed(reader.close(), entries)
    root = parse_document(data, limits)
    if expect_root(root, _FEED, ENTRY) == ENTRY:
        return Feed(FeedHead(), [read_entry(root, limits, bare)])
    elements = root.findall(ENTRY)
    if len(elements) > limits.entries:
        raise MessageTooLarge(f"the message has more than {limits.entries} entries")
    return Feed(_read_head(root), [read_entry(element, limits, bare) for element in elements])


class Glance(NamedTuple):
    """What an engine needs of a page that it forwards unread: its head, how many entries, how many of each status."""

    head: FeedHead
    entries: int
    statuses: Counter[int]


def glance(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Glance:
    """A feed looked at, not read: a third of the cost, and next to nothing where it is laid out as we write feeds.

    Raises MalformedMessage or MessageTooLarge.
    """
    if data.startswith(_PROLOG) and len(data) <= limits.size:
        return _glance_own(data, limits)
    root = parse_document(data, limits)
    expect_root(root, _FEED)
    entries = len(root.findall(ENTRY))
    if entries > limits.entries:
        raise MessageTooLarge(f"the message has more than {limits.entries} entries")
    counted = Counter(_all(_STATUSES, root))
    statuses = Counter({int(text): count for text, count in counted.items() if text.strip().isdigit()})
    return Glance(_read_head(root), entries, statuses)


def _glance_own(data: bytes, limits: Limits) -> Glance:
    """A feed that begins as ours do: its entries follow each other, and payloads hold no markup but elements."""
    begin, end = data.find(_ENTRY_START), data.rfind(_ENTRY_END)
    bare = data if begin < 0 or end < begin else data[:begin] + data[end + len(_ENTRY_END) :]
    entries = data.count(_ENTRY_START)
    if entries > limits.entries:
        raise MessageTooLarge(f"the message has more than {limits.entries} entries")
    statuses = Counter({int(text): count for text, count in Counter(_STATUS.findall(data)).items()})
    return Glance(_read_head(parse_document(bare, limits)), entries, statuses)


class ResultsTold(NamedTuple):
    """A page of results that can be kept: its head, how many entries, and the page as a feed in XML."""

    head: FeedHead
    entries: int
    page: bytes


def check_results(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ResultsTold:
    """A page of results looked at before it is kept, at a quarter of what reading it costs.

    Raises MalformedMessage or MessageTooLarge: for what is no XML, an entry without status, a uuid that is none.
    """
    root = parse_document(data, limits)
    if expect_root(root, _FEED, ENTRY) == ENTRY:
        return results_told(Feed(FeedHead(), [read_entry(root, limits, bare=True)]))
    entries = len(root.findall(ENTRY))
    if entries > limits.entries:
        raise MessageTooLarge(f"the message has more than {limits.entries} entries")
    if _WITHOUT_STATUS(root):
        raise MalformedMessage(_NO_STATUS)
    for text in set(_all(_STATUSES, root)):
        read_status(text.strip())
    for uuid in _all(_UUIDS, root):
        if uuid and not uuid.isspace():
            checked_uuid(uuid)
    return ResultsTold(_read_head(root), entries, data)


def results_told(feed: Feed) -> ResultsTold:
    """A page of results that came in another form than a feed in XML. Raises MalformedMessage as `check_results`."""
    if any(entry.status is None for entry in feed.entries):
        raise MalformedMessage(_NO_STATUS)
    return ResultsTold(feed.head, len(feed.entries), write_feed(feed.head, feed.entries))


def _all(path: etree.XPath, root: etree._Element) -> list[str]:
    return path(root)  # type: ignore[return-value]


_NO_STATUS: Final = "an entry of the result feed has no http:httpStatus"
_PROLOG: Final = f'<?xml version="1.0" encoding="utf-8"?>\n<feed {NAMESPACES}>\n <title>'.encode()
_ENTRY_START: Final = b"\n <entry>\n"
_ENTRY_END: Final = b"</entry>"
_STATUS: Final = re.compile(rb"\n  <http:httpStatus>(\d{1,3})</http:httpStatus>")
_PREFIXES: Final = {"atom": ATOM, "http": HTTP, "sdata": SDATA}
_STATUSES: Final = etree.XPath("atom:entry/http:httpStatus/text()", namespaces=_PREFIXES, smart_strings=False)
_WITHOUT_STATUS: Final = etree.XPath("boolean(atom:entry[not(http:httpStatus)])", namespaces=_PREFIXES)
_UUIDS: Final = etree.XPath("atom:entry/sdata:payload/*/@sdata:uuid", namespaces=_PREFIXES, smart_strings=False)
_AROUND: Final = etree.XPath("*[not(self::atom:entry)]", namespaces=_PREFIXES)


def _read_head(root: etree._Element) -> FeedHead:
    found: dict[str, object] = {}
    links, diagnoses = [], []
    around: list[etree._Element] = _AROUND(root)  # type: ignore[assignment]
    for child in around:
        namespace, name = split(child.tag)
        if namespace == ATOM and name in ("id", "title", "updated"):
            found[name] = text_of(child)
        elif namespace == ATOM and name == "author":
            found["author"] = text_of(find(child, "name", ATOM))
        elif namespace == ATOM and name == "category" and child.get("scheme") == CATEGORIES:
            found["term"] = child.get("term", "")
        elif namespace == ATOM and name == "link":
            links.append(Link(child.get("rel", "alternate").lower(), child.get("href", ""), child.get("type", "")))
        elif namespace == OPENSEARCH and name in _COUNTS:
            found[_COUNTS[name]] = _read_count(text_of(child))
        elif name == "syncMode" and namespace in (SYNC, SDATA):
            found["mode"] = _read_mode(text_of(child))
        elif namespace == SDATA and name == "diagnosis":
            diagnoses.append(read_diagnosis(child))
    digest = one_digest([*root.findall(_DIGEST), *root.findall(f"{_PAYLOAD}/{_DIGEST}")])
    if digest is not None:
        digest = digest._replace(names=read_names(root))
    return FeedHead(links=tuple(links), diagnoses=tuple(diagnoses), digest=digest, **found)  # type: ignore[arg-type]


_COUNTS: Final = {"totalResults": "total", "startIndex": "start", "itemsPerPage": "per_page"}
_DIGEST: Final = f"{{{SYNC}}}digest"
_PAYLOAD: Final = f"{{{SDATA}}}payload"


def _read_count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _read_mode(text: str) -> str:
    for mode in (CATCH_UP, IMMEDIATE):
        if text.lower() == mode.lower():
            return mode
    raise MalformedMessage(f"{text[:40]!r} is no syncMode", hint="it is catchUp or immediate")


def write_feed(head: FeedHead, entries: Iterable[Entry]) -> bytes:
    """The feed as one message (``application/atom+xml; type=feed``), laid out as in spec 15."""
    return "".join(_pieces(head, entries)).encode()


def stream_feed(head: FeedHead, entries: Iterable[Entry]) -> Iterator[bytes]:
    """The feed piece by piece, for a response that shall not be held in memory as a whole."""
    held: list[str] = []
    for number, piece in enumerate(_pieces(head, entries)):
        held.append(piece)
        if number % 100 == 99:
            yield "".join(held).encode()
            held.clear()
    yield "".join(held).encode()


def _pieces(head: FeedHead, entries: Iterable[Entry]) -> Iterator[str]:
    yield _write_head(head)
    yield from map(write_entry, entries)
    yield "</feed>\n"


def _write_head(head: FeedHead) -> str:
    parts = [
        f'<?xml version="1.0" encoding="utf-8"?>\n<feed {NAMESPACES}>\n',
        f" <title>{escape(head.title)}</title>\n <id>{escape(head.id)}</id>\n",
        f" <updated>{head.updated or EPOCH}</updated>\n",
        f" <author><name>{escape(head.author)}</name></author>\n" if head.author else "",
        f' <category scheme="{CATEGORIES}" term="{escape_attribute(head.term)}"/>\n' if head.term else "",
    ]
    parts += [
        f' <link rel="{escape_attribute(link.rel)}" type="{escape_attribute(link.type or FEED_TYPE)}"\n'
        f'    href="{escape_attribute(link.href)}"/>\n'
        for link in head.links
    ]
    if head.total is not None:
        parts.append(
            f" <opensearch:totalResults>{head.total}</opensearch:totalResults>"
            f"<opensearch:startIndex>{head.start or 1}</opensearch:startIndex>\n"
            f" <opensearch:itemsPerPage>{head.per_page or 0}</opensearch:itemsPerPage>\n"
        )
    if head.mode:
        parts.append(f" <sync:syncMode>{head.mode}</sync:syncMode>\n")
    if head.digest is not None:
        parts += [write_digest(head.digest), write_names(head.digest)]
    parts += [f" {write_diagnosis(found)}\n" for found in head.diagnoses]
    return "".join(parts)
