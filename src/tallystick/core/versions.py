"""Versions, records and what they have seen (DESIGN.md 2 and 4.1).

A record is a set of versions with one ``seen``. Almost always the set has one member.

A version is named by one edit dot, or by genesis names. Two versions may have equal content: they are *twins*,
stay apart in the set, since each falls away only when its own name is seen, and count as one wherever somebody
looks at the record. So the set depends on nothing but ``seen``, in whatever order states were joined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

Origin = str
"""Where changes are made: ``<site uuid>.<incarnation>`` between our sites, an endpoint URL in SData."""

Dot = tuple[Origin, int]
"""The name of one change: origin and tick, ticks count from 1."""

Vector = Mapping[Origin, int]
"""For each origin the highest tick held."""

Content = Mapping[str, Any]
"""Fields of one version by wire name; null fields are left out."""

DELETED = b""
"""The content hash of a deletion."""

GENESIS_DOT: Dot = ("", 0)
"""The dot of fields that were not edited since tracking began. Which row they come from, genesis names tell."""

DEFAULT_PRIORITY = 5
"""Conflict priority of a version whose origin stated none: 1 wishes strongly to win, 9 weakly."""


class Seen(Struct, frozen=True):
    """What a record builds on: a version vector, and the genesis names of the versions it replaces."""

    vector: Vector = {}
    genesis: frozenset[bytes] = frozenset()

    def covers_dot(self, dot: Dot) -> bool:
        """True when the change named ``dot`` is among what was seen."""
        return self.vector.get(dot[0], 0) >= dot[1]

    def merged(self, other: Seen) -> Seen:
        """The least ``Seen`` that covers both."""
        if self.covers(other):
            return self
        return Seen(merge_vectors(self.vector, other.vector), self.genesis | other.genesis)

    def covers(self, other: Seen) -> bool:
        """True when everything in ``other`` is in this one."""
        return other.genesis <= self.genesis and vector_covers(self.vector, other.vector)


NOTHING_SEEN = Seen()


class Version(Struct, frozen=True):
    """One content of a record, or its deletion, with its names, stamp and conflict priority.

    ``origin`` and ``tick`` name the change that issued it, and ``dots`` holds that name; for a row that existed before
    tracking ``dots`` is empty, ``genesis`` holds its genesis names, and every copy has an origin and tick of its own.
    ``past`` is what its maker had seen. ``fields`` holds the dots of fields that were edited after the rest of the
    record, whose dot is ``rest`` (GENESIS_DOT for what is older than tracking). ``born`` is the origin where the record
    was created that this is a version of, as its maker knew it; empty where that is ``origin``.
    """

    origin: Origin
    tick: int
    hash: bytes
    stamp: int
    dots: frozenset[Dot] = frozenset()
    genesis: frozenset[bytes] = frozenset()
    past: Seen = NOTHING_SEEN
    priority: int = DEFAULT_PRIORITY
    fields: Mapping[str, Dot] = {}
    rest: Dot | None = None
    content: Content | None = None
    born: Origin = ""

    @property
    def deleted(self) -> bool:
        """True when this version is the record's deletion."""
        return self.hash == DELETED

    @property
    def dot(self) -> Dot:
        """The name of the change that first issued this version."""
        return (self.origin, self.tick)

    @property
    def names(self) -> tuple[Any, ...]:
        """All names in a canonical order, genesis names first."""
        return (*sorted(self.genesis), *sorted(self.dots))


class Record(Struct, frozen=True):
    """All that is known of one record: its versions and what they have seen.

    ``copies`` is how many hops its content came from where it was born.
    """

    versions: tuple[Version, ...]
    seen: Seen
    copies: int = 0

    @property
    def born(self) -> Origin:
        """The origin where the record was created, the same for all who hold the same versions."""
        return birth(self.versions)

    @property
    def live(self) -> bool:
        """True when at least one version is not a deletion."""
        return any(not version.deleted for version in self.versions)

    @property
    def contested(self) -> bool:
        """True when there are siblings that differ: twins do not contest each other."""
        versions = self.versions
        return len(versions) > 1 and any(version.hash != versions[0].hash for version in versions)


def birth(versions: Collection[Version]) -> Origin:
    """Where the record of these versions was born: the smallest origin that one of them states, "" for none.

    What copies of a row older than tracking state counts only where there is nothing else: each claims to be the
    first, and whoever agreed with nothing sent has never heard of the others.
    """
    edits = [version.born or version.origin for version in versions if version.dots]
    if len(edits) == 1:
        return edits[0]
    return min(edits or [version.born or version.origin for version in versions], default="")


def covered(version: Version, seen: Seen) -> bool:
    """True when ``seen`` supersedes ``version``: all its edit dots, and one of its genesis names if it has any."""
    if version.genesis and not (version.genesis & seen.genesis):
        return False
    return all(seen.covers_dot(dot) for dot in version.dots)


def akin(one: Version, other: Version) -> bool:
    """True when both bear a common name."""
    return not one.dots.isdisjoint(other.dots) or not one.genesis.isdisjoint(other.genesis)


def same(one: Version, other: Version) -> bool:
    """True when both are one version: a shared genesis name, or a shared dot and, as it must be, equal content.

    One dot with two contents is a fork of its origin that nobody has noticed yet (core/history.py): two versions.
    """
    if not one.genesis.isdisjoint(other.genesis):
        return True
    return one.hash == other.hash and not one.dots.isdisjoint(other.dots)


def unite(one: Version, other: Version) -> Version:
    """The one version that two holders describe. Precondition: ``same(one, other)``.

    Only what copies of a row older than tracking say of themselves can differ: then the smaller origin speaks.
    """
    if one.dots == other.dots and one.genesis == other.genesis and one.past == other.past and one.dot == other.dot:
        return one if one.content is not None or other.content is None else other
    first, second = (one, other) if (one.origin, one.tick) <= (other.origin, other.tick) else (other, one)
    return replace(
        first,
        dots=first.dots | second.dots,
        genesis=first.genesis | second.genesis,
        past=first.past.merged(second.past),
        priority=min(first.priority, second.priority),
        content=first.content if first.content is not None else second.content,
    )


def precedence(version: Version) -> tuple[int, int, Origin, int, bytes]:
    """The order of versions, newest first, equal everywhere: stamp as issued, priority, origin, tick, content.

    Rows older than tracking come last: when they were made nobody knows, and copies differ in origin and tick.
    """
    if version.genesis:
        return (0, version.priority, "", 0, version.hash)
    return (-version.stamp, version.priority, version.origin, -version.tick, version.hash)


def merge_vectors(one: Vector, other: Vector) -> dict[Origin, int]:
    """The least vector that covers both."""
    merged = dict(one)
    for origin, tick in other.items():
        if merged.get(origin, 0) < tick:
            merged[origin] = tick
    return merged


def vector_covers(holder: Vector, wanted: Vector) -> bool:
    """True when ``holder`` holds at least the ticks of ``wanted``."""
    return all(holder.get(origin, 0) >= tick for origin, tick in wanted.items())


def vector_of(dots: Iterable[Dot]) -> dict[Origin, int]:
    """The least vector that covers every one of ``dots``."""
    vector: dict[Origin, int] = {}
    for origin, tick in dots:
        if vector.get(origin, 0) < tick:
            vector[origin] = tick
    return vector


def genesis_record(origin: Origin, tick: int, digest: bytes, stamp: int, content: Content | None = None) -> Record:
    """A row that existed before tracking: named by its content hash beside its dot (4.4)."""
    seen = Seen({origin: tick}, frozenset((digest,)))
    version = Version(
        origin, tick, digest, stamp, genesis=frozenset((digest,)), past=seen, rest=(origin, tick), content=content
    )
    return Record((version,), seen)


def created_record(origin: Origin, tick: int, digest: bytes, stamp: int, content: Content | None = None) -> Record:
    """A record made at ``origin`` after tracking began."""
    dot = (origin, tick)
    seen = Seen({origin: tick})
    version = Version(origin, tick, digest, stamp, dots=frozenset((dot,)), past=seen, rest=dot, content=content)
    return Record((version,), seen)
