"""Files by signed URL: plain PUT and GET with Range, no login (spec contexts A.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tallystick.contexts.files import StoredFile, put_file, span_of, stored_file
from tallystick.contexts.http.hosts import Hosts
from tallystick.contexts.http.provider import STREAMS, Observer, answered, raw_path
from tallystick.contexts.http.signing import METHODS, check_signed
from tallystick.contexts.http.streams import Arriving, Leaving
from tallystick.contexts.http.wire import SIGNED
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.native.requests import ASGIScope, Incoming, Receive, Reply, Send

OCTETS: Final = "application/octet-stream"
THREADS: Final = 8
Headers = list[tuple[bytes, bytes]]


class SignedProvider:
    """The provider of one site's files by signed URL."""

    name = "files"
    version = "1"
    prefix = SIGNED

    def __init__(self, pool: Pool, limits: Limits, observer: Observer | None = None) -> None:
        self.hosts = Hosts(pool)
        self.limits = limits
        self._observer = observer
        self._threads = ThreadPoolExecutor(THREADS, "tally-files")
        self._streams = ThreadPoolExecutor(STREAMS, "tally-puts")

    def close(self) -> None:
        """Wait for what runs. Idempotent."""
        self._threads.shutdown()
        self._streams.shutdown()
        self.hosts.close()

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        incoming = Incoming(scope, receive, send, self.limits)
        await answered(incoming, lambda: self._answer(incoming), self._observer)

    async def _answer(self, incoming: Incoming) -> tuple[str, int]:
        method = incoming.method
        if method not in (*METHODS, "HEAD"):
            raise RequestError(f"a file takes no {method}", code="method", status=405, hint="use GET or PUT")
        identifier, key = await self._in_thread(lambda: self._checked(incoming))
        if method == "PUT":
            return "upload", await self._take(incoming, identifier, key)
        return "download", await self._give(incoming, identifier, key)

    def _checked(self, incoming: Incoming) -> tuple[str, str]:
        with self.hosts.borrowed() as host:
            secret = self.hosts.secret(host.ledger)
        path = raw_path(incoming.scope).removeprefix(SIGNED)
        query = incoming.scope.get("query_string", b"").decode("latin-1")
        return check_signed(secret, incoming.method, path, query, self.hosts.clock())

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _in_stream(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._streams, work)

    # Up ---------------------------------------------------------------------------------------------------------------

    async def _take(self, incoming: Incoming, identifier: str, key: str) -> int:
        arriving = Arriving(incoming)

        def keep() -> None:
            with self.hosts.borrowed() as host:
                put_file(host, identifier, key, arriving.pieces(), host.ledger.now() * 1_000_000)

        await arriving.consumed_by(keep, self._in_thread, self._in_stream)
        await incoming.answer(Reply(204, OCTETS, b""))
        return 204

    # Down -------------------------------------------------------------------------------------------------------------

    async def _give(self, incoming: Incoming, identifier: str, key: str) -> int:
        await incoming.body()
        stored: StoredFile = await self._in_thread(lambda: self._found(identifier, key))
        tag = f'"{stored.digest.hex()}"'
        headers: Headers = [
            (b"accept-ranges", b"bytes"),
            (b"etag", tag.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        span = span_of(incoming.headers.get("range", ""), stored.size)
        if span is None:
            refused: Headers = [(b"content-range", f"bytes */{stored.size}".encode()), *headers]
            await incoming.answer(Reply(416, OCTETS, b"", tuple(refused)))
            return 416
        status = 206 if span.partial else 200
        if span.partial:
            headers.append((b"content-range", f"bytes {span.start}-{span.end - 1}/{stored.size}".encode()))
        headers.append((b"content-length", str(span.end - span.start).encode()))
        if incoming.method == "HEAD" or span.start == span.end:
            await incoming.start(status, [(b"content-type", OCTETS.encode()), *headers])
            await incoming.send(b"", more=False)
            return status
        leaving = Leaving(self.hosts, lambda host: (headers, stored.pieces(host, span)), self._in_thread)
        return await leaving.send_to(incoming, OCTETS, status)

    def _found(self, identifier: str, key: str) -> StoredFile:
        with self.hosts.borrowed() as host:
            return stored_file(host, identifier, key)
