"""Streams: changes of a site beyond a state, once or for ever (docs/streams.md)."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from threading import Event
from time import monotonic
from typing import NamedTuple

from tallystick.core.states import State
from tallystick.errors import TallystickError, UsageError
from tallystick.site.issuing import Told
from tallystick.site.ledger import COUNTERS_OF_MARKED, Ledger, Tracked
from tallystick.site.stamping import stamp
from tallystick.streams.changes import Change
from tallystick.streams.hints import SLOW_POLL_S, Hint, Hints, watch
from tallystick.streams.reading import Reading
from tallystick.streams.resuming import Held, Resync, Start, start
from tallystick.streams.scopes import StreamScope, remember
from tallystick.streams.tables import require

_FEW = 1024
"""Changes that are handed on from stamping to the reader; more of them are read in batches."""


class Changes(Iterator[Change], AsyncIterator[Change]):
    """Changes beyond a state: each record at most once in one reading, as it is now, in the site's commit order.

    Iterate with ``for`` or ``async for``. ``state`` is where the reader stands after the change that was given out
    last; when all were, and there were none, it is the very state that was passed. ``has_more`` says, once the
    iteration has ended, whether ``max_changes`` cut it short.
    """

    def __init__(
        self,
        ledger: Ledger,
        scope: StreamScope,
        state: str | None = None,
        *,
        max_changes: int | None = None,
        follow: bool = False,
        resync: Resync = "",
        held: Held | None = None,
        hints: Hints | None = None,
    ) -> None:
        """Read now; raises what ``resuming.start`` raises, SchemaError for a resource that is not there, and UsageError
        for a ``max_changes`` below 1 or an unknown ``resync``.

        ``follow`` goes on for ever with what is changed later, woken by ``hints`` (those of the database itself when
        none are given).
        """
        if max_changes is not None and (type(max_changes) is not int or max_changes < 1):
            raise UsageError(f"max_changes={max_changes!r} can deliver nothing", hint="use 1 or more, or leave it out")
        if resync not in ("", "diff"):
            raise UsageError(f"resync={resync!r} is unknown", hint="use resync='diff', or leave it out")
        self.has_more = False
        self._ledger, self._scope, self._held = ledger, scope, held
        self._left = max_changes
        self._follow, self._hints, self._own_hints = follow, hints, hints is None
        self._ready: deque[Change] = deque()
        self._last: Change | None = None
        self._closing = Event()
        if follow and hints is None:
            self._hints = watch(ledger.engine)
        top = stamped_top(ledger, scope)
        self._reached = self._given = state or ""
        self._reading = Reading(ledger, scope, start(ledger, scope, state, resync, held), top, held)
        self._checked, self._incarnation = monotonic(), ledger.incarnation
        self._chunks = self._read()
        self._limited = self._limit()

    @property
    def state(self) -> str:
        """Where the reader stands."""
        return self._last.state if self._last is not None else self._reached

    def chunks(self) -> Iterator[Sequence[Change]]:
        """The changes in lists, for whoever takes many at once: call ``give`` for each. Do not iterate beside it."""
        return self._limited

    def _limit(self) -> Iterator[Sequence[Change]]:
        left = self._left
        for chunk in self._chunks:
            if left is None:
                yield chunk
                continue
            self.has_more = len(chunk) > left
            yield chunk[:left]
            left -= min(left, len(chunk))
            if not left:
                if not self.has_more and not self._follow:
                    self.has_more = next(self._chunks, None) is not None
                break
        self.close()

    def give(self, change: Change) -> None:
        """Note that a change of ``chunks`` was given out: ``state`` is behind it now."""
        self._last = change

    def _read(self) -> Iterator[Sequence[Change]]:
        """Lists of changes; at the end of each reading the state that stands for all of it."""
        while True:
            told = False
            for chunk in self._reading.chunks():
                told = True
                yield chunk
            self._end_reading(told)
            following = self._next_reading() if self._follow else None
            if following is None:
                return
            self._reading = following

    def _end_reading(self, told: bool) -> None:
        """Stand behind everything that was read: the identical state when that was nothing."""
        if told or not self._reached or self._reading.start.before is not None or self._reading.start.compare:
            self._reached = state_at(self._ledger, self._scope, self._reading.until)
            self._last = None

    def _next_reading(self) -> Reading | None:
        """Wait until there is more; None when the reader does not want it any more."""
        before = self._reading.until
        while not self._closing.is_set():
            assert self._hints is not None
            found = self._hints.wait(SLOW_POLL_S)
            if self._closing.is_set() or (found and not self._concerned(found, before)):
                continue
            following = self._beyond(before, checked=not found)
            if following is not None:
                return following
        return None

    def _beyond(self, seq: int, *, checked: bool) -> Reading | None:
        """What there is beyond a seq now; None when there is nothing.

        Looks at the structure of the database once a second, and where something speaks for a change of it.
        """
        ledger, scope = self._ledger, self._scope
        checked = checked or monotonic() - self._checked > SLOW_POLL_S
        try:
            now = stamped_beyond(ledger, scope, seq, checked=checked)
        except TallystickError:
            if checked:
                raise
            now, checked = stamped_beyond(ledger, scope, seq, checked=True), True
        self._checked = monotonic() if checked else self._checked
        if now.horizon > seq or ledger.incarnation != self._incarnation:
            return Reading(ledger, scope, start(ledger, scope, self.state, "diff", self._held), now.top, self._held)
        if now.top > seq:
            return Reading(ledger, scope, Start(seq, self.state), now.top, tracked=now.tracked, told=now.told)
        return None

    def _concerned(self, hints: Sequence[Hint], seq: int) -> bool:
        wanted = self._scope.resources
        return any(
            (not hint.resource or not wanted or hint.resource in wanted) and (not hint.seq or hint.seq > seq)
            for hint in hints
        )

    def __iter__(self) -> Changes:
        return self

    def __next__(self) -> Change:
        if not self._ready:
            self._refill()
        self._last = change = self._ready.popleft()
        return change

    def _refill(self) -> None:
        """Take the next list. Raises StopIteration at the end."""
        self._ready.extend(next(self._limited))

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> Change:
        if not self._ready:
            import asyncio  # here: programs that do not need it should not wait for it

            try:
                more = await asyncio.to_thread(self._refilled)
            except asyncio.CancelledError:
                self.close()
                raise
            if not more:
                raise StopAsyncIteration
        self._last = change = self._ready.popleft()
        return change

    def _refilled(self) -> bool:
        try:
            self._refill()
        except StopIteration:
            return False
        return True

    def __enter__(self) -> Changes:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        """Whoever leaves a loop in the middle need not close: the watch goes with the last reference."""
        if getattr(self, "_own_hints", False):
            self.close()

    def close(self) -> None:
        """Stop following. Idempotent; an iteration in another thread ends."""
        self._closing.set()
        if self._hints is not None:
            self._hints.wake()
            if self._own_hints:
                self._hints.close()


def stamped_top(ledger: Ledger, scope: StreamScope) -> int:
    """Stamp what is marked, and say how far the scope goes now."""
    require(ledger)
    with ledger.write():
        stamp(ledger)
        ledger.save_counters()
        remember(ledger, scope)
        return scope.top(ledger)


class Beyond(NamedTuple):
    """What of a scope lies beyond a seq: how far it goes, the highest purged seq, the resources that changed.

    ``told``: everything beyond it of those resources where stamping saw all of it already.
    """

    top: int
    horizon: int
    tracked: list[Tracked]
    told: Told


def stamped_beyond(ledger: Ledger, scope: StreamScope, seq: int, *, checked: bool) -> Beyond:
    """Stamp what is marked, and say what of the scope lies beyond a seq now.

    Raises SchemaError when a resource of the scope is tracked no longer.
    """
    sql = f"SELECT wire, seq, horizon FROM tally_resource WHERE seq>{seq} OR horizon>{seq} ORDER BY id"
    with ledger.write((sql, COUNTERS_OF_MARKED, ledger.engine.marking)) as (rows, counters, marks):
        told: Told = {}
        ledger.take_counters(counters)
        scope.require(ledger)
        stamp(ledger, checked=checked, told=None if checked else told, stored=None if checked else marks)
        before = {wire: reached for wire, reached, _ in rows if scope.covers(wire)}
        horizon = max([0, *(row[2] for row in rows if scope.covers(row[0]) and ledger.has(row[0]))])
        changed = [
            item
            for item in ledger.resources()
            if scope.covers(item.wire) and (item.seq if item.dirty else before.get(item.wire, 0)) > seq
        ]
        top = max([seq, *(ledger.resource(item.wire).seq for item in changed)])
        ledger.engine.told_by_marks()
        complete = {wire: rows for wire, rows in told.items() if before.get(wire, 0) <= seq and len(rows) <= _FEW}
        return Beyond(top, horizon, changed, complete)


def state_at(ledger: Ledger, scope: StreamScope, seq: int) -> str:
    """The state of a scope at a seq."""
    return State(ledger.site, ledger.incarnation, scope.name, seq).text()


def token_maker(ledger: Ledger, scope: StreamScope) -> Callable[[int], str]:
    """A function that makes the state of a scope at a seq, in any thread."""
    with ledger.write():
        require(ledger)
        remember(ledger, scope)
    start_of = State(ledger.site, ledger.incarnation, scope.name, 0)
    return lambda seq: start_of._replace(seq=seq).text()


def current_state(ledger: Ledger, scope: StreamScope) -> str:
    """The state that stands for everything so far; identical as long as nothing in the scope changes."""
    return state_at(ledger, scope, stamped_top(ledger, scope))
