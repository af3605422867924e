"""Hostile and broken documents, and the shapes that the format allows."""

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocols.eden.codec.elements import Data, Document, Limits, Reference, Resource
from tallystick.protocols.eden.codec.json_format import read_json, write_json
from tallystick.protocols.eden.codec.xml_reading import XmlReader, identifiers, read_xml
from tallystick.protocols.eden.codec.xml_writing import document_bytes
from tallystick.protocols.eden.errors import DoctypeRefused, DocumentError, DocumentTooDeep, DocumentTooLarge

LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE s3xml [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<s3xml><resource name="t"><data field="x">&b;</data></resource></s3xml>"""
FILE = b'<!DOCTYPE s3xml [<!ENTITY a SYSTEM "file:///etc/passwd">]><s3xml><resource name="t"/></s3xml>'


@pytest.mark.parametrize(
    "body",
    (
        LAUGHS,
        FILE,
        b"<!DOCTYPE s3xml><s3xml/>",
        b"<?xml version='1.0'?><!-- a comment <s3xml> --><!DOCTYPE s3xml><s3xml/>",
        b"\xef\xbb\xbf<!DOCTYPE s3xml><s3xml/>",
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE s3xml [<!ENTITY a "b">]><s3xml/>'.encode("utf-16"),
    ),
)
@pytest.mark.parametrize("size", (1, 5, 10_000))
def test_a_document_type_declaration_is_refused_before_anything_is_parsed(body, size):
    with pytest.raises(DoctypeRefused, match="document type declaration"):
        read_xml([body[start : start + size] for start in range(0, len(body), size)])


def test_an_encoding_that_could_hide_a_declaration_is_refused():
    with pytest.raises(DocumentError, match="encoding utf-7 is not accepted"):
        read_xml(b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE s3xml+AD4-<s3xml/>')


def test_utf_16_is_read():
    body = '<?xml version="1.0" encoding="utf-16"?><s3xml><resource name="t" uuid="ü"/></s3xml>'.encode("utf-16")
    assert read_xml(body).resources[0].uuid == "ü"


def test_an_entity_that_is_not_declared_is_an_error():
    with pytest.raises(DocumentError):
        read_xml(b"<s3xml><resource name='t'><data field='x'>&foo;</data></resource></s3xml>")


@pytest.mark.parametrize("body", (b"", b"   ", b"<s3xml", b"no xml", b"<s3xml><resource></s3xml>", b"<s3xml>", b"{}"))
def test_what_is_no_whole_document_is_an_error(body):
    with pytest.raises(DocumentError):
        read_xml(body)


def test_a_prolog_without_end_is_given_up():
    with pytest.raises(DocumentError, match="no start tag"):
        read_xml(b"<!--" + b"x" * 70_000)


@pytest.mark.parametrize("tag", (b"<resource name='t'>", b"<x>"))
def test_a_document_nested_too_deep_is_refused(tag):
    closing = b"</" + tag[1:].split(b" ")[0].rstrip(b">") + b">"
    with pytest.raises(DocumentTooDeep):
        read_xml(b"<s3xml>" + tag * 300 + closing * 300 + b"</s3xml>")


def test_records_nested_deeper_than_the_limit_are_refused():
    nested = b"<resource name='t'>" * 4 + b"</resource>" * 4
    assert read_xml(b"<s3xml>" + nested + b"</s3xml>", Limits(nesting=4)).resources
    with pytest.raises(DocumentTooDeep, match="nested too deep"):
        read_xml(b"<s3xml>" + nested + b"</s3xml>", Limits(nesting=3))


def test_inline_records_count_as_nesting():
    body = b"<resource name='t'><reference field='f' resource='t'>" * 5 + b"</reference></resource>" * 5
    with pytest.raises(DocumentTooDeep):
        read_xml(b"<s3xml>" + body + b"</s3xml>", Limits(nesting=4))


def test_a_document_larger_than_the_limit_is_refused_while_it_arrives():
    reader = XmlReader(Limits(document_bytes=1000))
    reader.feed(b"<s3xml>" + b" " * 900)
    with pytest.raises(DocumentTooLarge, match="larger than 1000 bytes"):
        reader.feed(b" " * 200)


def test_one_value_that_is_too_large_is_refused():
    with pytest.raises(DocumentTooLarge):
        read_xml(b"<s3xml><resource name='t'><data field='f'>" + b"x" * 11_000_000 + b"</data></resource></s3xml>")


def test_a_document_of_many_megabytes_is_read_at_once():
    record = b"<resource name='t'><data field='f'>" + b"x" * 1000 + b"</data></resource>"
    assert len(read_xml(b"<s3xml>" + record * 12_000 + b"</s3xml>").resources) == 12_000


def test_a_record_with_too_many_elements_is_refused():
    with pytest.raises(DocumentTooLarge, match="one record has 5 elements"):
        read_xml(b"<s3xml><resource name='t'>" + b"<data field='f'/>" * 5 + b"</resource></s3xml>", Limits(elements=4))


def test_records_are_given_as_soon_as_they_are_complete():
    reader = XmlReader()
    assert reader.feed(b"<?xml version='1.0'?><s3xml domain='d'><resource name='a'/><resource name='b'") != []
    assert reader.attributes == {"domain": "d"}
    assert [one.name for one in reader.feed(b"><data field='f'>1</data></resource></s3xml>")] == ["b"]
    assert reader.close() == []


def test_the_names_of_fields_are_once_in_memory():
    record = b"<resource name='t' uuid='u'><data field='f_1'>1</data><data field='f_1' value='2'>2</data></resource>"
    first, second = read_xml(b"<s3xml>" + record * 2 + b"</s3xml>").resources
    assert len({id(data.field) for one in (first, second) for data in one.data}) == 1
    assert [id(name) for name in first.attributes] == [id(name) for name in second.attributes]


def test_comments_and_instructions_are_left_out():
    body = (
        b"<s3xml><!-- c --><?p i?><resource name='t'><!-- c --><data field='f'>a<!-- c -->b</data></resource></s3xml>"
    )
    assert read_xml(body).resources == [Resource("t", {}, [Data("f", None, "ab")])]


def test_neither_name_nor_attributes_of_the_root_matter():
    assert read_xml(b"<foo bar='1'><resource name='t'/></foo>") == Document({"bar": "1"}, [Resource("t")])


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("urn:uuid:1", (("urn:uuid:1",), False)),
        ('["a", "b"]', (("a", "b"), True)),
        ("[not json", (("[not json",), False)),
        ("[]", ((), True)),
        (None, ((), False)),
        ("", ((), False)),
    ),
)
def test_a_reference_holds_one_identifier_or_a_list(text, expected):
    assert identifiers(text) == expected


# What is written is read again -----------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)
plain = texts.filter(lambda text: all(ord(one) >= 32 or one in "\t\n\r" for one in text)).filter(
    lambda text: not set(text) & {"\ufffe", "\uffff"}
)
names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
nothing = st.none()
datas = st.tuples(
    names, nothing | plain, nothing | plain.filter(bool), nothing | plain, nothing | plain, nothing | plain
).map(lambda parts: Data(*parts))
one_name = plain.filter(lambda text: text and not text.startswith("["))
references = st.tuples(names, names, one_name, st.booleans(), nothing | plain.filter(bool)).map(
    lambda parts: Reference(parts[0], parts[1], (parts[2],), (), parts[3], parts[4])
)
attributes = st.dictionaries(st.sampled_from(("uuid", "mci", "modified_on", "deleted", "other")), plain, max_size=4)
leaves = st.tuples(names, attributes, st.lists(datas, max_size=3), st.lists(references, max_size=2)).map(
    lambda parts: Resource(*parts)
)
resources = st.recursive(
    leaves,
    lambda inner: st.tuples(leaves, st.lists(inner, max_size=3)).map(
        lambda parts: replace(parts[0], components=parts[1])
    ),
    max_leaves=6,
)
documents = st.tuples(attributes, st.lists(resources, max_size=4)).map(lambda parts: Document(*parts))


@given(documents, st.integers(1, 200))
def test_every_document_survives_writing_and_reading_in_any_pieces(document, size):
    body = document_bytes(document)
    assert read_xml([body[start : start + size] for start in range(0, len(body), size)]) == document


@given(st.lists(resources.filter(lambda one: not one.references), max_size=3))
def test_every_record_keeps_its_values_through_s3json(found):
    found = [_unique(one) for one in found]
    again = read_json(b"".join(write_json({}, found)))
    assert sorted(one.name for one in again.resources) == sorted(one.name for one in found)
    read = {one.name: one.attributes for one in again.resources}
    assert all(one.attributes == read[one.name] for one in found if [x.name for x in found].count(one.name) == 1)


def _unique(one):
    """JSON objects hold a field once."""
    return Resource(one.name, one.attributes, list({data.field: data for data in one.data}.values()))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_named_error(body):
    for read in (read_xml, read_json):
        with contextlib.suppress(DocumentError, DocumentTooLarge, DocumentTooDeep):
            read(body)
