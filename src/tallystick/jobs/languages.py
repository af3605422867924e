"""Documents: changes of a site as one message, in a peer's language: what ``send`` gives and ``receive`` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import IO, Protocol

import msgspec

from tallystick.core.pages import Page
from tallystick.errors import PeerProtocolError, TallystickError
from tallystick.protocols.bundle.codec.signing import SIGNATURE_BYTES, SigningKey, verify
from tallystick.protocols.native.codec import blocks, lines
from tallystick.protocols.native.codec.checks import check
from tallystick.protocols.native.codec.limits import LIMITS, check_most
from tallystick.protocols.native.codec.pages import decode_page, encode_page
from tallystick.sync.replica import Closing, Meeting

LARGEST = LIMITS.body
"""Bytes of one document."""


@dataclass(slots=True)
class Document:
    """Changes of a site: what it states of itself, pages, and where a reader of all of them has come to.

    Without ``closing`` the document is an extract: it moves no state.
    """

    meeting: Meeting
    pages: list[Page] = field(default_factory=list)
    closing: Closing | None = None

    @property
    def records(self) -> int:
        """How many records it holds."""
        return sum(len(page.rows) for page in self.pages)


class Language(Protocol):
    """How a protocol writes documents. One that ``vouches`` proves who wrote them."""

    vouches: bool

    def write(self, document: Document, *, readable: bool = False) -> bytes:
        """The bytes of a document. Raises LimitExceeded for a record that is too large."""

    def read(self, source: IO[bytes]) -> Document:
        """The document in a file. Raises PeerProtocolError, LimitExceeded; what it says has been checked then."""


class NativeLanguage:
    """A line of JSON (the meeting), then blocks as the native protocol streams them; readable: NDJSON."""

    vouches = False

    def write(self, document: Document, *, readable: bool = False) -> bytes:
        head = msgspec.json.encode(document.meeting) + b"\n"
        if readable:
            found = [lines.page_lines(page) for page in document.pages]
            if document.closing is not None:
                found.append(lines.line("closing", document.closing))
            return head + b"".join(found)
        made = [blocks.block(blocks.PAGE, raw) for page in document.pages for raw in encode_page(page)]
        if document.closing is not None:
            made.append(blocks.block(blocks.CLOSING, msgspec.msgpack.encode(document.closing)))
        return head + b"".join(made)

    def read(self, source: IO[bytes]) -> Document:
        raw = source.read(LARGEST + 1)
        check_most("a document", len(raw), LARGEST)
        line, _, body = raw.partition(b"\n")
        try:
            meeting = msgspec.json.decode(line, type=Meeting)
            check(meeting)
            document = Document(meeting)
            for item in _readable(body) if body.lstrip()[:1] == b"{" else _blocks(body):
                if isinstance(item, Page):
                    document.pages.append(item)
                else:
                    document.closing = item
        except (msgspec.MsgspecError, RecursionError, TallystickError) as error:
            raise PeerProtocolError(f"a document cannot be read: {str(error)[:300]}", hint="") from error
        return document


def _blocks(body: bytes) -> list[Page | Closing]:
    found: list[Page | Closing] = []
    for kind, raw in blocks.split(body):
        if kind == blocks.PAGE:
            found.append(decode_page(raw))
        elif kind == blocks.CLOSING:
            found.append(msgspec.msgpack.decode(raw, type=Closing))
    return found


def _readable(body: bytes) -> list[Page | Closing]:
    return [item for item in lines.read_lines(body) if isinstance(item, Page | Closing)]


@dataclass(slots=True)
class BundleLanguage:
    """A native document and its signature. ``key_of`` gives the confirmed key of a site, or raises."""

    key: SigningKey
    key_of: Callable[[str], bytes]
    native: NativeLanguage = field(default_factory=NativeLanguage)
    vouches: bool = True

    def write(self, document: Document, *, readable: bool = False) -> bytes:
        raw = self.native.write(document, readable=readable)
        return raw + self.key.sign("document", sha256(raw).digest())

    def read(self, source: IO[bytes]) -> Document:
        raw = source.read(LARGEST + 1)
        check_most("a document", len(raw), LARGEST)
        if len(raw) <= SIGNATURE_BYTES:
            raise PeerProtocolError("a document is torn", hint="ask for it again")
        body, signature = raw[:-SIGNATURE_BYTES], raw[-SIGNATURE_BYTES:]
        document = self.native.read(BytesIO(body))
        public = self.key_of(document.meeting.site)
        verify("document", sha256(body).digest(), signature, public, "the document")
        return document
