"""The list of changes that one synchronization of contents will tell, fixed at its start (spec ics 3.2, 6).

``plan_contents`` reads one moment of the log and says what to tell and which state that leads to. Nothing is told
here: ``delivery.py`` does that, while the list stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tallystick.stores.changelog import Class, Detail, Entry, Kind, Row, rows_after
from tallystick.stores.coalescing import Net, coalesce
from tallystick.stores.port import SERVER, Records
from tallystick.stores.states import Position, State
from tallystick.stores.windows import (
    Live,
    Window,
    admitted,
    difference,
    edges,
    pack,
    restriction,
    unpack,
)


class Request(NamedTuple):
    """What one synchronization of contents asks for."""

    scope: int
    """Number of the folder, or SERVER."""
    state: State
    """With a registration that exists and belongs to ``scope``."""
    window: Window | None = None
    associated: Sequence[int] = (0,)
    """Which items: 0 visible ones, 1 associated ones."""
    limit: int = 0
    """Most items to tell; 0 = all."""
    restricted: bool = False
    """True when the registration was used with a window before."""
    faithful: bool = False
    """Lose what the original loses when a window begins (spec ics 5.3)."""


class Update(NamedTuple):
    """One item to tell: new, or changed."""

    record: int
    entry: int
    new: bool
    at: int
    """Where it stands in the list: a seq, or the record's number where the list is newest first."""


class Plan(NamedTuple):
    """What to tell, in the order of the fields, and the state afterwards."""

    state: State
    updates: Sequence[Update]
    softs: Sequence[Entry] = ()
    hards: Sequence[Entry] = ()
    reads: Sequence[tuple[Entry, bool]] = ()

    @property
    def partial(self) -> bool:
        """True when the limit left something to tell."""
        return self.state.position is not None


def plan_contents(records: Records, request: Request) -> Plan:
    """What to tell, at this moment.

    With a window, or after one, the set of items that the consumer will hold is remembered in the same transaction.
    Raises StorageError.
    """
    with records.transaction() if _writes(records, request) else records.snapshot():
        if request.scope == SERVER:
            return _server_window(records, request) if _restricted(request) else _from_log(records, request)
        if _restricted(request):
            return _folder_window(records, request)
        return _initial(records, request) if request.state.seq == 0 else _from_log(records, request)


def _restricted(request: Request) -> bool:
    return request.window is not None or request.restricted


def _writes(records: Records, request: Request) -> bool:
    """True when sets will be remembered, or an untouched folder needs its first seq."""
    return _restricted(request) or (request.scope != SERVER and records.top(request.scope) == 0)


# without a window ----------------------------------------------------------------------------------------------------


def _initial(records: Records, request: Request) -> Plan:
    """Everything, newest first; from a partial state what is left of what was there when it began."""
    position = request.state.position
    if position is None:
        top = records.top(request.scope) or records.mark(request.scope)
        listed = records.listed(request.scope, associated=request.associated)
    else:
        top = position.until
        live = records.live(request.scope, request.associated)
        listed = [(item.record, item.entry) for item in live if item.record < position.at and item.created <= top]
    updates = [Update(record, entry, True, record) for record, entry in listed]
    return _cut(records, request, Plan(State(request.state.sync, top), updates))


def _from_log(records: Records, request: Request) -> Plan:
    """The log's rows beyond the state, up to where the state's own pass ends if it is a partial one."""
    state = request.state
    entries = records.entries(request.scope, state.seq, Class.ITEM)
    rows = rows_after(entries, state.seq)
    top = records.top(request.scope)
    if state.position is not None:
        top = state.position.until
        rows = _untold(rows, state.position)
    known = {entry.id: entry for entry in entries}
    net = _visible(coalesce(rows), known, request.associated)
    places = _places(rows, net)
    updates = [Update(known[entry].record, entry, new, places[entry]) for entry, new in net.updates.items()]
    return _cut(records, request, _plan(State(state.sync, top), updates, net, known))


def _untold(rows: Iterable[Row], position: Position) -> list[Row]:
    """Rows of a pass that stopped at ``position``, without those told: an item told once is told, until it ends."""
    chosen = [row for row in rows if row.seq <= position.until]
    told = {row.entry for row in chosen if row.kind <= Kind.CHANGE and row.seq <= position.at}
    return [row for row in chosen if row.kind >= Kind.SOFT or row.entry not in told]


def _visible(net: Net, entries: Mapping[int, Entry], associated: Sequence[int]) -> Net:
    """``net`` without updates and reads of items that were not asked for. Deletions stay: the original cannot tell."""

    def wanted(entry: int) -> bool:
        return int(bool(entries[entry].detail & Detail.ASSOCIATED)) in associated

    updates = {entry: new for entry, new in net.updates.items() if wanted(entry)}
    reads = {entry: value for entry, value in net.reads.items() if wanted(entry)}
    return net._replace(updates=updates, reads=reads)


def _places(rows: Iterable[Row], net: Net) -> dict[int, int]:
    """The seq at which each update stands: that of its first row that nothing ended."""
    places: dict[int, int] = {}
    for row in rows:
        if row.kind >= Kind.SOFT:
            places.pop(row.entry, None)
        elif row.kind <= Kind.CHANGE and row.entry in net.updates:
            places.setdefault(row.entry, row.seq)
    return places


def _plan(state: State, updates: list[Update], net: Net, entries: Mapping[int, Entry]) -> Plan:
    return Plan(
        state,
        updates,
        [entries[entry] for entry in net.softs],
        [entries[entry] for entry in net.hards],
        [(entries[entry], value) for entry, value in net.reads.items()],
    )


def _cut(records: Records, request: Request, plan: Plan) -> Plan:
    """``plan`` with at most ``request.limit`` updates. Deletions and reads come with the last one."""
    if not request.limit or len(plan.updates) <= request.limit:
        return plan
    told = plan.updates[: request.limit]
    last = records.named([told[-1].entry])
    key = last[told[-1].entry].key if last else b""
    before = request.state.position
    until = plan.state.seq if before is None else before.until
    return Plan(State(plan.state.sync, request.state.seq, Position(until, told[-1].at, key)), told)


# folders with a window -----------------------------------------------------------------------------------------------


def _folder_window(records: Records, request: Request) -> Plan:
    """The difference between what the consumer holds and what the window admits (spec ics 5.3)."""
    state = request.state
    known = _known(records, state)
    if known is None and request.window is None and not (state.position and state.position.remembered):
        return _initial(records, request) if state.seq == 0 else _from_log(records, request)
    live = records.live(request.scope, request.associated)
    fit = admitted(live, request.window)
    if known is None:
        return _begin_window(records, request, live, fit)
    rows = difference(live, fit, known, state.seq)
    if not request.faithful:
        rows += _vanished(records, request, live, fit, known)
    top = records.top(request.scope) if rows else state.seq
    if state.position is not None:
        rows = _rest(rows, live, state.position)
        top = state.position.until
    plan = _newest_first(records, request, rows, live, top)
    return _remember(records, request, plan, fit, known) if rows or state.position is not None else plan


def _vanished(records: Records, request: Request, live: Sequence[Live], fit: set[int], known: set[int]) -> list[Row]:
    """Ends of what came and went since the state: a consumer that died may have been told that it came."""
    seq = request.state.seq
    alive = {item.entry for item in live}
    left = [
        item.entry
        for item in live
        if item.entry not in fit and item.entry not in known and item.content > max(seq, item.created)
    ]
    gone = [
        entry.id
        for entry in records.entries(request.scope, seq, Class.ITEM)
        if entry.id not in alive and entry.id not in known and max(entry.soft, entry.hard) > seq
    ]
    return [Row(seq, Kind.HARD, entry, False) for entry in [*left, *gone]]


def _known(records: Records, state: State) -> set[int] | None:
    """What the consumer holds, if that was remembered."""
    position = state.position
    if state.initial or (position is not None and not position.remembered):
        return None
    packed = records.remembered(state.sync, state.seq, 0 if position is None else position.at)
    return None if packed is None else unpack(packed)


def _begin_window(records: Records, request: Request, live: Sequence[Live], fit: set[int]) -> Plan:
    """The first pass through a window: from nothing, or from a state that was reached without one.

    From a partial state the pass starts again; what that told already is among what the consumer holds.
    """
    state = request.state
    known = _held(records, request, live, fit)
    if request.faithful and state.seq and state.position is None:
        rows = restriction(live, fit, state.seq)
        top = max([state.seq, *(item.created for item in live)])
    else:
        rows = difference(live, fit, known, state.seq)
        top = max(records.top(request.scope), state.seq)
    request = request._replace(state=state._replace(position=None))
    return _remember(records, request, _newest_first(records, request, rows, live, top), fit, known)


def _held(records: Records, request: Request, live: Sequence[Live], fit: set[int]) -> set[int]:
    """What a consumer may hold who got where he is without a window, things that are gone included."""
    seq, position = request.state.seq, request.state.position
    if request.state.initial:
        return set()
    gone = {entry.id for entry in records.entries(request.scope, seq, Class.ITEM) if max(entry.soft, entry.hard) > seq}
    if position is None:
        return gone | {item.entry for item in live if item.created <= seq}
    if position.remembered:  # and forgotten since: tell everything inside again, and the end of everything outside
        return gone | {item.entry for item in live if item.entry not in fit}
    if seq:
        return gone | {item.entry for item in live if item.created <= position.at}
    return gone | {item.entry for item in live if item.record >= position.at and item.created <= position.until}


def _rest(rows: Iterable[Row], live: Sequence[Live], position: Position) -> list[Row]:
    """A difference without what was told before a partial state; later changes of that wait for the next pass."""
    passed = {item.entry: item.created for item in live if item.record >= position.at}

    def waits(row: Row) -> bool:
        if row.kind is Kind.CHANGE:
            return row.entry in passed
        return row.kind is Kind.NEW and passed.get(row.entry, 0) > position.until

    return [row for row in rows if not waits(row)]


def _newest_first(records: Records, request: Request, rows: Sequence[Row], live: Sequence[Live], top: int) -> Plan:
    """The plan of a difference; ``rows`` are in the order of ``live``."""
    net = coalesce(rows)
    numbers = {item.entry: item.record for item in live}
    ended = records.named([*net.softs, *net.hards, *net.reads])
    chosen = ((numbers[entry], entry, new) for entry, new in net.updates.items() if entry in numbers)
    updates = [Update(number, entry, new, number) for number, entry, new in chosen]
    before = request.state.position
    plan = _cut(records, request, _plan(State(request.state.sync, top), updates, net, ended))
    position = plan.state.position
    if position is None:
        return plan
    at = position.at if before is None else min(position.at, before.at)
    return plan._replace(state=plan.state._replace(position=position._replace(at=at, remembered=True)))


def _remember(records: Records, request: Request, plan: Plan, fit: set[int], known: set[int]) -> Plan:
    """Keep what the consumer will hold, under a state whose text differs from the given one."""
    state = request.state
    told = {update.entry for update in plan.updates}
    if plan.state.position is not None:
        position = plan.state.position
        if position.until == state.seq:
            position = position._replace(until=records.mark(request.scope))
        records.remember(state.sync, state.seq, state.seq, position.at, pack(known | told))
        return plan._replace(state=plan.state._replace(position=position))
    if plan.state.seq == state.seq:
        plan = plan._replace(state=plan.state._replace(seq=records.mark(request.scope)))
    if request.window is not None:
        ended = {entry.id for entry in (*plan.softs, *plan.hards)}
        held = fit if state.position is None else known - ended | told
        records.remember(state.sync, state.seq, plan.state.seq, 0, pack(held))
    return plan


# the server with a window --------------------------------------------------------------------------------------------


def _server_window(records: Records, request: Request) -> Plan:
    """The log, restricted; and what slid across the window's edges since the state, found by delivery time.

    The set of a whole server would be too large to remember, so its bounds are. A consumer that used no window
    before is taken to hold what the window admits.
    """
    state = request.state
    plan = _from_log(records, request._replace(limit=0))
    packed = records.remembered(state.sync, state.seq, 0)
    before = None if packed is None else Window(*msgspec.msgpack.decode(packed))
    if request.window is not None:
        plan = _admit(records, plan, request.window)
    slid = _slid(records, before, request.window, plan)
    plan = _cut(records, request, plan)
    if plan.partial:
        return plan
    return _remember_bounds(records, request, _with_slid(records, plan, slid, before), before, bool(slid))


def _slid(records: Records, before: Window | None, now: Window | None, plan: Plan) -> list[Live]:
    """Items that entered or left with the window alone."""
    if before is None:
        return []
    spans: list[tuple[int | None, int | None]] = [*edges(before, now or Window())]
    if now is None:
        spans.append((None, None))
    told = {update.entry for update in plan.updates} | {entry.id for entry in plan.hards}
    found: dict[int, Live] = {}
    for low, high in spans:
        for item in records.delivered_between(low, high):
            admitted_now = now is None or now.admits(item.delivered)
            if item.entry not in told and admitted_now != before.admits(item.delivered):
                found[item.entry] = item
    return list(found.values())


def _with_slid(records: Records, plan: Plan, slid: Sequence[Live], before: Window | None) -> Plan:
    left = {item.entry for item in slid if before is not None and before.admits(item.delivered)}
    entered = [Update(item.record, item.entry, True, plan.state.seq) for item in slid if item.entry not in left]
    moved = {item.entry for item in slid}
    return plan._replace(
        updates=[*plan.updates, *entered],
        hards=[*plan.hards, *records.named(left).values()],
        reads=[read for read in plan.reads if read[0].id not in moved],
    )


def _remember_bounds(records: Records, request: Request, plan: Plan, before: Window | None, slid: bool) -> Plan:
    state = request.state
    if slid and plan.state.seq == state.seq:
        plan = plan._replace(state=plan.state._replace(seq=records.mark(SERVER)))
    if request.window is not None and (plan.state.seq != state.seq or before != request.window):
        records.remember(state.sync, state.seq, plan.state.seq, 0, msgspec.msgpack.encode(request.window))
    return plan


def _admit(records: Records, plan: Plan, window: Window) -> Plan:
    """``plan`` with what is outside the window left out, or ended if the consumer may hold it."""
    found = records.records([update.record for update in plan.updates] + [entry.record for entry, _ in plan.reads])
    outside = {record.entry for record in found.values() if not window.admits(record.delivered)}
    old = records.named([update.entry for update in plan.updates if update.entry in outside and not update.new])
    return plan._replace(
        updates=[update for update in plan.updates if update.entry not in outside],
        hards=[*plan.hards, *old.values()],
        reads=[read for read in plan.reads if read[0].id not in outside],
    )
