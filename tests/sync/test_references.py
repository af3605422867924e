"""References: declared, undeclared, leading nowhere (DESIGN.md 4.4)."""

from __future__ import annotations

from items import agree_deeply

from tallystick.site import parking
from tallystick.site.retrying import retry
from tallystick.site.stamping import stamp
from tallystick.sync.replica import Wanted
from tallystick.testing.contract import settle, sync


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


def test_what_is_parked_is_tried_again_when_nothing_else_is_new(sqlite_workshop):
    schema = "CREATE TABLE item (id TEXT PRIMARY KEY, note TEXT)"
    a, b = (sqlite_workshop.end(name, schema) for name in "ab")
    b.execute("CREATE TRIGGER refusing BEFORE INSERT ON item BEGIN SELECT RAISE(ABORT, 'not yet'); END")
    a.execute("INSERT INTO item VALUES ('x', 'late')")
    assert sync(a, b).parked == 1
    still = sync(a, b)
    assert (still.parked, still.moved) == (1, False)
    b.execute("DROP TRIGGER refusing")
    tried = sync(a, b)
    assert (tried.parked, tried.moved, tried.pushed["item"].created) == (0, True, 1)
    assert b.rows("SELECT * FROM item") == [("x", "late")]
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


MUTUAL = (
    "CREATE TABLE org (id INTEGER PRIMARY KEY, name TEXT, main_id INTEGER REFERENCES office (id))",
    "CREATE TABLE office (id INTEGER PRIMARY KEY, name TEXT, org_id INTEGER NOT NULL REFERENCES org (id))",
)
MAIN = "SELECT org.name, office.name FROM org LEFT JOIN office ON office.id=main_id"


def test_rows_that_need_each_other_come_in_one_pass(sqlite_workshop):
    a, b = (sqlite_workshop.end(name, *MUTUAL) for name in ("a", "b"))
    sync(a, b)
    a.execute("INSERT INTO org VALUES (1, 'head', NULL)", "INSERT INTO office VALUES (1, 'main', 1), (2, 'other', 1)")
    a.execute("UPDATE org SET main_id=1")
    assert sync(a, b).parked == 0
    joined = "SELECT org.name, office.name, main_id=office.id FROM org JOIN office ON org_id=org.id ORDER BY 2"
    assert a.rows(joined) == b.rows(joined) == [("head", "main", 1), ("head", "other", 0)]
    agree_deeply(a, b)


def _head_with_refused_main(workshop):
    a, b = (workshop.end(name, *MUTUAL) for name in ("a", "b"))
    sync(a, b)
    b.execute("CREATE TRIGGER no BEFORE INSERT ON office WHEN NEW.name='main' BEGIN SELECT RAISE(ABORT, 'no'); END")
    a.execute("INSERT INTO org VALUES (1, 'head', NULL)", "INSERT INTO office VALUES (1, 'main', 1), (2, 'other', 1)")
    a.execute("UPDATE org SET main_id=1")
    sync(a, b)
    return a, b


def _retry(end):
    ledger = end.replica.ledger
    with ledger.write():
        stamp(ledger)
        retry(ledger)


def test_a_row_shown_without_one_that_the_database_refuses_gets_its_reference_when_that_is_accepted(sqlite_workshop):
    a, b = _head_with_refused_main(sqlite_workshop)
    assert b.rows(MAIN) == [("head", None)]
    b.execute("UPDATE org SET name='renamed'")
    sync(a, b)
    assert (a.rows(MAIN), b.rows(MAIN)) == ([("renamed", "main")], [("renamed", None)])
    b.execute("DROP TRIGGER no")
    _retry(b)
    sync(a, b)
    assert a.rows(MAIN) == b.rows(MAIN) == [("renamed", "main")]
    agree_deeply(a, b)


def test_what_was_chosen_in_place_of_a_refused_row_stays_when_that_is_accepted(sqlite_workshop):
    a, b = _head_with_refused_main(sqlite_workshop)
    b.execute("UPDATE org SET main_id=(SELECT id FROM office WHERE name='other')")
    sync(a, b)
    b.execute("DROP TRIGGER no")
    _retry(b)
    sync(a, b)
    assert a.rows(MAIN) == b.rows(MAIN) == [("head", "other")]
    agree_deeply(a, b)
