"""What becomes of one incoming record at its receiver (DESIGN.md 4.1, 4.5, 4.6). Pure: sites and the simulator share it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from tallystick.core.changes import Verdict, judge_unknown
from tallystick.core.join import join
from tallystick.core.merge import Projection, project
from tallystick.core.policies import FieldPolicy, Method, Policy, Resolution, masters, newest
from tallystick.core.versions import Record, Seen, Vector, Version


class Kind(StrEnum):
    """What an incoming record did to the row."""

    UNCHANGED = "unchanged"
    """Nothing new: nothing is written at all."""
    UNITED = "united"
    """Only knowledge is new: the ledger is written, the row is not."""
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    DECLINED = "declined"
    """Held and passed on, but the policy does not want it shown here."""


@dataclass(frozen=True, slots=True)
class Held:
    """A record as a site holds it, with the versions that its row shows.

    ``shown`` are versions of the record, except where a superseding version was declined or parked: then they are
    the ones still shown, and ``shown_past`` is what they had seen.
    """

    record: Record
    shown: tuple[Version, ...]
    shown_past: Seen | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision: the record to keep, what to show (None: leave the row as it is), and what to tell the user.

    ``conflict`` is True when concurrent versions met in this step. ``lost`` are versions that this step hides from
    the row although their makers had not seen the one now shown: they go to the conflict log with their content.
    """

    kind: Kind
    record: Record
    projection: Projection | None = None
    conflict: bool = False
    lost: tuple[Version, ...] = ()
    method: Method | None = None

    @property
    def undecided(self) -> bool:
        """True when somebody is asked to decide."""
        return self.projection is not None and self.projection.undecided


def decide(held: Held | None, incoming: Record, policy: Policy, digest: Vector, forgotten: Vector) -> Outcome:
    """What becomes of ``incoming``, which a source sent to a site that holds ``held``.

    ``policy`` is turned to the receiver; ``digest`` and ``forgotten`` are the receiver's for the resource.
    """
    if held is None:
        return _unknown(incoming, policy, digest, forgotten)
    record = join(held.record, incoming)
    if record == held.record:
        return Outcome(Kind.UNCHANGED, held.record)
    if _hashes(record) == _hashes(held.record):
        return Outcome(Kind.UNITED, record)
    if record.contested:
        return _contested(held, record, policy)
    return _superseded(held, record, policy)


def _hashes(record: Record) -> list[bytes]:
    return sorted(version.hash for version in record.versions)


def _unknown(incoming: Record, policy: Policy, digest: Vector, forgotten: Vector) -> Outcome:
    verdict = judge_unknown(incoming, digest, forgotten)
    if verdict is Verdict.DELETED_HERE:
        return Outcome(Kind.UNCHANGED, incoming)
    conflict = incoming.contested or verdict is Verdict.DELETION_CONFLICT
    projection = project(incoming, (), policy.conflict)
    if not incoming.live or projection.content is None:
        return Outcome(Kind.UNITED, incoming, projection, conflict)
    if Method.CREATE not in policy.strategy:
        return Outcome(Kind.DECLINED, incoming, None, conflict, method=Method.CREATE)
    return Outcome(Kind.CREATED, incoming, projection, conflict, method=Method.CREATE)


def _superseded(held: Held, record: Record, policy: Policy) -> Outcome:
    """One version is left and the row shows another one."""
    (version,) = record.versions
    was_shown = any(not shown.deleted for shown in held.shown)
    method = Method.DELETE if version.deleted else Method.UPDATE if was_shown else Method.CREATE
    if method not in policy.strategy or not _update_wanted(held, record, policy.update, method):
        return Outcome(Kind.DECLINED, record, None, method=method)
    kept = _kept_fields(held, version, policy.update) if method is Method.UPDATE else {}
    if kept is None:
        return Outcome(Kind.DECLINED, record, None, method=method)
    projection = project(record, held.shown, policy.conflict)
    if kept:
        content = {name: value for name, value in {**(version.content or {}), **kept}.items() if value is not None}
        projection = Projection(content, record.versions)
    return Outcome(_kind(method, was_shown), record, projection, method=method)


def _kind(method: Method, was_shown: bool) -> Kind:
    if method is Method.DELETE:
        return Kind.DELETED if was_shown else Kind.UNITED
    return Kind.UPDATED if method is Method.UPDATE else Kind.CREATED


def _update_wanted(held: Held, record: Record, policy: FieldPolicy | None, method: Method) -> bool:
    if policy is None:
        return True
    if method is Method.CREATE or policy.fields and method is Method.UPDATE:
        return True
    return _prefers_other(held, record, policy.default)


def _prefers_other(held: Held, record: Record, resolution: Resolution) -> bool:
    """True when a superseding version is taken under an update policy."""
    (version,) = record.versions
    if resolution is Resolution.THIS:
        return False
    candidates = (*held.shown, version)
    if resolution is Resolution.NEWER:
        return newest(candidates) is version
    if resolution is Resolution.MASTER:
        return masters(candidates, record.born) is version
    return True


def _kept_fields(held: Held, version: Version, policy: FieldPolicy | None) -> dict[str, object] | None:
    """Fields that a per-field update policy keeps as shown; None when it keeps all of them (nothing to show)."""
    if policy is None or not policy.fields:
        return {}
    shown = held.shown[0].content or {} if held.shown else {}
    incoming = version.content or {}
    kept: dict[str, object] = {}
    for name in shown.keys() | incoming.keys():
        if shown.get(name) != incoming.get(name) and not _field_wanted(held, version, policy.of(name)):
            kept[name] = shown.get(name)
    changed = {name for name in shown.keys() | incoming.keys() if shown.get(name) != incoming.get(name)}
    return None if changed and changed == kept.keys() else kept


def _field_wanted(held: Held, version: Version, resolution: Resolution) -> bool:
    return _prefers_other(held, Record((version,), version.past), resolution)


def _contested(held: Held, record: Record, policy: Policy) -> Outcome:
    """Concurrent versions: the conflict policy decides what the row shows."""
    projection = project(record, held.shown, policy.conflict)
    fresh = _hashes(record) != _hashes(held.record)
    shown_hashes = {version.hash for version in held.shown}
    if projection.undecided and _shows(held, projection):
        return Outcome(Kind.UNITED, record, projection, conflict=fresh)
    lost = tuple(version for version in record.versions if version not in projection.contributors)
    if {version.hash for version in projection.contributors} == shown_hashes and not projection.copies:
        return Outcome(Kind.UNITED, record, projection, fresh, lost)
    was_shown = any(not version.deleted for version in held.shown)
    method = Method.DELETE if projection.content is None else Method.UPDATE if was_shown else Method.CREATE
    if method not in policy.strategy:
        return Outcome(Kind.DECLINED, record, None, fresh, method=method)
    return Outcome(_kind(method, was_shown), record, projection, fresh, lost, method)


def _shows(held: Held, projection: Projection) -> bool:
    hashes = {version.hash for version in held.shown}
    return {version.hash for version in projection.contributors} <= hashes


def copy_key(key: str, version: Version) -> str:
    """The key of the record that KEEP_BOTH makes of ``version``: it comes from its content, so every site agrees."""
    seed = hashlib.sha256(b"tallystick/copy/1\0" + key.encode("utf-8", "surrogatepass") + b"\0" + version.hash)
    return str(uuid.UUID(bytes=seed.digest()[:16], version=5))


def lost_local_edits(outcomes: Collection[Outcome]) -> int:
    """How many outcomes hide a version that nobody had seen: what the guards count beside deletions (4.8)."""
    return sum(1 for outcome in outcomes if outcome.lost)
