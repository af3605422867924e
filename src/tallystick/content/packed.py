"""What stores of packs have in common: fetching by catalog, filling packs, collecting garbage.

A store of packs adds where the packs are: a directory, a bucket. It serves from immutable packs only, and publishes a
pack whole or not at all.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise

from tallystick.content.bundles import BUNDLE_BYTES, Layout, bundles_of, check, checked, expand, layout_of, pack, unpack
from tallystick.content.catalog import Catalog, Location, PackState
from tallystick.content.chunking import Chunk
from tallystick.content.packs import MAGIC, Place, index_of
from tallystick.content.problems import BundleInvalid, ChunkDamaged, ChunkMissing
from tallystick.content.store import GRACE_NS, Collected

CACHED_BUNDLES = 16
FETCH_BATCH = 4096
READ_AHEAD = 8 << 20
"""Bundles that follow each other in a pack are read in one piece of up to this many bytes."""
REWRITE_BELOW = 0.5
"""A pack of which less than this share is live is written anew."""


class Filling:
    """A pack being filled: bundles go out through ``put`` as they come; ``seal`` gives its last part."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self.places: list[Place] = []
        self._fronts: list[bytes] = []
        self.size = 0
        self._write(MAGIC)

    def _write(self, data: bytes) -> None:
        self._put(data)
        self.size += len(data)

    def add(self, bundle: bytes, layout: Layout) -> None:
        """Append a bundle that has been checked."""
        self.places.append(Place(self.size, layout))
        self._fronts.append(bundle[: layout.payload])
        self._write(bundle)

    def seal(self) -> None:
        """Append index and trailer."""
        self._write(index_of(self.places, self._fronts, self.size))


class PackedStore(ABC):
    """A store of packs with a catalog. ``clock`` gives nanoseconds since the epoch."""

    def __init__(self, catalog: Catalog, clock: Callable[[], int], grace_ns: int = GRACE_NS) -> None:
        self.catalog = catalog
        self.clock = clock
        self.grace_ns = grace_ns
        self._expanded: OrderedDict[int, bytes] = OrderedDict()

    # Where the packs are --------------------------------------------------------------------------

    @abstractmethod
    def _read(self, pack: str, offset: int, length: int) -> bytes:
        """A part of a pack. Raises FileNotFoundError when the pack is gone."""

    @abstractmethod
    def _publish(self, bundles: Iterator[tuple[bytes, Layout]]) -> None:
        """Fill packs with the bundles and publish each whole and durably, file by file, then in the catalog."""

    @abstractmethod
    def _discard(self, pack: str) -> None:
        """Remove a pack that nobody is served from any more."""

    def _refresh(self) -> None:  # noqa: B027 - a shared catalog has nothing to learn
        """Learn what others have published; nothing where the catalog is shared."""

    def _announce(self, pack: str, condemned: bool) -> None:  # noqa: B027 - nor to announce
        """Let others know that a pack is condemned, or no more; nothing where the catalog is shared."""

    def _read_anew(self) -> None:
        """Believe nothing that was read before: the disk may have been damaged since."""
        self._expanded.clear()

    # The port -------------------------------------------------------------------------------------

    def missing(self, names: Sequence[bytes]) -> list[bytes]:
        """Which chunks are not held in a pack that will stay."""
        held = self.catalog.held(names)
        return [name for name in dict.fromkeys(names) if name not in held]

    def fetch(self, names: Sequence[bytes]) -> Iterator[Chunk]:
        """The chunks in the order asked; bundles that follow each other are read together."""
        for start in range(0, len(names), FETCH_BATCH):
            batch = names[start : start + FETCH_BATCH]
            places = self._located(batch)
            ahead = _read_ahead([places[name] for name in batch])
            for name in batch:
                yield self._chunk(places[name], ahead)

    def fetch_bundles(self, names: Sequence[bytes], visible: Callable[[Sequence[bytes]], bool]) -> Iterator[bytes]:
        """Bundles that hold at least the chunks; what stands together is passed on as it is stored, unread.

        Only where ``visible`` says so of every chunk in a bundle, and at least half of it is wanted. Whoever takes
        bundles checks every chunk. Damaged ones may be missing; asking for one alone raises ChunkDamaged.
        """
        loose: list[bytes] = []
        held = 0
        for start in range(0, len(names), FETCH_BATCH):
            for members in _by_bundle(list(dict.fromkeys(names[start : start + FETCH_BATCH])), self._located):
                if 2 * sum(member.entry.length for member in members) >= members[0].content:
                    stored = self._stored(members[0])
                    if stored is not None and visible([entry.hash for entry in stored[1].entries]):
                        yield stored[0]
                        continue
                loose += [member.entry.hash for member in members]
                held += sum(member.entry.length for member in members)
                if held >= BUNDLE_BYTES:
                    yield from bundles_of(self._sound(loose))
                    loose, held = [], 0
        yield from bundles_of(self.fetch(loose) if len(names) == 1 else self._sound(loose))

    def _sound(
        self, names: Sequence[bytes], left_out: tuple[type[Exception], ...] = (ChunkDamaged,)
    ) -> Iterator[Chunk]:
        """The chunks without those that are damaged: whoever asks for one of them alone is told."""
        done = 0
        while done < len(names):
            try:
                for chunk in self.fetch(names[done:]):
                    done += 1
                    yield chunk
            except left_out:
                done += 1

    def _stored(self, place: Location) -> tuple[bytes, Layout] | None:
        """A bundle as it is stored and what it says to hold; None when its front is damaged or its end is missing."""
        try:
            bundle = self._read(place.pack, place.offset, place.length)
            return bundle, layout_of(bundle)
        except FileNotFoundError:
            raise ChunkMissing(place.entry.hash) from None
        except (BundleInvalid, ChunkDamaged):
            return None

    def _located(self, names: Sequence[bytes]) -> dict[bytes, Location]:
        found = self.catalog.locate(names)
        if len(found) < len(set(names)):
            self._refresh()
            found = self.catalog.locate(names)
        for name in names:
            if name not in found:
                raise ChunkMissing(name)
        return found

    def store(self, chunks: Iterable[Chunk]) -> None:
        """Keep chunks, in bundles and packs."""
        self._publish((bundle, layout_of(bundle)) for bundle in bundles_of(self._news(chunks)))

    def store_bundles(self, bundles: Iterable[bytes]) -> dict[bytes, int]:
        """Keep bundles as they came, after checking every chunk; what is held already is left out.

        Gives the chunks that came, with their lengths: all of them are held on return.
        """
        came: dict[bytes, int] = {}
        self._publish(self._checked(bundles, came))
        return came

    def _news(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The chunks that are not held yet, each once."""
        seen: set[bytes] = set()
        waiting: list[Chunk] = []
        size = 0
        for chunk in chunks:
            if chunk.hash in seen:
                continue
            seen.add(chunk.hash)
            waiting.append(chunk)
            size += len(chunk.data)
            if size >= BUNDLE_BYTES:
                yield from self._unheld(waiting)
                waiting, size = [], 0
        yield from self._unheld(waiting)

    def _unheld(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        held = self._sound_among(self.catalog.held([chunk.hash for chunk in chunks]))
        return [chunk for chunk in chunks if chunk.hash not in held]

    def _checked(self, bundles: Iterable[bytes], came: dict[bytes, int]) -> Iterator[tuple[bytes, Layout]]:
        for bundle in bundles:
            layout = check(bundle)
            names = [entry.hash for entry in layout.entries]
            came.update((entry.hash, entry.length) for entry in layout.entries)
            held = self._sound_among(self.catalog.held(names))
            if not held:
                yield bundle, layout
            elif not held.issuperset(names):
                bundle = pack([chunk for chunk in unpack(bundle) if chunk.hash not in held])
                yield bundle, layout_of(bundle)

    def _sound_among(self, held: Collection[bytes]) -> set[bytes]:
        """Those that can be read back: what is held is seldom sent but where it was found damaged, to be kept anew."""
        if held:
            self._read_anew()
        return {chunk.hash for chunk in self._sound(sorted(held), (ChunkDamaged, ChunkMissing))}

    def close(self) -> None:
        """Give the catalog back."""
        self.catalog.close()

    # Reading --------------------------------------------------------------------------------------

    def _chunk(self, place: Location, ahead: dict[int, list[Location]]) -> Chunk:
        content = self._expanded.get(place.bundle)
        if content is None:
            self._expand(ahead.get(place.bundle, [place]))
            content = self._expanded[place.bundle]
        self._expanded.move_to_end(place.bundle)
        try:
            return checked(place.entry, content)
        except BundleInvalid:
            raise ChunkDamaged(f"[ChunkDamaged] {place.entry.hash.hex()} in pack {place.pack} is damaged") from None

    def _expand(self, run: Sequence[Location]) -> None:
        """Read neighbouring bundles in one piece and keep what they expand to for a while."""
        first, last = run[0], run[-1]
        try:
            data = self._read(first.pack, first.offset, last.offset + last.length - first.offset)
        except FileNotFoundError:
            raise ChunkMissing(first.entry.hash) from None
        for place in run:
            start = place.offset - first.offset
            part = memoryview(data)[start + place.payload : start + place.length]
            try:
                self._expanded[place.bundle] = expand(part, place.compressed, place.content)
            except BundleInvalid as problem:
                raise ChunkDamaged(f"[ChunkDamaged] pack {place.pack}: {problem.message}") from None
        while len(self._expanded) > max(CACHED_BUNDLES, len(run)):
            self._expanded.popitem(last=False)

    # Collecting -----------------------------------------------------------------------------------

    def collect(self, live: Callable[[], Iterable[bytes]], now_ns: int) -> Collected:
        """Condemn what nothing refers to, remove what was condemned long enough ago, rewrite what is mostly dead."""
        self._refresh()
        condemned = rewritten = 0
        removed: dict[str, int] = {}
        try:
            for state in self.catalog.states(live()):
                if state.live:
                    self._reprieve(state)
                    rewritten += self._rewrite(state, now_ns)
                elif state.condemned_at is None:
                    condemned += self._condemn(state, now_ns)
                elif now_ns - state.condemned_at >= self.grace_ns:
                    self._discard(state.name)
                    removed[state.name] = state.size
        finally:
            self.catalog.forget(removed.keys())
        return Collected(condemned, len(removed), rewritten, sum(removed.values()))

    def _reprieve(self, state: PackState) -> None:
        if state.condemned_at is not None:
            self._announce(state.name, False)
            self.catalog.condemn(state.name, None)

    def _condemn(self, state: PackState, now_ns: int) -> int:
        if now_ns - state.stored_at < self.grace_ns:
            return 0
        self._announce(state.name, True)
        self.catalog.condemn(state.name, now_ns)
        return 1

    def _rewrite(self, state: PackState, now_ns: int) -> int:
        """Store the live part of a pack again; the old one holds nothing live then and is condemned next time."""
        if state.live >= REWRITE_BELOW * state.content or now_ns - state.stored_at < self.grace_ns:
            return 0
        chunks = self.fetch(self.catalog.live_in(state.name))
        self._publish((bundle, layout_of(bundle)) for bundle in bundles_of(chunks))
        return 1


def _by_bundle(
    names: Sequence[bytes], located: Callable[[Sequence[bytes]], dict[bytes, Location]]
) -> Iterable[list[Location]]:
    """The places of the chunks, those of one bundle together, in the order in which they are first needed."""
    places = located(names)
    bundles: dict[int, list[Location]] = {}
    for name in names:
        bundles.setdefault(places[name].bundle, []).append(places[name])
    return bundles.values()


def _read_ahead(places: Sequence[Location]) -> dict[int, list[Location]]:
    """For each bundle that is wanted, the run of neighbours to be read with it."""
    bundles = sorted({place.bundle: place for place in places}.values(), key=lambda place: (place.pack, place.offset))
    runs: dict[int, list[Location]] = {}
    run: list[Location] = []
    size = 0
    for place, after in pairwise([*bundles, None]):
        assert place is not None
        run.append(place)
        size += place.content
        follows = after is not None and after.pack == place.pack and after.offset == place.offset + place.length
        if not follows or size >= READ_AHEAD:
            for member in run:
                runs[member.bundle] = run
            run, size = [], 0
    return runs


def new_pack_name() -> str:
    """A name that no other pack has."""
    return os.urandom(16).hex()
