"""Values, names and keys of any kind (DESIGN.md 4.7)."""

from __future__ import annotations

import math

import pytest
from items import ITEM, agree_deeply

from tallystick.core.policies import FieldPolicy, Policy, Resolution
from tallystick.errors import SchemaError
from tallystick.testing.contract import sync


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


def test_a_table_without_a_primary_key_is_refused_by_name(sqlite_workshop):
    a, b = sqlite_workshop.end("a", "CREATE TABLE loose (x TEXT)"), sqlite_workshop.end("b")
    with pytest.raises(SchemaError, match="'loose' has no primary key"):
        sync(a, b, only=("loose",))


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
