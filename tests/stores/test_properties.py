"""The content of a record: its place and flags, and properties beside them."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import StorageCorrupt, ValueRejected
from tallystick.stores.properties import (
    STRUCTURE,
    Structure,
    content_of,
    read_content,
    read_properties,
    structure_in,
)

ENGINES = ("sqlite",)
"""What is tested here is above the database."""

plain = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary())
values = st.recursive(
    plain, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3))
)
names = st.text().filter(lambda name: name not in STRUCTURE)
structures = st.builds(
    Structure,
    st.sampled_from(("item", "folder", "store")),
    st.text(),
    st.text(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(0, 2**60),
    st.text(),
    st.dictionaries(st.text(), st.integers(0, 2**40), max_size=3),
)
pack = msgspec.msgpack.encode


@given(structures, st.dictionaries(names, values, max_size=5))
def test_a_content_is_read_as_it_was_written(structure, properties):
    raw = pack(content_of(structure, properties))
    assert read_properties(raw) == properties
    assert structure_in(read_content(raw)) == structure


def test_properties_that_are_none_are_left_out():
    assert read_properties(pack(content_of(Structure("item"), {"a": None, "b": 1}))) == {"b": 1}
    assert read_properties(b"") == {}


def test_what_is_at_its_default_is_not_written():
    assert content_of(Structure("item"), {}) == {"object": "item"}
    assert content_of(Structure("item", delivered=0), {}) == {"object": "item", "delivered": 0}


@pytest.mark.parametrize(
    "value", (object(), 2**70, -(2**63) - 1, datetime(2024, 1, 1), {1: 2}, [object()], {"a": {1, 2}})
)
def test_what_does_not_travel_is_refused(value):
    with pytest.raises(ValueRejected, match="'a'"):
        content_of(Structure("item"), {"a": value})


def test_a_property_cannot_take_the_name_of_a_field():
    with pytest.raises(ValueRejected, match="'parent'"):
        content_of(Structure("item"), {"parent": "x"})


def test_damaged_contents_say_so():
    with pytest.raises(StorageCorrupt):
        read_properties(b"\xc1")


def test_fields_that_another_site_wrote_wrongly_are_at_their_defaults():
    assert structure_in({"object": "item", "delivered": "soon", "parts": [1]}) == Structure("item")
    assert structure_in({"object": "item", "parts": {"a": "b", "c": 1}}) == Structure("item", parts={"c": 1})


def test_a_value_that_cannot_be_kept_leaves_the_item_as_it_was(folder):
    item = folder.create_item(subject="kept")
    with pytest.raises(ValueRejected):
        item.subject = object()
    assert item.subject == "kept"
