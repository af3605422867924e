"""Reading what changed, in the site's commit order, from one start to one end (DESIGN.md 4.2, 4.5)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Any

from tallystick.core.values import Value
from tallystick.site.engines.engine import Entry
from tallystick.site.filtering import Matches
from tallystick.site.holding import aside_of, content_of_row
from tallystick.site.identity import address_of
from tallystick.site.issuing import Told
from tallystick.site.ledger import DELETED, Ledger, Tracked
from tallystick.site.managed import contents
from tallystick.site.reading import marked_again
from tallystick.site.schema import Identity
from tallystick.streams.changes import Change, Place
from tallystick.streams.resuming import Held, Start
from tallystick.streams.retention import Gone
from tallystick.streams.scopes import StreamScope
from tallystick.sync.uncollected import uncollected

_FIRST_ROWS = 256
_ROWS = 1024
_GROWTH = 4
Found = tuple[Entry, tuple[Value, ...] | None, Mapping[str, Any] | None]
"""A ledger entry, its row's values, a managed record's content."""
_by_seq = attrgetter("seq")


class Reading:
    """The changes of a scope from ``start`` up to the seq ``until``."""

    def __init__(
        self,
        ledger: Ledger,
        scope: StreamScope,
        start: Start,
        until: int,
        held: Held | None = None,
        tracked: list[Tracked] | None = None,
        told: Told | None = None,
    ) -> None:
        """``tracked`` are the resources that changed beyond ``start``, when the caller knows them already; ``told`` all
        that there is beyond it of some of them."""
        self._tracked, self._told = tracked, told or {}
        self.ledger, self.scope, self.start, self.until, self.held = ledger, scope, start, until, held

    def chunks(self) -> Iterator[Sequence[Change]]:
        """The changes in lists, none of them empty."""
        if self.start.compare:
            return _listed(self._compared())
        least = min([self.start.seq, *self.start.beginnings.values()])
        tracked = self.scope.tracked(self.ledger, least) if self._tracked is None else self._tracked
        if len(tracked) == 1 and not self.start.gone:
            return self._one(tracked[0])
        streams = [chain.from_iterable(self._one(item)) for item in tracked]
        known = {item.wire: item for item in self.scope.tracked(self.ledger)} if self.start.gone else {}
        streams += [chain(self._gone(known[wire], gone)) for wire, gone in self.start.gone.items()]
        return _listed(heapq.merge(*streams, key=_by_seq))

    def _one(self, tracked: Tracked) -> Iterator[Sequence[Change]]:
        since = self.start.beginnings.get(tracked.wire, self.start.seq)
        place = Place(self.ledger, tracked, self.scope.name, since)
        before = self.start.before
        if self.scope.where or (before is not None and before.where):
            judge = _Judge(tracked, self.scope.matches(tracked), before, since, self.start)
            return self._filtered(place, judge)
        return self._plain(place)

    def _plain(self, place: Place) -> Iterator[Sequence[Change]]:
        initial = not place.since
        batches = self._batches(place)
        while True:
            with uncollected():
                batch = next(batches, None)
                if batch is None:
                    return
                changes = [Change(place, entry, values, content) for entry, values, content in batch]
                del batch
            if initial:
                changes = [change for change in changes if not change.deleted]
            if changes:
                yield changes

    def _filtered(self, place: Place, judge: _Judge) -> Iterator[Sequence[Change]]:
        for batch in self._batches(place):
            judged = ((row, judge.judged(*row)) for row in batch)
            changes = [Change(place, *row, left) for row, (told, left) in judged if told]
            if changes:
                yield changes

    def _batches(self, place: Place) -> Iterator[list[Found]]:
        told = self._told.get(place.tracked.wire)
        if told is None:
            return batches_after(self.ledger, place.tracked, place.since, self.until)
        return iter([[(entry, values, None) for entry, values in told]])

    def _gone(self, tracked: Tracked, gone: Sequence[Gone]) -> Iterator[Change]:
        place = Place(self.ledger, tracked, self.scope.name, self.start.seq)
        there = tracked.rows.by_keys([item.key for item in gone])
        for item in gone:
            if item.key not in there:
                yield Change(place, _tombstone(item.key, item.seq), None)

    # Comparing with what the reader holds

    def _compared(self) -> Iterator[Change]:
        assert self.held is not None
        for tracked in self.scope.tracked(self.ledger):
            yield from self._difference(tracked, holdings_of(self.held, tracked.wire))

    def _difference(self, tracked: Tracked, held: dict[str, bytes | None]) -> Iterator[Change]:
        """What the reader lacks or has otherwise, then what it has to let go. The state stays until all is told."""
        place = Place(self.ledger, tracked, self.scope.name, 0)
        matches = self.scope.matches(tracked)
        for entry, values, content in chain.from_iterable(batches_after(self.ledger, tracked, 0, self.until)):
            change = Change(place, entry, values, content, state=self.start.given)
            if change.deleted or (matches is not None and not matches({**(change.content or {}), "$key": entry.key})):
                continue
            if entry.key not in held or held.pop(entry.key) != entry.hash:
                yield change
        for key in held:
            yield Change(place, _tombstone(key, self.until), None, state=self.start.given)


class _Judge:
    """Whether a reader with a filter is told of a record, and whether as one that left."""

    def __init__(
        self, tracked: Tracked, now: Matches | None, before: StreamScope | None, since: int, start: Start
    ) -> None:
        self._tracked, self._now, self._since, self._initial = tracked, now, since, not start.given
        self._changed_since = start.seq
        other = before is not None and not (before.resources and tracked.wire not in before.resources)
        self._refiltered = other
        self._before = before.matches(tracked) if before is not None and other else None

    def judged(
        self, entry: Entry, values: tuple[Value, ...] | None, content: Mapping[str, Any] | None
    ) -> tuple[bool, bool]:
        shown = content if content is not None else content_of_row(self._tracked.definition, values, aside_of(entry))
        if entry.flags & DELETED or shown is None:
            return not self._initial and entry.seq > self._changed_since, False
        asked = {**shown, "$key": entry.key}
        inside = self._now is None or self._now(asked)
        if self._refiltered and entry.seq <= self._changed_since:
            had = self._before is None or self._before(asked)
            return inside != had, had
        if inside:
            return True, False
        return not self._initial, True


def _listed(changes: Iterator[Change]) -> Iterator[Sequence[Change]]:
    while chunk := list(islice(changes, _FIRST_ROWS)):
        yield chunk


def batches_after(ledger: Ledger, tracked: Tracked, position: int, until: int) -> Iterator[list[Found]]:
    """Ledger entries beyond ``position`` up to ``until`` in seq order, with row values or managed contents.

    Records marked again since they were stamped are left out: they come with their next seq, which is beyond
    ``until`` (DESIGN.md 4.2 *one dot, one content*). Each batch is read in one snapshot.
    """
    limit = _FIRST_ROWS
    managed = tracked.definition.identity is Identity.MANAGED
    while position < until:
        with ledger.engine.read():
            batch = tracked.rows.after(position, until, limit)
            waiting = marked_again(ledger, tracked)
            held = contents(ledger, tracked, [entry.key for entry, _ in batch]) if managed else {}
        if waiting:
            yield [(entry, values, held.get(entry.key)) for entry, values in batch if entry.key not in waiting]
        elif managed:
            yield [(entry, values, held.get(entry.key)) for entry, values in batch]
        else:
            yield [(entry, values, None) for entry, values in batch]
        if len(batch) < limit:
            return
        position, limit = batch[-1][0].seq, min(limit * _GROWTH, _ROWS)


def changes_of(ledger: Ledger, scope: StreamScope, tracked: Tracked, keys: Sequence[str]) -> dict[str, Change]:
    """What some records are now, by key; a record without an entry counts as deleted."""
    place = Place(ledger, tracked, scope.name, 0)
    with ledger.engine.read():
        entries = tracked.rows.by_keys(keys)
        managed = tracked.definition.identity is Identity.MANAGED
        held = contents(ledger, tracked, keys) if managed else {}
        live = [entry for entry in entries.values() if entry.hash and not managed]
        found = tracked.rows.values([address_of(tracked.definition, entry.key, entry.local) for entry in live])
    changes = {}
    for key in keys:
        entry = entries.get(key) or _tombstone(key, 0)
        values = None
        if entry.hash and not managed:
            values = found.get(address_of(tracked.definition, key, entry.local))
        changes[key] = Change(place, entry, values, held.get(key))
    return changes


def holdings_of(held: Held, wire: str) -> dict[str, bytes | None]:
    """What a reader says it holds, as keys with hashes where it knows them."""
    stated = held(wire)
    return dict(stated) if isinstance(stated, Mapping) else dict.fromkeys(stated)


def _tombstone(key: str, seq: int) -> Entry:
    """The entry of a deletion of which the key alone is known."""
    return Entry(seq, key, None, 0, 0, 0, 0, b"", None, DELETED, None)
