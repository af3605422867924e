"""Content on its way into a site, and how much of it a context takes before it publishes (docs/contexts.md, *Limits*).

What was sent and is not published counts nowhere else. A context with a quota takes so many bytes of it as it may hold:
no publication could need more. Requests that are under way at once are counted together.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator

from tallystick.content.bundles import layout_of
from tallystick.contexts.problems import QuotaExceeded
from tallystick.contexts.shelf import Shelf
from tallystick.errors import TallystickError

_lock = threading.Lock()
_under_way: Counter[str] = Counter()
"""Bytes that requests to this process have brought and not noted yet, by context."""


class Arriving:
    """The bundles of one request on their way into a store; they end early where their source fails, or the quota.

    ``close`` when they are noted: until then they are counted as under way.
    """

    def __init__(self, bundles: Iterable[bytes], shelf: Shelf) -> None:
        self._bundles = bundles
        self._shelf = shelf
        self._counted = 0
        self.problem: TallystickError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            quota = self._shelf.quota_bytes
            yield from self._bundles if quota is None else self._within(quota)
        except TallystickError as problem:
            self.problem = problem

    def _within(self, quota: int) -> Iterator[bytes]:
        seen: set[bytes] = set()
        for bundle in self._bundles:
            names = {entry.hash: entry.length for entry in layout_of(bundle).entries if entry.hash not in seen}
            seen |= names.keys()
            held = self._shelf.lengths(list(names))
            self._count(sum(length for name, length in names.items() if name not in held), quota)
            yield bundle

    def _count(self, size: int, quota: int) -> None:
        with _lock:  # what is noted now is not under way any more, and must be in the sum by then
            waiting = self._shelf.unpublished() + _under_way[self._shelf.id] + size
            if size and waiting > quota:
                raise QuotaExceeded(
                    f"[QuotaExceeded] {self._shelf.name} would be sent {waiting:,} bytes that are not published, "
                    f"and may hold {quota:,}",
                    hint="publish what was sent; what is not goes with the sweep a day later, or raise the quota",
                )
            _under_way[self._shelf.id] += size
            self._counted += size

    def close(self) -> None:
        """What came is noted by now, or given up."""
        with _lock:
            _under_way[self._shelf.id] -= self._counted
            self._counted = 0
            if not _under_way[self._shelf.id]:
                del _under_way[self._shelf.id]
