"""The active side's requests to one peer (spec: sections 4.1, 5 and 18). No decisions are taken here."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, NamedTuple

from tallystick.errors import PeerError, PeerProtocolError, PeerRefused, PeerUnreachable
from tallystick.protocols.eden.codec.elements import DEFAULT_LIMITS, Document, Limits, Resource
from tallystick.protocols.eden.codec.filters import Filter
from tallystick.protocols.eden.codec.queries import pull_url, register_url, table_url
from tallystick.protocols.eden.codec.replies import (
    PushReply,
    Registration,
    RegistrationReply,
    message_of,
    read_registration_reply,
    read_reply,
    write_registration,
)
from tallystick.protocols.eden.codec.schema import Component, Table, merged, read_create, read_fields
from tallystick.protocols.eden.codec.xml_reading import XmlReader
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.transport import HttpReply, Transport, read_all
from tallystick.version import VERSION

FORM = "application/x-www-form-urlencoded"
"""The Content-Type of everything that a real active Eden sends; live sites fail on ``text/xml`` (section 1.7)."""

_SMALL = 64 * 1024 * 1024
_IN_MEMORY = 8 * 1024 * 1024


class Pulled(NamedTuple):
    """What a pull brought, and the ``Date`` of the answer."""

    document: Document
    date: str | None


@dataclass(slots=True)
class EdenPeer:
    """A site that we ask. ``url`` is its base, such as ``https://host/eden``; credentials are sent with every request.

    Every method raises PeerUnreachable, PeerRefused (401 and 403) or PeerProtocolError with the peer's own message.
    """

    url: str
    transport: Transport
    username: str | None = None
    password: str | None = None
    limits: Limits = DEFAULT_LIMITS

    # Registration ----------------------------------------------------------------------------------------------

    def register(self, registration: Registration) -> RegistrationReply:
        """Registers us; a reply that says failed is returned, not raised."""
        body = write_registration(registration)
        reply = self._send("POST", register_url(self.url), body, {"Content-Type": FORM})
        return read_registration_reply(self._accepted(reply))

    # Records ---------------------------------------------------------------------------------------------------

    def pull(
        self,
        table: str,
        repository: str,
        *,
        msince: datetime | None = None,
        components: bool = True,
        filters: Sequence[Filter] = (),
        state: str | None = None,
    ) -> Pulled:
        """The records of a table. An empty answer is no error (section 5). Raises DocumentError too.

        ``state`` is the one of the last answer, if it had one.
        """
        url = pull_url(self.url, table, repository, msince=msince, components=components, filters=filters, state=state)
        reply = self._send("GET", url)
        return Pulled(self._document(reply), reply.headers.get("date"))

    def probe(self) -> str | None:
        """Why the peer does not answer or does not let us in; None when it does. Nothing is asked for or changed.

        A site leaves a pull of no table in particular to its adapter, which refuses it (section 13): to those it knows.
        """
        try:
            self.get("sync/sync.xml?resource=mixed")
        except PeerProtocolError:
            return None
        except PeerError as error:
            return str(error)
        return None

    def get(self, path: str) -> Document:
        """A document by its path below the base."""
        return self._document(self._send("GET", f"{self.url}/{path}"))

    def push(self, url: str, attributes: Mapping[str, str], resources: Iterable[Resource]) -> PushReply:
        """Sends a document to ``url`` and reads what became of it, whatever its Content-Type.

        The document is written to a file first when it is large: a real site needs its length. Raises UnreadableReply
        for an answer that is no JSON: nothing is then known of the push.
        """
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as written:
            for piece in write_xml(attributes, resources):
                written.write(piece)
            length = written.tell()
            written.seek(0)
            headers = {"Content-Type": FORM, "Content-Length": str(length)}
            reply = self._send("POST", url, written, headers)
            return read_reply(self._accepted(reply))

    # Descriptions ----------------------------------------------------------------------------------------------

    def describe(self, name: str, *, components: bool = True) -> list[Table]:
        """A table as the peer describes it, and the tables of its components.

        From ``fields.xml``, with the details of ``create.xml`` where the peer has it.
        """
        described = read_fields(self._small(f"{table_url(self.url, name)}/fields.xml"))
        query = "meta=true&options=true&references=true"
        try:
            form = read_create(self._small(f"{table_url(self.url, name)}/create.xml?{query}"))
        except (PeerProtocolError, PeerRefused):
            return [described]
        whole = merged(described, form)
        below = [self.describe(one.table, components=False)[0] for one in whole.components] if components else []
        keyed = (
            tuple(_keyed(one, child, name) for one, child in zip(whole.components, below, strict=True)) if below else ()
        )
        found = Table(whole.name, whole.fields, tuple(one for one in keyed if one is not None))
        return [found, *below]

    # HTTP ------------------------------------------------------------------------------------------------------

    def download(self, url: str, limit: int, *, credentials: bool) -> bytes:
        """A file; at most ``limit`` bytes are read. Raises PeerProtocolError for a larger one."""
        headers = self._headers()
        if not credentials:
            headers.pop("Authorization", None)
        reply = self.transport.request("GET", url, headers, None)
        if reply.status != 200:
            self._accepted(reply)
        body = read_all(reply, limit + 1)
        if len(body) > limit:
            raise PeerProtocolError(f"the file at the peer is larger than {limit} bytes")
        return body

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": f"tallystick/{VERSION}"}
        if self.username is not None:
            credentials = f"{self.username}:{self.password or ''}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
        return headers

    def _send(
        self, method: str, url: str, body: bytes | IO[bytes] | None = None, more: Mapping[str, str] | None = None
    ) -> HttpReply:
        return self.transport.request(method, url, {**self._headers(), **(more or {})}, body)

    def _small(self, url: str) -> bytes:
        return self._accepted(self._send("GET", url))

    def _accepted(self, reply: HttpReply) -> bytes:
        """The body of a 200; everything else is a failure, JSON body or not (section 18)."""
        body = read_all(reply, _SMALL)
        if reply.status == 200:
            return body
        raise _refusal(reply.status, body)

    def _document(self, reply: HttpReply) -> Document:
        if reply.status != 200:
            self._accepted(reply)
        reader = XmlReader(self.limits)
        resources: list[Resource] = []
        first = True
        for chunk in reply.body:
            if first and chunk.lstrip()[:1] == b"{":
                raise PeerProtocolError(message_of(chunk) or "the peer answered JSON instead of a document")
            first = False
            resources += reader.feed(chunk)
        resources += reader.close()
        return Document(reader.attributes, resources)


def _refusal(status: int, body: bytes) -> Exception:
    message = message_of(body) or f"HTTP status {status}"
    if status in (401, 403):
        return PeerRefused(f"the peer refused: {message}")
    if status >= 500:
        return PeerUnreachable(f"the peer failed: {message}")
    return PeerProtocolError(f"the peer did not understand: {message}")


def _keyed(component: Component, child: Table, parent: str) -> Component | None:
    """The component with the field that points to its parent; None when the child has none."""
    if component.key:
        return component
    key = next((one.name for one in child.fields.values() if one.target == parent), None)
    return None if key is None else replace(component, key=key)


def reply_failure(reply: PushReply) -> str | None:
    """Why a push failed as a whole; None when it did not."""
    return None if reply.success else reply.message or f"status {reply.status}"
