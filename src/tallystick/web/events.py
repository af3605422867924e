"""Events over HTTP: Server-Sent Events and WebSocket, for the whole site or one resource (docs/notifications.md).

``GET /v1/events`` and ``GET /v1/resources/NAME/events``. All clients are fed by one watcher, and each has a place
of its own in the ledger: nothing is lost when it is slow, or goes away and comes back with ``Last-Event-ID``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol
from urllib.parse import parse_qs, unquote

from tallystick.errors import AccessDenied, TallystickError, UnknownResource
from tallystick.protocols.native.codec.errors import RequestError, form_of
from tallystick.protocols.native.codec.limits import LIMITS, Limits
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.native.requests import ASGIScope, Disconnected, Incoming, Receive, Send, error_reply
from tallystick.site.users import Caller, Role
from tallystick.streams.plain import as_json
from tallystick.streams.resuming import Resync
from tallystick.streams.scopes import StreamScope, scope_for
from tallystick.streams.stream import current_state
from tallystick.web.event_hub import CaughtUp, Frame, Hub, Subscriber

SITE = "/v1/events"
PARAMETERS = ("resource", "state", "beginning", "follow", "where", "content", "resync")
RESOURCES = "/v1/resources/"
KEEP_ALIVE_S = 25.0
"""Seconds after which a silent stream says that it is still there."""
RETRY_MS = 1000
STREAM = "text/event-stream"
_log = logging.getLogger("tallystick.events")


class Receiver(Protocol):
    """Sends frames to one client."""

    async def send(self, frames: Sequence[Frame]) -> None:
        """Send frames."""

    async def alive(self) -> None:
        """Say that the stream is still there."""


class Events:
    """The ASGI application for events of one site."""

    def __init__(self, pool: Pool, limits: Limits = LIMITS) -> None:
        self._pool, self._limits = pool, limits
        self.hub = Hub(pool)

    def stop(self) -> None:
        """The server stops: let every stream end."""
        self.hub.stop()

    def close(self) -> None:
        """Let go of threads. Idempotent."""
        self.hub.close()

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """ASGI; ``state.caller`` says who asks."""
        if scope["type"] == "websocket":
            return await self._websocket(scope, receive, send)
        incoming = Incoming(scope, receive, send, self._limits)
        stream = _ServerSent(incoming)
        try:
            await self._stream(incoming, stream)
        except Disconnected:
            return
        except Exception as error:
            if not isinstance(error, TallystickError):
                _log.exception("unexpected in events")
            if not stream.started:
                await incoming.answer(error_reply(error))
            elif isinstance(error, TallystickError):
                await stream.send([_error_frame(error)])

    async def _stream(self, incoming: Incoming, stream: _ServerSent) -> None:
        if incoming.method != "GET":
            raise RequestError("events take GET only", code="method", status=405, hint="use GET")
        incoming.accepts(STREAM)
        await incoming.body()
        state = incoming.headers.get("last-event-id", "")
        subscriber, follow = await self._subscriber(incoming.scope, incoming.caller, state)
        async with _joined(self.hub, subscriber):
            first = await self.hub.catch_up(subscriber)
            await stream.start()
            gone = asyncio.create_task(_disconnected(incoming.receive))
            gone.add_done_callback(lambda _: subscriber.end())
            try:
                await self._pump(subscriber, stream, follow, first)
                if not gone.done():
                    await incoming.send(b"", more=False)
            finally:
                gone.cancel()

    async def _websocket(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        socket = _Socket(send)
        try:
            subscriber, follow = await self._subscriber(scope, scope["state"]["caller"], "")
            async with _joined(self.hub, subscriber):
                first = await self.hub.catch_up(subscriber)
                gone = asyncio.create_task(_disconnected(receive))
                gone.add_done_callback(lambda _: subscriber.end())
                try:
                    await self._pump(subscriber, socket, follow, first)
                finally:
                    gone.cancel()
            if not gone.done() or gone.cancelled():
                await socket.close(1001 if follow else 1000)
        except TallystickError as error:
            await socket.send([_error_frame(error)])
            await socket.close(1008)

    async def _subscriber(self, scope: ASGIScope, caller: Caller, state: str) -> tuple[Subscriber, bool]:
        """The client that a request asks for, and whether it stays. Raises AccessDenied, RequestError, SchemaError."""
        if not caller.role.allows(Role.READ):
            raise AccessDenied(f"{caller.name} may not read here")
        query = _query(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        names = query.get("resource", [])
        if path.startswith(RESOURCES):
            name, _, rest = path.removeprefix(RESOURCES).rpartition("/")
            if rest != "events" or not name:
                raise RequestError("there is nothing at this address", code="not-found", status=404)
            names = [unquote(name)]
        elif path != SITE:
            raise RequestError("there is nothing at this address", code="not-found", status=404)
        state = state or _one(query, "state")
        resync = _resync(query)
        beginning = _flag(query, "beginning")
        made, state = await asyncio.to_thread(self._begun, names, _one(query, "where"), state, beginning)
        return Subscriber(made, state, _flag(query, "content", True), resync), _flag(query, "follow", True)

    def _begun(self, names: Sequence[str], where: str, state: str, beginning: bool) -> tuple[StreamScope, str]:
        with self._pool.borrowed() as replica:
            ledger = replica.ledger
            for name in names:
                if not any(name in (item.wire, item.definition.name) for item in ledger.resources()):
                    raise UnknownResource(f"there is no resource {name[:200]!r} here")
            scope = scope_for(ledger, names, where)
            if not state and not beginning:
                state = current_state(ledger, scope)
            return scope, state

    async def _pump(self, subscriber: Subscriber, to: Receiver, follow: bool, first: CaughtUp) -> None:
        """Send what comes, until the client is gone or (without ``follow``) everything was sent."""
        caught: CaughtUp | None = first
        while not subscriber.ended:
            if caught is not None:
                subscriber.state, subscriber.seq, subscriber.resync = caught.state, caught.seq, ""
                await to.send([*caught.frames, Frame("state", caught.state, "{}")])
                if not caught.more and not follow:
                    return
                subscriber.behind |= caught.more
                caught = None
            elif subscriber.behind:
                subscriber.behind = False
                caught = await self.hub.catch_up(subscriber)
            elif frames := subscriber.take():
                await to.send(frames)
            else:
                await self._wait(subscriber, to)

    async def _wait(self, subscriber: Subscriber, to: Receiver) -> None:
        """Wait until there is something to send; from time to time say that the stream is still there."""
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                await subscriber.woken.wait()
        except TimeoutError:
            await to.alive()
        subscriber.woken.clear()


class _joined:
    """Takes a client in for as long as the ``async with`` lasts."""

    def __init__(self, hub: Hub, subscriber: Subscriber) -> None:
        self._hub, self._subscriber = hub, subscriber

    async def __aenter__(self) -> None:
        await self._hub.join(self._subscriber)
        self._subscriber.behind = False

    async def __aexit__(self, *exception: object) -> None:
        self._hub.leave(self._subscriber)


class _ServerSent:
    """Frames as Server-Sent Events."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self.started = False

    async def start(self) -> None:
        """Send the head."""
        self.started = True
        headers = [(b"content-type", STREAM.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        await self._incoming.start(200, headers)
        await self._incoming.send(f"retry: {RETRY_MS}\n\n".encode(), more=True)

    async def send(self, frames: Sequence[Frame]) -> None:
        text = "".join(f"event: {event}\nid: {state}\ndata: {data}\n\n" for event, state, data in frames)
        await self._incoming.send(text.encode(), more=True)

    async def alive(self) -> None:
        await self._incoming.send(b":\n\n", more=True)


class _Socket:
    """Frames as messages of a WebSocket: objects with ``event``, ``state``, and for changes the rest."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def send(self, frames: Sequence[Frame]) -> None:
        for event, state, data in frames:
            rest = data[1:] if data != "{}" else f'"event":"{event}"}}'
            await self._send({"type": "websocket.send", "text": f'{{"state":"{state}",{rest}'})

    async def alive(self) -> None:
        """WebSocket servers ping by themselves."""

    async def close(self, code: int) -> None:
        """End the connection."""
        await self._send({"type": "websocket.close", "code": code})


def _error_frame(error: TallystickError) -> Frame:
    form = form_of(error)
    told = {"code": form.code, "message": form.message, "hint": form.hint, "retry": form.retry}
    return Frame("error", "", as_json({"event": "error", **told}))


async def _disconnected(receive: Receive) -> None:
    """Returns when the client is gone; what it sends meanwhile is not looked at."""
    with suppress(asyncio.CancelledError):
        while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass


def _query(scope: ASGIScope) -> dict[str, list[str]]:
    try:
        text = scope.get("query_string", b"").decode()
        query = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError as error:
        raise RequestError("the query cannot be read", hint="write it as name=value&name=value") from error
    for name in query:
        if name not in PARAMETERS:  # one that is misspelt would widen what is told to the whole site
            raise RequestError(f"there is no parameter {name[:60]!r}", hint=f"use some of {', '.join(PARAMETERS)}")
    return query


def _one(query: dict[str, list[str]], name: str) -> str:
    return query.get(name, [""])[-1]


def _resync(query: dict[str, list[str]]) -> Resync:
    text = _one(query, "resync")
    if text not in ("", "diff"):
        raise RequestError(f"resync={text[:60]} is unknown", hint="use resync=diff, or leave it out")
    return "diff" if text else ""


def _flag(query: dict[str, list[str]], name: str, default: bool = False) -> bool:
    text = _one(query, name)
    if text not in ("", "true", "false"):
        raise RequestError(f"{name}={text[:60]} is neither true nor false")
    return text == "true" if text else default
