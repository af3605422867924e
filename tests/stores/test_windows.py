"""Windows: what they admit, and differences of sets (spec ics 1.4, 5.3)."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import StorageCorrupt
from tallystick.stores.changelog import Kind
from tallystick.stores.windows import (
    Live,
    Window,
    admitted,
    difference,
    edges,
    pack,
    restriction,
    unpack,
    window_of,
)


def live(entry, created=1, content=0, flagged=0, delivered=50, read=True):
    return Live(entry, entry, created, content, flagged, read, delivered)


@pytest.mark.parametrize(
    ("window", "delivered", "inside"),
    (
        (Window(), 5, True),
        (Window(), None, False),
        (Window(begin=5), 5, True),
        (Window(begin=5), 4, False),
        (Window(end=5), 5, False),
        (Window(end=5), 4, True),
        (Window(begin=5, end=9), 8, True),
        (Window(begin=5, end=9), None, False),
    ),
)
def test_a_window_is_half_open_and_admits_nothing_undelivered(window, delivered, inside):
    assert window.admits(delivered) is inside


def test_seconds_win_over_begin_and_end():
    chosen = window_of(1000.0, 60, datetime(2020, 1, 1), datetime(2021, 1, 1))
    assert chosen == Window(begin=940_000_000)


@pytest.mark.parametrize("window", (None, 0))
def test_without_bounds_there_is_no_window(window):
    assert window_of(1000.0, window) is None


def test_bounds_are_local_time_without_zone_and_microseconds():
    begin = datetime(2024, 5, 1, 12, 0, 1, 999999, tzinfo=UTC)
    expected = int(time.mktime((2024, 5, 1, 12, 0, 1, 0, 0, -1))) * 1_000_000
    assert window_of(0.0, None, begin) == Window(expected)
    assert window_of(0.0, None, None, begin) == Window(None, expected)


@pytest.mark.parametrize(
    ("item", "known", "fits", "kind"),
    (
        (live(1), {1}, False, Kind.HARD),
        (live(1, created=11), {1}, True, Kind.CHANGE),
        (live(1, content=11), {1}, True, Kind.CHANGE),
        (live(1, content=11, flagged=12), {1}, True, Kind.CHANGE),
        (live(1, flagged=12), {1}, True, Kind.FLAG),
        (live(1, content=9, flagged=9), {1}, True, None),
        (live(1), set(), True, Kind.NEW),
        (live(1), set(), False, None),
    ),
)
def test_a_difference_tells_each_item_what_applies_first(item, known, fits, kind):
    rows = difference([item], {1} if fits else set(), known, 10)
    assert [row.kind for row in rows] == ([] if kind is None else [kind])


def test_what_is_no_longer_there_ends_the_difference():
    rows = difference([live(3)], {3}, {7, 2, 3}, 10)
    assert [(row.kind, row.entry) for row in rows] == [(Kind.HARD, 2), (Kind.HARD, 7)]


def test_a_flag_is_told_with_its_value():
    assert [row.value for row in difference([live(1, flagged=12, read=False)], {1}, {1}, 10)] == [False]


@given(st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)))
def test_a_difference_turns_what_was_known_into_what_fits(alive, fitting, known):
    items = [live(entry) for entry in sorted(alive, reverse=True)]
    fit = fitting & alive
    held = set(known)
    for row in difference(items, fit, known, 10):
        held = held - {row.entry} if row.kind is Kind.HARD else held | {row.entry}
    assert held == fit


def test_a_restriction_as_the_original_does_it_forgets_saves_flags_and_deletions():
    items = [live(3, created=11), live(2, content=12), live(1, delivered=1)]
    rows = restriction(items, {3, 2}, 10)
    assert [(row.kind, row.entry) for row in rows] == [(Kind.NEW, 3), (Kind.HARD, 1)]


def test_without_a_window_everything_is_admitted():
    items = [live(1, delivered=None), live(2)]
    assert admitted(items, None) == {1, 2}
    assert admitted(items, Window(begin=0)) == {2}


@given(st.sets(st.integers(1, 2**40)))
def test_sets_survive_packing(entries):
    assert unpack(pack(entries)) == entries
    assert pack(entries)


def test_many_neighbours_pack_into_little():
    assert len(pack(range(1, 100_001))) < 1000


def test_a_damaged_set_is_refused():
    with pytest.raises(StorageCorrupt, match="without a state"):
        unpack(b"nonsense")


bounds = st.one_of(st.none(), st.integers(0, 12))
windows = st.builds(Window, bounds, bounds)


@given(windows, windows)
def test_whatever_only_one_window_admits_lies_at_an_edge(before, now):
    for delivered in range(-1, 14):
        if before.admits(delivered) != now.admits(delivered):
            assert any(low <= delivered < high for low, high in edges(before, now))


def test_equal_windows_have_no_edges():
    assert edges(Window(1, 5), Window(1, 5)) == []


def test_a_window_of_a_day_begins_a_day_ago():
    now = datetime(2024, 5, 2, 12)
    chosen = window_of(now.timestamp(), timedelta(days=1).total_seconds())
    assert chosen is not None
    assert chosen.begin == int(datetime(2024, 5, 1, 12).timestamp()) * 1_000_000
