"""Children of a site's records: rows of a table that travel inside their parents (spec 7 *Children*).

The ledger knows parents and children as records of two resources. SData knows the parent alone: a change of a child is
one of its parent, which gets a new dot for it, and children that come in are written as edits made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tallystick.errors import ValueRejected
from tallystick.protocols.sdata.codec.payloads import Collection, Payload
from tallystick.protocols.sdata.codec.payloads import Field as PayloadField
from tallystick.protocols.sdata.site.forms import referred_uuids
from tallystick.protocols.sdata.site.links import keys_of
from tallystick.protocols.sdata.site.nests import Nest
from tallystick.site import editing
from tallystick.site.editing import Edit, Operation, contents_of
from tallystick.site.engines.engine import Entry
from tallystick.site.identity import address_of
from tallystick.site.ledger import UNSHOWN
from tallystick.site.schema import Identity

if TYPE_CHECKING:
    from tallystick.protocols.sdata.site.place import Place
    from tallystick.protocols.sdata.store import Resource


class Child(NamedTuple):
    """One child that came in; ``content`` is None for a deleted one."""

    uuid: str
    content: Mapping[str, Any] | None


class Listed(NamedTuple):
    """A list that came in: the property, its children, whether it names all that there are."""

    name: str
    items: Sequence[Child]
    whole: bool


# Reading ----------------------------------------------------------------------------------------------------------


def collections(place: Place, entries: Sequence[Entry], *, name: bool) -> dict[str, dict[str, Collection]]:
    """The lists of live parents, by property and the parent's key; with ``name`` children without uuid get one."""
    made: dict[str, dict[str, Collection]] = {}
    for listed, nested in place.nested.items():
        rows = rows_of(place, nested, listed, entries)
        found = nested.resources([child for _, child in rows], name=name, full=False)
        items: dict[str, list[Payload]] = {entry.key: [] for entry in entries}
        for (parent, child), resource in zip(rows, found, strict=True):
            items[parent].append(_nested(resource))
            if not resource.uuid:
                place.unnamed.setdefault(nested.tracked.wire, set()).add(child.key)
        for wire, keys in nested.unnamed.items():
            place.unnamed.setdefault(wire, set()).update(keys)
        made[listed] = {key: Collection(tuple(found), delete_missing=True) for key, found in items.items()}
    return made


def _nested(resource: Resource) -> Payload:
    payload = resource.payload
    return Payload(payload.name, "", payload.fields, resource.uuid, resource.key)


def rows_of(place: Place, nested: Place, listed: str, entries: Sequence[Entry]) -> list[tuple[str, Entry]]:
    """The children of parents: the parent's key and the child's entry, ordered by the child's primary key."""
    nest = place.form.lists[listed]
    asked = {entry.key: address_of(nest.parent, entry.key, entry.local)[0] for entry in entries}
    parents = {str(value): key for key, value in asked.items()}
    column, key, table = (_quoted(one) for one in (nest.field.column, nest.child.key_columns[0], nest.child.name))
    sql = f"SELECT {column}, {key} FROM {table} WHERE {column} IN (*)"
    rows = place.ledger.engine.query_in(sql, (), list(asked.values()))
    owners = {str(row[1]): parents[str(row[0])] for row in rows}
    found = nested.entries_at([(row[1],) for row in sorted(rows, key=lambda row: row[1])])
    return [(owners[str(address_of(nest.child, entry.key, entry.local)[0])], entry) for entry in found]


def held(place: Place, nested: Place, listed: str, entry: Entry) -> dict[str, str]:
    """The record keys of a parent's children in one list, by the keys that they show."""
    return {nested.shown_key(child): child.key for _, child in rows_of(place, nested, listed, [entry])}


def read(place: Place, payload: Payload, references: Mapping[tuple[str, str], str]) -> list[Listed]:
    """The lists that a payload states. Raises ValueRejected for a value that is none of its type."""
    found = []
    for listed, nested in place.nested.items():
        value: PayloadField = payload.fields.get(listed)
        if value is None or value == "" or (isinstance(value, Payload) and value.reference):
            continue  # a link to the list, as feeds show it, says nothing of what is in it
        if not isinstance(value, Collection):
            raise ValueRejected(f"{listed} is a list of {nested.form.kind.element}")
        found.append(Listed(listed, [_read(nested, item, references) for item in value.items], value.delete_missing))
    return found


def _read(nested: Place, item: Payload, references: Mapping[tuple[str, str], str]) -> Child:
    return Child(item.uuid, None if item.deleted else nested.form.content(item, references))


def references_in(place: Place, payloads: Sequence[Payload]) -> dict[tuple[str, str], str]:
    """The keys of what payloads and the children in them refer to, by (resource, uuid)."""
    wanted = referred_uuids(payloads, place.form)
    for name, nested in place.nested.items():
        lists = [payload.fields.get(name) for payload in payloads]
        items = [item for listed in lists if isinstance(listed, Collection) for item in listed.items]
        for wire, uuids in referred_uuids(items, nested.form).items():
            wanted.setdefault(wire, set()).update(uuids)
    return keys_of(place.ledger, wanted)


# Writing: inside ``ledger.write()`` -----------------------------------------------------------------------------------


def write(place: Place, stated: Sequence[tuple[str, Sequence[Listed]]]) -> dict[str, str]:
    """Write the lists of parents, given by key; why one of a parent's children could not be written, by that key."""
    problems: dict[str, str] = {}
    entries = place.tracked.rows.by_keys([key for key, lists in stated if lists])
    for name, nested in place.nested.items():
        chosen = [(key, one) for key, lists in stated for one in lists if one.name == name]
        if chosen:
            live = [entry for entry in entries.values() if entry.hash]
            held: dict[str, list[str]] = {}
            for parent, child in rows_of(place, nested, name, live):
                held.setdefault(parent, []).append(child.key)
            problems.update(_write(nested, place.form.lists[name], chosen, held))
    return problems


def _write(
    nested: Place, nest: Nest, stated: Sequence[tuple[str, Listed]], held: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    known = nested.links.keys([child.uuid for _, listed in stated for child in listed.items if child.uuid])
    live = {key for key, entry in nested.tracked.rows.by_keys(sorted(set(known.values()))).items() if entry.hash}
    gone: list[tuple[str, str, Edit]] = []
    put: list[tuple[str, str, Edit]] = []
    named = {known.get(child.uuid, "") for _, listed in stated for child in listed.items}  # some have moved
    for parent, listed in stated:
        if listed.whole:
            gone += [(parent, "", editing.delete(key)) for key in held.get(parent, ()) if key not in named]
        for child in listed.items:
            key = known.get(child.uuid, "")
            if child.content is not None:
                content = {**child.content, nest.field.wire: nest.value(parent)}
                put.append((parent, child.uuid, _put(nested, key if key in live else "", key or child.uuid, content)))
            elif key in live:
                gone.append((parent, "", editing.delete(key)))
    return _edited(nested, [*gone, *put])


def _put(nested: Place, live: str, key: str, content: Mapping[str, Any]) -> Edit:
    if live:
        return Edit(Operation.UPDATE, live, content)
    given = nested.tracked.definition.identity is not Identity.NATURAL or not nested.form.keys
    stated = {name: value for name, value in content.items() if value is not None}
    return Edit(Operation.INSERT, key if given else "", stated)


def _edited(nested: Place, edits: Sequence[tuple[str, str, Edit]]) -> dict[str, str]:
    problems: dict[str, str] = {}
    done = editing.write(nested.ledger, nested.tracked, [edit for _, _, edit in edits])
    named = {}
    for (parent, uuid, _), edited in zip(edits, done, strict=True):
        if edited.refusal is not None:
            problems[parent] = f"{nested.form.kind.element}: {edited.refusal.message}"
        elif uuid and uuid != edited.key:
            named[edited.key] = uuid
    nested.links.link(named)
    return problems


def end(place: Place, keys: Sequence[str]) -> dict[str, str]:
    """Delete the children of parents that are about to go (spec 7: a deleted parent implies them)."""
    return write(place, [(key, [Listed(name, (), True) for name in place.nested]) for key in keys])


# Noticing: inside ``ledger.write()`` ----------------------------------------------------------------------------------


def notice(place: Place, *, quiet: bool = False) -> None:
    """Give parents a new dot whose children changed since this was last asked; ``quiet``: these changes came with them.

    Who a deleted child belonged to is remembered beside the ledger, because its row is gone.
    """
    for name, nested in place.nested.items():
        affected = _affected(nested, place.form.lists[name], first=place.names.fresh)
        if affected and not quiet:
            _restamp(place, sorted(affected))


def _affected(nested: Place, nest: Nest, *, first: bool) -> set[str]:
    engine, number = nested.ledger.engine, nested.tracked.number
    rows = engine.query("SELECT seq FROM tally_sdata_nested WHERE resource=?", (number,))
    before = int(rows[0][0]) if rows else 0
    changed = engine.query("SELECT key FROM tally_record WHERE resource=? AND seq>?", (number, before))
    if not changed and rows:
        return set()
    keys = [str(row[0]) for row in changed]
    old = _owners(nested, keys)
    new = _parents(nested, nest, keys)
    engine.executemany(
        "INSERT INTO tally_sdata_child(resource, key, parent) VALUES (?, ?, ?) "
        "ON CONFLICT (resource, key) DO UPDATE SET parent=excluded.parent",
        [(number, key, parent) for key, parent in new.items()],
    )
    engine.executemany(
        "DELETE FROM tally_sdata_child WHERE resource=? AND key=?", [(number, key) for key in old if key not in new]
    )
    seqs = engine.query("SELECT coalesce(max(seq), 0) FROM tally_record WHERE resource=?", (number,))
    engine.execute(
        "INSERT INTO tally_sdata_nested(resource, seq) VALUES (?, ?) "
        "ON CONFLICT (resource) DO UPDATE SET seq=excluded.seq",
        (number, int(seqs[0][0])),
    )
    return set() if first and not rows else {*old.values(), *new.values()}


def _owners(nested: Place, keys: Sequence[str]) -> dict[str, str]:
    sql = f"SELECT key, parent FROM tally_sdata_child WHERE resource={nested.tracked.number} AND key IN (*)"
    return {str(key): str(parent) for key, parent in nested.ledger.engine.query_in(sql, (), keys)}


def _parents(nested: Place, nest: Nest, keys: Sequence[str]) -> dict[str, str]:
    """The parents that rows name now, by the child's key."""
    live = [entry for entry in nested.tracked.rows.by_keys(keys).values() if entry.hash]
    contents = contents_of(nested.ledger, nested.tracked, live)
    named = {key: content.get(nest.field.wire) for key, content in contents.items()}
    return {key: nest.key(value) for key, value in named.items() if value is not None}


def _restamp(place: Place, keys: Sequence[str]) -> None:
    """New dots for parents, as edits of their rows give. One that waits for a decision gets its dot with that."""
    entries = [one for one in place.tracked.rows.by_keys(keys).values() if one.hash and not one.flags & UNSHOWN]
    undecided = {key for key, whole in place.wholes(entries).items() if whole.undecided}
    contents = contents_of(place.ledger, place.tracked, [one for one in entries if one.key not in undecided])
    edits = [Edit(Operation.SETTLE, key, content) for key, content in contents.items()]
    editing.write(place.ledger, place.tracked, edits)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
