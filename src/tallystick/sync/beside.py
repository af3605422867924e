"""A call in another thread, for the time that this one is busy with its own.

What ``concurrent.futures`` does, without its import: that costs a command with nothing to do more than the call.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Beside(Generic[T]):
    """``call`` runs from here on; the end of the ``with`` waits for it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._found: list[T] = []
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name="tally-beside", daemon=True)

    def __enter__(self) -> Beside[T]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._found.append(self._call())
        except BaseException as error:  # it is raised where the result is asked for
            self._failure = error

    def result(self) -> T:
        """What the call returned. Raises what it raised."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._found[0]
