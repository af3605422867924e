"""Selecting what is new to somebody, and advancing what they know (DESIGN.md 4.5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec.structs import replace

from tallystick.core.versions import GENESIS_DOT, Dot, Record, Vector, Version, same, vector_covers


class Verdict(StrEnum):
    """What the receiver makes of an incoming record that it does not hold."""

    TAKE = "take"
    DELETED_HERE = "deleted-here"
    DELETION_CONFLICT = "deletion-conflict"


def is_news(record: Record, digest: Vector) -> bool:
    """True when a receiver whose digest is ``digest`` may lack something of ``record``.

    Siblings of which one is a deletion always may be news: a receiver that had purged this deletion before the other
    sibling arrived has seen it, but holds it no longer.
    """
    if not vector_covers(digest, record.seen.vector):
        return True
    return record.contested and any(version.deleted for version in record.versions)


def judge_unknown(record: Record, digest: Vector, forgotten: Vector) -> Verdict:
    """What an incoming record that we lack is: new, deleted here and purged, or in conflict with a purged deletion.

    ``digest`` is ours, ``forgotten`` the version vector of purged tombstones (4.5). Where nothing was purged, whatever
    we lack is new. Else a change of the record that our digest covers is one that we knew once.
    """
    if not forgotten or not record.live:
        return Verdict.TAKE
    if bereft(record, digest) is None:
        return Verdict.DELETED_HERE
    return Verdict.DELETION_CONFLICT if any(_knew(digest, dot) for dot in _past_dots(record)) else Verdict.TAKE


def bereft(record: Record, digest: Vector, held: Collection[Version] = ()) -> Record | None:
    """What is left of a record beside an end that has purged tombstones, knows ``digest`` and holds ``held`` of it.

    Live versions that this end knew and holds no longer were replaced there, perhaps by a deletion that has been
    purged since. Deletions stay, and rows older than tracking, because the tombstones of those do. None when nothing
    is left; the same object when nothing falls away.
    """
    left = tuple(
        version
        for version in record.versions
        if version.deleted
        or version.genesis
        or not all(_knew(digest, dot) for dot in version.dots)
        or any(same(version, twin) for twin in held)
    )
    if len(left) == len(record.versions):
        return record
    return replace(record, versions=left) if left else None


def _past_dots(record: Record) -> Iterator[Dot]:
    """Changes that led to the record: the highest of every origin, and those that its fields were last edited by."""
    yield from record.seen.vector.items()
    for version in record.versions:
        yield from version.fields.values()
        if version.rest is not None and version.rest != GENESIS_DOT:
            yield version.rest


def _knew(digest: Vector, dot: Dot) -> bool:
    return digest.get(dot[0], 0) >= dot[1]


def purgeable(record: Record, digest: Vector) -> bool:
    """True when a tombstone may be forgotten: it is only that, and our own digest covers its whole ``seen``.

    One that covers a row older than tracking stays: a copy of that row may turn up under a dot nobody knows.
    """
    return not record.live and not record.seen.genesis and vector_covers(digest, record.seen.vector)


class Rank(NamedTuple):
    """A resource and the resources it refers to; ``required`` are those without which its records cannot be."""

    name: str
    references: tuple[str, ...]
    required: tuple[str, ...] = ()


def parents_first(resources: Iterable[Rank]) -> list[str]:
    """Names ordered so that referenced resources come first; cycles are broken where nothing is required, by name."""
    ranks = list(resources)
    pending = {rank.name: {target for target in rank.references if target != rank.name} for rank in ranks}
    required = {rank.name: pending[rank.name].intersection(rank.required) for rank in ranks}

    def lacks(name: str) -> tuple[int, int, str]:
        return len(required[name] & pending.keys()), len(pending[name] & pending.keys()), name

    ordered: list[str] = []
    while pending:
        free = sorted(name for name, targets in pending.items() if not targets & pending.keys())
        chosen = free or [min(pending, key=lacks)]
        ordered.extend(chosen)
        for name in chosen:
            del pending[name]
    return ordered


def position_after(order: Sequence[str], resource: str) -> int:
    """The index in ``order`` at which an open pass that stands in ``resource`` goes on; 0 when it is unknown."""
    return order.index(resource) if resource in order else 0
