"""What a quota bounds: entries of every kind, pages laid aside, history."""

import os

import pytest

from tallystick import api
from tallystick.content.directory import DirectoryStore
from tallystick.contexts import bounds
from tallystick.contexts.entries import DIRECTORY, LINK, FileEntry
from tallystick.contexts.local import LocalHost
from tallystick.contexts.problems import PagesLost, QuotaExceeded
from tallystick.contexts.tables import ROOM, STEPS
from tallystick.errors import StorageError, StorageFull
from tallystick.trees.reading import link_digest

from .conftest import file_of, mounted, tree

FULL = (QuotaExceeded, StorageFull)
FOLDER = FileEntry(DIRECTORY, 0o755)
LINKED = FileEntry(LINK, 0o777, 1, 0, link_digest("a"), b"", "a")


# Entries --------------------------------------------------------------------------------------------------------------


def test_directories_and_links_count_like_files(host, name):
    context = host.create(name, quota_files=3)
    host.publish(context.id, "*", [("/a", file_of(host, context, b"a")), ("/d", FOLDER), ("/l", LINKED)])

    for entry in (FOLDER, LINKED, file_of(host, context, b"b")):
        with pytest.raises(FULL, match="would hold 4 files and directories of 3") as caught:
            host.publish(context.id, "*", [("/more", entry)])
        assert "--quota-files" in caught.value.hint

    host.publish(context.id, "*", [("/d", LINKED)])
    host.publish(context.id, "*", [("/l", None), ("/e", FOLDER)])
    assert set(tree(host, context)) == {"/a", "/d", "/e"}
    assert host.find(name).files == 2


def test_the_directories_that_an_entry_needs_count_too(host, name):
    context = host.create(name, quota_files=3)
    with pytest.raises(FULL, match="4 files and directories"):
        host.publish(context.id, "*", [("/a/b/c/d", file_of(host, context, b"d"))])
    host.publish(context.id, "*", [("/a/b/c", file_of(host, context, b"c"))])
    assert len(tree(host, context)) == 3


def test_what_removes_is_never_refused_though_more_is_there_than_may_be(host, name):
    context = host.create(name)
    host.publish(context.id, "*", [(f"/{number}", FOLDER) for number in range(5)])
    host.create(name, quota_files=2)
    host.publish(context.id, "*", [("/0", None), ("/0/x", None), ("/9", FOLDER)])
    host.publish(context.id, "*", [("/1", None)])
    with pytest.raises(FULL):
        host.publish(context.id, "*", [("/8", FOLDER)])
    assert len(tree(host, context)) == 4


def test_a_tree_of_empty_directories_that_does_not_fit_is_refused_as_a_whole(host, hosting, name, tmp_path):
    context = host.create(name, quota_files=100)
    mount = mounted(tmp_path, hosting, "one", name)
    for number in range(101):
        (mount.root / str(number)).mkdir()
    with pytest.raises(FULL, match="would hold 101 files and directories of 100"):
        mount.run()
    assert tree(host, context) == {}
    (mount.root / "100").rmdir()
    assert mount.run().succeeded
    assert len(tree(host, context)) == 100


# Pages laid aside -----------------------------------------------------------------------------------------------------


def folders(start, end):
    return [(f"/{number}", FOLDER) for number in range(start, end)]


def test_more_than_could_be_published_is_not_laid_aside(host, name):
    context = host.create(name, quota_files=5)
    host.stage(context.id, "run", 0, folders(0, 3))
    with pytest.raises(FULL, match="lays 6 changes aside, and could publish 5") as caught:
        host.stage(context.id, "run", 1, folders(3, 6))
    assert "--quota-files" in caught.value.hint
    host.stage(context.id, "run", 0, folders(0, 3))  # in the place of the first
    host.stage(context.id, "run", 1, folders(3, 5))
    host.publish(context.id, "*", [], "run", 2)
    host.stage(context.id, "all else", 0, [*((key, None) for key, _ in folders(0, 5)), *folders(5, 10)])
    host.publish(context.id, "*", [], "all else", 1)
    assert set(tree(host, context)) == {key for key, _ in folders(5, 10)}


def test_pages_of_uploads_that_were_given_up_make_room(host, name):
    context = host.create(name, quota_files=5)
    for run in ("u4", "u3", "u2", "u1", "u0"):
        host.stage(context.id, run, 0, folders(0, 5))
    with pytest.raises((PagesLost, StorageError), match="PagesLost"):
        host.publish(context.id, "*", [], "u4", 1)
    host.publish(context.id, "*", [], "u3", 1)
    assert len(tree(host, context)) == 5


def test_the_names_of_one_upload_have_a_bound_in_bytes(local, monkeypatch):
    monkeypatch.setattr(bounds, "LEAST_BYTES", 10_000)
    context = local.create("work", quota_bytes=30_000)
    long = [(f"/{number}{'x' * 200}", FOLDER) for number in range(100)]
    local.stage(context.id, "run", 0, long[:50])
    with pytest.raises(QuotaExceeded, match="bytes aside without content, and may 30,000"):
        local.stage(context.id, "run", 1, long[50:])
    assert local.ledger.engine.query("SELECT run, page FROM tally_staged") == [("run", 0)]


def test_without_a_quota_any_number_of_pages_is_laid_aside(local, monkeypatch):
    monkeypatch.setattr(bounds, "LEAST_BYTES", 0)
    context = local.create("work")
    for page in range(3):
        local.stage(context.id, "run", page, folders(page * 100, page * 100 + 100))
    local.publish(context.id, "*", [], "run", 3)
    assert len(tree(local, context)) == 300


# History --------------------------------------------------------------------------------------------------------------


def rewritten(host, context, key, sizes):
    """Publish files of these sizes under one key, one after the other."""
    for size in sizes:
        host.publish(context.id, "*", [(key, file_of(host, context, os.urandom(size)))])


def kept(host, context, key=""):
    return [(found.key, found.entry.size) for found in host.history(context.id, key, 1000)]


def test_the_oldest_history_goes_when_there_is_as_much_as_the_context_may_hold(host, name):
    context = host.create(name, quota_bytes=1000)
    rewritten(host, context, "/a", (401, 402))
    rewritten(host, context, "/b", (101, 102))
    rewritten(host, context, "/a", (403, 404))
    assert sorted(kept(host, context)) == [("/a", 402), ("/a", 403), ("/b", 101)]
    assert {key: entry.size for key, entry in tree(host, context).items()} == {"/a": 404, "/b": 102}


def test_what_the_last_publication_replaced_is_always_kept(host, name):
    context = host.create(name)
    rewritten(host, context, "/a", (900,))
    rewritten(host, context, "/b", (901, 902))
    host.create(name, quota_bytes=10)
    host.publish(context.id, "*", [("/a", None), ("/b", None)])
    assert sorted(kept(host, context)) == [("/a", 900), ("/b", 902)]


def test_a_context_without_a_quota_keeps_all_of_it(host, name):
    context = host.create(name)
    rewritten(host, context, "/a", range(10))
    assert len(kept(host, context)) == 9


def test_old_versions_are_counted_too(local, monkeypatch):
    monkeypatch.setattr(bounds, "LEAST_VERSIONS", 3)
    context = local.create("work", quota_files=2)
    rewritten(local, context, "/a", range(10))
    assert [size for _, size in kept(local, context)] == [8, 7, 6]
    local.create("work", quota_files=5)
    rewritten(local, context, "/a", range(10, 20))
    assert len(kept(local, context)) == 5


def test_a_site_of_an_earlier_release_keeps_its_history_and_bounds_what_is_new(tmp_path):
    store = DirectoryStore(tmp_path / "content", durable=False)
    with api.open(tmp_path / "old.db", create=True) as site:
        site.ledger.require(ROOM, STEPS[:-1])
        site.ledger.engine.execute("INSERT INTO tally_history VALUES (99, 1, '/old', 0, x'80')")
        host = LocalHost(site.ledger, "here", store)
        context = host.create("work", quota_bytes=1000)
        rewritten(host, context, "/a", (401, 402, 403, 404, 405))
        assert [size for _, size in kept(host, context)] == [404, 403]
        assert site.ledger.engine.query("SELECT key, size FROM tally_history WHERE context=99") == [("/old", 0)]
        host.close()
