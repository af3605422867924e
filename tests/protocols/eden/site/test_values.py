"""Canonical values to Eden's and back."""

from decimal import Decimal

import pytest

from tallystick.core.values import Logical
from tallystick.protocols.eden.codec.encoding import Upload
from tallystick.protocols.eden.codec.schema import Kind
from tallystick.protocols.eden.site.values import reading, written
from tallystick.protocols.eden.store import Target

CASES = (
    (Kind.STRING, Logical.TEXT, "Ä", "Ä"),
    (Kind.INTEGER, Logical.INT64, 17, 17),
    (Kind.DOUBLE, Logical.FLOAT64, 47.5, 47.5),
    (Kind.DECIMAL, Logical.DECIMAL, "12.5", Decimal("12.5")),
    (Kind.BOOLEAN, Logical.BOOL, 1, True),
    (Kind.BOOLEAN, Logical.BOOL, 0, False),
    (Kind.DATE, Logical.DATE, "2026-11-20", "2026-11-20"),
    (Kind.TIME, Logical.TIME, "08:09:10", "08:09:10"),
    (Kind.DATETIME, Logical.TIMESTAMP, "2026-11-20 08:09:10", "2026-11-20T08:09:10"),
    (Kind.DATETIME, Logical.INSTANT, "2026-11-20 08:09:10+00", "2026-11-20T08:09:10"),
    (Kind.JSON, Logical.JSON, '{"a":[1,2]}', {"a": [1, 2]}),
    (Kind.STRING_LIST, Logical.TEXT, '["a", "b"]', ["a", "b"]),
    (Kind.UPLOAD, Logical.TEXT, '{"url": "http://p/x", "filename": "x"}', Upload("http://p/x", "x")),
    (Kind.REFERENCE, Logical.TEXT, "urn:uuid:1", Target("org_office", "urn:uuid:1")),
    (
        Kind.REFERENCE_LIST,
        Logical.TEXT,
        '["urn:uuid:1", "urn:uuid:2"]',
        (Target("org_office", "urn:uuid:1"), Target("org_office", "urn:uuid:2")),
    ),
)


@pytest.mark.parametrize(("kind", "logical", "canonical", "value"), CASES)
def test_a_value_reads_as_eden_has_it(kind, logical, canonical, value):
    read = reading(kind, logical, "org_office")
    assert (canonical if read is None else read(canonical)) == value


@pytest.mark.parametrize(("kind", "logical", "canonical", "value"), CASES)
def test_a_value_is_written_as_it_was(kind, logical, canonical, value):
    made = written(value, logical)
    read = reading(kind, logical, "org_office")
    assert (made if read is None else read(made)) == value
    assert kind in (Kind.STRING_LIST, Kind.REFERENCE_LIST) or made == canonical


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("2026-11-20 08:09:10.25", "2026-11-20T08:09:10"),
        ("2026-11-20 10:09:10+02:00", "2026-11-20T08:09:10"),
        ("soon", "soon"),
    ),
)
def test_a_time_that_an_application_wrote_in_its_own_way_is_read_as_far_as_it_can_be(text, expected):
    read = reading(Kind.DATETIME, Logical.TIMESTAMP)
    assert read(text) == expected


@pytest.mark.parametrize("kind", (Kind.JSON, Kind.STRING_LIST, Kind.REFERENCE_LIST, Kind.UPLOAD, Kind.DECIMAL))
def test_what_a_column_holds_in_another_form_costs_no_record(kind):
    assert reading(kind, Logical.TEXT, "org_office")("not in that form") is not None


def test_nothing_is_nothing():
    assert written(None, Logical.INT64) is None
