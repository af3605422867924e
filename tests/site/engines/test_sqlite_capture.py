"""What triggers in SQLite say of an update."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

import tallystick


def marks_after(path, schema, *statements):
    """Marks of the only table after an application ran ``statements``, the last ones of them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as application:
        application.execute(schema)
        application.execute(statements[0])
        with tallystick.open(path) as site:
            site.track()
            for statement in statements[1:]:
                application.execute(statement)
            (resource,) = site.resources()
            found, _ = site.ledger.engine.marks({resource.tracked.number: resource.tracked.definition})
            return found[resource.tracked.number]


def test_an_update_that_keeps_the_key_names_one_address_and_the_changed_columns(tmp_path):
    (mark,) = marks_after(
        tmp_path / "a.db",
        "CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT, b INTEGER)",
        "INSERT INTO t VALUES ('x', 'one', 1)",
        "UPDATE t SET b = 2",
    )
    assert (mark.old, mark.new, mark.columns) == (("x",), ("x",), {"b"})


def test_an_update_that_keeps_a_key_of_two_columns_names_one_address(tmp_path):
    (mark,) = marks_after(
        tmp_path / "a.db",
        "CREATE TABLE t (a TEXT, b INTEGER, c TEXT, PRIMARY KEY (a, b))",
        "INSERT INTO t VALUES ('x', 7, 'one')",
        "UPDATE t SET c = 'two'",
    )
    assert (mark.old, mark.new, mark.columns) == (("x", 7), ("x", 7), {"c"})


@pytest.mark.parametrize(
    ("declared", "before", "after"),
    (
        ("TEXT", "x", "y"),
        ("TEXT COLLATE NOCASE", "x", "X"),
        ("TEXT COLLATE RTRIM", "x", "x "),
        ("TEXT", "x", None),
        ("TEXT", None, "x"),
        ("", 1, 1.0),
        ("INTEGER", 1, 2),
    ),
)
def test_an_update_of_the_key_names_both_addresses(tmp_path, declared, before, after):
    quoted = ["NULL" if value is None else repr(value) for value in (before, after)]
    (*_, mark) = marks_after(
        tmp_path / "a.db",
        f"CREATE TABLE t (id {declared} PRIMARY KEY, a TEXT)",
        f"INSERT INTO t VALUES ({quoted[0]}, 'one')",
        f"UPDATE t SET id = {quoted[1]}",
    )
    assert mark.kind == "U"
    assert [*map(repr, mark.old), *map(repr, mark.new)] == [repr(before), repr(after)]


def test_a_text_that_its_collation_calls_the_same_is_a_changed_column(tmp_path):
    (mark,) = marks_after(
        tmp_path / "a.db",
        "CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT COLLATE NOCASE, b TEXT)",
        "INSERT INTO t VALUES ('x', 'one', 'two')",
        "UPDATE t SET a = 'One'",
    )
    assert mark.columns == {"a"}
