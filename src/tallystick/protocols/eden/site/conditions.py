"""Filters on records of a site (spec/eden.md: section 12): what selectors reach is read for many records at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from tallystick.protocols.eden.codec.filters import Condition, Selector, holds
from tallystick.protocols.eden.codec.schema import Component
from tallystick.protocols.eden.site.catalog import Bound, Catalog
from tallystick.protocols.eden.store import Stored, Target


class Reading(Protocol):
    """What conditions need of the records."""

    def find(self, bound: Bound, uuids: Collection[str]) -> dict[str, Stored]:
        """Records by identifier."""

    def children(
        self, component: Component, parents: Collection[str], conditions: Sequence[Condition] = ()
    ) -> dict[str, list[Stored]]:
        """Component records by parent."""


class Conditions:
    """Asks conditions of records of one table."""

    def __init__(self, records: Reading, catalog: Catalog, bound: Bound) -> None:
        self._records = records
        self._catalog = catalog
        self._bound = bound
        self._children: dict[str, dict[str, list[Stored]]] = {}
        self._targets: dict[Target, Stored] = {}

    def fitting(self, records: Sequence[Stored], conditions: Sequence[Condition]) -> list[Stored]:
        """The records that fulfil every condition."""
        if not conditions or not records:
            return list(records)
        self._read(records, [selector for one in conditions for selector in one.selectors])
        return [one for one in records if all(self._holds(one, condition) for condition in conditions)]

    def _holds(self, record: Stored, condition: Condition) -> bool:
        return holds(condition, lambda selector: self._values_at(record, selector))

    # What is reached

    def _read(self, records: Sequence[Stored], selectors: Iterable[Selector]) -> None:
        self._children.clear()
        for selector in selectors:
            found: list[Stored] = list(records)
            if not self._is_own(selector):
                for component in self._components(selector.alias):
                    below = self._records.children(component, [one.uuid for one in records])
                    self._children[component.table] = below
                    found = [child for children in below.values() for child in children]
            for name in selector.path[:-1]:
                found = self._follow(found, name)

    def _is_own(self, selector: Selector) -> bool:
        table = self._bound.table
        return selector.alias in ("~", table.short_name, table.name)

    def _components(self, alias: str) -> list[Component]:
        return [one for one in self._bound.table.components if alias in one.names]

    def _follow(self, records: Sequence[Stored], name: str) -> list[Stored]:
        wanted: dict[str, set[str]] = {}
        for one in records:
            to = one.values.get(name)
            if isinstance(to, Target):
                wanted.setdefault(to.table, set()).add(to.uuid)
        found = []
        for table, uuids in wanted.items():
            bound = self._catalog.bound(table)
            for uuid, one in (self._records.find(bound, uuids) if bound is not None else {}).items():
                self._targets[Target(table, uuid)] = one
                found.append(one)
        return found

    # What is there

    def _values_at(self, record: Stored, selector: Selector) -> Sequence[object]:
        found = [record]
        if not self._is_own(selector):
            below = [self._children.get(one.table, {}) for one in self._components(selector.alias)]
            found = [child for children in below for child in children.get(record.uuid, ())]
        for name in selector.path[:-1]:
            targets = [one.values.get(name) for one in found]
            found = [self._targets[to] for to in targets if isinstance(to, Target) and to in self._targets]
        return [self._value(one, selector.path[-1]) for one in found]

    def _value(self, record: Stored, name: str) -> object:
        value = record.values.get(name, getattr(record, name, None) if name in ("uuid", "id", "deleted") else None)
        if isinstance(value, Target):
            bound = self._catalog.bound(value.table)
            found = self._records.find(bound, (value.uuid,)).get(value.uuid) if bound is not None else None
            return None if found is None else found.id
        return value
