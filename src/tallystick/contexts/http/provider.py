"""The provider of contexts: everything below ``/contexts/`` (docs/protocol.md, *Contexts*).

Requests run in threads, each with a host of its own; content streams through them piece by piece.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qs, unquote

import msgspec

from tallystick.content.bundles import bundles_in
from tallystick.content.problems import ChunkMissing
from tallystick.contexts.host import ContextInfo
from tallystick.contexts.http import wire
from tallystick.contexts.http.hosts import Hosts
from tallystick.contexts.http.streams import Arriving, Leaving
from tallystick.contexts.http.waiting import Waiting
from tallystick.contexts.local import LocalHost
from tallystick.contexts.problems import ContextNotFound, FileNotHeld, LinkExpired, NameExists, PagesLost, VersionMoved
from tallystick.errors import AccessDenied, TallystickError
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.codec.messages import JSON
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.native.requests import ASGIScope, Disconnected, Incoming, Receive, Reply, Send, error_reply
from tallystick.site.users import Role

_log = logging.getLogger("tallystick.contexts")
THREADS: Final = 16
STREAMS: Final = 32
"""Threads for bodies that are still on their way: those who send slowly keep nobody else from being answered."""
MAX_PART = 10_000
MAX_RUN = 100
_STATUS: Final[tuple[tuple[type[TallystickError], int], ...]] = (
    (ContextNotFound, 404),
    (FileNotHeld, 404),
    (LinkExpired, 403),
    (NameExists, 409),
    (VersionMoved, 409),
    (PagesLost, 409),
    (ChunkMissing, 409),
)

Observer = Callable[[str, int, int, int, float], None]


class Asked(NamedTuple):
    """One request: which context, which verb, the query, the body where it is whole."""

    context: str
    verb: str
    query: dict[str, str]
    body: bytes


class Call(NamedTuple):
    """What answers a verb, and the role it takes."""

    role: Role
    answer: Callable[[LocalHost, Asked], Reply]


class ContextsProvider:
    """The provider of one site's contexts."""

    name = "contexts"
    version = "1"
    prefix = wire.PREFIX

    def __init__(self, pool: Pool, limits: Limits, observer: Observer | None = None) -> None:
        self.hosts = Hosts(pool)
        self.limits = limits
        self._writing = pool.writing
        self._observer = observer
        self._threads = ThreadPoolExecutor(THREADS, "tally-contexts")
        self._streams = ThreadPoolExecutor(STREAMS, "tally-bodies")
        self._waiting = Waiting(pool)

    def stop(self) -> None:
        """The server begins to stop: answer those who wait for changes."""
        self._waiting.stop()

    def close(self) -> None:
        """Wait for what runs. Idempotent."""
        self._waiting.close()
        self._threads.shutdown()
        self._streams.shutdown()
        self.hosts.close()

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        incoming = Incoming(scope, receive, send, self.limits)
        await answered(incoming, lambda: self._answer(incoming), self._observer)

    async def _answer(self, incoming: Incoming) -> tuple[str, int]:
        context, verb = _place(incoming.scope)
        query = query_of(incoming.scope)
        if verb in _RECEIVED and incoming.method == "POST":
            return verb, await self._receive(incoming, Asked(context, verb, query, b""))
        if verb in _STREAMS and incoming.method == _STREAMS[verb].method:
            return verb, await self._send(incoming, Asked(context, verb, query, await incoming.body()))
        call = _CALLS.get((incoming.method, verb if context else "*"))
        if call is None:
            raise RequestError(
                "there is nothing at this address", code="not-found", status=404, hint="see /openapi.json"
            )
        _check_role(incoming, call.role, verb)
        asked = Asked(context, verb, query, await incoming.body())
        reply = await self._replied(call, asked)
        await incoming.answer(reply)
        return verb or "contexts", reply.status

    async def _replied(self, call: Call, asked: Asked) -> Reply:
        if call.answer is not _find or "unlike" not in asked.query:
            return cast(Reply, await self._in_thread(lambda: self._called(call, asked)))
        known, seconds = asked.query["unlike"], _number(asked, "wait", 0)

        async def look() -> ContextInfo:
            return cast(ContextInfo, await self._in_thread(lambda: self._info(asked.context)))

        return _json(await self._waiting.until(look, lambda found: found.version != known, seconds))

    def _info(self, context: str) -> ContextInfo:
        with self.hosts.borrowed() as host:
            return host.find(context)

    def _called(self, call: Call, asked: Asked) -> Reply:
        with self.hosts.borrowed() as host:
            if call.role is Role.READ:
                return call.answer(host, asked)
            with self._writing:
                return call.answer(host, asked)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _in_stream(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._streams, work)

    # Streams ----------------------------------------------------------------------------------------------------------

    async def _receive(self, incoming: Incoming, asked: Asked) -> int:
        """Bundles come in, alone or after a page of changes."""
        _check_role(incoming, Role.WRITE, asked.verb)
        arriving = Arriving(incoming)

        def take() -> Reply:
            with self.hosts.borrowed() as host:
                return _RECEIVED[asked.verb](host, asked, arriving.pieces())

        reply: Reply = await arriving.consumed_by(take, self._in_thread, self._in_stream)
        await incoming.answer(reply)
        return reply.status

    async def _send(self, incoming: Incoming, asked: Asked) -> int:
        """Pages or bundles go out."""
        _check_role(incoming, Role.READ, asked.verb)
        leaving = Leaving(self.hosts, lambda host: _STREAMS[asked.verb].pieces(host, asked), self._in_thread)
        return await leaving.send_to(incoming, _STREAMS[asked.verb].media_type)


async def answered(
    incoming: Incoming, answer: Callable[[], Awaitable[tuple[str, int]]], observer: Observer | None
) -> None:
    """Await an answer; what goes wrong is answered in its place, and everything is counted."""
    loop = asyncio.get_running_loop()
    started, status, verb = loop.time(), 500, "unknown"
    try:
        verb, status = await answer()
    except Disconnected:
        status = 499
    except Exception as error:
        if not isinstance(error, TallystickError):
            _log.exception("unexpected in contexts")
        reply = reply_of(error)
        status = reply.status
        await incoming.answer(reply)
    finally:
        if observer is not None:
            observer(f"contexts {verb}", status, incoming.received, incoming.sent, loop.time() - started)


def reply_of(error: BaseException) -> Reply:
    """The answer that says what is wrong. A body that was not read to its end ends the connection."""
    reply = error_reply(error)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), reply.status)
    return reply._replace(status=status)


def query_of(scope: ASGIScope) -> dict[str, str]:
    """The query of a request, the first value of each name. Raises RequestError for one of too many fields."""
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        asked = parse_qs(text, keep_blank_values=True, max_num_fields=20)
    except ValueError as problem:
        raise RequestError(f"the query cannot be read: {problem}") from None
    return {name: values[0] for name, values in asked.items()}


def raw_path(scope: ASGIScope) -> str:
    """The path as it was sent, without the root path."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1").partition("?")[0].removeprefix(str(scope.get("root_path", "")))


def _place(scope: ASGIScope) -> tuple[str, str]:
    """The context that is named, and the verb."""
    name, _, verb = raw_path(scope).removeprefix(wire.PREFIX).partition("/")
    return unquote(name), verb


def _check_role(incoming: Incoming, role: Role, verb: str) -> None:
    caller = incoming.caller
    if not caller.role.allows(role):
        raise AccessDenied(
            f"{verb or 'this'} needs the role {role}, {caller.name or 'this user'} has {caller.role}",
            hint="ask an administrator of the site for the role",
        )


# What is answered -----------------------------------------------------------------------------------------------------


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, JSON, msgspec.json.encode(value), ((b"cache-control", b"no-store"),))


def _done() -> Reply:
    return Reply(204, JSON, b"")


def _message(decoder: Any, body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
        raise RequestError(f"a message cannot be read: {str(problem)[:300]}") from None


def _number(asked: Asked, name: str, default: int) -> int:
    text = asked.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise RequestError(f"{name} takes a number, not {text[:40]!r}")
    return int(text)


def _listed(host: LocalHost, asked: Asked) -> Reply:
    return _json(host.contexts())


def _create(host: LocalHost, asked: Asked) -> Reply:
    wanted = _message(wire.naming, asked.body)
    return _json(host.create(wanted.name, wanted.quota_bytes, wanted.quota_files))


def _find(host: LocalHost, asked: Asked) -> Reply:
    return _json(host.find(asked.context))


def _rename(host: LocalHost, asked: Asked) -> Reply:
    return _json(host.rename(asked.context, _message(wire.naming, asked.body).name))


def _delete(host: LocalHost, asked: Asked) -> Reply:
    host.delete(asked.context)
    return _done()


def _clear(host: LocalHost, asked: Asked) -> Reply:
    host.clear(asked.context)
    return _done()


def _entries(host: LocalHost, asked: Asked) -> Reply:
    found = host.entries(asked.context, wire.keys_in(asked.body))
    return Reply(200, wire.PAGE_TYPE, wire.frame(list(found.items())))


def _missing(host: LocalHost, asked: Asked) -> Reply:
    return Reply(200, wire.HASHES_TYPE, b"".join(host.missing(asked.context, wire.hashes_in(asked.body))))


def _published(host: LocalHost, asked: Asked) -> Reply:
    return _json(wire.Published(host.published(asked.context, asked.query.get("run", ""))))


def _folder(host: LocalHost, asked: Asked) -> Reply:
    most = min(_number(asked, "most", 50), MAX_PART)
    return _json(host.folder(asked.context, asked.query.get("folder", ""), _number(asked, "start", 0), most))


def _history(host: LocalHost, asked: Asked) -> Reply:
    most = min(_number(asked, "most", 50), MAX_PART)
    kept = host.history(asked.context, asked.query.get("key", ""), most)
    return Reply(200, wire.HISTORY_TYPE, wire.body_of_history(kept))


def _url(host: LocalHost, asked: Asked) -> Reply:
    return _json(host.signed_url(asked.context, asked.query.get("key", ""), "GET"))


def _upload_url(host: LocalHost, asked: Asked) -> Reply:
    return _json(host.signed_url(asked.context, asked.query.get("key", ""), "PUT"))


def _rules(host: LocalHost, asked: Asked) -> Reply:
    return _json(host.rules(asked.context))


def _set_rules(host: LocalHost, asked: Asked) -> Reply:
    host.set_rules(asked.context, asked.query.get("prefix", ""), _message(wire.rule_list, asked.body))
    return _done()


_CALLS: Final[dict[tuple[str, str], Call]] = {
    ("GET", "*"): Call(Role.READ, _listed),
    ("POST", "*"): Call(Role.SYNC, _create),
    ("GET", ""): Call(Role.READ, _find),
    ("PATCH", ""): Call(Role.SYNC, _rename),
    ("DELETE", ""): Call(Role.SYNC, _delete),
    ("POST", "clear"): Call(Role.SYNC, _clear),
    ("POST", "entries"): Call(Role.READ, _entries),
    ("POST", "missing"): Call(Role.READ, _missing),
    ("GET", "publish"): Call(Role.READ, _published),
    ("GET", "files"): Call(Role.READ, _folder),
    ("GET", "history"): Call(Role.READ, _history),
    ("GET", "url"): Call(Role.READ, _url),
    ("POST", "url"): Call(Role.WRITE, _upload_url),
    ("GET", "rules"): Call(Role.READ, _rules),
    ("PUT", "rules"): Call(Role.SYNC, _set_rules),
}


def _chunks(host: LocalHost, asked: Asked, pieces: Iterator[bytes]) -> Reply:
    host.send(asked.context, bundles_in(pieces))
    return _done()


def _stage(host: LocalHost, asked: Asked, pieces: Iterator[bytes]) -> Reply:
    run = asked.query.get("run", "")
    if not run or len(run) > MAX_RUN:
        raise RequestError("stage takes run=NAME and page=NUMBER")
    page = _number(asked, "page", 0)
    changes, rest = wire.page_in(pieces)
    host.stage(asked.context, run, page, changes, bundles_in(rest))
    return _done()


def _publish(host: LocalHost, asked: Asked, pieces: Iterator[bytes]) -> Reply:
    if "expected" not in asked.query:
        raise RequestError("publish takes expected=VERSION")
    run, pages = asked.query.get("run", ""), _number(asked, "pages", 0)
    if len(run) > MAX_RUN:
        raise RequestError(f"the name of a run has up to {MAX_RUN} characters")
    changes, rest = wire.page_in(pieces)
    version = host.publish(asked.context, asked.query["expected"], changes, run, pages, bundles_in(rest))
    return _json(wire.Published(version))


_RECEIVED: Final[dict[str, Callable[[LocalHost, Asked, Iterator[bytes]], Reply]]] = {
    "chunks": _chunks,
    "stage": _stage,
    "publish": _publish,
}
"""What takes a stream: for each verb of POST what is done with its pieces."""


class Stream(NamedTuple):
    """What answers with a stream: headers first, then pieces."""

    method: str
    media_type: str
    pieces: Callable[[LocalHost, Asked], tuple[list[tuple[bytes, bytes]], Iterator[bytes]]]


def _manifest(host: LocalHost, asked: Asked) -> tuple[list[tuple[bytes, bytes]], Iterator[bytes]]:
    found = host.manifest(asked.context, asked.query.get("since", ""), asked.query.get("prefix", ""))
    headers = [(wire.VERSION.encode(), found.version.encode()), (wire.WHOLE.encode(), b"1" if found.whole else b"0")]
    return headers, (wire.frame(page) for page in found.pages if page)


def _fetch(host: LocalHost, asked: Asked) -> tuple[list[tuple[bytes, bytes]], Iterator[bytes]]:
    return [], host.fetch(asked.context, wire.hashes_in(asked.body))


_STREAMS: Final = {
    "manifest": Stream("GET", wire.PAGE_TYPE, _manifest),
    "fetch": Stream("POST", wire.BUNDLES_TYPE, _fetch),
}
