"""What a session finds of what others have yet to store (spec contexts S2, S5).

| rule | test |
|---|---|
| S2 waits | a_following_session_waits, no_longer_than |
| S2 says | failed, could_not_store, took_too_long, given_up, force_is_still_at_work |
| S5 | died |
| nothing to say | at_work, stores_nothing_there, downloads_nothing, leaves_no_note, never_got_going |
"""

import os
import subprocess
import sys
import threading
from dataclasses import replace

import msgspec
import pytest

from tallystick.contexts import ContextSync, DownloadPolicy, SyncPolicy, UploadPolicy
from tallystick.contexts.sessions.problems import SessionFailed
from tallystick.contexts.sessions.releases import NOTE
from tallystick.contexts.sessions.session import CreateSessionParams

from .conftest import everywhere, files, last, put, sync_of, write

DYING = """
import os, sys
from tallystick import api
from tallystick.contexts import ContextSync
database, context, directory = sys.argv[1:]
session = api.open(database).session(
    context_syncs=[ContextSync(context, "/data")], session_id="dead",
    root=f"{directory}/dead", memory=f"{directory}/memory",
)
session.path("/data/late").write_bytes(b"L")
if %r:
    session.context.upload = lambda everything, begin=session.context.upload: (begin(everything), os._exit(9))
    session.context._worker._thread.submit(__import__("threading").Event().wait)
    session.delete()
os._exit(9)
"""


@pytest.fixture
def create(sessions, tmp_path):
    """Makes sessions that remember in one place."""
    made = []

    def create(*wanted, **given):
        given = {"root": tmp_path / f"root{len(made)}", "memory": tmp_path / "memory", "durable": False, **given}
        made.append(sessions.create(CreateSessionParams(wanted, **given)).session)
        return made[-1]

    yield create
    for session in made:
        session.context.close()


@pytest.fixture
def gate():
    """Holds back what sessions do in their threads until it is set."""
    found = threading.Event()
    yield found
    found.set()


def held_back(session, gate):
    session.context._worker._thread.submit(gate.wait)


def stale(session):
    return [warning for warning in last(session, "download").warnings if warning.startswith("[Stale]")]


@everywhere
def test_a_following_session_waits_for_what_another_one_is_storing(create, context, gate):
    first, second = create(sync_of(context)), create()
    write(first, "/data/a", b"A")
    held_back(first, gate)
    releasing = threading.Thread(target=first.delete)
    waits = []

    def wait(seconds):
        waits.append(seconds)
        gate.set()
        releasing.join()

    second.context._wishes = replace(second.context._wishes, wait=wait)
    releasing.start()
    while first.context.release.note.stage != "releasing":
        pass

    assert second.context.bind(sync_of(context)).success
    assert (len(waits), second.path("/data/a").read_bytes(), stale(second)) == (1, b"A", [])


def test_it_waits_no_longer_than_it_may_and_then_says_what_is_stale(create, context, gate):
    first = create(sync_of(context))
    held_back(first, gate)
    assert first.delete(timeout=0).timed_out
    waits = []
    second = create(wait_seconds=30, maximum_seconds=10)
    second.context._wishes = replace(second.context._wishes, wait=waits.append)

    assert second.context.bind(sync_of(context)).success
    (warning,) = stale(second)
    assert 4 < sum(waits) <= 5, "half of the time that the session has"
    assert f"/data: session {first.session_id} (files in {first.path('/data')}) is being released since 20" in warning


def test_a_release_that_failed_is_told_of_until_it_succeeds(create, host, context):
    first = create(sync_of(context))
    write(first, "/data/a", b"A")
    away = first.path("/data").rename(first.path("/away"))
    assert not first.delete().success

    (warning,) = stale(create(sync_of(context)))
    assert first.session_id in warning
    assert "[RootMissing]" in warning
    assert "release it again, or give it up with force" in warning

    away.rename(first.path("/data"))
    assert first.delete().success
    assert stale(create(sync_of(context))) == []


def test_what_a_release_could_not_store_is_stale_until_a_sync_has_stored_it(create, host, context):
    other = host.create("other").id
    first = create(sync_of(context), sync_of(other, "/other"))
    places = [first.path(path).rename(first.path(f"{path}-away")) for path in ("/data", "/other")]
    assert not first.delete().success
    second = create(sync_of(context), sync_of(other, "/other"))
    rows = {row.path: row.warnings for row in second.context.info().context_status_data}
    assert [len(warnings) for warnings in rows.values()] == [1, 1]

    places[0].rename(first.path("/data"))
    assert first.context.sync(path="/data").success
    third = create(sync_of(context), sync_of(other, "/other"))
    rows = {row.path: len(row.warnings) for row in third.context.info().context_status_data}
    assert rows == {"/data": 0, "/other": 1}

    places[1].rename(first.path("/other"))
    assert first.context.sync(path="/other").success
    assert stale(create(sync_of(other, "/other"))) == []


def test_a_release_that_took_too_long_and_then_stored_everything_leaves_nothing_stale(create, host, context, gate):
    first = create(sync_of(context))
    write(first, "/data/a", b"A")
    held_back(first, gate)
    assert first.delete(timeout=0).timed_out
    gate.set()

    second = create(sync_of(context))

    assert (second.path("/data/a").read_bytes(), stale(second)) == (b"A", [])


def test_what_was_given_up_is_not_told_of(create, context, tmp_path):
    first = create(sync_of(context))
    first.path("/data").rename(first.path("/away"))
    assert first.delete(force=True).success

    assert stale(create(sync_of(context))) == []


def test_what_is_given_up_with_force_is_still_at_work_until_it_is_not(create, context, gate):
    first = create(sync_of(context))
    held_back(first, gate)
    assert first.delete(force=True, timeout=0).success
    assert len(stale(create(sync_of(context), wait_seconds=0))) == 1
    gate.set()
    first.context.close()

    assert stale(create(sync_of(context), wait_seconds=0)) == []


@pytest.mark.parametrize("releasing", (False, True))
def test_a_session_of_another_process_that_died_is_told_of_until_it_is_resumed_and_released(
    create, host, context, tmp_path, releasing
):
    arguments = [str(tmp_path / "site.db"), context, str(tmp_path)]
    assert subprocess.run([sys.executable, "-c", DYING % releasing, *arguments], check=False).returncode == 9

    (warning,) = stale(create(sync_of(context)))
    assert "resume it (session_id='dead', or mount its directory again)" in warning
    assert ("was being released 20" in warning) is releasing

    resumed = create(sync_of(context), session_id="dead", root=tmp_path / "dead")
    assert stale(resumed) == []
    assert stale(create(sync_of(context))) == [], "it lives"
    assert resumed.delete().success
    assert files(host, context) == ["/data/late"]
    assert stale(create(sync_of(context))) == []


def test_a_session_that_is_at_work_is_nothing_to_tell_of(create, context):
    first = create(sync_of(context))
    write(first, "/data/a", b"A")

    assert stale(create(sync_of(context))) == []


def test_a_session_that_stores_nothing_there_is_nothing_to_tell_of(create, host, context):
    other = host.create("other").id
    manual = SyncPolicy(upload_policy=UploadPolicy(auto_upload=False))
    for wanted in (sync_of(other), sync_of(context, "/elsewhere"), ContextSync(context, "/data", manual)):
        create(wanted).context.close()

    assert stale(create(sync_of(context))) == []
    assert len(stale(create(sync_of(context, "/elsewhere/inner")))) == 1


def test_a_session_that_downloads_nothing_by_itself_hears_of_it_with_its_first_download(create, context):
    create(sync_of(context)).context.close()
    second = create(sync_of(context, download_policy=DownloadPolicy(auto_download=False)))
    assert second.context.sync().success
    assert last(second).warnings == []

    for expected in (1, 0):
        assert second.context.sync(mode="download").success
        assert len(stale(second)) == expected


@pytest.mark.parametrize("named", ({}, {"session_id": "named"}))
def test_a_session_that_was_released_leaves_no_note(create, context, tmp_path, named):
    session = create(sync_of(context), **named)
    assert len(list((tmp_path / "memory").glob(f"*/{NOTE}"))) == 1

    assert session.delete().success
    assert list((tmp_path / "memory").glob("*/release*")) == []


@pytest.mark.parametrize(("before", "expected"), ((False, 0), (True, 1)))
def test_a_session_that_never_got_going_leaves_pending_what_was_pending_before(
    create, site, host, context, tmp_path, before, expected
):
    given = {"session_id": "s", "root": tmp_path / "root", "memory": tmp_path / "memory"}
    if before:
        create(sync_of(context), **given).context.close()
    put(host, context, "/data/a", os.urandom(3 << 20))
    (entry,) = host.entries(context, ["/data/a"]).values()
    host.publish(context, "*", [("/data/a", msgspec.structs.replace(entry, digest=bytes(32)))])

    with pytest.raises(SessionFailed):
        site.session(context_syncs=[sync_of(context)], **given)

    assert len(stale(create(sync_of(context)))) == expected
