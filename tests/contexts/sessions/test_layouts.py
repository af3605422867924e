"""File and Archive mode: how listings show what a mount stored (spec contexts U4-U7, E7).

| rule | test |
|---|---|
| U4, U7 | switching_modes |
| U5 | an_archive_stands_in_the_place, a_packed_file_stays |
| U6 | excluded_paths, wildcards, what_is_loose |
| U7 | what_is_out_of_scope, sessions_of_both_modes |
| U2 | an_upload_with_nothing_new |
| E7 | the_exact_tree_comes_back |
"""

import io
import os
import urllib.request
import zipfile

import pytest

from tallystick.contexts import BWList, ContextService, SyncPolicy, UploadMode, UploadPolicy, WhiteList
from tallystick.contexts.http.client import RemoteHost
from tallystick.web.server import running

from .conftest import everywhere, put, sync_of, write

ZIP = ".tally-archive-1.zip"


def archived(*excluded, **parts):
    upload = UploadPolicy(upload_mode=UploadMode.ARCHIVE, archive_exclude_paths=list(excluded))
    return SyncPolicy(upload_policy=upload, **parts)


def mounted(opened, context, policy, path="/data"):
    wanted = sync_of(context, path)
    wanted.policy = policy
    return opened(wanted)


def names(host, context, folder="/data"):
    found = ContextService(host).list_files(context, folder, max_results=100)
    assert found.success, found.error_message
    assert found.count == len(found.entries)
    return [(entry.file_name, entry.file_type) for entry in found.entries]


def stored(session):
    result = session.context.sync()
    assert result.success, result.error_message


def entries(host, context):
    return {key: entry for page in host.manifest(context).pages for key, entry in page if entry is not None}


@pytest.fixture
def served(site, tmp_path):
    """The service of the served site."""
    with running(str(tmp_path / "site.db")) as address:
        host = RemoteHost(address)
        yield ContextService(host)
        host.close()


@everywhere
def test_an_archive_stands_in_the_place_of_what_is_packed(opened, host, context):
    session = mounted(opened, context, archived())
    write(session, "/data/a.txt", b"A")
    write(session, "/data/sub/b.txt", b"B")
    os.mkdir(session.path("/data/empty"))
    stored(session)

    assert names(host, context) == [(ZIP, "FILE")]
    assert names(host, context, "/data/sub") == []
    assert names(host, context, "") == [("data", "FOLDER")]


def test_archives_are_real_zips_and_come_whole_or_in_part_by_url(opened, served, context):
    session = mounted(opened, context, archived())
    write(session, "/data/a.txt", b"hello")
    write(session, "/data/sub/large", os.urandom(700_000))
    os.symlink("a.txt", session.path("/data/link"))
    stored(session)

    size = served.list_files(context, "/data").entries[0].size
    url = served.get_file_download_url(context, f"/data/{ZIP}")
    assert url.success, url.error_message
    with urllib.request.urlopen(url.url) as reply:
        whole = reply.read()
    assert len(whole) == size
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a.txt", "link", "sub/", "sub/large"]
        assert archive.read("sub/large") == session.path("/data/sub/large").read_bytes()
    with urllib.request.urlopen(urllib.request.Request(url.url, headers={"Range": "bytes=20-700500"})) as reply:
        assert (reply.status, reply.read()) == (206, whole[20:700_501])
    assert not served.get_file_download_url(context, "/data/.tally-archive-2.zip").success
    assert not served.get_file_download_url(context, f"/{ZIP}").success


def test_a_packed_file_stays_addressable_by_its_own_key(opened, served, context):
    session = mounted(opened, context, archived())
    write(session, "/data/a.txt", b"A")
    write(session, "/data/b.txt", b"B")
    stored(session)

    with urllib.request.urlopen(served.get_file_download_url(context, "/data/a.txt").url) as reply:
        assert reply.read() == b"A"
    assert served.delete_file(context, "/data/a.txt").success
    assert not served.delete_file(context, f"/data/{ZIP}").success
    assert session.context.sync(mode="download").success
    assert not session.path("/data/a.txt").exists()


def test_excluded_paths_stay_loose_by_whole_segments(opened, host, context):
    session = mounted(opened, context, archived("important/", "/config.json", "/data/logs/now", "data"))
    for path in ("important/x", "config.json", "logs/now/y", "logs/old", "data2/z", "important2"):
        write(session, f"/data/{path}", path.encode())
    stored(session)

    assert names(host, context) == [
        (ZIP, "FILE"),
        ("config.json", "FILE"),
        ("important", "FOLDER"),
        ("logs", "FOLDER"),
    ]
    assert names(host, context, "/data/important") == [("x", "FILE")]
    assert names(host, context, "/data/logs") == [("now", "FOLDER")]


def test_wildcards_in_excluded_paths_are_taken_literally(opened, host, context):
    session = mounted(opened, context, archived("lo*", "[ab]", "d?/e"))
    for path in ("lo*/x", "logs/x", "[ab]", "a", "d?/e", "de/e"):
        write(session, f"/data/{path}", path.encode())
    stored(session)

    assert names(host, context) == [(ZIP, "FILE"), ("[ab]", "FILE"), ("d?", "FOLDER"), ("lo*", "FOLDER")]
    assert names(host, context, "/data/d?") == [("e", "FILE")]
    assert names(host, context, "/data/logs") == []


def test_what_is_loose_of_old_stays_listed_beside_the_archive(opened, host, context):
    session = mounted(opened, context, archived())
    write(session, "/data/a", b"A")
    stored(session)
    put(host, context, "/data/by-url", b"U")

    assert names(host, context) == [(ZIP, "FILE"), ("by-url", "FILE")]


def test_switching_modes_lays_everything_out_anew_in_one_publication_and_changes_nothing_else(opened, host, context):
    session = mounted(opened, context, SyncPolicy())
    write(session, "/data/a", b"A")
    write(session, "/data/sub/b", b"B")
    stored(session)
    before, version = entries(host, context), host.find(context).version
    assert names(host, context) == [("a", "FILE"), ("sub", "FOLDER")]

    again = mounted(opened, context, archived())
    stored(again)
    assert names(host, context) == [(ZIP, "FILE")]
    after = entries(host, context)
    told = ("kind", "mode", "size", "mtime", "digest", "created", "changed")
    assert all(getattr(after[key], name) == getattr(before[key], name) for key in before for name in told)
    assert set(after) == set(before)
    changed = [key for page in host.manifest(context, version).pages for key, _ in page]
    assert sorted(changed) == ["/data", "/data/a", "/data/sub", "/data/sub/b"]

    stored(mounted(opened, context, SyncPolicy()))
    assert names(host, context) == [("a", "FILE"), ("sub", "FOLDER")]
    assert entries(host, context) == before


@everywhere
def test_an_upload_with_nothing_new_publishes_nothing(opened, host, context):
    session = mounted(opened, context, archived())
    write(session, "/data/a", b"A")
    stored(session)
    version = host.find(context).version
    stored(session)
    stored(mounted(opened, context, archived()))

    assert host.find(context).version == version


def test_what_is_out_of_scope_keeps_its_layout(opened, host, context):
    whole = mounted(opened, context, SyncPolicy())
    write(whole, "/data/src/a", b"A")
    write(whole, "/data/doc/b", b"B")
    stored(whole)

    stored(mounted(opened, context, archived(bw_list=BWList([WhiteList("/src")]))))
    assert names(host, context) == [(ZIP, "FILE"), ("doc", "FOLDER")]

    stored(mounted(opened, context, SyncPolicy(bw_list=BWList([WhiteList("/doc")]))))
    assert names(host, context) == [(ZIP, "FILE"), ("doc", "FOLDER")]


def test_sessions_of_both_modes_share_a_context(opened, host, context):
    files, archive = mounted(opened, context, SyncPolicy()), mounted(opened, context, archived())
    write(files, "/data/a", b"A")
    stored(files)
    write(archive, "/data/b", b"B")
    stored(archive)
    assert names(host, context) == [(ZIP, "FILE")]
    assert files.context.sync(mode="both").success

    assert files.path("/data/b").read_bytes() == b"B"
    assert archive.context.sync(mode="download").success
    assert archive.path("/data/a").read_bytes() == b"A"
    assert names(host, context) == [("a", "FILE"), ("b", "FILE")]


def test_two_mounts_have_archives_of_their_own(opened, host, context):
    one = mounted(opened, context, archived(), "/one")
    two = mounted(opened, context, archived(), "/deep/two")
    write(one, "/one/a", b"A")
    write(two, "/deep/two/b", b"B")
    stored(one)
    stored(two)

    assert names(host, context, "/one") == names(host, context, "/deep/two") == [(ZIP, "FILE")]
    assert names(host, context, "/deep") == [("two", "FOLDER")]


def test_the_exact_tree_comes_back_under_any_extract_policy(opened, context):
    session = mounted(opened, context, archived())
    write(session, "/data/pkg/a.txt", b"A")
    os.chmod(session.path("/data/pkg/a.txt"), 0o755)
    os.utime(session.path("/data/pkg/a.txt"), ns=(5, 1_600_000_000_123_456_789))
    os.symlink("a.txt", session.path("/data/pkg/link"))
    os.mkdir(session.path("/data/empty"))
    stored(session)

    root = mounted(opened, context, SyncPolicy()).path("/data")
    assert sorted(str(found.relative_to(root)) for found in root.rglob("*")) == [
        "empty",
        "pkg",
        "pkg/a.txt",
        "pkg/link",
    ]
    status = (root / "pkg/a.txt").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o755, 1_600_000_000_123_456_789)
    assert os.readlink(root / "pkg/link") == "a.txt"


def test_what_no_archive_can_hold_stays_loose(opened, host, context):
    session = mounted(opened, context, archived())
    write(session, "/data/a", b"A")
    (session.path("/data") / os.fsdecode(b"\xff")).write_bytes(b"F")
    stored(session)

    assert names(host, context) == [(ZIP, "FILE"), (os.fsdecode(b"\xff"), "FILE")]
