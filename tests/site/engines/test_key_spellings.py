"""One key for a record, however each database spells the primary key of its row (DESIGN.md 4.4 *Keys*)."""

from __future__ import annotations

import pytest
from postgresql_ends import workshop_of

from tallystick.site import parking
from tallystick.sync.verification import verify
from tallystick.testing.contract import settle, sync

CAPITALS = "6F9619FF-8B86-D011-B42D-00CF4FC964FF"
SMALL = CAPITALS.lower()
SPELLINGS = (
    ("UUID", "uuid", f"'{CAPITALS}'"),
    ("CHAR(32)", "uuid", f"'{SMALL.replace('-', '')}'"),
    ("NUMERIC(8,2)", "numeric(8,2)", "7"),
    ("TEXT", "numeric(8,2)", "'1.50'"),
    ("TEXT", "numeric(8,1)", "'1.55'"),
    ("TIMESTAMP", "timestamp", "'2024-01-01T10:00:00'"),
    ("TEXT", "timestamptz(0)", "'2024-01-01T10:00:00.7Z'"),
    ("TEXT", "char(9)", "'blank  '"),
)
PAIRED = ("uuid", "numeric(8,2)", "timestamp")
"""Types of which a spelling is known by the value alone: others round, and such rows wait under another key."""


def _settled(*ends):
    settle(*ends)
    assert not [item for end in ends for item in parking.waiting(end.replica.ledger)]
    assert sync(*ends[:2]).records == 0
    verdict = verify(ends[0].replica, ends[1].replica, deep=True)
    assert verdict.agree, verdict
    assert not verdict.corrupt


@pytest.mark.parametrize(("here", "there", "key"), SPELLINGS)
def test_a_row_whose_key_postgresql_spells_otherwise_is_one_record_at_both(mixed, here, there, key):
    a = mixed.end("a", f"CREATE TABLE t (id {there} PRIMARY KEY, c text)")
    b = mixed.end("b", f"CREATE TABLE t (id {here} PRIMARY KEY, c text)", f"INSERT INTO t VALUES ({key}, 'x')")
    spelled = b.rows("SELECT id FROM t")
    _settled(a, b)
    assert a.rows("SELECT c FROM t") == [("x",)]
    a.execute("UPDATE t SET c='from a'")
    _settled(a, b)
    assert b.rows("SELECT c FROM t") == [("from a",)]
    b.execute("UPDATE t SET c='from b'")
    _settled(a, b)
    assert a.rows("SELECT c FROM t") == [("from b",)]
    assert b.rows("SELECT id FROM t") == spelled
    a.execute("DELETE FROM t")
    sync(a, b, allowed=1)
    assert b.rows("SELECT * FROM t") == []
    b.execute(f"INSERT INTO t VALUES ({key}, 'again')")
    _settled(a, b)
    assert a.rows("SELECT c FROM t") == [("again",)]
    b.execute("DELETE FROM t")
    sync(a, b, allowed=1)
    assert a.rows("SELECT * FROM t") == []


@pytest.mark.parametrize("key", ("1.5", "12345678901.25"))
def test_a_number_as_key_from_postgresql_is_edited_in_sqlite(mixed, key):
    a = mixed.end("a", "CREATE TABLE t (id numeric PRIMARY KEY, c text)", f"INSERT INTO t VALUES ({key}, 'x')")
    b = mixed.end("b")
    _settled(a, b)
    b.execute("UPDATE t SET c='from b'", "INSERT INTO t VALUES (2.25, 'new')")
    _settled(a, b)
    assert a.rows(f"SELECT c FROM t ORDER BY id={key} DESC") == [("from b",), ("new",)]
    a.execute("UPDATE t SET c='from a'")
    _settled(a, b)
    assert b.rows("SELECT DISTINCT c FROM t") == [("from a",)]
    b.execute(f"DELETE FROM t WHERE id={key}")
    _settled(a, b)
    assert a.rows("SELECT c FROM t") == [("from a",)]


@pytest.mark.parametrize(("here", "there", "key"), [one for one in SPELLINGS if one[1] in PAIRED])
def test_rows_that_both_have_from_before_are_paired_whatever_their_spelling(mixed, here, there, key):
    rows = f"INSERT INTO t VALUES ({key}, 'x')"
    a = mixed.end("a", f"CREATE TABLE t (id {there} PRIMARY KEY, c text)", rows)
    b = mixed.end("b", f"CREATE TABLE t (id {here} PRIMARY KEY, c text)", rows)
    _settled(a, b)
    b.execute("UPDATE t SET c='from b'")
    _settled(a, b)
    assert a.rows("SELECT c FROM t") == [("from b",)]
    a.execute("UPDATE t SET c='from a'")
    _settled(a, b)
    assert b.rows("SELECT c FROM t") == [("from a",)]


def test_composite_keys_are_one_record_at_both(mixed):
    a = mixed.end("a", "CREATE TABLE t (id uuid, n numeric(8,2), c text, PRIMARY KEY (id, n))")
    b = mixed.end(
        "b",
        "CREATE TABLE t (id UUID, n NUMERIC(8,2), c TEXT, PRIMARY KEY (id, n))",
        f"INSERT INTO t VALUES ('{CAPITALS}', 1.5, 'x'), ('{CAPITALS}', 2, 'y')",
    )
    _settled(a, b)
    a.execute("UPDATE t SET c='from a' WHERE n=1.5", "DELETE FROM t WHERE n=2")
    a.execute(f"INSERT INTO t VALUES ('{SMALL}', 4.25, 'new')")
    _settled(a, b)
    assert b.rows("SELECT n, c FROM t ORDER BY n") == [(1.5, "from a"), (4.25, "new")]
    b.execute("UPDATE t SET c='from b'")
    _settled(a, b)
    assert a.rows("SELECT DISTINCT c FROM t") == [("from b",)]


def test_rows_that_differ_only_by_their_spelling_stay_two_where_they_can(mixed):
    a = mixed.end("a", "CREATE TABLE t (id uuid PRIMARY KEY, c text)")
    b = mixed.end("b", "CREATE TABLE t (id TEXT PRIMARY KEY, c text)")
    b.execute(f"INSERT INTO t VALUES ('{CAPITALS}', 'one'), ('{SMALL}', 'two')")
    sync(a, b)
    assert len(a.rows("SELECT c FROM t")) == 1
    (waiting,) = parking.waiting(a.replica.ledger)
    assert f"{SMALL!r} here, and that is the row of another record" in waiting.reason
    a.execute("UPDATE t SET c='edited'")
    sync(a, b)
    assert sorted(row[0] for row in b.rows("SELECT c FROM t")) in (["edited", "two"], ["edited", "one"])


def test_a_key_written_in_another_spelling_in_place_is_the_row_it_was(mixed):
    a = mixed.end("a", "CREATE TABLE t (id uuid PRIMARY KEY, c text)", f"INSERT INTO t VALUES ('{SMALL}', 'x')")
    b = mixed.end("b")
    _settled(a, b)
    b.execute("UPDATE t SET id=upper(id), c='y'")
    settle(a, b)
    _settled(a, b)
    assert a.rows("SELECT id::text, c FROM t") == [(SMALL, "y")]


def test_children_refer_to_a_parent_whose_key_is_spelled_otherwise(mixed):
    a = mixed.end(
        "a",
        "CREATE TABLE p (id uuid PRIMARY KEY, c text)",
        "CREATE TABLE child (id text PRIMARY KEY, p uuid REFERENCES p (id), c text)",
    )
    b = mixed.end(
        "b",
        "CREATE TABLE p (id UUID PRIMARY KEY, c TEXT)",
        "CREATE TABLE child (id TEXT PRIMARY KEY, p UUID REFERENCES p (id), c TEXT)",
        f"INSERT INTO p VALUES ('{CAPITALS}', 'x')",
        f"INSERT INTO child VALUES ('of b', '{CAPITALS}', 'y')",
    )
    _settled(a, b)
    assert a.rows("SELECT p.c, child.c FROM p JOIN child ON p.id=p") == [("x", "y")]
    a.execute(f"INSERT INTO child VALUES ('of a', '{SMALL}', 'z')", "UPDATE child SET c='yy' WHERE id='of b'")
    _settled(a, b)
    joined = "SELECT child.id, child.c FROM p JOIN child ON p.id=p ORDER BY child.id"
    assert b.rows(joined) == [("of a", "z"), ("of b", "yy")]
    b.execute("UPDATE child SET c='from b' WHERE id='of a'")
    _settled(a, b)
    assert a.rows(joined) == [("of a", "from b"), ("of b", "yy")]
    b.execute("DELETE FROM child", "DELETE FROM p")
    sync(a, b, allowed=-1)
    assert a.rows("SELECT * FROM p") == []


def test_link_tables_whose_keys_hold_references_are_one_record_at_both(mixed):
    a = mixed.end(
        "a",
        "CREATE TABLE p (id bigserial PRIMARY KEY, c text)",
        "CREATE TABLE link (p bigint REFERENCES p (id), what uuid, c text, PRIMARY KEY (p, what))",
    )
    b = mixed.end(
        "b",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, c TEXT)",
        "CREATE TABLE link (p INTEGER REFERENCES p (id), what UUID, c TEXT, PRIMARY KEY (p, what))",
        "INSERT INTO p VALUES (1, 'x')",
        f"INSERT INTO link VALUES (1, '{CAPITALS}', 'y')",
    )
    _settled(a, b)
    a.execute("UPDATE link SET c='from a'")
    _settled(a, b)
    assert b.rows("SELECT what, c FROM link") == [(CAPITALS, "from a")]
    b.execute("UPDATE link SET c='from b'")
    _settled(a, b)
    assert a.rows("SELECT what::text, c FROM link") == [(SMALL, "from b")]


def test_spellings_of_a_field_are_rendered_and_not_edited(mixed):
    a = mixed.end("a", "CREATE TABLE t (id text PRIMARY KEY, u uuid, at timestamp, c text)")
    b = mixed.end(
        "b",
        "CREATE TABLE t (id TEXT PRIMARY KEY, u UUID, at TIMESTAMP, c TEXT)",
        f"INSERT INTO t VALUES ('k', '{CAPITALS}', '2024-01-01T10:00:00', 'x')",
    )
    _settled(a, b)
    a.execute("UPDATE t SET c='y'")
    _settled(a, b)
    assert b.rows("SELECT * FROM t") == [("k", CAPITALS, "2024-01-01T10:00:00", "y")]


def test_keys_in_capitals_pass_through_postgresql_unchanged(postgresql_database, tmp_path):
    for ends in workshop_of(postgresql_database, tmp_path, "sqlite", "postgresql", "sqlite"):
        a = ends.end("a", "CREATE TABLE t (id UUID PRIMARY KEY, c TEXT)", f"INSERT INTO t VALUES ('{CAPITALS}', 'x')")
        b, c = ends.end("b"), ends.end("c")
        sync(a, b)
        sync(b, c)
        assert c.rows("SELECT id FROM t") == [(CAPITALS,)]
        c.execute("UPDATE t SET c='from c'")
        settle(a, b, c)
        assert a.rows("SELECT * FROM t") == [(CAPITALS, "from c")]
        assert sync(a, c).records == 0
