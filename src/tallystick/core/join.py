"""The join: how two states of one record become one (DESIGN.md 4.1).

A semilattice: commutative, associative, idempotent. Known versions fall away, superseded ones are replaced,
concurrent ones both stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from tallystick.core.versions import (
    DEFAULT_PRIORITY,
    DELETED,
    GENESIS_DOT,
    NOTHING_SEEN,
    Content,
    Dot,
    Record,
    Seen,
    Version,
    akin,
    birth,
    covered,
    precedence,
    same,
    unite,
    vector_of,
)


def join(one: Record, other: Record) -> Record:
    """The state that knows what both know.

    A version that both have stays, and one that the other side's ``seen`` does not cover; the rest is superseded.
    ``seen`` is merged. Versions come out in a canonical order, oldest first.
    """
    if one == other:
        return one
    kept, added = _kept(one, other), _kept(other, one)
    copies = _copies(one if kept else None, other if added else None)
    for version in added:
        _add(kept, version)
    return Record(ordered(kept), one.seen.merged(other.seen), copies)


def joined_pair(one: Record, other: Record) -> tuple[Record, Version, Version] | None:
    """``join`` where both of two edits stay: the record, ``one``'s only version, and the version that ``other`` adds.

    ``other`` holds just that version, or both. None for everything else: deletions, rows older than tracking, twins,
    what one side has superseded. In fewer steps, because nearly every conflict is such a pair.
    """
    if len(one.versions) != 1 or len(other.versions) not in (1, 2):
        return None
    mine = one.versions[0]
    theirs = other.versions[0]
    if len(other.versions) == 2:
        twin, theirs = (theirs, other.versions[1]) if theirs.dots == mine.dots else (other.versions[1], theirs)
        if twin.dots != mine.dots or twin.hash != mine.hash or twin.past != mine.past or twin.dot != mine.dot:
            return None
        if twin.genesis:
            return None
        if mine.content is None and twin.content is not None:
            mine = twin
    elif other.seen.covers_dot(mine.dot):
        return None
    if not (_plain_edit(mine) and _plain_edit(theirs)) or mine.hash == theirs.hash or one.seen.covers_dot(theirs.dot):
        return None
    copies = one.copies if one.copies == other.copies else _copies(one, other)
    record = Record(ordered((mine, theirs)), one.seen.merged(other.seen), copies)
    return record, mine, theirs


def _plain_edit(version: Version) -> bool:
    """True for an edit under its own name that left content."""
    return bool(version.hash) and not version.genesis and len(version.dots) == 1 and version.dot in version.dots


def ordered(versions: Iterable[Version]) -> tuple[Version, ...]:
    """Versions in their canonical order, the one that NEWER shows last."""
    return tuple(sorted(versions, key=precedence, reverse=True))


def _kept(mine: Record, theirs: Record) -> list[Version]:
    return [
        version
        for version in mine.versions
        if not covered(version, theirs.seen) or any(akin(version, twin) for twin in theirs.versions)
    ]


def _add(versions: list[Version], version: Version) -> None:
    """Add a version, made one with those that are the same."""
    for known in [known for known in versions if same(known, version)]:
        versions.remove(known)
        version = unite(known, version)
    versions.append(version)


def _copies(*survivors: Record | None) -> int:
    """The hops from the birthplace, of those states that something is left of."""
    births = [(record.born, record.copies) for record in survivors if record is not None and record.born]
    return min(births, default=("", 0))[1]


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

    The edit supersedes the versions that contributed to the projection it was made on (``superseded``, all of
    them when omitted; with them their twins) and no others. ``shown_past`` is what the projected row had seen, when it
    shows a version that the set no longer holds (declined and parked changes). ``changed`` names the edited fields,
    None = all.
    """
    if record is None:
        seen = Seen({dot[0]: dot[1]})
        made = Version(
            dot[0], dot[1], digest, stamp, frozenset((dot,)), past=seen, priority=priority, rest=dot, content=content
        )
        return Record((made,), seen)
    base = record.versions if superseded is None else _with_twins(record, superseded)
    past = _past_of(base, shown_past, dot)
    fields, rest = _field_dots(base, dot, changed, digest)
    born = birth(base) or record.born
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
        born="" if born == dot[0] else born,
    )
    others = [version for version in record.versions if version not in base]
    return Record(ordered((*others, made)), record.seen.merged(past), record.copies)


def _with_twins(record: Record, superseded: Collection[Version]) -> tuple[Version, ...]:
    hashes = {version.hash for version in superseded}
    gone = [version for version in superseded if version not in record.versions]
    return (*gone, *(version for version in record.versions if version.hash in hashes))


def _past_of(base: Collection[Version], shown_past: Seen | None, dot: Dot) -> Seen:
    past = shown_past or NOTHING_SEEN
    for version in base:
        past = past.merged(version.past).merged(Seen(vector_of(version.dots), version.genesis))
    return past.merged(Seen({dot[0]: dot[1]}))


def _field_dots(
    base: Collection[Version], dot: Dot, changed: Collection[str] | None, digest: bytes
) -> tuple[Mapping[str, Dot], Dot | None]:
    """Dots per field after an edit of ``changed``: kept for the others only when the edit has one base content."""
    if changed is None or digest == DELETED or len({version.hash for version in base}) != 1:
        return {}, dot
    version = min(base, key=precedence)
    rest = GENESIS_DOT if version.genesis else version.rest
    if version.deleted or rest is None:
        return {}, dot
    return {**version.fields, **dict.fromkeys(changed, dot)}, rest
