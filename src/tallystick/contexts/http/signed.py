"""Files by signed URL: plain PUT and GET with Range, no login (spec contexts A.2)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from blake3 import blake3

from tallystick.content.bundles import bundles_of, unpack
from tallystick.content.chunking import Chunk, Cutter
from tallystick.contexts.entries import FILE, FileEntry, packed_parts
from tallystick.contexts.http.hosts import Hosts
from tallystick.contexts.http.provider import Observer, answered, raw_path
from tallystick.contexts.http.signing import METHODS, check_signed
from tallystick.contexts.http.streams import Arriving, Leaving
from tallystick.contexts.http.wire import SIGNED
from tallystick.contexts.local import LocalHost
from tallystick.contexts.problems import FileNotHeld
from tallystick.contexts.publishing import ANY
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import Limits
from tallystick.protocols.native.pool import Pool
from tallystick.protocols.native.requests import ASGIScope, Incoming, Receive, Reply, Send

OCTETS: Final = "application/octet-stream"
THREADS: Final = 8
FETCHED_AT_ONCE: Final = 16
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
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

    def close(self) -> None:
        """Wait for what runs. Idempotent."""
        self._threads.shutdown()
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

    # Up ---------------------------------------------------------------------------------------------------------------

    async def _take(self, incoming: Incoming, identifier: str, key: str) -> int:
        arriving = Arriving(incoming)

        def keep() -> None:
            with self.hosts.borrowed() as host:
                put_file(host, identifier, key, arriving.pieces())

        await arriving.consumed_by(self._in_thread(keep))
        await incoming.answer(Reply(204, OCTETS, b""))
        return 204

    # Down -------------------------------------------------------------------------------------------------------------

    async def _give(self, incoming: Incoming, identifier: str, key: str) -> int:
        await incoming.body()
        entry: FileEntry = await self._in_thread(lambda: self._found(identifier, key))
        tag = f'"{entry.digest.hex()}"'
        headers: Headers = [
            (b"accept-ranges", b"bytes"),
            (b"etag", tag.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        span = span_of(incoming.headers.get("range", ""), entry.size)
        if span is None:
            refused: Headers = [(b"content-range", f"bytes */{entry.size}".encode()), *headers]
            await incoming.answer(Reply(416, OCTETS, b"", tuple(refused)))
            return 416
        status = 206 if span.partial else 200
        if span.partial:
            headers.append((b"content-range", f"bytes {span.start}-{span.end - 1}/{entry.size}".encode()))
        headers.append((b"content-length", str(span.end - span.start).encode()))
        if incoming.method == "HEAD" or span.start == span.end:
            await incoming.start(status, [(b"content-type", OCTETS.encode()), *headers])
            await incoming.send(b"", more=False)
            return status
        leaving = Leaving(self.hosts, lambda host: (headers, pieces_of(host, identifier, entry, span)), self._in_thread)
        return await leaving.send_to(incoming, OCTETS, status)

    def _found(self, identifier: str, key: str) -> FileEntry:
        with self.hosts.borrowed() as host:
            return file_entry(host, identifier, key)


class Span(NamedTuple):
    """Which bytes of a file are asked for: from ``start`` up to ``end``."""

    start: int
    end: int
    partial: bool


def span_of(text: str, size: int) -> Span | None:
    """The bytes that a Range header asks for, all without one; None when there are none such (RFC 9110).

    Anything but one range of bytes is ignored, as the standard lets a server do.
    """
    found = _RANGE.fullmatch(text.strip()) if text else None
    if found is None or not (found[1] or found[2]):
        return Span(0, size, False)
    if not found[1]:
        length = int(found[2])
        return Span(max(0, size - length), size, True) if length and size else None
    start, end = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
    return Span(start, end, True) if start < end else None


def file_entry(host: LocalHost, identifier: str, key: str) -> FileEntry:
    """The entry of a file. Raises FileNotHeld, also for links and directories."""
    entry = host.entries(identifier, [key]).get(key)
    if entry is None or entry.kind != FILE:
        raise FileNotHeld(f"[FileNotFound] the context holds no file {key!r}")
    return entry


def put_file(host: LocalHost, identifier: str, key: str, pieces: Iterable[bytes], mode: int = 0o644) -> str:
    """Store one file from a stream of its content; gives the new version. Whole or not at all."""
    hasher = blake3()
    parts: list[tuple[bytes, int]] = []

    def cut() -> Iterator[Chunk]:
        cutter = Cutter()
        for piece in pieces:
            hasher.update(piece)
            yield from cutter.feed(piece)
        yield from cutter.finish()

    def noted() -> Iterator[Chunk]:
        for chunk in cut():
            parts.append((chunk.hash, len(chunk.data)))
            yield chunk

    host.send(identifier, bundles_of(noted()))
    size = sum(length for _, length in parts)
    entry = FileEntry(FILE, mode, size, host.ledger.now() * 1_000_000, hasher.digest(), packed_parts(parts))
    return host.publish(identifier, ANY, [(key, entry)])


def pieces_of(host: LocalHost, identifier: str, entry: FileEntry, span: Span) -> Iterator[bytes]:
    """The bytes of a file from one position to another, chunk by chunk."""
    wanted: list[tuple[bytes, int, int]] = []
    position = 0
    for name, length in entry.parts:
        start, end = max(span.start - position, 0), min(span.end - position, length)
        if start < end:
            wanted.append((name, start, end))
        position += length
    for at in range(0, len(wanted), FETCHED_AT_ONCE):
        some = wanted[at : at + FETCHED_AT_ONCE]
        held: dict[bytes, bytes] = {}
        for bundle in host.fetch(identifier, [name for name, _, _ in some]):
            held.update((chunk.hash, chunk.data) for chunk in unpack(bundle))
        yield from (held[name][start:end] for name, start, end in some)
