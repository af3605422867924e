"""One run with one peer: the order of section 3 of spec/eden.md, over any adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from tallystick.jobs.adapter import Adapter
from tallystick.jobs.log import LogEntry, Mode, Result
from tallystick.site.deciding import OnConflict


class HasMode(Protocol):
    """What a run needs to know of a task."""

    @property
    def mode(self) -> Mode:
        """Which directions it wants."""

    @property
    def resource(self) -> str:
        """What it synchronizes."""


TaskOf = TypeVar("TaskOf", bound=HasMode)


@dataclass(frozen=True, slots=True)
class Finished(Generic[TaskOf]):
    """How one task went: an error per direction, and the newest times transferred."""

    task: TaskOf
    pull_error: str | None = None
    push_error: str | None = None
    pulled: datetime | None = None
    pushed: datetime | None = None

    @property
    def failed(self) -> bool:
        """True when either direction failed."""
        return self.pull_error is not None or self.push_error is not None


def run_peer(
    adapter: Adapter[TaskOf],
    tasks: Callable[[], Iterable[TaskOf]],
    latest: Callable[[TaskOf], TaskOf],
    log: Callable[[LogEntry], None],
    clock: Callable[[], datetime],
    *,
    address: str | None,
    name: str | None,
    onconflict: OnConflict | None = None,
) -> list[Finished[TaskOf]]:
    """Runs every task of one peer: refresh, login, then per task pull and push.

    ``tasks`` is read after the adapter's ``refresh``, which may rewrite them; ``latest`` reads a task again between its
    pull and its push. A peer without an address and a login that fails end the run with a fatal entry; an error in one
    direction skips the rest of its task only.
    """

    def fatal(action: str, message: str, remote: bool = False) -> list[Finished[TaskOf]]:
        log(LogEntry(clock(), name, None, "login", "outgoing", action, Result.FATAL, remote, message))
        return []

    if not address:
        return fatal("connect", "the peer has no address")
    renew: Callable[[], str | None] | None = getattr(adapter, "refresh", None)
    problem = renew() if renew is not None else None
    if problem is not None:
        return fatal("refresh", problem)
    problem = adapter.login()
    if problem is not None:
        return fatal("login", problem, getattr(adapter, "refused", False))
    return [_run_task(adapter, task, latest, onconflict) for task in tasks()]


def _run_task(
    adapter: Adapter[TaskOf], task: TaskOf, latest: Callable[[TaskOf], TaskOf], onconflict: OnConflict | None
) -> Finished[TaskOf]:
    pulled = pushed = None
    if task.mode in (Mode.PULL, Mode.BOTH):
        error, pulled = adapter.pull(task, onconflict)
        if error is not None:
            return Finished(task, pull_error=error)
        task = latest(task)
    if task.mode in (Mode.PUSH, Mode.BOTH):
        error, pushed = adapter.push(task)
        if error is not None:
            return Finished(task, push_error=error, pulled=pulled)
    return Finished(task, pulled=pulled, pushed=pushed)
