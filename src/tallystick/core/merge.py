"""Projection: what the application's row shows of a record (DESIGN.md 2 *projection*, 4.6).

Pure and deterministic: the same versions and the same turned policy give the same projection everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.core.policies import FieldPolicy, Resolution, masters, newest
from tallystick.core.versions import GENESIS_DOT, Content, Dot, Origin, Record, Version


@dataclass(frozen=True, slots=True)
class Projection:
    """What to show: ``content`` (None = the row is absent), the versions it was made of, and what is left over.

    ``undecided`` is True under ASK: the row keeps showing what it shows. ``copies`` are versions that KEEP_BOTH
    turns into records of their own. ``overridden`` are versions of which something is not shown, although nobody who
    made what is shown had seen it; one that contributed some fields and lost others is in both.
    """

    content: Content | None
    contributors: tuple[Version, ...]
    undecided: bool = False
    copies: tuple[Version, ...] = ()
    overridden: tuple[Version, ...] = ()


def project(
    record: Record, local: Collection[Version], policy: FieldPolicy, other: Collection[Version] | None = None
) -> Projection:
    """The projection of ``record`` under a conflict policy.

    ``local`` are the versions that the row shows now, or that continue them; THIS and ASK keep them. ``other`` are
    the versions that the other end speaks for, OTHER takes them; omitted, they are all but ``local``. Where there
    is one content there is nothing to decide.
    """
    if not record.contested:
        return Projection(newest(record.versions).content, record.versions)
    sides = _Sides(record, local, other)
    if policy.default is Resolution.MERGE or policy.fields:
        return _mixed(record, sides, policy)
    if policy.default is Resolution.ASK:
        return _undecided(record, sides)
    winner = _winner(record.versions, record.born, sides, policy.default)
    if policy.default is Resolution.KEEP_BOTH:
        return Projection(winner.content, record.versions, copies=_losers(record.versions, winner))
    return _won(record, winner)


def _won(record: Record, winner: Version, undecided: bool = False) -> Projection:
    """The projection of one version as a whole."""
    shown = _twins(record, winner)
    rest = tuple(version for version in record.versions if version not in shown)
    return Projection(winner.content, shown, undecided, overridden=() if undecided else rest)


class _Sides:
    """Which versions THIS and OTHER mean."""

    def __init__(self, record: Record, local: Collection[Version], other: Collection[Version] | None) -> None:
        mine = {version.hash for version in local}
        theirs = {version.hash for version in (record.versions if other is None else other)}
        if other is None:
            theirs -= mine
        self.this = [version for version in record.versions if version.hash in mine]
        self.other = [version for version in record.versions if version.hash in theirs]


def _twins(record: Record, *chosen: Version) -> tuple[Version, ...]:
    """The chosen versions and those of equal content, in the order of the set."""
    hashes = {version.hash for version in chosen}
    return tuple(version for version in record.versions if version.hash in hashes)


def _losers(versions: Sequence[Version], winner: Version) -> tuple[Version, ...]:
    """The live contents beside the winner's, one version of each."""
    by_hash = {version.hash: version for version in versions if not version.deleted and version.hash != winner.hash}
    return tuple(by_hash.values())


def _undecided(record: Record, sides: _Sides) -> Projection:
    return _won(record, newest(sides.this or record.versions), undecided=True)


def _winner(versions: Sequence[Version], born: str, sides: _Sides, resolution: Resolution) -> Version:
    mine = [version for version in versions if version in sides.this]
    theirs = [version for version in versions if version in sides.other]
    if resolution is Resolution.THIS and mine:
        return newest(mine)
    if resolution is Resolution.OTHER and theirs:
        return newest(theirs)
    if resolution is Resolution.MASTER:
        return masters(versions, born)
    if resolution is Resolution.KEEP_BOTH:
        alive = [version for version in versions if not version.deleted]
        return newest(alive or versions)
    return newest(versions)


def _mixed(record: Record, sides: _Sides, policy: FieldPolicy) -> Projection:
    """Fields changed on one side only combine, the others go by the policy of the field."""
    if any(version.deleted or version.content is None for version in record.versions):
        return _whole(record, sides, policy)
    names = sorted({name for version in record.versions for name in version.content or {}})
    mixed: dict[str, Any] = {}
    chosen: list[Version] = []
    gave_way: list[Version] = []
    undecided = False
    for name in names:
        survivors = _survivors(record, policy, name)
        version, asked = _field_winner(survivors, record.born, sides, policy.of(name), name)
        undecided = undecided or asked
        chosen.append(version)
        gave_way.extend(other for other in survivors if not _equal((version, other), name))
        value = (version.content or {}).get(name)
        if value is not None:
            mixed[name] = value
    used, lost = _twins(record, *chosen), _twins(record, *gave_way)
    shown = tuple(version for version in record.versions if version in used or version not in lost)
    return Projection(mixed, shown, undecided, overridden=lost)


def _whole(record: Record, sides: _Sides, policy: FieldPolicy) -> Projection:
    """A deletion cannot be mixed field by field: the fallback decides for the record as a whole."""
    if policy.default is Resolution.ASK:
        return _undecided(record, sides)
    return _won(record, _winner(record.versions, record.born, sides, _fallback(policy.default)))


def _fallback(default: Resolution) -> Resolution:
    return Resolution.NEWER if default in (Resolution.MERGE, Resolution.KEEP_BOTH) else default


def _survivors(record: Record, policy: FieldPolicy, name: str) -> Sequence[Version]:
    """The versions among which the field is decided: under MERGE not those whose value was knowingly replaced."""
    merging = Resolution.MERGE in (policy.of(name), policy.default)
    return _concurrent(record.versions, name) if merging else record.versions


def _field_winner(
    survivors: Sequence[Version], born: Origin, sides: _Sides, resolution: Resolution, name: str
) -> tuple[Version, bool]:
    """The version whose value of the field is shown, and whether somebody is asked about it."""
    if _equal(survivors, name):
        return newest(survivors), False
    if resolution is Resolution.ASK:
        shown = [version for version in survivors if version in sides.this]
        return newest(shown or survivors), True
    return _winner(survivors, born, sides, _fallback(resolution)), False


def _equal(versions: Sequence[Version], name: str) -> bool:
    values = [(version.content or {}).get(name) for version in versions]
    return not any(_differ(value, values[0]) for value in values[1:])


def _differ(one: Any, other: Any) -> bool:
    """True when two canonical values are different ones; NaN is one value."""
    if type(one) is not type(other):
        return True
    return bool(one != other and (one == one or other == other))


def _concurrent(versions: Sequence[Version], name: str) -> Sequence[Version]:
    """The versions whose value of the field no other version's maker had seen and replaced."""
    survivors = [version for version in versions if not any(_replaces(other, version, name) for other in versions)]
    return survivors or versions


def _replaces(newer: Version, older: Version, name: str) -> bool:
    """True when ``newer`` changed the field knowing the value of ``older``, which did not know that change."""
    mine, theirs = _field_dot(newer, name), _field_dot(older, name)
    if newer is older or mine is None or theirs is None or mine == GENESIS_DOT:
        return False
    return mine != theirs and _knew(newer, older, theirs) and not older.past.covers_dot(mine)


def _knew(knower: Version, holder: Version, dot: Dot) -> bool:
    """True when the maker of ``knower`` had seen the value that ``holder`` carries under ``dot``.

    A value older than tracking is the value of the row whose genesis names the holder builds on.
    """
    if dot == GENESIS_DOT:
        return holder.past.genesis <= knower.past.genesis
    return knower.past.covers_dot(dot)


def _field_dot(version: Version, name: str) -> Dot | None:
    return GENESIS_DOT if version.genesis else version.fields.get(name, version.rest)


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """Names of the fields whose values differ, absent and null being the same."""
    names = before.keys() | after.keys()
    return frozenset(name for name in names if _differ(before.get(name), after.get(name)))
