"""Stamps rise, follow what was seen, and are not dragged along by clocks that are wrong."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.clock import MAX_AHEAD_MS, advance, from_future, milliseconds_of, observe, stamp_of

times = st.integers(0, 1 << 42)


@given(times, st.integers(0, 65_535))
def test_a_stamp_holds_its_milliseconds(milliseconds, counter):
    assert milliseconds_of(stamp_of(milliseconds, counter)) == milliseconds


@given(st.lists(times, min_size=1, max_size=20))
def test_stamps_of_one_site_rise_whatever_its_clock_does(readings):
    last = 0
    for now in readings:
        stamp = advance(last, now)
        assert stamp > last
        assert milliseconds_of(stamp) >= now
        last = stamp


@given(times, times)
def test_an_edit_of_what_was_seen_gets_a_later_stamp(remote, now):
    seen = stamp_of(min(remote, now + MAX_AHEAD_MS))
    assert advance(observe(0, seen, now), now) > seen


@given(times)
def test_a_stamp_from_the_future_does_not_drag_the_clock_along(now):
    ahead = stamp_of(now + MAX_AHEAD_MS + 1)
    assert from_future(ahead, now)
    assert observe(7, ahead, now) == 7
    assert not from_future(stamp_of(now + MAX_AHEAD_MS), now)


def test_an_older_stamp_does_not_set_the_clock_back():
    assert observe(stamp_of(9), stamp_of(5), 10) == stamp_of(9)
