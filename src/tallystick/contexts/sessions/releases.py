"""What sessions on this machine have yet to store, for others of the same context to find (spec contexts S2, S5).

A session notes in its home what its release uploads, and holds a lock beside that note for as long as it lives. Who
finds a note whose lock is free knows that its session is dead: what it noted is pending until somebody resumes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from tallystick.contexts.keys import Binding, below, has_drive

NOTE, LOCK = "release.json", "release.lock"
WORKING, RELEASING, FAILED = "working", "releasing", "failed"
LOOK_SECONDS = 0.1
LOCKING_ATTEMPTS = 20
LOCKING_SECONDS = 0.01
"""Others hold the lock for an instant, to find out whether they can."""


class Upload(msgspec.Struct, frozen=True):
    """One binding that a release uploads; ``directory`` is where it is on this machine."""

    context_id: str
    prefix: str
    path: str
    directory: str


class Note(msgspec.Struct, frozen=True):
    """What a session has yet to store, and since when (Unix seconds) it is at that stage."""

    session_id: str
    stage: str
    since: int
    uploads: list[Upload]
    problem: str = ""


class Release:
    """The note of one session. A note that cannot be written is none: work does not fail for want of it."""

    def __init__(self, home: Path, clock: Callable[[], int], durable: bool) -> None:
        self.note: Note | None = None
        self._home = home
        self._clock = clock
        self._durable = durable
        self._lock: IO[bytes] | None = None
        self._changing = threading.RLock()
        self._working: list[Upload] = []
        self._found = False

    def work(self, uploads: Sequence[Upload]) -> None:
        """The session works; its release will upload these."""
        self._working = list(uploads)
        self._put(WORKING, self._working)

    def begin(self, uploads: Sequence[Upload]) -> None:
        """The release has begun."""
        self._put(RELEASING, uploads)

    def settle(self, begun: Note | None, failed: Mapping[str, str]) -> None:
        """The uploads of a release have ended, those of the ``failed`` paths with a problem.

        Does nothing when another release has begun since, or the session has ended.
        """
        with self._changing:
            if begun is None or self.note is not begun:
                return
            left = [upload for upload in begun.uploads if upload.path in failed]
            if left:
                self._put(FAILED, left, next(iter(failed.values())))
            else:
                self._put(WORKING, self._working)

    def stored(self, path: str) -> None:
        """What is mounted at a path was stored by other means than a release: it is not what failed any more."""
        with self._changing:
            if self.note is None or self.note.stage != FAILED:
                return
            left = [upload for upload in self.note.uploads if upload.path != path]
            if not left:
                self._put(WORKING, self._working)
            elif len(left) < len(self.note.uploads):
                self._put(FAILED, left, self.note.problem)

    def forget(self) -> None:
        """Nothing is pending any more: all was stored or given up."""
        with self._changing:
            self.note = None
            with suppress(OSError):
                if self._lock is not None:
                    (self._home / NOTE).unlink(missing_ok=True)
                    (self._home / LOCK).unlink(missing_ok=True)
            self.close()

    def abandon(self) -> None:
        """The session never got going: pending is what was pending before it."""
        if not self._found:
            self.forget()
        self.close()

    def close(self) -> None:
        """Give the lock back; what is noted stays pending."""
        with self._changing:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _put(self, stage: str, uploads: Sequence[Upload], problem: str = "") -> None:
        with self._changing:
            note = Note(self._home.name, stage, self._clock() // 1_000_000_000, list(uploads), problem)
            self.note = note
            if not uploads and self._lock is None:
                return
            with suppress(OSError):
                if self._locked():
                    self._write(note)

    def _locked(self) -> bool:
        """Take the lock; False when another process has a session of the same name."""
        if self._lock is not None:
            return True
        self._home.mkdir(parents=True, exist_ok=True)
        lock = open(self._home / LOCK, "ab")  # noqa: SIM115 - kept open for as long as the session lives
        for _ in range(LOCKING_ATTEMPTS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(LOCKING_SECONDS)
                continue
            self._lock, self._found = lock, (self._home / NOTE).exists()
            return True
        lock.close()
        return False

    def _write(self, note: Note) -> None:
        temporary = self._home / f"{NOTE}.new"
        with open(temporary, "w", encoding="ascii") as file:
            json.dump(msgspec.to_builtins(note), file)
            file.flush()
            if self._durable:
                os.fsync(file.fileno())
        os.replace(temporary, self._home / NOTE)


# What others have noted -----------------------------------------------------------------------------------------------


class Pending(NamedTuple):
    """What another session has yet to store, and whether that session lives."""

    note: Note
    alive: bool

    @property
    def is_under_way(self) -> bool:
        """True while it is being uploaded."""
        return self.alive and self.note.stage == RELEASING


def follow(home: Path, binding: Binding, wait: Callable[[float], None], seconds: float) -> list[str]:
    """Wait until no other session beside ``home`` is storing what a binding is about to show, ``seconds`` at most.

    Gives a warning for each that has something it has not stored: the binding is stale then. A session that merely
    works on is none of these.
    """
    pending = pending_beside(home, binding)
    for _ in range(int(seconds / LOOK_SECONDS)):
        if not any(found.is_under_way for found in pending):
            break
        wait(LOOK_SECONDS)
        pending = pending_beside(home, binding)
    return [_warning(binding, found) for found in pending]


def pending_beside(home: Path, binding: Binding) -> list[Pending]:
    """What the sessions whose homes are beside this one have yet to store in the keys of a binding."""
    try:
        homes = sorted(place for place in home.parent.iterdir() if place != home)
    except OSError:
        return []
    found = [pending for place in homes if (pending := _pending_in(place, binding)) is not None]
    return [pending for pending in found if not (pending.alive and pending.note.stage == WORKING)]


def _pending_in(home: Path, binding: Binding) -> Pending | None:
    note = _read(home)
    while note is not None and any(_meet(upload, binding) for upload in note.uploads):
        alive = _is_alive(home)
        again = _read(home)
        if again == note:  # else its session came, went or went on between the two
            return Pending(note, alive)
        note = again
    return None


def _read(home: Path) -> Note | None:
    try:
        return msgspec.convert(json.loads((home / NOTE).read_bytes()), Note)
    except (OSError, ValueError, msgspec.ValidationError):
        return None


def _is_alive(home: Path) -> bool:
    try:
        with open(home / LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _meet(upload: Upload, binding: Binding) -> bool:
    """True when both show some of the same keys. Prefixes with drive letters compare without case (M2)."""
    one, other = upload.prefix, binding.prefix
    if has_drive(other):
        one, other = one.casefold(), other.casefold()
    return upload.context_id == binding.context_id and (below(one, other) is not None or below(other, one) is not None)


def _warning(binding: Binding, pending: Pending) -> str:
    note = pending.note
    since = datetime.fromtimestamp(note.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    places = ", ".join(upload.directory for upload in note.uploads if _meet(upload, binding))
    who = f"[Stale] {binding.path}: session {note.session_id} (files in {places})"
    if pending.is_under_way:
        return f"{who} is being released since {since} and not stored yet: download again when it is"
    if pending.alive:
        return f"{who} could not be stored ({since}, {note.problem}): release it again, or give it up with force"
    began = "was being released" if note.stage == RELEASING else "began" if note.stage == WORKING else "failed"
    return (
        f"{who} ended before all of it was stored ({began} {since}): "
        f"resume it (session_id={note.session_id!r}, or mount its directory again) and release it, "
        "or give it up with force"
    )
