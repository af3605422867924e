"""What a stream covers: some resources or the whole site, perhaps under a filter (DESIGN.md 2 *state*, law 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tallystick.core.states import scope_of
from tallystick.core.values import fold
from tallystick.errors import UsageError
from tallystick.site.filtering import Matches, selector
from tallystick.site.ledger import Ledger, Tracked

EVERYTHING = "*"


class StreamScope(NamedTuple):
    """Resources by wire name, sorted; none for all that the site has or will have. ``where`` is canonical text."""

    resources: tuple[str, ...]
    where: str = ""

    @property
    def name(self) -> str:
        """The short name that states carry."""
        where = [(self.resources[0], self.where)] if self.where else []
        return scope_of(self.resources or (EVERYTHING,), where)

    def covers(self, wire: str) -> bool:
        """True for the wire name of a resource of the scope."""
        return not self.resources or wire in self.resources

    def require(self, ledger: Ledger) -> None:
        """Raise SchemaError when a resource of the scope is not there."""
        for wire in self.resources:
            if not ledger.has(wire):
                ledger.resource(wire)

    def tracked(self, ledger: Ledger, beyond: int = 0) -> list[Tracked]:
        """The resources of the scope that changed beyond a seq. Raises SchemaError for one that is not there."""
        if self.resources:
            found = [ledger.resource(wire) for wire in self.resources]
            return [item for item in found if item.seq > beyond]
        rows = ledger.engine.query("SELECT wire FROM tally_resource WHERE seq>? ORDER BY id", (beyond,))
        return [ledger.resource(wire) for (wire,) in rows if ledger.has(wire)]

    def top(self, ledger: Ledger) -> int:
        """The highest seq that anything in the scope has."""
        if self.resources:
            return max(ledger.resource(wire).seq for wire in self.resources)
        return int(ledger.engine.query("SELECT coalesce(max(seq), 0) FROM tally_resource")[0][0])

    def horizon(self, ledger: Ledger) -> int:
        """The highest seq of a deletion in the scope that was purged."""
        if self.resources:
            return max(ledger.resource(wire).horizon for wire in self.resources)
        return int(ledger.engine.query("SELECT coalesce(max(horizon), 0) FROM tally_resource")[0][0])

    def matches(self, tracked: Tracked) -> Matches | None:
        """The filter as a question; None without one."""
        return selector(tracked.definition, self.where) if self.where else None


def scope_for(ledger: Ledger, names: Sequence[str], where: str = "") -> StreamScope:
    """The scope that a caller means. Names may be those of tables or on the wire.

    Raises SchemaError for an unknown resource, UsageError for a filter over several, FilterError for a bad one.
    """
    ledger.load()
    wires = tuple(sorted({_wire(ledger, name) for name in names}))
    if not where:
        return StreamScope(wires)
    if len(wires) != 1:
        raise UsageError("a filter needs one resource", hint="name one resource, or leave the filter out")
    from tallystick.core import filter_text  # here: most readers have no filter

    scope = StreamScope(wires, filter_text.text(filter_text.parse(where)))
    scope.matches(ledger.resource(wires[0]))
    return scope


def _wire(ledger: Ledger, name: str) -> str:
    for item in ledger.resources():
        if name in (item.definition.name, item.wire):
            return item.wire
    return ledger.resource(fold(name)).wire


def remember(ledger: Ledger, scope: StreamScope) -> None:
    """Note what a scope's name stands for, so that a state of it can be understood when another one is asked for."""
    rows = ledger.engine.query("SELECT 1 FROM tally_stream_scope WHERE name=?", (scope.name,))
    if not rows:
        ledger.engine.execute(
            "INSERT INTO tally_stream_scope(name, resources, filter) VALUES (?, ?, ?)",
            (scope.name, msgspec.json.encode(scope.resources).decode(), scope.where),
        )


def remembered(ledger: Ledger, name: str) -> StreamScope | None:
    """The scope of that name, when a state of it was given out here."""
    rows = ledger.engine.query("SELECT resources, filter FROM tally_stream_scope WHERE name=?", (name,))
    if not rows:
        return None
    return StreamScope(msgspec.json.decode(rows[0][0], type=tuple[str, ...]), str(rows[0][1]))
