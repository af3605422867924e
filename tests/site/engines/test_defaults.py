"""Defaults travel as values and names, never as SQL."""

from __future__ import annotations

import pytest

from tallystick.core.values import Logical
from tallystick.site.engines.defaults import for_postgresql, for_sqlite, of_postgresql, of_sqlite
from tallystick.site.schema import Default, DefaultKind

NOW = Default(DefaultKind.NOW)


def number(value):
    return Default(DefaultKind.NUMBER, value)


def text(value):
    return Default(DefaultKind.TEXT, value)


@pytest.mark.parametrize(
    ("expression", "found"),
    (
        ("0", number("0")),
        ("-1.5e3", number("-1.5e3")),
        ("TRUE", number("1")),
        ("'it''s'", text("it's")),
        ('"open"', text("open")),
        ("x'00fF'", Default(DefaultKind.BYTES, "00ff")),
        ("CURRENT_TIMESTAMP", NOW),
        ("current_date", Default(DefaultKind.TODAY)),
        ("NULL", None),
        ("random()", None),
        ("1 + 1", None),
        ("'a' || 'b'", None),
        ("load_extension('evil')", None),
        ("'open'); DROP TABLE t; --", None),
    ),
)
def test_what_sqlite_declares_is_a_value_or_a_known_function(expression, found):
    assert of_sqlite(expression) == found


@pytest.mark.parametrize(
    ("expression", "found"),
    (
        ("0", number("0")),
        ("'-1'::integer", number("-1")),
        ("(- 1)", None),
        ("1.50", number("1.50")),
        ("'it''s'::text", text("it's")),
        ("'a::b'::character varying(20)", text("a::b")),
        ("'{}'::jsonb", text("{}")),
        ("true", number("1")),
        ("now()", NOW),
        ("CURRENT_TIMESTAMP", NOW),
        ("CURRENT_DATE", Default(DefaultKind.TODAY)),
        ("gen_random_uuid()", Default(DefaultKind.UUID)),
        ("nextval('t_id_seq'::regclass)", None),
        ("timezone('utc'::text, now())", None),
        ("pg_read_file('/etc/passwd'::text)", None),
        ("NULL::character varying", None),
    ),
)
def test_what_postgresql_declares_is_a_value_or_a_known_function(expression, found):
    assert of_postgresql(expression) == found


@pytest.mark.parametrize(
    ("default", "logical", "sqlite", "postgresql"),
    (
        (number("1"), Logical.INT64, "1", "1"),
        (number("1"), Logical.BOOL, "1", "TRUE"),
        (number("2"), Logical.BOOL, None, None),
        (number("1.5"), Logical.INT64, None, None),
        (number("1.5"), Logical.DECIMAL, "1.5", "1.5"),
        (number("9" * 30), Logical.INT64, None, None),
        (number("1; DROP TABLE t"), Logical.INT64, None, None),
        (number("1) CHECK (evil()"), Logical.ANY, None, None),
        (text("it's"), Logical.TEXT, "'it''s'", "'it''s'"),
        (text("\\"), Logical.TEXT, None, None),
        (text("no date"), Logical.DATE, None, None),
        (text("2026-02-30"), Logical.DATE, None, None),
        (text("2026-02-28"), Logical.DATE, "'2026-02-28'", "'2026-02-28'"),
        (text("{"), Logical.JSON, None, None),
        (text('{"a":1}'), Logical.JSON, "'{\"a\":1}'", "'{\"a\":1}'"),
        (Default(DefaultKind.BYTES, "00ff"), Logical.BYTES, "X'00ff'", "'\\x00ff'"),
        (Default(DefaultKind.BYTES, "0'--"), Logical.BYTES, None, None),
        (NOW, Logical.INSTANT, "CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        (NOW, Logical.INT64, None, None),
    ),
)
def test_what_is_written_is_of_the_column_s_type_and_nothing_else(default, logical, sqlite, postgresql):
    assert for_sqlite(default, logical) == sqlite
    assert for_postgresql(default, logical) == postgresql


def test_a_random_key_of_one_engine_is_one_of_the_other():
    found = of_postgresql("gen_random_uuid()")
    expression = for_sqlite(found, Logical.UUID)
    assert of_sqlite(expression[1:-1]) == found
    assert for_postgresql(found, Logical.UUID) == "pg_catalog.gen_random_uuid()"
