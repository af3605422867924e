"""Digests and sync states on the wire (spec 5.1, 5.3, 6)."""

from __future__ import annotations

from base64 import b64decode, b64encode

import msgspec
from lxml import etree

from tallystick.protocols.sdata.codec.digests import (
    LARGEST_TICK,
    Digest,
    DigestEntry,
    SyncState,
    digest_of,
    endpoint_key,
)
from tallystick.protocols.sdata.codec.documents import Limits, children, expect_root, parse_document, text_of
from tallystick.protocols.sdata.codec.escaping import escape, escape_attribute
from tallystick.protocols.sdata.codec.names import (
    ATOM,
    ENTRY_TYPE,
    FIRST_TICK,
    MISSING_PRIORITY,
    SDATA,
    STRONGEST_PRIORITY,
    SYNC,
    SYNC_DIGEST,
    TALLY,
    WEAKEST_PRIORITY,
)
from tallystick.protocols.sdata.codec.stamps import NO_STAMP, read_stamp
from tallystick.protocols.sdata.errors import MalformedMessage

_DIGEST = f"{{{SYNC}}}digest"
_ENTRY = f"{{{ATOM}}}entry"
_FEED = f"{{{ATOM}}}feed"
_ENDPOINT = f"{{{SYNC}}}endpoint"
_TICK = f"{{{SYNC}}}tick"
_STAMP = f"{{{SYNC}}}stamp"
_USER = f"{{{SYNC}}}user"
_ORIGINS = f"{{{TALLY}}}origins"
_names = msgspec.json.Decoder(dict[str, tuple[str, int]])
_encoder = msgspec.json.Encoder(order="deterministic")


class DigestMessage(msgspec.Struct, frozen=True):
    """What ``GET $syncDigest`` answers: the digest, and the texts of the Atom entry around it."""

    digest: Digest
    title: str = ""
    updated: str = NO_STAMP
    author: str = ""


def read_tick(text: str | None) -> int:
    """A tick; a missing one is 0, for a serializer of old omits zeros (5.1 *Zero trap*).

    Raises MalformedMessage for anything that is not a number from 0 to 2^63 - 1.
    """
    if not text:
        return 0
    try:
        tick = int(text)
    except ValueError:
        tick = -1
    if not 0 <= tick <= LARGEST_TICK or "_" in text:
        raise MalformedMessage(f"{text[:40]!r} is no tick", hint="a tick is a whole number from 0 to 2^63 - 1")
    return tick


def read_digest(element: etree._Element) -> Digest:
    """The digest in a ``sync:digest`` element.

    Raises MalformedMessage for an entry without endpoint, a tick or stamp that is none, or an endpoint with two ticks.
    """
    origin = ""
    entries = []
    for name, child in children(element, SYNC):
        if name == "origin":
            origin = text_of(child)
        elif name == "digestEntry":
            entries.append(_read_digest_entry(child))
    return digest_of(origin, entries)


def _read_digest_entry(element: etree._Element) -> DigestEntry:
    found = {name: text_of(child) for name, child in children(element, SYNC)}
    endpoint = found.get("endpoint", "")
    if not endpoint:
        raise MalformedMessage("a digest entry names no endpoint")
    stamp = found.get("stamp", "")
    return DigestEntry(
        endpoint,
        read_tick(found.get("tick")),
        read_stamp(stamp) if stamp else NO_STAMP,
        _read_priority(found.get("conflictPriority", "")),
    )


def _read_priority(text: str) -> int:
    if not text:
        return MISSING_PRIORITY
    try:
        priority = int(text)
    except ValueError as error:
        raise MalformedMessage(f"{text[:40]!r} is no conflict priority") from error
    return priority if priority >= STRONGEST_PRIORITY else MISSING_PRIORITY


def one_digest(elements: list[etree._Element]) -> Digest | None:
    """The only digest among ``elements``, None when there is none. Raises MalformedMessage for several."""
    if len(elements) > 1:
        raise MalformedMessage("the message has more than one digest")
    return read_digest(elements[0]) if elements else None


def read_digest_message(data: bytes) -> Digest:
    """The digest posted to ``$syncSource`` or got from ``$syncDigest``: inside an entry's payload or beside it (5.3).

    A feed that carries a digest and a bare digest element are read too. Raises MalformedMessage without exactly one.
    """
    root = parse_document(data, Limits(size=16 * 1024 * 1024))
    if expect_root(root, _ENTRY, _FEED, _DIGEST) == _DIGEST:
        return read_digest(root)
    found = [element for element in root.iter(_DIGEST) if element.getparent() is not None]
    digest = one_digest(found)
    if digest is None:
        raise MalformedMessage("the message has no digest")
    return digest._replace(names=read_names(root))


def read_names(root: etree._Element) -> dict[str, tuple[str, int]]:
    """The origins behind endpoints that another Tallystick site tells beside its digest; nothing where none or other
    software's are there."""
    element = root.find(_ORIGINS)
    if element is None:
        return {}
    try:
        return _names.decode(b64decode(element.text or ""))
    except (ValueError, msgspec.MsgspecError):
        return {}


def write_names(digest: Digest, indent: str = " ") -> str:
    """The element that `read_names` reads, with its line end; "" when there is nothing to tell."""
    if not digest.names:
        return ""
    text = b64encode(_encoder.encode(dict(digest.names))).decode()
    return f'{indent}<tally:origins xmlns:tally="{TALLY}">{text}</tally:origins>\n'


def write_digest(digest: Digest, indent: str = " ") -> str:
    """The ``sync:digest`` element and its line end, its first line indented by ``indent``.

    Ticks and priorities are at least 1, priorities at most 9 (5.1). A foreign endpoint of which nothing is held, not
    even tick 0, is left out: a missing tick is read as 0, while 1 would claim a change that is not here.
    """
    own = endpoint_key(digest.origin)
    entries = "".join(
        _write_digest_entry(entry, indent)
        for key, entry in digest.entries.items()
        if entry.tick >= FIRST_TICK or key == own
    )
    origin = f"{indent} <sync:origin>{escape(digest.origin)}</sync:origin>\n"
    return f"{indent}<sync:digest>\n{origin}{entries}{indent}</sync:digest>\n"


def _write_digest_entry(entry: DigestEntry, indent: str) -> str:
    priority = min(max(entry.priority, STRONGEST_PRIORITY), WEAKEST_PRIORITY)
    stamp = f"<sync:stamp>{entry.stamp or EPOCH}</sync:stamp>"
    return (
        f"{indent} <sync:digestEntry><sync:endpoint>{escape(entry.endpoint)}</sync:endpoint>\n"
        f"{indent}  <sync:tick>{max(entry.tick, FIRST_TICK)}</sync:tick>{stamp}"
        f"<sync:conflictPriority>{priority}</sync:conflictPriority></sync:digestEntry>\n"
    )


EPOCH = "1970-01-01T00:00:00Z"
"""What is written for a stamp that nobody told us: the schema demands one."""


def write_digest_message(message: DigestMessage) -> bytes:
    """The Atom entry that ``GET $syncDigest`` answers with (spec 15, message 1)."""
    url = f"{message.digest.origin}/{SYNC_DIGEST}"
    return f"""<?xml version="1.0" encoding="utf-8"?>
<entry xmlns="{ATOM}"
    xmlns:sdata="{SDATA}"
    xmlns:sync="{SYNC}">
 <id>{escape(url)}</id>
 <title>{escape(message.title)}</title>
 <updated>{message.updated or EPOCH}</updated>
 <author><name>{escape(message.author)}</name></author>
 <link rel="self" type="{ENTRY_TYPE}"
    href="{escape_attribute(url)}"/>
 <sdata:payload>
{write_digest(message.digest, "  ")} </sdata:payload>
{write_names(message.digest)}</entry>
""".encode()


def read_state(element: etree._Element) -> SyncState:
    """The sync state in a ``sync:syncState`` element; ``user`` is optional.

    Raises MalformedMessage without endpoint, or for a tick or stamp that is none.
    """
    endpoint = tick = stamp = user = None
    for child in element:
        tag = child.tag
        if tag == _ENDPOINT:
            endpoint = child.text
        elif tag == _TICK:
            tick = child.text
        elif tag == _STAMP:
            stamp = child.text
        elif tag == _USER:
            user = child.text
    if not endpoint:
        raise MalformedMessage("a sync state names no endpoint")
    return SyncState(endpoint.strip(), read_tick(tick), read_stamp(stamp) if stamp else NO_STAMP, user or "")


def write_state(state: SyncState) -> str:
    """The ``sync:syncState`` element of an entry and its line end, laid out as in spec 15."""
    user = f"<sync:user>{escape(state.user)}</sync:user>" if state.user else ""
    return (
        f"  <sync:syncState><sync:endpoint>{escape(state.endpoint)}</sync:endpoint>\n"
        f"   <sync:tick>{state.tick}</sync:tick>"
        f"<sync:stamp>{state.stamp or EPOCH}</sync:stamp>{user}</sync:syncState>\n"
    )
