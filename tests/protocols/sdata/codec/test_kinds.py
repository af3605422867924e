"""Kinds of a contract and the types of what is in their payloads."""

from __future__ import annotations

from tallystick.core.values import Logical
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property, Relationship

SIZE = Property(name="size", type=Logical.INT64)


def related(name: str, kind: str, relationship: Relationship) -> Property:
    return Property(name=name, kind=kind, relationship=relationship)


def contract(*kinds: Kind) -> Contract:
    return Contract(name="crm", namespace="urn:crm", kinds=kinds)


def test_the_types_of_a_kind_reach_into_its_children_and_what_it_refers_to():
    lines = Kind(
        name="lines",
        element="line",
        properties=(SIZE, related("product", "products", Relationship.REFERENCE)),
        embedded=True,
    )
    orders = Kind(
        name="orders",
        element="order",
        properties=(
            Property(name="name"),
            related("lines", "lines", Relationship.CHILD),
            related("gone", "nowhere", Relationship.REFERENCE),
        ),
    )
    products = Kind(name="products", element="product", properties=(Property(name="sold", type=Logical.BOOL),))
    assert contract(orders, lines, products).types(orders) == {
        "name": Logical.TEXT,
        "lines": {"size": Logical.INT64, "product": {"sold": Logical.BOOL}},
    }


def test_kinds_that_refer_to_each_other_or_are_in_themselves_have_types_all_the_same():
    persons = Kind(
        name="persons", element="person", properties=(SIZE, related("chief", "persons", Relationship.REFERENCE))
    )
    assert contract(persons).types(persons) == {"size": Logical.INT64, "chief": {"size": Logical.INT64}}
    parts = Kind(
        name="parts",
        element="part",
        properties=(SIZE, related("parts", "parts", Relationship.CHILD)),
        embedded=True,
    )
    once = {"size": Logical.INT64, "parts": {"size": Logical.INT64}}
    assert contract(parts).types(parts) == {"size": Logical.INT64, "parts": once}
