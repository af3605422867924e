"""Tables as the database declares them, and resources as the ledger tracks them (DESIGN.md 4.4 keys, 4.7). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from tallystick.core.values import Logical, fold
from tallystick.errors import SchemaError

ACTIONS = frozenset(("CASCADE", "SET NULL", "SET DEFAULT"))
"""What a reference may have done to the rows that hold it."""

RESPELLED = frozenset(
    (
        Logical.UUID,
        Logical.DECIMAL,
        Logical.FLOAT64,
        Logical.DATE,
        Logical.TIME,
        Logical.TIMESTAMP,
        Logical.INSTANT,
        Logical.JSON,
    )
)
"""Logical types of which one value can be written in several ways."""


class DefaultKind(StrEnum):
    """What a default is: a value, or what a function of the database gives when a row is inserted."""

    NUMBER = "number"
    TEXT = "text"
    BYTES = "bytes"
    NOW = "now"
    TODAY = "today"
    TIME = "time"
    UUID = "uuid"


@dataclass(frozen=True, slots=True)
class Default:
    """What a column holds where an INSERT does not name it. ``value``: a number or text as it is, bytes in hex."""

    kind: DefaultKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """An index that serves speed only. ``descending`` are those of its columns that it holds in falling order."""

    name: str
    columns: tuple[str, ...]
    descending: tuple[str, ...] = ()
    short: bool = True
    """False where its entries may be longer than an index of PostgreSQL takes: rows would be refused there."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``detail`` refines the logical type ("10,2", "char 5"): equal details render values equally."""

    name: str
    declared: str
    logical: Logical
    nullable: bool = True
    detail: str = ""
    generated: bool = False
    collation: str = ""
    """How its texts are compared, where not by the engine's default, as the engine calls it."""
    default: Default | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: ``columns`` refer to ``parent_columns`` of table ``parent``."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    declared: bool = True
    on_update: str = "NO ACTION"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the application. ``triggers`` are the application's own, never ours."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    references: tuple[Reference, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    triggers: tuple[str, ...] = ()
    acted_on: bool = False
    """True when deleting a row makes the database change rows elsewhere (CASCADE, SET NULL, SET DEFAULT)."""
    without_rowid: bool = False
    """True where SQLite stores the rows by their primary key alone."""
    indexes: tuple[Index, ...] = ()
    autoincrement: bool = False
    """True where the database gives no integer twice."""
    omitted: tuple[str, ...] = ()
    """What it declares that no other end is told, in words."""
    barred: str = ""
    """Why it cannot be tracked, where that is not for want of a primary key."""

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


class Identity(StrEnum):
    """How a table's records get their keys."""

    NATURAL = "natural"
    """The primary key is the key."""
    MAPPED = "mapped"
    """An integer that each site may choose anew; the key is a UUID, or, for rows older than tracking, the integer."""
    COLUMN = "column"
    """A uuid column beside an integer primary key is the key."""
    DERIVED = "derived"
    """A composite key that holds references to mapped records: the key is made of theirs."""
    MANAGED = "managed"
    """No table of the application: the key is given by the writer."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a resource: its column here, its name on the wire, and the resource it refers to, if it does."""

    column: str
    wire: str
    logical: Logical
    nullable: bool = True
    detail: str = ""
    refers_to: str = ""
    """Wire name of the referenced resource, where values travel as keys of its records."""
    collation: str = ""
    """How the column's texts are compared; a table that is created by the same engine compares them so too."""
    default: Default | None = None


@dataclass(frozen=True)
class Definition:
    """What a resource is: everything but its counters. ``fields`` are sorted by wire name and exclude the key."""

    name: str
    wire: str
    identity: Identity
    fields: tuple[Field, ...] = ()
    key_fields: tuple[Field, ...] = ()
    """The primary key columns; for COLUMN the integer ones."""
    key_column: str = ""
    """The uuid column of COLUMN, also one of ``fields``."""
    references: tuple[Reference, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    triggers: tuple[str, ...] = ()
    acted_on: bool = False
    referrers: tuple[tuple[str, Reference], ...] = ()
    """Tables whose rows refer to this one, by its primary key or by other unique columns, with the reference."""
    suspects: tuple[str, ...] = ()
    """``child.column`` names that look like undeclared references to this mapped resource."""
    order: tuple[str, ...] = ()
    """Columns of the table as they were declared: where the table is created it looks the same."""
    stays: bool = False
    """Never offered to other sites: its records mean something only beside what another room keeps here."""
    without_rowid: bool = False
    """True for a table of SQLite that stores its rows by their primary key alone."""
    indexes: tuple[Index, ...] = ()
    autoincrement: bool = False
    omitted: tuple[str, ...] = ()
    """What a table that is created after this one lacks, in words: it is told where that happens, never run."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Wire names of the fields, ascending."""
        return tuple(item.wire for item in self.fields)

    @cached_property
    def wires(self) -> frozenset[str]:
        """Wire names of the fields, for look-ups."""
        return frozenset(self.names)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Column names of the fields, in the order of ``names``."""
        return tuple(item.column for item in self.fields)

    @cached_property
    def key_columns(self) -> tuple[str, ...]:
        """Primary key columns, in their declared order."""
        return tuple(item.column for item in self.key_fields)

    @cached_property
    def respelled(self) -> bool:
        """True when a database may spell a primary key otherwise than the record's key: then its ``local`` tells."""
        return any(
            not item.refers_to and (item.logical in RESPELLED or (item.detail and item.logical is not Logical.INT64))
            for item in self.key_fields
        )

    @cached_property
    def updates_elsewhere(self) -> bool:
        """True when changing a row makes the database change rows that refer to it by other unique columns."""
        return any(
            reference.on_update in ACTIONS and not set(reference.parent_columns) <= set(self.key_columns)
            for _, reference in self.referrers
        )

    @property
    def mapped(self) -> bool:
        """True when the local key is an integer that is not the key."""
        return self.identity in (Identity.MAPPED, Identity.COLUMN)

    @cached_property
    def parents(self) -> tuple[str, ...]:
        """Wire names of the resources that this one's fields or key refer to as keys."""
        return tuple(sorted({item.refers_to for item in (*self.fields, *self.key_fields) if item.refers_to}))


@dataclass(frozen=True, slots=True)
class Naming:
    """Names on the wire that were agreed explicitly: ``--map``. Keys are local names, ``table`` or ``table.column``."""

    names: Mapping[str, str] = field(default_factory=dict)

    def table(self, name: str, ambiguous: bool = False) -> str:
        """The wire name of a table."""
        return self.names.get(name) or (name if ambiguous else fold(name))

    def column(self, table: str, name: str, ambiguous: bool = False) -> str:
        """The wire name of a column."""
        return self.names.get(f"{table}.{name}") or (name if ambiguous else fold(name))


def define(
    tables: Sequence[Table],
    chosen: Iterable[str],
    naming: Naming,
    extra_references: Sequence[tuple[str, Reference]] = (),
) -> list[Definition]:
    """The definitions of the ``chosen`` tables.

    ``extra_references`` are (child table, reference) pairs declared by the user (``--ref``).
    Raises SchemaError for a table without a primary key or a reference to a column that does not exist.
    """
    by_name = {table.name: _with_references(table, extra_references) for table in tables}
    wanted = [by_name[name] for name in chosen]
    wires = _table_names(by_name.values(), naming)
    identities = {table.name: _identity(table, by_name) for table in by_name.values() if table.primary_key}
    for table in wanted:
        if table.barred:
            raise SchemaError(
                f"table {table.name!r} cannot be tracked: {table.barred}", hint=f"leave it out: --exclude {table.name}"
            )
        if not table.primary_key:
            raise SchemaError(
                f"table {table.name!r} has no primary key, so its rows cannot be named",
                hint=f"add a PRIMARY KEY to {table.name!r}, or leave it out with --exclude {table.name}",
            )
    return [_definition(table, by_name, wires, identities, naming) for table in wanted]


def _with_references(table: Table, extra: Sequence[tuple[str, Reference]]) -> Table:
    added = tuple(reference for child, reference in extra if child == table.name)
    if not added:
        return table
    return replace(table, references=table.references + added)


def _table_names(tables: Iterable[Table], naming: Naming) -> dict[str, str]:
    folded: dict[str, int] = {}
    listed = list(tables)
    for table in (item for item in listed if not item.barred):
        folded[fold(table.name)] = folded.get(fold(table.name), 0) + 1
    return {table.name: naming.table(table.name, folded.get(fold(table.name), 0) > 1) for table in listed}


def _identity(table: Table, tables: Mapping[str, Table]) -> Identity:
    if len(table.primary_key) == 1:
        if table.column(table.primary_key[0]).logical is not Logical.INT64 or _shared_key(table):
            return Identity.NATURAL if not _shared_key(table) else Identity.DERIVED
        return Identity.COLUMN if _uuid_column(table) else Identity.MAPPED
    derived = any(_is_mapped_parent(tables, reference) for reference in _key_references(table))
    return Identity.DERIVED if derived else Identity.NATURAL


def _shared_key(table: Table) -> bool:
    """True for a one-to-one extension table, whose integer key is itself a reference."""
    return any(reference.columns == table.primary_key for reference in table.references)


def _key_references(table: Table) -> list[Reference]:
    return [
        reference
        for reference in table.references
        if len(reference.columns) == 1 and reference.columns[0] in table.primary_key
    ]


def _is_mapped_parent(tables: Mapping[str, Table], reference: Reference) -> bool:
    parent = tables.get(reference.parent)
    if parent is None or len(parent.primary_key) != 1 or reference.parent_columns != parent.primary_key:
        return False
    return parent.column(parent.primary_key[0]).logical is Logical.INT64


def _uuid_column(table: Table) -> str:
    for column in table.columns:
        if fold(column.name) == "uuid" and not column.nullable and (column.name,) in table.unique:
            return column.name
    return ""


def _definition(
    table: Table,
    tables: Mapping[str, Table],
    wires: Mapping[str, str],
    identities: Mapping[str, Identity],
    naming: Naming,
) -> Definition:
    identity = identities[table.name]
    refers = _refers_to(table, tables, wires)
    folded: dict[str, int] = {}
    for column in table.columns:
        folded[fold(column.name)] = folded.get(fold(column.name), 0) + 1
    key_column = _uuid_column(table) if identity is Identity.COLUMN else ""

    def made(column: Column) -> Field:
        wire = naming.column(table.name, column.name, folded[fold(column.name)] > 1)
        target = refers.get(column.name, "")
        logical = Logical.REFERENCE if target else column.logical
        detail = "" if target else column.detail
        default = None if target else column.default
        return Field(column.name, wire, logical, column.nullable, detail, target, column.collation, default)

    outside = set(table.primary_key)
    fields = sorted(
        (made(column) for column in table.columns if column.name not in outside and not column.generated),
        key=lambda item: item.wire,
    )
    return Definition(
        table.name,
        wires[table.name],
        identity,
        tuple(fields),
        tuple(made(table.column(name)) for name in table.primary_key),
        key_column,
        table.references,
        table.unique,
        table.triggers,
        table.acted_on,
        tuple(_referrers(table, tables)),
        tuple(_suspects(table, tables)) if identity is Identity.MAPPED else (),
        tuple(column.name for column in table.columns if not column.generated),
        without_rowid=table.without_rowid,
        indexes=table.indexes,
        autoincrement=table.autoincrement,
        omitted=table.omitted,
    )


def _refers_to(table: Table, tables: Mapping[str, Table], wires: Mapping[str, str]) -> dict[str, str]:
    """Columns whose values travel as keys: single-column references to an integer primary key."""
    found: dict[str, str] = {}
    for reference in table.references:
        if len(reference.columns) == 1 and _is_mapped_parent(tables, reference):
            found.setdefault(reference.columns[0], wires[reference.parent])
    return found


def _referrers(table: Table, tables: Mapping[str, Table]) -> Iterable[tuple[str, Reference]]:
    for other in tables.values():
        for reference in other.references:
            if reference.parent == table.name:
                yield other.name, reference


def _suspects(table: Table, tables: Mapping[str, Table]) -> Iterable[str]:
    """Integer columns elsewhere that are named after this table's key but declare no reference."""
    key = fold(table.primary_key[0])
    stem = fold(table.name)
    names = {key} - {"id"} | {stem + "id", stem.removesuffix("s") + "id"}
    for other in tables.values():
        declared = {column for reference in other.references for column in reference.columns}
        for column in other.columns:
            if other.name == table.name and column.name in table.primary_key:
                continue
            if column.logical is Logical.INT64 and column.name not in declared and fold(column.name) in names:
                yield f"{other.name}.{column.name}"
