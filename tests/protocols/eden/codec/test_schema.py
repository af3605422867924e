import pytest

from tallystick.protocols.eden.codec.schema import (
    Component,
    Field,
    Kind,
    merged,
    parse_type,
    read_create,
    read_fields,
    table,
    write_create,
    write_fields,
)
from tallystick.protocols.eden.errors import DoctypeRefused, DocumentError

ORG = table(
    "org_organisation",
    [
        Field("name", required=True),
        Field("year", Kind.INTEGER, options={"1999": "then", "2026": "now"}),
        Field("parent_id", Kind.REFERENCE, "org_organisation"),
        Field("places", Kind.REFERENCE_LIST, "gis_location"),
        Field("code", unique=True),
        Field("secret", Kind.PASSWORD),
    ],
    components=(Component("org_office", "organisation_id"), Component("pr_contact", "org_id", alias="phone")),
)


def test_a_field_list_is_read_again():
    found = read_fields(write_fields(ORG))
    assert found.name == "org_organisation"
    assert [(one.name, one.kind, one.target) for one in found.fields.values()] == [
        (one.name, one.kind, one.target) for one in ORG.fields.values()
    ]
    assert not found.fields["secret"].readable


def test_a_form_is_read_again():
    found = read_create(write_create(ORG))
    assert found.components == ORG.components
    assert [(one.name, one.kind, one.target, one.required, one.unique) for one in found.fields.values()] == [
        (one.name, one.kind, one.target, one.required, one.unique) for one in ORG.fields.values()
    ]
    assert found.fields["year"].options == {"1999": "then", "2026": "now"}


def test_a_form_may_name_its_fields_differently():
    body = b"""<s3xml><resource name="t_t"><field name="a" type="string(64)" required="1"/>
    <reference field="b" resource="t_u"/><resource name="t_c"/></resource></s3xml>"""
    found = read_create(body)
    assert (found.fields["a"].length, found.fields["a"].required) == (64, True)
    assert (found.fields["b"].kind, found.fields["b"].target) == (Kind.REFERENCE, "t_u")
    assert found.components == (Component("t_c", ""),)


def test_list_and_form_together_know_more_than_either():
    whole = merged(read_fields(write_fields(ORG)), read_create(write_create(ORG)))
    assert whole.fields["name"].required
    assert [one.name for one in whole.required] == ["name"]
    assert [one.name for one in whole.unique] == ["code"]
    assert whole.components == ORG.components


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        ("string", (Kind.STRING, None, None)),
        ("string(64)", (Kind.STRING, None, 64)),
        ("reference gis_location", (Kind.REFERENCE, "gis_location", None)),
        ("list:reference org_sector", (Kind.REFERENCE_LIST, "org_sector", None)),
        ("decimal(10,2)", (Kind.DECIMAL, None, 10)),
        ("bigint", (Kind.INTEGER, None, None)),
        ("id", (Kind.INTEGER, None, None)),
        ("geometry()", (Kind.STRING, None, None)),
        ("", (Kind.STRING, None, None)),
    ),
)
def test_types(text, expected):
    assert parse_type(text) == expected


@pytest.mark.parametrize("read", (read_fields, read_create))
def test_hostile_descriptions_are_refused(read):
    with pytest.raises(DoctypeRefused):
        read(b'<!DOCTYPE fields [<!ENTITY a "b">]><fields resource="t"/>')
    with pytest.raises(DocumentError, match="XML Parse error"):
        read(b"<fields")
    with pytest.raises(DocumentError, match="expected a description"):
        read(b"<html><body/></html>")


def test_meta_fields_are_no_fields_of_their_own():
    body = b'<fields resource="t_t"><field name="uuid" type="string"/><field name="a" type="string"/></fields>'
    assert list(read_fields(body).fields) == ["a"]


def test_a_component_is_found_by_its_alias():
    two = (Component("pr_contact", "p", alias="phone"), Component("pr_contact", "p", alias="email"))
    person = table("pr_person", [], components=two)
    assert person.component("pr_contact", "email") is two[1]
    assert person.component("pr_contact", None) is two[0]
    assert person.component("pr_other", None) is None
