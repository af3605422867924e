"""The transport port of the active side, and its implementation over HTTP/1.1."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Protocol
from urllib.parse import urlsplit

from tallystick.errors import PeerUnreachable, UsageError

_CHUNK = 64 * 1024


@dataclass(slots=True)
class HttpReply:
    """An answer: status, headers by name in lower case, and the body, to be read once and to its end."""

    status: int
    headers: Mapping[str, str]
    body: Iterator[bytes]


class Transport(Protocol):
    """How requests travel. Neither redirects nor credentials are its business."""

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None) -> HttpReply:
        """Sends one request and gives its answer. ``url`` is sent as it is, brackets included.

        Raises PeerUnreachable when there is no connection, a cut one or no answer in time, also while the body is
        read; nothing is retried here, the caller may.
        """

    def close(self) -> None:
        """Frees what is held."""


class HttpTransport:
    """One connection per request, as real Eden does; certificates are verified."""

    def __init__(self, *, timeout: float = 60.0, context: ssl.SSLContext | None = None) -> None:
        self._timeout = timeout
        self._context = context

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes] | None) -> HttpReply:
        """Sends one request. Raises PeerUnreachable, and UsageError for what is no HTTP URL."""
        parts = urlsplit(url)
        connection = self._connection(parts.scheme, parts.hostname, parts.port)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body, {"Connection": "close", **headers})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise PeerUnreachable(f"no answer from {parts.netloc.rpartition('@')[2]}: {error}") from error
        found = {name.lower(): value for name, value in response.getheaders()}
        return HttpReply(response.status, found, _chunks(connection, response))

    def _connection(self, scheme: str, host: str | None, port: int | None) -> http.client.HTTPConnection:
        if host is None or scheme not in ("http", "https"):
            raise UsageError("the address of the peer is no HTTP URL", hint="write it like https://host/eden")
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = self._context or ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)

    def close(self) -> None:
        """Nothing is held between requests."""


def _chunks(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
        if response.length:
            raise PeerUnreachable(f"the answer was cut off: {response.length} bytes are missing")
    except (OSError, http.client.HTTPException) as error:
        raise PeerUnreachable(f"the answer was cut off: {error}") from error
    finally:
        connection.close()


def read_all(reply: HttpReply, limit: int) -> bytes:
    """The body, at most ``limit`` bytes of it; more are not read."""
    pieces, size = [], 0
    for chunk in reply.body:
        pieces.append(chunk)
        size += len(chunk)
        if size > limit:
            break
    return b"".join(pieces)[:limit]
