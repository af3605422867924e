"""Pages: the unit of transfer, commit, acknowledgement and resumption (DESIGN.md 2; docs/protocol.md, *Pages*)."""

from __future__ import annotations

from typing import Any

import msgspec

KEY, LOCAL, ORIGIN, TICK, STAMP, FLAGS, EXTRA, VALUES = range(8)
"""Positions in a row. Field values follow from VALUES on, in the order of the page's fields."""

Row = tuple[Any, ...]


class FieldForm(msgspec.Struct, array_like=True, frozen=True):
    """A field as the sender knows it: name on the wire, logical type, refinement."""

    name: str
    logical: str
    detail: str = ""


class Page(msgspec.Struct, array_like=True):
    """Changes of one resource, in the sender's commit order.

    A row is (key, local key, index into ``origins``, tick, stamp, flags, extra, *values). ``flags``: 1 deletion
    (no values follow), 2 older than tracking, 4 whole: ``extra`` is a record form and no values follow, 8 left
    scope: the record no longer matches the filter. ``state`` is where the receiver stands after this page.
    """

    resource: str
    fields: list[FieldForm]
    origins: list[str]
    rows: list[Row]
    state: str


class Tally(msgspec.Struct):
    """What became of the rows of some pages of one resource."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    conflicts: int = 0
    undecided: int = 0
    parked: int = 0
    declined: int = 0
    doubts: int = 0
    ahead: int = 0
    """Rows stamped so far ahead of the receiver's clock that a clock must be wrong (``core.clock``)."""

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def written(self) -> int:
        """Rows that were created, updated or deleted."""
        return self.created + self.updated + self.deleted
