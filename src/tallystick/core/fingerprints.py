"""Fingerprints: a count and 256-bit sums by which two ends learn whether they agree (DESIGN.md 4.8).

One sum is of names (what is known), one of content (what the data shows). Both can be kept incrementally: a record
is added when it appears and subtracted when it changes, in any order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

MODULUS = 1 << 256
_NAMES = b"tallystick/names/1\0"


class Fingerprint(NamedTuple):
    """Count of records with a live version, sum over their names, sum over their contents."""

    count: int = 0  # type: ignore[assignment]
    names: int = 0
    content: int = 0

    def added(self, other: Fingerprint) -> Fingerprint:
        """The fingerprint of both sets of records together."""
        return Fingerprint(
            self.count + other.count, (self.names + other.names) % MODULUS, (self.content + other.content) % MODULUS
        )

    def removed(self, other: Fingerprint) -> Fingerprint:
        """The fingerprint without the records of ``other``."""
        return Fingerprint(
            self.count - other.count, (self.names - other.names) % MODULUS, (self.content - other.content) % MODULUS
        )


EMPTY = Fingerprint()


def names_term(key: str, names: bytes) -> int:
    """The share of one record in the sum of names; ``names`` is its canonical name (see ``canonical_names``)."""
    return int.from_bytes(sha256(_NAMES + key.encode("utf-8", "surrogatepass") + b"\0" + names).digest(), "big")


def content_term(shown: bytes) -> int:
    """The share of one record in the sum of contents: its 32-byte content hash, which already binds its key."""
    return int.from_bytes(shown, "big")


def fingerprint_of(keys: Sequence[str], names: Sequence[bytes], contents: Sequence[bytes]) -> Fingerprint:
    """The fingerprint of live records by their keys, canonical names and content hashes, all in one order."""
    terms = [
        sha256(_NAMES + key.encode("utf-8", "surrogatepass") + b"\0" + name).digest()
        for key, name in zip(keys, names, strict=True)
    ]
    return Fingerprint(len(keys), _sum(terms), _sum(contents))


def _sum(terms: Sequence[bytes]) -> int:
    return sum([int.from_bytes(term, "big") for term in terms]) % MODULUS


def dot_name(origin: str, tick: int) -> bytes:
    """The canonical name of a version with one edit dot."""
    return b"%b\0%d" % (origin.encode(), tick)


def dot_names(origins: Sequence[str], ticks: Sequence[int]) -> list[bytes]:
    """``dot_name`` of many versions."""
    heads = {origin: origin.encode() + b"\0" for origin in set(origins)}
    return [heads[origin] + b"%d" % tick for origin, tick in zip(origins, ticks, strict=True)]


def canonical_names(versions: Iterable[tuple[Collection[bytes], Collection[tuple[str, int]]]]) -> bytes:
    """The canonical name of a record: for each version its genesis names, then its edit dots, all sorted.

    Takes (genesis names, edit dots) per version.
    """
    parts = []
    for genesis, dots in versions:
        if not genesis and len(dots) == 1:
            (dot,) = dots
            parts.append(dot_name(*dot))
            continue
        names = [*sorted(genesis), *sorted(dot_name(origin, tick) for origin, tick in dots)]
        parts.append(b"\1".join(names))
    return b"\2".join(sorted(parts))
