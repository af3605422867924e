"""Waiting until files are written: by inotify where there is one, else by the clock."""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_IN_MODIFY = 0x2
_IN_NONBLOCK = 0o4000
_IN_CLOEXEC = 0o2000000
_IN_MASK_ADD = 0x20000000
_STEP_S = 0.004
"""How often to look where nothing tells of writes."""
_LOOK_AGAIN_S = 1.0
"""How often to look where something does: a file may have been replaced."""


class Waiting(Protocol):
    """Waits for the next moment at which looking may be worth it."""

    def wait(self, timeout: float, *, pressing: bool = False) -> tuple[bool, bool]:
        """Wait at most ``timeout`` seconds. Returns (``wake`` was called, a file was written).

        ``pressing``: a write was noticed and its commit is being waited for, so do not wait longer than said.
        """

    def wake(self) -> None:
        """Let ``wait`` return."""

    def close(self) -> None:
        """Let go of what the system holds for us. Idempotent."""


def file_waiting(paths: Sequence[Path]) -> Waiting:
    """The best way to wait for writes to ``paths`` on this system."""
    with suppress(OSError, AttributeError):
        return FileWaiting(paths)
    return ClockWaiting()


class ClockWaiting:
    """Waits for a few milliseconds at a time: files say nothing here."""

    def __init__(self, step: float = _STEP_S) -> None:
        self._step = step
        self._event = threading.Event()

    def wait(self, timeout: float, *, pressing: bool = False) -> tuple[bool, bool]:
        """See ``Waiting.wait``. Never knows of a write."""
        woken = self._event.wait(min(timeout, self._step))
        self._event.clear()
        return woken, False

    def wake(self) -> None:
        """See ``Waiting.wake``."""
        self._event.set()

    def close(self) -> None:
        """See ``Waiting.close``."""
        self.wake()


class FileWaiting:
    """Waits for inotify to tell of a write. Watching opens none of the files: closing one would drop SQLite's locks."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises OSError or AttributeError where the system has no inotify, or none left for us."""
        self._paths = paths
        self._system = ctypes.CDLL(None, use_errno=True)
        self._notices = self._system.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self._notices < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._woken, False)
        self._poll = select.poll()
        self._poll.register(self._notices, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)
        self._lock = threading.Lock()
        self._closed = False
        self._watch()

    def _watch(self) -> None:
        """Watch the files that are there; watching one again changes nothing."""
        for path in self._paths:
            self._system.inotify_add_watch(self._notices, os.fsencode(path), _IN_MODIFY | _IN_MASK_ADD)

    def wait(self, timeout: float, *, pressing: bool = False) -> tuple[bool, bool]:
        """See ``Waiting.wait``."""
        if pressing:
            time.sleep(timeout)  # poll knows whole milliseconds only
            timeout = 0
        else:
            self._watch()
            timeout = min(timeout, _LOOK_AGAIN_S)
        with suppress(OSError):
            ready = {descriptor for descriptor, _ in self._poll.poll(max(timeout, 0) * 1000)}
            if self._closed:
                return True, False
            for descriptor in ready:
                with suppress(BlockingIOError):
                    os.read(descriptor, 65536)
            return self._woken in ready, self._notices in ready
        return True, False

    def wake(self) -> None:
        """See ``Waiting.wake``."""
        with self._lock, suppress(OSError):
            if not self._closed:
                os.write(self._waker, b"\0")

    def close(self) -> None:
        """See ``Waiting.close``."""
        self.wake()
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for descriptor in (self._notices, self._woken, self._waker):
            os.close(descriptor)
