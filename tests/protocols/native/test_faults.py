"""Whatever the network does: a named error or a retry, resumed at the last committed page, nothing lost."""

from __future__ import annotations

import random

import pytest
from faults import SOUND, Fault, Proxy, Relay
from places import PERSON, fill, no_wait

from tallystick.errors import PeerError, PeerProtocolError, PeerUnreachable
from tallystick.protocols.native.codec.blocks import PAGE, block
from tallystick.protocols.native.codec.messages import BLOCKS, MSGPACK
from tallystick.protocols.native.replica import RemoteReplica
from tallystick.site import reading
from tallystick.sync.agreement import Plan, agree

ROWS = 400
CUTS = (0, 1, 17, 120, 250, 400, 700, 1_500, 3_000, 6_000, 10_000, 20_000)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    """Pages of some 50 rows, so that little data makes many."""
    monkeypatch.setattr(reading, "PAGE_ROWS", 50)


@pytest.fixture
def ends(place):
    """A local end and a served one, each with rows and edits that the other lacks."""
    a, b = place("a", PERSON), place("b", PERSON)
    fill(a, ROWS)
    b.serve()
    return a, b


@pytest.fixture
def through():
    """Makes clients; all are closed afterwards."""
    made: list[RemoteReplica] = []

    def make(url: str, attempts: int = 6, timeout: float = 10.0) -> RemoteReplica:
        made.append(RemoteReplica(url, wait=no_wait, attempts=attempts, timeout=timeout))
        return made[-1]

    yield make
    for one in made:
        one.close()


def in_agreement(a, b) -> bool:
    return (
        a.contents() == b.contents()
        and a.rows("SELECT * FROM person ORDER BY id") == b.rows("SELECT * FROM person ORDER BY id")
        and len(a.rows("SELECT 1 FROM person")) > 0
    )


def faulty(fault: Fault, times: int):
    return lambda number: fault if number < times else SOUND


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("direction", ("cut_up", "cut_down"))
@pytest.mark.parametrize("source", ("here", "there"))
def test_a_connection_cut_anywhere_is_taken_up_again(ends, through, cut, direction, source):
    a, b = ends
    with Proxy(b.url, faulty(Fault(**{direction: cut}), 5)) as proxy:
        first, second = (a.local, through(proxy.url)) if source == "here" else (through(proxy.url), a.local)
        agree(first, second, Plan())
        assert in_agreement(a, b)
        b.execute("UPDATE person SET age = age + 1", "DELETE FROM person WHERE id < 'p000030'")
        fill(b, 100, ROWS)
        agree(first, second, Plan())
        assert in_agreement(a, b)
        assert proxy.connections > 1
        assert agree(first, second, Plan()).records == 0


@pytest.mark.parametrize("seed", range(6))
def test_connections_cut_at_random_for_as_long_as_it_takes(ends, through, seed):
    a, b = ends
    chance = random.Random(seed)
    faults: dict[int, Fault] = {}

    def fault(number: int) -> Fault:
        at = chance.choice((150, 400, 1_000, 4_000, 9_000))
        kind = chance.choice(("cut_up", "cut_down")) if number else "cut_up"
        return faults.setdefault(number, Fault(**{kind: at}))

    with Proxy(b.url, fault) as proxy:
        remote = through(proxy.url, attempts=1)
        for round_ in range(200):
            if round_ == 3:
                b.execute("DELETE FROM person WHERE id < 'p000030'")
            try:
                agree(a.local, remote, Plan(allowed=-1))
                break
            except PeerUnreachable:
                continue
    assert proxy.connections > 1
    agree(a.local, through(b.url), Plan(allowed=-1))
    assert in_agreement(a, b)


def test_without_retries_a_run_stops_with_a_named_error_and_the_next_one_resumes(ends, through):
    a, b = ends
    faults = [Fault(cut_up=9_000), Fault(cut_up=10)]
    with Proxy(b.url, lambda number: faults[number] if number < 2 else SOUND) as proxy:
        with pytest.raises(PeerUnreachable) as caught:
            agree(a.local, through(proxy.url, attempts=1), Plan())
        assert proxy.url in str(caught.value)
        arrived = len(b.rows("SELECT 1 FROM person"))
        assert 0 < arrived < ROWS
        done = agree(a.local, through(proxy.url), Plan())
    assert done.records == ROWS - arrived
    assert in_agreement(a, b)


def test_a_pull_resumes_in_the_middle_of_its_stream(ends, through):
    a, b = ends
    with Proxy(b.url, faulty(Fault(cut_down=8_000), 1)) as proxy:
        agree(a.local, through(b.url), Plan())
        fill(b, 200, ROWS)
        done = agree(a.local, through(proxy.url), Plan())
    assert done.records == 200
    assert in_agreement(a, b)


def test_a_peer_that_stops_in_the_middle_is_given_up_after_the_timeout(ends, through):
    a, b = ends
    with Proxy(b.url, faulty(Fault(stall_down=300), 1)) as proxy:
        with pytest.raises(PeerUnreachable):
            agree(a.local, through(proxy.url, attempts=1, timeout=0.3), Plan())
        agree(a.local, through(proxy.url, timeout=2), Plan())
    assert in_agreement(a, b)


def test_a_slow_network_is_only_slow(ends, through):
    a, b = ends
    with Proxy(b.url, lambda _: Fault(delay=0.002)) as proxy:
        agree(a.local, through(proxy.url), Plan())
    assert in_agreement(a, b)


def test_requests_that_arrive_twice_have_the_effect_of_one(ends, through):
    a, b = ends
    with Relay(b.url, times=2) as relay:
        agree(a.local, through(relay.url), Plan())
        assert in_agreement(a, b)
        b.execute("UPDATE person SET age = age + 1 WHERE id < 'p000100'", "DELETE FROM person WHERE id < 'p000010'")
        a.execute("UPDATE person SET name = 'both' WHERE id BETWEEN 'p000050' AND 'p000060'")
        agree(a.local, through(relay.url), Plan())
        assert in_agreement(a, b)
        assert agree(a.local, through(relay.url), Plan()).records == 0


def test_a_page_that_arrives_twice_changes_nothing(ends, through):
    """The answer to an applied page is lost: it is sent again."""
    a, b = ends
    lost = []

    def answer(path: str, count: int, got: bytes):
        if path.endswith("apply") and len(lost) < 3:
            lost.append(count)
            return 503, {"Content-Type": "text/html"}, b"<h1>gone</h1>"
        return None

    with Relay(b.url, answer=answer) as relay:
        done = agree(a.local, through(relay.url), Plan())
    assert len(lost) == 3
    assert in_agreement(a, b)
    assert done.records == ROWS


def _garbage(kind: str, got: bytes) -> tuple[int, dict[str, str], bytes]:
    named = {"Tallystick-Protocol": "1.1"}
    noise = random.Random(5).randbytes(500)
    return {
        "html": (200, {"Content-Type": "text/html"}, b"<html>welcome to the hotel network</html>"),
        "noise": (200, {"Content-Type": MSGPACK, **named}, noise),
        "noise blocks": (200, {"Content-Type": BLOCKS, **named}, noise),
        "empty": (200, {"Content-Type": MSGPACK, **named}, b""),
        "cut": (200, {"Content-Type": MSGPACK, **named}, got[: len(got) // 2]),
        "blocks": (200, {"Content-Type": BLOCKS, **named}, block(PAGE, b"\xc1")),
        "redirect": (302, {"Location": "http://elsewhere.example/"}, b""),
        "newer": (200, {"Content-Type": MSGPACK, "Tallystick-Protocol": "2.0"}, got),
        "frame": (200, {"Content-Type": MSGPACK, "Content-Encoding": "zstd", **named}, noise),
        "forbidden": (403, {"Content-Type": "text/html"}, b"login"),
        "error": (500, {"Content-Type": "application/json", **named}, b'{"code": "x"}'),
    }[kind]


KINDS = ("html", "noise", "noise blocks", "empty", "cut", "blocks", "redirect", "newer", "frame", "forbidden", "error")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", ("describe", "meet", "digest", "apply", "changes", "conclude"))
def test_a_peer_that_answers_garbage_is_refused_by_name_and_changes_nothing_here(ends, through, kind, verb):
    a, b = ends
    agree(a.local, through(b.url), Plan())
    a.execute("UPDATE person SET age = 701 WHERE id <= 'p000070'")
    b.execute("UPDATE person SET age = 702 WHERE id > 'p000380'")
    rows = a.rows("SELECT * FROM person ORDER BY id")

    def answer(path: str, count: int, got: bytes):
        return _garbage(kind, got) if path.endswith(verb) else None

    with Relay(b.url, answer=answer) as relay, pytest.raises(PeerError) as caught:
        agree(a.local, through(relay.url, attempts=2), Plan())
    assert relay.url in str(caught.value)
    assert isinstance(caught.value, PeerProtocolError) or kind in ("forbidden", "error", "noise blocks", "cut", "empty")
    if verb in ("describe", "meet", "changes"):
        assert a.rows("SELECT * FROM person ORDER BY id") == rows
    agree(a.local, through(b.url), Plan())
    assert in_agreement(a, b)


def test_a_peer_that_is_not_there_is_named(place, through):
    a = place("a", PERSON)
    with pytest.raises(PeerUnreachable, match=r"http://127\.0\.0\.1:9/"):
        agree(a.local, through("http://127.0.0.1:9/"), Plan())


def test_waiting_grows_and_ends():
    waits: list[float] = []
    with pytest.raises(PeerUnreachable):
        RemoteReplica("http://127.0.0.1:9/", wait=waits.append).describe()
    assert len(waits) == 5
    assert all(0.1 * 2**n <= wait <= 0.15 * 2**n for n, wait in enumerate(waits))
