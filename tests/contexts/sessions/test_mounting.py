"""Policies in action: what a mount shows and what the store gets (spec contexts B.1-B.4, B.6-B.8).

| rule | test |
|---|---|
| K1 | keys_are_full_paths, one_context_at_two_paths |
| K3 | a_mount_below_another |
| K6 | a_changed_white_list |
| K7 | links_modes_and_empty_directories |
| U1 | (test_session) only_what_uploads_by_itself |
| U2, T3 | nothing_new |
| U3 | an_upload_never_alters_the_mount |
| L1, L4 | without_auto_download |
| L2, L3 | a_download_keeps_local_edits |
| X1 | deletions_are_uploaded, additive_uploads |
| X4 | deletions_by_others |
| R2, R3 | expired_files |
| R4, R5 | rules_are_stored |
| W1-W4 | white_lists |
| W5 | idle_entries, explain |
| M1, M2 | mapping, drive_letters |
| G5 | (test_tasks) until_the_first_download |
"""

import os

import pytest

from tallystick import api
from tallystick.contexts import (
    BWList,
    DeletePolicy,
    DownloadPolicy,
    Lifecycle,
    MappingPolicy,
    RecyclePolicy,
    SyncPolicy,
    WhiteList,
)
from tallystick.contexts.local import LocalHost
from tallystick.contexts.sessions.session import CreateSessionParams
from tallystick.contexts.sessions.sessions import Sessions
from tallystick.streams.watcher import reopened

from .conftest import files, keys, last, put, sync_of, write

DAY = 24 * 3600 * 1000


def shown(session, path="/data"):
    root = session.path(path)
    return sorted(str(found.relative_to(root)) for found in root.rglob("*") if not found.is_dir())


def test_keys_are_full_paths_and_only_those_below_the_mount_arrive(opened, host, context):
    put(host, context, "/data/r.txt", b"R")
    put(host, context, "/other/s.txt", b"S")

    assert shown(opened(sync_of(context))) == ["r.txt"]


def test_a_mount_below_another_takes_its_subtree_out_of_scope_and_deletes_nothing(opened, host, context):
    session, inner = opened(sync_of(context)), host.create("inner").id
    write(session, "/data/in/x", b"X")
    assert session.context.sync().success
    put(host, inner, "/data/in/y", b"Y")

    assert session.context.bind(sync_of(inner, "/data/in")).success
    write(session, "/data/in/z", b"Z")
    (session.path("/data/in/x")).unlink()

    assert session.delete(sync_context=True).success
    assert files(host, context) == ["/data/in/x"]
    assert files(host, inner) == ["/data/in/y", "/data/in/z"]


def test_one_context_at_two_paths_is_two_trees(opened, host, context):
    session = opened(sync_of(context, "/one"), sync_of(context, "/two"))
    write(session, "/one/a", b"1")
    write(session, "/two/a", b"2")

    assert session.delete().success
    assert files(host, context) == ["/one/a", "/two/a"]


def test_links_modes_times_and_empty_directories_make_the_round_trip(opened, context, tmp_path):
    first = opened(sync_of(context))
    write(first, "/data/run", b"#!")
    os.chmod(first.path("/data/run"), 0o755)
    os.utime(first.path("/data/run"), ns=(5, 1_600_000_000_123_456_789))
    os.mkdir(first.path("/data/empty"))
    os.symlink("run", first.path("/data/link"))
    os.symlink("/etc/passwd", first.path("/data/out"))
    assert first.context.sync().success
    assert any("out" in warning for warning in last(first).warnings)

    second = opened(sync_of(context))

    found = second.path("/data/run").stat()
    assert (found.st_mode & 0o777, found.st_mtime_ns) == (0o755, 1_600_000_000_123_456_789)
    assert (second.path("/data/link").readlink().name, second.path("/data/empty").is_dir()) == ("run", True)
    assert not os.path.lexists(second.path("/data/out"))


def test_an_upload_with_nothing_new_succeeds_and_writes_no_manifest(opened, host, context):
    session = opened(sync_of(context))
    write(session, "/data/a", b"A")
    session.context.sync()
    version = host.find(context).version

    assert session.context.sync().success
    assert (last(session).status, last(session).files_done) == ("Success", 0)
    assert host.find(context).version == version


def test_an_upload_never_alters_the_mount_nor_a_download_the_store(opened, host, context):
    session = opened(sync_of(context))
    put(host, context, "/data/theirs", b"T")
    write(session, "/data/mine", b"M")

    session.context.sync(mode="download")
    assert files(host, context) == ["/data/theirs"]
    put(host, context, "/data/later", b"L")
    session.context.sync(mode="upload")
    assert shown(session) == ["mine", "theirs"]


def test_without_auto_download_absence_deletes_nothing_and_overwriting_works(opened, host, context):
    put(host, context, "/data/a", b"A")
    put(host, context, "/data/sub/b", b"B")
    session = opened(sync_of(context, download_policy=DownloadPolicy(auto_download=False)))
    assert (shown(session), session.context.info().context_status_data) == ([], [])
    write(session, "/data/a", b"mine")

    assert session.context.sync().success
    assert files(host, context) == ["/data/a", "/data/sub/b"]
    assert host.entries(context, ["/data/a"])["/data/a"].size == 4

    assert session.context.sync(mode="download").success
    assert shown(session) == ["a", "sub/b"]


def test_a_download_keeps_local_edits_and_both_sides_of_a_conflict(opened, host, context, tmp_path):
    put(host, context, "/data/a", b"theirs")
    (tmp_path / "root" / "data").mkdir(parents=True)
    (tmp_path / "root" / "data" / "a").write_bytes(b"mine")

    session = opened(sync_of(context), root=tmp_path / "root")

    assert sorted(path.read_bytes() for path in session.path("/data").iterdir()) == [b"mine", b"theirs"]
    assert last(session).conflicts == ["a"]


def test_deletions_are_uploaded_and_those_of_others_arrive(opened, host, context):
    for name in ("a", "b", "c"):
        put(host, context, f"/data/{name}", b"x")
    one, other = opened(sync_of(context)), opened(sync_of(context))
    one.path("/data/a").unlink()

    assert one.context.sync().success
    assert other.context.sync(mode="download").success
    assert (files(host, context), shown(other)) == (["/data/b", "/data/c"], ["b", "c"])


def test_additive_uploads_keep_what_was_deleted_here(opened, host, context):
    put(host, context, "/data/a", b"A")
    put(host, context, "/data/b", b"B")
    keep = {"delete_policy": DeletePolicy(sync_local_file=False)}
    session = opened(sync_of(context, **keep))
    session.path("/data/a").unlink()
    write(session, "/data/b", b"changed")

    assert session.context.sync(mode="both").success
    assert session.context.sync(mode="both").success

    assert (shown(session), files(host, context)) == (["b"], ["/data/a", "/data/b"])
    assert shown(opened(sync_of(context, **keep))) == ["a", "b"]


# White lists ----------------------------------------------------------------------------------------------------------

TREE = ("src/a", "src/tmp/b", "src/tmp/keep/c", "src2/d", "project-x/cache/e", "project-x/f", "g")


@pytest.mark.parametrize(
    ("lists", "expected"),
    (
        ([], TREE),
        ([WhiteList("/")], TREE),
        ([WhiteList("/src")], ("src/a", "src/tmp/b", "src/tmp/keep/c")),
        ([WhiteList("/src", ["/tmp"])], ("src/a",)),
        ([WhiteList("/data/src", ["/data/src/tmp"]), WhiteList("src/tmp/keep")], ("src/a", "src/tmp/keep/c")),
        ([WhiteList("g")], ("g",)),
        ([WhiteList("project-.*", ["cache.*"], True, True)], ("project-x/f",)),
    ),
)
def test_white_lists_govern_what_goes_up_and_what_comes_down(opened, host, context, lists, expected):
    session = opened(sync_of(context, bw_list=BWList(lists)))
    for path in TREE:
        write(session, f"/data/{path}", path.encode())
    for path in TREE:
        put(host, context, f"/data/new-{path}" if path == "g" else f"/data/{path}-new", b"N")

    assert session.context.sync(mode="both").success

    up = [key for key in files(host, context) if "new" not in key]
    assert up == sorted(f"/data/{path}" for path in expected)
    down = {path.removesuffix("-new") for path in shown(session) if path.endswith("-new")}
    assert down == set(expected) - {"g"}


def test_what_is_out_of_scope_is_not_deleted_and_a_changed_white_list_starts_anew(opened, host, context, tmp_path):
    for path in ("src/a", "doc/b"):
        put(host, context, f"/data/{path}", b"x")
    given = {"session_id": "s", "root": tmp_path / "r", "memory": tmp_path / "m"}

    def session(*lists):
        params = CreateSessionParams([sync_of(context, bw_list=BWList([*lists]))], **given)
        return api.sessions(host.ledger.engine.path).create(params).session

    narrow = session(WhiteList("src"))
    assert shown(narrow) == ["src/a"]
    assert narrow.delete().success
    wide = session()
    assert shown(wide) == ["doc/b", "src/a"]
    assert wide.delete().success
    (tmp_path / "r" / "data" / "doc" / "b").unlink()
    again = session(WhiteList("src"))
    assert again.delete().success
    assert files(host, context) == ["/data/doc/b", "/data/src/a"]


def test_idle_entries_are_warned_about_and_explain_says_why(opened, context):
    session = opened(sync_of(context, bw_list=BWList([WhiteList("src", ["tmp"]), WhiteList("nowhere")])))
    write(session, "/data/src/a", b"A")
    session.context.sync()

    assert last(session).warnings == ["[idle] the white list entry 'nowhere' includes nothing"]
    assert "entry 1 (src) excludes it by 'tmp'" in session.context.explain("/data", "src/tmp/x")


# Mapping --------------------------------------------------------------------------------------------------------------


def test_mapping_shows_the_original_tree_elsewhere_and_uploads_back_to_it(opened, host, context):
    put(host, context, "/c:/Users/A/Downloads/x.txt", b"X")
    mapped = {"mapping_policy": MappingPolicy("C:\\users\\a\\Downloads")}
    session = opened(sync_of(context, "/home/u/下载", **mapped))
    assert shown(session, "/home/u/下载") == ["x.txt"]
    write(session, "/home/u/下载/y.txt", b"Y")

    assert session.context.sync().success
    assert last(session).path == "/home/u/下载"
    assert files(host, context) == ["/c:/Users/A/Downloads/x.txt", "/c:/Users/A/Downloads/y.txt"]


def test_a_prefix_that_nothing_has_is_an_empty_tree(opened, context):
    assert shown(opened(sync_of(context, mapping_policy=MappingPolicy("/never/there")))) == []


# Recycling ------------------------------------------------------------------------------------------------------------


def test_rules_are_stored_by_prefix_replaced_by_policies_and_kept_without(opened, host, context):
    rule = RecyclePolicy(Lifecycle.LIFECYCLE_3DAYS, ["tmp", "/data/cache/", "up"])
    opened(sync_of(context, recycle_policy=rule)).delete()
    stored = [(rule.path, rule.lifecycle) for rule in host.rules(context)["/data"]]
    assert stored == [(f"/data/{name}", "Lifecycle_3Days") for name in ("tmp", "cache", "up")]

    opened(sync_of(context)).delete()
    assert len(host.rules(context)["/data"]) == 3

    opened(sync_of(context, recycle_policy=RecyclePolicy())).delete()
    assert host.rules(context).get("/data", []) == []


def test_expired_files_stay_where_they_are_and_come_back_only_when_edited(site, host, context, tmp_path):
    now = [site.ledger.now()]

    def opening():
        ledger = reopened(site.ledger)
        ledger.now = lambda: now[0]
        return LocalHost(ledger, "here", closing=ledger.engine.close)

    sessions, hosted = Sessions(opening), opening()
    policy = SyncPolicy(recycle_policy=RecyclePolicy(Lifecycle.LIFECYCLE_1DAY, ["tmp"]))
    params = CreateSessionParams([sync_of(context).with_policy(policy)], root=tmp_path / "r", memory=tmp_path / "m")
    session = sessions.create(params).session
    for name in ("tmp/a", "tmp/b", "keep"):
        write(session, f"/data/{name}", b"x")
    assert session.context.sync().success

    now[0] += DAY - 1
    assert files(hosted, context) == ["/data/keep", "/data/tmp/a", "/data/tmp/b"]
    now[0] += 1
    write(session, "/data/tmp/b", b"edited")
    assert session.context.sync(mode="both").success

    assert shown(session) == ["keep", "tmp/a", "tmp/b"]
    stored = [key for key, kind in keys(hosted, context).items() if kind == 1]
    assert sorted(stored) == ["/data/keep", "/data/tmp/b"]
    session.context.close()
    hosted.close()
