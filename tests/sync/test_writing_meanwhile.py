"""The application writes while ends agree, and when we have left (DESIGN.md 4.2, 4.3)."""

from __future__ import annotations

import sqlite3
import threading

from items import ITEM, agree_deeply

from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.reading import PAGE_ROWS
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Closing, Meeting, Scope, Selection, Settings, Wanted
from tallystick.testing.contract import settle, sync

TWO_PAGES = PAGE_ROWS + 100


def test_untrack_leaves_the_database_exactly_as_it_was(sqlite_workshop, tmp_path):
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one')")
    ours = "name LIKE 'tally\\_%' ESCAPE '\\' OR name LIKE 'sqlite\\_autoindex\\_tally%' ESCAPE '\\'"
    before = sorted(a.rows(f"SELECT type, name, sql FROM sqlite_master WHERE NOT ({ours})"), key=str)
    sync(a, sqlite_workshop.end("b"))
    from tallystick.api import Site

    a.connection.close()
    Site(a.replica).untrack()
    a.connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    assert sorted(a.rows("SELECT type, name, sql FROM sqlite_master"), key=str) == before
    assert a.rows("PRAGMA journal_mode") == [("delete",)]


def test_writes_while_a_sync_runs_are_captured(sqlite_workshop, tmp_path):
    a = sqlite_workshop.end("a", "CREATE TABLE t (id TEXT PRIMARY KEY, v INTEGER)")
    a.connection.executemany("INSERT INTO t VALUES (?, 0)", [(f"k{n}",) for n in range(20_000)])
    b = sqlite_workshop.end("b")
    stop = threading.Event()
    written = []

    def write() -> None:
        connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=30)
        number = 0
        while not stop.is_set():
            number += 1
            connection.execute("UPDATE t SET v=v+1 WHERE id=?", (f"k{number * 7 % 20_000}",))
            connection.execute("INSERT INTO t VALUES (?, ?)", (f"new{number}", number))
            written.append(number)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    sync(a, b)
    sync(a, b)
    stop.set()
    writer.join()
    settle(a, b)
    assert written
    assert b.rows("SELECT * FROM t ORDER BY id") == a.rows("SELECT * FROM t ORDER BY id")
    agree_deeply(a, b)


def test_a_row_touched_while_a_pass_goes_on_is_not_forgotten(sqlite_workshop, tmp_path):
    a = sqlite_workshop.end("a", "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
    b = sqlite_workshop.end("b", "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
    a.connection.executemany("INSERT INTO t VALUES (?, ?)", [(f"k{n:05}", "x") for n in range(TWO_PAGES)])
    for end in (a, b):
        end.replica.prepare(Wanted([], ["t"]))
    scope, site = Scope(("t",)), a.replica.describe().site
    settings = Settings(site, scope)
    pages = a.replica.changes(Selection(scope, b.replica.digest(site, scope)))
    b.replica.apply(next(pages), settings)
    a.execute("UPDATE t SET v=v WHERE id=(SELECT max(id) FROM t)")
    other = LocalReplica.open(SQLiteEngine(tmp_path / "a.db"), "other")
    other.meet(Meeting("", "", "", "", scope))
    other.close()
    for item in pages:
        if isinstance(item, Closing):
            b.replica.acknowledge(item, settings)
        else:
            b.replica.apply(item, settings)
    assert b.rows("SELECT count(*) FROM t") == [(TWO_PAGES - 1,)]
    sync(a, b)
    assert b.rows("SELECT count(*) FROM t") == [(TWO_PAGES,)]


def test_a_resumed_pass_does_not_claim_what_came_after_it(sqlite_workshop):
    a = sqlite_workshop.end("a", "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
    b = sqlite_workshop.end("b", "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
    a.connection.executemany("INSERT INTO t VALUES (?, ?)", [(f"k{n:05}", "x") for n in range(TWO_PAGES)])
    for end in (a, b):
        end.replica.prepare(Wanted([], ["t"]))
    scope, site = Scope(("t",)), a.replica.describe().site
    pages = a.replica.changes(Selection(scope, b.replica.digest(site, scope)))
    b.replica.apply(next(pages), Settings(site, scope))
    pages.close()
    a.execute("INSERT INTO t VALUES ('after', 'the break')", "UPDATE t SET v='changed' WHERE id='k00001'")
    sync(a, b)
    sync(a, b)
    assert b.rows("SELECT * FROM t ORDER BY id") == a.rows("SELECT * FROM t ORDER BY id")


def test_a_row_written_during_first_contact_is_not_forgotten(sqlite_workshop):
    rows = [(f"k{n}", "v") for n in range(50)]
    ends = []
    for name in ("a", "b"):
        end = sqlite_workshop.end(name, "CREATE TABLE t (id TEXT PRIMARY KEY, v TEXT)")
        end.connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        ends.append(end)
    a, b = ends
    a.execute("UPDATE t SET v='differs' WHERE id='k7'")
    found = a.replica.ranges

    def late(resource, stated):
        answer = found(resource, stated)
        a.execute("INSERT OR IGNORE INTO t VALUES ('late', 'v')")
        return answer

    a.replica.ranges = late
    sync(a, b)
    sync(a, b)
    assert b.rows("SELECT id FROM t WHERE id='late'") == [("late",)]
