"""One history: what happens when a site was copied or restored (DESIGN.md 4.4 *One history*, law 11).

A copy or a restored backup goes on counting where it stood, and so gives names to changes that name other changes
elsewhere. To notice it, every origin keeps a list of its **contacts**: a random nonce for each time that it handed
out changes it had not handed out before, with its ticks of that moment. Everybody who holds changes of an origin holds
that list too. Two lists of one origin must be the beginning of one another. Where they are not, the origin has
forked after their last common contact, and everybody renames the changes made after it to a **branch**, the
incarnation named by the first nonce behind the fork. The rule needs nothing but the two lists, so sites that never
speak to each other choose the same names.

What a site does, in this order:

1. *On opening, before stamping*: when the file identity differs from the one noted, ``begin_elsewhere``, and do with
   its result as with that of a meeting. What was handed out before is common history and keeps its names; what was
   stamped since may have been handed out by the original under the same names, and gets others.
2. *On contact, before handing anything out or taking anything in*: stamp, ``speak`` with a fresh nonce, commit; send
   ``Histories`` and read the peer's; ``meet``; apply the returned forks to the ledger (``renamed`` for every record
   it changes, which then takes a new seq; ``renamed_vector`` for digest and forgotten), store the returned histories,
   and commit all of it in one transaction. Only then do pages follow. Both ends do so; neither waits for the other.
3. A site that began anew refuses the states it has handed out (they name its former incarnation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from msgspec import structs

from tallystick.core.versions import Dot, Origin, Record, Seen, Vector, Version

Ticks = Mapping[str, int]
"""Own tick counter per resource (wire name), and the site's seq under ""; what is absent stands at 0."""

NONCE_BITS = 53
"""Nonces are random integers from 1 below 2**NONCE_BITS: they also number incarnations, and fit every JSON reader."""

RECENT = 32
"""The newest contacts are all kept: copies that part and meet again within so many are told apart for certain."""

KEPT_PER_LEVEL = 6
"""Of older ones, so many of every level are kept; each level is half as frequent as the one below it."""


class Contact(NamedTuple):
    """The ``number``-th time that an origin handed out something new: a random nonce, and its ticks of that moment."""

    number: int
    nonce: int
    ticks: Ticks


History = tuple[Contact, ...]
"""Contacts of one origin, oldest first, thinned with age: the first, the recent ones, and the newest of every level."""


@dataclass(frozen=True, slots=True)
class Histories:
    """What a site knows and states about histories.

    ``origin`` is the one it makes changes under. ``contacts`` are the histories of all origins it holds changes of,
    its own included. ``forks`` are the origins known to have forked, each with the ticks up to which it is one.
    """

    origin: Origin
    contacts: Mapping[Origin, History] = field(default_factory=dict)
    forks: Mapping[Origin, Ticks] = field(default_factory=dict)


class Fork(NamedTuple):
    """An order to rename: changes of ``origin`` beyond ``after`` (ticks per resource) belong to ``branch``."""

    origin: Origin
    after: Ticks
    branch: Origin


class Meeting(NamedTuple):
    """What a contact means for one end: the histories to store, the forks to apply in order.

    ``began`` is True when the site's own origin is a new one from now on.
    """

    histories: Histories
    forks: tuple[Fork, ...]
    began: bool


class Relation(StrEnum):
    """How two histories of one origin stand to each other, seen from the first."""

    SAME = "same"
    AHEAD = "ahead"
    BEHIND = "behind"
    FORKED = "forked"


# Before and at a contact ---------------------------------------------------------------------------------------


def origin_of(site: str, incarnation: int) -> Origin:
    """The origin of a site's incarnation. ``incarnation`` is a nonce: two copies may begin one at the same time."""
    return f"{site}.{incarnation}"


def site_of(origin: Origin) -> str:
    """The site of an origin, without its incarnation."""
    return origin.partition(".")[0]


def speak(histories: Histories, nonce: int, ticks: Ticks, seq: int = 0) -> Histories:
    """The histories once the site hands out its changes up to ``ticks`` and ``seq``: unchanged when nothing is new.

    ``seq`` counts as well as ticks do: the states that readers hold number a history, too, and a copy that only passes
    on what others made must not be taken for its original. Commit the result before anything is handed out.
    ``nonce`` is fresh and random.
    """
    ticks = {"": seq, **ticks}
    own = histories.contacts.get(histories.origin, ())
    if not _advanced(own[-1].ticks if own else {}, ticks):
        return histories
    number = own[-1].number + 1 if own else 1
    history = thinned((*own, Contact(number, nonce, dict(ticks))))
    return replace(histories, contacts={**histories.contacts, histories.origin: history})


def begin_anew(histories: Histories, nonce: int) -> Histories:
    """The histories of a site that goes on under a new incarnation, numbered by a fresh random ``nonce``."""
    return replace(histories, origin=origin_of(site_of(histories.origin), nonce))


def begin_elsewhere(histories: Histories, nonce: int) -> Meeting:
    """What it means for a site that its file was copied or moved: a new incarnation, numbered by a fresh ``nonce``.

    Changes that this file has never handed out are issued anew in it.
    """
    own = histories.contacts.get(histories.origin, ())
    renewed = begin_anew(histories, nonce)
    return Meeting(renewed, (Fork(histories.origin, own[-1].ticks if own else {}, renewed.origin),), True)


def meet(mine: Histories, theirs: Histories, nonce: int) -> Meeting:
    """What a contact with a peer that states ``theirs`` means for a site that states ``mine``.

    ``nonce`` is fresh and random; it numbers the new incarnation where one is needed and no contact names it. A new
    one begins when the peer knows more of us than we do, when our origin has forked, and when both ends make
    changes under one origin.
    """
    first, renew = mine.origin, _must_renew(mine, theirs)
    forks = _merged_forks(mine.forks, theirs.forks)
    orders: list[Fork] = []
    while True:
        found = _new_forks(mine, theirs)
        forks = _merged_forks(forks, found)
        mine, split = _split(mine, forks)
        theirs, _ = _split(theirs, forks)
        orders.extend(split)
        if not split and not found:
            break
    if mine.origin in forks or (renew and mine.origin == first):
        mine = begin_anew(mine, nonce)
    contacts = dict(mine.contacts)
    for origin, history in theirs.contacts.items():
        contacts[origin] = _longer(contacts.get(origin, ()), history)
    return Meeting(Histories(mine.origin, contacts, forks), tuple(orders), mine.origin != first)


def _must_renew(mine: Histories, theirs: Histories) -> bool:
    """True when the peer knows more of us than we do, or is us."""
    relation = compare(mine.contacts.get(mine.origin, ()), theirs.contacts.get(mine.origin, ()))
    return relation is Relation.BEHIND or (relation is Relation.SAME and mine.origin == theirs.origin)


def _new_forks(mine: Histories, theirs: Histories) -> dict[Origin, Ticks]:
    found: dict[Origin, Ticks] = {}
    for origin, history in mine.contacts.items():
        other = theirs.contacts.get(origin, ())
        forked = compare(history, other) is Relation.FORKED
        if forked or (origin == mine.origin and _parted(history, other)):
            found[origin] = common_ticks(history, other)
        elif origin == theirs.origin and _parted(other, history):
            found[origin] = common_ticks(other, history)
    return found


def _parted(own: History, known: History) -> bool:
    """True when somebody knows more of an origin than its owner, and not the owner's last contact.

    For an owner this is proof enough: he went back, and has handed out since what others do not know.
    """
    if not own or not known or known[-1].number <= own[-1].number:
        return False
    return own[-1].nonce not in {contact.nonce for contact in known}


def _split(histories: Histories, forks: Mapping[Origin, Ticks]) -> tuple[Histories, list[Fork]]:
    """The histories with every forked origin cut after its fork, the rest of it as a branch."""
    contacts, origin = dict(histories.contacts), histories.origin
    orders: list[Fork] = []
    for forked, after in forks.items():
        history = contacts.get(forked, ())
        beyond = tuple(contact for contact in history if _advanced(after, contact.ticks))
        if not beyond:
            continue
        branch = origin_of(site_of(forked), beyond[0].nonce)
        contacts[forked] = history[: len(history) - len(beyond)]
        contacts[branch] = _longer(contacts.get(branch, ()), beyond)
        orders.append(Fork(forked, after, branch))
        if origin == forked:
            origin = branch
    return Histories(origin, contacts, forks), orders


def _merged_forks(one: Mapping[Origin, Ticks], other: Mapping[Origin, Ticks]) -> dict[Origin, Ticks]:
    merged = dict(one)
    for origin, ticks in other.items():
        mine = merged.get(origin)
        if mine is None:
            merged[origin] = ticks
        else:
            merged[origin] = {name: min(mine[name], ticks[name]) for name in sorted(mine.keys() & ticks.keys())}
    return merged


def _longer(one: History, other: History) -> History:
    return one if one and (not other or one[-1].number >= other[-1].number) else other


def _advanced(before: Ticks, after: Ticks) -> bool:
    return any(tick > before.get(resource, 0) for resource, tick in after.items())


# Comparing two histories of one origin -------------------------------------------------------------------------


def compare(mine: History, theirs: History) -> Relation:
    """How ``mine`` stands to ``theirs``. FORKED is said only on evidence; thinning alone never causes it."""
    if not mine or not theirs:
        return Relation.AHEAD if mine else Relation.BEHIND if theirs else Relation.SAME
    if mine[-1].nonce == theirs[-1].nonce:
        return Relation.SAME
    if mine[-1].number >= theirs[-1].number:
        return Relation.AHEAD if _begins(theirs, mine) else Relation.FORKED
    return Relation.BEHIND if _begins(mine, theirs) else Relation.FORKED


def common_ticks(mine: History, theirs: History) -> Ticks:
    """The ticks of the last contact that both histories hold; empty when they share none."""
    known = {contact.nonce for contact in theirs}
    return next((contact.ticks for contact in reversed(mine) if contact.nonce in known), {})


def _begins(shorter: History, longer: History) -> bool:
    """True unless something shows that ``shorter`` is not the beginning of ``longer``."""
    held, known = {contact.nonce for contact in longer}, {contact.nonce for contact in shorter}
    last = shorter[-1].number
    if any(contact.nonce not in known for contact in longer if contact.number <= last):
        return False
    return all(contact.nonce in held or _outgrown(contact, longer) for contact in shorter)


def thinned(history: History) -> History:
    """The history without the contacts that enough newer ones outgrow."""
    if len(history) <= RECENT:
        return history
    kept: list[Contact] = []
    above = [0] * (NONCE_BITS + 1)
    for contact in reversed(history):
        level = _level(contact.nonce)
        if len(kept) < RECENT or above[level] < KEPT_PER_LEVEL or contact is history[0]:
            kept.append(contact)
            for lower in range(level + 1):
                above[lower] += 1
    return tuple(reversed(kept))


def _outgrown(contact: Contact, history: History) -> bool:
    """True when ``history`` has so many newer contacts that thinning would have dropped this one."""
    if len(history) <= RECENT:
        return False
    level = _level(contact.nonce)
    newer = [other for other in history if other.number > contact.number]
    return len(newer) >= RECENT and sum(1 for other in newer if _level(other.nonce) >= level) >= KEPT_PER_LEVEL


def _level(nonce: int) -> int:
    """How many times a nonce can be halved, at most: half of all nonces have level 0, a quarter level 1, and so on."""
    return min(NONCE_BITS, (nonce & -nonce).bit_length() - 1)


# Renaming ------------------------------------------------------------------------------------------------------


def renamed(record: Record, resource: str, fork: Fork) -> Record:
    """The record with every name beyond the fork given to its branch; the same object when it holds none.

    Stamps, contents and hashes stay. A renamed record takes a new seq, so that it travels under its new names.
    """
    after = fork.after.get(resource, 0)
    if record.seen.vector.get(fork.origin, 0) <= after:
        return record
    versions = tuple(_renamed_version(version, after, fork) for version in record.versions)
    return structs.replace(record, versions=versions, seen=_renamed_seen(record.seen, after, fork))


def renamed_vector(vector: Vector, resource: str, fork: Fork) -> Vector:
    """A digest or forgotten vector of ``resource`` after the fork; the same object when it does not reach beyond."""
    return _renamed_vector(vector, fork.after.get(resource, 0), fork)


def _renamed_vector(vector: Vector, after: int, fork: Fork) -> Vector:
    tick = vector.get(fork.origin, 0)
    if tick <= after:
        return vector
    changed = {**vector, fork.origin: after, fork.branch: max(tick, vector.get(fork.branch, 0))}
    if not after:
        del changed[fork.origin]
    return changed


def _renamed_seen(seen: Seen, after: int, fork: Fork) -> Seen:
    vector = _renamed_vector(seen.vector, after, fork)
    return seen if vector is seen.vector else Seen(vector, seen.genesis)


def renamed_version(version: Version, resource: str, fork: Fork) -> Version:
    """A version of a record of ``resource`` with every name beyond the fork given to its branch."""
    return _renamed_version(version, fork.after.get(resource, 0), fork)


def _renamed_version(version: Version, after: int, fork: Fork) -> Version:
    def name(dot: Dot) -> Dot:
        return (fork.branch, dot[1]) if dot[0] == fork.origin and dot[1] > after else dot

    return structs.replace(
        version,
        origin=name(version.dot)[0],
        dots=frozenset(map(name, version.dots)),
        past=_renamed_seen(version.past, after, fork),
        fields=_renamed_fields(version, name),
        rest=None if version.rest is None else name(version.rest),
    )


def _renamed_fields(version: Version, name: Callable[[Dot], Dot]) -> Mapping[str, Dot]:
    return {field_name: name(dot) for field_name, dot in version.fields.items()} if version.fields else version.fields
