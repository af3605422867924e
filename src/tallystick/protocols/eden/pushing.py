"""One push of one task (spec: sections 4.1, 8, 9.5, 17 and 18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tallystick.errors import PeerError, PeerProtocolError, TallystickError
from tallystick.protocols.eden import watermarks
from tallystick.protocols.eden.answering import NO_DATA, component_tables, held_lines, unsent
from tallystick.protocols.eden.asking import reply_failure
from tallystick.protocols.eden.codec.filters import MAIN, Condition
from tallystick.protocols.eden.codec.queries import push_url
from tallystick.protocols.eden.codec.replies import PushReply
from tallystick.protocols.eden.codec.schema import Table
from tallystick.protocols.eden.exporting import Export, Layout, export
from tallystick.protocols.eden.partner import Partner, Transferred, is_blind
from tallystick.protocols.eden.store import Result, Selection, Task


def push(partner: Partner, task: Task) -> Transferred:
    """Pushes what the peer does not have yet, and remembers up to where it has everything.

    What came from the peer itself is not sent back. What the peer rejects is sent again with the next push. Under THIS
    and OTHER the whole table goes out (section 4.1). Where the guard holds deletions back everything else goes out, and
    the next push begins where this one did.
    """
    store = partner.store
    table = store.table(task.resource)
    if table is None:
        return Transferred()
    head = store.head()
    chosen = selection_of(partner, task)
    held = held_back(partner, task, table)
    if table.name in held:
        chosen = replace(chosen, include_deleted=False)
    found = export(store, table, chosen, _layout(partner, task))
    stubs = [one for one in _component_stubs(partner, task, table) if one[0] not in held]
    if not found.count and not stubs:
        _reached(partner, task, head, held)
        _log_held(partner, task, held)
        if not held:
            partner.log(task.resource, "push", "export", Result.WARNING, NO_DATA, idle=True)
        return Transferred(held=held, unsent=_left(partner, task, table))
    parts = [*([(task.resource, found)] if found.count else []), *stubs]
    replies = []
    for name, part in parts:
        reply = _send(partner, task, name, part)
        if isinstance(reply, TallystickError):
            return Transferred(reply)
        replies.append(reply)
    newest = max((part.progress.newest for _, part in parts if part.progress.newest is not None), default=None)
    rejected = frozenset(uuid for reply in replies for uuid in reply.rejected_uuids)
    after = replace(task, retry=rejected, last_push=watermarks.eden_watermark(newest) or task.last_push)
    _reached(partner, after, head, held)
    _log_held(partner, task, held)
    return Transferred(None, newest, None, _together(replies), held, _left(partner, task, table))


def _left(partner: Partner, task: Task, table: Table) -> list[str]:
    """What is said, in the log too, of records that go with those of the task and cannot be sent."""
    found = unsent(partner.store, table, task.filters) if task.components else []
    if found:
        partner.log(task.resource, "push", "export", Result.WARNING, "\n".join(found))
    return found


def _together(replies: Sequence[PushReply]) -> PushReply:
    """The replies to the parts of a push as one."""
    first, *others = replies
    for one in others:
        first.records += one.records
        first.rejected += one.rejected
    return first


def _reached(partner: Partner, task: Task, head: int, held: dict[str, int]) -> None:
    pushed = task.pushed if held else watermarks.next_push(task.pushed, head)
    partner.store.save_task(replace(task, pushed=pushed))


def _log_held(partner: Partner, task: Task, held: dict[str, int]) -> None:
    if held:
        partner.log(task.resource, "push", "export", Result.WARNING, "\n".join(held_lines(held)))


def _send(partner: Partner, task: Task, resource: str, part: Export) -> PushReply | TallystickError:
    """Sends a part and logs how it went; gives the peer's reply, or why there is none that counts."""
    url = push_url(
        partner.repository.url or partner.peer.url,
        resource,
        partner.store.identity().uuid,
        strategy=task.strategy,
        update=task.update.default,
        conflict=task.conflict,
        msince=None if is_blind(task) else task.last_push,
    )
    try:
        reply = partner.peer.push(url, part.attributes, part.resources)
    except TallystickError as error:
        partner.log(resource, "push", "export", Result.ERROR, str(error), remote=isinstance(error, PeerError))
        return error
    problem = reply_failure(reply)
    if problem is not None:
        partner.log(resource, "push", "export", Result.ERROR, problem, remote=True)
        return PeerProtocolError(f"the peer refused the push: {problem}")
    message = "\n".join([f"{reply.records} records taken", *reply.issues])
    result = Result.WARNING if reply.rejected else Result.SUCCESS
    partner.log(resource, "push", "export", result, message, remote=bool(reply.rejected))
    return reply


# What goes out -------------------------------------------------------------------------------------------------


def selection_of(partner: Partner, task: Task) -> Selection:
    """The records of the task's table that the peer does not have."""
    blind = is_blind(task)
    return Selection(
        after=None if blind else task.pushed,
        conditions=tuple(one.condition for one in task.filters if one.table in (MAIN, task.resource)),
        include_deleted=True,
        also=task.retry,
        without_source=None if blind else partner.name,
        components=task.components,
    )


def component_selection(partner: Partner, task: Task) -> Selection:
    """Deleted records of a component table: no record shows a component that is gone."""
    return Selection(
        after=task.pushed, also=task.retry, without_source=partner.name, components=False, deleted_only=True
    )


def held_back(partner: Partner, task: Task, table: Table) -> dict[str, int]:
    """The deletions that the guard holds back, by table."""
    asked = [(table, replace(selection_of(partner, task), components=False, deleted_only=True))]
    if task.components:
        gone = component_selection(partner, task)
        asked += [(below, gone) for below in component_tables(partner.store, table, task.filters)]
    held = {}
    for one, chosen in asked:
        count = partner.store.count(one, chosen)
        live = partner.store.count(one, Selection(include_deleted=False)) if count else 0
        if partner.guard.holds(count, live + count):
            held[one.name] = count
    return held


def _component_stubs(partner: Partner, task: Task, table: Table) -> list[tuple[str, Export]]:
    """Deletions of components, table by table; a first push has none to tell of."""
    if not task.components or not task.pushed:
        return []
    layout = Layout(_base(partner), components=False, dependencies=False)
    found = []
    for below in component_tables(partner.store, table, task.filters):
        part = export(partner.store, below, component_selection(partner, task), layout)
        if part.count:
            found.append((below.name, part))
    return found


def _layout(partner: Partner, task: Task) -> Layout:
    conditions: dict[str, tuple[Condition, ...]] = {}
    for one in task.filters:
        if one.table not in (MAIN, task.resource):
            conditions[one.table] = (*conditions.get(one.table, ()), one.condition)
    return Layout(_base(partner), task.components, conditions=conditions, nulls=task.state is not None)


def _base(partner: Partner) -> str:
    return f"http://{partner.store.identity().name}"
