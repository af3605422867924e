"""Mail as it travels (RFC 5322, MIME) and as the object model keeps it. Pure.

A message that came from outside is kept as it is, byte for byte, and read when somebody looks inside; what lists and
searches need (subject, people, times) is taken out once, on arrival.
"""

from __future__ import annotations

import email.policy
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any, NamedTuple

_POLICY = email.policy.default.clone(utf8=False, max_line_length=998)
_LENIENT = email.policy.compat32
_PEOPLE = ("from", "sender", "to", "cc", "bcc", "reply-to")


class Address(NamedTuple):
    """A person or mailbox."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email


class Attached(NamedTuple):
    """An attachment of a message: number in it, file name, MIME type, content id, whether shown inside, content."""

    number: int
    name: str
    mimetype: str
    content_id: str
    inline: bool
    data: bytes


def addresses(text: str | Address | Iterable[str | Address] | None) -> list[Address]:
    """People from ``A <a@x>, b@y; c@z``, an address, or several of these."""
    if text is None:
        return []
    if isinstance(text, Address):
        return [text]
    if isinstance(text, str):
        return [Address(name, found) for name, found in getaddresses([text.replace(";", ",")]) if found or name]
    return [found for one in text for found in addresses(one)]


def decoded(header: Any) -> str:
    """A header's text with encoded words read, whatever they hold; broken ones stay as they are."""
    from email.header import decode_header, make_header

    text = " ".join(str(header).split()) if header is not None else ""
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, UnicodeError, MessageError, ValueError):
        return text.encode("utf-8", "replace").decode("utf-8", "replace")


def properties_of(source: bytes) -> dict[str, Any]:
    """The properties that a message in ``source`` gives its item. Never raises: what cannot be read is left out."""
    headers = BytesHeaderParser(policy=_LENIENT).parsebytes(source)
    found: dict[str, Any] = {"subject": decoded(headers.get("Subject"))}
    for name in _PEOPLE:
        people = [
            [decoded(person), address]
            for person, address in getaddresses([str(one) for one in headers.get_all(name, [])])
        ]
        if people:
            found[name.replace("-", "_")] = people
    found["message_id"] = str(headers.get("Message-ID", "")).strip() or None
    found["in_reply_to"] = str(headers.get("In-Reply-To", "")).strip() or None
    found["sent"] = moment_in(headers.get("Date"))
    return {name: value for name, value in found.items() if value is not None}


def moment_in(header: Any) -> int | None:
    """Microseconds since 1970 UTC of a Date header; None if there is none or it cannot be read."""
    try:
        moment = parsedate_to_datetime(str(header))
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1_000_000)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def arrival_of(source: bytes) -> int | None:
    """When a message arrived by its newest Received header, else when it was sent; microseconds since 1970 UTC."""
    headers = BytesHeaderParser(policy=_LENIENT).parsebytes(source)
    received = headers.get_all("Received", [])
    newest = moment_in(str(received[0]).rsplit(";", 1)[-1]) if received else None
    return newest if newest is not None else moment_in(headers.get("Date"))


class Opened:
    """A message, taken apart."""

    def __init__(self, source: bytes) -> None:
        self._message = BytesParser(policy=_LENIENT).parsebytes(source)

    def headers(self) -> list[tuple[str, str]]:
        """Names and decoded values, in order."""
        return [(name, decoded(value)) for name, value in self._message.items()]

    def text(self) -> str:
        """The plain text, empty if it has none."""
        return self._body("text/plain")

    def html(self) -> bytes | None:
        """The HTML text in UTF-8, None if it has none."""
        found = self._body("text/html")
        return found.encode() if found else None

    def _body(self, mimetype: str) -> str:
        for part in self._message.walk():
            if part.get_content_type() == mimetype and not _is_attached(part):
                raw = part.get_payload(decode=True)
                return _unicode(raw, part.get_content_charset()) if isinstance(raw, bytes) else ""
        return ""

    def attachments(self) -> list[Attached]:
        """What is attached, in order; messages inside are attachments too."""
        found: list[Attached] = []
        for part in _parts(self._message):
            if _is_attached(part):
                found.append(_attached(part, len(found)))
        return found


def _parts(message: Any) -> Iterable[Any]:
    """Leaves of a message, not looking into messages inside it."""
    if message.get_content_maintype() == "multipart":
        for part in message.get_payload():
            if not isinstance(part, str):
                yield from _parts(part)
    else:
        yield message


def _is_attached(part: Any) -> bool:
    if part.get_content_maintype() == "multipart":
        return False
    disposition = part.get_content_disposition()
    if disposition == "attachment" or part.get_filename() or part.get_content_type() == "message/rfc822":
        return True
    return bool(part.get_content_maintype() != "text")


def _attached(part: Any, number: int) -> Attached:
    inside = part.get_content_type() == "message/rfc822"
    data = part.get_payload(0).as_bytes() if inside and part.is_multipart() else part.get_payload(decode=True)
    return Attached(
        number,
        decoded(part.get_filename() or ("message.eml" if inside else "")),
        part.get_content_type(),
        str(part.get("Content-ID", "")).strip().strip("<>"),
        part.get_content_disposition() == "inline",
        data if isinstance(data, bytes) else b"",
    )


def _unicode(raw: bytes, charset: str | None) -> str:
    try:
        return raw.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return raw.decode("latin-1")


def compose(properties: Mapping[str, Any], text: str, html: bytes | None, attached: Sequence[Attached]) -> bytes:
    """An item as a message."""
    message = EmailMessage(policy=_POLICY)
    message["Subject"] = _one_line(properties.get("subject", ""))
    for name in _PEOPLE:
        people = properties.get(name.replace("-", "_"))
        if people:
            message[name.title()] = [_header_address(*person) for person in people][: 1 if name == "sender" else None]
    if properties.get("sent") is not None:
        message["Date"] = datetime.fromtimestamp(properties["sent"] / 1_000_000, UTC)
    for name, header in (("message_id", "Message-ID"), ("in_reply_to", "In-Reply-To")):
        if properties.get(name):
            message[header] = _one_line(properties[name])
    message.set_content(text)
    if html is not None:
        message.add_alternative(html.decode("utf-8", "replace"), subtype="html")
    for one in attached:
        _attach(message, one)
    return message.as_bytes()


def _attach(message: EmailMessage, one: Attached) -> None:
    maintype, _, subtype = (one.mimetype or "application/octet-stream").partition("/")
    if maintype in ("text", "message", "multipart") or not subtype:
        maintype, subtype = "application", "octet-stream"
    message.add_attachment(
        one.data, maintype, subtype, filename=one.name or None, cid=f"<{one.content_id}>" if one.content_id else None
    )


def _header_address(name: str, address: str) -> HeaderAddress:
    try:
        return HeaderAddress(_one_line(name), addr_spec=_one_line(address))
    except (MessageError, ValueError, IndexError):
        return HeaderAddress(_one_line(f"{name} {address}".strip()), "unknown", "invalid")


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def with_subject(source: bytes, subject: str) -> bytes:
    """``source`` with another subject, first among the headers; everything else stays byte for byte."""
    lines = source.splitlines(keepends=True)
    newline = "\r\n" if lines and lines[0].endswith(b"\r\n") else "\n"
    fresh = EmailMessage(policy=email.policy.default.clone(linesep=newline))
    fresh["Subject"] = _one_line(subject)
    kept = [fresh.as_bytes().strip() + newline.encode()]
    skipping = False
    for number, line in enumerate(lines):
        if not line.strip(b"\r\n"):
            return b"".join(kept + lines[number:])
        skipping = line.lower().startswith(b"subject:") or (skipping and line[:1] in (b" ", b"\t"))
        if not skipping:
            kept.append(line)
    return b"".join(kept)
