"""The port of contexts: where they are kept, here or behind HTTP (spec contexts A.2, B.10).

Everything above (the service, ends of synchronizations, commands) is written once over this port. Methods raise
ContextNotFound for a context that is not there, StorageError as the medium does, PeerError from a distance; what
only reads may be repeated at any time, and so may ``send`` and ``stage``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from tallystick.contexts.entries import Change, FileEntry


class ContextInfo(msgspec.Struct, frozen=True):
    """One context. Times are milliseconds since the epoch; quotas are None where there is none.

    ``version`` is the token of its manifest: equal tokens, equal trees. ``holds`` is False while no chunk has come: who
    sends the first ones need not ask which are missing.
    """

    id: str
    name: str
    version: str
    created_at: int
    last_used_at: int
    files: int
    bytes: int
    status: str = "available"
    quota_files: int | None = None
    quota_bytes: int | None = None
    holds: bool = True


class Manifest(NamedTuple):
    """What differs from a known version: pages of changes, and the version after them.

    ``whole`` says that the pages are all there is: keys they do not name are not there.
    """

    version: str
    whole: bool
    pages: Iterator[Sequence[Change]]


class Listed(msgspec.Struct, frozen=True):
    """One entry of a folder: key in packed form; times in milliseconds since the epoch."""

    key: str
    kind: int
    size: int
    created_at: int
    modified_at: int


class Folder(msgspec.Struct, frozen=True):
    """A part of one level of a context, in code-point order, and how many entries the level has."""

    entries: list[Listed]
    count: int


class Kept(msgspec.Struct, frozen=True):
    """What stood under a key before it was replaced or removed, and when that was (milliseconds since the epoch).

    ``entry`` is complete: publishing it under any key brings it back.
    """

    key: str
    at: int
    entry: FileEntry


class SignedURL(msgspec.Struct, frozen=True):
    """A URL that needs no login, and the Unix second at which it ends."""

    url: str
    expire_time: int


class Rule(msgspec.Struct, frozen=True):
    """A recycle rule as it is stored: a key in packed form and the wire value of a lifecycle."""

    path: str
    lifecycle: str


class ContextHost(Protocol):
    """Where contexts are kept. Not shared between threads unless it is ``concurrent``."""

    @property
    def title(self) -> str:
        """How messages name it."""

    @property
    def concurrent(self) -> bool:
        """True when several threads may use it at once."""

    def contexts(self) -> list[ContextInfo]:
        """All contexts, by creation, then identifier."""

    def find(self, name: str) -> ContextInfo:
        """The context of this name or, failing that, this identifier."""

    def changed(self, name: str, known: str, seconds: float) -> ContextInfo:
        """The context as soon as its version is not the known one; as it is when ``seconds`` are over."""

    def create(self, name: str, quota_bytes: int | None = None, quota_files: int | None = None) -> ContextInfo:
        """The context of this name, made now when there is none; quotas that are given replace its own."""

    def rename(self, identifier: str, name: str) -> ContextInfo:
        """Give a context another name. Raises NameExists."""

    def delete(self, identifier: str) -> None:
        """Remove a context with its files and history."""

    def clear(self, identifier: str) -> None:
        """Remove every file of a context; history keeps them until retention ends."""

    def manifest(self, identifier: str, since: str = "", prefix: str = "") -> Manifest:
        """What differs from version ``since``, at or below a packed key; without ``chunks`` of entries."""

    def entries(self, identifier: str, keys: Sequence[str]) -> Mapping[str, FileEntry]:
        """The entries of those packed keys that are there, ``chunks`` included."""

    def missing(self, identifier: str, hashes: Sequence[bytes]) -> list[bytes]:
        """Which chunks have to be sent before an entry of this context may refer to them."""

    def send(self, identifier: str, bundles: Iterable[bytes]) -> None:
        """Keep chunks for this context. Durable on return; what came before a failure stays where it could."""

    def fetch(self, identifier: str, hashes: Sequence[bytes]) -> Iterator[bytes]:
        """Bundles with these chunks and perhaps others. Raises ChunkMissing for those the context does not hold."""

    def stage(
        self, identifier: str, run: str, page: int, changes: Sequence[Change], bundles: Iterable[bytes] = ()
    ) -> None:
        """Keep chunks as ``send`` does, and lay a page of an upload aside until its run is published."""

    def publish(
        self,
        identifier: str,
        expected: str,
        changes: Sequence[Change],
        run: str = "",
        pages: int = 0,
        bundles: Iterable[bytes] = (),
    ) -> str:
        """Keep chunks as ``send`` does, then make the staged pages of a run and these changes visible, all or none.

        Returns the new version. Raises VersionMoved unless ``expected`` is current (``*``: whatever is), PagesLost
        unless ``pages`` is how many the run has laid aside, EntryRejected, QuotaExceeded, ChunkMissing. Durable on
        return. A ``run`` is published once: when an answer was lost, trying again is harmless.
        """

    def published(self, identifier: str, run: str) -> str:
        """The version that the publication of a run made; "" when there was none in the last 30 days."""

    def folder(self, identifier: str, key: str, start: int, most: int) -> Folder:
        """Entries of one level, from position ``start`` on."""

    def history(self, identifier: str, key: str, most: int) -> list[Kept]:
        """What was replaced or removed at or below a packed key ("" for all), the latest first (spec contexts X3)."""

    def signed_url(self, identifier: str, key: str, method: str) -> SignedURL:
        """A URL for PUT or GET of one file that ends in an hour. Raises ConfigurationError where nothing serves."""

    def rules(self, identifier: str) -> Mapping[str, list[Rule]]:
        """The recycle rules by the prefix that stated them."""

    def set_rules(self, identifier: str, prefix: str, rules: Sequence[Rule]) -> None:
        """Replace the rules of a prefix; none removes them (R5)."""

    def close(self) -> None:
        """Give files and connections back."""
