"""The client end: credentials, bytes, kept connections, and what it holds back."""

from __future__ import annotations

import socket

import pytest
from places import PERSON, fill, no_wait

from tallystick.errors import ConfigurationError, PeerUnreachable, SchemaError
from tallystick.protocols.native.credentials import Credentials
from tallystick.protocols.native.replica import RemoteReplica
from tallystick.protocols.native.transport import HTTPTransport
from tallystick.sync.agreement import Plan, agree
from tallystick.sync.replica import Wanted


@pytest.mark.parametrize(
    ("url", "name"),
    (
        ("http://hub.example", "http://hub.example/"),
        ("https://anna:secret@hub.example:5493/sites/a", "https://hub.example:5493/sites/a/"),
        ("http://[::1]:5493/", "http://[::1]:5493/"),
    ),
)
def test_a_peer_is_named_without_its_credentials(url, name):
    assert RemoteReplica(url).name == name


@pytest.mark.parametrize("url", ("", "hub.example", "ftp://hub.example/", "http://", "http://h:x/", "http://h/?a=b"))
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigurationError):
        RemoteReplica(url)


def test_a_password_is_not_shown():
    assert "secret" not in repr(Credentials("anna", "secret"))


def test_one_connection_is_kept_and_bytes_are_counted(place):
    a, b = place("a", PERSON), place("b", PERSON)
    fill(a, 50)
    remote = b.serve()
    agree(a.local, remote, Plan())
    agree(a.local, remote, Plan())  # histories are told once more after a transfer
    before = (remote.traffic.sent, remote.traffic.received, remote.traffic.requests)
    done = agree(a.local, remote, Plan())
    assert done.records == 0
    assert remote.traffic.requests - before[2] == 2
    assert remote.traffic.sent + remote.traffic.received - before[0] - before[1] < 1024
    assert isinstance(remote.transport, HTTPTransport)
    assert len(remote.transport._idle) == 1
    remote.close()


def verbs(remote):
    """Notes the verbs that a client asks for from now on."""
    asked = []
    send = remote.transport.send

    def noted(request):
        asked.append(request.path.rpartition("/")[2])
        return send(request)

    remote.transport.send = noted
    return asked


def test_a_push_is_five_requests_and_leaves_none_for_the_next_run(place):
    a, b = place("a", PERSON), place("b", PERSON)
    fill(a, 50)
    remote = b.serve()
    agree(a.local, remote, Plan())
    a.execute("UPDATE person SET age = age + 1")
    asked = verbs(remote)
    assert agree(a.local, remote, Plan()).records == 50
    assert asked == ["describe", "meet", "digest", "meet", "conclude"]
    del asked[:]
    assert agree(a.local, remote, Plan()).records == 0
    assert asked == ["describe", "meet"]
    remote.close()


def test_a_pull_is_told_in_the_request_that_ends_the_run(place):
    a, b = place("a", PERSON), place("b", PERSON)
    fill(a, 50)
    remote = b.serve()
    agree(a.local, remote, Plan())
    b.execute("UPDATE person SET age = age + 1 WHERE id <= 'p000010'")
    asked = verbs(remote)
    assert 0 < agree(a.local, remote, Plan()).records <= 20  # more might be deletions: the source would be asked
    assert asked == ["describe", "meet", "changes", "meet"]
    del asked[:]
    assert agree(a.local, remote, Plan()).records == 0
    assert asked == ["describe", "meet"]
    remote.close()


def test_a_peer_that_does_not_conclude_is_asked_for_both_steps(place):
    a, b = place("a", PERSON), place("b", PERSON)
    fill(a, 50)
    remote = b.serve()
    asked = verbs(remote)
    send = remote.transport.send

    def older(request):
        reply = send(request)
        reply.headers["tallystick-protocol"] = "1.0"
        return reply

    remote.transport.send = older
    assert agree(a.local, remote, Plan()).total().created == 50
    assert "conclude" not in asked
    assert asked.count("apply") == asked.count("acknowledge") == 1
    assert a.contents() == b.contents()
    remote.close()


def test_equal_copies_agree_with_less_than_a_kilobyte_per_resource(place):
    tables = [PERSON, *(f"CREATE TABLE t{n} (id TEXT PRIMARY KEY, name TEXT)" for n in range(9))]
    a, b = place("a", *tables), place("b", *tables)
    for one in (a, b):
        fill(one, 3000)
        for number in range(9):
            one.execute(f"INSERT INTO t{number} SELECT id, name FROM person")
    remote = b.serve()
    names = [item.name for item in b.local.ledger.engine.tables()]
    remote.prepare(Wanted([], names))
    a.local.prepare(Wanted([], names))
    before = remote.traffic.sent + remote.traffic.received
    done = agree(a.local, remote, Plan())
    assert done.records == 0
    assert len(done.resources) == 10
    assert a.contents() == b.contents()
    assert remote.traffic.sent + remote.traffic.received - before < 1024 * 10
    remote.close()


WIDE = "name, city, street, phone, email, note, born, age, score, active, total"


def tracked_copies(place, columns="name, age", names=("a", "b")):
    """Places with the same 3,000 people, each tracked by itself."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
    values = ", ".join(f"'{name}' || i" for name in columns.split(", "))
    made = tuple(place(name) for name in names)
    for one in made:
        one.execute(f"CREATE TABLE person (id TEXT PRIMARY KEY, {columns})")
        one.execute(f"INSERT INTO person {numbers} SELECT 'p' || i, {values} FROM n")
        one.local.prepare(Wanted([], ["person"]))
    return made


def test_equal_copies_of_one_table_agree_in_two_requests_and_a_kilobyte(place):
    a, b = tracked_copies(place, WIDE)
    remote = b.serve()
    asked = verbs(remote)
    assert agree(a.local, remote, Plan()).records == 0
    assert asked == ["describe", "meet"]
    assert remote.traffic.sent + remote.traffic.received <= 1024
    del asked[:]
    b.execute("UPDATE person SET age = 7 WHERE id = 'p10'")
    assert agree(a.local, remote, Plan()).records == 1
    assert a.contents() == b.contents()
    remote.close()


def test_every_site_met_before_adds_a_few_bytes_and_no_request_to_a_first_contact(place):
    a, *others = tracked_copies(place, names=("a", "b", "c", "d", "e", "f"))
    sizes = []
    for other in others:
        remote = other.serve()
        asked = verbs(remote)
        assert agree(a.local, remote, Plan()).records == 0
        assert asked == ["describe", "meet"]
        sizes.append(remote.traffic.sent + remote.traffic.received)
        remote.close()
    assert sizes[-1] - sizes[0] <= 64 * (len(sizes) - 1), sizes


def test_a_meeting_whose_answer_was_lost_is_repeated(place):
    a, b = tracked_copies(place)
    remote = b.serve()
    asked, send = verbs(remote), remote.transport.send

    def lost(request):
        reply = send(request)
        if asked.count("meet") == 1 and asked[-1] == "meet":
            reply.close()
            raise PeerUnreachable("the answer is lost")
        return reply

    remote.transport.send = lost
    assert agree(a.local, remote, Plan()).records == 0
    assert asked == ["describe", "meet", "meet"]
    a.execute("UPDATE person SET age = 7 WHERE id = 'p10'")
    b.execute("UPDATE person SET age = 8 WHERE id = 'p20'")
    assert agree(a.local, remote, Plan()).records == 2
    assert a.contents() == b.contents()
    remote.close()


def test_a_kept_connection_that_the_peer_closed_is_replaced(place):
    b = place("b", PERSON)
    remote = b.serve()
    remote.describe()
    assert isinstance(remote.transport, HTTPTransport)
    remote.transport._idle[0][0].sock.shutdown(socket.SHUT_RDWR)
    assert remote.describe().site == b.local.ledger.site
    remote.close()


def test_an_error_there_is_the_same_error_here(place):
    remote = place("b", PERSON).serve()
    with pytest.raises(SchemaError):
        remote.older("nowhere", [])
    remote.close()


def test_a_large_value_goes_both_ways(place):
    a, b = place("a", PERSON), place("b", PERSON)
    for number in range(3):
        a.connection.execute(
            "INSERT INTO person VALUES (?, 'big', 1, ?, 1.5)", (f"p{number}", bytes([number, 1]) * 5_000_000)
        )
    b.serve().close()
    remote = RemoteReplica(b.url, wait=no_wait)
    agree(a.local, remote, Plan())
    assert a.contents() == b.contents()
    b.execute("UPDATE person SET photo = zeroblob(12000000) WHERE id = 'p1'")
    agree(a.local, remote, Plan())
    assert a.contents() == b.contents()
    assert a.rows("SELECT length(photo) FROM person WHERE id = 'p1'") == [(12_000_000,)]
    remote.close()
