"""What becomes of one incoming record (spec: sections 9 and 10). Pure rules, one per table of the specification.

Everything is seen from where the import runs: THIS keeps the local value, OTHER takes the incoming one. Where Eden's
own outcome is a listed defect, the better one stands here: P08, P21 and X6 leave the record alone, and a time of
change never goes back (section 17).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from tallystick.core.policies import FieldPolicy, Method, Resolution

ABSENT_COPIES = 2
"""The master copy index of a record that came without one: not from its origin (section 2)."""

NEWER = FieldPolicy(Resolution.NEWER)
"""What a task or a push without a policy means."""

SWAPPED = {Resolution.THIS: Resolution.OTHER, Resolution.OTHER: Resolution.THIS}


class Outcome(StrEnum):
    """What happens to the record."""

    CREATED = "created"
    TAKEN = "taken"
    """Updated with the fields that the policy takes."""
    KEPT = "kept"
    """An update of which nothing was taken: unchanged, its time too."""
    REVIVED = "revived"
    """A soft-deleted record that an update brings back."""
    DELETED = "deleted"
    MERGED = "merged"
    """Deleted in favour of a survivor, to which references are moved."""
    SKIPPED = "skipped"
    """Left alone, and not an error."""
    REJECTED = "rejected"
    """Left alone and reported to the sender."""
    HELD = "held"
    """A deletion that a guard holds back."""
    JOINED = "joined"
    """A version of another Tallystick site: the store decides by what it has seen, and says what became of it."""


WRITTEN = frozenset({Outcome.CREATED, Outcome.TAKEN, Outcome.REVIVED, Outcome.DELETED, Outcome.MERGED, Outcome.JOINED})


class Side(NamedTuple):
    """One side of a decision: time of change (None: not known), copies away from the origin, whether deleted."""

    modified_on: datetime | None
    copies: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies effective where the import runs, after any exchange of sides.

    ``conflict`` is None where no task decides: conflicts are then accepted (V2). ``last_sync`` is None where no
    conflict can be detected. ``versions`` decides conflicts of versions where ``conflict`` is None: what a Tallystick
    site that pushes asked for, which has no effect on records without versions.
    """

    strategy: frozenset[Method] = frozenset(Method)
    update: FieldPolicy = NEWER
    conflict: Resolution | None = None
    last_sync: datetime | None = None
    versions: Resolution | None = None


PLAIN_IMPORT = Policies(update=FieldPolicy(Resolution.OTHER))
"""Plain import overwrites, and detects no conflicts (section 9.3)."""


# Which method (9.3) --------------------------------------------------------------------------------------------


def method_of(*, deleted: bool, replaced_by: str | None, known: bool) -> Method:
    """The import method of a record. ``known``: an original exists here, soft-deleted ones included."""
    if deleted:
        return Method.MERGE if replaced_by else Method.DELETE
    return Method.UPDATE if known else Method.CREATE


# Conflicts (9.4, 10.2, 10.3) -------------------------------------------------------------------------------------


def is_conflict(method: Method, last_sync: datetime | None, local: datetime | None, incoming: datetime | None) -> bool:
    """True when both sides changed the record since ``last_sync`` (D1 to D9). A missing time counts as now."""
    if last_sync is None or method is Method.CREATE:
        return False
    return (local is None or local >= last_sync) and (incoming is None or incoming >= last_sync)


def conflict_stands(policy: Resolution | None, local: Side, incoming: Side) -> bool:
    """True when a detected conflict blocks the record (V2 to V10).

    ``policy`` None: no task at this side, the conflict is cleared. Under MASTER the local original stands: Eden clears
    that one (V8), so that a newer copy overwrites the original under the very policy that names it the master.
    """
    if policy is None or policy is Resolution.OTHER:
        return False
    if policy is Resolution.NEWER:
        return not _not_older(local, incoming)
    if policy is Resolution.MASTER:
        return not _from_master(local, incoming)
    return True


# Update policy (10.1) --------------------------------------------------------------------------------------------


def takes(policy: Resolution, local: Side, incoming: Side) -> bool:
    """True when an incoming change of an existing record, or of one of its fields, wins (P02 to P27)."""
    if policy is Resolution.OTHER:
        return True
    if policy is Resolution.NEWER:
        return _not_older(local, incoming)
    if policy is Resolution.MASTER:
        return _from_master(local, incoming)
    return False


def creates(policy: Resolution, incoming: Side) -> bool:
    """True when an unknown record is created: always, but under MASTER only straight from its origin (P20, P21)."""
    return policy is not Resolution.MASTER or incoming.copies == 1


def _not_older(local: Side, incoming: Side) -> bool:
    return local.modified_on is None or incoming.modified_on is None or incoming.modified_on >= local.modified_on


def _from_master(local: Side, incoming: Side) -> bool:
    return local.copies >= 1 and incoming.copies == 1


def taken_fields(
    policy: FieldPolicy, local: Side, incoming: Side, before: Mapping[str, object], carried: Mapping[str, object]
) -> dict[str, object]:
    """The carried fields that differ from ``before`` and that the policy takes, each by its own resolution."""
    if not policy.fields:
        if not takes(policy.default, local, incoming):
            return {}
        return {name: value for name, value in carried.items() if _differs(before, name, value)}
    return {
        name: value
        for name, value in carried.items()
        if _differs(before, name, value) and takes(policy.of(name), local, incoming)
    }


def _differs(before: Mapping[str, object], name: str, value: object) -> bool:
    found = before.get(name)
    return found != value or (type(found) is bool) is not (type(value) is bool)


# The whole decision ----------------------------------------------------------------------------------------------


class Decision(NamedTuple):
    """The outcome; ``conflict`` is True when one was detected, ``stands`` when it blocked the record."""

    outcome: Outcome
    conflict: bool = False
    stands: bool = False


_CREATED = Decision(Outcome.CREATED)
NOT_PERMITTED = "Operation not permitted"


def decide(
    method: Method, local: Side | None, incoming: Side, policies: Policies, *, survivor_known: bool = True
) -> Decision:
    """The outcome for one record, in the order of checks of section 9.3.

    ``local`` is None for a record that is not here. ``survivor_known``: the record named by ``replaced_by`` exists here
    or in the document. For an update the outcome says whether the record as a whole may be written; which fields are
    taken is for ``taken_fields``, and an update that takes none is KEPT.
    """
    if local is None:
        return _decide_unknown(method, incoming, policies)
    if method not in policies.strategy:
        return Decision(Outcome.REJECTED)
    if method in (Method.DELETE, Method.MERGE) and (local.deleted or not (survivor_known or method is Method.DELETE)):
        return Decision(Outcome.SKIPPED)
    if is_conflict(method, policies.last_sync, local.modified_on, incoming.modified_on):
        if conflict_stands(policies.conflict, local, incoming):
            return Decision(_refused(method, local), conflict=True, stands=True)
        return Decision(_by_update_policy(method, local, incoming, policies.update), conflict=True)
    return Decision(_by_update_policy(method, local, incoming, policies.update))


def _decide_unknown(method: Method, incoming: Side, policies: Policies) -> Decision:
    if method is Method.DELETE or method is Method.MERGE:
        return Decision(Outcome.SKIPPED)
    if method not in policies.strategy:
        return Decision(Outcome.REJECTED)
    return _CREATED if creates(policies.update.default, incoming) else Decision(Outcome.SKIPPED)


def _by_update_policy(method: Method, local: Side, incoming: Side, policy: FieldPolicy) -> Outcome:
    if method is Method.UPDATE and not local.deleted:
        resolutions = {policy.default, *policy.fields.values()}
        wanted = any(takes(resolution, local, incoming) for resolution in resolutions)
        return Outcome.TAKEN if wanted else Outcome.KEPT
    if not takes(policy.default, local, incoming):
        return _refused(method, local)
    if method is Method.UPDATE:
        return Outcome.REVIVED
    return Outcome.DELETED if method is Method.DELETE else Outcome.MERGED


def _refused(method: Method, local: Side) -> Outcome:
    return Outcome.KEPT if method is Method.UPDATE and not local.deleted else Outcome.SKIPPED


def written_time(local: datetime | None, incoming: datetime | None, now: datetime) -> datetime:
    """The time of change that a written record gets: the incoming one, which never sets the local one back.

    Eden takes an older time as it is, and the local clock for deletions; both hide changes from peers that ask by time.
    """
    if incoming is None:
        return now
    return incoming if local is None or incoming >= local else local


def swapped(policy: Resolution) -> Resolution:
    """A policy from a URL, turned from the sender's view to the receiver's (section 9.5)."""
    return SWAPPED.get(policy, policy)


def receiver_policies(
    *,
    strategy: frozenset[Method],
    update: Resolution | None,
    last_sync: datetime | None,
    conflict: Resolution | None = None,
) -> Policies:
    """The policies of a push for which no task exists at the receiver (section 9.5, second rule).

    A conflict policy in a URL decides between versions only: of records without, nothing decides conflicts where there
    is no task, and they are accepted (V2).
    """
    versions = None if conflict is None else swapped(conflict)
    return Policies(strategy, FieldPolicy(swapped(update or Resolution.NEWER)), None, last_sync, versions)


def task_policies(
    *,
    strategy: frozenset[Method],
    update: FieldPolicy,
    conflict: Resolution,
    last_pull: datetime | None,
    active: bool,
) -> Policies:
    """The policies of the receiver's own task, as written.

    When a peer pushes to us, THIS and OTHER know no last synchronization (section 9.5); on our own pull it is always
    ``last_pull`` (section 4.1).
    """
    blind = not active and update.default in SWAPPED
    return Policies(strategy, update, conflict, None if blind else last_pull)


def field_policy(given: Mapping[str, str] | str | None) -> FieldPolicy:
    """A policy given as one word or as a map field -> word with ``__default__``; missing and unknown words are THIS."""
    if not isinstance(given, Mapping):
        return FieldPolicy(parse_resolution(given) or Resolution.THIS)
    fields = {name: parse_resolution(word) or Resolution.THIS for name, word in given.items()}
    return FieldPolicy(fields.pop("__default__", Resolution.THIS), fields)


def parse_resolution(text: str | None) -> Resolution | None:
    """One of the four policies of the protocol; None when missing or unknown."""
    return _RESOLUTIONS.get((text or "").strip().upper())


_RESOLUTIONS = {one.name: one for one in (Resolution.THIS, Resolution.OTHER, Resolution.NEWER, Resolution.MASTER)}
