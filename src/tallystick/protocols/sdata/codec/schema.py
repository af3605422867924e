"""``$schema``: a contract as XSD with sme attributes, written and read (spec 12 *Schema*; K 4, App A; Y 4.5)."""

from __future__ import annotations

import re

from lxml import etree

from tallystick.core.values import Logical
from tallystick.protocols.sdata.codec.documents import DEFAULT_LIMITS, Limits, expect_root, parse_document
from tallystick.protocols.sdata.codec.escaping import NAME_REST, NAME_START, escape_attribute
from tallystick.protocols.sdata.codec.kinds import Contract, Kind, Property, Relationship
from tallystick.protocols.sdata.codec.names import SDATA, SME, XSD
from tallystick.protocols.sdata.codec.values import logical_of, xs_type

_ELEMENT = f"{{{XSD}}}element"
_COMPLEX = f"{{{XSD}}}complexType"
_SCHEMA = f"{{{XSD}}}schema"
_NOT_IN_NAME = re.compile(f"[^{NAME_REST}]")
_NOT_AT_START = re.compile(f"[^{NAME_START}]")


def xml_name(name: str) -> str:
    """An XML element name for any column name: what XML does not allow becomes ``_xHHHH_``.

    Different names stay different; `plain_name` leads back.
    """
    escaped = re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", name)
    escaped = _NOT_IN_NAME.sub(_coded, escaped)
    return _NOT_AT_START.sub(_coded, escaped[:1]) + escaped[1:]


def _coded(found: re.Match[str]) -> str:
    data = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"_x{data[at] * 256 + data[at + 1]:04X}_" for at in range(0, len(data), 2))


def plain_name(name: str) -> str:
    """The name that `xml_name` made ``name`` from."""
    units = re.sub(r"_x([0-9A-Fa-f]{4})_", lambda match: chr(int(match.group(1), 16)), name)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


def write_schema(contract: Contract) -> bytes:
    """The XSD of ``contract`` (``application/xml``): types ``x--type``, ``x--list``, built with ``xs:all``."""
    namespace = escape_attribute(contract.namespace)
    parts = [
        f'<?xml version="1.0" encoding="utf-8"?>\n<xs:schema xmlns:xs="{XSD}"\n    xmlns:sme="{SME}"\n'
        f'    xmlns:sdata="{SDATA}"\n    xmlns:tns="{namespace}" xmlns="{namespace}"\n'
        f'    targetNamespace="{namespace}" elementFormDefault="qualified">\n'
    ]
    parts += [_write_kind(kind, contract) for kind in contract.kinds]
    return ("".join(parts) + "</xs:schema>\n").encode()


def _write_kind(kind: Kind, contract: Contract) -> str:
    name = kind.element
    properties = "".join(_write_property(found, contract) for found in kind.properties)
    return (
        f' <xs:element name="{name}" type="tns:{name}--type"{_attributes(_kind_annotations(kind))}/>\n'
        f' <xs:complexType name="{name}--type">\n  <xs:all>\n{properties}  </xs:all>\n </xs:complexType>\n'
        f' <xs:complexType name="{name}--list">\n  <xs:sequence>\n'
        f'   <xs:element name="{name}" type="tns:{name}--type" minOccurs="0" maxOccurs="unbounded"/>\n'
        f"  </xs:sequence>\n </xs:complexType>\n"
    )


def _kind_annotations(kind: Kind) -> dict[str, str | bool | int]:
    if kind.embedded:
        return {"sme:label": kind.label or kind.element, "sme:pluralName": kind.name, "sme:hasUuid": True}
    return {
        "sme:role": "resourceKind",
        "sme:pluralName": kind.name,
        "sme:label": kind.label or kind.element,
        "sme:canGet": True,
        "sme:canPost": True,
        "sme:canPut": True,
        "sme:canDelete": True,
        "sme:canPageNext": True,
        "sme:canPagePrevious": True,
        "sme:canPageIndex": True,
        "sme:hasUuid": True,
        "sme:supportsETag": True,
        "sme:batchingMode": "syncOrAsync",
        "sme:isSyncSource": kind.source,
        "sme:isSyncTarget": kind.target,
        "sme:syncConflictPriority": kind.priority,
        "sme:syncOrder": kind.order,
    }


def _write_property(found: Property, contract: Contract) -> str:
    annotations: dict[str, str | bool | int] = {"sme:label": found.label or found.name}
    if found.relationship is not None:
        target = contract.kind(found.kind)
        element = target.element if target else "resource"
        kind = f"tns:{element}--{'list' if found.collection else 'type'}" if target else "xs:anyType"
        annotations["sme:relationship"] = found.relationship.value
        annotations["sme:isCollection"] = found.collection
    else:
        kind = f"xs:{xs_type(found.type)}"
        if found.max_length:
            annotations["sme:maxLength"] = found.max_length
    nillable = ' nillable="true"' if found.nullable else ""
    return f'   <xs:element name="{found.name}" type="{kind}" minOccurs="0"{nillable}{_attributes(annotations)}/>\n'


def _attributes(annotations: dict[str, str | bool | int]) -> str:
    return "".join(
        f' {name}="{str(value).lower() if isinstance(value, bool) else escape_attribute(str(value))}"'
        for name, value in annotations.items()
    )


def read_schema(data: bytes, name: str = "", limits: Limits = DEFAULT_LIMITS) -> Contract:
    """The contract that an XSD describes: its resource kinds with their sync annotations and properties.

    Raises MalformedMessage when the document is no schema. Unknown types are read as text.
    """
    root = parse_document(data, limits)
    expect_root(root, _SCHEMA)
    types = {element.get("name", ""): element for element in root.findall(_COMPLEX)}
    plurals = {
        split_prefix(element.get("type", "")): element.get(f"{{{SME}}}pluralName", element.get("name", ""))
        for element in root.findall(_ELEMENT)
    }
    kinds = tuple(_read_kind(element, types, plurals) for element in root.findall(_ELEMENT))
    return Contract(name=name, namespace=root.get("targetNamespace", ""), kinds=kinds)


def split_prefix(name: str) -> str:
    """A qualified name without its prefix."""
    return name.rpartition(":")[2]


def _read_kind(element: etree._Element, types: dict[str, etree._Element], plurals: dict[str, str]) -> Kind:
    name = element.get("name", "")
    body = types.get(split_prefix(element.get("type", "")))
    properties = () if body is None else tuple(_read_property(found, plurals) for found in body.iter(_ELEMENT))
    order = element.get(f"{{{SME}}}syncOrder", "")
    priority = element.get(f"{{{SME}}}syncConflictPriority", "")
    return Kind(
        name=element.get(f"{{{SME}}}pluralName") or name,
        element=name,
        properties=properties,
        label=element.get(f"{{{SME}}}label", ""),
        source=_true(element, "isSyncSource"),
        target=_true(element, "isSyncTarget"),
        priority=int(priority) if priority.isdigit() else 5,
        order=int(order) if order.isdigit() else 0,
        embedded=element.get(f"{{{SME}}}role") != "resourceKind",
    )


def _true(element: etree._Element, name: str) -> bool:
    return element.get(f"{{{SME}}}{name}", "").strip().lower() in ("true", "1")


def _read_property(element: etree._Element, plurals: dict[str, str]) -> Property:
    kind = split_prefix(element.get("type", ""))
    relation = element.get(f"{{{SME}}}relationship", "")
    related = Relationship(relation) if relation in Relationship.__members__.values() else None
    length = element.get(f"{{{SME}}}maxLength", "")
    return Property(
        name=element.get("name", ""),
        type=logical_of(kind) if related is None else Logical.REFERENCE,
        nullable=element.get("nillable", "").lower() in ("true", "1"),
        max_length=int(length) if length.isdigit() else 0,
        label=element.get(f"{{{SME}}}label", ""),
        relationship=related,
        kind=plurals.get(kind.replace("--list", "--type"), "") if related is not None else "",
        collection=_true(element, "isCollection") or kind.endswith("--list"),
    )
