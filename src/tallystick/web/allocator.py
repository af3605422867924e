"""How a serving process asks its system for memory: what requests give back is kept for the next one."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Names of settings in ``malloc.h`` of the GNU C library."""
KEPT: Final = 64 << 20
"""Free bytes that stay with the process."""
APART: Final = 32 << 20
"""Blocks of so many bytes are asked for and given back alone; the library allows no more."""


def keep_memory() -> None:
    """Let the process keep what it frees, up to a bound, in one arena for all threads. Nothing on other libraries.

    Uploads come in pieces of some MiB. Left alone, the GNU library returns each to the system when it is freed, once
    per thread, and every page of the next one is a fault and is zeroed anew: about a sixth of what an upload of small
    files costs its server.
    """
    import ctypes

    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, value in ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, KEPT), (_MMAP_THRESHOLD, APART)):
            mallopt(ctypes.c_int(name), ctypes.c_int(value))
