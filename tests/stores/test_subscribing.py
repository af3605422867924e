"""Subscriptions of folders and stores: what sinks are told, and what one that blocks or raises does to the others."""

import threading

import pytest

import tallystick
from tallystick.stores import Server, SiteRecords


class Sink:
    """Writes down what it is told."""

    def __init__(self):
        self.told = []
        self._changed = threading.Condition()

    def update(self, notification):
        with self._changed:
            self.told.append(notification)
            self._changed.notify_all()

    def wait_for(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= count, 30), self.told
        return [(one.object_type, one.event_type) for one in self.told[:count]]


@pytest.fixture
def other(site_url, folder):
    """The same folder, by another connection."""
    with Server(SiteRecords(tallystick.open(site_url).ledger)) as opened:
        yield opened.user("anna").store.folder("f")


def test_changes_by_other_connections_are_told_and_can_be_fetched_from_the_state(server, folder, other):
    sink = Sink()
    folder.subscribe(sink)
    made = other.create_item(subject="s")
    assert sink.wait_for(2)[0] == ("item", "created")
    first = sink.told[0]
    assert (first.sourcekey, first.folder) == (made.sourcekey, folder.sourcekey)

    fetched = []

    class Importer:
        def update(self, item, flags):
            fetched.append(item.subject)

    folder.sync(Importer(), first.state)
    assert fetched == ["s"]
    server.watch.close()


def test_a_sink_hears_only_what_it_asked_for(server, store, folder):
    everything, deletions = Sink(), Sink()
    store.subscribe(everything.update)
    folder.subscribe(deletions, object_types=["item"], event_types=["deleted"])
    item = folder.create_item(subject="s")
    item.delete()
    assert deletions.wait_for(1) == [("item", "deleted")]
    everything.wait_for(4)
    assert len(deletions.told) == 1
    server.watch.close()


@pytest.mark.parametrize("raised", (RuntimeError, SystemExit))
def test_a_sink_that_raises_or_blocks_hurts_no_other(server, folder, raised):
    stuck, fine = threading.Event(), Sink()

    def raising(notification):
        raise raised("broken")

    folder.subscribe(raising)
    folder.subscribe(lambda notification: stuck.wait(30))
    folder.subscribe(fine, object_types=["item"], event_types=["created"])
    for number in range(3):
        folder.create_item(subject=str(number))
    assert fine.wait_for(3) == [("item", "created")] * 3
    stuck.set()
    server.watch.close()


def test_what_waits_too_long_becomes_a_gap(server, folder):
    stuck, sink = threading.Event(), Sink()

    class Slow:
        def update(self, notification):
            stuck.wait(30)
            sink.update(notification)

    state = folder.state
    folder.subscribe(Slow(), object_types=["item"], event_types=["created"], most=3)
    others = Sink()
    folder.subscribe(others, object_types=["item"], event_types=["created"])
    for number in range(9):
        folder.create_item(subject=str(number))
    others.wait_for(9)
    stuck.set()
    assert ("", "gap") in sink.wait_for(2)
    assert folder.sync(object(), state) != state
    server.watch.close()


def test_a_subscription_that_is_closed_is_told_nothing_more(server, folder):
    ended, going = Sink(), Sink()
    folder.subscribe(ended).close()
    folder.subscribe(going, object_types=["item"])
    folder.create_item(subject="s")
    going.wait_for(1)
    assert ended.told == []
    server.watch.close()
