"""One request of a client as the served end reads it, and the ways to answer (docs/protocol.md, *Messages*)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from tallystick.errors import AuthenticationRequired, TallystickError
from tallystick.protocols.native.codec.compression import decompressed
from tallystick.protocols.native.codec.errors import RequestError, TimedOut, encode_error, status_of
from tallystick.protocols.native.codec.limits import LIMITS, Limits, exceeded
from tallystick.protocols.native.codec.messages import JSON, MSGPACK, VERSION
from tallystick.site.users import Caller

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ALIASES = {"application/msgpack": MSGPACK, "application/ndjson": "application/x-ndjson", "text/json": JSON}


class Reply(NamedTuple):
    """A whole answer. ``body`` is of ``media_type``; further headers as they are sent."""

    status: int
    media_type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Disconnected(Exception):
    """The client is gone: there is nobody to answer."""


class Incoming:
    """A request: its caller, headers and body, read within the limits."""

    def __init__(self, scope: ASGIScope, receive: Receive, send: Send, limits: Limits = LIMITS) -> None:
        self.scope, self.receive, self._send, self.limits = scope, receive, send, limits
        self.method: str = scope["method"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.received = 0
        self.sent = 0
        self.unread = False
        """A part of the body is still to come and nobody will read it: the connection ends with the answer."""

    @property
    def caller(self) -> Caller:
        """Who asks. Raises AuthenticationRequired when nobody has said: a provider is never open by omission."""
        caller = self.scope.get("state", {}).get("caller")
        if not isinstance(caller, Caller):
            raise AuthenticationRequired("who asks is not known")
        return caller

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        stated = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return _ALIASES.get(stated, stated)

    def accepts(self, *offered: str) -> str:
        """The first of ``offered`` that the client accepts. Raises RequestError (not-acceptable)."""
        wanted = [part.partition(";")[0].strip().lower() for part in self.headers.get("accept", "*/*").split(",")]
        if self.headers.get("accept") is None or "*/*" in wanted:
            exact = [item for item in offered if item in wanted]
            return exact[0] if exact else offered[-1]
        for item in (_ALIASES.get(name, name) for name in wanted):
            if item in offered:
                return item
            if item == "application/*":
                return offered[-1]
        raise RequestError(
            f"nothing that is accepted is offered: {', '.join(wanted)[:200]}",
            code="not-acceptable",
            status=406,
            hint=f"accept one of {', '.join(offered)}",
        )

    async def body(self) -> bytes:
        """The whole body, decoded. Raises LimitExceeded, TimedOut, RequestError, Disconnected."""
        stated = self.headers.get("content-length", "")
        if stated.isdigit() and int(stated) > self.limits.body:
            raise exceeded("a request", int(stated), self.limits.body)
        pieces, size, more = [], 0, True
        while more:
            message = await self._piece()
            piece = message.get("body", b"")
            size += len(piece)
            if size > self.limits.body:
                raise exceeded("a request", size, self.limits.body)
            pieces.append(piece)
            more = message.get("more_body", False)
        self.received = size
        return self._decoded(b"".join(pieces))

    async def _piece(self) -> MutableMapping[str, Any]:
        try:
            message = await asyncio.wait_for(self.receive(), self.limits.stall)
        except TimeoutError as error:
            raise TimedOut(f"nothing came for {self.limits.stall:.0f} seconds") from error
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message

    def _decoded(self, body: bytes) -> bytes:
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding == "zstd":
            return decompressed(body, self.limits)
        if coding != "identity":
            raise RequestError(
                f"the content coding {coding[:60]!r} is not understood", code="media-type", status=415, hint="use zstd"
            )
        return body

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer."""
        version = (b"tallystick-protocol", VERSION.encode())
        await self._send({"type": "http.response.start", "status": status, "headers": [version, *headers]})

    async def send(self, piece: bytes, *, more: bool) -> None:
        """Send a piece of the body. Raises TimedOut when the client does not take it."""
        try:
            message = {"type": "http.response.body", "body": piece, "more_body": more}
            await asyncio.wait_for(self._send(message), self.limits.stall)
        except TimeoutError as error:
            raise TimedOut(f"the client took nothing for {self.limits.stall:.0f} seconds") from error
        self.sent += len(piece)

    async def answer(self, reply: Reply) -> None:
        """Send a whole answer."""
        length = (b"content-length", str(len(reply.body)).encode())
        kind = (b"content-type", reply.media_type.encode())
        headers = [length, *reply.headers] if reply.status == 304 else [kind, length, *reply.headers]
        if self.unread:
            headers.append((b"connection", b"close"))
        await self.start(reply.status, headers)
        await self.send(reply.body, more=False)

    async def refuse(self, error: BaseException) -> None:
        """Send an error. The connection ends where the request was not read to its end."""
        await self.answer(error_reply(error))


def error_reply(error: BaseException) -> Reply:
    """The answer that says what is wrong."""
    status = status_of(error) if isinstance(error, TallystickError) else 500
    headers: list[tuple[bytes, bytes]] = []
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="tallystick", charset="UTF-8"'))
    if isinstance(error, TallystickError) and error.transient:
        headers.append((b"retry-after", b"1"))
    if status in (408, 413, 431) or (status == 401):
        headers.append((b"connection", b"close"))
    return Reply(status, JSON, encode_error(error), tuple(headers))
