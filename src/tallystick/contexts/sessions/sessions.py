"""What creates sessions, and ends those that nobody ends (spec contexts A.3, S1)."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from tallystick.contexts.host import ContextHost
from tallystick.contexts.sessions.problems import message_of
from tallystick.contexts.sessions.results import DeleteResult, SessionResult
from tallystick.contexts.sessions.session import CreateSessionParams, Session
from tallystick.errors import TallystickError

SHORTEST, LONGEST = 0.05, 60.0
"""Seconds between two looks at what is due."""


class Sessions:
    """Creates and releases sessions on one host of contexts; ``opening`` makes a host for a session's thread."""

    def __init__(self, opening: Callable[[], ContextHost], clock: Callable[[], int] = time.time_ns) -> None:
        self._opening = opening
        self._clock = clock
        self._running: WeakValueDictionary[str, Session] = WeakValueDictionary()
        self._limited: dict[str, Session] = {}
        self._changed = threading.Condition()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        session.purge_histories()
        result = SessionResult(uuid.uuid4().hex, True, session=session)
        try:
            begun = session.context.attach(*params.context_syncs)
        except TallystickError as problem:
            session.context.close()
            return SessionResult(result.request_id, False, message_of(problem))
        self._limit(session)
        awaited = [task for wanted, task in begun if wanted.beta_wait_for_completion is not False]
        return session.context.judged(result, awaited)

    def delete(self, session: Session, sync_context: bool = False) -> DeleteResult:
        """See ``Session.delete``."""
        return session.delete(sync_context)

    # Ending by time -------------------------------------------------------------------------------

    def close(self) -> list[DeleteResult]:
        """Release every session that has a limit and still runs, paused ones excepted (orderly termination, S1)."""
        with self._changed:
            left = [session for session in self._limited.values() if not session.context.released]
            self._limited.clear()
            self._changed.notify()
        return [session.delete() for session in left if not session.context.life.is_paused]

    def look(self) -> float | None:
        """End the sessions whose time is over; gives the seconds until the next may be, None when there is none."""
        with self._changed:
            running = list(self._limited.values())
        for session in running:
            session.end_in_time()
        with self._changed:
            self._limited = {name: one for name, one in self._limited.items() if not one.context.released}
            left = [one.context.life.seconds_left(self._clock()) for one in self._limited.values()]
        return min((seconds for seconds in left if seconds is not None), default=None)

    def _limit(self, session: Session) -> None:
        if not session.context.life.is_limited:
            return
        with self._changed:
            self._limited[session.session_id] = session
            self._changed.notify()
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="tally-sessions", daemon=True)
                self._watcher.start()

    def _watch(self) -> None:
        """Look whenever something may be due, until no session is left."""
        while True:
            seconds = self.look()
            with self._changed:
                if not self._limited:
                    self._watcher = None
                    return
                self._changed.wait(LONGEST if seconds is None else min(max(seconds, SHORTEST), LONGEST))
