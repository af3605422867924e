"""The port of content: chunks by name, wherever they are kept (DESIGN.md 4.10).

Chunks never change, so every method may be repeated. What ``store`` has returned from is durable. A chunk that
``missing`` did not name stays for at least the store's grace time, so whoever publishes within that time may rely on
it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from tallystick.content.chunking import Chunk

GRACE_NS = 24 * 3600 * 1_000_000_000
"""How long unreferenced content stays (spec contexts S5)."""


class Collected(NamedTuple):
    """What a collection of garbage did: packs condemned, packs removed, packs rewritten, bytes given back."""

    condemned: int = 0
    removed: int = 0
    rewritten: int = 0
    freed: int = 0


class ChunkStore(Protocol):
    """Where chunks are kept. Raises StorageError (StorageFull, StorageCorrupt) as its medium does."""

    def missing(self, names: Sequence[bytes]) -> list[bytes]:
        """Which of the chunks have to be stored before something may refer to them; in the order given."""

    def fetch(self, names: Sequence[bytes]) -> Iterator[Chunk]:
        """The chunks, in the order asked, each checked against its name. Raises ChunkMissing or ChunkDamaged."""

    def fetch_bundles(self, names: Sequence[bytes], visible: Callable[[Sequence[bytes]], bool]) -> Iterator[bytes]:
        """Bundles with the chunks and perhaps others, all of which ``visible`` allows; about in the order asked.

        They are not checked here. Raises ChunkMissing or ChunkDamaged.
        """

    def store(self, chunks: Iterable[Chunk]) -> None:
        """Keep the chunks; those held already are passed over. Returns when all of them are durable."""

    def store_bundles(self, bundles: Iterable[bytes]) -> dict[bytes, int]:
        """Keep chunks of bundles as they came over the wire; gives each with its length. Durable on return.

        Raises BundleInvalid, with nothing of it stored.
        """

    def collect(self, live: Callable[[], Iterable[bytes]], now_ns: int) -> Collected:
        """Give back what nothing refers to any more.

        ``live`` names every chunk that manifests, history and staging refer to; it is asked once. Content is condemned
        first and removed a grace time later, if it is still unreferenced then; meanwhile it is served, but counts as
        missing. So nothing that is being published can lose its content, whenever this runs.
        """

    def close(self) -> None:
        """Give files and connections back."""
