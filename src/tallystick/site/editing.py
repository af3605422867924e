"""Local writes by key, as the application would make them (DESIGN.md 4.2).

A batch of inserts, updates and deletions of one resource is written and stamped in one step, as edits of this site that
have seen what the rows showed. Contents are mappings by wire name of canonical values, references are keys of the
referenced records. What is wrong with one edit is told in its outcome and delays no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from tallystick.core.fingerprints import EMPTY
from tallystick.core.join import edit
from tallystick.core.merge import changed_fields
from tallystick.core.values import CANONICAL, Value, canonical_any, mapping_hash
from tallystick.site import managed, parking
from tallystick.site.engines.engine import Address, Entry
from tallystick.site.holding import Kept, aside_of, content_of_row, held, load_wholes, make_entry, save_wholes, terms
from tallystick.site.identity import address_of, derived_key, key_parts, natural_key, new_key
from tallystick.site.issuing import Change, Touched, write_changes
from tallystick.site.ledger import UNSHOWN, WHOLE, Ledger, Tracked
from tallystick.site.projection import MISSING_REFERENCE, Projector, Writing, compare_row, local_after
from tallystick.site.referring import removable
from tallystick.site.schema import Definition, Field, Identity


class Operation(StrEnum):
    """What an edit does to its record."""

    INSERT = "insert"
    """A record that is not there yet; fields that are not named get the column's default."""
    UPDATE = "update"
    """The named fields of a record that is there; None makes one null."""
    PUT = "put"
    """Insert or update: afterwards the record holds the named fields and no others."""
    DELETE = "delete"
    SETTLE = "settle"
    """The record after a decision: the edit has seen every version, shown or not. None deletes."""


class Edit(NamedTuple):
    """One local write. ``key`` "" names a new record, or the one whose primary key is among the fields.

    ``local`` is the integer that a new record should get where integers are chosen here and that one is free.
    """

    operation: Operation
    key: str = ""
    content: Mapping[str, Any] | None = None
    local: int | None = None


def insert(content: Mapping[str, Any], key: str = "", local: int | None = None) -> Edit:
    """A new record."""
    return Edit(Operation.INSERT, key, content, local)


def update(key: str, content: Mapping[str, Any]) -> Edit:
    """New values for the named fields."""
    return Edit(Operation.UPDATE, key, content)


def put(key: str, content: Mapping[str, Any]) -> Edit:
    """The record with just these fields, whether it was there or not."""
    return Edit(Operation.PUT, key, content)


def delete(key: str) -> Edit:
    """The end of a record."""
    return Edit(Operation.DELETE, key)


class Done(StrEnum):
    """What became of an edit."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    UNCHANGED = "unchanged"
    """The record was like that already: nothing was written."""
    REFUSED = "refused"


class Reason(StrEnum):
    """Why an edit was refused."""

    EXISTS = "exists"
    ABSENT = "absent"
    UNKNOWN_FIELD = "unknown-field"
    KEY = "key"
    """The key does not fit the content, or cannot be made."""
    REFERENCE = "reference"
    """It refers to a record that is not here, or others refer to what it deletes."""
    CONSTRAINT = "constraint"
    """The database refused the row."""


class Refusal(NamedTuple):
    """Why an edit was refused; ``field`` is the wire name of the field to blame, where there is one."""

    reason: Reason
    message: str
    field: str = ""


class Edited(NamedTuple):
    """What became of one edit: the record's key, its seq now (0: it has none), the integer of its row.

    ``content`` is what the record holds now, None when it is deleted or not there.
    """

    key: str
    done: Done
    seq: int = 0
    local: Any = None
    content: Mapping[str, Any] | None = None
    refusal: Refusal | None = None


@dataclass(slots=True)
class _Item:
    """One edit on its way."""

    edit: Edit
    key: str = ""
    entry: Entry | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    refusal: Refusal | None = None
    unchanged: bool = False
    writing: Writing | None = None

    def refuse(self, reason: Reason, message: str, field: str = "") -> None:
        self.refusal = Refusal(reason, message, field)

    @property
    def open(self) -> bool:
        return self.refusal is None and not self.unchanged

    def done(self) -> Done:
        if self.refusal is not None:
            return Done.REFUSED
        if self.unchanged:
            return Done.UNCHANGED
        if self.after is None:
            return Done.DELETED
        return Done.CREATED if self.before is None else Done.UPDATED


def lock_keys(ledger: Ledger, tracked: Tracked, keys: Sequence[str]) -> None:
    """Name the records that a following ``ledger.write()`` will edit, so that it waits for the application's locks on
    their rows before it takes the stamping lock (DESIGN.md 4.3). Needed where the application writes at the same time.
    """
    if ledger.engine.dialect == "sqlite" or tracked.definition.identity is Identity.MANAGED:
        return
    live = [entry for entry in tracked.rows.by_keys(keys).values() if entry.hash]
    tracked.rows.lock_rows([address_of(tracked.definition, entry.key, entry.local) for entry in live])


def write(ledger: Ledger, tracked: Tracked, edits: Sequence[Edit]) -> list[Edited]:
    """Write edits of one resource; what became of each, in their order. An edit sees what those before it wrote.

    Call inside ``ledger.write()``, after stamping. An edit that cannot be written has a ``refusal`` and changes
    nothing. A constraint that the database only checks at the end of a transaction (references of several columns)
    is raised there, as ``Rejected``, and undoes the batch.
    """
    items = [_named(tracked.definition, item) for item in edits]
    outcomes: dict[int, Edited] = {}
    for step in _steps(items):
        chosen = [items[index] for index in step]
        _write_step(ledger, tracked, chosen)
        found = tracked.rows.by_keys([item.key for item in chosen if item.key])
        shown = contents_of(ledger, tracked, [entry for entry in found.values() if entry.hash])
        for index, item in zip(step, chosen, strict=True):
            entry = found.get(item.key)
            seq, local = (0, None) if entry is None else (entry.seq, entry.local)
            outcomes[index] = Edited(item.key, item.done(), seq, local, shown.get(item.key), item.refusal)
    return [outcomes[index] for index in range(len(items))]


def _steps(items: Sequence[_Item]) -> list[list[int]]:
    """Indexes of edits that can be written at once: none has two edits of one record."""
    steps: list[list[int]] = []
    keys: set[str] = set()
    for index, item in enumerate(items):
        if not steps or item.key in keys:
            steps.append([])
            keys = set()
        if item.key:
            keys.add(item.key)
        steps[-1].append(index)
    return steps


# Keys and fields --------------------------------------------------------------------------------------------------


def _named(definition: Definition, edit_: Edit) -> _Item:
    """The edit with its key, and its content in canonical values without the primary key's fields."""
    item = _Item(edit_, edit_.key)
    content = None if edit_.content is None else {name: edit_.content[name] for name in edit_.content}
    if content is not None and definition.identity is not Identity.MANAGED:
        content = _canonical(definition, item, content)
        if item.refusal is None:
            _take_key(definition, item, content)
    elif not item.key:
        item.key = new_key()
    item.after = content
    return item


def _canonical(definition: Definition, item: _Item, content: dict[str, Any]) -> dict[str, Any]:
    fields = {field.wire: field for field in (*definition.fields, *definition.key_fields)}
    made = {}
    for name, value in content.items():
        field = fields.get(name)
        if field is not None:
            made[name] = CANONICAL.get(field.logical, canonical_any)(value)
        elif item.edit.operation is Operation.SETTLE:
            made[name] = value
        else:
            item.refuse(Reason.UNKNOWN_FIELD, f"{definition.wire} has no field {name!r}", name)
    return made


def _take_key(definition: Definition, item: _Item, content: dict[str, Any]) -> None:
    """Find the key of the edit and take the fields that only make it out of ``content``."""
    own = [field for field in definition.key_fields if field.wire not in definition.wires]
    stated = {field.wire: content.pop(field.wire) for field in own if field.wire in content}
    made = ""
    if definition.identity is Identity.COLUMN:
        made = _column_key(definition, item, content)
    elif definition.identity is Identity.MAPPED:
        if isinstance(value := stated.get(own[0].wire), int):
            item.edit = item.edit._replace(local=item.edit.local or value)
    elif len(stated) == len(definition.key_fields):
        made = _made_key(definition, [stated[field.wire] for field in definition.key_fields])
    if made and item.key and made != item.key:
        item.refuse(Reason.KEY, f"the key of {definition.wire} {item.key!r} cannot change to {made!r}")
    item.key = item.key or made
    if not item.key:
        if definition.identity in (Identity.MAPPED, Identity.COLUMN):
            item.key = new_key()
        else:
            names = ", ".join(field.wire for field in definition.key_fields)
            item.refuse(Reason.KEY, f"a new record of {definition.wire} needs {names}")
    _check_key(definition, item)


def _column_key(definition: Definition, item: _Item, content: dict[str, Any]) -> str:
    (wire,) = [field.wire for field in definition.fields if field.column == definition.key_column]
    if content.get(wire) is None and item.edit.operation is not Operation.UPDATE:
        content[wire] = item.key or new_key()
    return str(content.get(wire) or "")


def _made_key(definition: Definition, parts: Sequence[Value]) -> str:
    if definition.identity is Identity.DERIVED:
        return derived_key(definition, parts)
    return natural_key(definition, tuple(parts))


def _check_key(definition: Definition, item: _Item) -> None:
    """Refuse a key that cannot be turned into a row's address."""
    if item.refusal is not None or definition.identity in (Identity.MAPPED, Identity.COLUMN):
        return
    try:
        parts = key_parts(definition, item.key)
    except ValueError as error:
        item.refuse(Reason.KEY, str(error))
        return
    if any(part is None for part in parts):
        item.refuse(Reason.KEY, f"a part of the key of {definition.wire} is null")


# Intentions -------------------------------------------------------------------------------------------------------


def contents_of(ledger: Ledger, tracked: Tracked, entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """What the rows of live records hold now, by key, values included that a row here cannot hold."""
    if tracked.definition.identity is Identity.MANAGED:
        return managed.contents(ledger, tracked, [entry.key for entry in entries])
    addresses = {entry.key: address_of(tracked.definition, entry.key, entry.local) for entry in entries}
    values = tracked.rows.values(list(addresses.values()))
    found = {}
    for entry in entries:
        content = content_of_row(tracked.definition, values.get(addresses[entry.key]), aside_of(entry))
        if content is not None:
            found[entry.key] = content
    return found


def _write_step(ledger: Ledger, tracked: Tracked, items: Sequence[_Item]) -> None:
    entries = tracked.rows.by_keys([item.key for item in items if item.refusal is None])
    shown = contents_of(ledger, tracked, [entry for entry in entries.values() if entry.hash])
    for item in items:
        item.entry, item.before = entries.get(item.key), shown.get(item.key)
        if item.refusal is None:
            _intend(tracked.definition, item)
    _add_defaults(ledger, tracked, [item for item in items if item.open])
    _keep_parents(ledger, tracked, [item for item in items if item.open])
    if tracked.definition.identity is Identity.MANAGED:
        _write_managed(ledger, tracked, [item for item in items if item.open])
        return
    _project(ledger, tracked, [item for item in items if item.open])
    _stamp(ledger, tracked, [item for item in items if item.open])


def _intend(definition: Definition, item: _Item) -> None:
    """What the record is to hold, from what it holds and what is asked."""
    operation, live = item.edit.operation, item.before is not None
    name = f"{definition.wire} {item.key!r}"
    if operation is Operation.INSERT and live:
        return item.refuse(Reason.EXISTS, f"{name} is there already")
    if operation in (Operation.UPDATE, Operation.DELETE) and not live:
        return item.refuse(Reason.ABSENT, f"{name} is not there")
    if operation is Operation.DELETE:
        item.after = None
        return None
    if item.after is None:
        return None
    wanted = {**item.before, **item.after} if operation is Operation.UPDATE and item.before else item.after
    item.after = {field: value for field, value in wanted.items() if value is not None}
    item.unchanged = item.after == item.before and operation is not Operation.SETTLE
    return None


def _add_defaults(ledger: Ledger, tracked: Tracked, items: Sequence[_Item]) -> None:
    """Fields that an insert does not name get what the database would give them."""
    new = [item for item in items if item.edit.operation is Operation.INSERT and item.before is None]
    if not new or tracked.definition.identity is Identity.MANAGED:
        return
    fields = {field.column: field for field in tracked.definition.fields}
    for item in new:
        given = item.edit.content or {}
        absent = [column for column, field in fields.items() if field.wire not in given and not field.refers_to]
        found = ledger.engine.defaults(tracked.definition.name, absent)
        if found:
            item.after = {**(item.after or {}), **_default_values(fields, found)}


def _default_values(fields: Mapping[str, Field], found: Mapping[str, Any]) -> dict[str, Value]:
    made = {
        fields[column].wire: CANONICAL.get(fields[column].logical, canonical_any)(value)
        for column, value in found.items()
    }
    return {name: value for name, value in made.items() if value is not None}


def _keep_parents(ledger: Ledger, tracked: Tracked, items: Sequence[_Item]) -> None:
    """Rows that others refer to cannot be deleted, unless the database removes or changes those by itself."""
    if not tracked.definition.referrers:
        return
    gone = {
        address_of(tracked.definition, item.key, item.entry.local): item
        for item in items
        if item.after is None and item.before is not None and item.entry is not None
    }
    free = removable(ledger, tracked.definition, list(gone))
    for address, item in gone.items():
        if address not in free:
            item.refuse(Reason.REFERENCE, f"other rows refer to {tracked.definition.wire} {item.key!r}")


# Writing ----------------------------------------------------------------------------------------------------------


def _project(ledger: Ledger, tracked: Tracked, items: Sequence[_Item]) -> None:
    for item in items:
        entry = item.entry if item.before is not None else _without_row(item.entry)
        item.writing = Writing(item.key, item.after, entry, item.edit.local)
    Projector(ledger, tracked).write([item.writing for item in items if item.writing is not None])
    for item in items:
        if item.writing is not None and item.writing.failure:
            missing = item.writing.failure.startswith(MISSING_REFERENCE)
            item.refuse(Reason.REFERENCE if missing else Reason.CONSTRAINT, item.writing.failure)


def _write_managed(ledger: Ledger, tracked: Tracked, items: Sequence[_Item]) -> None:
    settled = [item for item in items if item.edit.operation is Operation.SETTLE]
    plain = [(item.key, item.after) for item in items if item.edit.operation is not Operation.SETTLE]
    if settled:
        managed.store(ledger, tracked, [(item.key, item.after) for item in settled])
        _settle(ledger, tracked, settled, {})
    if plain:
        managed.write(ledger, tracked, plain)


def _without_row(entry: Entry | None) -> Entry | None:
    return None if entry is None else entry._replace(hash=b"", local=None)


def _stamp(ledger: Ledger, tracked: Tracked, items: Sequence[_Item]) -> None:
    values = _read_back(tracked, items)
    settled = [item for item in items if item.edit.operation is Operation.SETTLE]
    plain = [item for item in items if item.edit.operation is not Operation.SETTLE]
    if settled:
        _settle(ledger, tracked, settled, values)
    changes = []
    for item in plain:
        row = values.get(item.key)
        address = item.writing.address if item.writing is not None and row is not None else None
        touched = Touched(item.entry, address, ledger.now(), _changed_columns(tracked.definition, item, row))
        changes.append(Change(touched, item.key, row))
    write_changes(ledger, tracked, changes)
    for item in items:
        if item.entry is not None and item.entry.flags & UNSHOWN:
            parking.release(ledger, tracked, item.key)


def _read_back(tracked: Tracked, items: Sequence[_Item]) -> dict[str, tuple[Value, ...]]:
    """What the rows hold once they are written, by key; references to rows of the same batch as their keys."""
    addresses: dict[str, Address] = {
        item.key: item.writing.address
        for item in items
        if item.after is not None and item.writing is not None and item.writing.address is not None
    }
    found = tracked.rows.values(list(addresses.values()))
    own = {f"\\?{address[0]!s}": key for key, address in addresses.items()}
    selves = [i for i, field in enumerate(tracked.definition.fields) if field.refers_to == tracked.definition.wire]
    made = {}
    for key, address in addresses.items():
        row = found.get(address)
        if row is not None and selves:
            row = tuple(own.get(value, value) if i in selves else value for i, value in enumerate(row))  # type: ignore[arg-type]
        if row is not None:
            made[key] = row
    return made


def _changed_columns(definition: Definition, item: _Item, row: Sequence[Value] | None) -> frozenset[str] | None:
    """The columns whose values differ from before; None for a row that was not there or is gone."""
    if row is None or item.before is None:
        return None
    after = dict(zip(definition.names, row, strict=True))
    changed = changed_fields({name: item.before.get(name) for name in definition.names}, after)
    return frozenset(field.column for field in definition.fields if field.wire in changed)


def _settle(ledger: Ledger, tracked: Tracked, items: Sequence[_Item], values: Mapping[str, tuple[Value, ...]]) -> None:
    """Decisions keep their content as it was chosen; what the database makes of it is local rendering."""
    wholes = load_wholes(ledger, tracked, [item.key for item in items if item.entry and item.entry.flags & WHOLE])
    put, added, removed = [], EMPTY, EMPTY
    kept = {}
    ticks, seqs = ledger.next_ticks(tracked, len(items)), ledger.next_seqs(tracked, len(items))
    for item, tick, seq in zip(items, ticks, seqs, strict=True):
        old, whole = item.entry, wholes.get(item.key)
        before = None if old is None else held(ledger, old, item.before, whole)
        digest = b"" if item.after is None else mapping_hash(item.key, dict(item.after))
        dot, stamp = (ledger.origin, tick), ledger.stamp_at(ledger.now())
        record = edit(None if before is None else before.record, dot, stamp, digest, item.after)
        local, rendered, aside = _as_rendered(tracked, item, values.get(item.key))
        born = seq if old is None else old.born_after(seq)
        entry, after = make_entry(
            ledger, item.key, seq, born, Kept(record, record.versions, digest, local, rendered, aside)
        )
        put.append(entry)
        kept[item.key] = after
        added = added.added(terms(ledger, entry, after))
        if old is not None:
            removed = removed.added(terms(ledger, old, whole))
    tracked.rows.put(put, [item.entry.seq for item in items if item.entry is not None])
    save_wholes(ledger, tracked, kept)
    ledger.count(tracked, added, removed)


def _as_rendered(
    tracked: Tracked, item: _Item, row: tuple[Value, ...] | None
) -> tuple[Any, bytes | None, Mapping[str, Any]]:
    """Where a written row is, its hash where it differs from what was written, and what it does not hold."""
    if item.after is None or item.writing is None:
        return None, None, {}
    local = local_after(tracked, item.writing)
    made = compare_row(tracked.definition, item.writing, row)
    return (local, None, {}) if made is None else (local, made.hash, made.aside)
