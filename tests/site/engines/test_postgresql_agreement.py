"""Sites on PostgreSQL keep the contract, among themselves and with SQLite."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from postgresql_ends import PostgreSQLEnd, workshop_of

from tallystick.sync.verification import verify
from tallystick.testing.contract import AgreementContract, settle, sync


class TestPostgreSQLAgreement(AgreementContract):
    @pytest.fixture
    def workshop(self, postgresql_database, tmp_path):
        yield from workshop_of(postgresql_database, tmp_path, "postgresql")


class TestAgreementOfPostgreSQLWithSQLite(AgreementContract):
    @pytest.fixture
    def workshop(self, postgresql_database, tmp_path):
        yield from workshop_of(postgresql_database, tmp_path, "postgresql", "sqlite")


class TestAgreementOfSQLiteWithPostgreSQL(AgreementContract):
    @pytest.fixture
    def workshop(self, postgresql_database, tmp_path):
        yield from workshop_of(postgresql_database, tmp_path, "sqlite", "postgresql")


def test_a_column_that_the_database_alone_numbers_stays_at_home(mixed):
    a = mixed.end(
        "a",
        "CREATE TABLE t (id bigserial PRIMARY KEY, c text, g int GENERATED ALWAYS AS IDENTITY)",
        "INSERT INTO t (c) VALUES ('x')",
    )
    b = mixed.end("b")
    sync(a, b)
    b.execute("UPDATE t SET c='y'")
    b.execute("INSERT INTO t (c) VALUES ('z')")
    assert sync(a, b).parked == 0
    assert a.rows("SELECT c, g FROM t ORDER BY g") == [("y", 1), ("z", 2)]


@pytest.mark.parametrize("value", ("NaN", "Infinity", "-Infinity", "-0.0", "0.1"))
def test_numbers_that_are_no_finite_ones_arrive_as_they_are(postgresql_database, tmp_path, value):
    for ends in workshop_of(postgresql_database, tmp_path, "postgresql"):
        a, b = ends.end("a", "CREATE TABLE v (id text PRIMARY KEY, value double precision)"), ends.end("b")
        a.execute(f"INSERT INTO v VALUES ('k', '{value}')")
        sync(a, b)
        assert b.rows("SELECT value::text FROM v") == a.rows("SELECT value::text FROM v")
        assert verify(a.replica, b.replica, deep=True).agree
        assert sync(a, b).records == 0


def test_a_truncated_table_is_empty_everywhere(mixed):
    a = mixed.end("a", "CREATE TABLE t (id text PRIMARY KEY, c text)", "INSERT INTO t VALUES ('x', '1'), ('y', '2')")
    b = mixed.end("b")
    sync(a, b)
    a.execute("TRUNCATE t")
    assert sum(sync(a, b).held.values()) == 2
    sync(a, b, allowed=2)
    assert b.rows("SELECT * FROM t") == []
    a.execute("TRUNCATE t", "INSERT INTO t VALUES ('x', 'again')")
    sync(a, b)
    assert b.rows("SELECT * FROM t") == [("x", "again")]
    assert verify(a.replica, b.replica, deep=True).agree


def test_updated_at_triggers_on_both_sides_come_to_rest(postgresql_database, tmp_path):
    schema = (
        "CREATE TABLE t (id text PRIMARY KEY, note text, updated_at timestamptz DEFAULT clock_timestamp())",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END $$",
        "CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch()",
    )
    for ends in workshop_of(postgresql_database, tmp_path, "postgresql"):
        a, b = ends.end("a", *schema), ends.end("b", *schema)
        a.execute("INSERT INTO t (id, note) VALUES ('k', 'one')")
        sync(a, b)
        assert sync(a, b).records == 0
        b.execute("UPDATE t SET note='two'")
        assert sync(a, b).records == 1
        assert a.rows("SELECT note FROM t") == [("two",)]
        assert sync(a, b).records == 0
        assert verify(a.replica, b.replica, deep=True).agree


def test_rows_that_triggers_write_elsewhere_are_captured(mixed):
    a = mixed.end(
        "a",
        "CREATE TABLE t (id text PRIMARY KEY, c text)",
        "CREATE TABLE audit (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), what text)",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO audit (what) VALUES (NEW.c); RETURN NULL; END $$",
        "CREATE TRIGGER noting AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noted()",
    )
    b = mixed.end("b")
    a.execute("INSERT INTO t VALUES ('k', 'at home')")
    sync(a, b)
    b.execute("UPDATE t SET c='elsewhere'")
    sync(a, b)
    sync(a, b)
    assert sorted(b.rows("SELECT what FROM audit")) == [("at home",), ("elsewhere",)]
    assert sync(a, b).records == 0
    assert verify(a.replica, b.replica, deep=True).agree


def test_a_created_table_compares_and_cascades_as_the_first_one(postgresql_database, tmp_path):
    for ends in workshop_of(postgresql_database, tmp_path, "postgresql"):
        a = ends.end(
            "a",
            'CREATE TABLE tag (name text COLLATE "C" PRIMARY KEY, note text)',
            "CREATE TABLE tagged (id text PRIMARY KEY, tag text REFERENCES tag (name) ON UPDATE CASCADE)",
            "INSERT INTO tag VALUES ('red', 'x')",
            "INSERT INTO tagged VALUES ('t', 'red')",
        )
        b = ends.end("b")
        sync(a, b)
        named = "SELECT collation_name FROM information_schema.columns WHERE table_name='tag' ORDER BY column_name"
        assert b.rows(named) == [("C",), (None,)]
        b.execute("UPDATE tag SET name='blue'")
        sync(a, b)
        assert a.rows("SELECT tag FROM tagged JOIN tag ON tag=name") == [("blue",)]
        assert verify(a.replica, b.replica, deep=True).agree


def test_a_collation_that_the_other_engine_does_not_know_is_left_out(mixed):
    a = mixed.end("a", 'CREATE TABLE t (id text COLLATE "C" PRIMARY KEY)', "INSERT INTO t VALUES ('x')")
    b = mixed.end("b")
    sync(a, b)
    b.execute("CREATE TABLE u (id TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID", "INSERT INTO u VALUES ('y')")
    sync(a, b)
    assert (b.rows("SELECT id FROM t WHERE id='X'"), a.rows("SELECT id FROM u WHERE id='y'")) == ([], [("y",)])


CODED = "CREATE TABLE item (id bigserial PRIMARY KEY, code text UNIQUE, note text)"


@pytest.fixture
def duplicate(postgresql_server):
    """Makes copies of databases to which nobody is connected; they are dropped afterwards."""
    made: list[str] = []

    def copied(url: str, name: str) -> str:
        postgresql_server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        postgresql_server.execute(f"CREATE DATABASE {name} TEMPLATE {_name(url)}")
        made.append(name)
        return urlsplit(url)._replace(path="/" + name).geturl()

    yield copied
    for name in made:
        postgresql_server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _name(url: str) -> str:
    return urlsplit(url).path[1:]


def _written(end: Any, code: str) -> None:
    end.execute(f"INSERT INTO item (code) VALUES ('{code}')", f"UPDATE item SET note='{code}' WHERE code='x'")


def test_a_copied_database_and_its_original_both_write_on(postgresql_database, duplicate):
    a = PostgreSQLEnd(postgresql_database(), "a", (CODED, "INSERT INTO item (code, note) VALUES ('x', 'one')"))
    b = PostgreSQLEnd(postgresql_database(), "b", ())
    sync(a, b)
    a.close()
    copy = duplicate(a.url, _name(a.url) + "_copy")
    a, c = PostgreSQLEnd(a.url, "a", ()), PostgreSQLEnd(copy, "c", ())
    for end, code in ((a, "from a"), (c, "from c")):
        _written(end, code)
    sync(c, b)
    settle(a, b, c)
    for end in (a, b, c):
        assert end.rows("SELECT code FROM item ORDER BY code") == [("from a",), ("from c",), ("x",)]
    assert verify(a.replica, c.replica, deep=True).agree
    for end in (a, b, c):
        end.close()


def test_an_old_backup_restored_in_place_loses_nothing(postgresql_database, duplicate, postgresql_server):
    a = PostgreSQLEnd(postgresql_database(), "a", (CODED, "INSERT INTO item (code, note) VALUES ('x', 'one')"))
    b = PostgreSQLEnd(postgresql_database(), "b", ())
    sync(a, b)
    a.close()
    backup = duplicate(a.url, _name(a.url) + "_backup")
    a = PostgreSQLEnd(a.url, "a", ())
    _written(a, "before")
    sync(a, b)
    a.close()
    postgresql_server.execute(f"DROP DATABASE {_name(a.url)} WITH (FORCE)")
    postgresql_server.execute(f"CREATE DATABASE {_name(a.url)} TEMPLATE {_name(backup)}")
    a = PostgreSQLEnd(a.url, "a", ())
    _written(a, "after")
    settle(a, b)
    for end in (a, b):
        assert end.rows("SELECT code FROM item ORDER BY code") == [("after",), ("before",), ("x",)]
    assert verify(a.replica, b.replica, deep=True).agree
    for end in (a, b):
        end.close()
