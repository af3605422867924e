"""Content hashes of many records are those of each one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.hashing import content_hashes
from tallystick.core.values import content_hash

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=True),
    st.text(max_size=20),
    st.binary(max_size=20),
)
KEYS = st.text(st.characters(exclude_categories=[]), max_size=20)
NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), unique=True, max_size=20)


@settings(max_examples=200)
@given(st.data())
def test_content_hashes_are_the_content_hash_of_each_whatever_names_and_values_are(data):
    names = tuple(sorted(data.draw(NAMES)))
    record = st.tuples(KEYS, st.lists(VALUES, min_size=len(names), max_size=len(names)))
    records = data.draw(st.lists(record, max_size=5))
    columns = [[values[index] for _, values in records] for index in range(len(names))]
    expected = [content_hash(key, names, values) for key, values in records]
    assert content_hashes(names, [key for key, _ in records], columns) == expected


@pytest.mark.parametrize("name", ('quoted "name"', "back\\slash", "line\nbreak", "ünïcode", "from", "f0", "_f0"))
def test_names_that_are_no_identifiers_hash_as_they_are(name):
    expected = [content_hash("k", (name,), (1,)), content_hash("k", (), ())]
    assert content_hashes((name,), ["k", "k"], [[1, None]]) == expected


@pytest.mark.parametrize("width", (1, 14, 15, 16, 17, 40, 300))
@pytest.mark.parametrize("nulls", (0, 1, 2, 7))
def test_wide_shapes_with_nulls_hash_as_what_is_left(width, nulls):
    """Around fifteen fields and 65,535 bytes the encoding of a mapping changes its head."""
    names = tuple(f"c{number:03d}" for number in range(width))
    values = [None if nulls and number % (nulls + 1) else number for number in range(width)]
    assert content_hashes(names, ["k"], [[value] for value in values]) == [content_hash("k", names, values)]


def test_records_without_fields_hash_by_their_keys():
    assert content_hashes((), ["a", "b"], []) == [content_hash("a", (), ()), content_hash("b", (), ())]
