"""The three synchronizations of the object model: contents, hierarchy, address book (spec ics 2, 3, 6)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tallystick.errors import StateFutureError, StateInvalidError, StateScopeError, UsageError
from tallystick.stores.changelog import Class, Detail, Entry, Kind
from tallystick.stores.coalescing import Net
from tallystick.stores.delivery import Delivery, Importer, OnError, Patience, attach_store
from tallystick.stores.directory import directory_changes
from tallystick.stores.errors import StateRequiredError, UnknownRegistrationError
from tallystick.stores.hierarchy import breadth_first, folder_changes, inside, parents_first
from tallystick.stores.plans import Plan, Request, Update, plan_contents
from tallystick.stores.port import SERVER, Parked, Record, Registration, Subject
from tallystick.stores.rights import Right
from tallystick.stores.states import State, directory_state, parse_directory_state, parse_state
from tallystick.stores.windows import Window, window_of

if TYPE_CHECKING:
    from tallystick.stores.folder import Folder
    from tallystick.stores.server import Server

NEW_MESSAGE = 0x800
ASSOCIATED = 0x10
SOFT_DELETE = 0x01
_CHUNK = 500


class Span(NamedTuple):
    """Which part of the contents a synchronization is about."""

    max_changes: int = 0
    associated: Sequence[int] = (0,)
    window: float | None = None
    begin: datetime | None = None
    end: datetime | None = None

    def opened(self, now: float) -> Window | None:
        """The window it asks for at ``now``."""
        return window_of(now, self.window, self.begin, self.end)


def current(server: Server, scope: int) -> str:
    """The state of now, of a folder or of SERVER, under a new registration."""
    with server.records.transaction():
        sync = server.records.register(scope, Subject.CONTENTS)
        seq = server.records.top(scope)
        if seq == 0:
            seq = server.records.mark(scope)
    return server.text(State(sync, seq).raw())


# states that come in -------------------------------------------------------------------------------------------------


def _accept(
    server: Server, text: str | bytes | None, scope: int, subject: Subject
) -> tuple[State, Registration | None]:
    """The state that ``text`` stands for, under a registration that exists and is for ``scope``.

    Raises StateInvalidError, StateScopeError, StateFutureError, UnknownRegistrationError as the server's faults are.
    """
    state = parse_state(b"" if text is None else server.raw_state(text))
    if scope == SERVER and state.initial:
        raise StateRequiredError("the contents of a whole server can only be followed from a state on")
    known = server.records.registration(state.sync) if state.sync else None
    if known is None:
        if state.sync and state.seq == 0 and state.position is None:
            raise UnknownRegistrationError(f"synchronization {state.sync} was never registered here")
        if state.sync:
            server.log.warning("synchronization %d is not known any more, going on from %d", state.sync, state.seq)
        _reachable(server, state)
        return state._replace(sync=server.records.register(scope, subject)), None
    if known.subject != subject:
        raise StateScopeError(f"this state is one of {Subject(known.subject).name.lower()}")
    if known.scope != scope:
        raise StateScopeError("this state belongs to another folder")
    _reachable(server, state)
    return state, known


def _reachable(server: Server, state: State) -> None:
    if not server.faithful and state.seq > server.records.top(SERVER):
        raise StateFutureError("this state is from a later history than this site has: it was restored or copied since")


# contents ------------------------------------------------------------------------------------------------------------


def contents(
    server: Server,
    folder: Folder | None,
    importer: Importer,
    text: str | bytes | None,
    span: Span,
    stats: MutableMapping[str, int] | None,
    on_error: OnError,
) -> str:
    """Tell ``importer`` what changed in ``folder`` (None: anywhere) since the state ``text``; the new state."""
    if span.max_changes < 0:
        raise UsageError(f"max_changes={span.max_changes} is no limit", hint="use 1 or more; 0 and None mean no limit")
    attach_store(importer, None if folder is None else folder.store)
    scope = SERVER if folder is None else folder.hierarchyid
    given, registration = _accept(server, text, scope, Subject.CONTENTS)
    restricted = registration is not None and registration.restricted
    request = Request(
        scope, given, span.opened(server.time()), span.associated, span.max_changes, restricted, server.faithful
    )
    if _nothing_new(server, request):
        return server.text(given.raw())
    delivery = _delivery(server, importer, stats, on_error)
    try:
        state = _tell_pages(server, request, delivery)
    finally:
        _park(server, delivery, given.sync, scope)
    if state.position is None:
        server.records.complete(state.sync, state.seq)
    result = server.text(state.raw())
    if state.position is not None:
        level = logging.ERROR if server.faithful else logging.DEBUG
        server.log.log(
            level, "stopped after %d changes with a partial state of %d bytes", span.max_changes, len(state.raw())
        )
    return result


def _nothing_new(server: Server, request: Request) -> bool:
    """The cheap answer to the commonest question."""
    if request.window is not None or request.restricted or request.state.position is not None:
        return False
    return request.state.seq > 0 and server.records.top(request.scope) == request.state.seq


def _tell_pages(server: Server, request: Request, delivery: Delivery) -> State:
    """Tell plan after plan: the rest of a partial state's pass, then what happened since."""
    while True:
        plan = delivery.patience.transient(partial(plan_contents, server.records, request), "listing changes")
        _tell(server, plan, delivery)
        left = request.limit - len(plan.updates)
        resumed = request.state.position is not None
        if plan.partial or not resumed or (request.limit and left <= 0):
            return plan.state
        restricted = request.restricted or request.window is not None
        request = request._replace(state=plan.state, limit=max(left, 0), restricted=restricted)


def _delivery(
    server: Server, importer: Importer, stats: MutableMapping[str, int] | None, on_error: OnError
) -> Delivery:
    return Delivery(
        importer,
        log=server.log,
        stats=stats,
        on_error=on_error,
        unnoticed=server.unnoticed,
        patience=Patience(server.log, server.sleep),
    )


def _park(server: Server, delivery: Delivery, sync: int, scope: int) -> None:
    """Keep a list of what the importer would not take."""
    if delivery.refused:
        seq, now = server.records.top(scope), server.now()
        server.records.park(
            [
                Parked(sync, scope, seq, server.raw(key), _KINDS[callback], note, now)
                for key, callback, note in delivery.refused
            ]
        )


_KINDS = {"update": Kind.CHANGE, "read": Kind.FLAG, "delete": Kind.HARD}


def _tell(server: Server, plan: Plan, delivery: Delivery) -> None:
    if delivery.wants("update"):
        for update, record in _open(server, plan.updates, delivery):
            flags = (NEW_MESSAGE if update.new else 0) | (ASSOCIATED if record.associated else 0)
            delivery.tell("update", server.faces.item(server, record), flags)
    for entry in plan.softs:
        delivery.tell("delete", server.faces.deleted_item(server, entry), SOFT_DELETE)
    for entry in plan.hards:
        delivery.tell("delete", server.faces.deleted_item(server, entry), 0)
    if plan.reads and delivery.wants("read"):
        present = server.records.records([entry.record for entry, _ in plan.reads])
        for entry, value in plan.reads:
            delivery.tell("read", _read_item(server, present.get(entry.record), entry), value)


def _read_item(server: Server, record: Record | None, entry: Entry) -> Any:
    if record is None or record.entry != entry.id:
        return server.faces.deleted_item(server, entry)
    return server.faces.item(server, record)


def _open(server: Server, updates: Sequence[Update], delivery: Delivery) -> Iterator[tuple[Update, Record]]:
    """Updates with their records as they are when each is told; those that cannot be opened any more are left out."""
    records = server.records
    for start in range(0, len(updates), _CHUNK):
        chunk = updates[start : start + _CHUNK]
        seen = -1
        found: dict[int, Record] = {}
        for update in chunk:
            if records.commits != seen:  # a callback may have changed what is still to be told
                seen = records.commits
                wanted = [one.record for one in chunk]
                found = delivery.patience.transient(partial(records.records, wanted), "reading")
            record = found.get(update.record)
            if record is not None and record.entry == update.entry and not record.soft:
                yield update, record
            else:
                server.log.debug("item %d is gone and not told", update.record)


# the hierarchy -------------------------------------------------------------------------------------------------------


def hierarchy(server: Server, root: Folder, importer: Importer, text: str | bytes | None, in_order: bool) -> str:
    """Tell ``importer`` what changed among the folders below ``root`` since the state ``text``; the new state."""
    attach_store(importer, root.store)
    state, registration = _accept(server, text, root.hierarchyid, Subject.HIERARCHY)
    if state.position is not None:
        raise StateInvalidError("a state of a hierarchy is never partial")
    if state.seq == 0:
        reached = _whole_hierarchy(server, root, importer)
    else:
        reached = _changed_hierarchy(server, root, importer, state, in_order)
        reached = max(reached, registration.done if registration is not None else state.seq)
    server.records.complete(state.sync, reached)
    return server.text(State(state.sync, reached).raw())


def _whole_hierarchy(server: Server, root: Folder, importer: Importer) -> int:
    with server.records.snapshot():
        reached = server.records.top(SERVER)
        folders = breadth_first(root, lambda folder: folder.folders(recurse=False))
    if hasattr(importer, "update"):
        for folder in folders:
            importer.update(folder)
    return reached


def _changed_hierarchy(server: Server, root: Folder, importer: Importer, state: State, in_order: bool) -> int:
    """Net changes of the folders now below ``root``; the highest seq among them, 0 if there are none."""
    records = server.records
    with records.snapshot():
        tree = _Tree(server, root.hierarchyid)
        changed = records.entries(SERVER, state.seq, Class.FOLDER)
        net, reached, entries = folder_changes(changed, state.seq, tree.has)
        vanished = net.updates.keys() - records.records(net.updates).keys()
        net.hards.update(dict.fromkeys(sorted(vanished)))  # moved below what was then deleted for good
        told = list(net.updates)
        if in_order:
            told = _in_order(server, tree, changed, net)
    if hasattr(importer, "update"):
        for number in told:
            found = records.records([number]).get(number)
            if found is not None and tree.shows(found):
                importer.update(server.faces.folder(server, found))
    if hasattr(importer, "delete"):
        for flags, gone in ((SOFT_DELETE, net.softs), (0, net.hards)):
            for number in gone:
                importer.delete(server.faces.deleted_folder(server, entries[number]), flags)
    return reached


def _in_order(server: Server, tree: _Tree, changed: Iterable[Entry], net: Net) -> list[int]:
    """Numbers of the updates, parents first; with what came along into the tree, without what is deleted by now."""
    records = server.records
    present = records.records(net.updates)
    for number, record in present.items():
        if record.soft:
            net.softs[number] = None
    entered = {entry.record for entry in changed if entry.detail & Detail.DEPARTED and not tree.has(entry.parent)}
    told = {number: record for number, record in present.items() if not record.soft}
    for number in entered & told.keys():
        below = breadth_first(told[number], lambda folder: records.children(folder.id, Class.FOLDER))
        told.update({folder.id: folder for folder in below})
    return parents_first(list(told), {number: record.parent for number, record in told.items()})


class _Tree:
    """Which folders are alive below one folder, found by walking up from those that are asked about."""

    def __init__(self, server: Server, root: int) -> None:
        self._server = server
        self._root = root
        self._known: dict[int, bool] = {}

    def has(self, folder: int) -> bool:
        return inside(folder, self._root, self._parent, self._known)

    def shows(self, folder: Record) -> bool:
        """True when the caller may see ``folder`` and all folders above it, up to the root."""
        at: Record | None = folder
        while self._server.caller is not None and at is not None and at.id != self._root:
            if not self._server.faces.folder(self._server, at).allowed(Right.FOLDER_VISIBLE):
                return False
            at = self._server.records.records([at.parent]).get(at.parent)
        return True

    def _parent(self, folder: int) -> int | None:
        found = self._server.records.records([folder]).get(folder)
        if found is None or found.soft or found.object != Class.FOLDER:
            return None
        return found.parent


# the address book ----------------------------------------------------------------------------------------------------


def directory(server: Server, importer: Importer, text: str | bytes | None) -> str:
    """Tell ``importer`` what changed among the users that the caller sees since the state ``text``; the new state."""
    seq = parse_directory_state(b"" if text is None else server.raw_state(text))
    with server.records.snapshot():
        changed = server.records.entries(SERVER, seq, Class.USER)
        present = server.records.records([entry.record for entry in changed])
    reached = max([seq, *(entry.latest for entry in changed)])
    net = directory_changes(changed, seq)
    entries = {entry.id: entry for entry in changed if server.sees(entry.parent)}
    chosen = [entries[one] for one in net.updates if one in entries and entries[one].record in present]
    if hasattr(importer, "update"):
        for entry in chosen:
            importer.update(server.faces.user(server, present[entry.record]))
    if hasattr(importer, "delete") and seq:
        for one in net.deletes:
            if one in entries:
                importer.delete(server.faces.deleted_user(server, entries[one]))
    return server.text(directory_state(reached))


def state_bytes(raw: Callable[[str | bytes], bytes], text: str | bytes) -> bytes:
    """The bytes of the state ``text``. Raises StateInvalidError."""
    try:
        return raw(text)
    except ValueError as error:
        raise StateInvalidError(f"{text!r:.60} is not a state") from error
