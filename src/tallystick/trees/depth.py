"""Room for trees that are as deep as they may be: what walks through a tree calls itself a few times per level."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tallystick.trees.names import MAX_DEPTH

CALLS = 1_000 + 8 * MAX_DEPTH
"""What a program may need by itself, and what walks of the deepest tree need."""

_lock = threading.Lock()
_inside: list[int] = []
"""For each walk under way the limit that it found."""


@contextmanager
def as_deep_as_trees() -> Iterator[None]:
    """Let this process go as deep as a tree may: Python allows 1,000 calls within each other, no more than 490 levels.

    Scans stop at ``MAX_DEPTH``, and keys from outside have no more, so nothing is unbounded. The last walk that ends
    puts the limit back: documents from outside are refused by it that are nested without end.
    """
    with _lock:
        _inside.append(sys.getrecursionlimit())
        sys.setrecursionlimit(max(CALLS, _inside[0]))
    try:
        yield
    finally:
        with _lock:
            before = _inside[0]
            _inside.pop()
            if not _inside:
                sys.setrecursionlimit(before)
