"""Room for trees that are as deep as they may be: what walks through a tree calls itself a few times per level."""

from __future__ import annotations

import sys

from tallystick.trees.names import MAX_DEPTH

CALLS = 1_000 + 8 * MAX_DEPTH
"""What a program may need by itself, and what walks of the deepest tree need."""


def allow_depth() -> None:
    """Let this process go as deep as a tree may: Python allows 1,000 calls within each other, no more than 490 levels.

    Scans stop at ``MAX_DEPTH``, and keys from outside have no more, so nothing is unbounded. The limit stays: other
    threads may be in a tree when this one is done.
    """
    if sys.getrecursionlimit() < CALLS:
        sys.setrecursionlimit(CALLS)
