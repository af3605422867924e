"""Collations as CREATE TABLE statements declare them."""

from __future__ import annotations

import pytest

from tallystick.site.engines.sqlite_declaration import collations


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
