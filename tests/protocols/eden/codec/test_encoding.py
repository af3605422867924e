"""Values on export and import, row by row (sections 6.2 and 6.3)."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.eden.codec.elements import Data
from tallystick.protocols.eden.codec.embedded import embedded_targets, with_numbers
from tallystick.protocols.eden.codec.encoding import DROPPED, Upload, decode_value, encode_value
from tallystick.protocols.eden.codec.schema import Field, Kind
from tallystick.protocols.eden.errors import FieldRejected


@pytest.mark.parametrize(
    ("field", "value", "element"),
    (
        (Field("f"), None, None),
        (Field("f"), "plain", Data("f", None, "plain")),
        (Field("f", represented=True), "IO1", Data("f", '"IO1"', "IO1")),
        (Field("f", represented=True), "", Data("f", '""', "")),
        (Field("f"), "", Data("f", '""', "")),
        (Field("f"), "bell \x07", Data("f", '"bell \\u0007"', "bell \x07")),
        (Field("f", Kind.DOUBLE), 47.5, Data("f", "47.5", "47.5")),
        (Field("f", Kind.INTEGER), 40, Data("f", "40", "40")),
        (Field("f", Kind.BOOLEAN), False, Data("f", "false", "False")),
        (Field("f", Kind.STRING_LIST), ["a", "b"], Data("f", '["a", "b"]', "a, b")),
        (Field("f", Kind.JSON), {"a": 1}, Data("f", '{"a": 1}', '{"a": 1}')),
        (Field("f", Kind.DATE), "1815-12-10", Data("f", "1815-12-10", "1815-12-10")),
        (Field("f", Kind.DATETIME), "2026-11-20T09:25:49", Data("f", "2026-11-20T09:25:49", "2026-11-20T09:25:49")),
        (Field("f", Kind.DECIMAL), Decimal("12.50"), Data("f", "12.50", "12.50")),
        (Field("f", Kind.UPLOAD), Upload("/d/x.png", "x.png"), Data("f", None, None, "/d/x.png", "x.png")),
        (Field("f", Kind.PASSWORD), "hash", Data("f", None, "hash")),
        (Field("f", Kind.BLOB), "x", None),
    ),
)
def test_values_on_export(field, value, element):
    assert encode_value(field, value) == element


S, N, D, B = Kind.STRING, Kind.INTEGER, Kind.DOUBLE, Kind.BOOLEAN


@pytest.mark.parametrize(
    ("kind", "value", "text", "decoded"),
    (
        (S, None, "text", "text"),
        (S, None, "123", "123"),
        (S, '"quoted"', "shown", "quoted"),
        (S, "unquoted", None, "unquoted"),
        (S, "null", None, None),
        (S, "", None, ""),
        (S, None, None, ""),
        (Kind.TEXT, '""', None, ""),
        (N, "12", None, 12),
        (N, None, "12", 12),
        (N, '"12"', None, 12),
        (N, "2", "female", 2),
        (N, "null", None, None),
        (N, "12.0", None, 12),
        (N, "", None, DROPPED),
        (N, None, None, DROPPED),
        (N, '""', None, DROPPED),
        (D, "1234.5", None, 1234.5),
        (D, None, " 8.25 ", 8.25),
        (D, "1", None, 1.0),
        (B, "true", "Yes", True),
        (B, "false", "-", False),
        (B, None, "Yes", True),
        (B, "0", None, False),
        (B, "", None, DROPPED),
        (Kind.DATE, "2026-01-02", None, "2026-01-02"),
        (Kind.DATE, None, "2026-12-31", "2026-12-31"),
        (Kind.DATE, '"2026-12-31"', None, "2026-12-31"),
        (Kind.DATE, "", None, DROPPED),
        (Kind.DATETIME, "2026-11-20T12:00:00+02:00", None, "2026-11-20T10:00:00"),
        (Kind.DATETIME, "null", None, None),
        (Kind.TIME, "12:34", None, "12:34:00"),
        (Kind.DECIMAL, "12.50", None, Decimal("12.50")),
        (Kind.DECIMAL, "", None, DROPPED),
        (Kind.JSON, '{"a": [1]}', None, {"a": [1]}),
        (Kind.STRING_LIST, '["a", "b"]', "a, b", ["a", "b"]),
        (Kind.STRING_LIST, "a", None, ["a"]),
        (Kind.INTEGER_LIST, "[1, 2]", None, [1, 2]),
    ),
)
def test_values_on_import(kind, value, text, decoded):
    found = decode_value(Field("f", kind), Data("f", value, text))
    assert (found, type(found)) == (decoded, type(decoded))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    (
        (Field("year", N, minimum=1850, maximum=2099), "notayear", "year: Enter an integer between 1850 and 2099"),
        (Field("year", N, minimum=1850, maximum=2099), "1492", "year: Enter an integer between 1850 and 2099"),
        (Field("n", N, minimum=1), "0", "n: Enter an integer greater than or equal to 1"),
        (Field("n", N, maximum=1), "2", "n: Enter an integer less than or equal to 1"),
        (Field("n", N), "1.5", "n: Enter an integer"),
        (Field("n", N), "true", "n: Enter an integer"),
        (Field("n", D), "[1]", "n: Enter a number"),
        (Field("n", D), "x", "n: Enter a number"),
        (Field("n", Kind.DECIMAL), "NaN", "n: Enter a number"),
        (Field("b", B), "perhaps", "b: Enter true or false"),
        (Field("d", Kind.DATE), "yesterday-ish", "d: Invalid date/time string: yesterday-ish"),
        (Field("t", Kind.TIME), "noon", "t: Invalid time string: noon"),
        (Field("s", length=3), "long", "s: Enter no more than 3 characters"),
        (Field("o", N, options={"1": "one"}), "2", "o: Value not allowed"),
        (Field("l", Kind.INTEGER_LIST), '["x"]', "l: invalid literal for int() with base 10: 'x'"),
    ),
)
def test_what_a_field_does_not_take_is_rejected_with_a_reason(field, value, reason):
    with pytest.raises(FieldRejected) as rejected:
        decode_value(field, Data(field.name, value))
    assert rejected.value.message == reason


def test_a_check_may_change_or_refuse_a_value():
    def upper(value):
        if value == "no":
            raise ValueError("Not this one")
        return value.upper()

    field = Field("f", check=upper)
    assert decode_value(field, Data("f", None, "yes")) == "YES"
    with pytest.raises(FieldRejected, match="f: Not this one"):
        decode_value(field, Data("f", None, "no"))


def test_an_upload_is_noted_and_never_fetched():
    found = decode_value(Field("f", Kind.UPLOAD), Data("f", None, None, "http://evil.example/x", "x"))
    assert found == Upload("http://evil.example/x", "x")
    assert decode_value(Field("f", Kind.UPLOAD), Data("f")) is DROPPED


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, list | dict))


@pytest.mark.parametrize(
    ("field", "values"),
    (
        (Field("f"), st.text(st.characters(exclude_categories=("Cs",)))),
        (Field("f", represented=True), st.text(st.characters(exclude_categories=("Cs",)))),
        (Field("f", N), st.integers(-(2**63), 2**63 - 1)),
        (Field("f", D), st.floats(allow_nan=False, allow_infinity=False)),
        (Field("f", B), st.booleans()),
        (Field("f", Kind.DATE), st.dates().map(str)),
        (Field("f", Kind.TIME), st.times().map(lambda one: one.replace(microsecond=0).isoformat())),
        (Field("f", Kind.DATETIME), st.datetimes().map(lambda one: one.replace(microsecond=0).isoformat())),
        (Field("f", Kind.DECIMAL), st.decimals(allow_nan=False, allow_infinity=False, places=4)),
        (Field("f", Kind.STRING_LIST), st.lists(st.text(st.characters(exclude_categories=("Cs",))), max_size=4)),
        (Field("f", Kind.JSON), json_values),
    ),
    ids=lambda one: one.kind if isinstance(one, Field) else "",
)
def test_every_value_comes_back_as_it_left(field, values):
    @given(values)
    def check(value):
        data = encode_value(field, value)
        assert data is not None
        assert decode_value(field, data) == value

    check()


def test_references_inside_json_become_numbers_where_the_target_is_known():
    value = {
        "$k_owner": {"r": "org_organisation", "u": "urn:uuid:1"},
        "items": [{"$k_place": {"@resource": "gis_location", "@uuid": "urn:uuid:2"}}, {"$k_x": "no reference"}],
    }
    assert list(embedded_targets(value)) == [("org_organisation", "urn:uuid:1"), ("gis_location", "urn:uuid:2")]
    replaced = with_numbers(value, {("org_organisation", "urn:uuid:1"): 7})
    assert replaced == {"owner": 7, "items": value["items"]}
    assert json.dumps(with_numbers(value, {})) == json.dumps(value)
