"""Sessions from create to release, here and at a served site (spec contexts A.3, B.9, B.12).

| rule | test |
|---|---|
| A.3 bind | nothing_given, a_path_is_bound_once, several_are_all_or_nothing, a_context_that_is_not_there |
| A.3 bind, list_bindings, info, T2 | (test_tasks) |
| A.3 sync | only_the_tasks_of_this_call, a_filter_that_matches_nothing, no_bindings, unknown_modes, callback |
| A.3 create | a_failed_first_download, without_waiting |
| A.3, S3 delete | a_failed_upload_keeps_the_session |
| S1 | only_what_uploads_by_itself |
| S5 | a_session_that_crashed_goes_on |
| S6 | after_release |
| K3 | mounts_nest, the_same_keys_twice |
| C1, C2 | two_sessions |
| C4 | a_context_deleted_while_bound, a_context_cleared_while_bound |
| G1, G3 | mass_deletions, another_root |
| T3, T4 | a_plan |
"""

import asyncio
import os
import shutil
import threading
from pathlib import Path

import pytest

from tallystick.contexts import (
    BWList,
    ContextListParams,
    ContextSync,
    DownloadPolicy,
    MappingPolicy,
    RecyclePolicy,
    SyncPolicy,
    UploadMode,
    UploadPolicy,
    WhiteList,
)
from tallystick.contexts.sessions.asynchronous import AsyncSession
from tallystick.contexts.sessions.problems import ReleaseFailed, SessionFailed
from tallystick.contexts.sessions.session import CreateSessionParams

from .conftest import everywhere, files, last, put, sync_of, write


@everywhere
def test_the_whole_road_up_and_down(opened, host, context):
    first = opened(sync_of(context))
    write(first, "/data/sub/a.txt", b"A")

    assert first.delete().success
    second = opened(sync_of(context))

    assert second.path("/data/sub/a.txt").read_bytes() == b"A"
    assert files(host, context) == ["/data/sub/a.txt"]


def test_a_with_block_of_a_site_uploads_at_its_end(site, host, context, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with site.session(context_syncs=[sync_of(context)]) as session:
        write(session, "/data/a", b"A")
        root = session.path("/data")

    assert files(host, context) == ["/data/a"]
    assert not root.exists()
    with pytest.raises(SessionFailed, match="ContextNotFound"):
        site.session(context_syncs=[ContextSync("ctx-none", "/data")])


@everywhere
def test_awaited_sessions_do_the_same(sessions, host, context, tmp_path):
    async def work():
        params = CreateSessionParams([sync_of(context)], root=tmp_path / "r", memory=tmp_path / "m")
        async with await AsyncSession.create(sessions, params) as session:
            write(session.session, "/data/a", b"A")
            assert (await session.context.sync()).success
            assert (await session.context.plan()).actions == {"/data": []}
            assert len((await session.context.list_bindings()).bindings) == 1
            rows = (await session.context.info()).context_status_data
        return [(row.task_type, row.status) for row in rows]

    assert asyncio.run(work()) == [("download", "Success"), ("upload", "Success")]
    assert files(host, context) == ["/data/a"]


# Binding --------------------------------------------------------------------------------------------------------------


def test_nothing_given_to_bind_is_unsuccessful(opened):
    result = opened().context.bind()

    assert (result.success, "No contexts provided" in result.error_message) == (False, True)


ARCHIVED_ABOVE = SyncPolicy(upload_policy=UploadPolicy(upload_mode=UploadMode.ARCHIVE, archive_exclude_paths=["../x"]))


@pytest.mark.parametrize(
    ("wanted", "field"),
    (
        (ContextSync(None, "/d"), "context_id"),
        (ContextSync("c", None), "path"),
        (ContextSync("c", "relative"), "path"),
        (ContextSync("c", "/"), "path"),
        (ContextSync("c", "c:\\"), "path"),
        (ContextSync("c", "/a/../b"), "path"),
        (ContextSync("c", "/d", SyncPolicy(mapping_policy=MappingPolicy("x"))), "mapping_policy.path"),
        (ContextSync("c", "/d", ARCHIVED_ABOVE), "upload_policy.archive_exclude_paths"),
        (ContextSync("c", "/d", SyncPolicy(bw_list=BWList([WhiteList("a/../b")]))), "bw_list.path"),
        (ContextSync("c", "/d", SyncPolicy(bw_list=BWList([WhiteList("a", ["../b"])]))), "bw_list.exclude_paths"),
        (ContextSync("c", "/d", SyncPolicy(recycle_policy=RecyclePolicy(paths=["/d/.."]))), "recycle_policy.paths"),
    ),
)
def test_a_binding_that_cannot_be_is_refused_with_its_field(opened, wanted, field):
    session = opened()

    result = session.context.bind(wanted)

    assert result.error_message.startswith(f"[InvalidBinding] {field}")
    assert session.context.list_bindings().bindings == []


def test_a_path_is_bound_once(opened, host, context):
    session = opened(sync_of(context))

    assert session.context.bind(sync_of(host.create("b").id)).error_message.startswith("[PathAlreadyBound]")


def test_the_same_keys_twice_are_refused(opened, context):
    session = opened(sync_of(context))

    assert session.context.bind(sync_of(context, "/data/in")).error_message.startswith("[PrefixAlreadyBound]")


@everywhere
def test_several_are_all_or_nothing(opened, context):
    session = opened()

    result = session.context.bind(sync_of(context), ContextSync("ctx-none", "/b"))

    assert result.error_message.startswith("[ContextNotFound]")
    assert session.context.list_bindings().bindings == []
    assert not session.path("/data").exists()


def test_mounts_nest_and_each_has_its_own_files(opened, host, context):
    other = host.create("inner").id
    session = opened(sync_of(context), sync_of(other, "/data/in"))
    write(session, "/data/a", b"A")
    write(session, "/data/in/b", b"B")

    assert session.delete().success
    assert (files(host, context), files(host, other)) == (["/data/a"], ["/data/in/b"])


def test_contexts_are_listed_by_the_session_that_has_bound_them(site, host, context, tmp_path):
    host.create("unbound")
    params = CreateSessionParams([sync_of(context)], root=tmp_path / "r", memory=tmp_path / "m")
    session = site.sessions.create(params).session

    def listed():
        found = site.contexts.list(ContextListParams(session_id=session.session_id))
        return [item.name for item in found.contexts]

    assert listed() == ["work"]
    session.delete()
    assert listed() == []


# Tasks ----------------------------------------------------------------------------------------------------------------


def test_a_sync_is_judged_by_its_own_tasks_not_by_earlier_rows(opened, host, context):
    session = opened(sync_of(context))
    assert session.context.sync().success
    shutil.rmtree(session.path("/data"))

    result = session.context.sync()

    assert (result.success, result.error_message.startswith("[RootMissing]")) == (False, True)
    assert result.task_ids == [last(session).task_id]


def test_a_wait_that_is_over_is_no_success(opened, context):
    session = opened(sync_of(context))
    gate = threading.Event()
    session.context._worker._thread.submit(gate.wait)
    try:
        result = session.context.sync(max_retries=2, retry_interval=1)
    finally:
        gate.set()

    assert result.error_message.startswith("[TimedOut]")


def test_a_filter_that_matches_nothing_is_not_bound(opened, context):
    session = opened(sync_of(context))

    assert session.context.sync(path="/other").error_message.startswith("[NotBound]")
    assert session.context.sync(context_id="ctx-other").error_message.startswith("[NotBound]")


def test_a_session_without_bindings_syncs(opened):
    assert opened().context.sync().success


def test_unknown_modes_are_refused(opened, context):
    session = opened(sync_of(context))

    assert session.context.sync(mode="sideways").error_message.startswith("[InvalidMode]")
    assert session.context.sync(reconcile="luck").error_message.startswith("[InvalidMode]")


@everywhere
def test_a_callback_hears_how_it_ended(opened, host, context):
    session = opened(sync_of(context))
    write(session, "/data/a", b"A")
    heard, done = [], threading.Event()

    result = session.context.sync(mode="both", callback=lambda succeeded: (heard.append(succeeded), done.set()))

    assert (result.success, len(result.task_ids), done.wait(60), heard) == (True, 2, True, [True])
    assert files(host, context) == ["/data/a"]


def test_a_plan_says_what_would_be_done_and_does_nothing(opened, host, context):
    session = opened(sync_of(context))
    write(session, "/data/a", b"A")

    (action,) = session.context.plan("upload").actions["/data"]

    assert (action.verb, action.side, action.path, action.reason) == ("put", "store", "a", "local new, remote absent")
    put(host, context, "/data/b", b"B")
    both = session.context.plan("both").actions["/data"]
    assert [(action.side, action.path) for action in both] == [("mount", "b"), ("store", "a")]
    assert files(host, context) == ["/data/b"]
    assert session.context.plan("sideways").error_message.startswith("[InvalidMode]")


def test_mirror_makes_the_target_equal_to_the_source(opened, host, context):
    put(host, context, "/data/theirs", b"T")
    session = opened(sync_of(context))
    write(session, "/data/mine", b"M")

    assert session.context.sync(mode="download", reconcile="mirror").success
    assert [path.name for path in session.path("/data").iterdir()] == ["theirs"]


@pytest.mark.parametrize("reconcile", ("newer", "mirror"))
def test_what_loses_its_name_in_a_mount_is_kept_and_outlives_the_session(opened, host, context, reconcile):
    put(host, context, "/data/a", b"old")
    session = opened(sync_of(context))
    write(session, "/data/a", b"mine")
    os.utime(session.path("/data/a"), (1, 1))
    put(host, context, "/data/a", b"theirs")

    assert session.context.sync(mode="download", reconcile=reconcile).success
    assert session.path("/data/a").read_bytes() == b"theirs"
    (warning,) = last(session).warnings
    assert warning.startswith("[replaced] a: ")
    assert session.delete().success
    assert Path(warning.rpartition(" ")[2]).read_bytes() == b"mine"


# Creating and releasing -----------------------------------------------------------------------------------------------


def test_a_failed_first_download_comes_with_the_session_and_deletes_nothing(sessions, host, context, tmp_path):
    put(host, context, "/data/a", b"A")
    put(host, context, "/data/b", b"B")
    given = {"session_id": "s", "root": tmp_path / "r", "memory": tmp_path / "m"}
    sessions.create(CreateSessionParams([sync_of(context)], **given)).session.delete()
    (tmp_path / "r" / "data").rename(tmp_path / "unmounted")

    result = sessions.create(CreateSessionParams([sync_of(context)], **given))

    assert (result.success, result.error_message.startswith("[RootMissing]")) == (False, True)
    assert not result.session.delete().success
    assert files(host, context) == ["/data/a", "/data/b"]
    result.session.context.close()


def test_a_mount_that_cannot_be_a_directory_is_refused(sessions, host, context, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "data").write_bytes(b"in the way")

    result = sessions.create(CreateSessionParams([sync_of(context)], root=tmp_path / "r", memory=tmp_path / "m"))

    assert (result.success, result.session, "/data" in result.error_message) == (False, None, True)


def test_a_context_may_be_left_out_of_the_wait(opened, context):
    session = opened(ContextSync(context, "/data", None, beta_wait_for_completion=False))

    assert session.context.sync(mode="download").success


def test_only_what_uploads_by_itself_is_uploaded_unless_all_is_asked_for(opened, sessions, host, context):
    manual = {"upload_policy": UploadPolicy(auto_upload=False), "download_policy": DownloadPolicy(auto_download=False)}
    first = opened(sync_of(context, **manual))
    write(first, "/data/a", b"A")
    assert first.delete().success
    assert files(host, context) == []

    second = opened(sync_of(context, **manual), root=first.context.place.root)
    assert sessions.delete(second, sync_context=True).success
    assert files(host, context) == ["/data/a"]


def test_a_failed_upload_keeps_the_session_until_it_succeeds_or_is_forced(opened, host, context):
    session = opened(sync_of(context))
    write(session, "/data/a", b"A")
    away = session.path("/data").with_name("away")
    session.path("/data").rename(away)

    failed = session.delete(sync_context=True)
    assert (failed.success, failed.release_failed, failed.timed_out) == (False, True, False)
    assert failed.error_message.startswith("[RootMissing]")

    away.rename(session.path("/data"))
    assert session.delete(sync_context=True).success
    assert files(host, context) == ["/data/a"]


def test_a_release_that_takes_too_long_is_unsuccessful_keeps_the_files_and_may_be_tried_again(opened, host, context):
    session = opened(sync_of(context))
    write(session, "/data/a", b"A")
    gate = threading.Event()
    session.context._worker._thread.submit(gate.wait)
    try:
        late = session.delete(timeout=0.01)
    finally:
        gate.set()

    assert (late.success, late.timed_out, "timed out" in late.error_message) == (False, True, True)
    assert session.path("/data/a").read_bytes() == b"A"
    assert session.delete().success
    assert files(host, context) == ["/data/a"]


def test_a_forced_release_does_not_wait_for_what_takes_too_long(opened, context, tmp_path):
    session, gate = opened(sync_of(context)), threading.Event()
    session.context._worker._thread.submit(gate.wait)
    try:
        result = session.delete(force=True, timeout=0.01)
        assert (result.success, result.timed_out, result.lost) == (True, True, ["/data"])
        assert session.context.sync().error_message.startswith("[SessionReleased]")
        assert any((tmp_path / "memory0" / session.session_id).iterdir()), "somebody may be at work in it"
    finally:
        gate.set()
    session.context.close()
    assert not (tmp_path / "memory0" / session.session_id).exists()


def test_a_forced_release_says_what_was_lost(opened, context):
    session = opened(sync_of(context))
    shutil.rmtree(session.path("/data"))

    result = session.delete(force=True)

    assert (result.success, result.lost) == (True, ["/data"])


def test_leaving_a_with_block_says_when_files_could_not_be_stored(opened, context):
    session = opened(sync_of(context))
    shutil.rmtree(session.path("/data"))

    with pytest.raises(ReleaseFailed, match="RootMissing"), session:
        pass


def test_after_release_every_call_is_refused(opened, context):
    session = opened(sync_of(context))
    session.delete()

    calls = [session.context.sync, session.context.info, session.context.list_bindings, session.context.bind]
    assert {call().error_message.split()[0] for call in (*calls, session.delete)} == {"[SessionReleased]"}


def test_a_session_that_crashed_goes_on_without_reviving_deletions(opened, host, context, tmp_path):
    put(host, context, "/data/a", b"A")
    put(host, context, "/data/b", b"B")
    given = {"session_id": "s1", "root": tmp_path / "root"}
    crashed = opened(sync_of(context), **given)
    write(crashed, "/data/new", b"N")
    crashed.path("/data/a").unlink()
    shutil.copytree(tmp_path / "memory0", tmp_path / "memory1")
    crashed.context.close()

    assert opened(sync_of(context), **given).delete().success
    assert files(host, context) == ["/data/b", "/data/new"]


# Together -------------------------------------------------------------------------------------------------------------


@everywhere
def test_two_sessions_land_in_full_and_a_conflict_keeps_both(opened, host, context):
    put(host, context, "/data/same", b"old")
    one, other = opened(sync_of(context)), opened(sync_of(context))
    write(one, "/data/one", b"1")
    write(other, "/data/other", b"2")
    write(one, "/data/same", b"first")
    write(other, "/data/same", b"second")

    assert one.delete().success
    assert other.delete().success

    stored = files(host, context)
    assert [key for key in stored if "conflict" not in key] == ["/data/one", "/data/other", "/data/same"]
    assert len(stored) == 4


@everywhere
def test_a_context_deleted_while_bound_leaves_the_mount_alone(opened, host, context):
    session = opened(sync_of(context))
    write(session, "/data/a", b"A")
    host.delete(context)

    assert session.context.sync().error_message.startswith("[ContextNotFound]")
    assert session.path("/data/a").read_bytes() == b"A"


@everywhere
def test_a_context_cleared_while_bound_leaves_the_mounts_as_they_are(opened, host, context):
    for name in "ab":
        put(host, context, f"/data/{name}", b"x")
    session = opened(sync_of(context))
    host.clear(context)

    assert session.context.sync(mode="download").error_message.startswith("[DeletionsHeld]")
    assert sorted(path.name for path in session.path("/data").iterdir()) == ["a", "b"]
    assert session.context.sync().success
    assert files(host, context) == []


def test_another_directory_in_the_place_of_the_mount_stops_everything(opened, host, context):
    put(host, context, "/data/a", b"A")
    session = opened(sync_of(context))
    session.path("/data").rename(session.path("/away"))
    write(session, "/data/b", b"B")

    assert session.context.sync().error_message.startswith("[RootChanged]")
    assert files(host, context) == ["/data/a"]


def test_mass_deletions_are_held_until_they_are_confirmed(opened, host, context):
    for number in range(12):
        put(host, context, f"/data/f{number:02}", b"x")
    session = opened(sync_of(context))
    for path in list(session.path("/data").iterdir()):
        path.unlink()
    write(session, "/data/new", b"N")

    held = session.context.sync()
    assert held.error_message.startswith("[DeletionsHeld]")
    assert (len(last(session).held), len(files(host, context))) == (12, 13)

    assert session.context.sync(confirm_deletions=True).success
    assert files(host, context) == ["/data/new"]
