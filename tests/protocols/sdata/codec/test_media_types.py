from __future__ import annotations

import pytest

from tallystick.protocols.sdata.codec import names
from tallystick.protocols.sdata.codec.media_types import Form, answer_form, body_form


def test_what_is_written_is_exactly_what_old_engines_compare_with() -> None:
    assert names.ENTRY_TYPE == "application/atom+xml; type=entry"
    assert names.FEED_TYPE == "application/atom+xml; type=feed"
    assert names.XML_TYPE == "application/xml"


@pytest.mark.parametrize(
    "content_type",
    (
        "application/atom+xml; type=feed",
        "application/atom+xml;type=entry",
        "application/atom+xml",
        "APPLICATION/ATOM+XML; charset=utf-8",
        "application/xml",
        "text/xml",
        "",
    ),
)
def test_bodies_are_accepted_with_and_without_space_type_and_content_type(content_type: str) -> None:
    assert body_form(content_type) is Form.XML


def test_json_is_read_as_json_and_pictures_are_not_read() -> None:
    assert body_form("application/json; charset=utf-8") is Form.JSON
    assert body_form("image/png") is None


@pytest.mark.parametrize(
    ("accept", "argument", "form"),
    (
        ("", "", Form.XML),
        ("*/*", "", Form.XML),
        ("text/html, */*", "", Form.XML),
        ("application/json", "", Form.JSON),
        ("application/atom+xml, application/json", "", Form.XML),
        ("application/json", "atom", Form.XML),
        ("application/atom+xml", "json", Form.JSON),
        ("", "JSON", Form.JSON),
        ("", "application/json", Form.JSON),
        ("", "csv", None),
    ),
)
def test_the_format_argument_comes_before_accept(accept: str, argument: str, form: Form | None) -> None:
    assert answer_form(accept, argument) is form
