"""Subscriptions: told from now on, whoever writes; slow and broken sinks hurt nobody; gaps are told."""

import queue
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick
from tallystick.errors import UsageError
from tallystick.streams import watcher
from tallystick.streams.notifications import Event, Notification, Waiting


def told(found, timeout=20):
    return found.get(timeout=timeout)


@pytest.fixture
def people(place):
    place.put("a")
    return place.site.resource("person")


def test_a_sink_is_told_of_what_happens_from_now_on(place, people):
    found = queue.Queue()
    people.subscribe(found.put)
    place.put("new-one")
    one = told(found)
    assert (one.event, one.resource, one.key) == (Event.CREATED, "person", "new-one")
    place.put("new-one", age=3)
    assert told(found).event is Event.UPDATED
    place.delete("new-one")
    assert told(found).event is Event.DELETED


def test_a_notification_carries_the_state_to_continue_from(place, people):
    found = queue.Queue()
    people.subscribe(found.put)
    place.put("b")
    state = told(found).state
    place.put("c")
    assert [change.key for change in people.changes(state)] == ["c"]


def test_another_process_is_heard(sqlite_place):
    found = queue.Queue()
    sqlite_place.site.subscribe(found.put)
    insert = "INSERT INTO town VALUES ('q', 'q')"
    script = f'import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute("{insert}"); c.commit()'
    subprocess.run([sys.executable, "-c", script, sqlite_place.url], check=True)
    assert told(found)[1:3] == ("town", "q")


def test_only_wanted_resources_and_events_are_told(place, people):
    found = queue.Queue()
    people.subscribe(found.put, event_types=["deleted"])
    place.put("t", table="town")
    place.put("z")
    place.site.state()
    place.delete("z")
    assert told(found)[:3] == (Event.DELETED, "person", "z")
    assert found.empty()


def test_an_unknown_event_is_refused(people):
    with pytest.raises(UsageError, match="exploded"):
        people.subscribe(print, event_types=["exploded"])


@pytest.mark.parametrize("sink", (None, 5, "text", object()))
def test_what_cannot_be_called_is_no_sink(people, sink):
    with pytest.raises(UsageError, match="cannot be told"):
        people.subscribe(sink)


@pytest.mark.parametrize("most", (0, -1))
def test_a_queue_without_room_is_refused(people, most):
    with pytest.raises(UsageError, match="room"):
        people.subscribe(print, most=most)


def test_a_sink_may_be_an_object_with_update(place, people):
    class Sink:
        def __init__(self):
            self.found = queue.Queue()

        def update(self, notification):
            self.found.put(notification)

    sink = Sink()
    people.subscribe(sink)
    place.put("b")
    assert told(sink.found).key == "b"


def test_a_sink_that_blocks_or_raises_hurts_no_other(place, people):
    found, release = queue.Queue(), threading.Event()

    def broken(notification):
        raise ValueError("broken")

    people.subscribe(lambda notification: release.wait(30))
    people.subscribe(broken)
    people.subscribe(found.put)
    for key in "xyz":
        place.put(key)
        assert told(found).key == key
    release.set()


@pytest.mark.parametrize("raised", (ValueError, SystemExit))
def test_a_sink_that_raised_is_told_again(place, people, raised):
    found = queue.Queue()

    def once(notification):
        found.put(notification)
        raise raised("broken")

    people.subscribe(once)
    for key in "xy":
        place.put(key)
        assert told(found).key == key


def test_a_slow_sink_gets_a_gap_and_misses_nothing(place, people):
    found, begun, release = queue.Queue(), threading.Event(), threading.Event()

    def slow(notification):
        found.put(notification)
        begun.set()
        release.wait(30)

    watched = queue.Queue()
    people.subscribe(slow, most=3)
    people.subscribe(watched.put)
    place.put("first")
    begun.wait(20)
    for number in range(9):
        place.put(f"n{number}")
    while told(watched).key != "n8":
        pass
    release.set()
    first, gap = told(found), told(found)
    assert gap.event is Event.GAP
    assert gap.state == first.state
    assert {change.key for change in people.changes(gap.state)} == {f"n{number}" for number in range(9)}


def test_a_site_that_cannot_be_watched_for_a_while_is_said_once_and_becomes_a_gap(sqlite_place, monkeypatch, caplog):
    monkeypatch.setattr(watcher, "_PAUSE_S", 0.02)
    place, told = sqlite_place, queue.Queue()
    place.site.subscribe(told.put)
    place.put("a")
    assert told.get(timeout=20).key == "a"
    place.execute("DROP TABLE person")
    while not any("is gone" in record.message for record in caplog.records):
        time.sleep(0.02)
    place.put("unheard", table="town")
    time.sleep(0.2)
    assert sum("is gone" in record.message for record in caplog.records) == 1
    place.execute("CREATE TABLE person (id VARCHAR(20) PRIMARY KEY, name VARCHAR(50), age INTEGER)")
    gap = told.get(timeout=20)
    assert gap.event is Event.GAP
    place.put("b")
    while told.get(timeout=20).key != "b":
        pass
    assert {"unheard", "b"} <= {change.key for change in place.site.changes(gap.state)}


def test_a_sink_may_unsubscribe_itself_and_read_from_a_site_of_its_own(place, people):
    read = queue.Queue()

    def sink(notification):
        place.site.unsubscribe(sink)
        with tallystick.open(place.url) as site:
            site.subscribe(read.put, "person").close()
            read.put([change.key for change in site.resource("person").changes(before)])

    before = people.state
    people.subscribe(sink)
    place.put("within")
    assert read.get(timeout=20) == ["within"]
    place.put("after")
    assert people.state != before
    assert read.empty()


def test_unsubscribing_ends_the_calls(place, people):
    found, other = queue.Queue(), queue.Queue()
    people.subscribe(found.put)
    people.subscribe(other.put)
    people.unsubscribe(found.put)
    place.put("b")
    told(other)
    assert found.empty()


def test_closing_the_site_ends_everything(place, people):
    site = place.another()
    subscription = site.subscribe(print)
    site.close()
    assert not subscription._thread.is_alive()


KEYS = st.sampled_from(["a", "b", "c", "d"])
EVENTS = st.sampled_from([Event.CREATED, Event.UPDATED, Event.DELETED])


@given(st.lists(st.tuples(KEYS, EVENTS)), st.integers(1, 4), st.lists(st.integers(0, 30)))
def test_waiting_is_bounded_and_what_is_lost_lies_behind_the_state_of_the_gap(happened, most, taken_after):
    waiting, seen = Waiting("0", most), {}
    position = 0
    for seq, (key, event) in enumerate(happened, 1):
        waiting.add(Notification(event, "r", key, seq, str(seq)))
        assert len(waiting._waiting) <= most
        for _ in range(taken_after.count(seq)):
            one = waiting.take()
            if one is None:
                break
            if one.event is Event.GAP:
                assert int(one.state) == position
                seen.update({k: s for s, (k, _) in enumerate(happened[:seq], 1) if s > position})
            else:
                position = int(one.state)
                seen[one.key] = one.seq
    while (one := waiting.take()) is not None:
        if one.event is Event.GAP:
            seen.update({k: s for s, (k, _) in enumerate(happened, 1) if s > position})
        else:
            position = int(one.state)
            seen[one.key] = max(one.seq, seen.get(one.key, 0))
    assert seen == {key: seq for seq, (key, _) in enumerate(happened, 1)}
