from datetime import UTC, datetime, timedelta

import pytest

from tallystick.jobs.log import LogEntry, Mode, Result, format_entry, worst
from tallystick.jobs.tasks import Peer, Progress, Run, after_run

T = datetime(2026, 11, 20, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "protocol", "address"),
    (
        ("eden+https://user@host/eden", "eden", "https://user@host/eden"),
        ("sdata+http://h/sdata", "sdata", "http://h/sdata"),
        ("https://hub.example.org/", "native", "https://hub.example.org/"),
        ("files+dir:///media/stick", "files", "dir:///media/stick"),
    ),
)
def test_a_peers_url_names_protocol_and_address(url, protocol, address):
    peer = Peer("p", url)
    assert (peer.protocol, peer.address) == (protocol, address)


def run(result, *, full=False, at=T):
    return Run("r", at, "t", result, at, full=full)


def test_progress_after_good_and_bad_runs():
    later = T + timedelta(hours=1)
    progress = after_run(Progress(), run(Result.SUCCESS, full=True))
    assert progress == Progress(T, T, T, 0)
    progress = after_run(after_run(progress, run(Result.ERROR, at=later)), run(Result.FATAL, at=later))
    assert progress == Progress(later, T, T, 2)
    assert after_run(progress, run(Result.WARNING, at=later)) == Progress(later, later, T, 0)


def test_the_worst_result_counts():
    assert worst(Result.SUCCESS, Result.ERROR, Result.WARNING) is Result.ERROR
    assert worst() is Result.SUCCESS


@pytest.mark.parametrize(
    ("entry", "text"),
    (
        (
            LogEntry(T, "peer", "org_sector", "pull", "outgoing", "import", Result.SUCCESS, False, "3 created"),
            "2026-11-20T08:00:00Z  pull/outgoing  peer  org_sector  success  3 created",
        ),
        (
            LogEntry(T, None, None, "login", "outgoing", None, Result.FATAL, True, "no\n(UID: u) t.f=1: bad"),
            "2026-11-20T08:00:00Z  login/outgoing  -  -  fatal (remote)  no\n    (UID: u) t.f=1: bad",
        ),
        (
            LogEntry(T, "p", "t", "push", "incoming", "import", Result.WARNING),
            "2026-11-20T08:00:00Z  push/incoming  p  t  warning (local)",
        ),
    ),
)
def test_log_entries_are_readable(entry, text):
    assert format_entry(entry) == text


def test_modes_have_edens_numbers():
    assert [mode.wire for mode in (Mode.PULL, Mode.PUSH, Mode.BOTH, Mode.NONE)] == [1, 2, 3, 4]
