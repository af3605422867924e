"""One change as a reader gets it, built lazily: content and state are made when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from typing import Any

from tallystick.core.states import State
from tallystick.core.values import Value
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import aside_of, content_of_row
from tallystick.site.ledger import DELETED, Ledger, Tracked


class Flag(IntFlag):
    """What an importer is told beside a change, as the second argument of its callbacks."""

    NONE = 0
    LEFT = 0x100
    """With a deletion: the record still exists, but does not match the filter any more."""
    NEW = 0x800
    """With an update: the record came into being after the state that the reader started from."""


_NONE, _LEFT, _NEW = Flag.NONE, Flag.LEFT, Flag.NEW


class Place:
    """What the changes of one resource in one reading have in common."""

    __slots__ = ("ledger", "scope", "since", "tracked")

    def __init__(self, ledger: Ledger, tracked: Tracked, scope: str, since: int) -> None:
        self.ledger, self.tracked, self.scope, self.since = ledger, tracked, scope, since

    def token(self, seq: int) -> str:
        """The state at a seq."""
        return State(self.ledger.site, self.ledger.incarnation, self.scope, seq).text()


class Change:
    """One record of a site as it is now, delivered because it changed.

    ``resource`` and ``key`` name it, ``seq`` is its place in the site's commit order, (``origin``, ``tick``) the name
    of the change, ``stamp`` its time, ``hash`` names the content: equal contents have equal hashes. ``new`` is True
    when the record came into being after the state that the reader started from; ``left`` when it still exists, but
    does not match the reader's filter any more: then it is ``deleted`` for this reader.
    """

    __slots__ = ("_content", "_entry", "_place", "_state", "_values", "deleted", "left")

    def __init__(
        self,
        place: Place,
        entry: Entry,
        values: tuple[Value, ...] | None,
        content: Mapping[str, Any] | None = None,
        left: bool = False,
        state: str | None = None,
    ) -> None:
        self._place, self._entry, self._values, self._content, self._state = place, entry, values, content, state
        self.left = left
        self.deleted = left or bool(entry.flags & DELETED) or (values is None and content is None)

    resource = property(lambda self: self._place.tracked.wire, doc="The resource's name on the wire.")
    key = property(lambda self: self._entry.key, doc="The record's key.")
    stamp = property(lambda self: self._entry.stamp, doc="The change's time: a hybrid logical clock.")
    tick = property(lambda self: self._entry.tick, doc="The change's number at its origin.")
    seq = property(lambda self: self._entry.seq, doc="The change's place in the site's commit order.")
    hash = property(lambda self: self._entry.hash, doc="Names the content; b'' for a deletion.")

    @property
    def origin(self) -> str:
        """Where the change was made: site and incarnation."""
        return self._place.ledger.origin_name(self._entry.origin) if self._entry.origin else ""

    @property
    def new(self) -> bool:
        """True when the record came into being after the state that the reader started from."""
        return not self.deleted and bool(self._entry.born_seq > self._place.since)

    @property
    def born(self) -> bool:
        """True when the record came into being with this very change."""
        return bool(self._entry.born_seq == self._entry.seq)

    @property
    def flags(self) -> Flag:
        """What an importer is told as the second argument."""
        if self.left:
            return _LEFT
        return _NEW if not self.deleted and self._entry.born_seq > self._place.since else _NONE

    @property
    def content(self) -> Mapping[str, Any] | None:
        """Field names on the wire and canonical values; None when the record is deleted or not shown."""
        if self.deleted:
            return None
        if self._content is None:
            self._content = content_of_row(self._place.tracked.definition, self._values, aside_of(self._entry))
        return self._content

    @property
    def state(self) -> str:
        """Where a reader stands after this change."""
        if self._state is None:
            self._state = self._place.token(self._entry.seq)
        return self._state

    def state_in(self, scope: str) -> str:
        """Where a reader of another scope, given by the name that states carry, stands after this change."""
        ledger = self._place.ledger
        return State(ledger.site, ledger.incarnation, scope, self._entry.seq).text()

    def __repr__(self) -> str:
        what = "deleted" if self.deleted else "new" if self.new else "updated"
        return f"Change({self.resource!r}, {self.key!r}, {what}, seq={self.seq})"
