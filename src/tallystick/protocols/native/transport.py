"""HTTP for clients: a port of two methods, and the one implementation, on ``http.client``.

Chosen by measurement (benchmarks/transport.py): 0.2 ms a request on a kept connection where urllib3 takes 0.3, 1.2
times its throughput, and 40 ms less to import.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

from tallystick.errors import ConfigurationError, PeerProtocolError, PeerUnreachable

PIECE = 256 * 1024
SMALL = 64 * 1024
"""A piece of a stream that goes out in one with what frames it: fewer packets."""
JUST_NOW_S = 1.0
"""Servers close connections that were idle for some seconds: one that was in use just now is hardly about to be."""


class Request(NamedTuple):
    """A request: ``path`` is absolute and has the query.

    ``body`` is whole, or the pieces of a stream, which goes out once: over a connection of its own, unless its sender
    is ``patient``, that is repeats what does not get through. Then one that was in use a moment ago serves.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes] = b""
    patient: bool = False


class Reply(Protocol):
    """An answer whose headers have come. ``headers`` have lower-case names."""

    status: int
    headers: dict[str, str]

    def read(self, most: int) -> bytes:
        """Up to ``most`` bytes of the body, b"" at its end. Raises PeerUnreachable when it is cut."""

    def close(self) -> None:
        """Let go of the connection: it is used again when the body was read to its end. Idempotent."""


class Transport(Protocol):
    """How requests get to one peer. May be used by several threads."""

    def send(self, request: Request) -> Reply:
        """Send one request. Raises PeerUnreachable (repeat it), PeerProtocolError for what is not HTTP."""

    def close(self) -> None:
        """Close every connection. Idempotent."""


@dataclass(slots=True)
class Traffic:
    """Bodies that went over a transport, in bytes, and how many requests."""

    sent: int = 0
    received: int = 0
    requests: int = 0


class HTTPTransport:
    """See ``Transport``. Connections are kept: one is enough unless a stream is open."""

    def __init__(self, url: str, *, timeout: float = 60.0, context: ssl.SSLContext | None = None) -> None:
        """Prepare for ``url`` (scheme, host and port of it count). ``timeout`` is seconds for each piece.

        Nothing is opened yet. Raises ConfigurationError for a URL that is none.
        """
        self.parts = split_url(url)
        self.name = shown(self.parts)
        self.timeout = timeout
        self.traffic = Traffic()
        self._context = context
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._lock = threading.Lock()

    def send(self, request: Request) -> HTTPReply:
        """See ``Transport.send``. A kept connection that the peer has closed meanwhile is replaced once."""
        whole = isinstance(request.body, bytes)
        connection = self._kept(None if whole else JUST_NOW_S) if whole or request.patient else None
        if connection is not None:
            try:
                return self._attempt(connection, request)
            except _Stale as error:
                if not whole:
                    raise PeerUnreachable(f"{self.name} closed the connection without an answer") from error
        try:
            return self._attempt(self._connection(), request)
        except _Stale as error:
            raise PeerUnreachable(f"{self.name} closed the connection without an answer") from error

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _kept(self, seconds: float | None) -> http.client.HTTPConnection | None:
        """The connection that was used last, if that is no longer ago than so many seconds."""
        with self._lock:
            if not self._idle or (seconds is not None and time.monotonic() - self._idle[-1][1] > seconds):
                return None
            return self._idle.pop()[0]

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.parts.hostname or "", self.parts.port
        if self.parts.scheme == "https":
            if self._context is None:
                self._context = ssl.create_default_context()
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self.timeout, context=self._context
            )
        else:
            made = http.client.HTTPConnection(host, port, timeout=self.timeout)
        made.response_class = _Response
        return made

    def _attempt(self, connection: http.client.HTTPConnection, request: Request) -> HTTPReply:
        fresh = connection.sock is None
        try:
            streamed = not isinstance(request.body, bytes)
            body = request.body or None if isinstance(request.body, bytes) else self._chunked(request.body)
            headers = {**request.headers, "Transfer-Encoding": "chunked"} if streamed else dict(request.headers)
            try:
                connection.request(request.method, request.path, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                if not streamed or connection.sock is None:
                    raise
                # The peer takes no more of the stream; if it has said why, that can be read still.
            response = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            connection.close()
            if fresh and not isinstance(error, http.client.RemoteDisconnected):
                raise PeerUnreachable(f"{self.name} cannot be reached: {error}") from error
            raise _Stale from error
        except http.client.HTTPException as error:
            connection.close()
            raise PeerProtocolError(f"{self.name} answered something that is not HTTP: {error!r}") from error
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise PeerProtocolError(
                f"{self.name} has no certificate that can be trusted: {error.verify_message}",
                hint="check the address; for a private certificate authority set SSL_CERT_FILE",
            ) from error
        except OSError as error:
            connection.close()
            raise PeerUnreachable(f"{self.name} cannot be reached: {error}") from error
        except BaseException:  # the pieces of a stream failed: the peer sees that it was cut
            connection.close()
            raise
        self.traffic.requests += 1
        self.traffic.sent += len(request.body) if isinstance(request.body, bytes) else 0
        return HTTPReply(self, connection, response)

    def _chunked(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """A stream in the chunked coding. ``http.client`` would copy every piece of it twice."""
        before = b""
        for piece in filter(None, pieces):
            self.traffic.sent += len(piece)
            head = b"%s%X\r\n" % (before, len(piece))
            if len(piece) < SMALL:
                yield head + piece
            else:
                yield head
                yield piece
            before = b"\r\n"
        yield before + b"0\r\n\r\n"

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Take back a connection whose answer was read to its end."""
        with self._lock:
            self._idle.append((connection, time.monotonic()))


class _Stale(Exception):
    """The peer closed the connection before it answered anything."""


class _Response(http.client.HTTPResponse):
    """An answer whose head must be whole: ``http.client`` takes one that was cut for one that ended."""

    def begin(self) -> None:
        whole = self.fp
        self.fp = _Head(whole)  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            if isinstance(self.fp, _Head):
                self.fp = whole


class _Head:
    """The lines of a head, each with its end. The very first may be missing: a connection that was closed unused."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._begun = False

    def readline(self, most: int = -1) -> bytes:
        line = self._file.readline(most)
        if not line.endswith(b"\n") and len(line) != most and (line or self._begun):
            raise ConnectionResetError("the connection was closed in the middle of an answer's head")
        self._begun = True
        return line

    def close(self) -> None:
        self._file.close()

    def flush(self) -> None:
        self._file.flush()


class HTTPReply:
    """See ``Reply``."""

    def __init__(
        self, transport: HTTPTransport, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> None:
        self._transport, self._connection, self._response = transport, connection, response
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self._open = True

    def read(self, most: int) -> bytes:
        return self._read(self._response.read, min(most, PIECE))

    def piece(self) -> bytes:
        """What has come of the body, at least one byte; b"" at its end. For streams that pause. Raises as ``read``."""
        return self._read(self._response.read1, PIECE)

    def _read(self, reading: Callable[[int], bytes], most: int) -> bytes:
        name = self._transport.name
        try:
            piece = reading(most)
        except (http.client.HTTPException, ConnectionError, ValueError) as error:
            self.close()
            raise PeerUnreachable(f"{name} closed the connection in the middle of an answer") from error
        except OSError as error:
            self.close()
            raise PeerUnreachable(f"{name} stopped in the middle of an answer: {error}") from error
        if not piece and self._response.length:
            self.close()
            raise PeerUnreachable(f"{name} closed the connection in the middle of an answer")
        self._transport.traffic.received += len(piece)
        return piece

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._response.isclosed() and self._connection.sock is not None:
            self._transport.keep(self._connection)
        else:
            self._response.close()
            self._connection.close()


def split_url(url: str) -> SplitResult:
    """The parts of an ``http`` or ``https`` URL. Raises ConfigurationError for anything else."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{url[:200]!r} is no address of a served site",
            hint="write it like https://host:port/ or http://host:port/path",
        )
    return parts


def shown(parts: SplitResult) -> str:
    """The URL without user and password, for messages."""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}/"
