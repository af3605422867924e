"""What happens when a callback raises, and what callbacks may do to what they are told of (spec ics 3.7, 3.8)."""

import pytest

from tallystick.compat import kopano
from tallystick.compat.kopano import SYNC_NEW_MESSAGE
from tallystick.compat.MAPI.Struct import MAPIErrorNetworkError, MAPIErrorNoAccess, MAPIErrorNotFound
from tallystick.errors import StorageLocked

ENGINES = ("sqlite",)
"""What is tested here is above the database."""

NEW = SYNC_NEW_MESSAGE


class Broken:
    """Raises ``error`` from every callback."""

    def __init__(self, error=ValueError):
        self.calls = []
        self.error = error

    def update(self, item, flags):
        self.calls.append(item.subject)
        raise self.error

    def delete(self, item, flags):
        self.calls.append(item.sourcekey)
        raise self.error

    def read(self, item, status):
        self.calls.append(item.sourcekey)
        raise self.error


@pytest.fixture
def items(folder):
    return [folder.create_item(subject=subject) for subject in "ABC"]


def test_errors_are_counted_and_not_repeated_from_the_new_state(folder, items, told):
    importer, stats = Broken(), {"errors": 0}
    state = folder.sync(importer, stats=stats)
    assert (importer.calls, stats) == (["C", "B", "A"], {"errors": 3})
    assert told(folder, state) == ([], state)


def test_the_old_state_tells_everything_again(folder, items, told):
    before = folder.state
    items[0].subject = "A2"
    folder.sync(Broken(), before)
    assert told(folder, before)[0] == [("U", "A2", 0)]


@pytest.mark.parametrize("stats", ({}, {"a": 1}))
def test_stats_without_errors_are_given_them(folder, items, stats):
    folder.sync(Broken(), stats=stats)
    assert stats["errors"] == 3


def test_no_stats_are_no_problem(folder, items):
    importer = Broken()
    folder.sync(importer)
    assert len(importer.calls) == 3


def test_deletions_and_flags_behind_a_refused_one_are_told_too(folder, items):
    state = folder.state
    kept = folder.create_item(subject="kept")
    folder.delete(items)
    importer, stats = Broken(), {"errors": 0}
    folder.sync(importer, state, stats=stats)
    assert len(importer.calls) == 4
    assert stats["errors"] == 4
    state = folder.state
    kept.read = False
    folder.sync(importer, state, stats=stats)
    assert stats["errors"] == 5


@pytest.mark.parametrize("error", (MAPIErrorNotFound, MAPIErrorNoAccess))
def test_an_object_out_of_reach_is_no_error_of_the_importer(folder, items, error):
    importer, stats = Broken(error), {"errors": 0}
    folder.sync(importer, stats=stats)
    assert (len(importer.calls), stats["errors"]) == (3, 0)


def test_an_interruption_comes_out_at_once(folder, items):
    importer = Broken(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        folder.sync(importer)
    assert importer.calls == ["C"]


def test_what_an_importer_refused_is_listed(server, folder, items):
    state = server.state
    items[0].subject = "A2"
    key = items[1].sourcekey
    folder.delete(items[1])
    folder.sync(Broken())
    server.sync(Broken(RuntimeError("no room")), state)
    assert len(folder.parked) == 2
    told = {(server.text(parked.key), parked.message) for parked in server.parked}
    assert told == {(items[0].sourcekey, "RuntimeError: no room"), (key, "RuntimeError: no room")}


def test_errors_may_be_let_out(folder, items):
    importer = Broken()
    with pytest.raises(ValueError, match=r"^$"):
        folder.sync(importer, on_error="raise")
    assert importer.calls == ["C"]


def test_a_callback_may_be_tried_again(server, folder, items):
    pauses = []
    server.sleep = pauses.append

    class Moody(Broken):
        def update(self, item, flags):
            if len(self.calls) < 2:
                super().update(item, flags)
            self.calls.append(item.subject)

    importer, stats = Moody(), {}
    folder.sync(importer, stats=stats, on_error="retry")
    assert importer.calls == ["C", "C", "C", "B", "A"]
    assert (stats, pauses) == ({}, [0.4, 0.8])


class Busy:
    """Records that are locked for the first few reads."""

    def __init__(self, records, times):
        self._records, self._times = records, times

    def __getattr__(self, name):
        return getattr(self._records, name)

    def records(self, numbers):
        if self._times:
            self._times -= 1
            raise StorageLocked("busy")
        return self._records.records(numbers)


class Late:
    """Makes the database busy as soon as a synchronization has begun."""

    def __init__(self, server, times):
        self.server, self.times, self.told = server, times, []

    @property
    def store(self):
        return None

    @store.setter
    def store(self, store):
        self.server.records = Busy(self.server.records, self.times)

    def update(self, item, flags):
        self.told.append((item.subject, flags))


@pytest.mark.parametrize(("times", "expected"), ((2, [0.4, 0.8]), (5, [0.4, 0.8, 1.6, 3.2, 6.4])))
def test_a_database_that_is_busy_is_waited_for(server, folder, items, times, expected):
    pauses = []
    server.sleep = pauses.append
    importer = Late(server, times)
    folder.sync(importer)
    assert importer.told == [("C", NEW), ("B", NEW), ("A", NEW)]
    assert pauses == expected


def test_a_database_that_stays_busy_is_a_network_error_and_the_old_state_holds(server, folder, items, told):
    server.sleep = lambda seconds: None
    state, records = folder.state, server.records
    items[0].subject = "A2"
    importer = Late(server, 1000)
    with pytest.raises(MAPIErrorNetworkError):
        folder.sync(importer, state)
    assert importer.told == []
    server.records = records
    assert told(folder, state)[0] == [("U", "A2", 0)]


# callbacks that change the folder ----------------------------------------------------------------------------------


class Acting:
    def __init__(self, act):
        self.act = act
        self.told = []

    def update(self, item, flags):
        self.told.append(item.subject)
        self.act(item)


def test_a_callback_may_move_the_item_away(store, folder, told):
    state = folder.state
    keys = [folder.create_item(subject=s).sourcekey for s in ("m1", "m2")]
    importer = Acting(lambda item: folder.move(item, store.inbox))
    state = folder.sync(importer, state)
    assert importer.told == ["m1", "m2"]
    assert told(folder, state)[0] == [("D", keys[0], 0), ("D", keys[1], 0)]


def test_an_item_that_a_callback_deletes_is_not_told_any_more(folder, told):
    state = folder.state
    folder.create_item(subject="a")
    b = folder.create_item(subject="b")
    key = b.sourcekey
    importer = Acting(lambda item: folder.delete(b))
    state = folder.sync(importer, state)
    assert importer.told == ["a"]
    assert told(folder, state)[0] == [("D", key, 0)]


def test_what_a_callback_creates_comes_next_time(folder, told):
    state = folder.state
    folder.create_item(subject="c")
    importer = Acting(lambda item: folder.create_item(subject="d"))
    state = folder.sync(importer, state)
    assert importer.told == ["c"]
    assert told(folder, state)[0] == [("U", "d", NEW)]


def test_an_item_is_told_as_it_is_then_not_as_it_was_at_the_start(folder, told):
    state = folder.state
    a, b = (folder.create_item(subject=s) for s in "ab")
    importer = Acting(lambda item: setattr(b, "subject", "b2") if item == a else None)
    state = folder.sync(importer, state)
    assert importer.told == ["a", "b2"]
    assert told(folder, state)[0] == [("U", "b2", 0)]


def test_every_error_of_the_face_is_an_error_of_the_original():
    for name in ("ConfigError", "DuplicateError", "NotFoundError", "LogonError", "NotSupportedError", "ArgumentError"):
        assert issubclass(getattr(kopano, name), kopano.Error)
