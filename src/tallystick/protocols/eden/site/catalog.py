"""Eden's tables and the resources behind them (spec/eden.md: section 2; DESIGN.md 4.4, 4.7).

A tracked table whose name has an underscore is synchronized under that name. What it looks like to Eden is what was
said about it (a peer's own description, or a declaration), else it follows from its columns and references.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tallystick.core.values import CANONICAL, fold, single_key, single_value
from tallystick.errors import SchemaError
from tallystick.protocols.eden.codec.schema import META_FIELDS, Component, Kind, Table
from tallystick.protocols.eden.codec.schema import Field as EdenField
from tallystick.protocols.eden.codec.schema import table as table_with
from tallystick.protocols.eden.site.forms import TableForm, parse_table, table_form, table_of
from tallystick.protocols.eden.site.names import Names
from tallystick.protocols.eden.site.values import KINDS, Reading, reading
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.schema import Definition, Field, Identity

_EDEN_NAME = re.compile(r"[a-z][a-z0-9]*_[a-z0-9_]+", re.ASCII)
COLUMN_META = frozenset({"mci", "deleted", "created_on", "modified_on"})
"""Meta-fields that are kept in the table's own columns where it has them."""


@dataclass(frozen=True, slots=True)
class Link:
    """A field of an Eden table and where the site keeps it.

    ``position`` counts among the definition's fields, ``part`` among the parts of its primary key; one of them is -1.
    ``target`` is the Eden table that a reference points to; a ``natural`` one holds the primary key of that table.
    """

    name: str
    field: EdenField
    wire: str
    site: Field
    position: int
    part: int = -1
    target: str = ""
    natural: bool = False
    read: Reading | None = None

    def key_of(self, value: object) -> str:
        """The key of the record that a reference's value points to."""
        return single_key(value) if self.natural else str(value)  # type: ignore[arg-type]

    def value_of(self, key: str) -> object:
        """The value of a reference to the record with that key."""
        return single_value(key, self.site.logical) if self.natural else key


@dataclass(slots=True)
class Bound:
    """An Eden table, the resource behind it, and its links by field name. ``meta`` are positions of meta-columns."""

    table: Table
    tracked: Tracked
    names: Names
    links: dict[str, Link]
    meta: dict[str, int]
    plain: tuple[Link, ...] = field(init=False)
    pointing: tuple[Link, ...] = field(init=False)
    exact: Mapping[str, str] = field(init=False)
    """Wire names, by field name, of plain fields whose columns hold text and numbers as they are."""
    defaults: Mapping[str, object] = field(init=False)
    """What fields of new records hold when nothing is said, by field name."""

    def __post_init__(self) -> None:
        self.plain = tuple(one for one in self.links.values() if not one.target)
        self.pointing = tuple(one for one in self.links.values() if one.target)
        self.exact = {one.name: one.wire for one in self.plain if one.site.logical not in CANONICAL}
        fields = self.table.fields.values()
        self.defaults = {one.name: one.default for one in fields if one.default is not None}

    @property
    def definition(self) -> Definition:
        """What the resource is."""
        return self.tracked.definition


class Catalog:
    """The Eden tables of one site."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._forms: dict[str, TableForm] = {}
        self._locals: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._bound: dict[str, Bound | None] = {}
        self.read()

    def follow(self) -> None:
        """Look again where the resources of the site are not those of the last time."""
        if self._ledger.meta("catalog") != self._version:
            self.read()

    def read(self) -> None:
        """Look again: tables were tracked or described."""
        self._version = self._ledger.meta("catalog")
        rows = self._ledger.engine.query("SELECT name, local, form FROM tally_eden_table")
        self._forms = {name: parse_table(text) for name, _, text in rows}
        self._locals = {name: local for name, local, _ in rows}
        described = {local: name for name, local in self._locals.items()}
        self._names = {}
        for item in self._ledger.resources():
            name = described.get(item.definition.name, item.definition.name)
            if item.definition.identity is not Identity.MANAGED and _EDEN_NAME.fullmatch(name):
                self._names[item.definition.name] = name
        self._bound.clear()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names.values()))

    def name_of(self, local: str) -> str | None:
        """The Eden name of a local table."""
        return self._names.get(local)

    def bound(self, name: str) -> Bound | None:
        """The table of that name, or None when it is not tracked here."""
        if name not in self._bound or not self._is_current(self._bound[name]):
            self._bound[name] = self._bind(name)
        return self._bound[name]

    def _is_current(self, bound: Bound | None) -> bool:
        """False where the ledger holds another resource by now.

        In a write transaction its counters are loaded: ticks and seqs are given from where the last writer stopped,
        whichever process that was, and are saved with the resource that the ledger holds, with no other.
        """
        if bound is None or not self._ledger.in_write:
            return True
        wire = bound.tracked.wire
        return self._ledger.has(wire) and self._ledger.resource(wire) is bound.tracked

    def known(self, name: str) -> Bound:
        """The table of that name. Raises SchemaError when it is not tracked here."""
        found = self.bound(name)
        if found is None:
            raise SchemaError(f"there is no table {name!r} here", hint=f"tables: {', '.join(self) or 'none'}")
        return found

    def describe(self, table: Table, local: str, columns: Mapping[str, str]) -> None:
        """Keep what a table looks like to Eden; ``columns`` are those with other names than their fields."""
        self._ledger.engine.execute("DELETE FROM tally_eden_table WHERE name=? OR local=?", (table.name, local))
        self._ledger.engine.execute(
            "INSERT INTO tally_eden_table(name, local, form) VALUES (?, ?, ?)",
            (table.name, local, table_form(table, columns)),
        )
        self.read()

    # Binding

    def _bind(self, name: str) -> Bound | None:
        local = next((local for local, eden in self._names.items() if eden == name), None)
        tracked = next((one for one in self._ledger.resources() if one.definition.name == local), None)
        if tracked is None:
            return None
        if self._ledger.in_write:
            tracked = self._ledger.resource(tracked.wire)  # with its counters
        definition, form = tracked.definition, self._forms.get(name)
        described = table_of(form) if form is not None else self._derived(name, definition)
        columns = form.columns if form is not None else {}
        links = {one.name: one for one in self._links(described, definition, columns)}
        kept = {field.name: field for field in described.fields.values() if field.name in links}
        components = tuple(one for one in described.components if self._component_is_here(one))
        shown = Table(
            name,
            kept,
            components,
            tuple(one for one in described.identity if one in kept),
            tuple(one for one in described.identity_also if one in kept),
            described.meta,
            described.restricted,
        )
        return Bound(shown, tracked, Names(self._ledger.site, definition), links, _meta(definition))

    def _component_is_here(self, component: Component) -> bool:
        return component.table in self._names.values()

    def _links(self, table: Table, definition: Definition, columns: Mapping[str, str]) -> Iterator[Link]:
        by_column = {one.column: (one, index, -1) for index, one in enumerate(definition.fields)}
        by_column |= {
            one.column: (one, -1, index) for index, one in enumerate(definition.key_fields) if not definition.mapped
        }
        folded = {fold(column): column for column in by_column}
        naturals = self._natural_references(definition)
        for one in table.fields.values():
            column = columns.get(one.name) or (one.name if one.name in by_column else folded.get(fold(one.name), ""))
            if column not in by_column or column == definition.key_column:
                continue
            site, position, part = by_column[column]
            target = self._target(one, site, naturals)
            read = None if target else reading(one.kind, site.logical, one.target)
            yield Link(one.name, one, site.wire, site, position, part, target, column in naturals, read)

    def _target(self, one: EdenField, site: Field, naturals: Mapping[str, str]) -> str:
        """The Eden table that a reference points to, "" for a field that is kept as a value."""
        if one.kind is not Kind.REFERENCE:
            return ""
        return one.target or "" if site.refers_to or site.column in naturals else ""

    def _natural_references(self, definition: Definition) -> dict[str, str]:
        """Columns that refer to primary keys which mean something, with the local table."""
        mapped = {one.column for one in (*definition.fields, *definition.key_fields) if one.refers_to}
        known = {item.definition.name: item.definition for item in self._ledger.resources()}
        return {
            one.columns[0]: one.parent
            for one in definition.references
            if len(one.columns) == 1
            and one.columns[0] not in mapped
            and one.parent in known
            and known[one.parent].key_columns == one.parent_columns
        }

    # Derived descriptions

    def _derived(self, name: str, definition: Definition) -> Table:
        wires = {item.wire: item.definition.name for item in self._ledger.resources()}
        naturals = self._natural_references(definition)
        keys = () if definition.mapped else definition.key_fields
        unique = {columns[0] for columns in definition.unique if len(columns) == 1}
        fields = []
        for one in (*keys, *definition.fields):
            parent = wires.get(one.refers_to) or naturals.get(one.column)
            target = self._names.get(parent) if parent else None
            if one.column in META_FIELDS or one.column == definition.key_column or (parent and target is None):
                continue
            kind = Kind.REFERENCE if target else KINDS.get(one.logical, Kind.STRING)
            required = not one.nullable and not self._default(definition, one)
            fields.append(EdenField(one.column, kind, target, required, one.column in unique and not target))
        identity = ("name",) if any(one.name == "name" for one in fields) else ()
        return table_with(name, fields, components=tuple(self._components(definition)), identity=identity)

    def _default(self, definition: Definition, one: Field) -> bool:
        return bool(self._ledger.engine.defaults(definition.name, [one.column]))

    def _components(self, definition: Definition) -> Iterator[Component]:
        """Rows that cannot be without their parent belong to it: NOT NULL references with ON DELETE CASCADE."""
        known = {item.definition.name: item.definition for item in self._ledger.resources()}
        for child, reference in definition.referrers:
            if child not in known or child not in self._names or len(reference.columns) != 1:
                continue
            (column,) = reference.columns
            found = next((one for one in known[child].fields if one.column == column), None)
            if found is not None and not found.nullable and reference.on_delete == "CASCADE":
                yield Component(self._names[child], column)


def _meta(definition: Definition) -> dict[str, int]:
    """Positions of the meta-fields that the table has columns for."""
    return {one.column: index for index, one in enumerate(definition.fields) if one.column in COLUMN_META}
