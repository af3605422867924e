"""The text form of COPY, value by value, as the manual describes it."""

from __future__ import annotations

import pytest

from tallystick.site.engines.postgresql_copy import copied


def test_rows_are_lines_and_columns_are_separated_by_tabs():
    assert copied([["a", "b"], [1, 2]]) == b"a\t1\nb\t2\n"


def test_no_rows_are_no_bytes():
    assert copied([[], []]) == b""


@pytest.mark.parametrize(
    ("value", "text"),
    (
        (None, rb"\N"),
        ("", b""),
        (r"\N", rb"\\N"),
        ("tab\tline\nreturn\r", rb"tab\tline\nreturn\r"),
        ("ünïcode", "ünïcode".encode()),
        (b"\x00\xff", rb"\\x00ff"),
        (-(2**63), b"-9223372036854775808"),
        (0.1, b"0.1"),
        (float("inf"), b"inf"),
    ),
)
def test_a_value_is_written_the_same_alone_and_among_others(value, text):
    assert copied([[value]]) == text + b"\n"
    assert copied([[value, None, "x"]]) == text + b"\n\\N\nx\n"


def test_text_that_utf8_cannot_hold_is_an_error():
    with pytest.raises(UnicodeEncodeError):
        copied([["\ud800"]])
