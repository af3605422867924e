"""Portable SQL in the words of PostgreSQL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.site.engines.postgresql_driver import target
from tallystick.site.engines.postgresql_sql import (
    array,
    ddl,
    holdable,
    literal,
    loaded_text,
    qualified,
    quoted,
    stored_text,
    translated,
)


@pytest.mark.parametrize(
    ("portable", "native"),
    (
        ("SELECT value FROM tally_meta WHERE name=?", "SELECT value FROM tally.meta WHERE name=$1"),
        ("INSERT INTO tally_x(a, b) VALUES (?, ?)", "INSERT INTO tally.x(a, b) VALUES ($1, $2)"),
        ("UPDATE tally_x SET a=? WHERE tally_x.b<excluded.b", "UPDATE tally.x SET a=$1 WHERE tally.x.b<excluded.b"),
        ("SELECT 1 FROM tally_x WHERE a=? AND b IN (*)", "SELECT 1 FROM tally.x WHERE a=$1 AND b = ANY($2)"),
        ('SELECT \'? tally_x\', "?", "tally_""?"', 'SELECT \'? tally_x\', "?", "tally_""?"'),
        ("SELECT 'it''s ?', a % 2, ?", "SELECT 'it''s ?', a % 2, $1"),
        ("SELECT mytally_x, a_tally_x FROM t", "SELECT mytally_x, a_tally_x FROM t"),
    ),
)
def test_only_placeholders_and_our_tables_are_translated(portable, native):
    assert translated(portable).sql.decode() == native


def test_statements_on_tables_of_the_application_are_told_apart():
    assert translated("SELECT a FROM tally_x").ours
    assert not translated("SELECT 'tally_x' FROM \"tally_x\"").ours


@pytest.mark.parametrize(
    ("portable", "native"),
    (
        (
            "CREATE TABLE tally_x (a {int}, b {text} NOT NULL)",
            'CREATE TABLE tally.x (a BIGINT, b TEXT COLLATE "C" NOT NULL)',
        ),
        ("CREATE UNIQUE INDEX tally_x_b ON tally_x (b)", "CREATE UNIQUE INDEX x_b ON tally.x (b)"),
        ("CREATE INDEX IF NOT EXISTS tally_x_b ON tally_x (b)", "CREATE INDEX IF NOT EXISTS x_b ON tally.x (b)"),
        ("CREATE TABLE tally_user (a {blob}, b {any})", 'CREATE TABLE tally.user (a BYTEA, b TEXT COLLATE "C")'),
    ),
)
def test_tables_and_their_indexes_move_into_our_schema(portable, native):
    assert ddl(portable).decode() == native


@given(st.text())
def test_stored_text_is_always_holdable_and_reads_back(text):
    kept = stored_text(text)
    assert holdable(kept)
    assert loaded_text(kept) == text


@given(st.text(), st.text())
def test_different_texts_are_stored_differently(one, other):
    assert (stored_text(one) == stored_text(other)) == (one == other)


def test_array_literals_leave_out_what_equals_nothing():
    assert array([1, None, 2]) == "{1,2}"
    assert array(['a"b', "back\\slash", "NULL", ""]) == '{"a\\"b","back\\\\slash","NULL",""}'
    assert array([b"\x00\xff", True, 1.5]) == '{"\\\\x00ff",1,1.5}'
    assert array(["fine", "nul\0"], ours=False) == '{"fine"}'


def test_quoting_doubles_what_would_end_it():
    assert quoted('a"b') == '"a""b"'
    assert literal("it's") == "'it''s'"
    assert qualified("s", 't"') == '"s"."t"""'


@pytest.mark.parametrize(
    ("url", "plain", "schema", "name"),
    (
        ("postgresql://u:p@h:5433/db", "postgresql://u:p@h:5433/db", "", "postgresql://h:5433/db"),
        (
            "postgres:///db?schema=a%20b&sslmode=require",
            "postgresql:///db?sslmode=require",
            "a b",
            "postgresql://localhost/db",
        ),
        ("postgresql:///db?host=/run/x&schema=s", "postgresql:///db?host=%2Frun%2Fx", "s", "postgresql://localhost/db"),
    ),
)
def test_urls_give_up_the_schema_and_names_show_no_password(url, plain, schema, name):
    assert target(url) == (plain, schema, name)
