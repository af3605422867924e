"""The laws of streams: whoever applies what he is told holds what the site holds, whatever happens in between."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tallystick
from tallystick.errors import StateExpiredError
from tallystick.streams import stream
from tallystick.streams.hints import watch

KEYS = st.sampled_from(["a", "b", "c", "d", "e"])
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.integers(0, 3)),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("rename"), KEYS, KEYS),
    st.tuples(st.just("town"), KEYS),
    st.tuples(st.just("stamp")),
    st.tuples(st.just("purge")),
    st.tuples(st.just("rollback"), KEYS),
    st.tuples(st.just("read"), st.integers(0, 1), st.integers(1, 4)),
)


class Consumer:
    """Holds a copy and the state behind every callback that it has finished."""

    def __init__(self, site, scope=("person",)):
        self.site, self.scope = site, scope
        self.copy, self.state = {}, None

    def update(self, change, flags):
        self.copy[change.resource, change.key] = dict(change.content)
        self.state = change.state

    def delete(self, change, flags):
        self.copy.pop((change.resource, change.key), None)
        self.state = change.state

    def read_page(self, most=None):
        """One delivery of at most so many changes; the difference where the state has expired."""
        try:
            reached = self.site.deliver(self, self.state, *self.scope, max_changes=most)
        except StateExpiredError:
            reached = self.site.deliver(self, self.state, *self.scope, max_changes=most, resync="diff")
        self.state = str(reached)
        return reached.has_more

    def read_all(self, most=None):
        while self.read_page(most):
            pass


class Stopped(Exception):
    """The consumer is stopped in the middle."""


def snapshot(place, tables=("person",)):
    found = {}
    for table in tables:
        for key, values in place.rows(table).items():
            names = ("name", "age")[: len(values)]
            shown = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            found[table, key] = shown
    return found


def make(place, step, consumers):
    kind, *arguments = step
    if kind == "put":
        place.put(arguments[0], age=arguments[1])
    elif kind == "delete":
        place.delete(arguments[0])
    elif kind == "rename":
        old, new = arguments
        if old != new:
            place.delete(new)
            place.execute("UPDATE person SET id=? WHERE id=?", new, old)
    elif kind == "town":
        place.put(arguments[0], table="town")
    elif kind == "stamp":
        place.site.state()
    elif kind == "purge":
        place.site.purge(-1)
    elif kind == "rollback":
        place.execute("BEGIN")
        place.delete(arguments[0])
        place.execute("ROLLBACK")
    else:
        consumers[arguments[0]].read_page(arguments[1])


def keeps_up(place, steps, most):
    consumers = [Consumer(place.site), Consumer(place.site, ())]
    for consumer in consumers:
        consumer.read_all()
    for step in steps:
        make(place, step, consumers)
    consumers[0].read_all(most)
    consumers[1].read_all(most)
    assert consumers[0].copy == snapshot(place)
    assert consumers[1].copy == snapshot(place, ("person", "town"))
    for consumer in consumers:
        before = consumer.state
        consumer.read_all()
        assert consumer.state == before


ONE_PLACE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(suppress_health_check=ONE_PLACE, max_examples=60)
@given(steps=st.lists(STEPS, max_size=25), most=st.one_of(st.none(), st.integers(1, 4)))
def test_consumers_that_apply_what_they_are_told_hold_what_the_site_holds(sqlite_place, steps, most):
    keeps_up(sqlite_place, steps, most)


@settings(suppress_health_check=ONE_PLACE, max_examples=12)
@given(steps=st.lists(STEPS, max_size=15), most=st.one_of(st.none(), st.integers(1, 4)))
def test_the_same_on_postgresql(postgresql_place, steps, most):
    keeps_up(postgresql_place, steps, most)


@settings(suppress_health_check=ONE_PLACE, max_examples=40)
@given(steps=st.lists(STEPS, max_size=15), data=st.data())
def test_a_consumer_stopped_in_any_callback_goes_on_from_the_state_before(sqlite_place, steps, data):
    goes_on(sqlite_place, steps, data)


@settings(suppress_health_check=ONE_PLACE, max_examples=10)
@given(steps=st.lists(STEPS, max_size=10), data=st.data())
def test_so_it_does_on_postgresql(postgresql_place, steps, data):
    goes_on(postgresql_place, steps, data)


def goes_on(place, steps, data):
    consumer = Consumer(place.site)
    consumer.read_all()
    for step in steps:
        make(place, step, [consumer, consumer])
    told = []

    class Stopping:
        def __init__(self, after):
            self.left = after

        def tell(self, call, change, flags):
            if not self.left:
                raise Stopped
            self.left -= 1
            told.append((change.key, change.seq))
            call(change, flags)

        def update(self, change, flags):
            self.tell(consumer.update, change, flags)

        def delete(self, change, flags):
            self.tell(consumer.delete, change, flags)

    while True:
        stopping = Stopping(data.draw(st.integers(1, 3)))
        try:
            consumer.site.deliver(stopping, consumer.state, "person", on_error="raise", resync="diff")
            break
        except Stopped as stopped:
            consumer.state = stopped.state
    assert consumer.copy == snapshot(place)
    assert len(told) == len(set(told)), "nothing is told twice behind a state"


@settings(suppress_health_check=ONE_PLACE, max_examples=30)
@given(steps=st.lists(STEPS, max_size=15), bounds=st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_a_filter_that_moves_delivers_what_enters_and_what_leaves(sqlite_place, steps, bounds):
    moves_its_filter(sqlite_place, steps, bounds)


@settings(suppress_health_check=ONE_PLACE, max_examples=10)
@given(steps=st.lists(STEPS, max_size=10), bounds=st.lists(st.integers(0, 4), min_size=1, max_size=3))
def test_a_filter_may_move_on_postgresql_too(postgresql_place, steps, bounds):
    moves_its_filter(postgresql_place, steps, bounds)


def moves_its_filter(place, steps, bounds):
    consumer = Consumer(place.site)
    for bound in bounds:
        where = f"age ge {bound} and age lt {bound + 2}"
        state = place.site.deliver(consumer, consumer.state, "person", where=where, resync="diff")
        consumer.state = str(state)
        shown = snapshot(place)
        assert consumer.copy == {name: row for name, row in shown.items() if bound <= row["age"] < bound + 2}
        for step in steps:
            if step[0] != "read":
                make(place, step, [])


def test_nothing_is_missed_beside_concurrent_writers(place):
    """Writers in threads of their own, with transactions that commit out of order; a follower keeps a copy."""
    stop = threading.Event()

    def write(number):
        connection = _connected(place)
        chance = random.Random(number)
        while not stop.is_set():
            connection.execute("BEGIN IMMEDIATE" if place.url.startswith("/") else "BEGIN")
            for _ in range(chance.randint(1, 3)):
                _put(connection, f"w{number}-{chance.randint(0, 9)}", chance.randint(0, 99))
            connection.execute("COMMIT" if chance.random() < 0.8 else "ROLLBACK")
            time.sleep(0.002)
        connection.close()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    consumer = Consumer(place.site)
    for _ in range(40):
        consumer.read_page(5)
    stop.set()
    for writer in writers:
        writer.join()
    consumer.read_all()
    assert consumer.copy == snapshot(place)


def _connected(place):
    if place.url.startswith("/"):
        return sqlite3.connect(place.url, isolation_level=None, timeout=30)
    import psycopg

    return psycopg.connect(place.url, autocommit=True)


def _put(connection, key, age):
    sql = "INSERT INTO person VALUES (?, 'x', ?) ON CONFLICT (id) DO UPDATE SET age=excluded.age"
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    connection.execute(sql.replace("?", mark), (key, age))


class Faulty:
    """Hints of which most are lost, some doubled and some late."""

    def __init__(self, hints, seed):
        self.hints, self.chance, self.late = hints, random.Random(seed), []

    def wait(self, timeout):
        found, self.late = self.late, []
        for hint in self.hints.wait(timeout):
            fate = self.chance.random()
            if fate < 0.2:
                found += [hint, hint]
            elif fate < 0.4:
                self.late.append(hint)
        return found

    def wake(self):
        self.hints.wake()

    def close(self):
        self.hints.close()


@pytest.mark.parametrize("seed", range(3))
def test_hints_that_are_lost_doubled_or_late_lose_no_change(place, monkeypatch, seed):
    monkeypatch.setattr(stream, "SLOW_POLL_S", 0.05)
    faulty = Faulty(watch(place.site.ledger.engine), seed)
    site = place.another()
    missing = {f"f{number}" for number in range(15)}

    def write():
        for key in sorted(missing):
            place.put(key)
            time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    left = set(missing)
    for change in site.changes(None, "person", follow=True, hints=faulty):
        left.discard(change.key)
        if not left:
            break
    writer.join()
    faulty.close()


CONSUMER = """
import sqlite3, sys
import tallystick
copy = sqlite3.connect(sys.argv[2], isolation_level=None)
copy.execute("CREATE TABLE IF NOT EXISTS held (key TEXT PRIMARY KEY, age)")
copy.execute("CREATE TABLE IF NOT EXISTS told (seq INTEGER PRIMARY KEY)")
copy.execute("CREATE TABLE IF NOT EXISTS stood (state TEXT)")
state = (copy.execute("SELECT state FROM stood").fetchone() or [None])[0]
with tallystick.open(sys.argv[1]) as site:
    for change in site.resource("person").changes(state, follow=True):
        copy.execute("BEGIN")
        if change.deleted:
            copy.execute("DELETE FROM held WHERE key=?", (change.key,))
        else:
            copy.execute("INSERT OR REPLACE INTO held VALUES (?, ?)", (change.key, change.content["age"]))
        copy.execute("INSERT INTO told VALUES (?)", (change.seq,))
        copy.execute("DELETE FROM stood")
        copy.execute("INSERT INTO stood VALUES (?)", (change.state,))
        copy.execute("COMMIT")
"""


def test_a_consumer_that_is_killed_misses_nothing_and_is_told_nothing_twice(sqlite_place, tmp_path):
    place, path, chance = sqlite_place, tmp_path / "copy.db", random.Random(1)
    for number in range(300):
        place.put(f"k{number}")
    command = [sys.executable, "-c", CONSUMER, place.url, str(path)]
    for round_ in range(3):
        consumer = subprocess.Popen(command, env=os.environ)
        deadline = time.monotonic() + 20
        aim = 60 * (round_ + 1)
        while _told(path) < aim and time.monotonic() < deadline:
            place.put(f"k{chance.randint(0, 320)}", age=chance.randint(0, 99))
            time.sleep(0.002)
        consumer.send_signal(signal.SIGKILL)
        consumer.wait()
    consumer = subprocess.Popen(command, env=os.environ)
    wanted = {key: values[1] for key, values in place.rows().items()}
    deadline = time.monotonic() + 30
    while _held(path) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    consumer.kill()
    consumer.wait()
    assert _held(path) == wanted


def _told(path):
    return _query(path, "SELECT count(*) FROM told")[0][0] if path.exists() else 0


def _held(path):
    return dict(_query(path, "SELECT key, age FROM held"))


def _query(path, sql):
    connection = sqlite3.connect(path, timeout=10)
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.OperationalError:  # the consumer has not made its tables yet
        return [(0, 0)]
    finally:
        connection.close()


def test_two_sites_that_synchronize_feed_the_same_stream(sqlite_place, tmp_path):
    """What arrives from elsewhere is told like what was written here."""
    consumer = Consumer(sqlite_place.site)
    with tallystick.open(tmp_path / "other.db", create=True) as other:
        sqlite_place.put("a")
        sqlite_place.site.sync(other)
        connection = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
        connection.execute("INSERT INTO person VALUES ('b', 'x', 2)")
        connection.execute("DELETE FROM person WHERE id='a'")
        sqlite_place.site.sync(other)
        connection.close()
    consumer.read_all()
    assert consumer.copy == snapshot(sqlite_place) == {("person", "b"): {"name": "x", "age": 2}}
