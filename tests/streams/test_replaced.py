"""A database file that is replaced under those who have it open: they say so, or go on with the new one."""

import os
import queue
import shutil
import sqlite3

import pytest

import tallystick
from tallystick.errors import StateFutureError, StorageReplaced
from tallystick.protocols.native.pool import Pool
from tallystick.streams.notifications import Event


def another_version(place, tmp_path, name="newer.db"):
    """A backup of the site, made with what SQLite has for it."""
    path = tmp_path / name
    target = sqlite3.connect(path)
    source = sqlite3.connect(place.url)
    source.backup(target)
    source.close()
    target.close()
    return path


def replace(place, path):
    for name in ("-wal", "-shm"):
        if os.path.exists(place.url + name):
            os.remove(place.url + name)
    os.replace(path, place.url)


def put(path, key):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("INSERT INTO person(id, name, age) VALUES (?, 'x', 1)", (key,))
    connection.close()


def test_a_follower_does_not_wait_at_a_file_that_nobody_writes_to_any_more(sqlite_place, tmp_path):
    sqlite_place.put("a")
    changes = sqlite_place.another().changes(follow=True)
    assert next(changes).key == "a"
    replace(sqlite_place, another_version(sqlite_place, tmp_path))
    with pytest.raises(StorageReplaced, match=r"site\.db was replaced") as raised:
        next(changes)
    assert "last state" in raised.value.hint


def test_a_file_that_is_gone_says_so_too(sqlite_place):
    site = sqlite_place.another()
    os.remove(sqlite_place.url)
    with pytest.raises(StorageReplaced):
        site.state()


def test_nothing_is_written_to_a_file_that_was_replaced(sqlite_place, tmp_path):
    site = sqlite_place.another()
    server = site.server()
    folder = server.create_user("anna").store.create_folder("f")
    state = folder.state
    replace(sqlite_place, another_version(sqlite_place, tmp_path))
    for use in (
        lambda: site.deliver(object()),
        lambda: folder.create_item(subject="lost"),
        lambda: folder.sync(1, state),
    ):
        with pytest.raises(StorageReplaced):
            use()


def test_a_file_under_another_name_is_still_the_same(sqlite_place, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(sqlite_place.url)
    with tallystick.open(link) as site:
        sqlite_place.put("a")
        assert [change.key for change in site.changes()] == ["a"]


def test_a_sink_is_told_of_the_gap_and_then_of_what_happens_in_the_new_file(sqlite_place, tmp_path):
    told = queue.Queue()
    site = sqlite_place.another()
    site.subscribe(told.put, "person")
    sqlite_place.put("a")
    assert told.get(timeout=20).key == "a"
    replace(sqlite_place, another_version(sqlite_place, tmp_path))
    gap = told.get(timeout=20)
    assert gap.event is Event.GAP
    put(sqlite_place.url, "b")
    after = told.get(timeout=20)
    assert (after.event, after.key) == (Event.CREATED, "b")
    with tallystick.open(sqlite_place.url) as again:
        with pytest.raises(StateFutureError):
            again.changes(gap.state, "person")
        put(sqlite_place.url, "c")
        assert [change.key for change in again.changes(after.state, "person")] == ["c"]


def test_what_serves_a_site_goes_on_with_the_new_file(sqlite_place, tmp_path):
    pool = Pool(lambda: tallystick.open(sqlite_place.url).replica)
    with pool.borrowed():
        pass
    shutil.copy(another_version(sqlite_place, tmp_path), newer := tmp_path / "written.db")
    put(newer, "new")
    replace(sqlite_place, newer)
    with pool.borrowed() as replica:
        assert [row[0] for row in replica.ledger.engine.query("SELECT id FROM person")] == ["new"]
    pool.close()
