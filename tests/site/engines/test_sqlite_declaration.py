"""Collations as CREATE TABLE statements declare them, and terms as CREATE INDEX statements do."""

from __future__ import annotations

import pytest

from tallystick.site.engines.sqlite_declaration import collations, terms


@pytest.mark.parametrize(
    ("statement", "found"),
    (
        ("CREATE TABLE t (a TEXT)", {}),
        ("CREATE TABLE t (a TEXT COLLATE nocase, b TEXT, c COLLATE 'RTRIM' NOT NULL)", {"a": "NOCASE", "c": "RTRIM"}),
        (
            'CREATE TABLE "t (x COLLATE y" ("a b" TEXT COLLATE [NOCASE], `c``d` COLLATE "rtrim")',
            {"a b": "NOCASE", "c`d": "RTRIM"},
        ),
        ("CREATE TABLE t (a TEXT DEFAULT 'x COLLATE y', b TEXT DEFAULT (b COLLATE NOCASE))", {}),
        ("CREATE TABLE t (a TEXT /* COLLATE NOCASE, */ , b -- COLLATE NOCASE\n)", {}),
        ("CREATE TABLE t (a NUMERIC(10,2), b TEXT COLLATE NOCASE, PRIMARY KEY (a COLLATE NOCASE))", {"b": "NOCASE"}),
        ('CREATE TABLE t (a TEXT, UNIQUE (a COLLATE NOCASE), "unique" COLLATE RTRIM)', {"unique": "RTRIM"}),
        ("CREATE TABLE t (a TEXT CHECK (a IN ('(', ')')) COLLATE NOCASE)", {"a": "NOCASE"}),
        ("CREATE TABLE t (a TEXT COLLATE NOCASE, b", {"a": "NOCASE"}),
        ("", {}),
    ),
)
def test_each_column_has_the_collation_it_declares(statement, found):
    assert collations(statement) == found


@pytest.mark.parametrize(
    ("statement", "found"),
    (
        ("CREATE UNIQUE INDEX i ON t (a)", ["a"]),
        ('CREATE UNIQUE INDEX i ON t(a, "b c" DESC, lower(d) asc)', ["a", '"b c"', "lower(d)"]),
        ('CREATE UNIQUE INDEX "i (x" ON [t (y] (a COLLATE NOCASE DESC)', ["a COLLATE NOCASE"]),
        (
            "CREATE UNIQUE INDEX i ON t (substr(a, 1, 2), x'ab' || b) WHERE (c, d) IN (VALUES (1, 2))",
            ["substr(a, 1, 2)", "x'ab' || b"],
        ),
        ("CREATE UNIQUE INDEX i ON t ((a), -- one, (two\n b /* ) */, ')' || c)", ["(a)", "b", "')' || c"]),
    ),
)
def test_terms_of_an_index_are_as_they_are_written(statement, found):
    assert terms(statement) == found
