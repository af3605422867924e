"""Decided writes of an import into a site: set-based, one transaction (spec/eden.md: sections 9.3 and 10)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tallystick.core.changes import Rank, parents_first
from tallystick.core.clock import stamp_of
from tallystick.core.values import mapping_hash
from tallystick.core.versions import Version
from tallystick.protocols.eden.deciding import Outcome
from tallystick.protocols.eden.site.catalog import Bound, Catalog
from tallystick.protocols.eden.site.entering import FEW, NewColumns, enter_new, may_enter
from tallystick.protocols.eden.site.reading import Records
from tallystick.protocols.eden.site.remarks import NewRemarks, Remark, Remarks, first_remark, seconds
from tallystick.protocols.eden.site.removing import Removing
from tallystick.protocols.eden.site.values import AS_IT_IS, written
from tallystick.protocols.eden.site.waiting import Waiting
from tallystick.protocols.eden.store import Applied, Batch, Lost, Target, Write
from tallystick.site import conflicts, editing
from tallystick.site.editing import Done, Edit, Edited
from tallystick.site.engines.engine import Entry
from tallystick.site.identity import new_key
from tallystick.site.ledger import Ledger
from tallystick.site.schema import Identity

MOVED = "The record was changed here while it was imported; it is taken with the next synchronization"

_UUID_LENGTH = 36
_REMOVALS = (Outcome.DELETED, Outcome.MERGED)


@dataclass(slots=True)
class Step:
    """One write on its way. ``entry`` is the ledger's before, ``waiting`` are references whose targets are not here."""

    write: Write
    bound: Bound
    key: str = ""
    entry: Entry | None = None
    content: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, Target] | None = None
    done: Edited | None = None
    number: Any = None
    error: str | None = None
    outcome: Outcome | None = None


class Writing:
    """Writes one batch. Call inside ``ledger.write()``, after stamping.

    ``unchanged``: nothing was written at this site since the batch was decided.
    """

    def __init__(
        self,
        ledger: Ledger,
        catalog: Catalog,
        remarks: Remarks,
        records: Records,
        batch: Batch,
        *,
        unchanged: bool = False,
    ) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._remarks = remarks
        self._records = records
        self._batch = batch
        self._unchanged = unchanged
        self._waiting = Waiting(ledger, catalog, remarks)
        self._made: dict[Target, str] = {}
        self._live: dict[Target, str] = {}
        self._settled: dict[Target, str] = {}
        self._numbers: dict[str, dict[str, Any]] = {}
        """Integers of rows that were written, by resource and key."""

    def run(self, writes: Sequence[Write]) -> list[Applied]:
        """Apply the writes; one answer each, in their order."""
        tables = {name: self._catalog.bound(name) for name in {one.table for one in writes}}
        steps = [Step(one, bound) for one in writes if (bound := tables[one.table]) is not None]
        self._meet(steps)
        self._look_up(steps)
        kept = [one for one in steps if one.write.outcome not in _REMOVALS]
        for group in self._ordered(kept):
            self._write(group)
        self._patch(kept)
        removed = [one for one in steps if one.write.outcome in _REMOVALS and one.error is None]
        removing = Removing(self._ledger, self._catalog, self._remarks, self._records, self._batch)
        for group in reversed(self._ordered(removed)):
            for step, stays in zip(group, removing.remove(group[0].bound, group), strict=True):
                step.error, step.outcome = stays.error, Outcome.KEPT if stays.kept else None
        self._log_lost(self._batch.lost)
        return [self._applied(one) for one in steps]

    # Before

    def _meet(self, steps: Sequence[Step]) -> None:
        """Find what is here now; what is not as it was when it was decided on is left to the next time."""
        for group in self._by_table(steps):
            bound = group[0].bound
            asked = [one.write for one in group if one.write.seen is not None or not self._unchanged]
            entries = self._records.entries(bound, [one.uuid for one in asked])  # what was not here is not here now
            key_of, made = bound.names.new_key, self._made
            final = [_final(one.write) for one in group]
            new = {uuid: key_of(uuid) for uuid in final if uuid not in entries}
            taken = self._taken(bound, new)
            for step, uuid in zip(group, final, strict=True):
                write = step.write
                entry = step.entry = entries.get(write.uuid)
                if entry is not None:
                    step.key = entry.key
                else:
                    key = new.get(uuid, "")
                    step.key = new_key() if key in taken else key
                if (None if entry is None else entry.seq) != write.seen:
                    step.error = MOVED
                elif write.outcome not in _REMOVALS and step.key:
                    made[Target(write.table, write.uuid)] = step.key

    def _taken(self, bound: Bound, new: Mapping[str, str]) -> Collection[str]:
        """Keys that new records would have by their identifiers and that others have."""
        looked_up = not self._remarks.aliased(bound.tracked)
        if looked_up and bound.definition.identity is Identity.MAPPED:
            return ()  # an identifier tells one key, and that one is not here
        open_ = [key for uuid, key in new.items() if key and not (looked_up and key in bound.names.keys(uuid))]
        return bound.tracked.rows.by_keys(open_)

    def _look_up(self, steps: Sequence[Step]) -> None:
        """The keys of referenced records that are here."""
        wanted: dict[str, set[str]] = {}
        for step in steps:
            for link in step.bound.pointing:
                value = step.write.values.get(link.name)
                if isinstance(value, Target) and value not in self._made:
                    wanted.setdefault(value.table, set()).add(value.uuid)
        for name, uuids in wanted.items():
            bound = self._catalog.bound(name)
            for uuid, entry in (self._records.entries(bound, uuids) if bound is not None else {}).items():
                if entry.hash:
                    self._live[Target(name, uuid)] = entry.key

    def _ordered(self, steps: Sequence[Step]) -> list[list[Step]]:
        """Groups by table, referenced tables first."""
        groups = {group[0].bound.tracked.wire: group for group in self._by_table(steps)}
        ranks = []
        for wire, group in groups.items():
            above = [(link, self._catalog.bound(link.target)) for link in group[0].bound.pointing]
            known = [(one.tracked.wire, link.site.nullable) for link, one in above if one is not None]
            required = tuple(name for name, nullable in known if not nullable)
            ranks.append(Rank(wire, tuple(name for name, _ in known), required))
        return [groups[wire] for wire in parents_first(ranks)]

    @staticmethod
    def _by_table(steps: Iterable[Step]) -> list[list[Step]]:
        groups: dict[str, list[Step]] = {}
        for one in steps:
            groups.setdefault(one.write.table, []).append(one)
        return list(groups.values())

    # Creating and updating

    def _write(self, group: Sequence[Step]) -> None:
        bound = group[0].bound
        ready = [one for one in group if one.error is None]
        columns = [one.column for one in bound.definition.fields]
        defaults = bool(self._ledger.engine.defaults(bound.definition.name, columns))
        if not defaults:
            entered = self._enter(bound, ready)
            ready = [one for one in ready if one.key not in entered] if entered else ready
        for step in ready:
            self._fill(step)
        edits = [self._edit(step, defaults) for step in ready]
        for step, done in zip(ready, editing.write(self._ledger, bound.tracked, edits), strict=True):
            self._note(step, done)
        self._remark(bound, [one for one in ready if one.error is None])

    def _enter(self, bound: Bound, steps: Sequence[Step]) -> Collection[str]:
        """Write plainly new records the fast way; gives their keys."""
        created = Outcome.CREATED
        new = {one.key: one for one in steps if one.entry is None and one.key and one.write.outcome is created}
        if len(new) < FEW or not may_enter(bound):
            return ()
        keys, chosen = list(new), list(new.values())
        key_of = partial(self._key_of, table=bound.table.name)
        fields = NewColumns(bound, [one.write for one in chosen], key_of, self._batch.now)
        for index, waiting in fields.waiting.items():
            chosen[index].waiting = waiting
        entered = enter_new(self._ledger, bound, keys, fields.columns, self._numbers)
        for step, number in zip(chosen, entered.locals, strict=True):
            step.number = number
        ticks: Sequence[int] = entered.ticks
        if entered.left:
            staying = [index for index, key in enumerate(keys) if key not in entered.left]
            chosen, ticks = [chosen[index] for index in staying], [ticks[index] for index in staying]
        if chosen:
            if bound.definition.mapped:
                self._numbers.setdefault(bound.tracked.wire, {}).update((one.key, one.number) for one in chosen)
            self._settled.update((Target(one.write.table, one.write.uuid), one.key) for one in chosen)
            self._remarks.put_new(bound.tracked, self._new_remarks(chosen, ticks))
            self._records.fresh()
            self._wait(bound, chosen)
        return {one.key for one in chosen}

    def _new_remarks(self, steps: Sequence[Step], ticks: Sequence[int]) -> NewRemarks:
        writes, user, now = [one.write for one in steps], self._batch.user, self._batch.now
        return NewRemarks(
            [one.key for one in steps],
            list(map(self._alias, steps)),
            self._ledger.origin_number(self._ledger.origin),
            ticks,
            [one.copies for one in writes],
            [seconds(one.created_on or now) for one in writes],
            [seconds(one.modified_on) for one in writes],
            [one.created_by or user for one in writes],
            [one.modified_by or user for one in writes],
            [one.owned_by_user or user for one in writes],
            [one.owned_by_group for one in writes],
            self._batch.source,
        )

    def _fill(self, step: Step) -> None:
        """The content to write, references as keys."""
        bound, values, exact = step.bound, step.write.values, step.bound.exact
        for name, value in values.items():
            if type(value) in AS_IT_IS and name in exact:
                step.content[exact[name]] = value
                continue
            link = bound.links.get(name)
            if link is None:
                continue
            if link.target and isinstance(value, Target):
                key = self._key_of(value, step.write.table)
                if key is None:
                    step.waiting = {**(step.waiting or {}), name: value}
                    continue
                step.content[link.wire] = link.value_of(key)
            else:
                step.content[link.wire] = written(value, link.site.logical)
        if step.write.outcome is Outcome.CREATED:
            for name, default in bound.defaults.items():
                if values.get(name) is None:
                    link = bound.links[name]
                    step.content[link.wire] = written(default, link.site.logical)
        if bound.meta:
            self._fill_meta(step)

    def _key_of(self, to: Target, table: str) -> str | None:
        """The key of a target that is here, or that a step of ``table`` brings, which is being written."""
        key = self._live.get(to) or self._settled.get(to)
        return self._made.get(to) if key is None and to.table == table else key

    def _fill_meta(self, step: Step) -> None:
        """Meta-fields that the table has columns for."""
        write, moments = step.write, {"modified_on": step.write.modified_on}
        if write.outcome is Outcome.CREATED:
            moments["created_on"] = write.created_on or self._batch.now
        for name, position in step.bound.meta.items():
            site = step.bound.definition.fields[position]
            if name in moments:
                step.content[site.wire] = written(moments[name].strftime("%Y-%m-%dT%H:%M:%S"), site.logical)
            elif name == "deleted":
                step.content[site.wire] = written(False, site.logical)
            elif name == "mci" and write.outcome is Outcome.CREATED:
                step.content[site.wire] = write.copies

    @staticmethod
    def _edit(step: Step, defaults: bool) -> Edit:
        """``defaults``: the table has columns that get something when nothing is said."""
        if step.entry is not None and step.entry.hash:
            return editing.update(step.key, step.content)
        content = {name: value for name, value in step.content.items() if value is not None}
        return editing.insert(content, step.key) if defaults or not step.key else editing.put(step.key, content)

    def _note(self, step: Step, done: Edited) -> None:
        target = Target(step.write.table, step.write.uuid)
        step.done = done
        if done.done is Done.REFUSED:
            step.error = done.refusal.message if done.refusal is not None else "refused"
            self._made.pop(target, None)
        else:
            step.key = done.key
            self._settled[target] = done.key

    # Remarks

    def _remark(self, bound: Bound, steps: Sequence[Step]) -> None:
        """Keep times, copies, people and source of what was written."""
        changed = [one for one in steps if one.done is not None and one.done.done is not Done.UNCHANGED]
        renamed = [one for one in steps if one.write.new_uuid and one not in changed]
        keys = [one.key for one in (*changed, *renamed)]
        before = self._remarks.of(bound.tracked, keys)
        entries = bound.tracked.rows.by_keys(keys)
        made = []
        for one in changed:
            entry = entries[one.key]
            made.append(self._remark_of(one, entry.origin, entry.tick, before.get(one.key)))
        for one in renamed:
            kept = before.get(one.key) or first_remark(entries[one.key])
            made.append(kept._replace(alias=self._alias(one)))
        self._remarks.put(bound.tracked, made, list(before))
        self._records.fresh()
        self._wait(bound, steps)

    def _remark_of(self, step: Step, origin: int, tick: int, old: Remark | None) -> Remark:
        write, user = step.write, self._batch.user
        if step.entry is None:
            return Remark(
                step.key,
                self._alias(step),
                origin,
                tick,
                write.copies,
                seconds(write.created_on or self._batch.now),
                seconds(write.modified_on),
                write.created_by or user,
                write.modified_by or user,
                write.owned_by_user or user,
                write.owned_by_group,
                None,
                self._batch.source,
            )
        known = old or first_remark(step.entry)
        return known._replace(
            alias=self._alias(step) if write.new_uuid else known.alias,
            origin=origin,
            tick=tick,
            modified_on=seconds(write.modified_on),
            modified_by=write.modified_by or user or known.modified_by,
            replaced_by=None,
            source=self._batch.source,
        )

    @staticmethod
    def _alias(step: Step) -> str | None:
        uuid, key = step.write.new_uuid or step.write.uuid, step.key
        if len(key) == _UUID_LENGTH and uuid.endswith(key) and uuid == f"urn:uuid:{key}":
            return None  # as it nearly always is
        return None if step.bound.names.identifier(key) == uuid else uuid

    def _wait(self, bound: Bound, steps: Sequence[Step]) -> None:
        """Keep references whose targets are not here until those arrive."""
        self._waiting.put(bound, [(step.key, step.waiting) for step in steps if step.waiting])

    def _patch(self, steps: Sequence[Step]) -> None:
        """Write the references that waited for what this batch brought: the second write of a cycle, or much later."""
        new = [one for one in steps if (one.entry is None or not one.entry.hash) and not one.error]
        self._waiting.end({Target(one.write.table, _final(one.write)): one.key for one in new})

    # After

    def _log_lost(self, lost: Iterable[Lost]) -> None:
        """The contents that conflicts left aside, for review."""
        for one in lost:
            bound = self._catalog.bound(one.table)
            entry = self._records.entries(bound, (one.uuid,)).get(one.uuid) if bound is not None else None
            if bound is None or entry is None:
                continue
            content = {
                link.wire: value.uuid if isinstance(value, Target) else written(value, link.site.logical)
                for name, value in one.values.items()
                if (link := bound.links.get(name)) is not None and value is not None
            }
            stamp = stamp_of((seconds(one.modified_on) or 0) * 1000)
            origin = f"eden:{self._batch.source or 'import'}"
            version = Version(origin, 1, mapping_hash(entry.key, content), stamp, content=content)
            conflicts.log(self._ledger, bound.tracked, entry.key, f"{one.outcome.value} by an import", [version])

    def _applied(self, step: Step) -> Applied:
        if step.error is not None:
            return Applied(None, step.error)
        number = step.done.local if step.done is not None else step.number
        if isinstance(number, int) and step.bound.definition.mapped:
            return Applied(number)
        return Applied(self._records.numbers(step.bound, [step.key]).get(step.key), outcome=step.outcome)


def _final(write: Write) -> str:
    """The identifier under which the record is known afterwards."""
    return write.new_uuid or write.uuid
