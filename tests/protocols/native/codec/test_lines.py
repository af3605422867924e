"""NDJSON says the same as blocks do."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import ORIGIN, managed, pages

from tallystick.core.pages import FieldForm, Page
from tallystick.core.policies import DEFAULT_POLICY
from tallystick.errors import LimitExceeded, StateInvalidError
from tallystick.protocols.native.codec.errors import ErrorForm, RequestError
from tallystick.protocols.native.codec.lines import line, page_lines, read_lines
from tallystick.protocols.native.codec.messages import SettingsForm
from tallystick.sync.replica import Closing, Scope

SETTINGS = SettingsForm("a" * 32, Scope(("person",)), {"": DEFAULT_POLICY})


@given(pages())
def test_a_page_is_read_back_as_it_was(page):
    assert list(read_lines(page_lines(page))) == [page]


@given(managed)
def test_managed_content_is_read_back_as_it_was(content):
    page = Page("item", [], [ORIGIN], [("k", None, 0, 1, 5, 0, None, content)], "")
    assert list(read_lines(page_lines(page))) == [page]


@pytest.mark.parametrize("value", (math.inf, -math.inf, math.nan, -0.0, 5.0, 1 << 62, b"\0\xff", "\0", ""))
def test_what_json_cannot_say_is_read_back(value):
    page = Page("person", [FieldForm("x", "any")], [ORIGIN], [("k", b"\1", 0, 1, 5, 0, None, value)], "")
    (back,) = read_lines(page_lines(page))
    assert repr(back.rows) == repr(page.rows)


@pytest.mark.parametrize("content", ({"$bytes": "x"}, {"$map": {"$map": 1}}, {"a": {"$float": "nan"}}, {"$x": None}))
def test_data_that_looks_like_our_way_of_writing_is_read_back(content):
    page = Page("item", [], [ORIGIN], [("k", None, 0, 1, 5, 0, None, content)], "")
    assert list(read_lines(page_lines(page))) == [page]


def test_a_whole_stream_is_read_in_order():
    closing = Closing("", {"person": {ORIGIN: 5}}, {})
    error = ErrorForm("internal", "went wrong", retry=True)
    page = Page("person", [], [ORIGIN], [("k", None, 0, 1, 5, 0, None)], "")
    body = line("settings", SETTINGS) + page_lines(page) + line("closing", closing) + b"\n" + line("error", error)
    assert list(read_lines(body)) == [SETTINGS, page, closing, error]


HEAD = b'{"page": {"resource": "p", "fields": [["x", "any", ""]], "origins": ["o"], "rows": 1}}\n'
ROW = b'{"key": "k", "local": null, "origin": 0, "tick": 1, "stamp": 0, "flags": 0, "values": '


@pytest.mark.parametrize(
    "body",
    (
        b"{}",
        b"[]",
        b"nonsense",
        b'{"page": 5}',
        b'{"page": {"resource": "p", "fields": [], "origins": [], "rows": 1, "state": ""}}',
        b'{"page": {"resource": "p", "fields": [], "origins": ["o"], "rows": 1}}\n{"key": "k"}',
        HEAD + ROW + b'{"y": 1}}',
        HEAD + ROW + b'{"x": {"$bytes": "?"}}}',
        HEAD + ROW + b'{"x": {"$other": "?"}}}',
        b'{"closing": {"state": 5}}',
        b'{"a":' + b"[" * 50_000,
    ),
    ids=lambda body: body[-40:].decode(),
)
def test_lines_that_cannot_be_are_refused(body):
    with pytest.raises(RequestError):
        list(read_lines(body))


@given(st.binary(max_size=100))
def test_garbage_raises_nothing_else(body):
    with suppress(RequestError, LimitExceeded, StateInvalidError):
        list(read_lines(body))
