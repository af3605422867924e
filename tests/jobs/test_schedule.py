from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.jobs.schedule import (
    FIRST_RETRY,
    LONGEST_RETRY,
    Cron,
    Every,
    ScheduleError,
    is_full_due,
    next_due,
    parse_schedule,
    retry_after,
    spread,
)

T = datetime(2026, 11, 20, 8, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("90", Every(timedelta(seconds=90))),
        ("90s", Every(timedelta(seconds=90))),
        ("10m", Every(10 * MINUTE)),
        (" 1.5 h ", Every(90 * MINUTE)),
        ("1d", Every(timedelta(days=1))),
        ("*/10 * * * *", Cron("*/10 * * * *")),
        ("0 3 * * 1-5 Europe/Zurich", Cron("0 3 * * 1-5", "Europe/Zurich")),
    ),
)
def test_schedules_are_read(text, expected):
    assert parse_schedule(text) == expected
    assert parse_schedule(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    ("", "soon", "0", "0.5s", "-5m", "* * * *", "99 * * * *", "0 3 * * * Nowhere/Land", "0 0 30 2 *", "* * * * * * *"),
)
def test_what_is_no_schedule_or_never_comes_due_is_refused(text):
    with pytest.raises(ScheduleError):
        parse_schedule(text)


def test_an_interval_counts_from_the_last_start():
    assert next_due(Every(10 * MINUTE), T, T + MINUTE) == T + 10 * MINUTE
    assert next_due(Every(10 * MINUTE), None, T) == T


def test_missed_runs_count_as_one():
    """After a night of being switched off, the task is due once: the next one counts from that start."""
    morning = T + timedelta(hours=9)
    due = next_due(Every(10 * MINUTE), T, morning)
    assert due <= morning
    assert next_due(Every(10 * MINUTE), morning, morning) == morning + 10 * MINUTE


def test_cron_counts_from_the_last_start_and_first_from_now():
    cron = Cron("0 * * * *")
    assert next_due(cron, None, T) == T.replace(hour=9, minute=0, second=0)
    assert next_due(cron, T - timedelta(hours=5), T) == T.replace(hour=4, minute=0, second=0)


def test_cron_follows_its_time_zone_through_a_change_of_the_clock():
    cron = Cron("30 8 * * *", "Europe/Zurich")
    assert next_due(cron, None, datetime(2026, 10, 24, 12, tzinfo=UTC)) == datetime(2026, 10, 25, 7, 30, tzinfo=UTC)
    assert next_due(cron, None, datetime(2026, 10, 23, 12, tzinfo=UTC)) == datetime(2026, 10, 24, 6, 30, tzinfo=UTC)


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_due_times_are_spread_by_a_tenth_and_a_minute_at_most(seconds, drawn):
    schedule = Every(timedelta(seconds=seconds))
    later = spread(schedule, T, lambda: drawn) - T
    assert timedelta(0) <= later <= min(schedule.interval / 10, MINUTE)


def test_spread_and_retry_use_the_randomness_they_are_given():
    assert spread(Every(10 * MINUTE), T, lambda: 0.0) == T
    assert spread(Every(10 * MINUTE), T, lambda: 0.5) == T + MINUTE / 2
    assert spread(Cron("0 3 * * *"), T, lambda: 0.5) == T + MINUTE / 2


def test_failures_wait_longer_and_longer_up_to_an_hour():
    waits = [retry_after(failures, lambda: 1.0) for failures in range(1, 12)]
    assert waits[0] == FIRST_RETRY
    assert waits[1] == 2 * FIRST_RETRY
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_RETRY
    assert retry_after(0, lambda: 1.0) == timedelta(0)
    assert retry_after(3, lambda: 0.0) == 2 * FIRST_RETRY
    assert retry_after(10**9, lambda: 0.0) == LONGEST_RETRY / 2


def test_a_full_pull_is_due_when_it_was_long_ago():
    day = timedelta(days=1)
    assert is_full_due(day, None, T)
    assert is_full_due(day, T - day, T)
    assert not is_full_due(day, T - MINUTE, T)
    assert not is_full_due(None, None, T)
