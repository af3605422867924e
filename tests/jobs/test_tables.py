"""Moments as they are stored."""

from datetime import UTC, datetime, timedelta

from tallystick.jobs.tables import milliseconds, moment


def test_a_stored_moment_comes_back():
    for stored in (0, 1, 999, 1_774_000_000_001, 1_774_000_000_999):
        assert milliseconds(moment(stored)) == stored
    assert milliseconds(None) is moment(None) is None


def test_what_a_millisecond_is_not_full_of_is_cut_off_as_ledgers_do():
    """Else an action is logged later than the end of its run, whose clock is the ledger's."""
    action = datetime(2026, 11, 27, 6, 0, 0, 700, UTC)
    assert milliseconds(action) == milliseconds(action - timedelta(microseconds=700))
