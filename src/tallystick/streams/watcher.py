"""One watcher per site: a thread that reads what changes and passes it to everybody who listens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from tallystick.errors import StateError, TallystickError
from tallystick.site.engines.engine import Engine
from tallystick.site.history import check_identity
from tallystick.site.ledger import Ledger
from tallystick.streams.changes import Change
from tallystick.streams.hints import Hints, watch
from tallystick.streams.scopes import StreamScope
from tallystick.streams.stream import Changes, current_state, stamped_top

Listener = Callable[[Sequence[Change]], None]
"""Called in the watcher's thread with changes in commit order; [] when some may have been missed. Must not block."""

EVERYTHING = StreamScope(())
_PAUSE_S = 1.0
_log = logging.getLogger("tallystick.streams")


def reopened(ledger: Ledger) -> Ledger:
    """The same site once more, on a connection of its own, for another thread. Raises StorageError."""
    engine: Engine
    if ledger.engine.dialect == "sqlite":
        from tallystick.site.engines.sqlite import SQLiteEngine

        assert isinstance(ledger.engine, SQLiteEngine)
        engine = SQLiteEngine(ledger.engine.path)
    else:
        from tallystick.site.engines.postgresql import PostgreSQLEngine

        assert isinstance(ledger.engine, PostgreSQLEngine)
        engine = PostgreSQLEngine(ledger.engine.url)
    opened = Ledger(engine, ledger.now)
    try:
        with opened.write():
            check_identity(opened)  # the database at the address may be a copy or a backup by now
    except BaseException:
        engine.close()
        raise
    return opened


class Watcher:
    """See the module. The thread runs from the first ``listen`` to ``close``."""

    def __init__(self, opening: Callable[[], Ledger], hints: Callable[[Engine], Hints] = watch) -> None:
        """``opening`` opens the site for the watcher's thread alone; it closes it at its end."""
        self._opening, self._hints = opening, hints
        self._lock = threading.Lock()
        self._listeners: dict[int, Listener] = {}
        self._last = 0
        self._seq = 0
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._changes: Changes | None = None
        self._error: TallystickError | None = None
        self._said = ""

    def listen(self, listener: Listener) -> tuple[int, int]:
        """Have ``listener`` called with everything beyond a seq. Returns a number for ``leave``, and that seq.

        Raises StorageError when the site cannot be opened.
        """
        self._start()
        with self._lock:
            self._last += 1
            self._listeners[self._last] = listener
            return self._last, self._seq

    def leave(self, number: int) -> None:
        """Call a listener no more. Idempotent."""
        with self._lock:
            self._listeners.pop(number, None)

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._closing.set()
        changes, thread = self._changes, self._thread
        if changes is not None:
            changes.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="tally-watcher", daemon=True)
                self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        """Watch; open the site again after whatever went wrong, as its database may be another one by now."""
        try:
            while not self._closing.is_set():
                try:
                    ledger = self._opening()
                except TallystickError as error:
                    self._interrupted(error)
                    continue
                try:
                    self._watch(ledger)
                finally:
                    ledger.engine.close()
        finally:
            self._ready.set()

    def _interrupted(self, error: TallystickError) -> None:
        """Try again in a while; at the very beginning, let whoever waits for it know and give up."""
        if self._ready.is_set():
            if self._said != str(error):  # what lasts is said once
                _log.warning("watching the site is interrupted: %s", error)
            self._said = str(error)
            self._closing.wait(_PAUSE_S)
            return
        self._error = error
        self._closing.set()

    def _watch(self, ledger: Ledger) -> None:
        """Watch until something goes wrong; then tell everybody that changes may have been missed."""
        try:
            state = current_state(ledger, EVERYTHING)
            if self._ready.is_set():
                self._pass([])
            self._seq = stamped_top(ledger, EVERYTHING) if not self._seq else self._seq
            hints = self._hints(ledger.engine)
            try:
                self._changes = Changes(ledger, EVERYTHING, state, follow=True, hints=hints)
                self._said = ""
                self._ready.set()
                if not self._closing.is_set():
                    for chunk in self._changes.chunks():
                        self._pass(chunk)
                        self._changes.give(chunk[-1])
            finally:
                hints.close()
        except StateError as error:
            _log.warning("the site was restored while it was watched: %s", error)
        except TallystickError as error:
            self._interrupted(error)

    def _pass(self, chunk: Sequence[Change]) -> None:
        with self._lock:
            listeners = list(self._listeners.values())
            if chunk:
                self._seq = chunk[-1].seq
        for listener in listeners:
            try:
                listener(chunk)
            except Exception:
                _log.exception("a listener raised; it is called again with the next changes")
