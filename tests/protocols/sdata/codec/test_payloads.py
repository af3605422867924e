from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import ValueRejected
from tallystick.protocols.sdata.codec.documents import parse_document
from tallystick.protocols.sdata.codec.payloads import (
    Collection,
    Field,
    Payload,
    checked_uuid,
    read_identity,
    read_payload,
    write_payload,
)
from tallystick.protocols.sdata.errors import MalformedMessage, MessageTooLarge

CRM = "http://schemas.example/crm/1"
U1 = "3b9f6a52-1c8d-4e07-a5f4-60d2c7e9138b"
U2 = "71c5e8d2-a03f-4c96-9b27-e8d450f1a63b"
PREFIXES = (
    'xmlns:sdata="http://schemas.sage.com/sdata/2008/1" xmlns:sync="http://schemas.sage.com/sdata/sync/2008/1" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)


def read(inner: str, attributes: str = "", depth: int = 32) -> Payload:
    return read_payload(
        parse_document(f'<account xmlns="{CRM}" {PREFIXES} {attributes}>{inner}</account>'.encode()), depth
    )


def again(payload: Payload) -> Payload:
    return read_payload(parse_document(f"<a {PREFIXES}>{write_payload(payload)}</a>".encode())[0])


def test_fields_keep_their_order_and_their_text() -> None:
    found = read("<b>2</b><a> x &amp; y </a><c/>")
    assert list(found.fields.items()) == [("b", "2"), ("a", " x & y "), ("c", "")]


@pytest.mark.parametrize("nil", ("true", "1"))
def test_nil_is_null_and_an_empty_element_is_not(nil: str) -> None:
    assert read(f'<a xsi:nil="{nil}"/><b/><c xsi:nil="false"/>').fields == {"a": None, "b": "", "c": ""}


def test_null_is_written_as_nil() -> None:
    assert '<a xsi:nil="true"/>' in write_payload(Payload("account", CRM, {"a": None}))


def test_identity_is_read_from_attributes() -> None:
    found = read("", f'sdata:uuid="{U1.upper()}" sdata:key="K" sdata:url="http://x/a(\'K\')" sdata:descriptor="D"')
    assert (found.uuid, found.key, found.url, found.descriptor) == (U1, "K", "http://x/a('K')", "D")


def test_uri_is_url() -> None:
    assert read("", 'sdata:uri="http://x"').url == "http://x"


@pytest.mark.parametrize(
    ("inner", "attributes"),
    (
        ("", 'sdata:isDeleted="true"'),
        ("", 'sdata:isDeleted="1"'),
        ("", 'sdata:isDeleted="TRUE"'),
        ("", 'sync:isDeleted="true"'),
        ("<sync:isDeleted>true</sync:isDeleted>", ""),
        ("<sync:isDeleted/>", ""),
    ),
)
def test_a_deletion_is_read_in_every_historical_form(inner: str, attributes: str) -> None:
    assert read(inner, f'sdata:uuid="{U1}" {attributes}').deleted


def test_a_live_resource_may_say_so() -> None:
    assert not read("", 'sdata:isDeleted="false"').deleted
    assert not read("<sync:isDeleted>false</sync:isDeleted>").deleted


@pytest.mark.parametrize(("inner", "attributes"), (("", f'sync:uuid="{U1}"'), (f"<sync:uuid>{U1}</sync:uuid>", "")))
def test_a_uuid_is_read_in_every_historical_form(inner: str, attributes: str) -> None:
    found = read(inner, attributes)
    assert found.uuid == U1
    assert found.fields == {}


@pytest.mark.parametrize("text", ("42", "{" + U1 + "}", U1[:-1], U1 + "0", U1.replace("-", ""), "g" + U1[1:]))
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage, match="no UUID"):
        checked_uuid(text)
    with pytest.raises(MalformedMessage, match="no UUID"):
        read("", f'sdata:uuid="{text}"')
    with pytest.raises(MalformedMessage, match="no UUID"):
        read(f'<salesPerson sdata:uuid="{text}"/>')


@pytest.mark.parametrize(
    "xml",
    (
        f'<a xmlns="c" {PREFIXES} sdata:uuid="{U1}" sdata:isDeleted="true"><x>1</x></a>',
        f'<a xmlns="c" {PREFIXES}><sync:uuid>{U1}</sync:uuid><sync:isDeleted/><x>1</x></a>',
    ),
)
def test_identity_alone_is_read_in_every_form(xml: str) -> None:
    assert read_identity(parse_document(xml.encode())) == Payload("a", "c", uuid=U1, deleted=True)


def test_a_reference_has_identity_and_no_content() -> None:
    found = read(f'<salesPerson sdata:uuid="{U2}"/>').fields["salesPerson"]
    assert found == Payload("salesPerson", uuid=U2)
    assert isinstance(found, Payload)
    assert found.reference


def test_children_are_a_list_matched_by_uuid() -> None:
    found = read(
        f"""<addresses sdata:deleteMissing="true">
             <address sdata:uuid="{U1}"><city>Leiden</city></address>
             <address sdata:uuid="{U2}" sdata:isDeleted="true"/>
            </addresses>"""
    ).fields["addresses"]
    gone = Payload("address", uuid=U2, deleted=True)
    assert found == Collection((Payload("address", fields={"city": "Leiden"}, uuid=U1), gone), True)


def test_delete_missing_is_off_unless_it_is_said() -> None:
    found = read(f'<addresses><address sdata:uuid="{U1}"/></addresses>').fields["addresses"]
    assert isinstance(found, Collection)
    assert not found.delete_missing


def test_an_empty_list_that_is_whole_is_still_a_list() -> None:
    assert read('<addresses sdata:deleteMissing="true"/>').fields["addresses"] == Collection((), True)


def test_a_nested_resource_is_no_list() -> None:
    found = read(f'<contact sdata:uuid="{U1}"><name>Ann</name><phone>1</phone></contact>').fields["contact"]
    assert found == Payload("contact", fields={"name": "Ann", "phone": "1"}, uuid=U1)


def test_unknown_elements_of_other_namespaces_are_kept() -> None:
    found = read('<name>x</name><ext:colour xmlns:ext="urn:ext">red</ext:colour>')
    assert found.fields["{urn:ext}colour"] == "red"
    assert again(found) == found


def test_repeated_elements_are_all_kept() -> None:
    found = read("<tag>a</tag><tag>b</tag><tag/>")
    assert again(found) == found
    assert write_payload(found).count("<tag>") == 2
    assert "<tag>a</tag><tag>b</tag><tag/>" in write_payload(found)


def test_depth_is_bounded() -> None:
    nested = "<a sdata:key='k'>" * 40 + "</a>" * 40
    with pytest.raises(MessageTooLarge, match="too deep"):
        read(nested)
    assert read("<a sdata:key='k'><b/></a>", depth=3)


def test_a_payload_without_namespace_stays_without() -> None:
    found = read_payload(parse_document(b'<account xmlns=""><name>x</name></account>'))
    assert found == Payload("account", "", {"name": "x"})
    assert write_payload(found) == '<account xmlns=""><name>x</name></account>'


@pytest.mark.parametrize("name", ("a b", "x/><script", "1"))
def test_a_field_name_never_becomes_markup(name: str) -> None:
    with pytest.raises(ValueRejected):
        write_payload(Payload("account", CRM, {name: "x"}))


text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=20
)
names = st.from_regex(r"[a-z][a-zA-Z0-9]{0,8}", fullmatch=True)
uuids = st.uuids().map(str)


def resources(children: st.SearchStrategy[Payload]) -> st.SearchStrategy[Payload]:
    field: st.SearchStrategy[Field] = st.one_of(
        text,
        st.none(),
        children,
        st.builds(Collection, st.lists(children, max_size=3).map(tuple), st.just(True)),
    )
    return st.builds(
        Payload,
        names,
        fields=st.dictionaries(names, field, max_size=4),
        uuid=uuids,
        key=text,
        deleted=st.booleans(),
    )


payloads = st.recursive(st.builds(Payload, names, uuid=uuids), resources, max_leaves=6)


def _named(field: Field, name: str) -> Field:
    """A nested resource is called like its field: the wire has one name for both."""
    if isinstance(field, Payload):
        fields = {inner: _named(value, inner) for inner, value in field.fields.items()}
        return Payload(name, field.namespace, fields, field.uuid, field.key, field.url, deleted=field.deleted)
    if isinstance(field, Collection):
        items = tuple(_named(item, item.name) for item in field.items)
        return Collection(items, field.delete_missing)  # type: ignore[arg-type]
    return field


@given(payloads)
def test_any_payload_survives_the_wire(payload: Payload) -> None:
    named = _named(payload, payload.name)
    assert isinstance(named, Payload)
    root = Payload(named.name, CRM, named.fields, named.uuid, named.key, deleted=named.deleted)
    assert again(root) == root
