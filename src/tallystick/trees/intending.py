"""Noting what a side is about to hold before it does, and taking up what earlier runs noted (docs/trees.md).

Only that is noted which the other side holds at the very same path while it is planned: so where it came to stand,
both sides have held it, whatever became of it since, and it may be taken for the base.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from tallystick.trees.assembling import leaf_of
from tallystick.trees.base_row import BaseRow
from tallystick.trees.intended import Row, Rows, intentions, note, note_placed
from tallystick.trees.listing import Entry, Listing, Mark
from tallystick.trees.merging import Side
from tallystick.trees.nodes import Directory, Kind, Leaf, Node, children_of, find, joined, same
from tallystick.trees.plan import Plan, Verb
from tallystick.trees.scope import Scope
from tallystick.trees.state import Changes, State

if TYPE_CHECKING:
    from tallystick.trees.ends import TreeEnd

KEPT = 3
"""Of so many publications, the last ones, it is asked whether they come about after all."""
_NO_ROW = BaseRow(b"", b"")
_LEAVES = (Mark.UNREAD, Mark.FILE, Mark.LINK)


class Intending:
    """What one run notes of the side that it writes; ``stored`` is what the state calls that side.

    ``whole`` gives the row of the base for the listing of a directory that comes whole.
    """

    def __init__(
        self,
        state: State,
        stored: Side,
        token: str,
        plan: Plan,
        side: Side,
        whole: Callable[[str, Listing], BaseRow],
    ) -> None:
        self._state, self._stored, self._token = state, stored, token
        self._whole = whole
        self._source = plan.local if side is Side.REMOTE else plan.remote
        self._actions = {action.path: action for action in plan.of(side)}
        self._side = side
        self._began = False
        self._unplaced: list[int] = []
        self.numbers: list[int] = []
        """What was noted."""

    def begin(self, nodes: Mapping[str, Node]) -> None:
        """Note what is done as it comes, beside what is removed and permitted: it is never ``placed``."""
        self.intend(nodes)
        self._unplaced.clear()

    def intend(
        self,
        nodes: Mapping[str, Node],
        listings: Mapping[str, Listing] | None = None,
        run: str = "",
        failed: Collection[str] = (),
    ) -> None:
        """Note what is about to stand: nodes by path, and directories that come as they are listed.

        The first call notes as well what the plan removes and which permissions it changes, but for what ``failed``.
        ``run`` names the publication that brings all of it about.
        """
        there: dict[str, dict[str, Node]] = {}
        gone: dict[str, set[str]] = {}
        if not self._began:
            self._began = True
            self._note_known(there, gone, failed)
        for path, node in nodes.items():
            self._note_node(path, node, there, gone)
        for path in [*there, *(listings or {})]:
            _add_ancestors(path, there, listings or {})
        rows = self._rows(there, gone, listings or {})
        if rows:
            self.numbers.append(note(self._state, self._stored, run, self._token, rows))
            self._unplaced.append(self.numbers[-1])

    def placed(self, failed: Collection[str]) -> None:
        """What was noted stands by now, durably, but for what is at or below the ``failed`` paths."""
        while self._unplaced:
            note_placed(self._state, self._unplaced.pop(), failed)

    def _note_known(
        self, there: dict[str, dict[str, Node]], gone: dict[str, set[str]], failed: Collection[str]
    ) -> None:
        """What the plan removes or permits."""
        for path, action in self._actions.items():
            if path in failed:
                continue
            if action.verb is Verb.PERMIT:
                self._note_node(path, action.node, there, gone)
            elif action.verb is Verb.REMOVE and find(self._source, path) is None:
                _add_gone(path, action.node, gone)

    def _note_node(self, path: str, node: Node, there: dict[str, dict[str, Node]], gone: dict[str, set[str]]) -> None:
        held = self._held_there(path, node)
        if held is None:
            return
        parent, _, name = path.rpartition("/")
        there.setdefault(parent, {})[name] = held
        action = self._actions.get(path)
        if action is not None and isinstance(action.replaces, Directory) is not isinstance(held, Directory):
            _add_gone(path, action.replaces, gone)  # it goes first, to make room

    def _rows(
        self,
        there: Mapping[str, Mapping[str, Node]],
        gone: Mapping[str, Collection[str]],
        listings: Mapping[str, Listing],
    ) -> Rows:
        rows = {path: Row(self._whole(path, listing)) for path, listing in listings.items()}
        for path in there.keys() | gone.keys():
            before = rows[path].there.children() if path in rows else {}
            rows[path] = Row(BaseRow.of({**before, **there.get(path, {})}), sorted(gone.get(path, ())))
        return rows

    def _held_there(self, path: str, node: Node) -> Node:
        """What of a node the other side holds at the same path; None for what it does not."""
        action = self._actions.get(path)
        if action is None or action.verb is Verb.GRAFT:
            return node
        held = find(self._source, path)
        if action.verb is Verb.MAKE or not isinstance(node, Leaf):
            return node if isinstance(held, Directory) else None
        if not isinstance(held, Leaf) or node.digest is None:
            return None
        if action.verb is Verb.PERMIT:
            return node if held.permissions == node.permissions else None
        own = action.origin is None or action.origin.side is self._side or action.origin.path != path
        return None if own else node._replace(permissions=held.permissions)


def _add_gone(path: str, node: Node, gone: dict[str, set[str]]) -> None:
    """A removal goes from the leaves up, and may be cut short anywhere."""
    if node is not None:
        parent, _, name = path.rpartition("/")
        gone.setdefault(parent, set()).add(name)
    for name, child in children_of(node).items():
        _add_gone(joined(path, name), child, gone)


def _add_ancestors(path: str, there: dict[str, dict[str, Node]], listings: Mapping[str, Listing]) -> None:
    """Both sides have the directories above what they both have."""
    while path:
        parent, _, name = path.rpartition("/")
        if parent in listings or name in there.setdefault(parent, {}):
            return  # its own turn comes, or came
        there[parent][name] = Directory()
        path = parent


# What earlier runs noted ----------------------------------------------------------------------------------------------


def take_up(state: State, ends: Mapping[Side, TreeEnd], scope: Scope) -> Mapping[str, BaseRow]:
    """Let the base be what earlier runs meant to place, where that came to stand; ``ends`` by their stored sides.

    Directories whose base this changes are planned again in any case. Gives the rows of the base that were replaced.
    """
    found = intentions(state)
    if not found:
        return {}
    taken = _Taken(state, scope)
    waiting: dict[Side, list[int]] = {side: [] for side in Side}
    fulfilled: set[int] = set()
    for intention in found:
        stood = intention.rows if intention.placed else ends[intention.side].stood(intention)
        if stood is None:
            waiting[intention.side].append(intention.number)
            continue
        fulfilled.add(intention.number)
        for path, row in sorted(stood.items()):
            taken.take(path, row.nodes())
    fulfilled.update(number for numbers in waiting.values() for number in numbers[:-KEPT])
    if fulfilled:
        changed = {path for path, row in taken.base.items() if row is not None}
        state.remember(Changes(base=taken.base, unsettled=changed, fulfilled=fulfilled))
    return taken.replaced


class _Taken:
    """The rows of the base that change."""

    def __init__(self, state: State, scope: Scope) -> None:
        self._state = state
        self._scope = scope
        self.base: dict[str, BaseRow | None] = {}
        self.replaced: dict[str, BaseRow] = {}

    def take(self, path: str, nodes: Mapping[str, Node]) -> None:
        """Both sides are known to have held this in a directory."""
        parent, _, own = path.rpartition("/")
        above = self._row(parent)
        if path and (above is None or not isinstance(above.children().get(own), Directory)):
            return
        before = self._row(path)
        children = before.children() if before is not None else {}
        for name, node in nodes.items():
            inner, old = joined(path, name), children.get(name)
            if not self._in_scope(inner, isinstance(node, Directory) or (node is None and isinstance(old, Directory))):
                continue
            if isinstance(old, Directory) and not isinstance(node, Directory):
                self._forget(inner)
            if node is None:
                children.pop(name, None)
            elif not isinstance(old, Directory) or not isinstance(node, Directory) or not old.materialised:
                children[name] = node
                if isinstance(node, Directory) and self._row(inner) is None:
                    self.base[inner] = _NO_ROW
        row = BaseRow.of(children)
        if row != before:
            self.base[path] = row
            if before is not None:
                self.replaced.setdefault(path, before)

    def _row(self, path: str) -> BaseRow | None:
        return self.base[path] if path in self.base else self._state.base_row(path)

    def _forget(self, path: str) -> None:
        for known in {*self._state.base_paths(), *self.base}:
            if known == path or known.startswith(f"{path}/"):
                self.base[known] = None

    def _in_scope(self, path: str, directory: bool) -> bool:
        if self._scope.everything:
            return True
        return self._scope.enters(path) if directory else self._scope.includes(path, False)


def standing(end: TreeEnd, rows: Rows) -> Rows:
    """Of what was to stand on a scanned side, what does: for the rest nobody can tell what became of it."""
    looked = {path: row for path, row in rows.items() if _is_there(end, path)}
    _read(end, looked)
    found: dict[str, Row] = {}
    for path, row in looked.items():
        there = {name: node for name, node in row.there.children().items() if _stands(end, path, name, node)}
        found[path] = Row(BaseRow.of(there), [name for name in row.gone if _stands(end, path, name, None)])
    return found


def _is_there(end: TreeEnd, path: str) -> bool:
    """True when a directory was listed by the last scan, or is as it was noted."""
    while path:
        parent, _, name = path.rpartition("/")
        entry = _entry(end, parent, name)
        if path in end.unknown or entry is None or entry.mark != Mark.DIRECTORY:
            return False
        path = parent
    return "" not in end.unknown and end.listing("") is not None


def _entry(end: TreeEnd, path: str, name: str) -> Entry | None:
    listing = end.listing(path)
    return None if listing is None else listing.find(name)


def _read(end: TreeEnd, rows: Rows) -> None:
    """Read the leaves that may be what was to stand there."""
    wanted = [
        [joined(path, name)]
        for path, row in rows.items()
        for name, node in row.there.children().items()
        if isinstance(node, Leaf) and (entry := _entry(end, path, name)) is not None
        if entry.mark in _LEAVES and leaf_of(entry).digest is None
        if node.kind is Kind.LINK or node.size == entry.size
    ]
    found: dict[str, list[Entry]] = {}
    for value in end.read_values(wanted) if wanted else ():
        if value.problem is None:
            parent, _, name = value.path.rpartition("/")
            found.setdefault(parent, []).append(Entry(name, tuple(value.stats), value.mark, value.digest))
    for path, entries in found.items():
        end.note(path, (end.listing(path) or Listing()).changed_with(entries))


def _stands(end: TreeEnd, path: str, name: str, node: Node) -> bool:
    entry = _entry(end, path, name)
    if joined(path, name) in end.unknown:
        return False
    if entry is None or node is None:
        return entry is None and node is None
    if isinstance(node, Directory):
        return entry.mark == Mark.DIRECTORY
    if entry.mark not in _LEAVES or not isinstance(node, Leaf):
        return False
    permitted = not end.volume.permissions or node.kind is Kind.LINK or entry.permissions == node.permissions
    return permitted and same(leaf_of(entry), node)
