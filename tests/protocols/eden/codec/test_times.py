from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.eden.codec.times import format_time, parse_date, parse_msince, parse_time
from tallystick.protocols.eden.errors import TimeFormatError


@given(st.datetimes(timezones=st.timezones()))
def test_msince_is_exact_both_ways(moment):
    try:
        second = moment.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        return
    assert parse_msince(format_time(moment)) == second


@pytest.mark.parametrize(
    "text",
    (
        "2026-11-20T09:00:01Z",
        "2026-11-20T09:00:01.5",
        "2026-11-20T09:00:01+00:00",
        "2026-11-20T09:00:01 00:00",
        "2026-11-20",
        "2026-11-20 09:00:01",
        "20261120T090001",
        "2026-13-20T09:00:01",
        "2026-11-20T24:00:01",
        "",
        " 2026-11-20T09:00:01",
        "٢٠٢٦-11-20T09:00:01",
    ),
)
def test_every_other_form_of_msince_is_refused(text):
    with pytest.raises(TimeFormatError) as refused:
        parse_msince(text)
    assert "YYYY-MM-DDTHH:MM:SS" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("2026-11-20T12:00:00", (12, 0, 0)),
        ("2026-11-20T12:00:00+02:00", (10, 0, 0)),
        ("2026-11-20T12:00:00Z", (12, 0, 0)),
        ("2026-11-20 12:00:00.75", (12, 0, 0)),
        ("2026-11-20 12:00", (12, 0, 0)),
        ("2026-11-20", (0, 0, 0)),
        ("20261120T120000", (12, 0, 0)),
        ("Fri, 20 Nov 2026 12:00:00 GMT", (12, 0, 0)),
        ("Fri, 20 Nov 2026 12:00:00 +0100", (11, 0, 0)),
        ("11/20/2026 12:00", (12, 0, 0)),
        ("20.11.2026", (0, 0, 0)),
    ),
)
def test_documents_may_use_any_common_form(text, expected):
    assert parse_time(text) == datetime(2026, 11, 20, *expected, tzinfo=UTC)


@pytest.mark.parametrize("text", ("yesterday-ish", "", "2026-99-99", "0001-01-01T00:00:00+23:00"))
def test_an_unreadable_time_is_a_named_error(text):
    with pytest.raises(TimeFormatError, match="Invalid date/time string"):
        parse_time(text)


def test_times_are_written_in_utc_without_zone_and_fraction():
    moment = datetime(2026, 11, 20, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(moment) == "2026-11-20T10:00:00"
    assert str(parse_date("1815-12-10")) == "1815-12-10"
