"""Content hashes of many records are those of each one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.hashing import hasher
from tallystick.core.values import content_hash

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=True),
    st.text(max_size=20),
    st.binary(max_size=20),
)
NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), unique=True, max_size=20)


@settings(max_examples=200)
@given(st.data())
def test_a_hasher_gives_the_content_hash_whatever_names_and_values_are(data):
    names = tuple(sorted(data.draw(NAMES)))
    values = data.draw(st.lists(VALUES, min_size=len(names), max_size=len(names)))
    key = data.draw(st.text(max_size=20))
    assert hasher(names)(key, values) == content_hash(key, names, values)


@pytest.mark.parametrize("name", ('quoted "name"', "back\\slash", "line\nbreak", "ünïcode", "from", "f0", "_f0"))
def test_names_that_are_no_identifiers_hash_as_they_are(name):
    assert hasher((name,))("k", (1,)) == content_hash("k", (name,), (1,))
    assert hasher((name,))("k", (None,)) == content_hash("k", (), ())


@pytest.mark.parametrize("width", (1, 14, 15, 16, 17, 40, 300))
@pytest.mark.parametrize("nulls", (0, 1, 2, 7))
def test_wide_shapes_with_nulls_hash_as_what_is_left(width, nulls):
    """Around fifteen fields and 65,535 bytes the encoding of a mapping changes its head."""
    names = tuple(f"c{number:03d}" for number in range(width))
    values = [None if nulls and number % (nulls + 1) else number for number in range(width)]
    assert hasher(names)("k", values) == content_hash("k", names, values)
