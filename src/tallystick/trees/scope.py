"""Scope: which paths of a tree a run sees at all (spec contexts K5, K6, W1, W2).

What is out of scope is invisible on every tree: never read, written, deleted or counted; it only blocks the removal
of the directory that holds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Scope(Protocol):
    """What every scope answers. Paths are relative to the root of the tree, with ``/``, without a leading one."""

    @property
    def everything(self) -> bool:
        """True when every path is in scope, so that nobody needs to ask."""

    def includes(self, path: str, directory: bool) -> bool:
        """True when the path itself is in scope."""

    def enters(self, path: str) -> bool:
        """True when the directory at ``path`` is in scope or may hold something that is."""

    def fingerprint(self) -> bytes:
        """A value that differs whenever the set of paths in scope may differ (K6)."""


class Everything:
    """The scope that sees every path."""

    everything = True

    def includes(self, path: str, directory: bool) -> bool:
        """Always True."""
        return True

    def enters(self, path: str) -> bool:
        """Always True."""
        return True

    def fingerprint(self) -> bytes:
        """A constant."""
        return b"everything"


class Both:
    """What all of several scopes include."""

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self._scopes = tuple(scope for scope in scopes if not scope.everything)
        self.everything = not self._scopes

    def includes(self, path: str, directory: bool) -> bool:
        """True when every scope includes the path."""
        return all(scope.includes(path, directory) for scope in self._scopes)

    def enters(self, path: str) -> bool:
        """True when every scope enters the directory."""
        return all(scope.enters(path) for scope in self._scopes)

    def fingerprint(self) -> bytes:
        """The fingerprints of all, in order."""
        return b"\0".join(scope.fingerprint() for scope in self._scopes)
