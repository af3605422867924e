"""Sessions: created with their contexts, released with their uploads (spec contexts A.3, B.9)."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tallystick.contexts.context_sync import ContextSync
from tallystick.contexts.host import ContextHost
from tallystick.contexts.results import OperationResult
from tallystick.contexts.sessions.bindings import WAIT_SECONDS, ContextManager, Place
from tallystick.contexts.sessions.homes import forget, purge_histories
from tallystick.contexts.sessions.lifetime import IDLE_SECONDS, MAXIMUM_SECONDS, Lifetime
from tallystick.contexts.sessions.problems import ReleaseFailed
from tallystick.contexts.sessions.results import DeleteResult
from tallystick.contexts.sessions.tasks import SUCCESS, ContextStatusData, Task
from tallystick.contexts.sessions.working import ended_within
from tallystick.trees.guards import Limits
from tallystick.trees.opening import state_directory

RELEASE_SECONDS = 300.0


@dataclass
class CreateSessionParams:
    """What a session is created with.

    ``root`` is the directory beneath which session paths resolve; without one the session makes its own and removes it
    when it has been released. ``directories`` puts single session paths elsewhere. ``session_id`` names a session that
    goes on after a crash: given again, with the same paths, it remembers what was agreed on. ``memory`` is where
    sessions remember; ``limits`` are those of the guards on deletions. ``accept_root`` unites a mount with a directory
    that was made anew in the place of the one that it was before (G3). A session of which nothing is asked and in
    whose mounts nothing changes for ``idle_seconds``, and one that ran for ``maximum_seconds``, is released like by
    ``delete``; None for never. ``wait_seconds`` is how long the first download of a context waits while another session
    on this machine, remembered in the same place, is storing what it changed there (S2).
    """

    context_syncs: Sequence[ContextSync] = ()
    root: Path | str | None = None
    directories: dict[str, Path] = field(default_factory=dict)
    session_id: str | None = None
    memory: Path | str | None = None
    limits: Limits = field(default_factory=Limits)
    durable: bool = True
    idle_seconds: float | None = IDLE_SECONDS
    maximum_seconds: float | None = MAXIMUM_SECONDS
    accept_root: bool = False
    wait_seconds: float = WAIT_SECONDS


class Session:
    """A working session. ``context`` has its contexts; end it with ``delete`` or by leaving a ``with`` block."""

    def __init__(
        self, opening: Callable[[], ContextHost], params: CreateSessionParams, clock: Callable[[], int]
    ) -> None:
        self.session_id = params.session_id or f"session-{uuid.uuid4().hex[:16]}"
        home = Path(params.memory) if params.memory is not None else state_directory().parent / "sessions"
        self._home = home / self.session_id
        self._owns_root = params.root is None
        root = self._home / "root" if params.root is None else Path(params.root)
        place = Place(root, self._home, dict(params.directories))
        life = Lifetime(params.idle_seconds, params.maximum_seconds, clock())
        self.context = ContextManager(
            opening, place, clock, params.limits, params.durable, life, params.accept_root, params.wait_seconds
        )
        self._clock = clock
        self._ending = threading.RLock()
        self._forgets = params.session_id is None or self._owns_root

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release; raises ReleaseFailed, with the files kept, when they cannot be uploaded and nothing else failed."""
        if self.context.released:
            return
        result = self.delete()
        if not result.success and problem is None:
            raise ReleaseFailed(f"{result.error_message} ({self.session_id}, files in {self.context.place.root})")

    def path(self, path: str) -> Path:
        """The directory or file of this machine that a session path names."""
        for mount, directory in self.context.place.directories.items():
            if path == mount or path.startswith(f"{mount}/"):
                return directory / path[len(mount) :].lstrip("/")
        return self.context.place.root / path.lstrip("/")

    def delete(
        self, sync_context: bool = False, *, force: bool = False, timeout: float = RELEASE_SECONDS
    ) -> DeleteResult:
        """Release the session: upload what uploads by itself (``sync_context``: every binding), then end it.

        Returns when the uploads are durable. When one fails, or ``timeout`` seconds are over, the session stays with
        its files and may be released again; ``force`` ends it all the same and says in ``lost`` what was not stored.
        Deletions that a guard holds back do not keep it; the message names them.
        """
        with self._ending:
            return self._delete(sync_context, force, timeout, "the session was released")

    def _delete(self, sync_context: bool, force: bool, timeout: float, why: str) -> DeleteResult:
        request = uuid.uuid4().hex
        if self.context.released:
            return DeleteResult(request, error_message=f"[SessionReleased] {self.context.released}")
        if self.context.life.is_paused:
            return DeleteResult(request, error_message="[SessionPaused] the session is paused; resume it first")
        tasks = self.context.upload(sync_context)
        begun = self.context.release.note
        in_time = ended_within(tasks, timeout)
        failed = _failed(tasks)
        held = [task.row.error_message for task in tasks if _only_held(task)]
        result = DeleteResult(request, success=in_time and not failed, error_message="; ".join(held))
        result.rows = [task.row for task in tasks]
        if not result.success:
            result.timed_out, result.release_failed = not in_time, True
            result.error_message = failed[0].error_message if in_time else _timed_out(timeout)
            if not force:
                self.context.when_ended(tasks, lambda: self.context.release.settle(begun, _problems(tasks)))
                return result
            result.lost = [row.path for row in failed]
            result.success = True
        self._end(why, keep=bool(held) and not force, in_time=in_time)
        return result

    def abandon(self) -> None:
        """End a session that never got going: nothing is uploaded, and everything stays where it is."""
        self.context.release.abandon()
        self.context.close()

    # A life of its own ----------------------------------------------------------------------------

    def pause(self) -> OperationResult:
        """Let the session rest with its files: nothing ends it by time, and no call but ``resume`` is answered (S6).

        Tasks that have begun go on to their end.
        """
        return self._turned(self.context.life.pause)

    def resume(self) -> OperationResult:
        """Go on after ``pause``: the time in between counts neither as idle nor as run."""
        return self._turned(self.context.life.resume)

    def _turned(self, turn: Callable[[int], None]) -> OperationResult:
        with self._ending:
            request = uuid.uuid4().hex
            if self.context.released:
                return OperationResult(request, False, f"[SessionReleased] {self.context.released}")
            turn(self._clock())
            return OperationResult(request, True)

    def end_in_time(self) -> DeleteResult | None:
        """Release the session if its time is over (S1); None when it is not, or somebody is at work in its mounts.

        When the files cannot be stored the session stays with them, and is released another time.
        """
        with self._ending:
            life, now = self.context.life, self._clock()
            if self.context.released or not life.reason(now):
                return None
            if life.is_idle(now):
                life.use(now if self.context.is_busy else last_change(self.context.directories))
            reason = life.reason(now)
            if not reason:
                return None
            result = self._delete(False, False, RELEASE_SECONDS, f"the session was released: {reason}")
            if not result.success:
                life.postpone(self._clock())
            return result

    def _end(self, why: str, keep: bool, in_time: bool) -> None:
        """Give everything back; where a task is still at work, as soon as it is not, and without waiting for it."""
        if in_time:
            self.context.release.forget()  # before its lock goes: others would take the session for dead
            self.context.close(why)
            self._clean(keep)
        else:
            self.context.close_later(why, lambda: self._clean(keep))

    def _clean(self, keep: bool) -> None:
        """What the session made for itself goes, unless held deletions may still be wanted."""
        self.context.release.forget()
        if self._owns_root and not keep:
            shutil.rmtree(self.context.place.root, ignore_errors=True)
        if self._forgets and not keep:
            forget(self._home)
        self.purge_histories()

    def purge_histories(self) -> None:
        """Remove what this session, and those that remember in the same place, have kept for long enough."""
        purge_histories(self._home.parent, self._clock())


def _timed_out(seconds: float) -> str:
    return f"[TimedOut] the upload timed out after {seconds:g} seconds; files are kept"


def _failed(tasks: Sequence[Task]) -> list[ContextStatusData]:
    return [task.row for task in tasks if task.row.status != SUCCESS and not _only_held(task)]


def _problems(tasks: Sequence[Task]) -> dict[str, str]:
    return {row.path: row.error_message for row in _failed(tasks)}


def _only_held(task: Task) -> bool:
    return task.row.error_message.startswith("[DeletionsHeld]")


def last_change(directories: Iterable[Path]) -> int:
    """When something in these directories was last made, changed or removed, in nanoseconds; 0 for nothing."""
    newest = 0
    for directory in directories:
        for at, _, names in os.walk(directory):
            for path in (at, *(os.path.join(at, name) for name in names)):
                try:
                    found = os.lstat(path)
                except OSError:
                    continue
                newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
    return newest
