"""The synchronization log: one vocabulary for every protocol, that of Eden's ``sync_log`` (spec/eden.md: section 2)."""

from __future__ import annotations

from tallystick.errors import GuardStopped, PeerError, TallystickError
from tallystick.protocols.eden.store import LogEntry, Mode, Result

__all__ = ["LogEntry", "Mode", "Result", "format_entry", "result_of", "worst"]

_ORDER = (Result.SUCCESS, Result.WARNING, Result.ERROR, Result.FATAL)


def worst(*results: Result) -> Result:
    """The result of several actions together."""
    return max(results, key=_ORDER.index, default=Result.SUCCESS)


def format_entry(entry: LogEntry) -> str:
    """One entry as a line, issues of single records on lines of their own."""
    where = "remote" if entry.remote else "local"
    outcome = entry.result.value if entry.result is Result.SUCCESS else f"{entry.result.value} ({where})"
    parts = [
        f"{entry.time:%Y-%m-%dT%H:%M:%SZ}",
        f"{entry.mode}/{entry.direction}",
        entry.repository or "-",
        entry.resource or "-",
        outcome,
    ]
    first, *more = (entry.message or "").split("\n")
    return "\n".join(["  ".join([*parts, first]).rstrip(), *(f"    {line}" for line in more)])


def result_of(error: TallystickError) -> Result:
    """An error that may be gone by itself, or at the peer, is an ERROR; one that needs somebody is FATAL."""
    return Result.ERROR if error.transient or isinstance(error, PeerError | GuardStopped) else Result.FATAL
