"""Records of a site as the Eden protocol reads them: always many at once (spec/eden.md: sections 6, 8 and 9.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from tallystick.core.clock import stamp_of
from tallystick.core.forms import decode_extra
from tallystick.core.values import Value
from tallystick.protocols.eden.codec.filters import Condition
from tallystick.protocols.eden.codec.schema import Component
from tallystick.protocols.eden.codec.times import parse_time
from tallystick.protocols.eden.errors import TimeFormatError
from tallystick.protocols.eden.site.catalog import Bound, Catalog, Link
from tallystick.protocols.eden.site.conditions import Conditions
from tallystick.protocols.eden.site.remarks import Remark, Remarks, moment_of, seconds, stamp_seconds
from tallystick.protocols.eden.site.waiting import waiting_fields
from tallystick.protocols.eden.store import Selection, Stored, Target
from tallystick.site import dangling
from tallystick.site.engines.engine import Address, Entry
from tallystick.site.holding import aside_of
from tallystick.site.identity import address_of, key_parts, local_of
from tallystick.site.ledger import DELETED, UNSHOWN, WHOLE, Ledger
from tallystick.site.schema import Identity
from tallystick.site.spelling import records_at

PAGE = 500

Row = tuple[Entry, tuple[Value, ...] | None]


class Held(NamedTuple):
    """What a record was read from: for the extension that tells its history."""

    entry: Entry
    values: tuple[Value, ...] | None
    remark: Remark | None
    waits: bool = False
    """True when a reference of it waits: its version is not that of the sender, and lacks what it refers to."""


class Records:
    """Reads records of a site. ``since`` is when the site began to speak Eden: the time of rows without one."""

    def __init__(self, ledger: Ledger, catalog: Catalog, remarks: Remarks, since: int) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._remarks = remarks
        self._since = since
        self._targets: dict[str, dict[str, Target]] = {}

    def fresh(self) -> None:
        """Forget what was kept of identifiers: something was written."""
        self._targets.clear()

    # By identifier

    def find(self, bound: Bound, uuids: Collection[str]) -> dict[str, Stored]:
        """The records with these identifiers."""
        entries = self.entries(bound, uuids)
        rows = self._rows(bound, list(entries.values()))
        return {one.uuid: one for one in self._stored(bound, rows)}

    def entries(self, bound: Bound, uuids: Collection[str]) -> dict[str, Entry]:
        """The ledger's entries of the records with these identifiers, by identifier."""
        named = self._remarks.keys(bound.tracked, list(uuids))
        candidates = {uuid: (named[uuid],) if uuid in named else bound.names.keys(uuid) for uuid in uuids}
        found = bound.tracked.rows.by_keys([key for keys in candidates.values() for key in keys])
        if not found:
            return {}
        aliases = self._remarks.aliases(bound.tracked, list(found))
        chosen = {}
        for uuid, keys in candidates.items():
            for key in keys:
                if key in found and aliases.get(key, uuid) == uuid:
                    chosen[uuid] = found[key]
                    break
        return chosen

    def targets(self, bound: Bound, keys: Iterable[str]) -> dict[str, Target]:
        """What references to the records with these keys point to."""
        known = self._targets.setdefault(bound.table.name, {})
        lacking = [key for key in keys if key not in known]
        if lacking:
            aliases = self._remarks.aliases(bound.tracked, lacking)
            for key in lacking:
                known[key] = Target(bound.table.name, aliases.get(key) or bound.names.identifier(key))
        return known

    def numbers(self, bound: Bound, keys: Sequence[str]) -> dict[str, int]:
        """Local numbers by key."""
        return {key: _number(bound, entry) for key, entry in bound.tracked.rows.by_keys(keys).items()}

    # Pages

    def select(self, bound: Bound, selection: Selection) -> Iterator[Stored]:
        """The selected records, page by page; see ``EdenStore.select``."""
        found = self._selected(bound, selection)
        first = selection.start or 0
        if selection.start is None and selection.limit is None:
            return found
        return islice(found, first, None if selection.limit is None else first + selection.limit)

    def count(self, bound: Bound, selection: Selection) -> int:
        """How many records ``select`` gives."""
        plain = Selection(include_deleted=selection.include_deleted, components=selection.components)
        if selection != plain or "deleted" in bound.meta:
            return sum(1 for _ in self.select(bound, selection))
        gone = f" OR (flags & {DELETED})={DELETED} OR (flags & {WHOLE | UNSHOWN})={WHOLE}"
        fitting = f"(hash<>?{gone})" if selection.include_deleted else f"hash<>? AND (flags & {DELETED})=0"
        sql = f"SELECT count(*) FROM tally_record WHERE resource=? AND {fitting}"
        return int(self._ledger.engine.query(sql, (bound.tracked.number, b""))[0][0])

    def _selected(self, bound: Bound, selection: Selection) -> Iterator[Stored]:
        if selection.also and selection.components:
            selection = replace(selection, also=selection.also | self._told_with(bound, selection.also))
        chooser = _Chooser(self, bound, selection)
        stubs = selection.deleted_only and "deleted" not in bound.meta
        for rows in self._candidates(bound, selection):
            kept = [row for row in rows if _is_gone(row[0])] if stubs else rows
            yield from chooser.chosen(self._stored(bound, kept))

    def _candidates(self, bound: Bound, selection: Selection) -> Iterator[list[Row]]:
        """Pages of rows among which all selected ones are."""
        if selection.since is None and not selection.after:
            yield from self._after(bound, 0)
            return
        keys = set(self.entries_keys(bound, selection.also))
        if selection.components:
            keys |= self._parents_of_changed(bound, selection)
        if selection.since is not None:
            keys |= self._changed_since(bound, seconds(selection.since) or 0)
        else:
            yield from self._after(bound, selection.after or 0)
        yield from self._by_keys(bound, keys, selection.after if selection.since is None else None)

    def _told_with(self, bound: Bound, uuids: Collection[str]) -> set[str]:
        """The identifiers of the records of which these are components, or that refer to them."""
        keys: set[str] = set()
        for component in bound.table.components:
            below = self._catalog.bound(component.table)
            link = below.links.get(component.key) if below is not None else None
            if below is not None and link is not None and link.position >= 0:
                found = self._rows(below, list(self.entries(below, uuids).values()))
                values = [row[link.position] for _, row in found if row is not None]
                keys.update(link.key_of(value) for value in values if value is not None)
        for link in bound.pointing:
            above = self._catalog.bound(link.target)
            if above is not None and link.position >= 0:
                places = [_local(above, one) for one in self.entries(above, uuids).values() if one.hash]
                keys.update(entry.key for entry, _ in self.pointing(bound, link, places))
        targets = self.targets(bound, keys)
        return {targets[key].uuid for key in keys}

    def entries_keys(self, bound: Bound, uuids: Collection[str]) -> list[str]:
        """Keys of the records with these identifiers."""
        return [entry.key for entry in self.entries(bound, uuids).values()] if uuids else []

    def _after(self, bound: Bound, position: int) -> Iterator[list[Row]]:
        until = self._ledger.seq if self._ledger.in_write else int(self._ledger.meta("seq"))
        while True:
            rows = bound.tracked.rows.after(position, until, PAGE)
            if rows:
                yield rows
                position = rows[-1][0].seq
            if len(rows) < PAGE:
                return

    def _by_keys(self, bound: Bound, keys: Collection[str], after: int | None) -> Iterator[list[Row]]:
        """Pages of the rows with these keys that ``_after`` does not give."""
        ordered = sorted(keys)
        for start in range(0, len(ordered), PAGE):
            entries = bound.tracked.rows.by_keys(ordered[start : start + PAGE])
            rows = self._rows(bound, [one for one in entries.values() if after is None or one.seq <= after])
            if rows:
                yield rows

    def _changed_since(self, bound: Bound, since: int) -> set[str]:
        """Keys of records whose time may be ``since`` or later, by what is indexed.

        No change is newer than the moment in which it was written here, unless a remark says that it is ahead.
        """
        engine, number = self._ledger.engine, bound.tracked.number
        lower = stamp_of(since * 1000) if since > self._since else 0
        stamped = "SELECT key FROM tally_record WHERE resource=? AND stamp>=?"
        stated = "SELECT key FROM tally_eden_record WHERE resource=? AND ahead>=?"
        keys = {key for (key,) in engine.query(stamped, (number, lower))}
        keys.update(key for (key,) in engine.query(stated, (number, since)))
        return keys | self._changed_by_column(bound, since)

    def _changed_by_column(self, bound: Bound, since: int) -> set[str]:
        """Keys of rows whose own column says so. Texts of times compare like times, down to the separator."""
        position = bound.meta.get("modified_on")
        if position is None:
            return set()
        column, table = bound.definition.fields[position].column, bound.definition.name
        day = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d")
        selected = ", ".join(_quoted(name) for name in bound.definition.key_columns)
        sql = f"SELECT {selected} FROM {_quoted(table)} WHERE {_quoted(column)}>=?"
        addresses = [tuple(row) for row in self._ledger.engine.query(sql, (day,))]
        return {entry.key for entry in self._entries_at(bound, addresses).values()}

    def _parents_of_changed(self, bound: Bound, selection: Selection) -> set[str]:
        """Keys of records that have a changed component."""
        keys: set[str] = set()
        for component in bound.table.components:
            below = self._catalog.bound(component.table)
            link = below.links.get(component.key) if below is not None else None
            if below is None or link is None or link.position < 0:
                continue
            if selection.since is not None:
                pages = self._by_keys(below, self._changed_since(below, seconds(selection.since) or 0), None)
            else:
                pages = self._after(below, selection.after or 0)
            for rows in pages:
                values = (row[link.position] for _, row in rows if row is not None)
                keys.update(link.key_of(value) for value in values if value is not None)
        return keys

    # Components

    def children(
        self, component: Component, parents: Collection[str], conditions: Sequence[Condition] = ()
    ) -> dict[str, list[Stored]]:
        """The live records of a component that fit, by the identifier of their parent."""
        below = self._catalog.bound(component.table)
        link = below.links.get(component.key) if below is not None else None
        above = self._catalog.bound(link.target) if link is not None else None
        if below is None or link is None or above is None or not parents:
            return {}
        entries = self.entries(above, parents)
        rows = self.pointing(below, link, [_local(above, entry) for entry in entries.values() if entry.hash])
        found: dict[str, list[Stored]] = {}
        for one in self._stored(below, rows):
            to = one.values.get(component.key)
            if isinstance(to, Target) and not one.deleted:
                found.setdefault(to.uuid, []).append(one)
        if conditions:
            asked = Conditions(self, self._catalog, below)
            found = {parent: asked.fitting(children, conditions) for parent, children in found.items()}
        return found

    def unsent(self, component: Component) -> list[str]:
        """The live records of a component that refer to an integer which no record has; others are not looked for."""
        below = self._catalog.bound(component.table)
        link = below.links.get(component.key) if below is not None else None
        above = self._catalog.bound(link.target) if link is not None else None
        if below is None or link is None or above is None:
            return []
        integers = dangling.integers(self._ledger, above.tracked, below.tracked)
        stored = self._stored(below, self.pointing(below, link, integers))
        return [one.uuid for one in stored if component.key not in one.values and not one.deleted]

    def pointing(self, bound: Bound, link: Link, locals_: Sequence[Value]) -> list[Row]:
        """Rows whose reference holds one of the values."""
        if not locals_:
            return []
        table, column = _quoted(bound.definition.name), _quoted(link.site.column)
        selected = ", ".join(_quoted(name) for name in bound.definition.key_columns)
        sql = f"SELECT {selected} FROM {table} WHERE {column} IN (*)"
        addresses = [tuple(row) for row in self._ledger.engine.query_in(sql, (), locals_)]
        return self._at(bound, addresses)

    # By value

    def matching(self, bound: Bound, field: str, values: Collection[object]) -> dict[object, list[str]]:
        """The identifiers of live records whose field holds one of the values, text without regard to case."""
        link = bound.links.get(field)
        if link is None or link.target or not values:
            return {}
        wanted = {_folded(value): value for value in values}
        rows = self._equal(bound, link, wanted)
        found: dict[object, list[str]] = {}
        for one in self._stored(bound, rows):
            held = _folded(one.values.get(field))
            if held in wanted and held is not None and not one.deleted:
                found.setdefault(wanted[held], []).append(one.uuid)
        return found

    def _equal(self, bound: Bound, link: Link, wanted: Mapping[object, object]) -> list[Row]:
        column, table = _quoted(link.site.column), _quoted(bound.definition.name)
        selected = ", ".join(_quoted(name) for name in bound.definition.key_columns)
        texts = [value for value in wanted.values() if isinstance(value, str)]
        folds = all(value.isascii() for value in texts)
        if texts and not folds:  # the database folds A-Z only: look at every row
            values = self._ledger.engine.query(f"SELECT {selected}, {column} FROM {table} WHERE {column} IS NOT NULL")
            return self._at(bound, [tuple(row[:-1]) for row in values if _folded(row[-1]) in wanted])
        tested = f"lower({column})" if texts else column
        asked = [value.lower() if isinstance(value, str) else value for value in wanted.values()]
        rows = self._ledger.engine.query_in(f"SELECT {selected} FROM {table} WHERE {tested} IN (*)", (), asked)
        return self._at(bound, [tuple(row) for row in rows])

    # Rows

    def _entries_at(self, bound: Bound, addresses: Sequence[Address]) -> dict[Address, Entry]:
        definition = bound.definition
        if definition.identity is Identity.NATURAL:
            return records_at(bound.tracked, addresses)
        locals_ = {address: local_of(definition, "", address) for address in addresses}
        found = bound.tracked.rows.by_locals(list(locals_.values()))
        return {address: found[local] for address, local in locals_.items() if local in found}

    def _at(self, bound: Bound, addresses: Sequence[Address]) -> list[Row]:
        entries = self._entries_at(bound, addresses)
        values = bound.tracked.rows.values(list(entries))
        return [(entry, values.get(address)) for address, entry in entries.items()]

    def _rows(self, bound: Bound, entries: Sequence[Entry]) -> list[Row]:
        addresses = {entry.key: address_of(bound.definition, entry.key, entry.local) for entry in entries if entry.hash}
        values = bound.tracked.rows.values(list(addresses.values()))
        return [(entry, values.get(addresses[entry.key]) if entry.hash else None) for entry in entries]

    def _stored(self, bound: Bound, rows: Sequence[Row]) -> Iterator[Stored]:
        rows = [row for row in rows if row[1] is not None or _is_gone(row[0])]
        remarks = self._remarks.of(bound.tracked, [entry.key for entry, _ in rows])
        pointing = [(link, self._pointed(bound, link, rows)) for link in bound.pointing]
        waiting = waiting_fields(self._ledger, bound.tracked, [entry.key for entry, _ in rows]) if pointing else {}
        names, table = bound.names, bound.table.name
        plain = [(one.name, one.position, one.read) for one in bound.plain if one.position >= 0]
        parts = [one for one in bound.plain if one.part >= 0]
        for entry, values in rows:
            remark = remarks.get(entry.key)
            alias = remark.alias if remark is not None else None
            made = Stored(table, alias or names.identifier(entry.key), _number(bound, entry), {}, seq=entry.seq)
            if values is not None:
                made.values = found = {
                    name: value if read is None else read(value)
                    for name, position, read in plain
                    if (value := values[position]) is not None
                }
                for link, targets in pointing:
                    to = targets.get(_value_at(link, entry, values, bound))
                    if to is not None:
                        found[link.name] = to
                if parts:
                    _add_parts(found, parts, bound, entry)
            self._describe(bound, made, entry, values, remark)
            lacking = waiting.get(entry.key, frozenset()).difference(made.values)
            made.waiting = lacking.union(_set_aside(bound, entry)) if entry.rendered is not None else lacking
            made.held = Held(entry, values, remark, bool(lacking))
            yield made

    def _pointed(self, bound: Bound, link: Link, rows: Sequence[Row]) -> Mapping[object, Target]:
        """What the values of a reference point to."""
        above = self._catalog.bound(link.target)
        if above is None:
            return {}
        values = {_value_at(link, entry, row, bound) for entry, row in rows if row is not None} - {None}
        keys = {value: link.key_of(value) for value in values if not str(value).startswith("\\?")}
        targets = self.targets(above, keys.values())
        return {value: targets[key] for value, key in keys.items()}

    def _describe(
        self, bound: Bound, made: Stored, entry: Entry, values: Sequence[Value] | None, remark: Remark | None
    ) -> None:
        """Times, copies, people, source: from the row's own columns, from what Eden said, or from the ledger."""
        fits = remark is not None and remark.fits(entry)
        made.deleted = values is None and _is_gone(entry)
        stamped = stamp_seconds(entry.stamp) or self._since
        modified, created = stamped, stamped if entry.born_seq == entry.seq and entry.stamp else None
        if remark is not None:
            made.copies, created = remark.copies, remark.created_on
            made.created_by, made.owned_by_user = remark.created_by, remark.owned_by_user
            made.owned_by_group = remark.owned_by_group
            if fits:
                modified = self._since if remark.modified_on is None else remark.modified_on
                made.modified_by, made.source = remark.modified_by, remark.source
                made.replaced_by = remark.replaced_by if made.deleted or "deleted" in bound.meta else None
        elif entry.extra is not None:
            made.copies = decode_extra(entry.extra).copies
        if bound.meta and values is not None:
            modified, created = self._by_columns(bound, made, values, remark, fits, modified, created)
        made.created_on = moment_of(created)
        made.modified_on = moment_of(modified) if bound.table.meta else None

    def _by_columns(
        self,
        bound: Bound,
        made: Stored,
        values: Sequence[Value],
        remark: Remark | None,
        fits: bool,
        modified: int,
        created: int | None,
    ) -> tuple[int, int | None]:
        """The times, where the table has columns for them. A time that the application did not move on is old."""
        columns = {name: values[position] for name, position in bound.meta.items()}
        if columns.get("deleted") in (1, "1", "T", "t", "true", "True"):
            made.deleted = True
        if columns.get("mci") is not None:
            made.copies = int(str(columns["mci"]))
        created = _column_seconds(columns.get("created_on")) or created
        stated = _column_seconds(columns.get("modified_on"))
        if stated is None or fits:
            return modified, created
        moved = remark is None or stated != remark.modified_on
        return (stated if moved else max(stated, modified)), created


class _Chooser:
    """Which of some records a selection takes."""

    def __init__(self, records: Records, bound: Bound, selection: Selection) -> None:
        self._records = records
        self._bound = bound
        self._selection = selection
        self._conditions = Conditions(records, records._catalog, bound)
        self._everything = selection.since is None and not selection.after and selection.without_source is None

    def chosen(self, found: Iterable[Stored]) -> Iterator[Stored]:
        """Those that the selection takes, in their order."""
        selection, records = self._selection, list(found)
        if not selection.include_deleted:
            records = [one for one in records if not one.deleted]
        if selection.deleted_only:
            records = [one for one in records if one.deleted]
        if selection.conditions:
            kept = {id(one) for one in self._conditions.fitting(records, selection.conditions)}
            records = [one for one in records if id(one) in kept or one.deleted or one.uuid in selection.also]
        if self._everything:
            return iter(records)
        own = {id(one) for one in records if one.uuid in selection.also or changed(one, selection)}
        left = [one for one in records if id(one) not in own and not one.deleted]
        if left and selection.components:
            own |= self._by_component(left)
        return (one for one in records if id(one) in own)

    def _by_component(self, left: Sequence[Stored]) -> set[int]:
        changed_parents: set[str] = set()
        for component in self._bound.table.components:
            children = self._records.children(component, [one.uuid for one in left])
            for parent, found in children.items():
                if any(child.modified_on is not None and changed(child, self._selection) for child in found):
                    changed_parents.add(parent)
        return {id(one) for one in left if one.uuid in changed_parents}


def changed(record: Stored, selection: Selection) -> bool:
    """True when the record itself is as new as the selection asks, and not what the peer gave us."""
    if selection.without_source is not None and record.source == selection.without_source:
        return False
    if selection.after is not None and record.seq <= selection.after:
        return False
    return selection.since is None or record.modified_on is None or record.modified_on >= selection.since


def _is_gone(entry: Entry) -> bool:
    """True for a deleted record: plainly, or as what stands of a conflict with an edit."""
    return bool(entry.flags & DELETED) or (not entry.hash and entry.flags & (WHOLE | UNSHOWN) == WHOLE)


def _value_at(link: Link, entry: Entry, values: Sequence[Value] | None, bound: Bound) -> Any:
    if link.position >= 0:
        return None if values is None else values[link.position]
    return key_parts(bound.definition, entry.key)[link.part]


def _add_parts(found: dict[str, object], parts: Sequence[Link], bound: Bound, entry: Entry) -> None:
    """The fields of a primary key that means something."""
    held = key_parts(bound.definition, entry.key)
    for one in parts:
        value = held[one.part]
        if value is not None:
            found[one.name] = value if one.read is None else one.read(value)


def _set_aside(bound: Bound, entry: Entry) -> list[str]:
    """The fields whose references the row could not take from another Tallystick site."""
    aside = aside_of(entry)
    return [link.name for link in bound.pointing if aside.get(link.wire) is not None]


def _number(bound: Bound, entry: Entry) -> int:
    """The local number: the integer of the row where it has one, else the number under which the record came here."""
    return entry.local if bound.definition.mapped and isinstance(entry.local, int) else entry.born_seq


def _local(bound: Bound, entry: Entry) -> Value:
    """The value by which other rows refer to a row."""
    return address_of(bound.definition, entry.key, entry.local)[0]


def _column_seconds(value: object) -> int | None:
    try:
        return seconds(parse_time(value)) if isinstance(value, str) else None
    except TimeFormatError:
        return None


def _folded(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
