"""What becomes of one incoming record at its receiver (DESIGN.md 4.1, 4.5, 4.6): sites and the simulator share it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from tallystick.core.changes import Verdict, bereft, judge_unknown
from tallystick.core.join import join, joined_pair
from tallystick.core.merge import Projection, changed_fields, project
from tallystick.core.policies import ALL_METHODS, FieldPolicy, Method, Policy, Resolution, masters, newest
from tallystick.core.versions import Content, Origin, Record, Seen, Vector, Version, covered, genesis_record, same


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
    the ones still shown, and ``shown_past`` is what they had seen. ``row`` are the fields of the row where it shows a
    mixture and not just the content of the version shown.
    """

    record: Record
    shown: tuple[Version, ...]
    shown_past: Seen | None = None
    row: Content | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision: the record to keep, what to show (None: leave the row as it is), and what to tell the user.

    ``conflict`` is True when concurrent versions met in this step. ``lost`` are versions that this step hides from
    the row, wholly or some of their fields, although the makers of what is shown had not seen them: they go to the
    conflict log with their content.
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
    if not forgotten and (plain := _plain_conflict(held, incoming, policy)) is not None:
        return plain
    left = bereft(incoming, digest, held.record.versions) if forgotten else incoming
    record = held.record if left is None else join(held.record, left)
    if record == held.record:
        return Outcome(Kind.UNCHANGED, held.record)
    if record.contested:
        return _contested(held, record, policy)
    return _agreed(held, record, policy)


def _unknown(incoming: Record, policy: Policy, digest: Vector, forgotten: Vector) -> Outcome:
    verdict = judge_unknown(incoming, digest, forgotten)
    if verdict is Verdict.DELETED_HERE:
        return Outcome(Kind.UNCHANGED, incoming)
    local: tuple[Version, ...] = ()
    if verdict is Verdict.DELETION_CONFLICT:
        incoming = bereft(incoming, digest) or incoming
        local = tuple(version for version in incoming.versions if version.deleted)
    conflict = incoming.contested or (verdict is Verdict.DELETION_CONFLICT and incoming.live)
    projection = project(incoming, local, policy.conflict)
    if projection.content is None:
        return Outcome(Kind.UNITED, incoming, projection, conflict)
    if Method.CREATE not in policy.strategy:
        return Outcome(Kind.DECLINED, incoming, None, conflict, method=Method.CREATE)
    return Outcome(Kind.CREATED, incoming, projection, conflict, method=Method.CREATE)


def _hashes(versions: Collection[Version]) -> set[bytes]:
    return {version.hash for version in versions}


def _showing(held: Held) -> bool:
    return any(not version.deleted for version in held.shown)


# One content is left: an update -------------------------------------------------------------------------------


def _agreed(held: Held, record: Record, policy: Policy) -> Outcome:
    """There is nothing to choose from; the row may show it already, or something that it supersedes."""
    version = newest(record.versions)
    shows = _showing(held)
    if _hashes(record.versions) == _hashes(held.shown) or (version.deleted and not shows):
        return Outcome(Kind.UNITED, record, Projection(version.content, record.versions))
    if _hashes(record.versions) == _hashes(held.record.versions):
        return Outcome(Kind.UNITED, record)
    method = Method.DELETE if version.deleted else Method.UPDATE if shows else Method.CREATE
    kept = _kept_fields(held, version, record.born, policy.update) if method is Method.UPDATE else {}
    if method not in policy.strategy or kept is None or not _update_wanted(held, record, policy.update, method):
        return Outcome(Kind.DECLINED, record, None, method=method)
    projection = Projection(version.content, record.versions)
    if kept:
        content = {name: value for name, value in {**(version.content or {}), **kept}.items() if value is not None}
        projection = Projection(content, (*held.shown, *record.versions))
    return Outcome(_kind(method, shows), record, projection, method=method)


def _kind(method: Method, shows: bool) -> Kind:
    if method is Method.DELETE:
        return Kind.DELETED if shows else Kind.UNITED
    return Kind.UPDATED if method is Method.UPDATE else Kind.CREATED


def _update_wanted(held: Held, record: Record, policy: FieldPolicy, method: Method) -> bool:
    if method is Method.CREATE or (policy.fields and method is Method.UPDATE):
        return True
    return _prefers_other(held, newest(record.versions), record.born, policy.default)


def _prefers_other(held: Held, version: Version, born: Origin, resolution: Resolution) -> bool:
    """True when a superseding version is taken under an update policy."""
    if resolution is Resolution.THIS:
        return False
    candidates = (*held.shown, version)
    if resolution is Resolution.NEWER:
        return newest(candidates) is version
    if resolution is Resolution.MASTER:
        return masters(candidates, born) is version
    return True


def _kept_fields(held: Held, version: Version, born: Origin, policy: FieldPolicy) -> dict[str, object] | None:
    """Fields that a per-field update policy keeps as shown; None when it keeps all of them (nothing to show)."""
    if not policy.fields:
        return {}
    shown = held.row if held.row is not None else held.shown[0].content or {}
    changed = changed_fields(shown, version.content or {})
    kept = {name: shown.get(name) for name in changed if not _prefers_other(held, version, born, policy.of(name))}
    return None if changed and len(changed) == len(kept) else kept


# Two edits of one record, as most conflicts are ------------------------------------------------------------------

_CHOOSING = frozenset((Resolution.NEWER, Resolution.THIS, Resolution.OTHER, Resolution.MASTER))
"""Resolutions that show one version as a whole and ask nobody."""


def _plain_conflict(held: Held, incoming: Record, policy: Policy) -> Outcome | None:
    """What the general rules say when the row's one version meets one other, in fewer steps; None to ask them."""
    wanted = policy.conflict
    if wanted.fields or wanted.default not in _CHOOSING or policy.strategy != ALL_METHODS or held.row is not None:
        return None
    if len(held.record.versions) != 1 or len(held.shown) != 1 or held.shown[0] is not held.record.versions[0]:
        return None
    found = joined_pair(held.record, incoming)
    if found is None:
        return None
    record, mine, theirs = found
    winner = _chosen(record, mine, theirs, wanted.default)
    if winner.content is None:
        return None
    loser = theirs if winner is mine else mine
    projection = Projection(winner.content, (winner,), overridden=(loser,))
    if winner is mine:
        return Outcome(Kind.UNITED, record, projection, True, (loser,))
    return Outcome(Kind.UPDATED, record, projection, True, (loser,), Method.UPDATE)


def _chosen(record: Record, mine: Version, theirs: Version, resolution: Resolution) -> Version:
    if resolution is Resolution.THIS:
        return mine
    if resolution is Resolution.OTHER:
        return theirs
    return masters(record.versions, record.born) if resolution is Resolution.MASTER else newest(record.versions)


# Several contents: a conflict -----------------------------------------------------------------------------------


def _contested(held: Held, record: Record, policy: Policy) -> Outcome:
    """Concurrent versions: the conflict policy decides what the row shows."""
    fresh = _hashes(record.versions) != _hashes(held.record.versions)
    projection = project(record, _continued(held, record), policy.conflict, _arrived(held, record))
    if projection.undecided and _hashes(projection.contributors) <= _hashes(held.shown):
        return Outcome(Kind.UNITED, record, projection, fresh)
    if not projection.copies and _shows_already(held, projection):
        return Outcome(Kind.UNITED, record, projection, fresh, projection.overridden)
    shows = _showing(held)
    method = Method.DELETE if projection.content is None else Method.UPDATE if shows else Method.CREATE
    if method not in policy.strategy:
        return Outcome(Kind.DECLINED, record, None, fresh, method=method)
    return Outcome(_kind(method, shows), record, projection, fresh, projection.overridden, method)


def _continued(held: Held, record: Record) -> tuple[Version, ...]:
    """The versions that the row shows; where they are superseded, those whose makers had seen them."""
    hashes = _hashes(held.shown)
    still = tuple(version for version in record.versions if version.hash in hashes)
    if still:
        return still
    return tuple(version for version in record.versions if any(covered(shown, version.past) for shown in held.shown))


def _arrived(held: Held, record: Record) -> tuple[Version, ...] | None:
    """The versions that this step brought: what the other end speaks for. None when it only closed some."""
    known = held.record.versions
    return tuple(version for version in record.versions if not any(same(version, one) for one in known)) or None


def _shows_already(held: Held, projection: Projection) -> bool:
    """True when the row needs no writing: it shows just these versions, and they are of one content."""
    hashes = _hashes(projection.contributors)
    if hashes != _hashes(held.shown):
        return False
    return len(hashes) == 1 or (held.row is not None and held.row == projection.content)


# What follows from decisions --------------------------------------------------------------------------------------


def copy_key(key: str, version: Version) -> str:
    """The key of the record that KEEP_BOTH makes of ``version``: it comes from its content, so every site agrees."""
    seed = hashlib.sha256(b"tallystick/copy/1\0" + key.encode("utf-8", "surrogatepass") + b"\0" + version.hash)
    return str(uuid.UUID(bytes=seed.digest()[:16], version=5))


def copy_record(version: Version, digest: bytes, origin: Origin, tick: int) -> Record:
    """The record that KEEP_BOTH makes of ``version`` under its ``copy_key``, where ``digest`` is its content hash.

    It is named by its content, as rows older than tracking are: every site makes the same version, and an edit of
    one site's copy supersedes what another site makes later.
    """
    return genesis_record(origin, tick, digest, 0, version.content)


def lost_local_edits(outcomes: Collection[Outcome]) -> int:
    """How many outcomes hide a version that nobody had seen: what the guards count beside deletions (4.8)."""
    return sum(1 for outcome in outcomes if outcome.lost)
