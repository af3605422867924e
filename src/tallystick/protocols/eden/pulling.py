"""One pull of one task (spec: sections 4.1, 8, 9.5, 15 and 17)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from tallystick.errors import PeerError, PeerProtocolError, PeerRefused, TallystickError
from tallystick.protocols.eden import watermarks
from tallystick.protocols.eden.answering import component_tables, import_entry
from tallystick.protocols.eden.asking import Pulled
from tallystick.protocols.eden.codec.elements import STATE, UNSENT, Document, Resource
from tallystick.protocols.eden.codec.schema import Table
from tallystick.protocols.eden.datasets import find_dataset, read_archive
from tallystick.protocols.eden.deciding import task_policies
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Imported, Options
from tallystick.protocols.eden.partner import Partner, Transferred, is_blind
from tallystick.protocols.eden.store import Result, Task
from tallystick.site.deciding import OnConflict
from tallystick.sync.uncollected import uncollected

PARKED = 1000
"""How many rejected records of a task are kept for retry; beyond it the watermark waits for them instead."""


def pull(partner: Partner, task: Task, onconflict: OnConflict | None = None, *, full: bool = False) -> Transferred:
    """Pulls a task and moves its ``last_pull``. ``full`` asks for everything, whatever was pulled before.

    A table that we do not have is no error and brings nothing. Where the guard holds something back the watermark
    stays: the next pull brings it again.
    """
    store = partner.store
    table = store.table(task.resource)
    if table is None:
        return Transferred()
    blind = full or is_blind(task)
    try:
        with uncollected():
            answer = ask(partner, task, blind=blind)
            done = import_answer(partner, task, table, answer.document, onconflict)
    except TallystickError as error:
        partner.log(task.resource, "pull", "import", Result.ERROR, str(error), remote=isinstance(error, PeerError))
        return Transferred(error)
    now = partner.clock()
    store.log(import_entry(done, partner.name, task.resource, "pull", "outgoing", now))
    held = dict(done.held)
    for below, document in components_of(partner, task, table, answer, blind=blind):
        held |= _take_components(partner, task, below, document, onconflict)
    peer_now, kept = watermarks.clock_of(answer.date, now), _park(partner, table, done)
    if not held:
        watermark = watermarks.next_pull(task.last_pull, done.times, peer_now=peer_now, rejected=kept)
        state = task.state if kept else answer.document.attributes.get(STATE)
        store.save_task(replace(task, last_pull=watermark, state=state))
    left = answer.document.attributes.get(UNSENT, "").splitlines()
    if left:
        partner.log(task.resource, "pull", "import", Result.WARNING, "\n".join(left), remote=True)
    return Transferred(None, _newest(done), done, held=held, unsent=left)


def ask(partner: Partner, task: Task, *, blind: bool = False) -> Pulled:
    """What a task brings: the archive of a data set for its first pull (section 15), else the peer's answer."""
    return _archived(partner, task) or _asked(partner, task, blind=blind)


def _archived(partner: Partner, task: Task) -> Pulled | None:
    """What the archive of a data set holds for the first pull of a task; None when there is none.

    The archive is as old as its newest record: from there on the peer is asked.
    """
    if not task.dataset or task.last_pull is not None:
        return None
    if task.dataset not in partner.archives:
        found = find_dataset(partner.peer, task.dataset)
        partner.archives[task.dataset] = read_archive(partner.peer, found) if found is not None else {}
    document = partner.archives[task.dataset].get(task.uuid)
    times = [one.modified_on for one in document.resources if one.modified_on] if document is not None else []
    return Pulled(document, max(times)) if document is not None and times else None


def _asked(partner: Partner, task: Task, table: str | None = None, *, blind: bool = False) -> Pulled:
    """Asks for a task's records, or those of one of its component tables; ``blind`` asks for everything."""
    return partner.peer.pull(
        table or task.resource,
        partner.store.identity().uuid,
        msince=None if blind else task.last_pull,
        components=task.components,
        filters=task.filters if table is None else (),
        state=None if blind or table is not None else task.state,
    )


def import_answer(
    partner: Partner, task: Task, table: Table, document: Document, onconflict: OnConflict | None
) -> Imported:
    """Imports what came, and tries again what was rejected before and has not come anew."""
    fresh = {one.uuid for one in document.resources}
    parked = partner.store.parked(partner.name, table.name)
    document.resources += [_cleared(one) for one in parked if one.uuid not in fresh]
    policies = task_policies(
        strategy=task.strategy,
        update=task.update,
        conflict=task.conflict,
        last_pull=task.last_pull,
        active=True,
    )
    options = Options(
        policies,
        partner.name,
        synchronise_uuids=partner.repository.synchronise_uuids,
        onconflict=onconflict,
        guard=partner.guard,
    )
    return import_document(partner.store, table, document, options, partner.clock())


def _park(partner: Partner, table: Table, done: Imported) -> Sequence[datetime | None]:
    """Keeps rejected records for retry; gives the times of those that could not be kept."""
    if done.again or partner.store.parked(partner.name, table.name):
        partner.store.park(partner.name, table.name, done.again[:PARKED])
    return done.rejected_times if len(done.again) > PARKED else ()


# Components ----------------------------------------------------------------------------------------------------


def components_of(
    partner: Partner, task: Task, table: Table, answer: Pulled, *, blind: bool = False
) -> Iterator[tuple[Table, Document]]:
    """Component tables with what is new in them and in no record of the answer.

    A Tallystick peer puts deleted components beside the records. Newer Eden hides all changes of components: their
    tables are asked for as tables of their own (section 8).
    """
    if not task.components:
        return
    attributes = answer.document.attributes
    for below in component_tables(partner.store, table, task.filters):
        if STATE in attributes:
            gone = [one for one in answer.document.resources if one.name == below.name and one.deleted]
            if gone:
                yield below, Document(dict(attributes), gone)
        elif not blind and task.last_pull is not None:
            found = _asked_below(partner, task, below)
            if found is not None:
                yield below, found


def _asked_below(partner: Partner, task: Task, below: Table) -> Document | None:
    try:
        return _asked(partner, task, below.name).document
    except (PeerRefused, PeerProtocolError) as error:
        message = f"the peer does not give {below.name} by itself: {error.message}"
        partner.log(below.name, "pull", "import", Result.WARNING, message, remote=True)
    except TallystickError as error:
        partner.log(below.name, "pull", "import", Result.ERROR, str(error), remote=True)
    return None


def _take_components(
    partner: Partner, task: Task, below: Table, document: Document, onconflict: OnConflict | None
) -> dict[str, int]:
    """Imports records of a component table; gives what the guard held back."""
    done = import_answer(partner, task, below, document, onconflict)
    _park(partner, below, done)
    if done.outcomes:
        partner.store.log(import_entry(done, partner.name, below.name, "pull", "outgoing", partner.clock()))
    return done.held


def _newest(done: Imported) -> datetime | None:
    return max((moment for moment in done.times if moment is not None), default=None)


def _cleared(resource: Resource) -> Resource:
    """A rejected record without the errors of the last attempt."""
    resource.error = None
    resource.data = [one._replace(error=None) for one in resource.data]
    resource.references = [one._replace(error=None) for one in resource.references]
    resource.components = [_cleared(one) for one in resource.components]
    return resource
