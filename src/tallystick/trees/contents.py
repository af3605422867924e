"""The content port of a tree: where the bytes of a leaf come from while the other side takes it.

A directory on the same machine is one implementation; a store of chunks, here or behind a network, another. Whoever
writes asks for one file at a time, grouped by directory, after saying which ones will follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from tallystick.trees.files import Handle
from tallystick.trees.listing import Entry
from tallystick.trees.nodes import Leaf

NO_XATTRS: Mapping[str, bytes] = {}

Sink = Callable[[bytes], None]
Clone = Callable[[Handle], Handle | None]
"""Lets what is written share the content of an open file: the handle to read it back from, None when it cannot."""


class Wanted(NamedTuple):
    """One leaf to be taken: its path at the source, and its value there as far as it is known."""

    path: str
    leaf: Leaf


class Given(NamedTuple):
    """What was handed over: the digest of exactly these bytes, and what goes with them.

    ``entry`` is what the source's listing should note; None where the source keeps no listing of its own.
    ``xattrs`` are extended attributes, where they were asked for.
    """

    digest: bytes
    mtime_ns: int
    permissions: int
    size: int
    entry: Entry | None = None
    xattrs: Mapping[str, bytes] = NO_XATTRS


class Contents(Protocol):
    """A tree as a source of content."""

    def prepare(self, wanted: Sequence[Wanted]) -> None:
        """Say what will be asked for next, so that it can be fetched in bulk."""

    def give(self, wanted: Wanted, sink: Sink, restart: Callable[[], None], clone: Clone | None = None) -> Given:
        """Hand over one file. ``restart`` is called when everything given so far is to be forgotten.

        A source with files on this machine may offer them to ``clone`` and then gives nothing to ``sink``.

        Raises SourceChanged when the leaf is not (or no longer) what ``wanted`` says, FileBusy when it does not hold
        still, Unreadable or another StorageError when it cannot be read. Nothing else needs undoing.
        """

    def link_target(self, wanted: Wanted) -> str:
        """The target of a symbolic link; errors as for ``give``."""

    @property
    def parallel(self) -> bool:
        """True when several processes may ask at once."""
