"""Progress of a run: what there is to do and how far it is, counted by several processes at once."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable

from tallystick.trees.processes import share_number

SHARES = 8
_COUNT = struct.Struct("=QQ")

Show = Callable[["Progress"], None]


class Progress:
    """Files and bytes done so far, in memory that forked processes share: each one counts in a place of its own.

    ``show`` is called in the first process only, at most every ``interval`` seconds.
    """

    def __init__(self, show: Show, interval: float = 0.1, clock: Callable[[], float] = time.monotonic) -> None:
        self.total_files = 0
        self.total_bytes = 0
        self._show = show
        self._interval = interval
        self._clock = clock
        self._shown = 0.0
        self._memory = mmap.mmap(-1, SHARES * _COUNT.size)
        self.started = clock()

    def expect(self, files: int, size: int) -> None:
        """There are so many more files and bytes to do."""
        self.total_files += files
        self.total_bytes += size

    def advance(self, files: int, size: int) -> None:
        """So many more are done."""
        number = share_number()
        start = (number % SHARES) * _COUNT.size
        done = _COUNT.unpack_from(self._memory, start)
        _COUNT.pack_into(self._memory, start, done[0] + files, done[1] + size)
        if number == 0 and (now := self._clock()) - self._shown >= self._interval:
            self._shown = now
            self._show(self)

    @property
    def done(self) -> tuple[int, int]:
        """(files, bytes) of all processes together."""
        counts = [_COUNT.unpack_from(self._memory, share * _COUNT.size) for share in range(SHARES)]
        return sum(count[0] for count in counts), sum(count[1] for count in counts)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self.started

    @property
    def rate(self) -> float:
        """Bytes a second so far."""
        return self.done[1] / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at this rate, by bytes and by files, whichever is longer; None: unknown."""
        files, size = self.done
        parts = [done / total for done, total in ((files, self.total_files), (size, self.total_bytes)) if total]
        least = min(parts, default=0.0)
        return None if least <= 0 else self.seconds * (1 - min(1.0, least)) / least
