"""Addresses of many rows are the addresses of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.values import Logical, composite_key, single_key
from tallystick.site.identity import address_of, addresses_of
from tallystick.site.schema import Definition, Field, Identity

ODD = st.sampled_from(("", "\\", "\\\\", "\\N", "\\x00", "7", "i,j"))
TEXTS = st.lists(st.one_of(st.text(max_size=4), ODD), max_size=6)


def definition(*logicals: Logical) -> Definition:
    fields = tuple(Field(f"k{n}", f"k{n}", logical, False) for n, logical in enumerate(logicals))
    return Definition("item", "item", Identity.NATURAL, (), fields)


@given(TEXTS)
def test_texts_are_their_own_addresses(texts):
    made = definition(Logical.TEXT)
    named = [(single_key(text), None) for text in texts]
    assert addresses_of(made, named) == [address_of(made, *one) for one in named] == [(text,) for text in texts]


@pytest.mark.parametrize("logical", (Logical.INT64, Logical.TEXT, Logical.ANY))
@pytest.mark.parametrize("local", (None, 5, "x"))
def test_what_the_ledger_notes_of_a_row_comes_first(logical, local):
    made = definition(logical)
    assert addresses_of(made, [("7", local)]) == [address_of(made, "7", local)]


def test_keys_of_several_columns_are_taken_apart():
    made = definition(Logical.TEXT, Logical.INT64)
    assert addresses_of(made, [(composite_key(("a", 7)), None)]) == [("a", 7)]
