"""Hints: every commit wakes whoever waits, nothing else does, and they survive lost connections."""

import threading
import uuid
from pathlib import Path

import pytest

from tallystick.streams.carriers import carrier, hint_of, message_of
from tallystick.streams.hints import ANYTHING, Hint, Signal, Tee, watch
from tallystick.streams.scopes import StreamScope
from tallystick.streams.sqlite_hints import SQLiteHints
from tallystick.streams.stream import stamped_beyond
from tallystick.streams.waiting import ClockWaiting


@pytest.fixture
def hints(place):
    watched = watch(place.site.ledger.engine)
    yield watched
    watched.close()


def drained(hints):
    while hints.wait(0.2):
        pass


def test_a_commit_of_the_application_is_told(place, hints):
    place.put("a")
    assert Hint("person") in hints.wait(10)


def test_a_stamping_is_told_with_its_seq(place, hints):
    place.put("a")
    drained(hints)
    place.site.state()
    assert Hint("person", place.site.resource("person").tracked.seq) in hints.wait(10)


def test_what_a_follower_stamps_was_told_by_the_marks_and_is_not_told_again(postgresql_place):
    place, hints = postgresql_place, watch(postgresql_place.site.ledger.engine)
    drained(hints)
    place.put("a")
    assert Hint("person") in hints.wait(10)
    ledger = place.site.ledger
    before = int(ledger.meta("seq"))
    assert stamped_beyond(ledger, StreamScope(()), before, checked=False).top > before
    assert hints.wait(0.3) == []
    place.put("b")
    place.site.state()
    assert Hint("person", place.site.resource("person").tracked.seq) in hints.wait(10)
    hints.close()


def test_each_resource_is_told(place, hints):
    place.put("a")
    place.put("a", table="town")
    found = set()
    while not {Hint("person"), Hint("town")} <= found:
        came = hints.wait(10)
        assert came
        found |= set(came)


def test_nothing_is_told_while_nothing_happens(place, hints):
    drained(hints)
    assert hints.wait(0.3) == []


def test_reading_and_stamping_nothing_is_not_told(place, hints):
    place.site.state()
    drained(hints)
    place.site.state()
    list(place.site.changes())
    assert hints.wait(0.3) == []


def test_a_commit_from_before_the_wait_is_told(place, hints):
    place.put("a")
    place.put("b")
    assert Hint("person") in hints.wait(10)


def test_a_transaction_that_is_rolled_back_is_not_told(place, hints):
    drained(hints)
    place.execute("BEGIN")
    place.put("a")
    place.execute("ROLLBACK")
    assert hints.wait(0.3) == []


def test_waking_ends_a_wait(place, hints):
    thread = threading.Timer(0.1, hints.wake)
    thread.start()
    assert hints.wait(30) == []
    thread.join()


def test_closing_ends_a_wait_and_may_be_repeated(place):
    hints = watch(place.site.ledger.engine)
    thread = threading.Timer(0.1, hints.close)
    thread.start()
    assert hints.wait(30) == []
    thread.join()
    hints.close()
    assert hints.wait(30) == []


def test_files_that_tell_nothing_are_looked_at(sqlite_place):
    hints = SQLiteHints(Path(sqlite_place.url), ClockWaiting())
    sqlite_place.put("a")
    assert Hint("person") in hints.wait(10)
    hints.close()


def test_a_lost_connection_is_made_again_and_everything_is_looked_at(postgresql_place):
    place = postgresql_place
    hints = watch(place.site.ledger.engine)
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DELETE FROM tally.listener%'"
    assert len(place.connection.execute(sql).fetchall()) == 1
    assert ANYTHING in hints.wait(30)
    assert hints.wait(0.2) == []
    place.put("a")
    assert Hint("person") in hints.wait(10)
    hints.close()


def test_a_database_that_nobody_listens_to_is_not_notified(postgresql_place):
    place = postgresql_place
    watch(place.site.ledger.engine).close()
    place.connection.execute("LISTEN tally")
    place.put("a")
    assert list(place.connection.notifies(timeout=0.2)) == []


def test_untracking_removes_what_listening_needed(place, hints):
    place.site.untrack()
    assert not place.site.ledger.engine.has_ledger()


def test_a_signal_tells_each_resource_once_with_its_highest_seq():
    signal = Signal()
    for hint in (Hint("a", 3), Hint("a", 2), Hint("b")):
        signal.tell(hint)
    assert sorted(signal.wait(1)) == [Hint("a", 3), Hint("b", 0)]
    assert signal.wait(0) == []


def test_a_tee_passes_hints_on():
    source, other = Signal(), Signal()
    tee = Tee(source, [other])
    source.tell(Hint("a", 1))
    assert tee.wait(1) == [Hint("a", 1)]
    assert other.wait(1) == [Hint("a", 1)]


@pytest.mark.parametrize("hint", (Hint("a b", 7), Hint("ü"), ANYTHING))
def test_messages_carry_hints(hint):
    assert hint_of(message_of(hint)) == hint


@pytest.mark.parametrize("message", (b"", b"x y", b"1", b"\xff\xff 1", b"-1 a", b"99999999999999999999999 a"))
def test_a_message_that_cannot_be_read_means_anything(message):
    assert hint_of(message) == ANYTHING


def test_carriers_tell_every_other_end(carrier_url):
    site = uuid.uuid4().hex
    here, there = carrier(carrier_url, site), carrier(carrier_url, site)
    here.tell(Hint("person", 7))
    assert there.wait(10) == [Hint("person", 7)]
    here.close()
    there.close()


def test_a_carrier_that_is_not_there_is_named():
    from tallystick.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:1"):
        carrier("redis://127.0.0.1:1", "x")
    with pytest.raises(ConfigurationError, match="no carrier"):
        carrier("amqp://localhost", "x")
