from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.values import Logical, Value
from tallystick.errors import ValueRejected
from tallystick.protocols.sdata.codec.values import from_wire, logical_of, to_wire, xs_type


@pytest.mark.parametrize(
    ("logical", "text", "value"),
    (
        (Logical.BOOL, "true", 1),
        (Logical.BOOL, "False", 0),
        (Logical.BOOL, "1", 1),
        (Logical.INT64, " +42 ", 42),
        (Logical.INT64, "-9223372036854775808", -(2**63)),
        (Logical.DECIMAL, "7500.00", "7500"),
        (Logical.DECIMAL, "-.50", "-0.5"),
        (Logical.FLOAT64, "1.5E3", 1500.0),
        (Logical.FLOAT64, "-INF", -math.inf),
        (Logical.BYTES, " AP8= ", b"\x00\xff"),
        (Logical.DATE, "2008-05-19", "2008-05-19"),
        (Logical.DATE, "2008-05-19Z", "2008-05-19"),
        (Logical.DATE, "2008-05-19+02:00", "2008-05-19"),
        (Logical.DATE, "2008-05-19T00:00:00", "2008-05-19"),
        (Logical.TIME, "18:41:00.50Z", "18:41:00.5"),
        (Logical.INSTANT, "2008-05-19T18:41:00+02:00", "2008-05-19 16:41:00+00"),
        (Logical.INSTANT, "2008-05-19T18:41:00", "2008-05-19 18:41:00+00"),
        (Logical.TIMESTAMP, "2008-05-19T18:41:00.25", "2008-05-19 18:41:00.25"),
        (Logical.UUID, "3B9F6A52-1C8D-4E07-A5F4-60D2C7E9138B", "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"),
        (Logical.TEXT, " as it is ", " as it is "),
        (Logical.TEXT, None, None),
        (Logical.DATE, None, None),
    ),
)
def test_wire_text_becomes_the_canonical_value(logical: Logical, text: str | None, value: Value) -> None:
    assert from_wire(logical, text) == value


@pytest.mark.parametrize(
    ("logical", "text"),
    (
        (Logical.BOOL, "maybe"),
        (Logical.INT64, "1.0"),
        (Logical.INT64, "9223372036854775808"),
        (Logical.INT64, "1_000"),
        (Logical.INT64, ""),
        (Logical.DECIMAL, "NaN"),
        (Logical.DECIMAL, "1e9999999"),
        (Logical.DECIMAL, "1,5"),
        (Logical.FLOAT64, "infinity"),
        (Logical.FLOAT64, "1_0"),
        (Logical.FLOAT64, "1e999"),
        (Logical.BYTES, "!!"),
        (Logical.DATE, "19.5.2008"),
        (Logical.DATE, "2008-05-19T18:41:00"),
        (Logical.DATE, "2020-13-45"),
        (Logical.DATE, "2021-02-29"),
        (Logical.DATE, "\u0662\u0660\u0662\u0660-01-01"),
        (Logical.TIMESTAMP, "2020-04-31T10:00:00"),
        (Logical.INSTANT, "2020-01-01T25:00:00Z"),
        (Logical.TIME, "10:61:00"),
        (Logical.TIME, "6 pm"),
        (Logical.INSTANT, "yesterday"),
        (Logical.UUID, "42"),
    ),
)
def test_a_value_that_does_not_fit_is_refused_by_name(logical: Logical, text: str) -> None:
    with pytest.raises(ValueRejected, match="is no"):
        from_wire(logical, text)


@pytest.mark.parametrize(
    ("logical", "value", "text"),
    (
        (Logical.BOOL, 1, "true"),
        (Logical.BOOL, 0, "false"),
        (Logical.INT64, 7, "7"),
        (Logical.DECIMAL, "7500", "7500"),
        (Logical.FLOAT64, math.inf, "INF"),
        (Logical.FLOAT64, math.nan, "NaN"),
        (Logical.BYTES, b"\x00\xff", "AP8="),
        (Logical.INSTANT, "2008-05-19 16:41:00+00", "2008-05-19T16:41:00Z"),
        (Logical.TIMESTAMP, "2008-05-19 16:41:00.25", "2008-05-19T16:41:00.25"),
        (Logical.TEXT, None, None),
    ),
)
def test_canonical_values_become_xml_schema_text(logical: Logical, value: Value, text: str | None) -> None:
    assert to_wire(logical, value) == text


values = st.one_of(
    st.tuples(st.just(Logical.BOOL), st.sampled_from([0, 1])),
    st.tuples(st.just(Logical.INT64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(Logical.FLOAT64), st.floats(allow_nan=False)),
    st.tuples(st.just(Logical.BYTES), st.binary()),
    st.tuples(st.just(Logical.TEXT), st.text()),
    st.tuples(st.just(Logical.DATE), st.dates().map(lambda day: day.isoformat())),
    st.tuples(st.just(Logical.UUID), st.uuids().map(str)),
)


@pytest.mark.parametrize(
    ("logical", "text"),
    (
        (Logical.DATE, "2020-02-29"),
        (Logical.DATE, "2021-12-31"),
        (Logical.TIME, "24:00:00"),
        (Logical.TIME, "23:59:60"),
    ),
)
def test_the_last_days_and_times_there_are_can_be_read(logical: Logical, text: str) -> None:
    assert from_wire(logical, text) == text


@given(values)
def test_every_value_survives_the_wire(case: tuple[Logical, Value]) -> None:
    logical, value = case
    assert from_wire(logical, to_wire(logical, value)) == value


@pytest.mark.parametrize("logical", [found for found in Logical if xs_type(found) != "string"])
def test_types_go_both_ways(logical: Logical) -> None:
    back = logical_of(xs_type(logical))
    assert back is logical or {back, logical} == {Logical.INSTANT, Logical.TIMESTAMP}


def test_an_unknown_type_is_text() -> None:
    assert logical_of("gYearMonth") is Logical.TEXT
