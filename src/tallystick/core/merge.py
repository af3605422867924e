"""Projection: what the application's row shows of a record (DESIGN.md 2 *projection*, 4.6).

Pure and deterministic: the same versions and the same turned policy give the same projection everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.core.policies import FieldPolicy, Resolution, masters, newest
from tallystick.core.versions import Content, Dot, Record, Version


@dataclass(frozen=True, slots=True)
class Projection:
    """What to show: ``content`` (None = the row is absent), the versions it was made of, and what is left over.

    ``undecided`` is True under ASK: the row keeps showing what it shows. ``copies`` are versions that KEEP_BOTH
    turns into records of their own.
    """

    content: Content | None
    contributors: tuple[Version, ...]
    undecided: bool = False
    copies: tuple[Version, ...] = ()


def project(record: Record, local: Collection[Version], policy: FieldPolicy) -> Projection:
    """The projection of ``record`` under a conflict policy.

    ``local`` are the versions that the row shows now; THIS keeps them, OTHER prefers the rest. With one version
    there is nothing to decide.
    """
    versions = record.versions
    if len(versions) == 1:
        return Projection(versions[0].content, versions)
    if policy.default is Resolution.MERGE or policy.fields:
        return _mixed(record, local, policy)
    if policy.default is Resolution.ASK:
        return _undecided(record, local)
    winner = _winner(record, local, policy.default)
    if policy.default is Resolution.KEEP_BOTH:
        losers = tuple(version for version in versions if version is not winner and not version.deleted)
        return Projection(winner.content, versions, copies=losers)
    return Projection(winner.content, (winner,))


def _undecided(record: Record, local: Collection[Version]) -> Projection:
    shown = [version for version in record.versions if version in local]
    kept = newest(shown or record.versions)
    return Projection(kept.content, (kept,), undecided=True)


def _winner(record: Record, local: Collection[Version], resolution: Resolution) -> Version:
    versions = record.versions
    mine = [version for version in versions if version in local]
    theirs = [version for version in versions if version not in local]
    if resolution is Resolution.THIS and mine:
        return newest(mine)
    if resolution is Resolution.OTHER and theirs:
        return newest(theirs)
    if resolution is Resolution.MASTER:
        return masters(versions, record.born)
    if resolution is Resolution.KEEP_BOTH:
        alive = [version for version in versions if not version.deleted]
        return newest(alive or versions)
    return newest(versions)


def _mixed(record: Record, local: Collection[Version], policy: FieldPolicy) -> Projection:
    """Fields changed on one side only combine, the others go by the policy of the field."""
    fallback = _fallback(policy.default)
    base = _winner(record, local, fallback)
    if base.deleted or any(version.deleted or version.content is None for version in record.versions):
        return _whole(record, local, policy, fallback)
    contents = [version.content or {} for version in record.versions]
    names = sorted({name for content in contents for name in content})
    mixed: dict[str, Any] = {}
    contributors: list[Version] = []
    undecided = False
    for name in names:
        version, asked = _field_winner(record, local, policy, name)
        undecided = undecided or asked
        if version not in contributors:
            contributors.append(version)
        value = (version.content or {}).get(name)
        if value is not None:
            mixed[name] = value
    used = tuple(version for version in record.versions if version in contributors)
    return Projection(mixed, _decided_by(record, used, undecided), undecided)


def _decided_by(record: Record, used: tuple[Version, ...], undecided: bool) -> tuple[Version, ...]:
    """A complete field-wise mix has looked at every version, so an edit on it supersedes all of them."""
    return used if undecided else record.versions


def _whole(record: Record, local: Collection[Version], policy: FieldPolicy, fallback: Resolution) -> Projection:
    """A deletion cannot be mixed field by field: the fallback decides for the record as a whole."""
    if policy.default is Resolution.ASK:
        return _undecided(record, local)
    winner = _winner(record, local, fallback)
    return Projection(winner.content, (winner,))


def _fallback(default: Resolution) -> Resolution:
    return Resolution.NEWER if default in (Resolution.MERGE, Resolution.KEEP_BOTH) else default


def _field_winner(
    record: Record, local: Collection[Version], policy: FieldPolicy, name: str
) -> tuple[Version, bool]:
    resolution = policy.of(name)
    survivors = _concurrent(record.versions, name) if policy.default is Resolution.MERGE else list(record.versions)
    if resolution is Resolution.MERGE:
        survivors = _concurrent(record.versions, name)
        resolution = Resolution.NEWER
    if len(survivors) == 1 or _equal(survivors, name):
        return survivors[0], False
    if resolution is Resolution.ASK:
        shown = [version for version in survivors if version in local]
        return (shown or survivors)[0], True
    part = Record(tuple(survivors), record.seen, record.born, record.copies)
    return _winner(part, local, resolution if resolution is not Resolution.KEEP_BOTH else Resolution.NEWER), False


def _equal(versions: Sequence[Version], name: str) -> bool:
    values = [(version.content or {}).get(name) for version in versions]
    return all(type(value) is type(values[0]) and value == values[0] for value in values)


def _concurrent(versions: Sequence[Version], name: str) -> list[Version]:
    """The versions whose value of the field no other version's maker had seen and replaced."""
    survivors = [
        version for version in versions if not any(_replaces(other, version, name) for other in versions)
    ]
    return survivors or list(versions)


def _replaces(newer: Version, older: Version, name: str) -> bool:
    """True when ``newer`` changed the field knowing the value of ``older``, which did not know that change."""
    mine, theirs = _field_dot(newer, name), _field_dot(older, name)
    if newer is older or mine is None or theirs is None or mine == theirs:
        return False
    return _knew(newer, older, theirs) and not _knew(older, newer, mine)


def _knew(knower: Version, holder: Version, dot: Dot) -> bool:
    """True when the maker of ``knower`` had seen the change ``dot``, which ``holder`` carries.

    The dot of a row that existed before tracking is known by its genesis name.
    """
    if knower.past.covers_dot(dot):
        return True
    return dot not in holder.dots and holder.past.genesis <= knower.past.genesis and bool(holder.past.genesis)


def _field_dot(version: Version, name: str) -> Dot | None:
    return version.fields.get(name, version.rest)


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """Names of the fields whose values differ, absent and null being the same."""
    names = before.keys() | after.keys()
    return frozenset(
        name
        for name in names
        if type(before.get(name)) is not type(after.get(name)) or before.get(name) != after.get(name)
    )
