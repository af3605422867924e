"""Serving a site: sockets, uvicorn, and what must hold before a port is opened (DESIGN.md 8)."""

from __future__ import annotations

import gc
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tallystick.errors import ConfigurationError, LimitExceeded
from tallystick.protocols.native.codec.errors import RequestError, encode_error
from tallystick.protocols.native.codec.limits import LIMITS, Limits
from tallystick.site import users
from tallystick.web.allocator import keep_memory
from tallystick.web.app import PROVIDERS, Application, SiteLike, create_app
from tallystick.web.bounds import is_loopback
from tallystick.web.providers import Mounting

PORT = 5493
_KEEP_ALIVE_S = 75
_GRACE_S = 10
_CONNECTIONS = 6000


def serve(
    site: SiteLike,
    host: str = "127.0.0.1",
    port: int = PORT,
    *,
    providers: Sequence[Mounting] = PROVIDERS,
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    limits: Limits = LIMITS,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve ``site`` until the process is told to end.

    ``port`` 0 takes a free one. ``certificate`` and ``key`` are files in PEM form. ``ready`` is called with the
    address once requests are taken; without it a line is printed. Raises ConfigurationError when the site cannot be
    opened, the address cannot be used, or is not loopback while the site has no users.
    """
    keep_memory()
    app = create_app(site, providers, limits=limits)
    _allow_connections()
    try:
        server, listening, address = _prepared(app, host, port, certificate, key, limits)
        say = ready or _said(app)
        server.started_at = lambda: say(address)
        gc.collect()
        gc.freeze()
        server.run([listening])
    finally:
        app.close()


@contextmanager
def running(
    site: SiteLike,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    providers: Sequence[Mounting] = PROVIDERS,
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    limits: Limits = LIMITS,
) -> Iterator[str]:
    """Serve ``site`` in a thread of this process for as long as the ``with`` lasts; gives its address.

    Raises what ``serve`` raises.
    """
    app = create_app(site, providers, limits=limits)
    try:
        server, listening, address = _prepared(app, host, port, certificate, key, limits)
        thread = threading.Thread(target=server.run, args=([listening],), name="tally-serve", daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()
    finally:
        app.close()


def _allow_connections() -> None:
    """Take as many open files as the system lets us: every subscriber of events holds one."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CONNECTIONS + 1000 if hard == resource.RLIM_INFINITY else min(hard, _CONNECTIONS + 1000)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Server(uvicorn.Server):
    """A server that says when it takes requests."""

    started_at: Callable[[], None] = staticmethod(lambda: None)

    stopping: Callable[[], None] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.started_at()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.stopping()
        await super().shutdown(sockets)


def _prepared(
    app: Application,
    host: str,
    port: int,
    certificate: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
    limits: Limits,
) -> tuple[_Server, socket.socket, str]:
    check_host(app, host)
    _check_certificate(certificate, key)
    listening = _bound(host, port)
    config = uvicorn.Config(
        app,
        http=_protocol(limits),
        ws="websockets-sansio",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        limit_concurrency=_CONNECTIONS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    named = f"[{host}]" if ":" in host else host
    scheme = "https" if certificate else "http"
    server = _Server(config)
    server.stopping = app.stop
    return server, listening, f"{scheme}://{named}:{listening.getsockname()[1]}/"


def check_host(app: Application, host: str) -> None:
    """Raise ConfigurationError when ``host`` is reached from elsewhere and anybody would be let in."""
    if is_loopback(host):
        return
    with app.services.pool.borrowed() as replica:
        if users.has_users(replica.ledger):
            return
    raise ConfigurationError(
        f"{host} can be reached from other machines, and {app.services.site} has no users",
        hint=f"add one first: tallystick users add {app.services.site} NAME --role sync; or serve on 127.0.0.1",
    )


def _check_certificate(certificate: str | os.PathLike[str] | None, key: str | os.PathLike[str] | None) -> None:
    if certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the certificate {os.fspath(certificate)} cannot be used: {error}",
            hint="give certificate and key as PEM files",
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error}", hint="choose another --port, or stop what uses this one"
        ) from error
    listening.set_inheritable(True)
    return listening


def _said(app: Application) -> Callable[[str], None]:
    def say(address: str) -> None:
        print(f"serving {app.services.site} at {address}", file=sys.stderr, flush=True)
        for end in filter(None, (item.end for item in app.mounted)):
            print(f"  and as {end.replace('{}', address.rstrip('/'))}", file=sys.stderr, flush=True)
        if untracked := _untracked(app):
            print(untracked, file=sys.stderr, flush=True)

    return say


def _untracked(app: Application) -> str:
    """What to say of a database with tables of which none is tracked, so that nobody sees any; else nothing."""
    with app.services.pool.borrowed() as replica:
        described = replica.describe()
    if described.resources or not described.untracked:
        return ""
    return f"nothing is tracked there, so no table is served; run: tallystick track {app.services.site}"


def _protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """HTTP whose heads are bounded while they are read: before the application sees anything."""
    most = limits.url + limits.header_bytes + 1024

    class Bounded(HttpToolsProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.head = 0
            self.in_body = False

        def data_received(self, data: bytes) -> None:
            if not self.in_body:
                self.head += len(data)
            super().data_received(data)
            if self.head > most and not self.in_body and not self.transport.is_closing():
                self.send_400_response("")

        def on_headers_complete(self) -> None:
            self.head, self.in_body = 0, True
            try:
                super().on_headers_complete()
            except (httptools.HttpParserInvalidURLError, UnicodeDecodeError) as error:
                raise httptools.HttpParserError(str(error)) from error

        def on_message_complete(self) -> None:
            self.in_body = False
            super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            large = self.head > most
            error = (
                LimitExceeded(f"the head of a request is beyond the limit of {most:,} bytes")
                if large
                else RequestError("this is no HTTP request", hint="speak HTTP/1.1")
            )
            body = encode_error(error)
            head = (
                b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
                b"tallystick-protocol: 1.0\r\n\r\n" % len(body)
            )
            self.transport.write(STATUS_LINE[431 if large else 400] + head + body)
            self.transport.close()

    return Bounded
