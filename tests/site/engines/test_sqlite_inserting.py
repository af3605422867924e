"""Many rows in few statements: the same rows as one by one, conflicts and refusals included."""

import sqlite3

import pytest

from tallystick.site.engines.sqlite_inserting import TOGETHER, insert_many


@pytest.fixture
def connection():
    found = sqlite3.connect(":memory:", isolation_level=None)
    found.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL)")
    yield found
    found.close()


@pytest.mark.parametrize("count", (0, 1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER + 7))
def test_all_rows_are_inserted_whatever_their_number(connection, count):
    rows = [(number, f"b{number}") for number in range(count)]

    insert_many(connection, "INSERT INTO t(a, b) VALUES (?, ?)", iter(rows))

    assert connection.execute("SELECT a, b FROM t ORDER BY a").fetchall() == rows


def test_a_conflict_is_decided_row_by_row_also_within_one_statement(connection):
    rows = [(number % 150, f"b{number}") for number in range(200)]

    insert_many(connection, "INSERT INTO t(a, b) VALUES (?, ?) ON CONFLICT (a) DO UPDATE SET b=excluded.b", rows)

    assert dict(connection.execute("SELECT a, b FROM t")) == dict(rows)


def test_values_that_are_the_same_for_all_rows_may_stand_in_the_statement(connection):
    insert_many(connection, "INSERT INTO t(a, b) VALUES (?, 'x')", [(number,) for number in range(TOGETHER + 1)])

    assert connection.execute("SELECT count(*), min(b), max(b) FROM t").fetchone() == (TOGETHER + 1, "x", "x")


def test_a_row_that_is_refused_is_an_error(connection):
    rows = [(number, None if number == 50 else "b") for number in range(TOGETHER)]

    with pytest.raises(sqlite3.IntegrityError):
        insert_many(connection, "INSERT INTO t(a, b) VALUES (?, ?)", rows)
