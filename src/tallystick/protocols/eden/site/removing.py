"""Deletions and merges at a site (spec/eden.md: sections 6.5, 9.3 and 10, X5).

A record goes with its components. What else refers to it decides: the database follows where it was told to, and
forbids the deletion where it was not. A merge moves references to the survivor first. Another Tallystick site cannot
know of rows that came since, and would never hear of a refusal: it gets the record again, as an edit of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from tallystick.core.clock import stamp_of
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


class Stays(NamedTuple):
    """Why a record stays, if it does; ``kept``: it was made anew, since rows here need it."""

    error: str | None = None
    kept: bool = False


class Removing:
    """Removes records of one batch. Call inside ``ledger.write()``, after stamping."""

    def __init__(self, ledger: Ledger, catalog: Catalog, remarks: Remarks, records: Records, batch: Batch) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._remarks = remarks
        self._records = records
        self._batch = batch

    def remove(self, bound: Bound, removals: Sequence[Removal]) -> list[Stays]:
        """Removes records of one table; for each whether it stays."""
        live = [one for one in removals if one.entry is not None and one.entry.hash]
        for one in live:
            if one.write.replaced_by:
                self._move(bound, one)
        free = self._free(bound, live)
        self._remove_components(bound, [one for one in live if one.key in free], 0)
        blocked = [one for one in live if one.key not in free]
        if self._batch.from_tallystick:
            self._renew(bound, blocked)
        stays = {one.key: Stays(kept=True) if self._batch.from_tallystick else Stays(BLOCKED) for one in blocked}
        errors = self._write(bound, [one for one in live if one.key in free])
        stays |= {key: Stays(error) for key, error in errors.items()}
        return [stays.get(one.key, Stays()) for one in removals]

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
        holds: dict[Value, set[Value]] = {}
        inner = {(component.table, component.key) for component in bound.table.components}
        for child, reference in bound.definition.referrers:
            name = self._catalog.name_of(child) or child
            belongs = len(reference.columns) == 1 and self._field_of(name, reference.columns[0]) in inner
            if belongs or reference.on_delete.upper() in _FOLLOWING or len(reference.columns) != 1:
                continue
            column, table = _quoted(reference.columns[0]), _quoted(child)
            own = child == bound.definition.name
            row = _quoted(bound.definition.key_columns[0]) if own else "NULL"
            sql = f"SELECT DISTINCT {column}, {row} FROM {table} WHERE {column} IN (*)"
            for address, holder in self._ledger.engine.query_in(sql, (), list(addresses)):
                holds.setdefault(address, set()).add(holder)
        free = set(addresses)
        while held := {one for one in free if not holds.get(one, set()) <= free}:
            free -= held  # rows of the table itself that go as well hold nothing
        return {addresses[one] for one in free}

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

    def _renew(self, bound: Bound, removals: Sequence[Removal]) -> None:
        """Make records anew that rows here need; the deletion goes to the conflict log."""
        entries = [one.entry for one in removals if one.entry is not None]
        shown = editing.contents_of(self._ledger, bound.tracked, entries)
        edits = [Edit(editing.Operation.SETTLE, one.key, shown[one.key]) for one in removals if one.key in shown]
        editing.write(self._ledger, bound.tracked, edits)
        keys = [one.key for one in edits]
        before, after = self._remarks.of(bound.tracked, keys), bound.tracked.rows.by_keys(keys)
        made = []
        for one in removals:
            if one.entry is None or one.key not in shown:
                continue
            moment = max(self._batch.now, one.write.modified_on)
            old, entry = before.get(one.key) or first_remark(one.entry), after[one.key]
            made.append(old._replace(origin=entry.origin, tick=entry.tick, modified_on=seconds(moment), source=None))
            stamp = stamp_of((seconds(one.write.modified_on) or 0) * 1000)
            deletion = Version(f"eden:{self._batch.source or 'import'}", 1, b"", stamp)
            conflicts.log(self._ledger, bound.tracked, one.key, "kept for its children", [deletion], self._batch.run)
        self._remarks.put(bound.tracked, made, list(before))

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
        """Remember times and source; a component that the source holds otherwise has to be deleted there, too."""
        keys = [one.key for one in removals]
        before, entries = self._remarks.of(bound.tracked, keys), bound.tracked.rows.by_keys(keys)
        made = []
        for one in removals:
            entry = entries[one.key]
            old = before.get(one.key) or first_remark(one.entry or entry)
            known = not isinstance(one, _Child) or (old.fits(one.entry or entry) and old.source == self._batch.source)
            made.append(
                old._replace(
                    origin=entry.origin,
                    tick=entry.tick,
                    modified_on=seconds(one.write.modified_on),
                    replaced_by=one.write.replaced_by,
                    source=self._batch.source if known else None,
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
