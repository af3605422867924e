"""How an endpoint's digest moves: ticks given, entries handled and failed, passes ended (spec 9.2, 9.5, 9.6). Pure.

`Progress` is the working copy of a `Standing` while a page is applied: each step costs the same however many
endpoints and failures there are. The functions below it are single steps from one standing to the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final

from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, endpoint_key
from tallystick.protocols.sdata.codec.names import MISSING_PRIORITY
from tallystick.protocols.sdata.rules.standing import Failure, Page, Pass, Standing

OPEN_PASSES: Final = 64
"""Passes remembered at once; older ones are forgotten, which only delays the clearing of failures (9.6, 4)."""


class Progress:
    """A standing in motion. ``stamp`` is the present moment: that of every digest entry whose tick changes."""

    def __init__(self, standing: Standing, stamp: str) -> None:
        self._before = standing
        self._stamp = stamp
        self._own = standing.own
        self._entries = dict(standing.digest.entries)
        self._digest = Digest(standing.digest.origin, self._entries)
        self._counter = standing.counter
        self._restoring = standing.restoring
        self._events = standing.events
        self._passes = dict(standing.passes)
        self._failures = dict(standing.failures)
        self._names: dict[str, set[str]] = defaultdict(set)
        self._heaps: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for name, row in self._failures.items():
            self._names[row.uuid].add(name)
            self._heaps[endpoint_key(row.endpoint)].append((row.tick, name))
        for heap in self._heaps.values():
            heapify(heap)

    @property
    def digest(self) -> Digest:
        """The digest as it is now; it goes on moving with this object."""
        return self._digest

    def standing(self) -> Standing:
        """What has become of the standing."""
        return Standing(
            Digest(self._before.digest.origin, dict(self._entries)),
            self._counter,
            dict(self._failures),
            dict(self._passes),
            self._events,
            self._restoring,
        )

    # Steps ----------------------------------------------------------------------------------------------------------

    def assign(self, user: str = "") -> SyncState:
        """The state of a local change: record the tick, then increment it (9.2)."""
        state = SyncState(self._before.digest.origin, self._counter, self._stamp, user)
        self._counter += 1
        self._publish()
        return state

    def handled(self, state: SyncState, source: Digest, uuid: str) -> None:
        """An entry was applied, ignored or lost a conflict: failures of its resource are over."""
        for name in self._names.pop(uuid, ()):
            self._failures.pop(name, None)
        self._raise(state.endpoint, state.tick + 1, source)

    def failed(self, state: SyncState, source: Digest, uuid: str) -> None:
        """An entry could not be applied: its endpoint is capped until the resource is handled."""
        row = Failure(uuid, state.endpoint, state.tick, self._events)
        self._failures[row.name] = row
        self._names[uuid].add(row.name)
        heappush(self._heaps[endpoint_key(state.endpoint)], (state.tick, row.name))
        self._raise(state.endpoint, state.tick, source)

    def cap(self, key: str) -> int | None:
        """The smallest failed tick of endpoint ``key``, beyond which its digest entry may not go (9.6, 1)."""
        heap = self._heaps.get(key, [])
        while heap:
            tick, name = heap[0]
            row = self._failures.get(name)
            if row is not None and row.tick == tick:
                return tick
            heappop(heap)
        return None

    def page_begun(self, page: Page) -> None:
        """A catch-up page arrives: passes are followed from their first page on (9.6, 4)."""
        self._events += 1
        if not page.identity:
            return
        known = self._passes.pop(page.identity, None)
        if page.first:
            self._passes[page.identity] = Pass(self._events, _following(page, 1))
        elif known is not None and page.start in (None, known.expected):
            self._passes[page.identity] = Pass(known.began, _following(page, known.expected))
        while len(self._passes) > OPEN_PASSES:
            self._passes.pop(next(iter(self._passes)))

    def pass_ended(self, page: Page) -> None:
        """The last page is done: what the source does not hold any more is no failure, then digests merge.

        Precondition: every entry of the page was `handled` or `failed`.
        """
        known = self._passes.pop(page.identity, None)
        if known is not None:
            self.clear(page.digest, known.began)
        if not self._failed_since(0 if known is None else known.began):
            for entry in page.digest.entries.values():
                self._raise(entry.endpoint, entry.tick, page.digest)
        self._publish()

    def _failed_since(self, began: int) -> bool:
        """True when entries failed in a pass that began then: what a digest claims beside them may rest on them.

        The source may know a version only as one that lost against what failed here. Should the source then lose that
        too (a restore), nobody would send the loser to those who claim it already.
        """
        return any(row.since >= began for row in self._failures.values())

    def clear(self, source: Digest, began: int) -> None:
        """Forget the failures that a complete pass begun after them, from a source beyond them, did not bring."""
        for name, row in list(self._failures.items()):
            if row.since < began and source.tick(row.endpoint) > row.tick:
                del self._failures[name]
                self._names[row.uuid].discard(name)

    def write(self, digest: Digest) -> None:
        """An administrator wrote ``$syncDigest``: ticks are raised, never lowered; priorities are set (Q1)."""
        for entry in digest.entries.values():
            self._raise(entry.endpoint, entry.tick, digest)
            key = endpoint_key(entry.endpoint)
            held = self._entries.get(key)
            if held is not None and entry.priority != MISSING_PRIORITY:
                self._entries[key] = held._replace(priority=entry.priority)

    def learn(self, entries: Iterable[DigestEntry]) -> None:
        """Knowledge that came by other ways than a feed: ticks are raised, within the caps of failures."""
        told = Digest("", {endpoint_key(entry.endpoint): entry for entry in entries})
        for entry in told.entries.values():
            self._raise(entry.endpoint, entry.tick, told)

    def begin_restore(self, counter: int) -> None:
        """The store was put back from a backup: ticks go on from ``counter``, what was restored stays published."""
        self._restoring = True
        self._counter = max(self._counter, counter)
        self._publish()

    def end_restore(self) -> None:
        """The inbound passes after a restore are done: the counter is published again (9.9)."""
        self._restoring = False
        self._publish()

    # Ticks ----------------------------------------------------------------------------------------------------------

    def _raise(self, endpoint: str, tick: int, source: Digest) -> None:
        """Ticks never go down; our own count and our own entry are one, and it is never capped (9.5, 9.6)."""
        key = endpoint_key(endpoint)
        if key == self._own:
            self._raise_own(tick)
            return
        limit = self.cap(key) if self._failures else None
        reached = tick if limit is None else min(tick, limit)
        entry = self._entries.get(key)
        if entry is not None and reached <= entry.tick:
            return
        priority = source.entries[key].priority if key in source.entries else MISSING_PRIORITY
        if priority == MISSING_PRIORITY and entry is not None:
            priority = entry.priority
        spelled = endpoint.strip().rstrip("/") if entry is None else entry.endpoint
        self._entries[key] = DigestEntry(spelled, reached, self._stamp, priority)

    def _raise_own(self, tick: int) -> None:
        if self._restoring and tick > self._entries[self._own].tick:
            self._set_own(tick)
        self._counter = max(self._counter, tick)
        self._publish()

    def _publish(self) -> None:
        """The own digest entry follows the counter, held back by failures of our own origin, or by a restore."""
        limit = self.cap(self._own) if self._failures else None
        tick = self._entries[self._own].tick if self._restoring else self._counter
        self._set_own(tick if limit is None else min(tick, limit))

    def _set_own(self, tick: int) -> None:
        entry = self._entries[self._own]
        if tick != entry.tick:
            self._entries[self._own] = entry._replace(tick=tick, stamp=self._stamp)


def _following(page: Page, expected: int) -> int:
    return (page.start if page.start is not None else expected) + page.entries


# Single steps ---------------------------------------------------------------------------------------------------


def assign(standing: Standing, stamp: str, user: str = "") -> tuple[Standing, SyncState]:
    """The standing after a local change, and the state of that change (9.2)."""
    progress = Progress(standing, stamp)
    state = progress.assign(user)
    return progress.standing(), state


def written(standing: Standing, digest: Digest, stamp: str) -> Standing:
    """The standing after an administrator wrote ``$syncDigest``."""
    progress = Progress(standing, stamp)
    progress.write(digest)
    return progress.standing()


def restore_ended(standing: Standing, stamp: str) -> Standing:
    """The standing after the inbound passes that follow a restore."""
    progress = Progress(standing, stamp)
    progress.end_restore()
    return progress.standing()
