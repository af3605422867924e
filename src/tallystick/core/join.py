"""The join: how two states of one record become one (DESIGN.md 4.1).

A semilattice: commutative, associative, idempotent. Known versions fall away, superseded ones are replaced,
concurrent ones both stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tallystick.core.versions import (
    DEFAULT_PRIORITY,
    DELETED,
    NOTHING_SEEN,
    Content,
    Dot,
    Record,
    Seen,
    Version,
    covered,
    same,
    unite,
    vector_of,
)


def join(one: Record, other: Record) -> Record:
    """The state that knows what both know.

    Versions of one side that the other has too are united; versions that the other side's ``seen`` does not
    cover stay; the rest is superseded. ``seen`` is merged. Versions come out in a canonical order.
    """
    if one is other:
        return one
    kept = _kept(one, other) + _kept(other, one)
    versions = tuple(sorted(_united(kept), key=_order))
    born, copies = _birth(one, other)
    return Record(versions, one.seen.merged(other.seen), born, copies)


def _kept(mine: Record, theirs: Record) -> list[Version]:
    return [
        version
        for version in mine.versions
        if any(same(version, twin) for twin in theirs.versions) or not covered(version, theirs.seen)
    ]


def _united(versions: list[Version]) -> list[Version]:
    """Versions with every group that shares a name or the content made one."""
    groups: list[Version] = []
    for version in versions:
        twins = [group for group in groups if same(group, version)]
        for twin in twins:
            groups.remove(twin)
            version = unite(twin, version)
        groups.append(version)
    return groups


def _order(version: Version) -> tuple[object, ...]:
    return (version.stamp, version.origin, version.tick)


def _birth(one: Record, other: Record) -> tuple[str, int]:
    """The birth that both sides will agree on: fewest copies first, then the smaller origin."""
    births = [(record.copies, record.born) for record in (one, other) if record.born]
    if not births:
        return "", 0
    copies, born = min(births, key=lambda birth: (birth[1], birth[0]))
    return born, copies


def edit(
    record: Record | None,
    dot: Dot,
    stamp: int,
    digest: bytes,
    content: Content | None = None,
    *,
    superseded: Collection[Version] | None = None,
    shown_past: Seen | None = None,
    changed: Collection[str] | None = None,
    priority: int = DEFAULT_PRIORITY,
) -> Record:
    """The record after an edit, or a deletion (``digest`` empty), made at ``dot``.

    The edit supersedes the versions that contributed to the projection it was made on (``superseded``; all of
    them when omitted) and no others. ``shown_past`` is what the projected row had seen, when it shows a version
    that the set no longer holds (declined and parked changes). ``changed`` names the edited fields, None = all.
    """
    if record is None:
        seen = Seen({dot[0]: dot[1]})
        made = Version(
            dot[0], dot[1], digest, stamp, frozenset((dot,)), past=seen, priority=priority, rest=dot, content=content
        )
        return Record((made,), seen, born=dot[0])
    base = record.versions if superseded is None else tuple(superseded)
    past = _past_of(base, shown_past, dot)
    fields, rest = _field_dots(base, dot, changed, digest)
    made = Version(
        dot[0],
        dot[1],
        digest,
        stamp,
        frozenset((dot,)),
        past=past,
        priority=priority,
        fields=fields,
        rest=rest,
        content=content,
    )
    others = tuple(version for version in record.versions if version not in base)
    versions = tuple(sorted((*others, made), key=_order))
    return Record(versions, record.seen.merged(past), record.born, record.copies)


def _past_of(base: Collection[Version], shown_past: Seen | None, dot: Dot) -> Seen:
    past = shown_past or NOTHING_SEEN
    for version in base:
        past = past.merged(version.past).merged(Seen(vector_of(version.dots), version.genesis))
    return past.merged(Seen({dot[0]: dot[1]}))


def _field_dots(
    base: Collection[Version], dot: Dot, changed: Collection[str] | None, digest: bytes
) -> tuple[Mapping[str, Dot], Dot | None]:
    """Dots per field after an edit of ``changed``: kept for the others only when the edit has one base version."""
    if changed is None or digest == DELETED or len(base) != 1:
        return {}, dot
    (version,) = base
    if version.deleted or version.rest is None:
        return {}, dot
    return {**version.fields, **dict.fromkeys(changed, dot)}, version.rest

