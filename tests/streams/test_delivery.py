"""Deliveries: importers are told, errors lose nothing, states are returned."""

import logging

import pytest

from tallystick.errors import UsageError
from tallystick.streams.changes import Flag


class Copy:
    """An importer that keeps a copy."""

    def __init__(self):
        self.rows = {}
        self.told = []

    def update(self, change, flags):
        self.told.append((change.key, flags))
        self.rows[change.resource, change.key] = dict(change.content)

    def delete(self, change, flags):
        self.told.append((change.key, "deleted"))
        self.rows.pop((change.resource, change.key), None)


class Broken(Copy):
    """An importer that refuses some keys."""

    def __init__(self, *bad):
        super().__init__()
        self.bad = set(bad)
        self.calls = 0

    def update(self, change, flags):
        if change.key in self.bad:
            self.calls += 1
            raise ValueError(f"no {change.key}")
        super().update(change, flags)


@pytest.fixture
def people(place):
    for key in "abc":
        place.put(key)
    return place.site.resource("person")


def test_an_importer_is_told_of_updates_and_deletions(place, people):
    copy = Copy()
    state = people.deliver(copy)
    assert copy.told == [("a", Flag.NEW), ("b", Flag.NEW), ("c", Flag.NEW)]
    place.put("a", age=5)
    place.delete("b")
    copy.told.clear()
    assert people.deliver(copy, state) != state
    assert copy.told == [("a", Flag.NONE), ("b", "deleted")]


def test_the_state_is_identical_when_nothing_happened(people):
    state = people.deliver(Copy())
    assert people.deliver(Copy(), state) == state


def test_an_importer_need_not_have_every_callback(place, people):
    state = people.deliver(object())
    place.delete("a")
    assert people.deliver(object(), state) != state


def test_the_whole_site_is_delivered(place, people):
    place.put("t", table="town")
    copy = Copy()
    place.site.deliver(copy)
    assert {resource for resource, _ in copy.rows} == {"person", "town"}


def test_max_changes_and_has_more(people):
    copy = Copy()
    reached = people.deliver(copy, max_changes=2)
    assert (len(copy.rows), reached.has_more) == (2, True)
    reached = people.deliver(copy, reached, max_changes=2)
    assert (len(copy.rows), reached.has_more) == (3, False)


def test_what_is_refused_is_logged_counted_and_parked(place, people, caplog):
    stats = {}
    with caplog.at_level(logging.ERROR):
        state = people.deliver(Broken("b"), stats=stats, consumer="index")
    assert stats == {"changes": 2, "errors": 1}
    assert "'b' was refused" in caplog.text
    (parked,) = people.parked
    assert (parked.consumer, parked.key, parked.callback, parked.reason) == ("index", "b", "update", "ValueError: no b")
    assert people.deliver(Copy(), state) == state


def test_parking_alone_logs_nothing(people, caplog):
    people.deliver(Broken("b"), on_error="park")
    assert not caplog.records
    assert len(people.parked) == 1


def test_a_later_delivery_of_the_record_settles_what_was_parked(place, people):
    state = people.deliver(Broken("b"), on_error="park")
    place.put("b", age=9)
    people.deliver(Copy(), state)
    assert people.parked == []


def test_parked_deliveries_can_be_tried_again(place, people):
    state = people.deliver(Broken("b", "c"), on_error="park", consumer="index")
    place.delete("c")
    copy = Copy()
    people.deliver(copy, people.state, consumer="index", retry_parked=True)
    assert copy.told == [("b", Flag.NEW), ("c", "deleted")]
    assert people.parked == []
    assert state


def test_parked_deliveries_belong_to_their_consumer(people):
    state = people.deliver(Broken("b"), on_error="park", consumer="one")
    copy = Copy()
    people.deliver(copy, state, consumer="two", retry_parked=True)
    assert copy.told == []
    assert len(people.parked) == 1


def test_raising_stops_behind_the_last_delivery_that_succeeded(people):
    with pytest.raises(ValueError, match="no b") as caught:
        people.deliver(Broken("b"), on_error="raise")
    copy = Copy()
    people.deliver(copy, caught.value.state)
    assert [key for key, _ in copy.told] == ["b", "c"]


def test_retrying_tries_again_before_it_parks(people):
    broken, pauses = Broken("b"), []
    people.deliver(broken, on_error="retry", sleep=pauses.append)
    assert broken.calls == 6
    assert pauses == sorted(pauses)
    assert len(people.parked) == 1


def test_retrying_is_enough_for_what_passes(people):
    broken = Broken("b")
    people.deliver(broken, on_error="retry", sleep=lambda pause: broken.bad.clear())
    assert len(broken.rows) == 3
    assert people.parked == []


def test_what_passes_when_it_is_tried_again_counts_and_settles_what_was_parked(place, people):
    state, stats = people.deliver(Broken("b"), on_error="park"), {}
    place.put("b", age=9)
    broken = Broken("b")
    people.deliver(broken, state, on_error="retry", stats=stats, sleep=lambda pause: broken.bad.clear())
    assert people.parked == []
    assert stats == {"changes": 1}


def test_an_interruption_comes_out_at_once(people):
    class Interrupted:
        def update(self, change, flags):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        people.deliver(Interrupted())
    assert people.parked == []


def test_an_unknown_way_to_treat_errors_is_refused(people):
    with pytest.raises(UsageError, match="on_error"):
        people.deliver(Copy(), on_error="ignore")


class Mute(Exception):
    """An error that cannot even say what it is."""

    def __str__(self):
        raise RuntimeError("mute")


@pytest.mark.parametrize(("error", "reason"), ((ValueError("\udcff"), "ValueError: \\udcff"), (Mute(), "Mute: (")))
def test_an_error_that_cannot_be_written_down_delays_nobody(people, error, reason, caplog):
    class Refusing(Copy):
        def update(self, change, flags):
            if change.key == "a":
                raise error
            super().update(change, flags)

    copy = Refusing()
    people.deliver(copy)
    assert "a" not in [key for _, key in copy.rows]
    assert len(copy.rows) == people.count - 1
    assert [item.reason[: len(reason)] for item in people.parked] == [reason]
    assert "was refused and is parked" in caplog.text.encode().decode(), "a file takes the log"


def test_a_callback_may_change_what_it_is_told_of(place, people):
    class Writing(Copy):
        def update(self, change, flags):
            super().update(change, flags)
            if len(self.told) <= 3:
                place.put(change.key, age=100)

    writing = Writing()
    state = people.deliver(writing)
    assert len(writing.told) == 3
    people.deliver(writing, state)
    assert len(writing.told) == 6
