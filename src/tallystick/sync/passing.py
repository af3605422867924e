"""A pass at its source: the pages of what a site has and its receiver lacks, in an order that can be applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tallystick.core.changes import Rank, parents_first
from tallystick.core.pages import Page
from tallystick.core.states import State, scope_of
from tallystick.core.values import Value
from tallystick.site import reading
from tallystick.site.engines.engine import Entry
from tallystick.site.filtering import Matches, selector
from tallystick.site.issuing import Told
from tallystick.site.ledger import Ledger, Tracked
from tallystick.site.reading import Batch, Reader, field_forms
from tallystick.sync.replica import Scope, Selection


class Stamped(NamedTuple):
    """What the last stamping here made of marks, by wire name, from the seq that was before it to the one after it.

    It need not be read again for the pages of a pass, as long as nothing else has got a seq, and the tables are what
    they were: their ``structure`` says which values there are, and a column that is added gives no row a seq.
    """

    began: int
    until: int
    told: Told
    structure: str

    @property
    def kept(self) -> bool:
        """True when it is all that got a seq, and fits a page."""
        rows = [one for told in self.told.values() for one in told]
        if not 0 < len(rows) == self.until - self.began <= reading.PAGE_ROWS:
            return False
        return reading.size_of([values or () for _, values in rows]) <= reading.PAGE_BYTES

    def rows(self, wire: str, position: int) -> list[tuple[Entry, tuple[Value, ...] | None]] | None:
        """All of a resource after a seq; None when there is more than what was stamped."""
        return self.told.get(wire, []) if position >= self.began else None


class Pass:
    """One pass over the resources of a scope: live records parents first, then deletions children first."""

    def __init__(self, ledger: Ledger, selection: Selection, start: State, until: int, stamped: Stamped | None) -> None:
        self.ledger, self.selection, self.start, self.until = ledger, selection, start, until
        self._stamped = stamped
        self.skipped: set[str] = set()
        tracked = [self.ledger.resource(wire) for wire in selection.scope.resources]
        wires = {item.definition.name: item.wire for item in tracked}
        order = parents_first([Rank(item.wire, _referred(item, wires)) for item in tracked])
        self.steps = ["+" + wire for wire in order] + ["-" + wire for wire in reversed(order)]

    def pages(self) -> Iterator[Page]:
        """The pages, each read in one snapshot."""
        first = self.steps.index(self.start.resource) if self.start.resource in self.steps else 0
        for index, step in enumerate(self.steps[first:]):
            position = self.start.position if index == 0 and self.start.open else self.start.seq
            yield from self._step(step, position)

    def _step(self, step: str, position: int) -> Iterator[Page]:
        """One sweep over a resource. What left a filter and is to be deleted goes with the deletions."""
        wire, dead = step[1:], step[0] == "-"
        scoped = bool(self.selection.known.state) and wire not in self.selection.held
        deleted = self.selection.scope.delete_left and scoped and wire in self.selection.scope.filters
        tracked = self.ledger.resource(wire)
        if tracked.seq <= position or self._agreed(wire, dead):
            return
        reader = Reader(
            self.ledger,
            tracked,
            self.selection.known.digests.get(wire, {}),
            dead=None if dead and deleted else dead,
            matches=matches(self.selection.scope, tracked),
            scoped=scoped and dead is deleted,
            gone=dead,
            keys=None if dead else self.selection.keys.get(wire),
            since=self.selection.since,
            told=None if self._stamped is None else self._stamped.rows(wire, position),
        )
        more = True
        while more:
            with self.ledger.engine.read():
                batch: Batch = reader.batch(position, self.until)
            position, more = batch.position, batch.more
            if batch.rows:
                state = self.start._replace(until=self.until, resource=step, position=position)
                # while deletions are held back nothing may resume behind them
                resume = "" if self.selection.held else state.text()
                yield Page(wire, field_forms(tracked), batch.origins, batch.rows, resume)
        if reader.skipped:
            self.skipped.add(wire)

    def overtaken(self) -> list[str]:
        """Resources that changed while the pass went on: a record may have moved past its end without being sent,
        under a name that the digest covers. It comes with the next pass, if nobody says that it is known."""
        return [wire for wire in self.selection.scope.resources if self.ledger.resource(wire).seq > self.until]

    def _agreed(self, wire: str, dead: bool) -> bool:
        if dead:
            return wire in self.selection.held
        unchanged = self.ledger.resource(wire).seq <= self.selection.since
        return self.selection.keys.get(wire) == [] and unchanged


def _referred(tracked: Tracked, wires: Mapping[str, str]) -> tuple[str, ...]:
    """The resources that must be there first, also those that are referred to by plain keys.

    ``wires`` are wire names by table.
    """
    tables = (reference.parent for reference in tracked.definition.references if reference.declared)
    return (*tracked.definition.parents, *(wires[table] for table in tables if table in wires))


def scope_name(scope: Scope) -> str:
    """The short name under which states of a scope are kept."""
    return scope_of(scope.resources, scope.where)


def matches(scope: Scope, tracked: Tracked) -> Matches | None:
    """What chooses a resource's records in a filtered scope; None where there is no filter."""
    text = scope.filters.get(tracked.wire)
    return selector(tracked.definition, text) if text else None
