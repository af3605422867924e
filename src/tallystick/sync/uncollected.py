"""Pages in memory without the garbage collector (DESIGN.md 5).

A page is many thousand objects that come and go together, none of them in a cycle. The collector would walk through
all of them again and again while they are made, at half the cost of making them.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_was_enabled = False


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, in any thread, no garbage is collected; what was switched off already stays so."""
    global _inside, _was_enabled
    with _lock:
        if not _inside:
            _was_enabled = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _was_enabled:
                gc.enable()
