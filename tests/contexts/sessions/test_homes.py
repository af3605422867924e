"""What sessions leave in their homes, and for how long (spec contexts D.1, X3)."""

import time

import pytest

from tallystick.contexts.local import LocalHost
from tallystick.contexts.sessions.session import CreateSessionParams
from tallystick.contexts.sessions.sessions import Sessions
from tallystick.streams.watcher import reopened

from .conftest import put, sync_of, write

DAY = 86_400 * 10**9


@pytest.fixture
def later(site, tmp_path):
    """Makes sessions that remember in one place, on that day from now on."""
    now, days, made = time.time_ns(), [0], []
    sessions = Sessions(lambda: LocalHost(reopened(site.ledger), "here"), lambda: now + days[0] * DAY)

    def create(number, *wanted, **given):
        days[0] = number
        given = {"idle_seconds": None, "maximum_seconds": None, "durable": False, **given}
        params = CreateSessionParams(wanted, root=tmp_path / f"root{len(made)}", memory=tmp_path / "memory", **given)
        made.append(sessions.create(params).session)
        return made[-1]

    create.days = days
    yield create
    for session in made:
        session.context.close()


@pytest.mark.parametrize("named", (False, True))
@pytest.mark.parametrize("ends", (False, True))
def test_what_lost_its_name_goes_after_thirty_days_when_some_session_starts_or_ends(
    later, host, context, tmp_path, ends, named
):
    put(host, context, "/data/a", b"old")
    session = later(0, sync_of(context), **({"session_id": "named"} if named else {}))
    write(session, "/data/a", b"mine")
    put(host, context, "/data/a", b"theirs")
    assert session.context.sync(mode="download", reconcile="mirror").success
    assert session.delete().success

    running = later(29)
    (kept,) = (tmp_path / "memory").glob("*/*.history/*/a")
    assert kept.read_bytes() == b"mine"
    if ends:
        later.days[0] = 31
        running.delete()
    else:
        later(31)
    assert list((tmp_path / "memory").glob("*/*.history")) == []
    assert [home.name for home in (tmp_path / "memory").iterdir()] == ["named"] * named
    assert len(list((tmp_path / "memory").glob("named/*.db"))) == named


@pytest.mark.parametrize("strange", ("x.history", "history", f"{'a' * 32}.history.kept"))
def test_only_what_sessions_have_kept_is_removed_from_where_they_remember(later, tmp_path, strange):
    found = tmp_path / "memory" / "of-others" / strange / "20000101T000000.000000Z"
    found.mkdir(parents=True)

    later(0)

    assert found.exists()
