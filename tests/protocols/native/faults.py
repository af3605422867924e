"""A network that fails as told: cuts after any byte, stalls, garbage, requests delivered twice."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PIECE = 4096


@dataclass(frozen=True)
class Fault:
    """What happens to one connection: None as a bound means never."""

    cut_up: int | None = None
    """Bytes of the client that get through before both sides are cut."""
    cut_down: int | None = None
    """Bytes of the server that get through before both sides are cut."""
    stall_down: int | None = None
    """Bytes of the server that get through before nothing more comes, while the connection stays open."""
    delay: float = 0.0
    """Seconds that every piece of the server waits."""


SOUND = Fault()


class Proxy:
    """A TCP proxy in front of a served place. ``faults`` says what becomes of the n-th connection."""

    def __init__(self, url: str, faults: Callable[[int], Fault]) -> None:
        parts = urlsplit(url)
        self.target = (parts.hostname, parts.port)
        self.faults = faults
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            _close(one)
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            fault = self.faults(self.connections)
            self.connections += 1
            try:
                server = socket.create_connection(self.target)
            except OSError:
                _close(client)
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += [client, server]
            both = (client, server)
            up = (client, server, fault.cut_up, None, 0.0, both)
            down = (server, client, fault.cut_down, fault.stall_down, fault.delay, both)
            for arguments in (up, down):
                threading.Thread(target=_pump, args=arguments, daemon=True).start()


def _pump(
    source: socket.socket,
    target: socket.socket,
    cut: int | None,
    stall: int | None,
    delay: float,
    both: tuple[socket.socket, socket.socket],
) -> None:
    passed = 0
    with suppress(OSError):
        while piece := source.recv(PIECE):
            if delay:
                time.sleep(delay)
            if cut is not None and passed + len(piece) >= cut:
                target.sendall(piece[: cut - passed])
                break
            if stall is not None and passed + len(piece) >= stall:
                target.sendall(piece[: stall - passed])
                time.sleep(60)
                break
            target.sendall(piece)
            passed += len(piece)
    for one in both:
        _close(one)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class Relay:
    """An HTTP relay that may deliver a request twice, or answer something of its own.

    ``times`` says how often a request is delivered; ``answer`` may give (status, headers, body) in place of the
    real answer, or None.
    """

    def __init__(
        self,
        url: str,
        *,
        times: int = 1,
        answer: Callable[[str, int, bytes], tuple[int, dict[str, str], bytes] | None] = lambda *_: None,
    ) -> None:
        relay = self
        self.target, self.times, self.answer, self.count = urlsplit(url).netloc, times, answer, 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, headers, got = relay.forward(self.command, self.path, dict(self.headers), body)
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(got)))
                self.end_headers()
                self.wfile.write(got)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        self.count += 1
        for _ in range(self.times):
            connection = http.client.HTTPConnection(self.target, timeout=20)
            connection.request(method, path, body, {**headers, "Host": self.target})
            response = connection.getresponse()
            got = response.read()
            connection.close()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _OWN}
        return self.answer(path, self.count, got) or (response.status, kept, got)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


_OWN = {"content-length", "transfer-encoding", "connection", "date"}
