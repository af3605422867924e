"""Copies, backups, purges, clocks, full disks, kills."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
from items import ITEM, agree_deeply

from tallystick.errors import StorageError
from tallystick.site.retention import purge
from tallystick.site.stamping import stamp
from tallystick.testing.contract import settle, sync


def checkpoint(path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    connection.close()


@pytest.mark.parametrize("also", ("a", "b"))
def test_a_copied_file_and_its_original_both_write_on(sqlite_workshop, tmp_path, also):
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    checkpoint(tmp_path / "a.db")
    shutil.copy(tmp_path / "a.db", tmp_path / "c.db")
    c = sqlite_workshop.end("c")
    for end, code in ((a, "from a"), (c, "from c")):
        end.execute(f"INSERT INTO item (code) VALUES ('{code}')", f"UPDATE item SET note='{code}' WHERE code='x'")
    first = a if also == "a" else b
    sync(c, first)
    settle(a, b, c)
    codes = [end.rows("SELECT code FROM item ORDER BY code") for end in (a, b, c)]
    assert codes == [[("from a",), ("from c",), ("x",)]] * 3
    agree_deeply(a, b, c)


def test_an_old_backup_restored_in_place_loses_nothing(sqlite_workshop, tmp_path):
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.replica.close()
    checkpoint(tmp_path / "a.db")
    backup = (tmp_path / "a.db").read_bytes()
    a.reopen()
    a.execute("INSERT INTO item (code) VALUES ('after the backup')")
    sync(a, b)
    a.close()
    for suffix in ("-wal", "-shm"):
        if os.path.exists(tmp_path / f"a.db{suffix}"):
            os.remove(tmp_path / f"a.db{suffix}")
    (tmp_path / "a.db").write_bytes(backup)
    a.connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    a.execute("INSERT INTO item (code) VALUES ('after the restore')")
    a.reopen()
    settle(a, b)
    expected = [("after the backup",), ("after the restore",), ("x",)]
    assert a.rows("SELECT code FROM item ORDER BY code") == expected
    assert b.rows("SELECT code FROM item ORDER BY code") == expected
    agree_deeply(a, b)


def test_a_site_offline_past_the_purge_brings_nothing_back(sqlite_workshop):
    a = sqlite_workshop.end("a", ITEM)
    b, c = sqlite_workshop.end("b"), sqlite_workshop.end("c")
    sync(a, b)
    a.execute("INSERT INTO item VALUES (1, 'gone', 'g'), (2, 'kept', 'k')")
    settle(a, b, c)
    a.execute("DELETE FROM item WHERE code='gone'")
    settle(a, b)
    for end in (a, b):
        ledger = end.replica.ledger
        with ledger.write():
            stamp(ledger)
            assert purge(ledger, ledger.resource("item"), ledger.now() + 1000).tombstones == 1
    settle(a, b, c)
    for end in (a, b, c):
        assert end.rows("SELECT code FROM item") == [("kept",)]


def test_a_clock_years_ahead_wins_but_does_not_drag_the_others_along(sqlite_workshop):
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    years = 5 * 365 * 86_400_000
    b.replica.ledger.now = lambda real=b.replica.ledger.now: real() + years
    before = a.replica.ledger.now()
    b.execute("UPDATE item SET note='from the future'")
    ledger = b.replica.ledger
    ledger.engine.execute("UPDATE tally_mark SET at=at+?", (years,))
    a.execute("UPDATE item SET note='from now'")
    (told,) = sync(a, b).notes
    assert told.startswith("1 changes of item are stamped ahead of the clock of a")
    assert a.rows("SELECT note FROM item") == b.rows("SELECT note FROM item") == [("from the future",)]
    a.execute("UPDATE item SET note='decided now'")
    assert sync(a, b).notes == []
    assert b.rows("SELECT note FROM item") == [("decided now",)]
    with a.replica.ledger.write():
        assert a.replica.ledger.last_stamp >> 16 < before + 86_400_000


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(sqlite_workshop):
    a = sqlite_workshop.end("a", "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
    a.connection.executemany("INSERT INTO t VALUES (?, ?)", [(f"k{n:05}", "x" * 500) for n in range(6000)])
    b = sqlite_workshop.end("b")
    connection = b.replica.ledger.engine.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 400}")
    with pytest.raises(StorageError, match="full"):
        sync(a, b)
    connection.execute("PRAGMA max_page_count=1000000")
    done = sync(a, b)
    assert 0 < done.records <= 6000
    assert b.rows("SELECT count(*) FROM t") == [(6000,)]
    agree_deeply(a, b)


def test_what_is_acknowledged_survives_a_kill(sqlite_workshop, tmp_path):
    """A process is killed in the middle of applying, again and again; the file is sound and nothing is lost."""
    a = sqlite_workshop.end("a", "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
    a.connection.executemany("INSERT INTO t VALUES (?, ?)", [(f"k{n:05}", "x" * 300) for n in range(8000)])
    words = [sys.executable, "-m", "tallystick.cli.main", "sync", str(tmp_path / "a.db"), str(tmp_path / "b.db")]
    for delay in (0.25, 0.4, 0.5, 0.6):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
    assert subprocess.run(words, stdout=subprocess.DEVNULL, check=False).returncode == 0
    b = sqlite_workshop.end("b")
    assert b.rows("PRAGMA integrity_check") == [("ok",)]
    assert b.rows("SELECT * FROM t ORDER BY id") == a.rows("SELECT * FROM t ORDER BY id")
    agree_deeply(a, b)


def test_a_deletion_that_bypassed_capture_is_healed_whatever_names_the_record(sqlite_workshop):
    table = "CREATE TABLE word (id TEXT PRIMARY KEY, note TEXT)"
    a = sqlite_workshop.end("a", table, "INSERT INTO word VALUES ('x', 'one'), ('y', 'two'), ('z', 'three')")
    b = sqlite_workshop.end("b", table)
    sync(a, b)
    a.bypass("DELETE FROM word WHERE id='y'")
    a.replica.heal(["word"])
    sync(a, b)
    assert b.rows("SELECT id FROM word ORDER BY id") == [("x",), ("z",)]
    agree_deeply(a, b)
