"""Atom entries: a resource with its sync state, what was done to it, or what shall be (spec 7, 8, 12)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import Final

import msgspec
from lxml import etree

from tallystick.protocols.sdata.codec.diagnoses import Diagnosis, read_diagnosis, write_diagnosis
from tallystick.protocols.sdata.codec.digest_messages import EPOCH, read_state, write_state
from tallystick.protocols.sdata.codec.digests import SyncState
from tallystick.protocols.sdata.codec.documents import Limits, expect_root, parse_document, text_of
from tallystick.protocols.sdata.codec.escaping import escape, escape_attribute
from tallystick.protocols.sdata.codec.names import ATOM, ENTRY_TYPE, HTTP, OPENSEARCH, SDATA, SYNC, TALLY, XSI
from tallystick.protocols.sdata.codec.payloads import Payload, checked_uuid, read_identity, read_payload, write_payload
from tallystick.protocols.sdata.errors import MalformedMessage

NAMESPACES: Final = f"""xmlns="{ATOM}"
    xmlns:sdata="{SDATA}"
    xmlns:http="{HTTP}"
    xmlns:sync="{SYNC}"
    xmlns:opensearch="{OPENSEARCH}"
    xmlns:xsi="{XSI}\""""
"""The declarations that a root element needs for everything written here."""


class Link(msgspec.Struct, frozen=True, gc=False):
    """An Atom link: relation, address, media type."""

    rel: str
    href: str
    type: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry. ``method`` is a hint in sync feeds (C3), a command in ``$batch``, what was done in results.

    ``extension`` is the opaque causal knowledge that Tallystick sites exchange; None from foreign software.
    """

    id: str = ""
    title: str = ""
    updated: str = ""
    method: str = ""
    status: int | None = None
    message: str = ""
    location: str = ""
    etag: str = ""
    if_match: str = ""
    state: SyncState | None = None
    diagnoses: tuple[Diagnosis, ...] = ()
    payload: Payload | None = None
    links: tuple[Link, ...] = ()
    extension: bytes | None = None

    @property
    def uuid(self) -> str:
        """The resource's uuid in lower case; "" when it was not sent."""
        return "" if self.payload is None else self.payload.uuid

    @property
    def deleted(self) -> bool:
        """True when the entry says that the resource was deleted, in the current or the oldest form (spec 7)."""
        return self.method == "DELETE" or (self.payload is not None and self.payload.deleted)


ENTRY: Final = f"{{{ATOM}}}entry"
_STATE: Final = f"{{{SYNC}}}syncState"
_PAYLOAD: Final = f"{{{SDATA}}}payload"
_DIAGNOSIS: Final = f"{{{SDATA}}}diagnosis"
_LINK: Final = f"{{{ATOM}}}link"
_OLD_UUID: Final = f"{{{SYNC}}}uuid"
_OLD_DELETED: Final = f"{{{SYNC}}}isDeleted"
_STATUS: Final = f"{{{HTTP}}}httpStatus"
_EXTENSION: Final = f"{{{TALLY}}}record"
_TEXTS: Final = {
    f"{{{ATOM}}}id": "id",
    f"{{{ATOM}}}title": "title",
    f"{{{ATOM}}}updated": "updated",
    f"{{{HTTP}}}httpMethod": "method",
    f"{{{HTTP}}}httpMessage": "message",
    f"{{{HTTP}}}location": "location",
    f"{{{HTTP}}}etag": "etag",
    f"{{{HTTP}}}ifMatch": "if_match",
    f"{{{ATOM}}}content": "",
}


def read_entry(element: etree._Element, limits: Limits, bare: bool = False) -> Entry:
    """The entry in an ``atom:entry`` element; ``bare``: of its payload the identity only.

    Raises MalformedMessage or MessageTooLarge from what it contains.
    """
    found: dict[str, object] = {}
    old: dict[str, object] = {}
    for child in element:
        tag = child.tag
        name = _TEXTS.get(tag)
        if name:
            found[name] = child.text or ""
        elif name == "":
            continue
        elif tag == _STATE:
            found["state"] = read_state(child)
        elif tag == _PAYLOAD:
            found["payload"] = _read_payload(child, limits, old, bare)
        else:
            _read_rare(tag, child, found, old)
    if old:
        _complete(found, old)
    method = found.get("method")
    if method:
        found["method"] = method.strip().upper()  # type: ignore[attr-defined]
    return Entry(**found)  # type: ignore[arg-type]


def _read_rare(tag: str, child: etree._Element, found: dict[str, object], old: dict[str, object]) -> None:
    if tag == _LINK:
        link = Link(child.get("rel", "alternate").lower(), child.get("href", ""), child.get("type", ""))
        found["links"] = (*found.get("links", ()), link)  # type: ignore[misc]
    elif tag == _STATUS:
        found["status"] = read_status(text_of(child))
    elif tag == _DIAGNOSIS:
        found["diagnoses"] = (*found.get("diagnoses", ()), read_diagnosis(child))  # type: ignore[misc]
    elif tag == _EXTENSION:
        found["extension"] = _read_extension(text_of(child))
    else:
        _read_old_form(tag, child, old)


def _read_old_form(tag: str, child: etree._Element, old: dict[str, object]) -> None:
    """``sync:uuid`` and ``sync:isDeleted`` elements of sync schema 1.0, beside or inside the payload."""
    if tag == _OLD_UUID:
        old["uuid"] = checked_uuid(text_of(child))
    elif tag == _OLD_DELETED:
        old["deleted"] = text_of(child).lower() in ("", "true", "1")


def _read_payload(element: etree._Element, limits: Limits, old: dict[str, object], bare: bool) -> Payload | None:
    payload = None
    for child in element:
        if child.tag in (_OLD_UUID, _OLD_DELETED):
            _read_old_form(child.tag, child, old)
        elif payload is None:
            payload = read_identity(child) if bare else read_payload(child, limits.depth)
        else:
            raise MalformedMessage("an entry's payload holds more than one resource")
    if (payload is None or not payload.uuid) and (uuid := element.get(f"{{{SDATA}}}uuid")):
        old["uuid"] = checked_uuid(uuid)
    return payload


def _complete(found: dict[str, object], old: dict[str, object]) -> None:
    payload = found.get("payload") or Payload(name="")
    assert isinstance(payload, Payload)
    uuid = payload.uuid or old.get("uuid", "")
    deleted = payload.deleted or old.get("deleted", False)
    found["payload"] = msgspec.structs.replace(payload, uuid=uuid, deleted=deleted)


def read_status(text: str) -> int:
    """An HTTP status in an entry. Raises MalformedMessage when it is no number from 100 to 599."""
    if text.isascii() and text.isdigit() and 100 <= int(text) <= 599:
        return int(text)
    raise MalformedMessage(f"{text[:40]!r} is no HTTP status")


def _read_extension(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError) as error:
        raise MalformedMessage("an entry's tally:record is no base64") from error


def read_entry_message(data: bytes, limits: Limits) -> Entry:
    """The entry that a message consists of. Raises MalformedMessage when its root is anything else."""
    root = parse_document(data, limits)
    expect_root(root, ENTRY)
    return read_entry(root, limits)


def write_entry(entry: Entry) -> str:
    """The ``atom:entry`` element and its line end, laid out as in spec 15; prefixes of `NAMESPACES` in scope."""
    return f" <entry>\n{_inside(entry)} </entry>\n"


def write_entry_message(entry: Entry) -> bytes:
    """The message that consists of ``entry`` (``application/atom+xml; type=entry``)."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n<entry {NAMESPACES}>\n{_inside(entry)}</entry>\n'.encode()


def _inside(entry: Entry) -> str:
    state, payload, method = entry.state, entry.payload, entry.method
    links = "".join(map(_write_link, entry.links)) if entry.links else ""
    content = f"\n{links}  <content/>" if links else "<content/>"
    done = _write_status(entry) if entry.status is not None else ""
    action = f"<http:httpMethod>{method}</http:httpMethod>" if method else ""
    rest = _write_rest(entry) if entry.etag or entry.location or entry.if_match or entry.diagnoses else ""
    carried = (
        f'  <tally:record xmlns:tally="{TALLY}">{b64encode(entry.extension).decode()}</tally:record>\n'
        if (entry.extension is not None)
        else ""
    )
    return (
        f"  <id>{escape(entry.id)}</id>\n"
        f"  <title>{escape(entry.title)}</title><updated>{entry.updated or EPOCH}</updated>{content}\n"
        f"{f'  {done}{action}{chr(10)}' if done or action else ''}{rest}"
        f"{'' if state is None else write_state(state)}{carried}"
        f"{'' if payload is None else f'  <sdata:payload>{write_payload(payload)}</sdata:payload>{chr(10)}'}"
    )


def _write_status(entry: Entry) -> str:
    return (
        f"<http:httpStatus>{entry.status}</http:httpStatus><http:httpMessage>{escape(entry.message)}</http:httpMessage>"
    )


def _write_rest(entry: Entry) -> str:
    parts = []
    for name, value in (("location", entry.location), ("etag", entry.etag), ("ifMatch", entry.if_match)):
        if value:
            parts.append(f"  <http:{name}>{escape(value)}</http:{name}>\n")
    parts += [f"  {write_diagnosis(found)}\n" for found in entry.diagnoses]
    return "".join(parts)


def _write_link(link: Link) -> str:
    relation, kind = escape_attribute(link.rel), escape_attribute(link.type or ENTRY_TYPE)
    return f'  <link rel="{relation}" type="{kind}"\n    href="{escape_attribute(link.href)}"/>\n'
