"""Changes as plain data: any value of a row becomes JSON that every reader understands."""

import json
from decimal import Decimal

import pytest

from tallystick.streams.plain import as_json, plain


@pytest.mark.parametrize(
    ("value", "written"),
    (
        (b"\x00\xff", "00ff"),
        (Decimal("1.50"), "1.50"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        ("a\nb\u2028", "a\nb\u2028"),
        (1.5, 1.5),
        (None, None),
        ([float("nan"), {"a": b"\x01"}], ["NaN", {"a": "01"}]),
    ),
)
def test_values_are_written_as_json_has_them(value, written):
    def refuse(name):
        pytest.fail(f"{name} is no JSON")

    text = as_json({"content": {"field": value}})
    assert json.loads(text, parse_constant=refuse) == {"content": {"field": written}}
    assert "\n" not in text


def test_a_number_beyond_all_others_reaches_the_reader(sqlite_place):
    sqlite_place.execute("CREATE TABLE reading (id TEXT PRIMARY KEY, value REAL)")
    sqlite_place.site.track("reading")
    sqlite_place.execute("INSERT INTO reading VALUES ('r', 9e999)")
    (change,) = sqlite_place.site.resource("reading").changes()
    assert json.loads(as_json(plain(change)))["content"] == {"value": "Infinity"}
