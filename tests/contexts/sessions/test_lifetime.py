"""Sessions that nobody ends: idle and maximum time, pauses, orderly termination (spec contexts S1, S3, S6)."""

import os
import threading

import pytest

from tallystick import api
from tallystick.contexts.local import LocalHost
from tallystick.contexts.sessions.lifetime import IDLE_SECONDS, MAXIMUM_SECONDS, RETRY_SECONDS, Lifetime
from tallystick.contexts.sessions.session import CreateSessionParams
from tallystick.contexts.sessions.sessions import Sessions
from tallystick.streams.watcher import reopened

from .conftest import files, sync_of, write

SECOND = 10**9


@pytest.mark.parametrize(
    ("used", "now", "said"),
    (
        (0, 299, ""),
        (0, 300, "nothing was done for 300 seconds"),
        (200, 499, ""),
        (200, 500, "nothing was done for 300 seconds"),
        (1700, 1799, ""),
        (1790, 1800, "it ran for 1800 seconds"),
    ),
)
def test_a_session_ends_when_idle_and_when_it_ran_long_enough(used, now, said):
    life = Lifetime(IDLE_SECONDS, MAXIMUM_SECONDS, 0)
    life.use(used * SECOND)

    assert life.reason(now * SECOND) == said


def test_a_limit_that_is_none_never_ends_it():
    assert Lifetime(None, None, 0).reason(10**9 * SECOND) == ""
    assert Lifetime(None, None, 0).seconds_left(5) is None
    assert Lifetime(None, 10, 0).seconds_left(4 * SECOND) == 6


def test_a_pause_counts_neither_as_idle_nor_as_run():
    life = Lifetime(300, 1800, 0)
    life.pause(100 * SECOND)
    assert (life.reason(5000 * SECOND), life.seconds_left(5000 * SECOND)) == ("", None)

    life.resume(5000 * SECOND)
    assert life.reason(5199 * SECOND) == ""
    assert life.reason(5200 * SECOND) != ""


class Clock:
    """Time that moves when a test says so."""

    def __init__(self):
        self.now = 0
        self.begin()

    def begin(self):
        import time

        self.now = time.time_ns()

    def __call__(self):
        return self.now

    def pass_seconds(self, seconds):
        self.now += int(seconds * SECOND)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def timed(site, clock, tmp_path, monkeypatch):
    """Makes sessions whose time the test moves, and looks at what is due only when it says so."""
    monkeypatch.setattr(Sessions, "_watch", lambda self: None)

    def opening():
        mine = reopened(site.ledger)
        return LocalHost(mine, "here", closing=mine.engine.close)

    found = Sessions(opening, clock)
    found.make = lambda *wanted, **given: (
        found.create(
            CreateSessionParams(wanted, root=tmp_path / "root", memory=tmp_path / "memory", durable=False, **given)
        ).session
    )
    yield found
    found.close()


def test_an_idle_session_is_released_and_its_files_are_stored(timed, clock, host, context):
    session = timed.make(sync_of(context))
    write(session, "/data/a", b"A")
    clock.pass_seconds(IDLE_SECONDS + 60)

    assert timed.look() is None
    assert files(host, context) == ["/data/a"]
    assert session.context.sync().error_message == (
        "[SessionReleased] the session was released: nothing was done for 300 seconds"
    )


def test_a_call_or_a_change_in_a_mount_is_no_idleness(timed, clock, host, context):
    session = timed.make(sync_of(context), maximum_seconds=None)
    write(session, "/data/a", b"A")
    clock.pass_seconds(290)
    session.context.info()
    clock.pass_seconds(290)
    assert 0 < timed.look() <= 10

    os.utime(session.path("/data/a"), ns=(clock.now, clock.now))
    clock.pass_seconds(299)
    assert timed.look() > 0
    assert files(host, context) == []

    clock.pass_seconds(2)
    timed.look()
    assert files(host, context) == ["/data/a"]


def test_a_session_that_ran_for_its_time_is_released_although_it_is_used(timed, clock, host, context):
    session = timed.make(sync_of(context), maximum_seconds=1000)
    write(session, "/data/a", b"A")
    for _ in range(10):
        clock.pass_seconds(100)
        session.context.info()
        timed.look()

    assert files(host, context) == ["/data/a"]
    assert "it ran for 1000 seconds" in session.context.released


def test_a_session_whose_files_cannot_be_stored_stays_and_is_released_later(timed, clock, host, context):
    session = timed.make(sync_of(context))
    write(session, "/data/a", b"A")
    away = session.path("/data").with_name("away")
    session.path("/data").rename(away)
    clock.pass_seconds(MAXIMUM_SECONDS)
    assert timed.look() == RETRY_SECONDS
    assert not session.context.released

    away.rename(session.path("/data"))
    clock.pass_seconds(RETRY_SECONDS)
    timed.look()
    assert session.context.released
    assert files(host, context) == ["/data/a"]


def test_a_paused_session_keeps_its_files_is_not_ended_and_answers_nothing_until_it_goes_on(
    timed, clock, host, context
):
    session = timed.make(sync_of(context))
    write(session, "/data/a", b"A")
    assert session.pause().success
    clock.pass_seconds(10 * MAXIMUM_SECONDS)
    assert timed.look() is None

    assert session.path("/data/a").read_bytes() == b"A"
    said = [call().error_message for call in (session.context.sync, session.context.info, session.delete)]
    assert {message.split()[0] for message in said} == {"[SessionPaused]"}
    assert files(host, context) == []

    assert session.resume().success
    assert session.delete().success
    assert not session.resume().success
    assert files(host, context) == ["/data/a"]


def test_what_still_runs_is_released_at_an_orderly_end(tmp_path):
    with api.open(tmp_path / "site.db", create=True) as site:
        host = LocalHost(site.ledger, "here")
        context = host.create("work").id
        params = CreateSessionParams([sync_of(context)], root=tmp_path / "r", memory=tmp_path / "m")
        write(site.sessions.create(params).session, "/data/a", b"A")
        host.close()

    with api.open(tmp_path / "site.db") as site:
        host = LocalHost(site.ledger, "here")
        assert files(host, context) == ["/data/a"]
        host.close()


def test_somebody_looks_without_being_asked(site, host, context, tmp_path):
    params = CreateSessionParams(
        [sync_of(context)], root=tmp_path / "r", memory=tmp_path / "m", idle_seconds=None, maximum_seconds=0
    )
    ended = threading.Event()
    session = site.sessions.create(params).session
    end = session.context.close
    session.context.close = lambda why="": (end(why), ended.set())

    assert session.context.released or ended.wait(20)
    assert "it ran for 0 seconds" in session.context.released


def test_a_session_of_a_block_lives_as_long_as_the_block(site, context, tmp_path):
    with site.session(context_syncs=[sync_of(context)], root=tmp_path / "r", memory=tmp_path / "m") as session:
        assert not session.context.life.is_limited
