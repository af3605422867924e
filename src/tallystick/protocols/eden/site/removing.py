"""Deletions and merges at a site (spec/eden.md: sections 6.5, 9.3 and 10, X5).

A record goes with its components. What else refers to it decides: the database follows where it was told to, and
forbids the deletion where it was not. A merge moves references to the survivor first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tallystick.core.values import Value
from tallystick.core.versions import Version
from tallystick.protocols.eden.site.catalog import Bound, Catalog, Link
from tallystick.protocols.eden.site.reading import Records
from tallystick.protocols.eden.site.remarks import Remarks, first_remark, seconds
from tallystick.protocols.eden.site.values import written
from tallystick.protocols.eden.store import BLOCKED, Batch, Write
from tallystick.site import conflicts, editing
from tallystick.site.editing import Done, Edit
from tallystick.site.engines.engine import Entry
from tallystick.site.identity import address_of
from tallystick.site.ledger import Ledger

_FOLLOWING = ("CASCADE", "SET NULL", "SET DEFAULT")
_DEPTH = 8


class Removal(Protocol):
    """A record to remove: the write, and what the ledger knows of it."""

    @property
    def write(self) -> Write:
        """What was decided."""

    @property
    def key(self) -> str:
        """The record's key."""

    @property
    def entry(self) -> Entry | None:
        """The ledger's entry, None when it is not here."""


class Removing:
    """Removes records of one batch. Call inside ``ledger.write()``, after stamping."""

    def __init__(self, ledger: Ledger, catalog: Catalog, remarks: Remarks, records: Records, batch: Batch) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._remarks = remarks
        self._records = records
        self._batch = batch

    def remove(self, bound: Bound, removals: Sequence[Removal]) -> list[str | None]:
        """Removes records of one table; for each why it stays, None when it is gone."""
        live = [one for one in removals if one.entry is not None and one.entry.hash]
        for one in live:
            if one.write.replaced_by:
                self._move(bound, one)
        free = self._free(bound, live)
        self._remove_components(bound, [one for one in live if one.key in free], 0)
        errors: dict[str, str | None] = {one.key: BLOCKED for one in live if one.key not in free}
        errors.update(self._write(bound, [one for one in live if one.key in free]))
        return [errors.get(one.key) for one in removals]

    def prepare(self, bound: Bound, removals: Sequence[Removal]) -> None:
        """What goes before a deletion that the rules of versions decide: merged references, and components."""
        for one in removals:
            if one.write.replaced_by:
                self._move(bound, one)
        free = self._free(bound, removals)
        self._remove_components(bound, [one for one in removals if one.key in free], 0)

    # What refers to it

    def _referring(self, bound: Bound) -> Iterator[tuple[Bound, Link]]:
        """Fields of Eden tables that refer to records of this one."""
        for name in self._catalog:
            other = self._catalog.bound(name)
            for link in other.pointing if other is not None else ():
                if other is not None and link.target == bound.table.name and link.position >= 0:
                    yield other, link

    def _move(self, bound: Bound, one: Removal) -> None:
        """References to a merged record point to the survivor from now on."""
        survivor = self._records.entries(bound, (one.write.replaced_by or "",)).get(one.write.replaced_by or "")
        if survivor is None or one.entry is None or not survivor.hash:
            return
        value = address_of(bound.definition, one.key, one.entry.local)[0]
        for other, link in self._referring(bound):
            keys = [entry.key for entry in self._rows_with(other, link, [value])]
            edits = [editing.update(key, {link.wire: link.value_of(survivor.key)}) for key in keys if key != one.key]
            before = other.tracked.rows.by_keys(keys)
            editing.write(self._ledger, other.tracked, edits)
            self._remarks.renew(other.tracked, before)  # a moved reference makes a record no newer

    def _rows_with(self, bound: Bound, link: Link, values: Sequence[Value]) -> list[Entry]:
        return [entry for entry, _ in self._records.pointing(bound, link, values)]

    def _free(self, bound: Bound, removals: Sequence[Removal]) -> set[str]:
        """Keys of the records that nothing holds on to."""
        if "deleted" in bound.meta:
            return {one.key for one in removals}
        addresses = {_address(bound, one): one.key for one in removals}
        held: set[Value] = set()
        inner = {(component.table, component.key) for component in bound.table.components}
        for child, reference in bound.definition.referrers:
            name = self._catalog.name_of(child) or child
            belongs = len(reference.columns) == 1 and self._field_of(name, reference.columns[0]) in inner
            if belongs or reference.on_delete.upper() in _FOLLOWING or len(reference.columns) != 1:
                continue
            column, table = _quoted(reference.columns[0]), _quoted(child)
            sql = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IN (*)"
            held.update(row[0] for row in self._ledger.engine.query_in(sql, (), list(addresses)))
        return {key for address, key in addresses.items() if address not in held}

    def _field_of(self, name: str, column: str) -> tuple[str, str]:
        """Eden's name of a column that refers somewhere."""
        bound = self._catalog.bound(name)
        links = bound.pointing if bound is not None else ()
        return name, next((one.name for one in links if one.site.column == column), column)

    # Going

    def _remove_components(self, bound: Bound, removals: Sequence[Removal], depth: int) -> None:
        if depth > _DEPTH or not removals or "deleted" in bound.meta:
            return
        values = [_address(bound, one) for one in removals]
        for component in bound.table.components:
            below = self._catalog.bound(component.table)
            link = below.links.get(component.key) if below is not None else None
            if below is None or link is None or link.position < 0:
                continue
            first = removals[0].write
            children = [_Child(first, entry.key, entry) for entry in self._rows_with(below, link, values)]
            self._keep_contents(below, children)
            self._remove_components(below, children, depth + 1)
            self._write(below, children)

    def _keep_contents(self, bound: Bound, children: Sequence[_Child]) -> None:
        """Log what a component held that the source of the deletion may never have seen."""
        remarks = self._remarks.of(bound.tracked, [one.key for one in children])
        own = [
            one.entry
            for one in children
            if one.entry is not None
            and not ((remark := remarks.get(one.key)) and remark.fits(one.entry) and remark.source)
        ]
        for entry in own:
            content = editing.contents_of(self._ledger, bound.tracked, [entry]).get(entry.key)
            origin = self._ledger.origin_name(entry.origin)
            version = Version(origin, entry.tick, entry.hash, entry.stamp, content=content)
            conflicts.log(self._ledger, bound.tracked, entry.key, "went with its record", [version])

    def _write(self, bound: Bound, removals: Sequence[Removal]) -> dict[str, str | None]:
        """Delete rows, or mark them deleted where the table has a column for that; gives what was refused."""
        edits = [self._edit(bound, one) for one in removals]
        errors: dict[str, str | None] = {}
        gone = []
        for one, done in zip(removals, editing.write(self._ledger, bound.tracked, edits), strict=True):
            if done.done is Done.REFUSED:
                referred = done.refusal is None or done.refusal.reason is editing.Reason.REFERENCE
                errors[one.key] = BLOCKED if referred or done.refusal is None else done.refusal.message
            else:
                gone.append(one)
        self._remark(bound, gone)
        return errors

    def _edit(self, bound: Bound, one: Removal) -> Edit:
        position = bound.meta.get("deleted")
        if position is None:
            return editing.delete(one.key)
        fields = bound.definition.fields
        content: dict[str, Any] = {fields[position].wire: written(True, fields[position].logical)}
        modified = bound.meta.get("modified_on")
        if modified is not None:
            text = one.write.modified_on.strftime("%Y-%m-%dT%H:%M:%S")
            content[fields[modified].wire] = written(text, fields[modified].logical)
        return editing.update(one.key, content)

    def _remark(self, bound: Bound, removals: Sequence[Removal]) -> None:
        keys = [one.key for one in removals]
        before, entries = self._remarks.of(bound.tracked, keys), bound.tracked.rows.by_keys(keys)
        made = []
        for one in removals:
            entry = entries[one.key]
            old = before.get(one.key) or first_remark(one.entry or entry)
            made.append(
                old._replace(
                    origin=entry.origin,
                    tick=entry.tick,
                    modified_on=seconds(one.write.modified_on),
                    replaced_by=one.write.replaced_by,
                    source=self._batch.source,
                )
            )
        self._remarks.put(bound.tracked, made, list(before))


class _Child:
    """A component record that goes with its parent."""

    def __init__(self, write: Write, key: str, entry: Entry) -> None:
        self.write = Write(write.outcome, write.table, key, write.modified_on)
        self.key = key
        self.entry: Entry | None = entry


def _address(bound: Bound, one: Removal) -> Value:
    assert one.entry is not None
    return address_of(bound.definition, one.key, one.entry.local)[0]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
