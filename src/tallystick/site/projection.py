"""Writing what records show into the application's rows (DESIGN.md 4.3, 4.4 *Keys*).

Integers of mapped records are chosen here, references turned from keys into integers, rows written in bulk; rows that
the database refuses are named with its reason and delay nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from tallystick.core.forms import decode_extra, encode_extra
from tallystick.core.values import Logical, Value
from tallystick.site.dangling import DANGLING, note_keys
from tallystick.site.engines.engine import Address, Entry, Rejected
from tallystick.site.holding import content_of_row, row_hash
from tallystick.site.identity import addressable, addresses_of, key_parts, local_of
from tallystick.site.ledger import DELETED, Ledger, Tracked
from tallystick.site.managed import store
from tallystick.site.plain_references import absent_parents, natural_parents, parents_spelled
from tallystick.site.schema import Definition, Field, Identity
from tallystick.site.spelling import spelled, taken
from tallystick.site.unnamed import unnamed

MISSING_REFERENCE = "reference"
RENUMBERING = "renumbering"


@dataclass(slots=True)
class Writing:
    """One row to write: ``content`` None deletes it. ``entry`` is what the ledger holds; ``hint`` the integer it has
    at its sender. Afterwards ``address`` says where the row is and ``failure`` why it was not written."""

    key: str
    content: Mapping[str, Any] | None
    entry: Entry | None = None
    hint: Any = None
    address: Address | None = None
    failure: str = ""
    patched: bool = False
    altered: bool = False
    """True when a reference is written in another spelling than the content's: what the row holds is read back."""
    values: tuple[Value, ...] | None = None

    @property
    def exists(self) -> bool:
        """True when a row of the record is in the table."""
        return self.entry is not None and bool(self.entry.hash)


@dataclass(slots=True)
class Projector:
    """Writes rows of one resource.

    Nullable references to the records in ``together`` (wire name, key), which are written in the same step, may be
    NULL at first; such writings are marked ``patched``.
    """

    ledger: Ledger
    tracked: Tracked
    together: frozenset[tuple[str, str]] = frozenset()
    _children: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, writings: Sequence[Writing]) -> None:
        """Write the rows that have not failed yet, in an order that frees values before they are taken."""
        writings = [item for item in writings if not item.failure]
        if not writings:
            return
        if self.tracked.definition.identity is Identity.MANAGED:
            store(self.ledger, self.tracked, [(item.key, item.content) for item in writings])
            return
        shown = [(item, item.entry) for item in writings if item.entry is not None and item.exists]
        named = [(item.key, entry.local) for item, entry in shown]
        for (item, _), address in zip(shown, addresses_of(self.tracked.definition, named), strict=True):
            item.address = address
        removed = [item for item in writings if item.content is None and item.exists]
        changed = [item for item in writings if item.content is not None and item.exists]
        made = [item for item in writings if item.content is not None and not item.exists]
        self._place(made)
        self._keep_unnamed(writings)
        self._translate([*changed, *made])
        own = self._own_positions()
        if own:
            self._write_referring(removed, changed, made, own)
        else:
            self._write(removed, changed, made)
        if made and self.tracked.definition.mapped:
            self.tracked.rows.settle_sequence()

    def _keep_unnamed(self, writings: Sequence[Writing]) -> None:
        """Nothing is written to rows that share their key with others here: all would be overwritten together."""
        left_out = unnamed(self.tracked, [item.address for item in writings if item.address is not None])
        for item in writings:
            if item.address in left_out:
                item.failure = f"key: {left_out[item.address]}"

    def _write(self, removed: Sequence[Writing], changed: Sequence[Writing], made: Sequence[Writing]) -> None:
        with self._capture([*removed, *changed, *made]):
            self._batch(self.tracked.rows.delete, removed, lambda item: item.address)
            waiting = self._batch(self.tracked.rows.update, changed, lambda item: (item.address, item.values))
            waiting += self._batch(self.tracked.rows.insert, made, lambda item: (item.address, item.values))
            self._swap(waiting)

    def _own_positions(self) -> list[int]:
        """Where rows of this table refer to rows of this table."""
        definition = self.tracked.definition
        own = [index for index, item in enumerate(definition.fields) if self._is_self(item)]
        return own + [index for parent, _, index in natural_parents(definition) if parent == definition.name]

    def _write_referring(
        self, removed: Sequence[Writing], changed: Sequence[Writing], made: Sequence[Writing], own: Sequence[int]
    ) -> None:
        """Rows that refer to new rows which cannot be written cannot be written either: one would fail the commit."""
        while True:
            _strand((*changed, *made), made, own)
            try:
                with self.ledger.engine.savepoint():
                    self._write(removed, changed, made)
                    if _strand((*changed, *made), made, own):
                        raise _Stranded
                return
            except _Stranded:
                continue

    # Integers

    def _place(self, made: Sequence[Writing]) -> None:
        """Choose addresses for new rows."""
        definition = self.tracked.definition
        if definition.identity is Identity.NATURAL:
            self._place_natural(self._nameable(made))
        elif definition.identity is Identity.DERIVED:
            self._place_derived(self._nameable(made))
        else:
            self._place_mapped(made)

    def _place_natural(self, made: Sequence[Writing]) -> None:
        for item, address in zip(made, spelled(self.tracked, [item.key for item in made]), strict=True):
            item.address = address
        taken_by = taken(self.tracked, {item.key: item.address for item in made if item.address is not None})
        for item in made:
            if item.key in taken_by:
                item.address, item.failure = None, taken_by[item.key]

    def _nameable(self, made: Sequence[Writing]) -> list[Writing]:
        """Those whose key is a primary key of this table; a copy that KEEP_BOTH made of a row with several is none."""
        definition = self.tracked.definition
        for item in made:
            if not addressable(definition, item.key, None):
                names = ", ".join(definition.key_columns)
                item.failure = f"key: {item.key!r} is no primary key of this table ({names})"
        return [item for item in made if not item.failure]

    def _place_mapped(self, made: Sequence[Writing]) -> None:
        wanted = [item.hint for item in made if isinstance(item.hint, int)]
        taken = {address[0] for address in self._taken(wanted)}
        homeless = []
        for item in made:
            if isinstance(item.hint, int) and item.hint not in taken:
                item.address = (item.hint,)
                taken.add(item.hint)
            else:
                homeless.append(item)
        self._renumber(homeless, taken)

    def _taken(self, wanted: Sequence[int]) -> Iterable[Address]:
        if not wanted or not self.tracked.seq:
            return ()
        return self.tracked.rows.values([(value,) for value in wanted])

    def _renumber(self, homeless: Sequence[Writing], taken: set[Value]) -> None:
        """Give fresh integers to records whose integer is taken here."""
        if not homeless:
            return
        suspects = self.tracked.definition.suspects
        if suspects:
            for item in homeless:
                item.failure = (
                    f"{RENUMBERING}: it needs another integer here, and {', '.join(suspects)} may refer to it; "
                    f"declare --ref {suspects[0]}={self.tracked.definition.name}"
                )
            return
        fresh = [number for number in self.tracked.rows.fresh(len(homeless) + len(taken)) if number not in taken]
        for item, number in zip(homeless, fresh, strict=False):
            item.address = (number,)

    def _place_derived(self, made: Sequence[Writing]) -> None:
        fields = self.tracked.definition.key_fields
        parts = {item.key: key_parts(self.tracked.definition, item.key) for item in made}
        for index, key_field in enumerate(fields):
            if key_field.refers_to:
                locals_ = self._locals(key_field.refers_to, [parts[item.key][index] for item in made])
                for item in made:
                    key = parts[item.key][index]
                    if key in locals_:
                        parts[item.key][index] = locals_[key]
                    elif key is not None:
                        item.failure = _missing(key_field, key)
        placed = [item for item in made if not item.failure]
        addresses = [tuple(parts[item.key]) for item in placed]
        if self.tracked.definition.respelled:
            addresses = self.tracked.rows.spelled(addresses)
        for item, address in zip(placed, addresses, strict=True):
            item.address = address

    # References

    def _translate(self, writings: Sequence[Writing]) -> None:
        """Turn contents into values in field order, references into integers."""
        definition = self.tracked.definition
        names = definition.names
        for item in writings:
            if not item.failure:
                content = item.content or {}
                item.values = tuple(map(content.get, names))
        for index, target in enumerate(definition.fields):
            if target.refers_to:
                self._translate_field(index, target, [item for item in writings if not item.failure])
        self._check_natural_parents([item for item in writings if not item.failure])

    def _translate_field(self, index: int, target: Field, writings: Sequence[Writing]) -> None:
        keys = [item.values[index] for item in writings if item.values is not None]
        own = {item.key: item.address[0] for item in writings if item.address} if self._is_self(target) else {}
        locals_ = self._locals(target.refers_to, [key for key in keys if key not in own]) | own
        for item in writings:
            assert item.values is not None
            key = item.values[index]
            if key is None:
                continue
            if key in locals_:
                value: Value = locals_[key]
            elif isinstance(key, str) and key.startswith(DANGLING) and self._may_dangle(target, int(key[2:])):
                value = int(key[2:])
                note_keys(self.ledger, self.tracked, target, [key])
            elif target.nullable and (target.refers_to, key) in self.together:
                value, item.patched = None, True
            else:
                item.failure = _missing(target, key)
                continue
            item.values = _with(item.values, index, value)

    def _may_dangle(self, target: Field, integer: int) -> bool:
        """True when a reference that led nowhere where it was written may stand here: it must not find another row."""
        if any(item.declared and item.columns == (target.column,) for item in self.tracked.definition.references):
            return False
        return not self.ledger.resource(target.refers_to).rows.by_locals([integer])

    def _is_self(self, target: Field) -> bool:
        return target.refers_to == self.tracked.wire

    def _locals(self, wire: str, keys: Sequence[Value]) -> dict[Any, Any]:
        """Integers of records of another resource whose rows are here."""
        if not self.ledger.has(wire):
            return {}
        known = self._children.setdefault(wire, {})
        lacking = sorted({key for key in keys if isinstance(key, str) and key not in known})
        if lacking:
            found = self.ledger.resource(wire).rows.by_keys(lacking)
            known.update({key: entry.local for key, entry in found.items() if entry.local is not None and entry.hash})
        return known

    def _check_natural_parents(self, writings: Sequence[Writing]) -> None:
        """Rows whose declared reference to a natural key finds no row would break the commit: they wait."""
        for parent, column, position in natural_parents(self.tracked.definition):
            wanted = {item.values[position] for item in writings if item.values} - {None}
            absent = absent_parents(self.ledger, parent, column, wanted)
            if parent == self.tracked.definition.name:
                absent -= {item.address[0] for item in writings if item.address}
            here = parents_spelled(self.ledger, parent, column, absent)
            for item in writings:
                if item.values and item.values[position] in here:
                    item.values = _with(item.values, position, here[item.values[position]])
                    item.altered = True
            absent -= here.keys()
            for item in writings:
                if item.values and item.values[position] in absent:
                    item.failure = f"{MISSING_REFERENCE}: {parent} {item.values[position]!r} is not here"

    # Writing

    def _capture(self, writings: Sequence[Writing]) -> Any:
        definition = self.tracked.definition
        removes = any(item.content is None for item in writings)
        if definition.triggers or (definition.acted_on and removes) or definition.updates_elsewhere:
            return _OwnMarks(self.ledger, self.tracked, writings)
        return self.ledger.engine.capture_off() if writings else nullcontext()

    def _batch(self, write: Callable[[Any], None], writings: Sequence[Writing], row: Any) -> list[Writing]:
        """Write all at once; if the database refuses, one by one. Returns those that may succeed after a swap."""
        ready = [item for item in writings if not item.failure]
        if not ready:
            return []
        try:
            write([row(item) for item in ready])
            return []
        except Rejected:
            pass
        waiting: list[Writing] = []
        for _ in range(2):
            left, ready = ready, []
            for item in left:
                try:
                    write([row(item)])
                    item.failure = ""
                except Rejected as refused:
                    item.failure = str(refused)
                    ready.append(item)
                    if refused.kind == "unique":
                        waiting.append(item)
            if len(ready) == len(left):
                break
        return [item for item in ready if item in waiting]

    def _swap(self, waiting: Sequence[Writing]) -> None:
        """Rows that hold each other's unique values: let go of them all, then write them, new ones among them.

        Rows that are refused even so keep what they hold, and the others are tried without them.
        """
        while any(item.exists for item in waiting) and len(waiting) > 1:
            refused: dict[str, str] = {}
            held = [item.address for item in waiting if item.exists and item.address is not None]
            try:
                with self.ledger.engine.savepoint():
                    self.tracked.rows.vacate(held)
                    refused = self._refused(waiting)
                    if refused:
                        raise _Refused
            except _Refused:
                for item in waiting:
                    item.failure = refused.get(item.key, item.failure)
                waiting = [item for item in waiting if item.key not in refused]
            except Rejected as reason:
                for item in waiting:
                    item.failure = str(reason)
                return
            else:
                for item in waiting:
                    item.failure = ""
                return

    def _refused(self, waiting: Sequence[Writing]) -> dict[str, str]:
        """Write rows one by one. Returns why some were refused, by key."""
        refused = {}
        for item in waiting:
            write = self.tracked.rows.update if item.exists else self.tracked.rows.insert
            try:
                write([(item.address, item.values)])  # type: ignore[list-item]
            except Rejected as reason:
                refused[item.key] = str(reason)
        return refused


class _Refused(Exception):
    """Some rows were refused: what was written beside them is taken back."""


class _Stranded(Exception):
    """Some written rows refer to rows that were refused."""


def _strand(writings: Sequence[Writing], made: Sequence[Writing], own: Sequence[int]) -> bool:
    """Mark writings that refer to new rows which have failed, and those that refer to them. True when there are any."""
    found = False
    lacking = {item.address[0] for item in made if item.failure and item.address}
    while lacking:
        stranded = [item for item in writings if not item.failure and _refers(item, own, lacking)]
        for item in stranded:
            item.failure = f"{MISSING_REFERENCE}: it refers to a row of the same table that is not here"
            found = True
        lacking = {item.address[0] for item in stranded if item.address and not item.exists}
    return found


def _refers(item: Writing, own: Sequence[int], lacking: Collection[Value]) -> bool:
    return item.values is not None and any(item.values[index] in lacking for index in own)


class _OwnMarks:
    """Where other rows may change by what we write, capture stays on and the marks of our own rows are removed."""

    def __init__(self, ledger: Ledger, tracked: Tracked, writings: Sequence[Writing]) -> None:
        self.ledger, self.tracked, self.writings = ledger, tracked, writings
        self.before = 0

    def __enter__(self) -> None:
        self.before = self.ledger.engine.last_mark()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            addresses = [item.address for item in self.writings if item.address is not None and not item.failure]
            self.ledger.engine.drop_marks(self.tracked.number, self.before, addresses)


def _with(values: tuple[Value, ...], position: int, value: Value) -> tuple[Value, ...]:
    return (*values[:position], value, *values[position + 1 :])


def _missing(target: Field, key: Value) -> str:
    if isinstance(key, str) and key.startswith(DANGLING):
        return (
            f"{MISSING_REFERENCE}: {target.column} refers to row {key[2:]} of {target.refers_to}, which was never there"
        )
    return f"{MISSING_REFERENCE}: {target.column} refers to {target.refers_to} {key!r}, which is not here"


def exact(tracked: Tracked, fields: Mapping[str, tuple[str, str]]) -> bool:
    """True when the database keeps values of the sender's fields (name to logical type and detail) unaltered."""
    definition = tracked.definition
    if definition.triggers:
        return False
    for item in definition.fields:
        stated = fields.get(item.wire)
        if item.logical is Logical.DECIMAL and not _keeps_digits(item.detail):
            return False
        if stated is not None and stated != (item.logical.value, item.detail) and item.logical is not Logical.ANY:
            return False
    return True


def _keeps_digits(detail: str) -> bool:
    """True when a decimal of the declared precision survives in a float, which is what SQLite makes of it."""
    precision = detail.partition(",")[0]
    return precision.isdigit() and int(precision) <= 15


def local_after(tracked: Tracked, item: Writing) -> Any:
    """What the ledger notes as local for a row that was written."""
    if item.address is None:
        return None
    return local_of(tracked.definition, item.key, item.address)


def is_deleted(entry: Entry | None) -> bool:
    """True when the ledger says that the record is deleted."""
    return entry is not None and bool(entry.flags & DELETED)


class Rendered(NamedTuple):
    """The hash of the row as it is, and the values that it does not hold as they came."""

    hash: bytes | None
    aside: dict[str, Any]


def compare_row(definition: Definition, item: Writing, values: tuple[Any, ...] | None) -> Rendered | None:
    """What of a written row differs from what was written; None when nothing does. ``values`` None: not read back."""
    content = item.content or {}
    aside = {name: value for name, value in content.items() if name not in definition.wires}
    digest = None
    if values is not None:
        for name, value in zip(definition.names, values, strict=True):
            if type(value) is not type(content.get(name)) or value != content.get(name):
                aside[name] = content.get(name)
        digest = row_hash(definition, item.key, values, {})
    if not aside:
        return None
    return Rendered(digest, aside)


def restore_aside(ledger: Ledger, tracked: Tracked) -> int:
    """Put values that were kept aside into the columns that have appeared for them. Returns how many rows got some."""
    definition = tracked.definition
    position, restored = 0, 0
    while batch := tracked.rows.after(position, 1 << 62, 1000, (), False):
        position = batch[-1][0].seq
        for entry, values in batch:
            extra = decode_extra(entry.extra)
            fitting = definition.wires & extra.aside.keys()
            if values is None or not fitting or entry.rendered is not None:
                continue
            writing = Writing(entry.key, content_of_row(definition, values, extra.aside), entry)
            Projector(ledger, tracked).write([writing])
            if not writing.failure:
                kept = {name: value for name, value in extra.aside.items() if name not in fitting}
                changed = msgspec.structs.replace(extra, aside=kept)
                tracked.rows.put([entry._replace(extra=encode_extra(changed))], [entry.seq])
                restored += 1
    return restored
