"""Selecting what is new to somebody, and advancing what they know (DESIGN.md 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from tallystick.core.versions import Record, Vector, vector_covers


class Verdict(StrEnum):
    """What the receiver makes of an incoming record that it does not hold."""

    TAKE = "take"
    DELETED_HERE = "deleted-here"
    DELETION_CONFLICT = "deletion-conflict"


def is_news(record: Record, digest: Vector) -> bool:
    """True when a receiver whose digest is ``digest`` may lack something of ``record``."""
    return not vector_covers(digest, record.seen.vector)


def judge_unknown(record: Record, digest: Vector, forgotten: Vector) -> Verdict:
    """What an incoming record that we lack is: new, deleted here and purged, or in conflict with a purged deletion.

    ``digest`` is ours, ``forgotten`` the version vector of purged tombstones (4.5).
    """
    if not forgotten or not record.live:
        return Verdict.TAKE
    if vector_covers(digest, record.seen.vector) and _reaches(record, forgotten):
        return Verdict.DELETED_HERE
    if _reaches(record, forgotten):
        return Verdict.DELETION_CONFLICT
    return Verdict.TAKE


def _reaches(record: Record, forgotten: Vector) -> bool:
    return any(tick <= forgotten.get(origin, 0) for origin, tick in record.seen.vector.items())


def purgeable(record: Record, digest: Vector) -> bool:
    """True when a tombstone may be forgotten: it is only that, and our own digest covers its whole ``seen``."""
    return not record.live and len(record.versions) == 1 and vector_covers(digest, record.seen.vector)


class Rank(NamedTuple):
    """A resource and the resources it refers to."""

    name: str
    references: tuple[str, ...]


def parents_first(resources: Iterable[Rank]) -> list[str]:
    """Names ordered so that referenced resources come first; cycles are broken in name order."""
    pending = {rank.name: {target for target in rank.references if target != rank.name} for rank in resources}
    ordered: list[str] = []
    while pending:
        free = sorted(name for name, targets in pending.items() if not targets & pending.keys())
        chosen = free or [min(pending, key=lambda name: (len(pending[name] & pending.keys()), name))]
        ordered.extend(chosen)
        for name in chosen:
            del pending[name]
    return ordered


def position_after(order: Sequence[str], resource: str) -> int:
    """The index in ``order`` at which an open pass that stands in ``resource`` goes on; 0 when it is unknown."""
    return order.index(resource) if resource in order else 0
