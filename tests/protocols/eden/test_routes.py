"""Active against passive over loopback: a real server, real connections."""

import http.client
import socket
import threading
import time
from base64 import b64encode
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from tallystick.errors import PeerProtocolError, PeerRefused, PeerUnreachable, UsageError
from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.replies import Registration
from tallystick.protocols.eden.routes import credentials, routes
from tallystick.protocols.eden.store import Repository, Target, Task
from tallystick.protocols.eden.synchronizing import Active
from tallystick.protocols.eden.transport import HttpTransport, read_all

ORG, OFFICE = "org_organisation", "org_office"
A = "urn:uuid:a"


@contextmanager
def serving(application):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def address(there):
    with serving(Starlette(routes=[Mount("/eden", routes=routes(there.provider))])) as found:
        yield found


@pytest.fixture
def active(here, address):
    repository = Repository(None, "there", url=f"{address}/eden")
    peer = EdenPeer(f"{address}/eden", HttpTransport(timeout=10), "sync", "secret")
    active = Active(here.store, peer, repository, lambda: datetime.now(UTC))
    assert active.register()
    return active


def test_two_sites_agree_over_a_real_connection(here, there, active):
    for number in range(1500):
        there.put(f"urn:uuid:there-{number}", f"Ä <{number}> & " + "x" * 50)
        there.put(f"urn:uuid:office-{number}", "HQ", OFFICE, organisation_id=Target(ORG, f"urn:uuid:there-{number}"))
        here.put(f"urn:uuid:here-{number}", f"here {number}")
    active.store.save_task(Task("urn:uuid:t", active.repository.uuid, ORG))
    assert active.pull(active.store.saved_tasks["urn:uuid:t"]).error is None
    assert active.push(active.store.saved_tasks["urn:uuid:t"]).error is None
    assert here.names() == there.names()
    assert len(here.names()) == 3000
    assert len(here.store.records[OFFICE]) == 1500
    heads = here.store.head(), there.store.head()
    assert active.pull(active.store.saved_tasks["urn:uuid:t"]).error is None
    assert active.push(active.store.saved_tasks["urn:uuid:t"]).error is None
    assert (here.store.head(), there.store.head()) == heads


def test_a_peer_describes_its_tables(active, there):
    described = active.peer.describe(ORG)
    assert [one.name for one in described] == [ORG, OFFICE, "org_logo"]
    assert described[0].components == there.store.tables[ORG].components
    assert described[0].fields["name"].required
    assert described[1].fields["organisation_id"].target == ORG


def test_literal_brackets_reach_the_provider(there, address):
    there.put(A, "One")
    there.put("urn:uuid:b", "Two")
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    authorization = "Basic " + b64encode(b"sync:secret").decode()
    target = f"/eden/sync/sync.xml?resource={ORG}&[~]~.name__like=*Two&include_deleted=True"
    connection.request("GET", target, headers={"Authorization": authorization})
    body = connection.getresponse().read()
    connection.close()
    assert (b"urn:uuid:b" in body, b"urn:uuid:a" in body) == (True, False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    (
        ("DELETE", "/eden/sync/sync.xml?resource=org_organisation", 405),
        ("GET", "/eden/sync/sync?resource=org_organisation", 303),
        ("GET", "/eden/nowhere", 404),
    ),
)
def test_statuses_arrive_as_they_are(address, method, path, status):
    headers = {"Authorization": "Basic " + b64encode(b"sync:secret").decode()}
    reply = HttpTransport().request(method, address + path, headers, None)
    assert (reply.status, read_all(reply, 10_000) != b"") == (status, True)


def test_a_body_above_the_limit_is_refused_while_it_arrives(there, address):
    there.provider.limits = there.provider.limits._replace(document_bytes=10_000)
    headers = {"Authorization": "Basic " + b64encode(b"sync:secret").decode()}
    reply = HttpTransport().request("POST", f"{address}/eden/sync/sync.xml?resource={ORG}", headers, b"x" * 20_000)
    assert reply.status == 413


def test_wrong_credentials_are_refused(address):
    peer = EdenPeer(f"{address}/eden", HttpTransport(), "sync", "wrong")
    with pytest.raises(PeerRefused):
        peer.pull(ORG, "me")
    with pytest.raises(PeerRefused):
        peer.register(Registration("me", "me"))


def test_a_json_failure_with_status_200_is_a_failure(address):
    peer = EdenPeer(f"{address}/eden", HttpTransport(), "sync", "secret")
    with pytest.raises(PeerProtocolError, match="Mixed resource synchronization not supported"):
        peer.pull("mixed", "me")
    with pytest.raises(PeerProtocolError, match="No such resource"):
        peer.pull("foo_bar", "me")


def test_a_peer_that_is_not_there_is_unreachable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(PeerUnreachable, match="no answer from"):
            EdenPeer(f"http://127.0.0.1:{port}/eden", HttpTransport(timeout=2), "u", "secret").pull(ORG, "me")


def test_an_answer_that_is_cut_off_is_unreachable():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer():
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<s3xml><resource")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        peer = EdenPeer(f"http://127.0.0.1:{listener.getsockname()[1]}/eden", HttpTransport(timeout=5))
        with pytest.raises(PeerUnreachable, match="cut off"):
            peer.pull(ORG, "me")
        thread.join()


@pytest.mark.parametrize("url", ("ftp://host/eden", "host", "file:///etc/passwd", ""))
def test_what_is_no_http_address_is_a_usage_error(url):
    with pytest.raises(UsageError, match="no HTTP URL"):
        HttpTransport().request("GET", url, {}, None)


def test_an_address_never_shows_its_password():
    with pytest.raises(PeerUnreachable) as refused:
        HttpTransport(timeout=1).request("GET", "http://user:secret@127.0.0.1:9/eden", {}, None)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("header", "expected"),
    (
        ("Basic " + b64encode("jürg:a:b".encode()).decode(), ("jürg", "a:b")),
        ("basic " + b64encode(b"u:").decode(), ("u", "")),
        ("Bearer x", (None, None)),
        ("Basic !!!", (None, None)),
        ("Basic " + b64encode(b"nocolon").decode(), (None, None)),
        ("Basic " + b64encode(b"\xff:\xff").decode(), (None, None)),
        ("", (None, None)),
    ),
)
def test_basic_credentials(header, expected):
    assert credentials(header) == expected
