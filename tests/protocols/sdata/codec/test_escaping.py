from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tallystick.errors import ValueRejected
from tallystick.protocols.sdata.codec.escaping import checked_name, escape, escape_attribute

writable = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")).filter(
    lambda text: all(character >= " " or character in "\t\n\r" for character in text)
)


@given(writable)
def test_any_text_comes_back_from_content_and_from_attributes(text: str) -> None:
    element = etree.fromstring(f'<a b="{escape_attribute(text)}">{escape(text)}</a>'.encode())
    assert (element.text or "") == text
    assert element.get("b") == text


@pytest.mark.parametrize("character", ("\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\ud800"))
def test_what_xml_cannot_carry_becomes_the_replacement_character(character: str) -> None:
    assert escape(f"a{character}b") == escape_attribute(f"a{character}b") == "a\ufffdb"


@pytest.mark.parametrize("name", ("", "1st", "a b", "a:b", "a>", "-a", 'x"'))
def test_no_text_can_pass_for_an_element_name(name: str) -> None:
    with pytest.raises(ValueRejected):
        checked_name(name)


@pytest.mark.parametrize("name", ("name", "_x", "größe", "a.b-c_1"))
def test_xml_names_pass(name: str) -> None:
    assert checked_name(name) == name
