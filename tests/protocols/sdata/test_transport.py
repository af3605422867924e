from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tallystick.errors import PeerUnreachable
from tallystick.protocols.sdata.errors import OriginRefused
from tallystick.protocols.sdata.transport import HttpTransport, origin_of


@pytest.fixture
def transport(loopback: Callable[..., Any]) -> Iterator[tuple[Any, HttpTransport]]:
    server = loopback()
    found = HttpTransport(server.root, timeout=10)
    yield server, found
    found.close()


def test_origins_have_default_ports_and_no_case() -> None:
    assert origin_of("HTTPS://Example.org/a") == origin_of("https://example.org:443/b")
    assert origin_of("http://example.org") != origin_of("https://example.org")


def test_a_redirected_get_is_followed_inside_the_origin(transport: tuple[Any, HttpTransport]) -> None:
    server, carrier = transport
    answer = carrier.request("GET", f"{server.accounts}/$schema", {})
    assert answer.status == 200
    assert b"xs:schema" in answer.body


def test_another_origin_is_never_asked(transport: tuple[Any, HttpTransport]) -> None:
    with pytest.raises(OriginRefused):
        transport[1].request("GET", "http://169.254.169.254/latest", {})


def test_nobody_at_home_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        carrier = HttpTransport(f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=5)
        with pytest.raises(PeerUnreachable):
            carrier.request("GET", f"http://127.0.0.1:{taken.getsockname()[1]}/x", {})
        carrier.close()


@pytest.mark.parametrize("said", (b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"))
def test_an_answer_that_breaks_off_is_unreachable(said: bytes) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        root = f"http://127.0.0.1:{listening.getsockname()[1]}"
        carrier = HttpTransport(root, timeout=5)
        with pytest.raises(PeerUnreachable):
            carrier.request("GET", f"{root}/x", {})
        carrier.close()
        thread.join()


def raw(server: Any, request: bytes) -> bytes:
    """What a client writes and reads that nobody can change any more."""
    host, port = server.root.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        connection.settimeout(10)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


def test_http_1_0_without_keep_alive_is_served(loopback: Callable[..., Any]) -> None:
    server = loopback()
    path = server.accounts.removeprefix(server.root)
    answer = raw(server, f"GET {path}/$syncDigest HTTP/1.0\r\nUser-Agent: Sage\r\n\r\n".encode())
    assert answer.split(b"\r\n")[0].endswith(b"200 OK")
    assert answer.rstrip().endswith(b"</entry>")


def test_expect_100_continue_is_honoured(loopback: Callable[..., Any]) -> None:
    server = loopback()
    path = server.accounts.removeprefix(server.root)
    host, port = server.root.removeprefix("http://").split(":")
    body = raw(server, f"GET {path}/$syncDigest HTTP/1.0\r\n\r\n".encode()).partition(b"\r\n\r\n")[2]
    head = (
        f"POST {path}/$syncSource?trackingID=E1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/atom+xml; type=entry\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        found = b""
        while piece := connection.recv(65536):
            found += piece
    assert found.startswith(b"HTTP/1.1 202")
