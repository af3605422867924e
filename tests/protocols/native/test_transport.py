"""Connections of the HTTP client: which requests share one, and what a closed one means."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tallystick.errors import PeerUnreachable
from tallystick.protocols.native import transport as module
from tallystick.protocols.native.transport import HTTPTransport, Request


class _Handler(BaseHTTPRequestHandler):
    """Answers each request with the port that its connection comes from."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self.server.bodies.append(body)
        self.do_GET()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def transport():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.bodies = []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    found = HTTPTransport(f"http://127.0.0.1:{server.server_port}/")
    found.bodies = server.bodies
    yield found
    found.close()
    server.shutdown()
    server.server_close()


def connection_of(transport, request):
    """The port of the connection over which a request went."""
    reply = transport.send(request)
    port = reply.read(100)
    assert reply.read(100) == b""
    reply.close()
    return port


def stream(*, patient):
    return Request("POST", "/", {}, iter([b"one", b"two"]), patient)


def test_whole_requests_and_patient_streams_share_one_connection(transport):
    first = connection_of(transport, Request("GET", "/", {}))

    assert connection_of(transport, stream(patient=True)) == first
    assert connection_of(transport, Request("GET", "/", {})) == first


def test_a_stream_that_cannot_be_repeated_has_a_connection_of_its_own(transport):
    first = connection_of(transport, Request("GET", "/", {}))

    assert connection_of(transport, stream(patient=False)) != first


def test_a_connection_that_was_idle_for_long_takes_no_stream(transport, monkeypatch):
    first = connection_of(transport, Request("GET", "/", {}))
    monkeypatch.setattr(module, "JUST_NOW_S", -1.0)

    assert connection_of(transport, stream(patient=True)) != first
    assert transport.traffic.requests == 2


def test_a_patient_stream_over_a_closed_connection_is_to_be_repeated_and_then_goes_through(transport):
    connection_of(transport, Request("GET", "/", {}))
    transport._idle[0][0].sock.shutdown(socket.SHUT_RDWR)

    with pytest.raises(PeerUnreachable):
        transport.send(stream(patient=True))
    assert connection_of(transport, stream(patient=True))


def test_a_stream_arrives_as_its_pieces_are(transport):
    pieces = [b"few", b"", b"m" * module.SMALL, b"x" * (module.SMALL - 1), b"y" * (3 * module.SMALL), b"end"]
    for sent in (pieces, [], [b""], pieces[2:3]):
        connection_of(transport, Request("POST", "/", {}, iter(sent)))

    assert transport.bodies == [b"".join(pieces), b"", b"", pieces[2]]
    assert transport.traffic.sent == sum(map(len, transport.bodies))
