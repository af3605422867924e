"""Children that lose with their parents, kept in the conflict log as rows of their own table (spec 7, 9.5).

A conflict is one of parents, and the list of the winner replaces the other's. What the loser's list said of a row goes
to the log of that row's table, in the kinds in which the parents are logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tallystick.core.values import mapping_hash
from tallystick.core.versions import DELETED, Version, created_record
from tallystick.protocols.sdata.codec.digests import SyncState
from tallystick.protocols.sdata.site.children import Child, Listed, rows_of
from tallystick.protocols.sdata.site.nests import Nest
from tallystick.protocols.sdata.site.standings import stamp_of_state
from tallystick.site import conflicts
from tallystick.site.editing import contents_of
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import held, load_wholes
from tallystick.site.identity import natural_key
from tallystick.site.ledger import WHOLE
from tallystick.site.schema import Identity

if TYPE_CHECKING:
    from tallystick.protocols.sdata.site.place import Place


class Rows(NamedTuple):
    """Rows of one table of children: their entries and their contents, by key."""

    entries: Mapping[str, Entry]
    contents: Mapping[str, dict[str, Any]]


class Lost(NamedTuple):
    """The lists of a parent whose incoming version lost, and the state that it came with."""

    parent: str
    state: SyncState
    lists: Sequence[Listed]


# Rows here that are about to be written over --------------------------------------------------------------------------


def rows_at_stake(place: Place, stated: Sequence[tuple[str, Sequence[Listed]]]) -> dict[str, Rows]:
    """The children, by property, of parents that incoming versions win against, and those that their lists name.

    ``stated`` are the parents' keys with the lists that come in. Ask before anything of them is written.
    """
    if not stated:
        return {}
    parents = [entry for entry in place.tracked.rows.by_keys([key for key, _ in stated]).values() if entry.hash]
    found = {}
    for name, nested in place.nested.items():
        named = [child.uuid for _, child in _children(name, stated) if child.uuid]
        keys = {*nested.links.keys(named).values(), *(child.key for _, child in rows_of(place, nested, name, parents))}
        found[name] = _rows(nested, keys)
    return found


def log_overwritten(place: Place, before: Mapping[str, Rows], run: str) -> None:
    """Log what ``before`` held and the rows no longer do. Ask after everything is written."""
    for name, rows in before.items():
        nested = place.nested[name]
        now = _rows(nested, rows.entries).contents
        changed = [key for key, content in rows.contents.items() if now.get(key) != content]
        wholes = load_wholes(nested.ledger, nested.tracked, [key for key in changed if rows.entries[key].flags & WHOLE])
        hidden = [
            (key, version)
            for key in changed
            for version in held(nested.ledger, rows.entries[key], rows.contents[key], wholes.get(key)).shown
        ]
        conflicts.log_many(nested.ledger, nested.tracked, "lost here", hidden, run)


# Rows that came and are not written -----------------------------------------------------------------------------------


def log_unwritten(place: Place, lost: Sequence[Lost], run: str) -> None:
    """Log the children of incoming versions that lost, where they differ from the rows here."""
    if not lost:
        return
    for name, nested in place.nested.items():
        stated = [(one, child) for one in lost for _, child in _children(name, [(one.parent, one.lists)])]
        known = nested.links.keys([child.uuid for _, child in stated if child.uuid])
        here = _rows(nested, known.values()).contents
        hidden = []
        for one, child in stated:
            key = known.get(child.uuid, "")
            content = _content(place.form.lists[name], one.parent, child, here.get(key, {}))
            if content != here.get(key):
                key = key or _key(nested, child.uuid, content or {})
                hidden.append((key, _version(place, key, one.state, content)))
        conflicts.log_many(nested.ledger, nested.tracked, "lost on arrival", _unlogged(nested, hidden), run)


def _content(nest: Nest, parent: str, child: Child, here: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the row would hold: fields that the payload does not name stay as they are."""
    if child.content is None:
        return None
    content = {**here, **child.content, nest.field.wire: nest.value(parent)}
    return {wire: value for wire, value in content.items() if value is not None}


def _key(nested: Place, uuid: str, content: Mapping[str, Any]) -> str:
    """The key that a row which is not here would get."""
    parts = tuple(content.get(field.wire) for field in nested.form.keys.values())
    natural = nested.tracked.definition.identity is Identity.NATURAL and parts and None not in parts
    return natural_key(nested.tracked.definition, parts) if natural else uuid


def _version(place: Place, key: str, state: SyncState, content: Mapping[str, Any] | None) -> Version:
    """A child has no state of its own: it is named by that of its parent."""
    origin, tick = place.names.of_endpoint(state.endpoint, state.tick)
    digest = DELETED if content is None else mapping_hash(key, dict(content))
    return created_record(origin, tick, digest, stamp_of_state(state), content).versions[0]


def _unlogged(nested: Place, hidden: Sequence[tuple[str, Version]]) -> list[tuple[str, Version]]:
    """Those that no earlier, interrupted pass has logged already."""
    logged = {
        (key, one.version.dot, one.version.hash)
        for key in {key for key, _ in hidden}
        for one in conflicts.logged(nested.ledger, nested.tracked, key)
    }
    return [(key, version) for key, version in hidden if (key, version.dot, version.hash) not in logged]


# Both -----------------------------------------------------------------------------------------------------------------


def _children(name: str, stated: Sequence[tuple[str, Sequence[Listed]]]) -> Iterator[tuple[str, Child]]:
    """The children in the lists called ``name``, each with its parent's key."""
    for parent, lists in stated:
        for listed in lists:
            if listed.name == name:
                yield from ((parent, child) for child in listed.items)


def _rows(nested: Place, keys: Iterable[str]) -> Rows:
    entries = {key: entry for key, entry in nested.tracked.rows.by_keys(sorted(set(keys))).items() if entry.hash}
    return Rows(entries, contents_of(nested.ledger, nested.tracked, list(entries.values())))
