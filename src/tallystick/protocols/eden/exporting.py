"""Records to documents (spec: sections 6.2, 6.5, 7 and 8).

A page of records is read with one query per component and one per table referred to, and written before the next is
read, so memory does not grow with the number of records. Referenced records follow those that refer to them, with
their own references in turn; the order in a document means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TypeVar

from tallystick.protocols.eden.codec.elements import EXTENSION, NULLS, Reference, Resource
from tallystick.protocols.eden.codec.encoding import encode_value
from tallystick.protocols.eden.codec.filters import Condition
from tallystick.protocols.eden.codec.identifiers import exported
from tallystick.protocols.eden.codec.schema import UNSHARED_TABLES, Component, Field, Kind, Table
from tallystick.protocols.eden.codec.times import format_time
from tallystick.protocols.eden.store import EdenStore, Selection, Stored, Target

_Item = TypeVar("_Item")

PAGE = 500
LEVELS = 10
"""How many steps references are followed; deeper ones are written by identifier only (section 6.5)."""

LABELS = 20_000
"""Records whose labels are kept from page to page: those that everything refers to are read once."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an export looks.

    ``base`` is our URL for the informative ``url`` attributes. ``conditions`` filter the records of component tables
    away (section 12). ``component_names`` keeps only those. ``dependencies`` False leaves referenced records out,
    ``extensions`` False what only another Tallystick site reads. ``nulls`` names emptied fields even of records that
    have no version which others could read.
    """

    base: str
    components: bool = True
    component_names: tuple[str, ...] | None = None
    conditions: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    show_ids: bool = False
    dependencies: bool = True
    extensions: bool = True
    nulls: bool = False


@dataclass(slots=True)
class Progress:
    """What has left so far: the newest time of change, and how many, of the table's own records."""

    newest: datetime | None = None
    records: int = 0


@dataclass(slots=True)
class Export:
    """A running export: the attributes of the root, and the records, to be read once.

    ``count`` is the number of the table's own records. ``progress`` is complete when ``resources`` is exhausted.
    """

    attributes: dict[str, str]
    resources: Iterator[Resource]
    count: int
    progress: Progress


def export(store: EdenStore, table: Table, selection: Selection, layout: Layout) -> Export:
    """An export of the selected records of ``table``. Raises what the store raises."""
    count = store.count(table, selection)
    attributes = {"success": "true" if count else "false"}
    if selection.start is not None or selection.limit is not None:
        attributes["start"] = str(selection.start or 0)
        if selection.limit is not None:
            attributes["limit"] = str(selection.limit)
    attributes |= {"results": str(count), "domain": store.identity().domain, "url": layout.base}
    if layout.extensions:
        attributes[EXTENSION] = "True"
    writer = _Exporter(store, table, selection, layout)
    return Export(attributes, writer.resources() if count else iter(()), count, writer.progress)


class _Exporter:
    def __init__(self, store: EdenStore, table: Table, selection: Selection, layout: Layout) -> None:
        self.progress = Progress()
        self._store = store
        self._table = table
        self._selection = selection
        self._layout = layout
        self._domain = store.identity().domain
        self._written: set[Target] = set()
        self._tracked = _referable(store, table) - {table.name}
        self._whole = _is_whole(selection)
        self._labels: dict[Target, str | None] = {}
        self._cut = False
        self._fields: dict[tuple[str, str | None], Sequence[tuple[str, Field]]] = {}
        self._later: dict[str, None] = {}

    def resources(self) -> Iterator[Resource]:
        """The selected records page by page, each page followed by what it refers to."""
        for page in _pages(self._store.select(self._table, self._selection)):
            for record in page:
                self._count(record)
            yield from self._page(self._table, page, LEVELS, self._layout.components)
            if self._cut or len(self._labels) > LABELS:
                self._labels.clear()
                self._cut = False
        yield from self._own_table()

    def _count(self, record: Stored) -> None:
        if not self._whole:
            self._written.add(Target(record.table, record.uuid))
        progress, moment = self.progress, record.modified_on
        progress.records += 1
        if moment is not None and (progress.newest is None or moment > progress.newest):
            progress.newest = moment

    def _own_table(self) -> Iterator[Resource]:
        """Records of the exported table itself that others refer to and that were not selected, step by step.

        An export of the whole table holds them all, and does not have to remember which it wrote.
        """
        if self._whole:
            return
        for step in range(LEVELS):
            missing = [uuid for uuid in self._later if Target(self._table.name, uuid) not in self._written]
            self._later.clear()
            for page in _pages(missing):
                yield from self._dependencies({self._table.name: page}, LEVELS - 1 - step)

    def _page(self, table: Table, records: Sequence[Stored], levels: int, components: bool) -> Iterator[Resource]:
        nested = self._children(table, records) if components else {}
        wanted = self._look_up(records, nested) if self._layout.dependencies else {}
        for record in records:
            yield self._resource(table, record, nested.get(record.uuid, ()), None)
        if levels > 0:
            yield from self._dependencies(wanted, levels - 1)
        elif wanted:
            self._cut = True  # they are labelled and not written: a page that is nearer to them has to find them again

    def _dependencies(self, wanted: Mapping[str, Sequence[str]], levels: int) -> Iterator[Resource]:
        for name, uuids in wanted.items():
            table = self._store.table(name)
            if table is None or name in UNSHARED_TABLES:
                continue
            fresh = [uuid for uuid in uuids if Target(name, uuid) not in self._written]
            self._written.update(Target(name, uuid) for uuid in fresh)
            found = self._store.find(name, fresh)
            yield from self._page(table, [found[uuid] for uuid in fresh if uuid in found], levels, False)

    # What belongs to a page ------------------------------------------------------------------------------------

    def _children(self, table: Table, records: Sequence[Stored]) -> dict[str, list[tuple[Component, Sequence[Stored]]]]:
        nested: dict[str, list[tuple[Component, Sequence[Stored]]]] = {}
        parents = [record.uuid for record in records if not record.deleted]
        names = self._layout.component_names
        for component in table.components:
            if names is not None and not set(component.names) & set(names):
                continue
            conditions = self._layout.conditions.get(component.table, ())
            for parent, found in self._store.children(component, parents, conditions).items():
                kept = [child for child in found if self._shown(child)]
                if kept:
                    nested.setdefault(parent, []).append((component, kept))
                    if component.table in self._tracked:
                        self._written.update(Target(child.table, child.uuid) for child in kept)
        return nested

    def _shown(self, child: Stored) -> bool:
        """True for a component record that is new enough; those without a time always are (section 8)."""
        selection = self._selection
        if child.modified_on is not None and child.uuid not in selection.also:
            if selection.since is not None and child.modified_on < selection.since:
                return False
            if selection.after is not None and child.seq <= selection.after:
                return False
        return True

    def _look_up(
        self, records: Sequence[Stored], nested: Mapping[str, Sequence[tuple[Component, Sequence[Stored]]]]
    ) -> dict[str, list[str]]:
        """Labels for everything that a page refers to, and what of it is to be written after the page."""
        asked: dict[str, dict[str, None]] = {}
        for record in records:
            if not record.deleted:
                self._collect(record, None, asked)
            elif record.replaced_by:
                self._later[record.replaced_by] = None
        for children in nested.values():
            for component, found_children in children:
                for child in found_children:
                    self._collect(child, component.key, asked)
        wanted: dict[str, list[str]] = {}
        for name, uuids in asked.items():
            found = self._store.find(name, list(uuids))
            for uuid, one in found.items():
                self._labels[Target(name, uuid)] = _label(one)
            if name == self._table.name:
                self._later.update(dict.fromkeys(found))
            else:
                wanted[name] = list(found)
        return wanted

    def _collect(self, record: Stored, key: str | None, asked: dict[str, dict[str, None]]) -> None:
        """Notes what a record refers to; the reference of a component to its parent, ``key``, is not written."""
        for name, value in record.values.items():
            if name == key:
                continue
            for to in (value,) if isinstance(value, Target) else value if isinstance(value, tuple) else ():
                if isinstance(to, Target) and to not in self._labels:
                    asked.setdefault(to.table, {})[to.uuid] = None

    # One record ------------------------------------------------------------------------------------------------

    def _resource(
        self,
        table: Table,
        record: Stored,
        nested: Sequence[tuple[Component, Sequence[Stored]]],
        component: Component | None,
        parent_url: str = "",
    ) -> Resource:
        attributes = {"uuid": exported(record.uuid, self._domain)}
        if record.deleted:
            return Resource(table.name, self._stub(attributes, record))
        if component is None:
            url = f"{self._layout.base}/{table.prefix}/{table.short_name}/{record.id}"
        else:
            url = f"{parent_url}/{component.alias or component.short_name}/{record.id}"
        self._meta(attributes, table, record, url)
        alias = component.alias if component is not None and component.alias != component.short_name else None
        resource = Resource(table.name, attributes, alias=alias)
        self._fill(resource, table, record, component)
        for kind, children in nested:
            below = self._store.table(kind.table)
            if below is not None:
                resource.components += [self._resource(below, child, (), kind, url) for child in children]
        return resource

    def _stub(self, attributes: dict[str, str], record: Stored) -> dict[str, str]:
        attributes["deleted"] = "True"
        attributes["mci"] = str(record.copies + 1)
        if record.modified_on is not None:
            attributes["modified_on"] = format_time(record.modified_on)
        if record.replaced_by:
            attributes["replaced_by"] = exported(record.replaced_by, self._domain)
        extension = self._extension(record)
        if extension:
            attributes[EXTENSION] = extension
        return attributes

    def _extension(self, record: Stored) -> str | None:
        return self._store.extension(record) if self._layout.extensions else None

    def _meta(self, attributes: dict[str, str], table: Table, record: Stored, url: str) -> None:
        if self._layout.show_ids:
            attributes["id"] = str(record.id)
        if table.meta:
            attributes["mci"] = str(record.copies + 1)
            if record.created_on is not None:
                attributes["created_on"] = format_time(record.created_on)
            if record.modified_on is not None:
                attributes["modified_on"] = format_time(record.modified_on)
        attributes["url"] = url
        for name, found in (
            ("created_by", record.created_by if table.meta else None),
            ("modified_by", record.modified_by if table.meta else None),
            ("owned_by_user", record.owned_by_user),
            ("owned_by_group", record.owned_by_group),
            (EXTENSION, self._extension(record)),
        ):
            if found is not None:
                attributes[name] = found

    def _fill(self, resource: Resource, table: Table, record: Stored, component: Component | None) -> None:
        values, nothing = record.values, []
        for name, one in self._shown_fields(table, component.key if component is not None else None):
            value = values.get(name)
            if value is None:
                if name not in record.waiting:
                    nothing.append(name)
            elif one.is_reference:
                reference = self._reference(one, value)
                if reference is not None:
                    resource.references.append(reference)
            else:
                data = encode_value(one, value)
                if data is not None:
                    resource.data.append(data)
        if nothing and (EXTENSION in resource.attributes or self._layout.nulls):
            resource.attributes[NULLS] = ",".join(nothing)

    def _shown_fields(self, table: Table, key: str | None) -> Sequence[tuple[str, Field]]:
        """What is written of a table, with names; ``key`` is the reference of a component to its parent."""
        found = self._fields.get((table.name, key))
        if found is None:
            shown = (one for one in table.fields.items() if one[1].readable and one[1].kind is not Kind.PASSWORD)
            found = self._fields[table.name, key] = [one for one in shown if one[0] != key]
        return found

    def _reference(self, one: Field, value: object) -> Reference | None:
        if isinstance(value, Target):
            if value.table in UNSHARED_TABLES or (self._layout.dependencies and value not in self._labels):
                return None
            return Reference(one.name, value.table, (exported(value.uuid, self._domain),), text=self._labels.get(value))
        if not isinstance(value, tuple):
            return None
        targets = [to for to in value if isinstance(to, Target) and to.table not in UNSHARED_TABLES]
        known = [to for to in targets if not self._layout.dependencies or to in self._labels]
        if not known:
            return None
        labels = ", ".join(self._labels.get(to) or "" for to in known)
        return Reference(
            one.name, known[0].table, tuple(exported(to.uuid, self._domain) for to in known), many=True, text=labels
        )


def _label(record: Stored) -> str | None:
    name = record.values.get("name")
    return name if isinstance(name, str) else None


def _pages(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    source = iter(items)
    while page := list(islice(source, PAGE)):
        yield page


def _is_whole(selection: Selection) -> bool:
    """True when every live record of the table is selected."""
    limits = (selection.since, selection.after, selection.start, selection.limit, selection.without_source)
    return not selection.conditions and all(one is None for one in limits)


def _referable(store: EdenStore, table: Table) -> frozenset[str]:
    """The tables to which anything in an export of ``table`` may refer: only their records have to be remembered.

    The reference of a component to its parent is not written and does not count.
    """
    keys = {component.table: component.key for component in table.components}
    found: set[str] = set()
    waiting = [(table, ""), *((store.table(name), key) for name, key in keys.items())]
    while waiting:
        described, key = waiting.pop()
        for one in described.fields.values() if described is not None else ():
            if one.target is not None and one.name != key and one.target not in found:
                found.add(one.target)
                waiting.append((store.table(one.target), ""))
    return frozenset(found)
