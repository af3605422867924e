"""States that cannot be continued from: each is named, and says and has the way back."""

import shutil
import sqlite3

import pytest

import tallystick
from tallystick.errors import StateError, StateExpiredError, StateFutureError, StateInvalidError, StateScopeError
from tallystick.streams.retention import KEPT_DAYS


class Copy:
    """An importer that keeps a copy and knows what it holds."""

    def __init__(self):
        self.rows = {}
        self.told = []

    def update(self, change, flags):
        self.told.append(change.key)
        self.rows[change.resource, change.key] = change.hash

    def delete(self, change, flags):
        self.told.append("-" + change.key)
        self.rows.pop((change.resource, change.key), None)

    def keys(self):
        return {key for _, key in self.rows}


class Knowing(Copy):
    """An importer that can be asked what it holds."""

    def held(self, resource):
        return {key: digest for (wire, key), digest in self.rows.items() if wire == resource}


@pytest.fixture
def people(place):
    for key in "abcd":
        place.put(key)
    return place.site.resource("person")


def purged(place, key="a"):
    place.delete(key)
    place.site.state()
    place.site.purge(-1)


def test_no_state_at_all_is_invalid_whatever_is_asked(people):
    with pytest.raises(StateInvalidError):
        people.changes("nonsense", resync="diff")


def test_a_state_behind_a_purge_has_expired(place, people):
    state = people.deliver(Copy())
    place.put("e")
    place.site.state()
    purged(place, "e")
    with pytest.raises(StateExpiredError, match="resync"):
        people.deliver(Copy(), state)


def test_the_difference_behind_a_purge_is_delivered(place, people):
    copy = Copy()
    state = people.deliver(copy)
    place.put("b", age=9)
    purged(place, "a")
    copy.told.clear()
    reached = people.deliver(copy, state, resync="diff")
    assert sorted(copy.told) == ["-a", "b"]
    assert copy.keys() == set("bcd")
    assert people.deliver(copy, reached) == reached == people.state


def test_a_reader_in_the_middle_of_a_difference_can_stop_anywhere(place, people):
    copy = Copy()
    state = people.deliver(copy)
    purged(place, "a")
    place.put("b", age=9)
    purged(place, "c")
    for _ in range(3):
        reached = people.deliver(copy, state, resync="diff", max_changes=1)
        state = str(reached)
    assert copy.keys() == set("bd")


def test_a_record_that_came_back_is_not_reported_gone(place, people):
    copy = Copy()
    state = people.deliver(copy)
    purged(place, "a")
    place.put("a", age=5)
    people.deliver(copy, state, resync="diff")
    assert copy.keys() == set("abcd")


def test_keys_are_forgotten_after_their_time_and_then_the_reader_must_say_what_it_holds(place, people):
    copy = Knowing()
    state = people.deliver(copy)
    purged(place, "a")
    place.site.ledger.now = lambda now=place.site.ledger.now: now() + (KEPT_DAYS + 1) * 86_400_000
    place.put("z")
    place.site.state()
    purged(place, "z")
    with pytest.raises(StateExpiredError, match="held"):
        people.changes(state, resync="diff")
    copy.told.clear()
    reached = people.deliver(copy, state, resync="diff")
    assert copy.told == ["-a"]
    assert people.deliver(copy, reached) == reached


def test_a_state_of_another_scope_is_named_and_the_difference_delivered(place, people):
    place.put("t", table="town")
    copy = Copy()
    state = people.deliver(copy)
    place.put("a", age=7)
    with pytest.raises(StateScopeError, match="diff"):
        place.site.deliver(copy, state)
    copy.told.clear()
    reached = place.site.deliver(copy, state, resync="diff")
    assert sorted(copy.told) == ["a", "t"]
    assert place.site.deliver(copy, reached) == reached


def test_another_filter_delivers_what_enters_and_what_leaves(place, people):
    place.put("a", age=1)
    place.put("b", age=5)
    place.put("c", age=9)
    place.delete("d")
    copy = Copy()
    state = people.deliver(copy, where="age lt 7")
    assert copy.keys() == set("ab")
    copy.told.clear()
    reached = people.deliver(copy, state, where="age gt 3", resync="diff")
    assert sorted(copy.told) == ["-a", "c"]
    assert people.deliver(copy, reached, where="age gt 3") == reached


def test_the_state_of_another_site_is_named_and_needs_holdings(place, people, tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE person (id TEXT PRIMARY KEY, name TEXT, age INTEGER)")
    connection.execute("INSERT INTO person VALUES ('q', 'x', 1)")
    connection.commit()
    connection.close()
    copy = Knowing()
    with tallystick.open(path) as other:
        other.track()
        state = other.resource("person").deliver(copy)
    with pytest.raises(StateScopeError):
        people.deliver(copy, state)
    with pytest.raises(StateScopeError, match="held"):
        people.changes(state, resync="diff")
    people.deliver(copy, state, resync="diff")
    assert copy.keys() == set("abcd")


def test_a_restored_site_names_states_of_its_lost_future_and_delivers_the_difference(sqlite_place, tmp_path):
    place = sqlite_place
    for key in "abc":
        place.put(key)
    place.site.state()
    place.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = tmp_path / "backup.db"
    shutil.copy(place.url, backup)
    place.put("a", age=50)
    place.put("lost")
    place.delete("b")
    copy = Knowing()
    state = place.site.resource("person").deliver(copy)
    with tallystick.open(backup) as restored:
        people = restored.resource("person")
        with pytest.raises(StateFutureError, match="diff"):
            people.deliver(copy, state)
        copy.told.clear()
        reached = people.deliver(copy, state, resync="diff")
        assert sorted(copy.told) == ["-lost", "a", "b"]
        assert people.deliver(copy, reached) == reached


def test_every_refusal_says_what_to_do(place, people):
    state = people.deliver(Copy())
    purged(place)
    for call in (lambda: people.changes(state), lambda: place.site.changes(state)):
        with pytest.raises(StateError) as caught:
            call()
        assert caught.value.hint


def test_a_state_from_before_a_table_was_tracked_again_is_named_and_the_difference_delivered(place, people):
    copy = Knowing()
    state = people.deliver(copy)
    whole = place.site.state()
    place.site.untrack("person")
    place.delete("a")
    place.site.track("person")
    people = place.site.resource("person")
    with pytest.raises(StateFutureError, match="tracked a table anew"):
        people.changes(state)
    with pytest.raises(StateFutureError):
        place.site.changes(whole)
    people.deliver(copy, state, resync="diff")
    assert copy.keys() == set("bcd")
