"""What breaks such systems in the field, on SQLite, written by the application through a plain connection."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.errors import SchemaError, StorageError
from tallystick.site import parking
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.reading import PAGE_ROWS
from tallystick.site.retention import purge
from tallystick.site.siblings import resolve
from tallystick.site.stamping import stamp
from tallystick.sync.local import LocalReplica
from tallystick.sync.replica import Closing, Meeting, Scope, Selection, Settings, Wanted
from tallystick.sync.verification import verify
from tallystick.testing.contract import settle, sync

TWO_PAGES = PAGE_ROWS + 100
ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT)"


def agree_deeply(*ends):
    for other in ends[1:]:
        verdict = verify(ends[0].replica, other.replica, deep=True)
        assert verdict.agree, verdict


def checkpoint(path):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    connection.close()


@pytest.fixture
def items(sqlite_workshop):
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one'), (2, 'y', 'two')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    return a, b


def test_replace_that_evicts_another_row_deletes_it_everywhere(items):
    a, b = items
    a.execute("REPLACE INTO item VALUES (3, 'x', 'evicts number one')")
    sync(a, b)
    assert b.rows("SELECT code, note FROM item ORDER BY code") == [("x", "evicts number one"), ("y", "two")]
    agree_deeply(a, b)


def test_insert_or_replace_of_the_same_key_is_an_update(items):
    a, b = items
    a.execute("INSERT OR REPLACE INTO item VALUES (1, 'x', 'again')")
    sync(a, b)
    assert b.rows("SELECT * FROM item WHERE id=1") == [(1, "x", "again")]
    agree_deeply(a, b)


def test_update_or_replace_that_evicts_deletes_everywhere(items):
    a, b = items
    a.execute("UPDATE OR REPLACE item SET code='y' WHERE id=1")
    sync(a, b)
    assert b.rows("SELECT code, note FROM item") == [("y", "one")]
    agree_deeply(a, b)


def test_a_row_that_refers_to_itself_keeps_its_record_when_its_key_changes(sqlite_workshop):
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t (id) ON UPDATE CASCADE, n TEXT)"
    a = sqlite_workshop.end("a", schema, "INSERT INTO t VALUES (1, 1, 'root')")
    b = sqlite_workshop.end("b", schema)
    sync(a, b)
    b.execute("PRAGMA foreign_keys=ON", "UPDATE t SET id=3 WHERE id=1")
    settle(a, b)
    assert a.rows("SELECT id, up, n FROM t") == [(1, 1, "root")]
    assert b.rows("SELECT id, up, n FROM t") == [(3, 3, "root")]
    b.execute("UPDATE t SET n='edited' WHERE id=3")
    settle(a, b)
    assert a.rows("SELECT id, up, n FROM t") == [(1, 1, "edited")]
    agree_deeply(a, b)


def test_a_row_that_moves_onto_another_by_replace_evicts_it(sqlite_workshop):
    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)"
    a = sqlite_workshop.end("a", schema, "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.execute("UPDATE OR REPLACE t SET id=2 WHERE id=1")
    settle(a, b)
    assert a.rows("SELECT id, n FROM t ORDER BY n") == [(2, "one"), (3, "three")]
    assert b.rows("SELECT n FROM t ORDER BY n") == [("one",), ("three",)]
    agree_deeply(a, b)


def test_a_table_rebuild_loses_no_change(items):
    a, b = items
    a.execute(
        "BEGIN",
        "CREATE TABLE item_new (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT, extra TEXT)",
        "INSERT INTO item_new (id, code, note) SELECT id, code, note FROM item",
        "DROP TABLE item",
        "ALTER TABLE item_new RENAME TO item",
        "UPDATE item SET note='changed without triggers' WHERE id=2",
        "INSERT INTO item (code, note) VALUES ('z', 'new without triggers')",
        "COMMIT",
    )
    sync(a, b)
    assert b.rows("SELECT code, note FROM item ORDER BY code") == [
        ("x", "one"),
        ("y", "changed without triggers"),
        ("z", "new without triggers"),
    ]
    a.execute("UPDATE item SET note='captured again' WHERE id=1")
    sync(a, b)
    assert b.rows("SELECT note FROM item WHERE code='x'") == [("captured again",)]


def test_a_field_that_one_side_lacks_is_kept_and_restored_when_its_column_appears(items):
    a, b = items
    a.execute("ALTER TABLE item ADD COLUMN colour TEXT", "UPDATE item SET colour='red' WHERE id=1")
    sync(a, b)
    b.execute("UPDATE item SET note='edited by b' WHERE id=1")
    sync(a, b)
    assert a.rows("SELECT note, colour FROM item WHERE id=1") == [("edited by b", "red")]
    b.execute("ALTER TABLE item ADD COLUMN colour TEXT")
    sync(a, b)
    assert b.rows("SELECT colour FROM item WHERE id=1") == [("red",)]


def test_an_added_nullable_column_costs_no_sending(items):
    a, b = items
    a.execute("ALTER TABLE item ADD COLUMN colour TEXT")
    assert sync(a, b).records == 0


def test_updated_at_triggers_on_both_sides_come_to_rest(sqlite_workshop):
    schema = (
        "CREATE TABLE doc (id TEXT PRIMARY KEY, body TEXT, updated_at TEXT)",
        "CREATE TRIGGER touch AFTER UPDATE OF body ON doc BEGIN "
        "UPDATE doc SET updated_at=hex(randomblob(4)) WHERE id=NEW.id; END",
    )
    a = sqlite_workshop.end("a", *schema, "INSERT INTO doc VALUES ('d', 'one', NULL)")
    b = sqlite_workshop.end("b", *schema)
    sync(a, b)
    a.execute("UPDATE doc SET body='two'")
    sync(a, b)
    assert b.rows("SELECT body FROM doc") == [("two",)]
    assert sync(a, b).records == 0
    assert verify(a.replica, b.replica, deep=True).agree


def test_rows_that_triggers_write_elsewhere_are_captured(sqlite_workshop):
    schema = (
        "CREATE TABLE doc (id TEXT PRIMARY KEY, body TEXT)",
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT)",
    )
    trigger = "CREATE TRIGGER audit AFTER INSERT ON doc BEGIN INSERT INTO audit (what) VALUES ('new ' || NEW.id); END"
    a = sqlite_workshop.end("a", *schema)
    b = sqlite_workshop.end("b", *schema, trigger)
    sync(a, b)
    a.execute("INSERT INTO doc VALUES ('d', 'x')")
    settle(a, b)
    assert a.rows("SELECT what FROM audit") == [("new d",)]
    agree_deeply(a, b)


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


def test_an_undeclared_reference_parks_what_would_need_another_integer(sqlite_workshop):
    schema = (
        "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE book (id TEXT PRIMARY KEY, author_id INTEGER, title TEXT)",
    )
    a, b = sqlite_workshop.end("a", *schema), sqlite_workshop.end("b", *schema)
    sync(a, b)
    a.execute("INSERT INTO author VALUES (1, 'A')")
    b.execute("INSERT INTO author VALUES (1, 'B')")
    done = sync(a, b)
    assert done.parked == 2
    (waiting,) = parking.waiting(a.replica.ledger)
    assert "--ref book.author_id=author" in waiting.reason


def test_a_declared_reference_is_translated(sqlite_workshop):
    schema = (
        "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE book (id TEXT PRIMARY KEY, author_id INTEGER, title TEXT)",
    )
    a, b = sqlite_workshop.end("a", *schema), sqlite_workshop.end("b", *schema)
    for end in (a, b):
        end.replica.prepare(Wanted([], ["author", "book"], references={"book.author_id": "author"}))
    sync(a, b)
    for end, name in ((a, "A"), (b, "B")):
        end.execute(f"INSERT INTO author VALUES (1, '{name}')", f"INSERT INTO book VALUES ('{name}', 1, 'by {name}')")
    settle(a, b)
    for end in (a, b):
        joined = end.rows("SELECT name, title FROM book JOIN author ON author.id=author_id ORDER BY name")
        assert joined == [("A", "by A"), ("B", "by B")]


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
    sync(a, b)
    assert a.rows("SELECT note FROM item") == b.rows("SELECT note FROM item") == [("from the future",)]
    a.execute("UPDATE item SET note='decided now'")
    sync(a, b)
    assert b.rows("SELECT note FROM item") == [("decided now",)]
    with a.replica.ledger.write():
        assert a.replica.ledger.last_stamp >> 16 < before + 86_400_000


def test_siblings_travel_through_a_third_site(sqlite_workshop):
    policies = {"": Policy(conflict=FieldPolicy(Resolution.ASK))}
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one')")
    b, c = sqlite_workshop.end("b"), sqlite_workshop.end("c")
    settle(a, b, c)
    a.execute("UPDATE item SET note='A'")
    b.execute("UPDATE item SET note='B'")
    sync(a, b, policies=policies)
    sync(b, c, policies=policies)
    whole = c.replica.ledger.engine.query("SELECT count(*) FROM tally_sibling WHERE undecided=1")
    assert whole == [(1,)]


def test_a_decision_made_at_a_third_site_ends_the_conflict_everywhere(sqlite_workshop):
    policies = {"": Policy(conflict=FieldPolicy(Resolution.ASK))}
    a = sqlite_workshop.end("a", ITEM, "INSERT INTO item VALUES (1, 'x', 'one')")
    b, c = sqlite_workshop.end("b"), sqlite_workshop.end("c")
    settle(a, b, c)
    a.execute("UPDATE item SET note='A'")
    b.execute("UPDATE item SET note='B'")
    sync(a, b, policies=policies)
    sync(b, c, policies=policies)
    with c.replica.ledger.write():
        resolve(c.replica.ledger, c.replica.ledger.resource("item"), "1", {"code": "x", "note": "decided"})
    settle(a, b, c, policies=policies)
    for end in (a, b, c):
        assert end.rows("SELECT id, code, note FROM item") == [(1, "x", "decided")]
        assert end.rows("SELECT * FROM tally_sibling") == []
    agree_deeply(a, b, c)


@pytest.mark.parametrize(
    ("declared", "value"),
    (
        ("TEXT", "üñí \u0000 x".replace("\u0000", "0")),
        ("TEXT", "quote ' \" ; DROP TABLE item --"),
        ("BLOB", b"\x00\xff\x80"),
        ("INTEGER", 9223372036854775807),
        ("INTEGER", -9223372036854775808),
        ("REAL", math.inf),
        ("REAL", -math.inf),
        ("REAL", 0.1),
        ("NUMERIC(10,2)", 0.99),
        ("NUMERIC(10,2)", 5),
        ("DATE", "2026-02-28"),
        ("DATETIME", "2026-02-28 12:13:14"),
        ("BOOLEAN", 1),
        ("JSON", '{"b":1,"a":[1,2]}'),
        ("", "anything"),
        ("", 12),
        ("BLOB", b"x" * 10_000_000),
    ),
)
def test_values_arrive_as_they_are(sqlite_workshop, declared, value):
    a = sqlite_workshop.end("a", f"CREATE TABLE v (id TEXT PRIMARY KEY, value {declared})")
    b = sqlite_workshop.end("b")
    a.connection.execute("INSERT INTO v VALUES ('k', ?)", (value,))
    sync(a, b)
    assert b.rows("SELECT value, typeof(value) FROM v") == a.rows("SELECT value, typeof(value) FROM v")
    agree_deeply(a, b)


def test_names_with_spaces_and_quotes_work(sqlite_workshop):
    schema = 'CREATE TABLE "odd ""table\'; --" ("the key" TEXT PRIMARY KEY, "a ""b\' c" TEXT, "select" INTEGER)'
    a, b = sqlite_workshop.end("a", schema), sqlite_workshop.end("b")
    sync(a, b)
    a.execute("INSERT INTO \"odd \"\"table'; --\" VALUES ('k', 'v', 1)")
    sync(a, b)
    b.execute('UPDATE "odd ""table\'; --" SET "a ""b\' c"=\'w\'')
    sync(a, b)
    assert a.rows('SELECT * FROM "odd ""table\'; --"') == [("k", "w", 1)]


def test_three_hundred_columns_work(sqlite_workshop):
    columns = ", ".join(f"c{n} INTEGER" for n in range(299))
    a = sqlite_workshop.end("a", f"CREATE TABLE wide (id TEXT PRIMARY KEY, {columns})")
    b = sqlite_workshop.end("b")
    a.execute("INSERT INTO wide (id, c5, c298) VALUES ('k', 1, 2)")
    sync(a, b)
    a.execute("UPDATE wide SET c298=3")
    b.execute("UPDATE wide SET c70=4")
    sync(a, b, policies={"": Policy(conflict=FieldPolicy(Resolution.MERGE))})
    assert a.rows("SELECT c5, c70, c298 FROM wide") == b.rows("SELECT c5, c70, c298 FROM wide") == [(1, 4, 3)]


def test_without_rowid_composite_and_null_keys_work(sqlite_workshop):
    schema = (
        "CREATE TABLE w (a TEXT, b INTEGER, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE TABLE n (a TEXT, b INTEGER, v TEXT, PRIMARY KEY (a, b))",
    )
    a, b = sqlite_workshop.end("a", *schema), sqlite_workshop.end("b")
    a.execute(
        "INSERT INTO w VALUES ('x,y', 1, 'v'), ('\\', 2, 'w')", "INSERT INTO n VALUES (NULL, 1, 'p'), ('q', NULL, 'r')"
    )
    sync(a, b)
    b.execute(
        "UPDATE w SET v='changed' WHERE b=2", "UPDATE n SET v='changed' WHERE a IS NULL", "DELETE FROM n WHERE a='q'"
    )
    sync(a, b)
    assert a.rows("SELECT * FROM w ORDER BY b") == [("x,y", 1, "v"), ("\\", 2, "changed")]
    assert a.rows("SELECT * FROM n") == [(None, 1, "changed")]
    agree_deeply(a, b)


def test_a_created_table_compares_and_stores_and_cascades_as_the_first_one(sqlite_workshop):
    a = sqlite_workshop.end(
        "a",
        "CREATE TABLE tag (name TEXT COLLATE NOCASE PRIMARY KEY, note TEXT COLLATE rtrim, plain TEXT) WITHOUT ROWID",
        "CREATE TABLE tagged (id TEXT PRIMARY KEY, tag TEXT REFERENCES tag ON UPDATE CASCADE ON DELETE SET NULL)",
        "INSERT INTO tag VALUES ('Red', 'x', 'y')",
        "INSERT INTO tagged VALUES ('t', 'Red')",
    )
    b = sqlite_workshop.end("b")
    sync(a, b)
    assert b.rows("SELECT count(*) FROM tag WHERE name='RED' AND note='x  ' AND plain<>'Y'") == [(1,)]
    assert b.rows("SELECT wr FROM pragma_table_list WHERE name='tag'") == [(1,)]
    b.execute("UPDATE tag SET name='Blue'")
    assert b.rows("SELECT tag FROM tagged") == [("Blue",)]
    settle(a, b)
    assert a.rows("SELECT tag FROM tagged JOIN tag ON tag=name") == [("Blue",)]
    agree_deeply(a, b)


def test_a_change_that_cascades_to_rows_only_this_end_has_is_captured(sqlite_workshop):
    schema = (
        "CREATE TABLE badge (id TEXT PRIMARY KEY, code INTEGER NOT NULL UNIQUE)",
        "CREATE TABLE worn (id TEXT PRIMARY KEY, code INTEGER REFERENCES badge (code) ON UPDATE CASCADE)",
    )
    a, b = sqlite_workshop.end("a", *schema, "INSERT INTO badge VALUES ('x', 1)"), sqlite_workshop.end("b", *schema)
    sync(a, b)
    b.execute("INSERT INTO worn VALUES ('unseen', 1)")
    a.execute("UPDATE badge SET code=2")
    settle(a, b)
    assert a.rows("SELECT code FROM worn") == b.rows("SELECT code FROM worn") == [(2,)]
    agree_deeply(a, b)


def test_generated_columns_are_left_to_the_database(sqlite_workshop):
    schema = "CREATE TABLE g (id TEXT PRIMARY KEY, a INTEGER, twice INTEGER GENERATED ALWAYS AS (a * 2) STORED)"
    a, b = sqlite_workshop.end("a", schema, "INSERT INTO g (id, a) VALUES ('k', 2)"), sqlite_workshop.end("b", schema)
    sync(a, b)
    assert b.rows("SELECT * FROM g") == [("k", 2, 4)]


def test_a_table_without_a_primary_key_is_refused_by_name(sqlite_workshop):
    a, b = sqlite_workshop.end("a", "CREATE TABLE loose (x TEXT)"), sqlite_workshop.end("b")
    with pytest.raises(SchemaError, match="'loose' has no primary key"):
        sync(a, b, only=("loose",))


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


def test_a_table_dropped_and_made_again_is_compared_with_what_is_known(sqlite_workshop):
    table = "CREATE TABLE word (id TEXT PRIMARY KEY, note TEXT)"
    a = sqlite_workshop.end("a", table, "INSERT INTO word VALUES ('x', 'one'), ('y', 'two')")
    b = sqlite_workshop.end("b", table)
    sync(a, b)
    a.execute("DROP TABLE word", table, "INSERT INTO word VALUES ('z', 'new')")
    sync(a, b, allowed=-1)
    assert b.rows("SELECT id FROM word") == [("z",)]
    agree_deeply(a, b)


def test_another_primary_key_for_a_tracked_table_is_refused_by_name(items):
    a, b = items
    a.execute(
        "CREATE TABLE item_new (code TEXT PRIMARY KEY, id INTEGER, note TEXT)",
        "INSERT INTO item_new SELECT code, id, note FROM item",
        "DROP TABLE item",
        "ALTER TABLE item_new RENAME TO item",
    )
    with pytest.raises(SchemaError, match="primary key of the tracked table 'item'"):
        sync(a, b)
    assert b.rows("SELECT id, code FROM item ORDER BY id") == [(1, "x"), (2, "y")]


def test_children_without_the_natural_columns_follow_their_parents_and_stay_apart(sqlite_workshop):
    tables = (
        "CREATE TABLE owner (id INTEGER PRIMARY KEY, email TEXT)",
        "CREATE TABLE animal (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES owner (id), name TEXT)",
    )
    a = sqlite_workshop.end(
        "a",
        *tables,
        "INSERT INTO owner VALUES (1, 'x'), (2, 'y')",
        "INSERT INTO animal VALUES (1, 1, 'Rex'), (2, 2, 'Tom')",
    )
    b = sqlite_workshop.end(
        "b",
        *tables,
        "INSERT INTO owner VALUES (1, 'y'), (2, 'z')",
        "INSERT INTO animal VALUES (1, 2, 'Zoe'), (2, 1, 'Tom')",
    )
    sync(a, b, identity="natural:email")
    for end in (a, b):
        assert end.rows("SELECT email, name FROM owner JOIN animal ON owner_id=owner.id ORDER BY email") == [
            ("x", "Rex"),
            ("y", "Tom"),
            ("z", "Zoe"),
        ]
    agree_deeply(a, b)


def test_a_row_that_only_the_commit_refuses_is_parked_and_delays_nobody(sqlite_workshop):
    schema = (
        "CREATE TABLE p (x INTEGER, y TEXT, n TEXT, PRIMARY KEY (x, y))",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, px INTEGER, py TEXT, "
        "FOREIGN KEY (px, py) REFERENCES p (x, y) ON UPDATE CASCADE ON DELETE SET NULL)",
    )
    a = sqlite_workshop.end("a", *schema, "INSERT INTO p VALUES (1, 'a', 'n1')", "INSERT INTO c VALUES (1, 1, 'a')")
    b = sqlite_workshop.end("b", *schema)
    sync(a, b)
    a.execute("UPDATE p SET x=5 WHERE x=1", "INSERT INTO c VALUES (7, 5, 'a')")
    b.execute("INSERT INTO c VALUES (4, 1, 'a')")
    for _ in range(3):
        done = sync(a, b)
    assert b.rows("SELECT px FROM c WHERE id=7") == [(5,)]
    assert done.records == 0


def test_a_dropped_column_stops_the_run_instead_of_emptying_it_elsewhere(sqlite_workshop):
    a = sqlite_workshop.end(
        "a", "CREATE TABLE it (id TEXT PRIMARY KEY, n TEXT, m TEXT)", "INSERT INTO it VALUES ('k', 'n', 'm')"
    )
    b = sqlite_workshop.end("b")
    sync(a, b)
    a.execute(
        "CREATE TABLE it_new (id TEXT PRIMARY KEY, n TEXT)",
        "INSERT INTO it_new SELECT id, n FROM it",
        "DROP TABLE it",
        "ALTER TABLE it_new RENAME TO it",
    )
    with pytest.raises(SchemaError, match="dropped or renamed since it was tracked: m"):
        sync(a, b)
    assert b.rows("SELECT id, n, m FROM it") == [("k", "n", "m")]


def test_a_reference_that_leads_nowhere_finds_nobody_elsewhere(sqlite_workshop):
    schema = (
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE node (id INTEGER PRIMARY KEY, up INTEGER REFERENCES node (id), "
        "parent INTEGER REFERENCES parent (id), name TEXT)",
    )
    a, b = sqlite_workshop.end("a", *schema), sqlite_workshop.end("b", *schema)
    a.execute(
        "PRAGMA foreign_keys=OFF",
        "INSERT INTO node VALUES (2, 1, NULL, 'self'), (3, NULL, 7, 'other'), (4, 2, NULL, 'child')",
    )
    b.execute("INSERT INTO parent VALUES (8, 'a stranger')")
    for _ in range(3):
        done = sync(a, b)
        assert b.rows("SELECT * FROM node") == []
        assert done.parked == 3
    a.execute("UPDATE node SET up=NULL, parent=NULL")
    sync(a, b)
    assert b.rows("SELECT up, parent, name FROM node ORDER BY name") == [
        (None, None, "child"),
        (None, None, "other"),
        (None, None, "self"),
    ]
    settle(a, b)
    agree_deeply(a, b)


def test_a_commit_that_is_refused_leaves_nothing_remembered(sqlite_workshop):
    schema = (
        "CREATE TABLE parent (a INTEGER, b INTEGER, PRIMARY KEY (a, b))",
        "CREATE TABLE child (id TEXT PRIMARY KEY, a INTEGER, b INTEGER, FOREIGN KEY (a, b) REFERENCES parent (a, b))",
    )
    a, b = sqlite_workshop.end("a", *schema), sqlite_workshop.end("b", *schema)
    a.execute("PRAGMA foreign_keys=OFF", "INSERT INTO child VALUES ('orphan', 1, 2)")
    assert sync(a, b).parked == 1
    assert sync(a, b).parked == 1
    a.execute("INSERT INTO parent VALUES (1, 2)")
    assert sync(a, b).parked == 0
    assert b.rows("SELECT id FROM child") == [("orphan",)]


def test_text_that_is_not_utf_8_arrives_as_its_bytes_and_delays_nobody(sqlite_workshop):
    broken = "INSERT INTO item VALUES (6, 'x', CAST(x'ff' AS TEXT)), (7, 'y', 'sound')"
    a = sqlite_workshop.end("a", ITEM, broken, "CREATE TABLE other (id TEXT PRIMARY KEY)")
    a.execute("INSERT INTO other VALUES ('o')")
    b = sqlite_workshop.end("b")
    sync(a, b)
    assert b.rows("SELECT id, note FROM item ORDER BY id") == [(6, b"\xff"), (7, "sound")]
    assert b.rows("SELECT id FROM other") == [("o",)]
    a.execute("UPDATE item SET note=CAST(x'fe' AS TEXT) WHERE id=7")
    b.execute("UPDATE item SET code='z' WHERE id=6")
    sync(a, b)
    assert b.rows("SELECT id, code, note FROM item ORDER BY id") == [(6, "z", b"\xff"), (7, "y", b"\xfe")]
    assert a.rows("SELECT code, hex(note) FROM item ORDER BY id") == [("z", "FF"), ("y", "FE")]
    agree_deeply(a, b)
    assert sync(a, b).records == 0


def test_text_that_is_not_utf_8_is_met_after_many_rows_and_each_row_is_entered_once(sqlite_workshop):
    a = sqlite_workshop.end("a", "CREATE TABLE item (id INTEGER PRIMARY KEY, note TEXT)")
    a.execute(
        "INSERT INTO item WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) "
        "SELECT i, 'note ' || i FROM n",
        "UPDATE item SET note=CAST(x'c328' AS TEXT) WHERE id=7001",
    )
    b = sqlite_workshop.end("b")
    sync(a, b)
    assert b.rows("SELECT count(*), sum(id) FROM item") == [(12000, 12000 * 12001 // 2)]
    assert b.rows("SELECT note FROM item WHERE id=7001") == [(b"\xc3(",)]
    agree_deeply(a, b)


def test_rows_follow_the_row_they_refer_to_when_its_uuid_changes(sqlite_workshop):
    a = sqlite_workshop.end(
        "a",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, n TEXT)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, tid INTEGER NOT NULL REFERENCES t (id), v TEXT)",
        "INSERT INTO t VALUES (2, '0000000000000000000000000000000a', 'x')",
        "INSERT INTO c VALUES (1, 2, 'kid')",
    )
    b = sqlite_workshop.end("b")
    sync(a, b)
    b.execute("UPDATE t SET uuid='0000000000000000000000000000000b' WHERE id=2")
    settle(a, b)
    named = "SELECT uuid, v FROM c JOIN t ON t.id=c.tid"
    assert a.rows(named) == b.rows(named) == [("0000000000000000000000000000000b", "kid")]
    agree_deeply(a, b)
