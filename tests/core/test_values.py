"""Canonical values, keys and content hashes."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import encode

from tallystick.core.values import (
    CANONICAL,
    Logical,
    composite_key,
    composite_values,
    content_hash,
    content_of,
    encoded_hash,
    fold,
    mapping_hash,
    single_key,
    single_value,
)

INDIA = timezone(timedelta(hours=5, minutes=30))


def canonical(logical: Logical, value: object) -> object:
    return CANONICAL[logical](value)


# Canonical forms


@pytest.mark.parametrize(
    ("logical", "written", "expected"),
    (
        (Logical.BOOL, (True, 1, "t", "TRUE", "true"), 1),
        (Logical.BOOL, (False, 0, "f", "False"), 0),
        (Logical.BOOL, (None,), None),
        (Logical.BOOL, ("yes",), "yes"),
        (Logical.BOOL, (2,), 2),
        (Logical.DECIMAL, ("1.50", "01.5", " 1.5 ", "1.500", "15e-1", 1.5, Decimal("1.50"), "+1.5"), "1.5"),
        (Logical.DECIMAL, ("0", "-0", "0.00", ".0", 0, -0.0, "0e9"), "0"),
        (Logical.DECIMAL, ("1000", "1E+3", 1000, "1_000" and "1e3"), "1000"),
        (Logical.DECIMAL, ("-12.34", -12.34), "-12.34"),
        (Logical.DECIMAL, (0.1,), "0.1"),
        (Logical.DECIMAL, ("123456789012345678901234567890.12",), "123456789012345678901234567890.12"),
        (Logical.DECIMAL, ("NaN", math.nan, "nan"), "NaN"),
        (Logical.DECIMAL, ("Infinity", "inf", math.inf), "Infinity"),
        (Logical.DECIMAL, ("-Infinity", -math.inf), "-Infinity"),
        (Logical.DECIMAL, ("12,5",), "12,5"),
        (Logical.DECIMAL, ("1_000",), "1_000"),
        (Logical.DECIMAL, ("\u0661\u0662",), "\u0661\u0662"),
        (Logical.DECIMAL, ("",), ""),
        (Logical.DECIMAL, (b"\x01",), b"\x01"),
        (Logical.DECIMAL, ("1e999999999",), "1e999999999"),
        (Logical.FLOAT64, (5, 5.0), 5.0),
        (Logical.FLOAT64, ("x",), "x"),
        (Logical.FLOAT64, (None,), None),
        (Logical.DATE, ("2024-02-29", "2024-02-29 00:00", "2024-02-29T00:00:00.000", date(2024, 2, 29)), "2024-02-29"),
        (Logical.DATE, (datetime(2024, 2, 29),), "2024-02-29"),
        (Logical.DATE, ("2024-02-29 10:00",), "2024-02-29 10:00"),
        (Logical.DATE, ("2024-02-29\n",), "2024-02-29\n"),
        (Logical.DATE, ("29.2.2024",), "29.2.2024"),
        (Logical.DATE, (1709164800,), 1709164800),
        (Logical.TIME, ("10:00", "10:00:00", "10:00:00.000", time(10)), "10:00:00"),
        (Logical.TIME, ("10:00:00.5", "10:00:00.500000", time(10, 0, 0, 500_000)), "10:00:00.5"),
        (Logical.TIME, ("10h",), "10h"),
        (
            Logical.TIMESTAMP,
            ("2024-01-02T03:04", "2024-01-02 03:04:00", "2024-01-02 03:04:00.000", datetime(2024, 1, 2, 3, 4)),
            "2024-01-02 03:04:00",
        ),
        (Logical.TIMESTAMP, ("2024-01-02", date(2024, 1, 2)), "2024-01-02 00:00:00"),
        (Logical.TIMESTAMP, ("2024-01-02 03:04:05.120", "2024-01-02 03:04:05,12"), "2024-01-02 03:04:05.12"),
        (
            Logical.TIMESTAMP,
            ("2024-01-02 03:04:05+05:30", "2024-01-02 03:04:05 +0530", datetime(2024, 1, 2, 3, 4, 5, tzinfo=INDIA)),
            "2024-01-01 21:34:05+00",
        ),
        (Logical.TIMESTAMP, ("2024-13-45 99:99",), "2024-13-45 99:99:00"),
        (Logical.TIMESTAMP, ("soon",), "soon"),
        (
            Logical.INSTANT,
            (
                "2024-01-02 03:04:05Z",
                "2024-01-02T03:04:05+00:00",
                "2024-01-02 03:04:05",
                "2024-01-02 08:34:05+05:30",
                "2024-01-02 02:04:05-01",
                datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
            ),
            "2024-01-02 03:04:05+00",
        ),
        (Logical.INSTANT, ("0999-06-01 00:00:00Z",), "0999-06-01 00:00:00+00"),
        (Logical.INSTANT, ("0001-01-01 00:00:00+05",), "0001-01-01 00:00:00+05"),
        (Logical.INSTANT, ("2024-01-02 03:04:05.123456789Z",), "2024-01-02 03:04:05.123456+00"),
        (Logical.INSTANT, ("infinity",), "infinity"),
        (
            Logical.UUID,
            (
                "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
                "a0eebc999c0b4ef8bb6d6bb9bd380a11",
                UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        ),
        (Logical.UUID, ("not one",), "not one"),
        (Logical.JSON, ('{"b": 1, "a": [1, 2]}', '{"a":[1,2],"b":1}', {"b": 1, "a": [1, 2]}), '{"a":[1,2],"b":1}'),
        (Logical.JSON, ('"\\u00e9"', '"é"'), '"é"'),
        (Logical.JSON, ("1.10", "1.1"), "1.1"),
        (Logical.JSON, ("{broken",), "{broken"),
        (Logical.JSON, ("",), ""),
        (Logical.JSON, ('{"a":1,"a":2}',), '{"a":1,"a":2}'),
        (Logical.JSON, ("0.1000000000000000055511151231257827",), "0.1000000000000000055511151231257827"),
        (Logical.JSON, ("1e400",), "1e400"),
        (Logical.JSON, ('"\\ud800"',), '"\\ud800"'),
        (Logical.JSON, ("[" * 100_000,), "[" * 100_000),
        (Logical.JSON, ("null",), "null"),
        (Logical.JSON, (None,), None),
    ),
)
def test_one_fact_has_one_form_and_what_is_no_such_fact_stays_as_it_is(logical, written, expected):
    for value in written:
        found = canonical(logical, value)
        assert found == expected
        assert type(found) is type(expected)


anything = st.none() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=8) | st.booleans()


@given(st.sampled_from(sorted(CANONICAL)), anything)
def test_a_canonical_value_is_a_storage_class_and_its_own_form(logical, value):
    once = canonical(logical, value)
    assert once is None or type(once) in (int, float, str, bytes)
    again = canonical(logical, once)
    assert again == once or (again != again and once != once)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20))
def test_a_decimal_keeps_its_value_and_is_the_same_from_every_spelling(number):
    text = canonical(Logical.DECIMAL, number)
    assert Decimal(str(text)) == number
    assert canonical(Logical.DECIMAL, str(number)) == canonical(Logical.DECIMAL, f"{number:E}") == text


@given(st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_an_instant_is_the_same_from_every_zone(moment, minutes):
    utc = moment.replace(tzinfo=UTC)
    elsewhere = utc.astimezone(timezone(timedelta(minutes=minutes)))
    assert canonical(Logical.INSTANT, str(elsewhere)) == canonical(Logical.INSTANT, str(utc))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=6))
def test_json_keeps_its_meaning(value):
    import json

    text = json.dumps(value, indent=2)
    assert json.loads(str(canonical(Logical.JSON, text))) == value


# Keys

texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["\\N", "\\x41", "\\f1.0", "\\", ",", "a,b", ""]
)
parts = st.one_of(
    st.tuples(st.just(Logical.TEXT), texts),
    st.tuples(st.just(Logical.INT64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(Logical.BYTES), st.binary(max_size=6)),
    st.tuples(st.just(Logical.FLOAT64), st.floats(allow_nan=False)),
    st.tuples(st.sampled_from(list(Logical)), st.none()),
)


@given(parts)
def test_the_key_of_one_value_gives_the_value_back(part):
    logical, value = part
    assert single_value(single_key(value), logical) == value


@given(st.lists(parts, min_size=2, max_size=4))
def test_the_key_of_several_values_gives_the_values_back(given_parts):
    logicals, values = zip(*given_parts, strict=True)
    assert composite_values(composite_key(values), logicals) == list(values)


@given(st.lists(texts | st.none() | st.binary(max_size=3), min_size=2, max_size=2).map(tuple), st.data())
def test_different_composite_keys_are_different_texts(one, data):
    other = data.draw(st.lists(texts | st.none() | st.binary(max_size=3), min_size=2, max_size=2).map(tuple))
    assert (composite_key(one) == composite_key(other)) is (one == other)


@pytest.mark.parametrize(
    ("value", "key"),
    (
        (5, "5"),
        ("five", "five"),
        (None, "\\N"),
        (b"\x01\xff", "\\x01ff"),
        (1.5, "\\f1.5"),
        ("\\N", "\\\\N"),
        (True, "1"),
    ),
)
def test_keys_are_readable(value, key):
    assert single_key(value) == key


def test_a_text_that_is_nearly_an_integer_stays_text():
    for text in ("007", "1_0", " 5", "\u0665", "-0", "+5", "5.0"):
        assert single_value(single_key(text), Logical.INT64) == text


def test_a_composite_key_with_the_wrong_number_of_parts_is_refused():
    with pytest.raises(ValueError, match="2 parts, not 3"):
        composite_values("a,b", [Logical.TEXT] * 3)


# Content hashes

contents = st.dictionaries(
    st.text(min_size=1, max_size=6),
    st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=6)
    | st.binary(max_size=6)
    | st.floats(),
    max_size=5,
)


@given(contents, st.lists(st.text(min_size=1, max_size=6)))
def test_added_null_columns_change_no_hash(content, added):
    names = sorted({*content, *added})
    values = [content.get(name) for name in names]
    assert content_hash("k", names, values) == mapping_hash("k", content)
    assert encoded_hash("k", encode(content_of(names, values))) == mapping_hash("k", content)
    assert content_of(names, values).keys() == content.keys()


@given(contents)
def test_a_hash_binds_key_names_values_and_types(content):
    found = mapping_hash("k", content)
    assert len(found) == 32
    assert mapping_hash("other", content) != found
    for name, value in content.items():
        assert mapping_hash("k", {**content, name: str(value) + "?"}) != found
        assert mapping_hash("k", {other: value for other, value in content.items() if other != name}) != found
        if isinstance(value, int) and abs(value) < 2**50:
            assert mapping_hash("k", {**content, name: float(value)}) != found
            assert mapping_hash("k", {**content, name: str(value)}) != found


def test_the_order_of_fields_does_not_matter_and_nan_is_one_value():
    assert mapping_hash("k", {"a": 1, "b": 2}) == mapping_hash("k", {"b": 2, "a": 1})
    assert mapping_hash("k", {"a": math.nan}) == mapping_hash("k", {"a": float("nan")})


# Names


@pytest.mark.parametrize("name", ("FirstName", "first_name", "FIRST NAME", "firstname", "First_ Name"))
def test_names_that_differ_in_case_underscores_and_spaces_meet(name):
    assert fold(name) == "firstname"
