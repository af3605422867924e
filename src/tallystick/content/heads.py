"""Heads: the one small value of a store that changes, swapped by compare-and-swap (DESIGN.md 4.10, spec contexts C1).

A head says which version is current. Everything that it refers to has been stored before.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from tallystick.content.problems import HeadMoved


class Version(NamedTuple):
    """A head's value, and the token that its replacement must show. No value: nothing was published yet."""

    value: bytes | None
    token: str


NOTHING = Version(None, "")


class Head(Protocol):
    """The current version of something. Errors of the medium are StorageError; reading may be retried at any time."""

    def read(self) -> Version:
        """The current value."""

    def swap(self, expected: Version, value: bytes) -> Version:
        """Publish ``value`` in the place of ``expected``, durably. Raises HeadMoved when another one is current.

        After any other error the value may or may not be published: read before trying again.
        """


class FileHead:
    """A head in a file of this machine."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read(self) -> Version:
        """The content of the file; its token is a counter in its first line."""
        try:
            token, _, value = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return NOTHING
        return Version(value, token.decode("ascii", "replace"))

    def swap(self, expected: Version, value: bytes) -> Version:
        """Write beside, make durable, rename; one process at a time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            current = self.read()
            if current.token != expected.token:
                raise HeadMoved(f"{self.path} was published by somebody else meanwhile")
            fresh = Version(value, str(int(current.token or 0) + 1))
            temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            with open(temporary, "wb") as file:
                file.write(fresh.token.encode() + b"\n" + value)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
            handle = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            return fresh

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.path.with_name(f".{self.path.name}.lock"), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
