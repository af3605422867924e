from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tallystick.core.values import Logical
from tallystick.protocols.sdata.codec.escaping import checked_name
from tallystick.protocols.sdata.codec.kinds import Contract, Relationship
from tallystick.protocols.sdata.codec.schema import plain_name, read_schema, write_schema, xml_name
from tallystick.protocols.sdata.errors import MalformedMessage

SME = "{http://schemas.sage.com/sdata/sme/2007}"
XS = "{http://www.w3.org/2001/XMLSchema}"


def test_the_schema_is_a_valid_schema(contract: Contract) -> None:
    schema = etree.XMLSchema(etree.fromstring(write_schema(contract)))
    document = etree.fromstring(
        f"""<account xmlns="{contract.namespace}"><name>x</name><creditLimit>7500.00</creditLimit>
            <addresses><address><city>Leiden</city></address></addresses></account>"""
    )
    assert schema.validate(document)
    assert not schema.validate(etree.fromstring(f'<account xmlns="{contract.namespace}"><nix/></account>'))


def test_a_kind_says_what_it_can_do(contract: Contract) -> None:
    root = etree.fromstring(write_schema(contract))
    account = next(element for element in root.findall(f"{XS}element") if element.get("name") == "account")
    expected = {
        "role": "resourceKind",
        "pluralName": "accounts",
        "canGet": "true",
        "canPost": "true",
        "canPut": "true",
        "canDelete": "true",
        "canPageNext": "true",
        "canPagePrevious": "true",
        "canPageIndex": "true",
        "hasUuid": "true",
        "supportsETag": "true",
        "batchingMode": "syncOrAsync",
        "isSyncSource": "true",
        "isSyncTarget": "true",
        "syncConflictPriority": "5",
        "syncOrder": "50",
    }
    assert {name: account.get(f"{SME}{name}") for name in expected} == expected
    types = {element.get("name"): element for element in root.findall(f"{XS}complexType")}
    assert types["account--type"][0].tag == f"{XS}all"
    assert "account--list" in types


def test_a_schema_read_back_is_the_same_contract(contract: Contract) -> None:
    found = read_schema(write_schema(contract), contract.name)
    assert found.namespace == contract.namespace
    assert [kind.name for kind in found.served] == ["salesPersons", "accounts"]
    for kind in contract.kinds:
        other = found.kind(kind.name)
        assert other is not None
        assert (other.element, other.embedded) == (kind.element, kind.embedded)
        assert [(p.name, p.relationship, p.kind, p.collection, p.nullable, p.max_length) for p in other.properties] == [
            (p.name, p.relationship, p.kind, p.collection, p.nullable, p.max_length) for p in kind.properties
        ]
        assert other.values == kind.values
    accounts = found.kind("ACCOUNTS")
    assert accounts is not None
    assert (accounts.order, accounts.priority, accounts.source, accounts.target) == (50, 5, True, True)
    limit, addresses = accounts.find("creditLimit"), accounts.find("addresses")
    assert limit is not None
    assert limit.type is Logical.DECIMAL
    assert addresses is not None
    assert addresses.relationship is Relationship.CHILD


def test_another_document_is_no_schema() -> None:
    with pytest.raises(MalformedMessage):
        read_schema(b"<html/>")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_column_name_becomes_an_xml_name_and_leads_back(name: str) -> None:
    written = xml_name(name)
    assert checked_name(written) == written
    etree.fromstring(f"<{written}/>")
    assert plain_name(written) == name


@pytest.mark.parametrize(
    ("name", "written"),
    (("order date", "order_x0020_date"), ("1st", "_x0031_st"), ("a_x0020_b", "a_x005F_x0020_b"), ("größe", "größe")),
)
def test_names_are_coded_as_old_serializers_do(name: str, written: str) -> None:
    assert xml_name(name) == written
