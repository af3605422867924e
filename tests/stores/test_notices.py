"""From the log to what happened (spec ics 7), and the thread that tells it."""

import sqlite3
import threading

import pytest

import tallystick
from tallystick.errors import StorageLocked
from tallystick.stores.changelog import Class, Detail, Entry
from tallystick.stores.notices import notices_after
from tallystick.stores.watching import Watch

ITEM, FOLDER, STORE = Class.ITEM, Class.FOLDER, Class.STORE


def entry(number, parent=1, object=ITEM, record=None, **seqs):
    return Entry(number, parent, b"k", object, record or number, 9, **seqs)


def told(*entries, since=0):
    return [(str(one.event), one.object.name[0], one.record) for one in notices_after(entries, since)]


@pytest.mark.parametrize(
    ("logged", "expected"),
    (
        (entry(5, created=1), [("created", "I", 5), ("updated", "F", 1)]),
        (entry(5, created=1, content=1), [("created", "I", 5), ("updated", "F", 1), ("updated", "I", 5)]),
        (entry(5, content=1), [("updated", "I", 5)]),
        (entry(5, flagged=1), [("updated", "I", 5), ("updated", "F", 1)]),
        (entry(5, soft=1), [("deleted", "I", 5), ("updated", "F", 1)]),
        (entry(5, hard=1, detail=Detail.CASCADE), []),
        (entry(5, object=FOLDER, content=1), [("updated", "F", 5)]),
        (entry(5, object=FOLDER, hard=1), [("deleted", "F", 5), ("updated", "F", 1)]),
        (entry(5, object=FOLDER, hard=1, detail=Detail.CASCADE), []),
        (entry(5, object=STORE, content=1), [("updated", "S", 5)]),
        (entry(5, object=Class.MARK, created=1), []),
        (entry(5, object=Class.USER, created=1), []),
    ),
)
def test_every_change_says_what_happened(logged, expected):
    assert told(logged) == expected


def test_a_move_of_an_item_is_an_arrival_then_a_departure():
    here = entry(6, parent=2, record=5, created=7)
    there = entry(5, parent=1, record=5, created=3, hard=8, detail=Detail.DEPARTED)
    expected = [("created", "I", 5), ("deleted", "I", 5), ("updated", "F", 1), ("updated", "F", 2)]
    assert told(here, there, since=6) == expected
    assert [one.parent for one in notices_after([here, there], 6)][:2] == [2, 1]


def test_a_move_of_a_folder_likewise():
    there = entry(5, parent=1, object=FOLDER, record=5, created=3, content=7, detail=Detail.DEPARTED)
    here = entry(6, parent=2, object=FOLDER, record=5, content=8)
    expected = [("created", "F", 5), ("deleted", "F", 5), ("updated", "F", 1), ("updated", "F", 2)]
    assert told(here, there, since=6) == expected


def test_a_deletion_of_what_once_arrived_is_no_move():
    assert told(entry(6, parent=2, record=5, created=7, hard=12), since=8) == [("deleted", "I", 5), ("updated", "F", 2)]


def test_only_what_is_beyond_is_told():
    assert told(entry(5, created=3, content=9), since=5) == [("updated", "I", 5)]


# the thread --------------------------------------------------------------------------------------------------------


@pytest.fixture
def watch(server):
    made = Watch(server.records, server.log)
    yield made
    made.close()


class Sink:
    def __init__(self, wanted=1):
        self.notices, self.reached, self.wanted = [], threading.Event(), wanted

    def __call__(self, notice):
        self.notices.append(notice)
        if len(self.notices) >= self.wanted:
            self.reached.set()


def everything(notice):
    return notice.object is ITEM


def test_a_commit_reaches_a_sink(watch, folder):
    sink = Sink()
    watch.add(everything, sink)
    made = folder.create_item()
    assert sink.reached.wait(10)
    assert [notice.record for notice in sink.notices] == [made.docid]


def test_what_a_filter_raises_hurts_nobody(watch, folder, caplog):
    sink = Sink()
    watch.add(lambda notice: 1 / 0, Sink())
    watch.add(everything, sink)
    folder.create_item()
    assert sink.reached.wait(10)
    assert "ZeroDivisionError" in caplog.text


def test_unsubscribing_waits_for_the_call_under_way(watch, folder):
    entered, leave, left = threading.Event(), threading.Event(), []

    def slow(notice):
        entered.set()
        leave.wait(10)
        left.append(notice)

    number = watch.add(everything, slow)
    folder.create_item()
    assert entered.wait(10)
    threading.Timer(0.05, leave.set).start()
    watch.remove(number)
    assert len(left) == 1


def test_a_lost_connection_is_made_again(site_url, server, folder, caplog):
    if not site_url.startswith("postgresql"):
        pytest.skip("a file has no connection to lose")
    import psycopg

    watch, sink = Watch(server.records, server.log), Sink()
    watch.add(everything, sink)
    own = server.records.session.engine.connection.info.backend_pid
    with psycopg.connect(site_url, autocommit=True) as killer:
        killer.execute("SELECT pg_terminate_backend(%s)", (own,))
    with tallystick.open(site_url) as site:
        elsewhere = next(one for one in site.server().user("anna").store.folders() if one.name == "f")
        for number in range(100):  # what is made while the connection is lost, and what comes later
            elsewhere.create_item(subject=f"s{number}")
            if sink.reached.wait(0.2):
                break
    assert sink.reached.is_set()
    assert "interrupted" in caplog.text
    watch.close()


def test_a_database_that_was_locked_is_watched_again(site_url, server, folder):
    if site_url.startswith("postgresql"):
        pytest.skip("readers wait for nobody there")
    engine, sink = server.records.session.engine, Sink(wanted=3)  # more than the first item can be told
    watch = Watch(server.records, server.log)
    watch.add(everything, sink)
    engine.execute("PRAGMA busy_timeout=0")
    with tallystick.open(site_url) as site:
        items = site.server().user("anna").store.folder("f")
        blocker = sqlite3.connect(site_url, isolation_level=None)
        items.create_item(subject="before")
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageLocked):
            folder.create_item(subject="refused")
        blocker.execute("ROLLBACK")
        blocker.close()
        items.create_item(subject="after")
    assert sink.reached.wait(20)
    watch.close()


def test_a_closed_database_ends_the_thread(server, folder, caplog):
    watch = Watch(server.records, server.log)
    watch.add(everything, Sink())
    thread = watch._thread
    server.close()
    thread.join(10)
    assert not thread.is_alive()
    assert "closed" in caplog.text
    watch.close()
