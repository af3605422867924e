"""Watching trees: when something in one of them changes, without saying what (DESIGN.md 4.10).

Notifications only start the next run, which looks at everything: a lost one costs time, never a change. Therefore a
run also comes when nothing was heard for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

STEP_MS = 5
"""Silence after which a burst of changes counts as over ..."""
DEBOUNCE_MS = 400
"""... and how long one may go on before it is answered all the same."""
PATIENCE_MS = 100
"""How long one look for notifications waits."""
QUIET_SECONDS = 60.0
"""After so long without a notification a run comes anyway."""


def changes(roots: Sequence[str | Path], quiet_seconds: float = QUIET_SECONDS) -> Iterator[bool]:
    """Yields True when something changed below one of the directories, False after ``quiet_seconds`` without.

    The first value, False, says that watching has begun: what changes from then on is noticed. Ends with
    KeyboardInterrupt; raises FileNotFoundError when a root is not there.
    """
    from watchfiles import watch

    heard = watch(
        *roots,
        watch_filter=None,
        step=STEP_MS,
        debounce=DEBOUNCE_MS,
        rust_timeout=PATIENCE_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    next(heard)  # only now somebody listens
    yield False
    silence = 0.0
    for changed in heard:
        silence = 0.0 if changed else silence + PATIENCE_MS / 1000
        if changed or silence >= quiet_seconds:
            silence = 0.0
            yield bool(changed)
