"""The homes of sessions, beside each other in one directory: what goes with a session and what outlives it for a while.

What lost its name in a mount and stands nowhere else is kept in the home of its session also when that has ended, for
as long as the history of any pair of trees (spec contexts D.1, X3).
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from tallystick.contexts.sessions.mounting import HISTORY
from tallystick.trees.history import purge

_HISTORY = re.compile(r"[0-9a-f]{32}" + re.escape(HISTORY))


def forget(home: Path) -> None:
    """Remove what a session remembers, except what lost its name and stands nowhere else."""
    for found in list(home.iterdir()) if home.is_dir() else ():
        if found.suffix != HISTORY:
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found, ignore_errors=True)
            else:
                found.unlink(missing_ok=True)
    with suppress(OSError):
        home.rmdir()


def purge_histories(homes: Path, now_ns: int) -> None:
    """Remove what was kept for long enough from every home, and homes that held nothing else.

    A home that cannot be read is left alone.
    """
    with suppress(OSError):
        for home in list(homes.iterdir()):
            with suppress(OSError):
                _purge(home, now_ns)


def _purge(home: Path, now_ns: int) -> None:
    histories = [found for found in home.iterdir() if _HISTORY.fullmatch(found.name) and not found.is_symlink()]
    for history in histories:
        purge(history, now_ns)
        with suppress(OSError):
            history.rmdir()
    if histories and not any(home.iterdir()):  # what has no history may be the home of a session that begins
        home.rmdir()
