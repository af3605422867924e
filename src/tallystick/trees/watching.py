"""Watching trees: when something in one of them changes, without saying what (DESIGN.md 4.10).

Notifications only start the next run, which looks at everything: a lost one costs time, never a change. Therefore a
run also comes when nothing was heard for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

STEP_MS = 5
"""Silence after which a burst of changes counts as over ..."""
DEBOUNCE_MS = 400
"""... and how long one may go on before it is answered all the same."""
PATIENCE_MS = 100
"""How long one look for notifications waits."""
QUIET_SECONDS = 60.0
"""After so long without a notification a run comes anyway."""


def changes(
    roots: Sequence[str | Path],
    quiet_seconds: float = QUIET_SECONDS,
    elsewhere: Callable[[], bool] = lambda: False,
) -> Iterator[bool]:
    """Yields True when something changed below one of the directories, False after ``quiet_seconds`` without.

    ``elsewhere`` is asked ten times a second whether something changed where no directory of this machine is. The
    first value, False, says that watching has begun: what changes from then on is noticed. Ends with
    KeyboardInterrupt; raises FileNotFoundError when a root is not there.
    """
    heard = _heard(roots) if roots else _asleep()
    next(heard)  # only now somebody listens
    elsewhere()
    yield False
    silence = 0.0
    for changed in heard:
        news = elsewhere() or changed
        silence = 0.0 if news else silence + PATIENCE_MS / 1000
        if news or silence >= quiet_seconds:
            silence = 0.0
            yield news


def _heard(roots: Sequence[str | Path]) -> Iterator[bool]:
    """Whether something was heard, look by look."""
    from watchfiles import watch

    for found in watch(
        *roots,
        watch_filter=None,
        step=STEP_MS,
        debounce=DEBOUNCE_MS,
        rust_timeout=PATIENCE_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    ):
        yield bool(found)


def _asleep() -> Iterator[bool]:
    """There is no directory to listen to."""
    while True:
        yield False
        time.sleep(PATIENCE_MS / 1000)
