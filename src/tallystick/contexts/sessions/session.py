"""Sessions: created with their contexts, released with their uploads (spec contexts A.3, B.9)."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from tallystick.contexts.context_sync import ContextSync
from tallystick.contexts.host import ContextHost
from tallystick.contexts.sessions.bindings import ContextManager, Place
from tallystick.contexts.sessions.problems import ReleaseFailed, message_of
from tallystick.contexts.sessions.results import DeleteResult, SessionResult
from tallystick.contexts.sessions.tasks import SUCCESS, Task
from tallystick.contexts.sessions.working import wait_for
from tallystick.errors import TallystickError
from tallystick.trees.guards import Limits
from tallystick.trees.opening import state_directory

RELEASE_SECONDS = 300.0
LOOK_SECONDS = 0.5


@dataclass
class CreateSessionParams:
    """What a session is created with.

    ``root`` is the directory beneath which session paths resolve; without one the session makes its own and removes it
    when it has been released. ``directories`` puts single session paths elsewhere. ``session_id`` names a session that
    goes on after a crash: given again, with the same paths, it remembers what was agreed on. ``memory`` is where
    sessions remember; ``limits`` are those of the guards on deletions.
    """

    context_syncs: Sequence[ContextSync] = ()
    root: Path | str | None = None
    directories: dict[str, Path] = field(default_factory=dict)
    session_id: str | None = None
    memory: Path | str | None = None
    limits: Limits = field(default_factory=Limits)
    durable: bool = True


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
        self.context = ContextManager(opening, place, clock, params.limits, params.durable)
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
        request = uuid.uuid4().hex
        if self.context.released:
            return DeleteResult(request, error_message="[SessionReleased] the session was released")
        tasks = self.context.upload(sync_context)
        in_time = wait_for(tasks, max(1, int(timeout / LOOK_SECONDS)), min(LOOK_SECONDS, max(timeout, 0.001)))
        failed = [task.row for task in tasks if task.row.status != SUCCESS and not _only_held(task)]
        held = [task.row.error_message for task in tasks if _only_held(task)]
        result = DeleteResult(request, success=in_time and not failed, error_message="; ".join(held))
        if not result.success:
            result.timed_out, result.release_failed = not in_time, True
            result.error_message = failed[0].error_message or "[TimedOut] the upload has not ended yet; files are kept"
            if not force:
                return result
            result.lost = [row.path for row in failed]
            result.success = True
        self._end(keep=bool(held) and not force)
        return result

    def _end(self, keep: bool) -> None:
        """Give everything back. What the session made for itself goes, unless held deletions may still be wanted."""
        self.context.close()
        if keep:
            return
        if self._owns_root:
            shutil.rmtree(self.context.place.root, ignore_errors=True)
        if self._forgets:
            shutil.rmtree(self._home, ignore_errors=True)


def _only_held(task: Task) -> bool:
    return task.row.error_message.startswith("[DeletionsHeld]")


class Sessions:
    """Creates and releases sessions on one host of contexts; ``opening`` makes a host for a session's thread."""

    def __init__(self, opening: Callable[[], ContextHost], clock: Callable[[], int] = time.time_ns) -> None:
        self._opening = opening
        self._clock = clock
        self._running: WeakValueDictionary[str, Session] = WeakValueDictionary()

    def bound(self, session_id: str) -> frozenset[str]:
        """The identifiers of the contexts that a session made here has bound; none when there is no such session."""
        session = self._running.get(session_id)
        if session is None or session.context.released:
            return frozenset()
        return frozenset(item.context_id for item in session.context.list_bindings().bindings)

    def create(self, params: CreateSessionParams) -> SessionResult:
        """A session with its contexts mounted and downloaded.

        A context with ``beta_wait_for_completion=False`` is not waited for. When a first download fails the result is
        unsuccessful and has the session nevertheless; nothing of it deletes in the store until a download succeeds.
        """
        session = Session(self._opening, params, self._clock)
        self._running[session.session_id] = session
        result = SessionResult(uuid.uuid4().hex, True, session=session)
        if not params.context_syncs:
            return result
        try:
            begun = session.context.attach(*params.context_syncs)
        except TallystickError as problem:
            session.context.close()
            return SessionResult(result.request_id, False, message_of(problem))
        awaited = [task for wanted, task in begun if wanted.beta_wait_for_completion is not False]
        return session.context.judged(result, awaited)

    def delete(self, session: Session, sync_context: bool = False) -> DeleteResult:
        """See ``Session.delete``."""
        return session.delete(sync_context)
