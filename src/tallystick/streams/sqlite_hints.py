"""Hints from an SQLite file: woken by writes to it, sure by its commit counter.

Every commit by any process appends to the write-ahead log before it becomes visible. Where the system tells of writes
to files (inotify), nothing runs while nothing is written: a write wakes us, and we look at the commit counter
(``PRAGMA data_version``) in growing steps until the commit shows. Elsewhere we look at the counter every few
milliseconds, which costs some 10 us each time.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from tallystick.errors import ConfigurationError
from tallystick.streams.hints import Hint
from tallystick.streams.waiting import Waiting, file_waiting

_FIRST_STEP_S = 0.0002
_LONGEST_STEP_S = 0.01
_CHASE_S = 2.0
"""How long after a write its commit is looked for: a slow disk takes its time between the two."""
_MARKS = 1000
_STAMPED = "SELECT wire, seq FROM tally_resource WHERE seq>?"
_MARKED = (
    f"SELECT DISTINCT r.wire FROM (SELECT resource FROM tally_mark ORDER BY id DESC LIMIT {_MARKS}) m "
    "JOIN tally_resource r ON r.id=m.resource"
)


class SQLiteHints:
    """See ``hints.Hints``. Has a connection of its own, so it sees the commits of everybody, this process included."""

    def __init__(self, path: Path, waiting: Waiting | None = None) -> None:
        """Watch ``path``. Raises ConfigurationError when it cannot be opened."""
        self.path = path
        try:
            uri = f"file:{quote(str(path))}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, timeout=1, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA query_only=ON")
            self._version = self._counted()
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(f"{path} cannot be watched: {error}", hint="check the path") from error
        self._waiting = waiting or file_waiting([path, path.with_name(path.name + "-wal")])
        self._seq = self._top()
        self._chasing = 0.0
        self._closed = False
        self._lock = threading.Lock()

    def wait(self, timeout: float) -> list[Hint]:
        """See ``Hints.wait``."""
        deadline = time.monotonic() + timeout
        while not self._closed:
            with self._lock:
                found = self._look()
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            if self._pause(left):
                return []
        return []

    def _pause(self, left: float) -> bool:
        """Wait for the next moment to look. True when ``wake`` was called."""
        now = time.monotonic()
        if now - self._chasing < _CHASE_S:
            step = min(max((now - self._chasing) / 8, _FIRST_STEP_S), _LONGEST_STEP_S)
            woken, written = self._waiting.wait(min(step, left), pressing=True)
        else:
            woken, written = self._waiting.wait(left)
        if written:
            self._chasing = time.monotonic()
        return woken

    def _look(self) -> list[Hint]:
        if self._closed:
            return []
        try:
            version = self._counted()
            if version == self._version:
                return []
            self._version, self._chasing = version, 0.0
            return self._changed()
        except sqlite3.OperationalError:  # locked for a moment, or not tracked any more: the next look tells
            return []

    def _changed(self) -> list[Hint]:
        stamped = self._connection.execute(_STAMPED, (self._seq,)).fetchall()
        if stamped:
            self._seq = max(seq for _, seq in stamped)
        marked = self._connection.execute(_MARKED).fetchall()
        return [*(Hint(wire, seq) for wire, seq in stamped), *(Hint(wire) for (wire,) in marked)]

    def _counted(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _top(self) -> int:
        with suppress(sqlite3.OperationalError):
            return int(self._connection.execute("SELECT coalesce(max(seq), 0) FROM tally_resource").fetchone()[0])
        return 0

    def wake(self) -> None:
        """See ``Hints.wake``."""
        self._waiting.wake()

    def close(self) -> None:
        """See ``Hints.close``."""
        self._closed = True
        self._waiting.wake()
        with self._lock:
            self._connection.close()
        self._waiting.close()
