"""Webhooks: told of everything, in order, signed; retried with back-off; logged."""

import http.server
import json
import queue
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import StorageError, UsageError, ValueRejected
from tallystick.streams import webhook_delivery, webhooks
from tallystick.streams.signing import TOLERANCE_S, check_signature, signed_headers
from tallystick.streams.webhook_delivery import (
    AT_ONCE,
    LONGEST_PAUSE_MS,
    Answer,
    deliver_next,
    pause_ms,
    post,
)
from tallystick.streams.webhook_runner import WebhookRunner


class Drawer:
    """Secrets in memory."""

    def __init__(self):
        self.kept = {}

    def save(self, name, secret):
        if secret is None:
            self.kept.pop(name, None)
        else:
            self.kept[name] = secret

    def find(self, name):
        return self.kept.get(name)


class Address:
    """What is posted to an address, and what it answers."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.bodies = []
        self.headers = []

    def __call__(self, url, body, headers):
        self.bodies.append(json.loads(body))
        self.headers.append((dict(headers), body))
        return Answer(self.statuses.pop(0) if self.statuses else 200, "said so")

    @property
    def keys(self):
        return [[change["key"] for change in body["changes"]] for body in self.bodies]


@pytest.fixture
def drawer():
    return Drawer()


@pytest.fixture
def ledger(place):
    place.put("a")
    return place.site.ledger


def added(ledger, drawer, *resources, **options):
    return webhooks.add(ledger, drawer, "http://127.0.0.1:1/hook", resources, **options)[0]


def delivered(ledger, drawer, hook, address):
    while deliver_next(ledger, drawer, webhooks.find(ledger, hook.id), address):
        pass


def test_a_webhook_is_told_of_what_comes_after_it_was_added(place, ledger, drawer):
    hook, address = added(ledger, drawer), Address()
    delivered(ledger, drawer, hook, address)
    assert address.bodies == []
    place.put("b")
    delivered(ledger, drawer, hook, address)
    (body,) = address.bodies
    assert (body["site"], body["more"]) == (ledger.site, False)
    assert [(change["event"], change["key"], change["content"]["name"]) for change in body["changes"]] == [
        ("created", "b", "x")
    ]
    delivered(ledger, drawer, hook, address)
    assert len(address.bodies) == 1


def test_what_was_deleted_and_comes_again_is_told_as_created(place, ledger, drawer):
    place.put("b")
    place.site.state()
    place.delete("b")
    hook, address = added(ledger, drawer), Address()
    place.put("b")
    delivered(ledger, drawer, hook, address)
    ((change,),) = [body["changes"] for body in address.bodies]
    assert (change["event"], change["key"]) == ("created", "b")


def test_a_webhook_can_be_sent_what_was_there_before(ledger, drawer):
    hook, address = added(ledger, drawer, "person", all_=True), Address()
    delivered(ledger, drawer, hook, address)
    assert address.keys == [["a"]]


def test_resources_and_content_are_chosen(place, ledger, drawer):
    hook, address = added(ledger, drawer, "town", content=False), Address()
    place.put("b")
    place.put("t", table="town")
    delivered(ledger, drawer, hook, address)
    assert address.keys == [["t"]]
    assert "content" not in address.bodies[0]["changes"][0]


def test_many_changes_come_in_several_deliveries(place, ledger, drawer):
    hook, address = added(ledger, drawer), Address()
    place.execute("BEGIN")
    for number in range(AT_ONCE + 1):
        place.put(f"{number:03}")
    place.execute("COMMIT")
    delivered(ledger, drawer, hook, address)
    assert [len(keys) for keys in address.keys] == [AT_ONCE, 1]
    assert [body["more"] for body in address.bodies] == [True, False]


def test_what_fails_is_tried_again_later_under_the_same_name(place, ledger, drawer):
    hook, address = added(ledger, drawer), Address(500, 0)
    place.put("b")
    delivered(ledger, drawer, hook, address)
    failed = webhooks.find(ledger, hook.id)
    assert (failed.failures, failed.state) == (1, hook.state)
    assert failed.due > ledger.now()
    delivered(ledger, drawer, hook, address)
    assert len(address.bodies) == 1, "not before it is due"
    real = ledger.now
    ledger.now = lambda: real() + 2 * LONGEST_PAUSE_MS
    delivered(ledger, drawer, hook, address)
    assert webhooks.find(ledger, hook.id).failures == 2
    ledger.now = lambda: real() + 4 * LONGEST_PAUSE_MS
    delivered(ledger, drawer, hook, address)
    assert webhooks.find(ledger, hook.id).failures == 0
    assert address.keys == [["b"]] * 3
    assert len({body["delivery"] for body in address.bodies}) == 1


def test_the_log_tells_of_every_attempt(place, ledger, drawer):
    hook = added(ledger, drawer)
    place.put("b")
    delivered(ledger, drawer, hook, Address(503))
    webhooks.retry(ledger, hook.id)
    delivered(ledger, drawer, hook, Address(204))
    newest, oldest = webhooks.attempts(ledger, hook.id)
    assert (newest.status, oldest.status, oldest.changes, oldest.note) == (204, 503, 1, "said so")


def test_an_address_that_is_gone_is_left_alone_until_somebody_says_so(place, ledger, drawer):
    hook, address = added(ledger, drawer), Address(410)
    place.put("b")
    delivered(ledger, drawer, hook, address)
    assert not webhooks.find(ledger, hook.id).enabled
    webhooks.retry(ledger, hook.id)
    delivered(ledger, drawer, hook, address)
    assert address.keys == [["b"], ["b"]]


def test_a_database_that_is_busy_costs_an_attempt_and_nothing_else(sqlite_place, drawer):
    ledger = sqlite_place.site.ledger
    hook, address = added(ledger, drawer), Address()
    sqlite_place.put("b")
    ledger.engine.execute("PRAGMA busy_timeout=0")
    sqlite_place.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked"):
        deliver_next(ledger, drawer, hook, address)
    sqlite_place.execute("ROLLBACK")
    delivered(ledger, drawer, hook, address)
    assert address.keys == [["b"]]


def test_two_processes_do_not_deliver_the_same(place, ledger, drawer):
    hook, address = added(ledger, drawer), Address()
    place.put("b")
    inner = []

    def meanwhile(url, body, headers):
        inner.append(deliver_next(ledger, drawer, webhooks.find(ledger, hook.id), address))
        return Answer(200)

    deliver_next(ledger, drawer, hook, meanwhile)
    assert inner == [False]
    assert address.bodies == []


def test_a_purge_costs_a_webhook_nothing(place, ledger, drawer):
    hook, address = added(ledger, drawer), Address()
    place.delete("a")
    place.site.state()
    place.put("later")
    place.site.state()
    place.delete("later")
    place.site.state()
    place.site.purge(-1)
    delivered(ledger, drawer, hook, address)
    assert sorted(address.keys[0]) == ["a", "later"]


def test_deliveries_are_signed(place, ledger, drawer):
    hook, address = added(ledger, drawer), Address()
    place.put("b")
    delivered(ledger, drawer, hook, address)
    headers, body = address.headers[0]
    secret = drawer.find(webhooks.secret_name(hook.id))
    check_signature(secret, headers, body, int(headers["webhook-timestamp"]))


def test_removing_forgets_everything(ledger, drawer):
    hook = added(ledger, drawer)
    webhooks.remove(ledger, drawer, hook.id)
    assert drawer.kept == {}
    with pytest.raises(UsageError):
        webhooks.find(ledger, hook.id)


@pytest.mark.parametrize(
    "url", ("ftp://x/", "http://", "https://user:secret@x/", "http://x/#part", "http://x:99999/", "http://a b/", "x")
)
def test_what_cannot_be_an_address_is_refused(ledger, drawer, url):
    with pytest.raises(UsageError):
        webhooks.add(ledger, drawer, url)


def test_pauses_double_up_to_an_hour():
    pauses = [pause_ms(failures) for failures in range(1, 60)]
    assert pauses[:3] == [1000, 2000, 4000]
    assert max(pauses) == LONGEST_PAUSE_MS == pauses[-1]


SECRET = "whsec_" + "QUJD" * 8


@given(st.binary(max_size=200), st.integers(0, 1 << 40))
def test_only_the_signed_body_is_accepted(body, at):
    headers = signed_headers(SECRET, "1-a", at, body)
    check_signature(SECRET, headers, body, at + TOLERANCE_S)
    for bad in (
        (SECRET, headers, body + b"x", at),
        (SECRET, headers, body, at + TOLERANCE_S + 1),
        (SECRET, {}, body, at),
    ):
        with pytest.raises(ValueRejected):
            check_signature(*bad)
    with pytest.raises(ValueRejected):
        check_signature("whsec_" + "QUJE" * 8, headers, body, at)
    with pytest.raises(ValueRejected):
        check_signature(SECRET, {**headers, "webhook-id": "2-b"}, body, at)


class Receiver(http.server.BaseHTTPRequestHandler):
    """A real address: the first delivery is refused."""

    got: queue.Queue
    refusals = 1

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = 500 if type(self).refusals else 200
        type(self).refusals = 0
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()
        self.got.put((status, headers, body))

    def log_message(self, *arguments):
        pass


def test_a_runner_delivers_over_http_and_retries(place, ledger, drawer):
    Receiver.got, Receiver.refusals = queue.Queue(), 1
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/hook?x=1"
    _, secret = webhooks.add(ledger, drawer, url)
    runner = WebhookRunner(lambda: place.another().ledger, lambda _: drawer)
    runner.start()
    try:
        place.put("b")
        first, second = Receiver.got.get(timeout=30), Receiver.got.get(timeout=30)
    finally:
        runner.close()
        server.shutdown()
        thread.join()
        server.server_close()
    assert (first[0], second[0]) == (500, 200)
    assert first[1]["webhook-id"] == second[1]["webhook-id"]
    check_signature(secret, second[1], second[2], int(second[1]["webhook-timestamp"]))


@contextmanager
def receiving(handler):
    """An address whose every connection is given to ``handler(socket)`` in a thread of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def accept():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=handle, args=(connection,)))
            threads[-1].start()

    def handle(connection):
        with connection, suppress(OSError):
            handler(connection)

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for thread in [accepting, *threads]:
        thread.join()


def test_an_address_that_hangs_delays_no_other(place, ledger, drawer):
    told, release = queue.Queue(), threading.Event()

    def hang(connection):
        connection.recv(65536)
        release.wait(60)

    def answer(connection):
        while b"}" not in (received := connection.recv(65536)):
            pass
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        told.put(received)

    with receiving(hang) as hanging, receiving(answer) as quick:
        stuck, _ = webhooks.add(ledger, drawer, hanging)
        webhooks.add(ledger, drawer, quick)
        runner = WebhookRunner(lambda: place.another().ledger, lambda _: drawer)
        runner.start()
        for key in "bcd":
            place.put(key)
            told.get(timeout=30)
        assert webhooks.attempts(ledger, stuck.id) == []
        release.set()
        runner.close()
    assert webhooks.attempts(ledger, stuck.id)[0].status == 0


@pytest.mark.parametrize("part", (b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n"))
def test_an_answer_that_never_ends_is_cut(monkeypatch, part):
    monkeypatch.setattr(webhook_delivery, "TIMEOUT_S", 0.3)

    def drip(connection):
        connection.sendall(part)
        while True:
            connection.sendall(b".")
            time.sleep(0.05)

    with receiving(drip) as url:
        answer = post(url, b"{}", {})
    assert (answer.status, answer.note) == (0, "TimeoutError: no whole answer within 0.3 s")


@pytest.mark.parametrize("status", (301, 302, 307, 308))
def test_redirections_are_not_followed(status):
    asked = []

    def redirect(connection):
        asked.append(connection.recv(65536))
        location = f"http://127.0.0.1:{connection.getsockname()[1]}/elsewhere"
        connection.sendall(f"HTTP/1.1 {status} x\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode())

    with receiving(redirect) as url:
        answer = post(url, b"{}", {})
    assert (answer.status, answer.taken, len(asked)) == (status, False, 1)


@pytest.mark.parametrize("said", (b"", b"nonsense\r\n\r\n", b"HTTP/1.1 two OK\r\n\r\n", b"HTTP/1.1 100 x\r\n\r\n"))
def test_an_answer_that_is_no_http_is_a_failure(said):
    def answer(connection):
        connection.recv(65536)
        connection.sendall(said)

    with receiving(answer) as url:
        assert not post(url, b"{}", {}).taken


def test_an_address_that_does_not_answer_is_a_failure_not_an_error():
    assert post("http://127.0.0.1:1/", b"{}", {}).status == 0
