from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.sdata.codec.stamps import (
    later,
    milliseconds_of,
    read_stamp,
    stamp_of,
    stamp_of_milliseconds,
)
from tallystick.protocols.sdata.errors import MalformedMessage


@pytest.mark.parametrize(
    ("text", "stamp"),
    (
        ("2026-03-02T09:30:00Z", "2026-03-02T09:30:00Z"),
        ("2026-03-02T09:30:00z", "2026-03-02T09:30:00Z"),
        ("2026-03-02t09:30:00Z", "2026-03-02T09:30:00Z"),
        (" 2026-03-02T09:30:00Z\n", "2026-03-02T09:30:00Z"),
        ("2026-03-02T09:30:00", "2026-03-02T09:30:00Z"),  # a missing zone is UTC
        ("2026-03-02T10:30:00+01:00", "2026-03-02T09:30:00Z"),
        ("2026-03-02T10:30:00+0100", "2026-03-02T09:30:00Z"),
        ("2026-03-01T23:30:00-10:00", "2026-03-02T09:30:00Z"),
        ("2020-01-01T00:00:00.00+00:00", "2020-01-01T00:00:00Z"),  # as L1 rewrites it
        ("2026-03-02T09:30:00.5Z", "2026-03-02T09:30:00.5Z"),
        ("2026-03-02T09:30:00.120Z", "2026-03-02T09:30:00.12Z"),
        ("2026-03-02T09:30:00.1234567Z", "2026-03-02T09:30:00.1234567Z"),
        ("0999-03-02T09:30:00Z", "0999-03-02T09:30:00Z"),
    ),
)
def test_every_form_is_read_as_utc_and_without_loss(text: str, stamp: str) -> None:
    assert read_stamp(text) == stamp
    assert read_stamp(stamp) == stamp


@pytest.mark.parametrize(
    "text",
    (
        "",
        "yesterday",
        "2026-13-02T09:30:00Z",
        "2026-02-30T09:30:00Z",
        "2026-03-02T25:30:00Z",
        "2026-03-02",
        "2026-03-02T09:30Z",
        "2026-W10-1T09:30:00Z",
        "2026-03-02T093000.0Z",
        "2026-03-02x09:30:00Z",
        "11/20/2026 09:17:56",
        "0001-01-01T00:00:00+14:00",
        "2026-03-02T09:30:00Z; drop",
    ),
)
def test_mangled_dates_are_refused_by_name(text: str) -> None:
    with pytest.raises(MalformedMessage, match="no date and time"):
        read_stamp(text)


@given(
    st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9998, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_a_moment_is_the_same_whatever_zone_it_was_written_in(moment: datetime, minutes: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert read_stamp(elsewhere.isoformat()) == stamp_of(moment) == stamp_of(elsewhere)


@given(st.integers(0, 2**42), st.integers(0, 2**42))
def test_stamps_sort_like_the_times_they_stand_for(one: int, other: int) -> None:
    assert later(stamp_of_milliseconds(one), stamp_of_milliseconds(other)) == (one > other)
    assert milliseconds_of(stamp_of_milliseconds(one)) == one


def test_no_stamp_is_earlier_than_every_other() -> None:
    assert later("0001-01-01T00:00:00Z", "")
    assert not later("", "0001-01-01T00:00:00Z")
    assert milliseconds_of("") == 0
