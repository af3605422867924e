import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tallystick.protocols.eden.codec.elements import Data, Reference, Resource
from tallystick.protocols.eden.codec.xml_writing import escape_attribute, escape_text, resource_text, write_xml


@given(st.text())
def test_any_text_makes_well_formed_xml(text):
    parsed = etree.fromstring(f'<a b="{escape_attribute(text)}">{escape_text(text)}</a>'.encode())
    expected = "".join("\ufffd" if _unfit(one) else one for one in text)
    assert (parsed.get("b"), parsed.text or "") == (expected, expected)


def _unfit(one):
    code = ord(one)
    return (code < 32 and one not in "\t\n\r") or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF)


def test_an_empty_document_is_one_element():
    assert b"".join(write_xml({"success": "false"}, [])).endswith(b'<s3xml success="false"/>')


def test_a_long_document_is_written_in_pieces():
    one = Resource("t", {}, [Data("f", None, "x" * 1000)])
    pieces = list(write_xml({}, (one for _ in range(1000))))
    assert len(pieces) > 10
    assert max(map(len, pieces)) < 100_000
    assert len(etree.fromstring(b"".join(pieces))) == 1000


@pytest.mark.parametrize(
    ("resource", "expected"),
    (
        (Resource("t", {"uuid": "u", "deleted": "True"}), '<resource name="t" uuid="u" deleted="True"/>'),
        (Resource("t", {}, alias="a", error="e"), '<resource name="t" alias="a" error="e"/>'),
        (
            Resource("t", {}, [Data("f", '"v"', "v"), Data("g", None, None, "/u", "n")]),
            '<resource name="t"><data field="f" value="&quot;v&quot;">v</data>'
            '<data field="g" url="/u" filename="n"/></resource>',
        ),
        (
            Resource("t", {}, [], [Reference("f", "r", ("a", "b"), many=True), Reference("g", "r", (), ("T1",))]),
            '<resource name="t"><reference field="f" resource="r" uuid="[&quot;a&quot;, &quot;b&quot;]"/>'
            '<reference field="g" resource="r" tuid="T1"/></resource>',
        ),
        (
            Resource("t", {}, [], [Reference("f", "r", inline=Resource("r", {}, [Data("n", None, "x")]))]),
            '<resource name="t"><reference field="f" resource="r"><resource name="r"><data field="n">x</data>'
            "</resource></reference></resource>",
        ),
    ),
)
def test_the_shapes_of_the_format(resource, expected):
    assert resource_text(resource) == expected
