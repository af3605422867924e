"""A site served by the native protocol: an ASGI application for everything under ``v1/`` (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, Final

from tallystick.core.pages import Page, Tally
from tallystick.errors import AccessDenied, TallystickError
from tallystick.protocols.native.calls import CALLS, WRITING, check_resources
from tallystick.protocols.native.codec import blocks, lines
from tallystick.protocols.native.codec.checks import check, check_apply
from tallystick.protocols.native.codec.compression import compressed
from tallystick.protocols.native.codec.conclusion import read_conclusion
from tallystick.protocols.native.codec.errors import Busy, RequestError, TimedOut
from tallystick.protocols.native.codec.limits import LIMITS, Limits
from tallystick.protocols.native.codec.messages import (
    BLOCKS,
    COMPRESS_FROM,
    JSON,
    LINES,
    MAJOR,
    MSGPACK,
    VERBS,
    SettingsForm,
    Verb,
    decode,
    encode,
    settings_of,
)
from tallystick.protocols.native.codec.pages import decode_page
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.native.requests import ASGIScope, Disconnected, Incoming, Receive, Reply, Send, error_reply
from tallystick.protocols.native.streaming import ChangeStream
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Scope, Selection
from tallystick.sync.uncollected import uncollected
from tallystick.version import VERSION as SOFTWARE

_log = logging.getLogger("tallystick.native")
THREADS: Final = 16
_GET: Final = frozenset(("describe", "changes"))
_OFFERED: Final = (MSGPACK, JSON)
_STREAMED: Final = (BLOCKS, LINES)

Observer = Callable[[str, int, int, int, float], None]
"""Told of every request: verb, status, bytes of bodies received and sent, seconds."""


class NativeProvider:
    """The provider of one site. Requests run in threads, each with a replica of its own."""

    name = "native"
    prefix = f"/v{MAJOR}/"

    def __init__(self, pool: Pool, limits: Limits = LIMITS, observer: Observer | None = None) -> None:
        self.pool, self.limits = pool, limits
        self.streams = 0
        self._observer = observer
        self._threads = ThreadPoolExecutor(THREADS, "tally-native")

    def close(self) -> None:
        """Wait for what runs, and close the site. Idempotent."""
        self._threads.shutdown()
        self.pool.close()

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request. Its path is everything after the prefix; ``state.caller`` says who asks."""
        incoming = Incoming(scope, receive, send, self.limits)
        name = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(self.prefix)
        loop = asyncio.get_running_loop()
        started, status = loop.time(), 500
        try:
            status = await self._answered(name, incoming)
        except Disconnected:
            status = 499
        except Exception as error:
            if not isinstance(error, TallystickError):
                _log.exception("unexpected in %s", name)
            reply = error_reply(error)
            status = reply.status
            await incoming.answer(reply)
        finally:
            if self._observer is not None:
                verb = name if name in VERBS else "unknown"
                self._observer(verb, status, incoming.received, incoming.sent, loop.time() - started)

    async def _answered(self, name: str, incoming: Incoming) -> int:
        verb = _verb(name, incoming)
        if name == "changes":
            return await self._stream(incoming)
        call: Callable[[], Reply]
        if name == "describe":
            await incoming.body()
            media_type = incoming.accepts(*_OFFERED)
            call = lambda: self._describe(incoming, media_type)  # noqa: E731
        elif name == "apply":
            kind, media_type = _checked_type(incoming, _STREAMED), incoming.accepts(*_OFFERED)
            body = await incoming.body()
            call = lambda: self._apply(kind, body, incoming, media_type)  # noqa: E731
        elif name == "conclude":
            kind, media_type = _checked_type(incoming, _STREAMED), incoming.accepts(*_OFFERED)
            body = await incoming.body()
            call = lambda: self._conclude(kind, body, incoming, media_type)  # noqa: E731
        else:
            kind, media_type = _checked_type(incoming, _OFFERED), incoming.accepts(*_OFFERED)
            body = await incoming.body()
            call = lambda: self._message(verb, kind, body, incoming, media_type)  # noqa: E731
        reply = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        await incoming.answer(reply)
        return reply.status

    # Messages, in threads

    def _describe(self, incoming: Incoming, media_type: str) -> Reply:
        with self.pool.borrowed() as replica:
            tag = _tag(replica)
            if tag in incoming.headers.get("if-none-match", ""):
                return Reply(304, media_type, b"", ((b"etag", tag.encode()),))
            described = replica.describe()
        return _reply(described, media_type, incoming, ((b"etag", tag.encode()),), thorough=True)

    def _message(self, verb: Verb, kind: str, body: bytes, incoming: Incoming, media_type: str) -> Reply:
        message = decode(verb.request, body, kind)
        check(message, self.limits)
        with self.pool.borrowed() as replica:
            check_resources(replica, message)
            if verb.name in WRITING:
                with self.pool.writing, uncollected():
                    answer = CALLS[verb.name](replica, message, incoming.caller.role)
            else:
                answer = CALLS[verb.name](replica, message, incoming.caller.role)
        return _reply(answer, media_type, incoming)

    def _apply(self, kind: str, body: bytes, incoming: Incoming, media_type: str) -> Reply:
        with uncollected():
            form, page = self._settings_and_page(kind, body)
            check_apply(form, page, self.limits)
            with self.pool.borrowed() as replica:
                check_resources(replica, form.scope)
                with self.pool.writing:
                    tally: Tally = replica.apply(page, settings_of(form))
        return _reply(tally, media_type, incoming)

    def _conclude(self, kind: str, body: bytes, incoming: Incoming, media_type: str) -> Reply:
        with uncollected():
            asked = read_conclusion(kind, body, self.limits)
            with self.pool.borrowed() as replica:
                check_resources(replica, asked.settings.scope)
                with self.pool.writing:
                    said = replica.conclude(asked.page, asked.closing, settings_of(asked.settings), asked.theirs)
        assert said.meeting is not None
        said.meeting.scope = Scope(())
        return _reply(said, media_type, incoming)

    def _settings_and_page(self, kind: str, body: bytes) -> tuple[SettingsForm, Page]:
        if kind == LINES:
            found: list[Any] = list(lines.read_lines(body, self.limits))
        else:
            found = [self._read_block(kind, raw) for kind, raw in blocks.split(body, self.limits)]
        if len(found) != 2 or not isinstance(found[0], SettingsForm) or not isinstance(found[1], Page):
            raise RequestError("apply takes settings and one page, in this order")
        return found[0], found[1]

    def _read_block(self, kind: bytes, raw: bytes) -> SettingsForm | Page | None:
        if kind == blocks.PAGE:
            return decode_page(raw, self.limits)
        return decode(SettingsForm, raw) if kind == blocks.SETTINGS else None

    # Streams

    async def _stream(self, incoming: Incoming) -> int:
        media_type = incoming.accepts(*_STREAMED)
        if incoming.method == "GET":
            await incoming.body()
            query = incoming.scope.get("query_string", b"").decode("latin-1")
            selection = None
        else:
            kind = _checked_type(incoming, _OFFERED)
            selection, query = decode(Selection, await incoming.body(), kind), ""
            check(selection, self.limits)
        if self.streams >= self.limits.streams:
            raise Busy(f"{self.streams} streams of changes are open")
        self.streams += 1
        stream = ChangeStream(self.pool, selection, query, media_type, self.limits)
        try:
            await self._send_stream(stream, incoming, media_type)
        finally:
            self.streams -= 1
            await asyncio.get_running_loop().run_in_executor(self._threads, stream.close)
        return 200

    async def _send_stream(self, stream: ChangeStream, incoming: Incoming, media_type: str) -> None:
        """Send pieces while the next is made: reading and sending overlap, two pieces are held at most."""
        loop = asyncio.get_running_loop()
        gone = asyncio.ensure_future(incoming.receive())
        piece: bytes | None = await loop.run_in_executor(self._threads, stream.piece)
        ahead = None
        try:
            await incoming.start(200, [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")])
            while piece is not None:
                ahead = loop.run_in_executor(self._threads, stream.piece)
                await incoming.send(piece, more=True)
                piece, ahead = await ahead, None
                if gone.done():
                    raise Disconnected
            await incoming.send(b"", more=False)
        except TimedOut:
            raise Disconnected from None
        finally:
            gone.cancel()
            if ahead is not None:
                await asyncio.wait([ahead])


def _verb(name: str, incoming: Incoming) -> Verb:
    """The verb that is asked for. Raises RequestError, AccessDenied, AuthenticationRequired."""
    caller = incoming.caller
    verb = VERBS.get(name)
    if verb is None:
        raise RequestError(
            f"there is no verb {name[:60]!r}", code="unknown-verb", status=404, hint=f"verbs: {', '.join(VERBS)}"
        )
    if incoming.method != "POST" and not (incoming.method == "GET" and name in _GET):
        raise RequestError(f"{name} takes no {incoming.method}", code="method", status=405, hint="use POST")
    if not caller.role.allows(verb.role):
        raise AccessDenied(
            f"{name} needs the role {verb.role}, {caller.name or 'this user'} has {caller.role}",
            hint="ask an administrator of the site for the role",
        )
    return verb


def _checked_type(incoming: Incoming, taken: tuple[str, ...]) -> str:
    if incoming.content_type not in taken:
        raise RequestError(
            f"the media type {incoming.content_type[:100]!r} is not taken here",
            code="media-type",
            status=415,
            hint=f"send one of {', '.join(taken)}",
        )
    return incoming.content_type


def _reply(
    message: Any,
    media_type: str,
    incoming: Incoming,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    thorough: bool = False,
) -> Reply:
    body = encode(message, media_type)
    if media_type == MSGPACK and len(body) >= COMPRESS_FROM and "zstd" in incoming.headers.get("accept-encoding", ""):
        frame = compressed(body, incoming.limits, thorough)
        if frame is not None:
            return Reply(200, media_type, frame, ((b"content-encoding", b"zstd"), *headers))
    return Reply(200, media_type, body, headers)


def _tag(replica: LocalReplica) -> str:
    """What changes whenever the answer to describe does."""
    ledger = replica.ledger
    said = [ledger.origin, ledger.meta("catalog"), ledger.engine.structure(), SOFTWARE]
    return '"' + sha256(encode(said)).hexdigest()[:16] + '"'
