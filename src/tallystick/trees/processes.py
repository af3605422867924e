"""Work for two processors: the same function on several shares of the work, each in a process of its own.

Trees are bound by system calls and hashing, which Python threads share badly. A forked process inherits all that its
share needs and sends one pickled answer back; nothing else passes between them, but for a ``Companion``, with which the
first process talks while both work.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

Share = TypeVar("Share")
Answer = TypeVar("Answer")


_number = 0
_running = 0
"""Children of this process that have not answered yet."""


def share_number() -> int:
    """Which share of the work this process does: 0 for the first process, 1, 2, ... in its children."""
    return _number


def may_fork() -> bool:
    """True when a child process may be forked: there is a second processor, no other thread, and no child as yet."""
    alone = _number == _running == 0
    return alone and hasattr(os, "fork") and (os.cpu_count() or 1) > 1 and threading.active_count() == 1


def in_processes(work: Callable[[Share], Answer], shares: Sequence[Share]) -> list[Answer]:
    """The answer for every share, in order. The first share is done here, each other one in a child process.

    Where forking is unsafe or fails, everything is done here. What ``work`` raises in a child is raised here.
    """
    if len(shares) < 2 or not may_fork():
        return [work(share) for share in shares]
    children = [_start(work, share, number) for number, share in enumerate(shares[1:], 1)]
    try:
        first = work(shares[0])
    except BaseException:
        for child in children:
            child.abandon()
        raise
    answers = [first]
    problem: BaseException | None = None
    for child in children:
        succeeded, value = child.answer()
        if succeeded:
            answers.append(value)
        else:
            problem = problem or value
    if problem is not None:
        raise problem
    return answers


class Beside(Generic[Answer]):
    """Work that a child process does while this one goes on. Either its answer is taken, or it is abandoned."""

    def __init__(self, work: Callable[[], Answer]) -> None:
        self._child = _start(lambda _: work(), None, 1)

    def answer(self) -> Answer:
        """What the work returned, when it is done. Raises what it raised."""
        succeeded, value = self._child.answer()
        if not succeeded:
            raise value
        found: Answer = value
        return found

    def abandon(self) -> None:
        """Wait for the work without its answer."""
        self._child.abandon()


class Channel:
    """One end of a conversation between two processes. Messages are pickled."""

    def __init__(self, reading: int, writing: int) -> None:
        self._incoming = os.fdopen(reading, "rb")
        self._outgoing = os.fdopen(writing, "wb")

    def send(self, message: object) -> None:
        """Say something. Raises ChildProcessError when nobody listens any more."""
        try:
            pickle.dump(message, self._outgoing, pickle.HIGHEST_PROTOCOL)
            self._outgoing.flush()
        except BrokenPipeError:
            raise ChildProcessError("the other process ended in the middle of its work; run again") from None

    def receive(self) -> Any:
        """The next thing that is said. Raises it when it is an exception, ChildProcessError when nothing comes."""
        try:
            message = pickle.load(self._incoming)
        except (EOFError, pickle.UnpicklingError):  # nothing, or the beginning of something
            raise ChildProcessError("the other process ended in the middle of its work; run again") from None
        if isinstance(message, BaseException):
            raise message
        return message

    def close(self) -> None:
        """Say and hear nothing more."""
        for end in (self._incoming, self._outgoing):
            with suppress(BrokenPipeError):
                end.close()


class Companion:
    """A forked process that works beside this one and talks with it over a channel; it ends with its work.

    ``work`` takes the companion's end of the channel. What it raises is raised here by the next ``receive``.
    """

    def __init__(self, work: Callable[[Channel], None]) -> None:
        global _number, _running
        here, there = os.pipe(), os.pipe()
        self._identifier = os.fork()
        if self._identifier:
            _running += 1
            os.close(here[1])
            os.close(there[0])
            self.channel = Channel(here[0], there[1])
            return
        _number = 1
        try:
            os.close(here[0])
            os.close(there[1])
            self.channel = Channel(there[0], here[1])
            try:
                work(self.channel)
            except BaseException as problem:
                self.channel.send(_portable(problem))
        finally:
            os._exit(0)

    def end(self) -> None:
        """Wait until it is done; one that waits for a word ends without it."""
        global _running
        self.channel.close()
        os.waitpid(self._identifier, 0)
        _running -= 1


class _Child:
    """A forked process and the end of the pipe that its answer comes through."""

    def __init__(self, identifier: int, pipe: int) -> None:
        self.identifier = identifier
        self.pipe = pipe

    def answer(self) -> tuple[bool, Any]:
        """(succeeded, value or exception), when the child is done."""
        with os.fdopen(self.pipe, "rb") as pipe:
            packed = pipe.read()
        self._wait()
        if not packed:
            return False, ChildProcessError("a helper process ended without an answer")
        found: tuple[bool, Any] = pickle.loads(packed)
        return found

    def abandon(self) -> None:
        """Wait for the child without its answer."""
        os.close(self.pipe)
        self._wait()

    def _wait(self) -> None:
        global _running
        os.waitpid(self.identifier, 0)
        _running -= 1


def _start(work: Callable[[Share], Answer], share: Share, number: int) -> _Child:
    reading, writing = os.pipe()
    identifier = os.fork()
    global _number, _running
    if identifier:
        _running += 1
        os.close(writing)
        return _Child(identifier, reading)
    _number = number
    try:
        os.close(reading)
        try:
            packed = pickle.dumps((True, work(share)), pickle.HIGHEST_PROTOCOL)
        except BaseException as problem:
            packed = _packed_problem(problem)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(packed)
    finally:
        os._exit(0)


def _packed_problem(problem: BaseException) -> bytes:
    return pickle.dumps((False, _portable(problem)), pickle.HIGHEST_PROTOCOL)


def _portable(problem: BaseException) -> BaseException:
    """The problem, or one with its words if it cannot go to another process."""
    try:
        pickle.loads(pickle.dumps(problem, pickle.HIGHEST_PROTOCOL))
    except Exception:
        return RuntimeError(f"{type(problem).__name__}: {problem}")
    return problem
