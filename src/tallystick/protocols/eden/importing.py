"""Documents to decided writes (spec: sections 6.3, 6.4, 7, 9 and 10).

Everything is read from the store in batches, decided by the pure rules of ``deciding``, and applied as one batch.
A record that cannot be imported is handed back with its reasons; the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tallystick.core.policies import FieldPolicy, Resolution
from tallystick.protocols.eden import deciding
from tallystick.protocols.eden.codec.elements import EXTENSION, NULLS, Data, Document, Resource
from tallystick.protocols.eden.codec.encoding import DROPPED, UNDECODED, Decoder, decoder, rejection
from tallystick.protocols.eden.codec.identifiers import imported
from tallystick.protocols.eden.codec.replies import PushReply
from tallystick.protocols.eden.codec.schema import Field, Table
from tallystick.protocols.eden.codec.times import parse_time
from tallystick.protocols.eden.conflicts import conflict_of, ruled
from tallystick.protocols.eden.deciding import NOT_PERMITTED, Decision, Outcome, Policies, Side
from tallystick.protocols.eden.errors import TimeFormatError
from tallystick.protocols.eden.holding import hold_back
from tallystick.protocols.eden.identifying import adopt_single_children, identify
from tallystick.protocols.eden.items import Imported, Item, Job, Options
from tallystick.protocols.eden.reaching import reach
from tallystick.protocols.eden.referring import refer
from tallystick.protocols.eden.store import Batch, EdenStore, Lost, Target, Write

INVALID = "Validation error"
REQUIRED = "value(s) required"
_MOST_DIGITS = 9
"""Of a master copy index that can be meant: nobody made a copy of a copy a thousand million times."""


def import_document(store: EdenStore, table: Table, document: Document, options: Options, now: datetime) -> Imported:
    """Imports the records of ``table``, their components and what they refer to in the document.

    Elements of other tables that nothing reaches are ignored. Raises what the store raises, and GuardStopped; what is
    wrong with single records stands in the reply.
    """
    store.head()  # what is decided on must be what is there now
    job = Job(store, table, document, options, now)
    tops = reach(job)
    _read_fields(job)
    identify(job)
    adopt_single_children(job)
    refer(job)
    _check(job)
    ordered = list(_ordered(job.items))
    for item in ordered:
        _decide(job, item)
    if options.guard is not None:
        hold_back(job, ordered, options.guard)
    done = _apply(job, tops, ordered)
    job.close()
    return done


def _read_fields(job: Job) -> None:
    decoders: dict[str, dict[str, Decoder]] = {}
    for item in job.items:
        _read_meta(job, item)
        if not item.deleted:
            name = item.table.name
            if name not in decoders:
                decoders[name] = {field: decoder(one) for field, one in item.table.taken.items()}
            _read_data(job, item, decoders[name])


def _read_meta(job: Job, item: Item) -> None:
    attributes = item.resource.attributes
    item.modified_on = _moment(job, item, attributes, "modified_on")
    item.created_on = _moment(job, item, attributes, "created_on")
    copies = attributes.get("mci")
    if copies is not None and len(copies) <= _MOST_DIGITS and copies.isascii() and copies.isdigit():
        item.copies = int(copies)
    replaced_by = attributes.get("replaced_by")
    if replaced_by:
        item.replaced_by = imported(replaced_by, job.own_domain)


def _moment(job: Job, item: Item, attributes: Mapping[str, str], name: str) -> datetime | None:
    text = attributes.get(name)
    if not text:
        return None
    try:
        return parse_time(text)
    except TimeFormatError as error:
        job.reject(item, f"{name}: {error.message}", INVALID)
        return None


def _read_data(job: Job, item: Item, decoders: Mapping[str, Decoder]) -> None:
    fields, values = item.table.fields, item.values
    bad: dict[int, Data] = {}
    for position, data in enumerate(item.resource.data):
        name = data.field
        decode = decoders.get(name)
        if decode is None:
            continue
        try:
            found = decode(data)
        except UNDECODED as error:
            bad[position] = data._replace(error=rejection(fields[name], error).message)
            continue
        if found is not DROPPED:
            values[name] = found
    for position, data in bad.items():
        item.resource.data[position] = data
    if bad:
        job.reject(item, INVALID)
    nulls = item.resource.attributes.get(NULLS)
    if nulls:
        values.update((name, None) for name in nulls.split(",") if name in fields and name not in values)


# What becomes of them (9.3) --------------------------------------------------------------------------------


def _check(job: Job) -> None:
    """Mandatory fields; then an invalid component rejects its parent."""
    for item in job.items:
        if item.deleted or item.error is not None:
            continue
        values = item.values
        for one in item.table.required:
            value = values.get(one.name)
            if (type(value) is not str or not value) and _lacks(job, item, one):
                job.reject(item, f"{one.name}: {REQUIRED}")
                break
    for item in reversed(job.items):
        if item.error is not None and item.parent is not None:
            job.reject(item.parent, item.error)


def _lacks(job: Job, item: Item, one: Field) -> bool:
    if one.name not in item.values:
        return item.local is None and one.default is None
    value = item.values[one.name]
    if isinstance(value, Target):
        found = job.by_name.get(value)
        if found is not None and found is item.parent:
            return False
        return value not in job.known and (found is None or not _arrives(found))
    return value is None or value in ("", ())


def _arrives(item: Item) -> bool:
    """False when the record is neither here nor will be, as far as is known by now."""
    decision = item.decision
    return item.local is not None or (
        item.error is None and (decision is None or decision.outcome not in (Outcome.SKIPPED, Outcome.REJECTED))
    )


def _decide(job: Job, item: Item) -> None:
    parent = item.parent.decision if item.parent is not None else None
    if item.error is None and not item.deleted:
        for one in item.table.required_references:
            if _lacks(job, item, one):
                job.reject(item, f"{one.name}: {REQUIRED}")
    if item.error is not None:
        item.decision = Decision(Outcome.REJECTED)
    elif parent is not None and _goes_with(job, parent):
        item.decision = Decision(Outcome.SKIPPED)
    else:
        item.method = deciding.method_of(
            deleted=item.deleted, replaced_by=item.replaced_by, known=item.local is not None
        )
        if job.options.resolve is not None:
            job.options.resolve(item)
        item.decision = Decision(Outcome.SKIPPED) if item.skip else _judged(job, item)
        if item.decision.outcome is Outcome.REJECTED:
            job.reject(item, NOT_PERMITTED)


def _goes_with(job: Job, parent: Decision) -> bool:
    """True where components are left out with their record: it does not come, or its conflict stands, as in Eden.

    A Tallystick site sends a change once and counts on its being taken, so that its components are decided alone.
    """
    if parent.outcome in (Outcome.REJECTED, Outcome.SKIPPED):
        return True
    return parent.stands and not job.from_tallystick


def _judged(job: Job, item: Item) -> Decision:
    local, policies = item.local_side, item.policies
    if not (item.deleted and local is None) and not job.options.permitted(item.table, item.method):
        return Decision(Outcome.REJECTED)
    if local is not None and _is_copy(job, item):  # whatever the times say: nobody changed it here
        local, policies = local._replace(modified_on=None), replace(policies, last_sync=None)
        foreign = None
    else:
        foreign = _foreign(job, item)
    if foreign is not None and item.method in policies.strategy:
        item.foreign = foreign
        return Decision(Outcome.JOINED)
    incoming = item.incoming_side
    if local is None:
        return deciding.decide(item.method, None, incoming, policies)
    if job.options.onconflict is not None and item.method in policies.strategy:
        policies = _asked(job, item, local, incoming, policies)
    decision = deciding.decide(item.method, local, incoming, policies, survivor_known=_survivor_known(job, item))
    return _with_fields(item, decision, policies, local)


def _survivor_known(job: Job, item: Item) -> bool:
    if not item.replaced_by:
        return False
    survivor = Target(item.table.name, item.replaced_by)
    return survivor in job.known or survivor in job.by_name


def _is_copy(job: Job, item: Item) -> bool:
    """True where ours is what this Tallystick site gave and nobody changed since, under a name of ours.

    That name is none that the sender's versions could have seen: what it holds by now is newer in any case.
    """
    local = item.local
    if local is None or local.deleted or not job.from_tallystick or local.source is None:
        return False
    return local.source == job.options.source and job.store.renamed(local)


def _foreign(job: Job, item: Item) -> object | None:
    """The version that came with a record, where nobody wants to decide on it himself."""
    extension = item.resource.attributes.get(EXTENSION)
    if not extension or job.options.resolve is not None:
        return None
    if item.deleted and item.local is not None and job.store.extension(item.local) is None:
        return None  # a stub shows no references: ours tells that its versions are not those of the sender
    return job.store.foreign(item.table, item.uuid, extension, item.values)


def _asked(job: Job, item: Item, local: Side, incoming: Side, policies: Policies) -> Policies:
    """The policies after the hook, if there is one, ruled on a conflict."""
    ask, last = job.options.onconflict, policies.last_sync
    if ask is None or not deciding.is_conflict(item.method, last, local.modified_on, incoming.modified_on):
        return policies
    here, there = job.store.identity().uuid, job.options.source or ""
    return ruled(policies, ask(conflict_of(item, here, there)))


def _with_fields(item: Item, decision: Decision, policies: Policies, side: Side | None) -> Decision:
    local = item.local
    if local is None or side is None or decision.outcome not in (Outcome.TAKEN, Outcome.REVIVED):
        return decision
    side = side._replace(deleted=False)
    if decision.outcome is Outcome.REVIVED:
        policies = replace(policies, update=FieldPolicy(Resolution.OTHER))
    before = {name: local.values.get(name) for name in item.values}
    item.values = deciding.taken_fields(policies.update, side, item.incoming_side, before, item.values)
    if item.values or item.rename or decision.outcome is Outcome.REVIVED:
        return decision
    return decision._replace(outcome=Outcome.KEPT)


# Writing ---------------------------------------------------------------------------------------------------


def _apply(job: Job, tops: Sequence[Item], ordered: Sequence[Item]) -> Imported:
    rejected = [item for item in ordered if item.error is not None]
    if rejected and not job.options.skip_errors:
        reply = PushReply(False, 400, job.messages[0])
        reply.rejected = [item.resource for item in rejected if item.parent is None]
        return Imported(reply)
    guard = job.options.guard
    batch = Batch(job.options.source, job.options.user, job.now, from_tallystick=job.from_tallystick)
    batch.onconflict = job.options.onconflict
    if guard is not None:
        batch.allowed, batch.run = guard.allowed, job.options.new_uuid()
    writing = [item for item in ordered if item.decision is not None and item.decision.outcome in deciding.WRITTEN]
    batch.writes = [_write(job, item) for item in writing]
    batch.lost = [lost for item in ordered if (lost := _lost(item)) is not None]
    numbers: dict[int, int | None] = {}
    for item, applied in zip(writing, job.store.apply(batch), strict=True):
        numbers[id(item)] = applied.id
        if applied.outcome is not None:
            item.decision = Decision(applied.outcome)
        if applied.error is not None:
            item.decision = Decision(Outcome.REJECTED)
            job.reject(item, applied.error)
    return _report(job, tops, ordered, numbers)


def _write(job: Job, item: Item) -> Write:
    attributes, local = item.resource.attributes, item.local
    decision = item.decision or Decision(Outcome.SKIPPED)
    return Write(
        decision.outcome,
        item.table.name,
        item.uuid,
        deciding.written_time(local.modified_on if local is not None else None, item.modified_on, job.now),
        item.values,
        item.copies,
        item.created_on,
        attributes.get("created_by"),
        attributes.get("modified_by"),
        attributes.get("owned_by_user"),
        attributes.get("owned_by_group"),
        item.replaced_by,
        item.rename,
        "approved" not in attributes or attributes["approved"].lower() != "false",
        attributes.get(EXTENSION),
        local.seq if local is not None else None,
        item.foreign,
        item.policies,
    )


def _report(job: Job, tops: Sequence[Item], ordered: Sequence[Item], numbers: Mapping[int, int | None]) -> Imported:
    reply = PushReply()
    done = Imported(reply, held=job.held)
    for item in ordered:
        if item.decision is not None:
            done.outcomes[item.decision.outcome] = done.outcomes.get(item.decision.outcome, 0) + 1
    for item in tops:
        if item.error is not None:
            done.rejected_times.append(item.modified_on)
            continue
        done.times.append(item.modified_on)
        reply.records += 1
        number = numbers.get(id(item), item.local.id if item.local is not None else None)
        listed = _list_of(reply, item.decision)
        if number is not None and listed is not None:
            listed.append(number)
    reply.rejected = [item.resource for item in ordered if item.error is not None and _outermost(item)]
    if reply.rejected:
        reply.message = f"{job.messages[0]} - invalid items ignored"
        done.again = _again(job, ordered)
    return done


def _again(job: Job, ordered: Sequence[Item]) -> list[Resource]:
    """The document that brings the rejected records once more: a record reached through others comes with those."""
    needing: dict[int, list[Item]] = {}
    for item in ordered:
        for one in item.needs:
            needing.setdefault(id(one), []).append(item)
    found: dict[int, Resource] = {}
    waiting = [item for item in ordered if item.error is not None]
    while waiting:
        item = _outer(waiting.pop())
        if id(item) not in found:
            found[id(item)] = item.resource
            waiting += needing.get(id(item), ()) if item.table is not job.table else ()
    return list(found.values())


def _outer(item: Item) -> Item:
    while item.parent is not None:
        item = item.parent
    return item


def _outermost(item: Item) -> bool:
    """True when no rejected record around it shows the item already."""
    return item.parent is None or item.parent.error is None


def _list_of(reply: PushReply, decision: Decision | None) -> list[int] | None:
    if decision is None:
        return None
    if decision.stands:
        return reply.conflicts
    match decision.outcome:
        case Outcome.CREATED:
            return reply.created
        case Outcome.TAKEN | Outcome.REVIVED:
            return reply.updated
        case Outcome.DELETED | Outcome.MERGED:
            return reply.deleted
        case Outcome.KEPT:
            return reply.unchanged
        case Outcome.SKIPPED:
            return reply.skipped
    return None


def _lost(item: Item) -> Lost | None:
    """What a conflict leaves aside: the incoming record when it stands, the local one when it was overwritten."""
    decision, local = item.decision, item.local
    if decision is None or not decision.conflict or local is None:
        return None
    if decision.outcome in deciding.WRITTEN:
        values = dict(local.values)
        return Lost(item.table.name, local.uuid, decision.outcome, True, local.modified_on, values)
    if item.deleted or any(local.values.get(name) != value for name, value in item.values.items()):
        return Lost(item.table.name, local.uuid, decision.outcome, True, item.modified_on, dict(item.values))
    return None


def _ordered(items: Sequence[Item]) -> Iterator[Item]:
    """Parents and referenced records before those that need them; in a cycle, in the order of the document."""
    done: set[int] = set()
    for first in items:
        if id(first) in done:
            continue
        if (first.parent is None or id(first.parent) in done) and done.issuperset(map(id, first.needs)):
            done.add(id(first))  # as nearly always
            yield first
            continue
        waiting = [(first, False)]
        while waiting:
            item, ready = waiting.pop()
            if ready:
                yield item
                continue
            if id(item) in done:
                continue
            done.add(id(item))
            waiting.append((item, True))
            before = item.needs if item.parent is None else [item.parent, *item.needs]
            waiting += [(one, False) for one in before if id(one) not in done]
