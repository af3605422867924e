"""Tables and fields as the Eden protocol sees them, and their descriptions on the wire (spec: sections 2, 5 and 6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lxml import etree

from tallystick.protocols.eden.codec.xml_reading import refuse_prolog
from tallystick.protocols.eden.codec.xml_writing import DECLARATION, escape_attribute, escape_text
from tallystick.protocols.eden.errors import DoctypeRefused, DocumentError, DocumentTooLarge

_Element = Any
_DESCRIPTION_BYTES = 16 * 1024 * 1024


class Kind(StrEnum):
    """The types that ``fields.xml`` names."""

    STRING = "string"
    TEXT = "text"
    INTEGER = "integer"
    DOUBLE = "double"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    JSON = "json"
    STRING_LIST = "list:string"
    INTEGER_LIST = "list:integer"
    UPLOAD = "upload"
    PASSWORD = "password"
    BLOB = "blob"
    REFERENCE = "reference"
    REFERENCE_LIST = "list:reference"


_KINDS = {one.value: one for one in Kind}

TEXT_KINDS = frozenset({Kind.STRING, Kind.TEXT})
REFERENCE_KINDS = frozenset({Kind.REFERENCE, Kind.REFERENCE_LIST})

META_FIELDS = frozenset(
    {
        *("id", "uuid", "mci", "deleted", "deleted_fk", "deleted_rb", "created_on", "modified_on", "created_by"),
        *("modified_by", "approved_by", "owned_by_user", "owned_by_group", "realm_entity"),
    }
)
"""Fields that travel as attributes, or not at all (section 2)."""

UNSHARED_TABLES = frozenset(
    {"auth_user", "auth_group", "auth_membership", "auth_event", "sync_repository", "sync_config"}
)
"""Accounts and credentials: never exported and never imported as ordinary records (section 17)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a table.

    ``target`` is the table that a reference points to. ``represented`` says that the field is written with a JSON
    ``value`` even where it holds plain text. ``minimum`` and ``maximum`` bound numbers, ``options`` are the allowed
    values with their labels. ``check`` takes a decoded value, gives the one to store and raises ValueError with the
    reason when the field does not take it.
    """

    name: str
    kind: Kind = Kind.STRING
    target: str | None = None
    required: bool = False
    unique: bool = False
    represented: bool = False
    default: object = None
    readable: bool = True
    writable: bool = True
    length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    options: Mapping[str, str] | None = None
    check: Callable[[object], object] | None = None

    is_reference: bool = field(init=False)
    bounded: bool = field(init=False)
    """True when a decoded value has to be looked at again: length, range or check."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_reference", self.kind in REFERENCE_KINDS)
        limits = (self.length, self.minimum, self.maximum, self.check)
        object.__setattr__(self, "bounded", any(one is not None for one in limits))


@dataclass(frozen=True, slots=True)
class Component:
    """Records of another table that belong to a record: exported inside it.

    ``key`` is the field of ``table`` that points to the parent. ``alias`` is written where it differs from the table's
    short name. A component that is not ``many`` has at most one record; one that is not ``imported`` is only shown.
    For a many-to-many link the component is the link table; the far record is a separate top-level element.
    """

    table: str
    key: str
    alias: str | None = None
    many: bool = True
    imported: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that a selector may call it."""
        return (self.alias or self.short_name, self.table, self.short_name)

    @property
    def short_name(self) -> str:
        """``office`` of ``org_office``."""
        return self.table.partition("_")[2]


_ANY_ALIAS = "*"
"""No alias: it is no name."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    ``identity`` are the fields by which records without a known identifier are matched (section 9.2), compared
    without regard to case; ``identity_also`` are compared too where both sides have them. A table without ``meta`` is
    a shared parent table ("super-entity"): no times, no copy count. Of a ``restricted`` table nothing may be imported.
    """

    name: str
    fields: Mapping[str, Field]
    components: tuple[Component, ...] = ()
    identity: tuple[str, ...] = ()
    identity_also: tuple[str, ...] = ()
    meta: bool = True
    restricted: bool = False
    unique: tuple[Field, ...] = field(init=False)
    required: tuple[Field, ...] = field(init=False)
    required_references: tuple[Field, ...] = field(init=False)
    taken: Mapping[str, Field] = field(init=False)
    """The fields that ``data`` elements may set."""
    _nested: Mapping[tuple[str, str | None], Component] = field(init=False, repr=False, compare=False)
    """Components that may be imported, by table and alias; the first of a table also for any other alias."""

    def __post_init__(self) -> None:
        plain = (one for one in self.fields.values() if one.writable and not one.is_reference)
        object.__setattr__(self, "taken", {one.name: one for one in plain if one.name not in META_FIELDS})
        object.__setattr__(self, "unique", tuple(one for one in self.fields.values() if one.unique))
        object.__setattr__(self, "required", tuple(one for one in self.fields.values() if one.required))
        object.__setattr__(self, "required_references", tuple(one for one in self.required if one.is_reference))
        nested: dict[tuple[str, str | None], Component] = {}
        for one in self.components:
            if one.imported:
                nested.setdefault((one.table, one.alias), one)
                nested.setdefault((one.table, _ANY_ALIAS), one)
        object.__setattr__(self, "_nested", nested)

    @property
    def prefix(self) -> str:
        """The module: ``org`` of ``org_office``."""
        return self.name.partition("_")[0]

    @property
    def short_name(self) -> str:
        """The rest: ``office`` of ``org_office``."""
        return self.name.partition("_")[2]

    def component(self, element: str, alias: str | None) -> Component | None:
        """The component that a nested element names, or None when the model defines no such one."""
        return self._nested.get((element, alias)) or self._nested.get((element, _ANY_ALIAS))


def table(name: str, fields: Iterable[Field], **more: object) -> Table:
    """A table of a list of fields."""
    return Table(name, {one.name: one for one in fields}, **more)  # type: ignore[arg-type]


# fields.xml ----------------------------------------------------------------------------------------------------

_TYPE = re.compile(r"(?P<kind>(?:list:)?[a-z]+)(?: (?P<target>\w+))?(?:\((?P<length>\d+)[^)]*\))?")


def write_fields(described: Table) -> bytes:
    """``fields.xml`` of a table."""
    lines = [f'{DECLARATION}<fields resource="{escape_attribute(described.name)}">']
    for one in described.fields.values():
        lines.append(
            f'  <field name="{escape_attribute(one.name)}" type="{_type_text(one)}"'
            f' readable="{one.kind is not Kind.PASSWORD and one.readable}" writable="{one.writable}"'
            f' has_options="{bool(one.options)}"/>'
        )
    return ("\n".join(lines) + "\n</fields>\n").encode()


def _type_text(one: Field) -> str:
    if one.is_reference:
        return escape_attribute(f"{one.kind} {one.target}")
    return str(one.kind)


def read_fields(body: bytes) -> Table:
    """The table that a ``fields.xml`` describes. Raises DocumentError for what is no such description."""
    root = _root(body, "fields")
    fields = (_described(element) for element in root.iterchildren("field"))
    return table(root.get("resource", ""), (one for one in fields if one.name not in META_FIELDS))


def _described(element: _Element) -> Field:
    kind, target, length = parse_type(element.get("type", "string"))
    return Field(
        element.get("name", ""),
        kind,
        target,
        required=element.get("required", "").lower() == "true",
        readable=element.get("readable", "True").lower() == "true",
        writable=element.get("writable", "True").lower() == "true",
        length=length,
        default=element.get("default"),
        options=_options(element),
    )


def parse_type(text: str) -> tuple[Kind, str | None, int | None]:
    """Kind, target table and length of a type as Eden writes it, such as ``reference org_office`` or ``string(64)``.

    A type that this version does not know is read as a string, the form in which Eden writes it to the wire.
    """
    match = _TYPE.match(text)
    if match is None:
        return Kind.STRING, None, None
    name = {"id": "integer", "bigint": "integer", "float": "double"}.get(match["kind"], match["kind"])
    kind = _KINDS.get(name, Kind.STRING)
    target = match["target"] if kind in REFERENCE_KINDS else None
    return kind, target, int(match["length"]) if match["length"] else None


# create.xml ----------------------------------------------------------------------------------------------------


def write_create(described: Table) -> bytes:
    """``create.xml`` of a table: its form, with types, mandatory fields, options and components."""
    name = escape_attribute(described.name)
    lines = [f'{DECLARATION}<s3xml>\n  <resource name="{name}">']
    lines += [_form_field(one, described, "    ") for one in described.fields.values()]
    for component in described.components:
        alias = f' alias="{escape_attribute(component.alias)}"' if component.alias else ""
        lines.append(
            f'    <resource name="{escape_attribute(component.table)}"{alias} key="{escape_attribute(component.key)}"'
            f' multiple="{component.many}"/>'
        )
    return ("\n".join(lines) + "\n  </resource>\n</s3xml>\n").encode()


def _form_field(one: Field, described: Table, indent: str) -> str:
    element = "reference" if one.is_reference else "data"
    head = f'{indent}<{element} field="{escape_attribute(one.name)}"'
    if one.target:
        head += f' resource="{escape_attribute(one.target)}"'
    head += f' type="{_type_text(one)}" required="{one.required}" unique="{one.unique}"'
    if not one.options:
        return head + "/>"
    options = "".join(
        f'<option value="{escape_attribute(value)}">{escape_text(label)}</option>'
        for value, label in one.options.items()
    )
    return f'{head}><select field="{escape_attribute(one.name)}">{options}</select></{element}>'


def read_create(body: bytes) -> Table:
    """The table that a ``create.xml`` describes, components included. Raises DocumentError.

    Releases differ in how they name elements and attributes: a field may be ``data``, ``reference`` or ``field``, its
    name in ``field`` or ``name``. A component without ``key`` is completed from the child's own description.
    """
    root = _root(body, "s3xml")
    form = next(root.iterchildren("resource"), None)
    if form is None:
        raise DocumentError("the description of the form has no resource element")
    fields, components = [], []
    for element in form:
        if element.tag in ("data", "reference", "field"):
            fields.append(_form_described(element))
        elif element.tag == "resource":
            many = element.get("multiple", "True").lower() == "true"
            components.append(Component(element.get("name", ""), element.get("key", ""), element.get("alias"), many))
    known = (one for one in fields if one.name not in META_FIELDS)
    return table(form.get("name", ""), known, components=tuple(components))


def _form_described(element: _Element) -> Field:
    kind, target, length = parse_type(element.get("type", "string"))
    if element.tag == "reference":
        kind = kind if kind in REFERENCE_KINDS else Kind.REFERENCE
        target = target or element.get("resource")
    return Field(
        element.get("field", element.get("name", "")),
        kind,
        target,
        required=element.get("required", "").lower() in ("true", "1"),
        unique=element.get("unique", "").lower() == "true",
        length=length,
        default=element.get("default"),
        options=_options(element),
    )


def _options(element: _Element) -> dict[str, str] | None:
    found = {option.get("value", ""): option.text or "" for option in element.iter("option")}
    found.pop("", None)
    return found or None


def _root(body: bytes, expected: str) -> _Element:
    if len(body) > _DESCRIPTION_BYTES:
        raise DocumentTooLarge(f"the description is larger than {_DESCRIPTION_BYTES} bytes")
    refuse_prolog(body)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root: _Element = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"XML Parse error: {error.msg}") from None
    if root.getroottree().docinfo.doctype:
        raise DoctypeRefused("the description has a document type declaration")
    if root.tag != expected:
        raise DocumentError(f"expected a description in <{expected}>, got <{root.tag}>")
    return root


def merged(fields: Table, form: Table) -> Table:
    """What ``fields.xml`` and ``create.xml`` of one table say together: every field, with the details of the form."""
    details = form.fields
    return table(fields.name, {**fields.fields, **details}.values(), components=form.components)
