"""Bugs to plant into the simulation: each breaks one rule, and the laws must notice within 1,000 seeds.

A planted bug replaces functions of the real rules, or of the simulated site and pass, which stand for the real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from msgspec import structs

from tallystick.core import changes, decide, history, join
from tallystick.core.decide import Kind
from tallystick.core.policies import Policy, newest
from tallystick.core.versions import Record, Seen, Version, merge_vectors
from tallystick.testing.simulated_pass import SimulatedPass
from tallystick.testing.simulated_site import SimulatedSite

Patch = tuple[Any, str, Any]


class PlantedBug(NamedTuple):
    """A bug: what is wrong, and the attributes to replace: (module or class, name, value)."""

    what: str
    patches: tuple[Patch, ...]


BUGS: dict[str, PlantedBug] = {}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Inside, the bug of that name is there. Raises KeyError for a name that is not in BUGS."""
    patches = BUGS[name].patches
    before = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    try:
        for owner, attribute, value in patches:
            setattr(owner, attribute, value)
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)


def _plant(name: str, what: str, *patches: Patch) -> None:
    BUGS[name] = PlantedBug(what, patches)


# The join ------------------------------------------------------------------------------------------------------


def _any_name_covers(version: Version, seen: Seen) -> bool:
    return any(seen.vector.get(origin, 0) > 0 for origin, _ in version.dots) or bool(version.genesis & seen.genesis)


_plant(
    "covered-by-any",
    "a version counts as seen when any change of its origin was seen",
    (join, "covered", _any_name_covers),
)


_join = join.join


def _forgetting(one: Record, other: Record) -> Record:
    record = _join(one, other)
    return structs.replace(record, versions=(newest(record.versions),)) if record.contested else record


_plant("losers-forgotten", "the join keeps only the newest of several siblings", (decide, "join", _forgetting))


def _same_content(one: Version, other: Version) -> bool:
    return one.hash == other.hash or not one.dots.isdisjoint(other.dots)


_plant(
    "twins-united",
    "versions of equal content are made one, so that the outcome depends on the order of joins",
    (join, "same", _same_content),
    (join, "akin", _same_content),
)


_edit = join.edit


def _edit_without_genesis(*given: Any, **options: Any) -> Record:
    record = _edit(*given, **options)
    return structs.replace(record, seen=Seen(record.seen.vector))


_plant("genesis-unseen", "an edit drops the genesis names it replaces", (join, "edit", _edit_without_genesis))


# Digests, states and purge ---------------------------------------------------------------------------------------


_complete = SimulatedPass._complete


def _complete_although_filtered(self: SimulatedPass) -> bool:
    self.scope = self.scope._replace(matches=None)
    return _complete(self)


_plant(
    "digest-after-filter",
    "the digest advances by filtered passes",
    (SimulatedPass, "_complete", _complete_although_filtered),
)

_begin = SimulatedPass.begin


def _begin_and_learn(self: SimulatedPass, *fate: Any) -> bool:
    more = _begin(self, *fate)
    if more and self.scope.matches is None:
        self.target.learn(*self.closing)
    return more


_plant(
    "digest-before-pages",
    "the digest advances when a pass begins, before its pages are committed",
    (SimulatedPass, "begin", _begin_and_learn),
)

_plant(
    "digest-while-moving",
    "the digest advances although records moved on while the pass went by",
    (SimulatedPass, "_complete", lambda self: self.scope.matches is None),
)

_deliver = SimulatedPass._deliver


def _note_and_deliver(self: SimulatedPass, page: Any, state: Any, fate: Any) -> None:
    self._note(state)
    _deliver(self, page, state, fate)


_plant(
    "state-ahead",
    "the state is noted before the page it stands for is committed",
    (SimulatedPass, "_deliver", _note_and_deliver),
)

_plant(
    "purge-too-early",
    "tombstones of rows older than tracking are purged, too",
    (changes, "purgeable", lambda record, digest: not record.live),
)

_plant(
    "purge-untold",
    "what was purged is not handed on, and nobody reconciles",
    (SimulatedSite, "learn", lambda self, digest, forgotten: _learn_digest(self, digest)),
    (SimulatedPass, "_reconcile", lambda self: None),
)


def _learn_digest(site: SimulatedSite, digest: Any) -> None:
    site.digest = merge_vectors(site.digest, digest)


# One history -------------------------------------------------------------------------------------------------------


_plant(
    "clone-unnoticed",
    "copies and restores are never noticed",
    (history, "compare", lambda mine, theirs: history.Relation.SAME),
)

_plant(
    "copy-keeps-names",
    "a copied file goes on under its former incarnation",
    (history, "begin_elsewhere", lambda histories, nonce: history.Meeting(histories, (), False)),
    (history, "speak", lambda histories, nonce, ticks, seq=0: histories),
)


# Applying ----------------------------------------------------------------------------------------------------------

_keep = SimulatedSite._keep


def _keep_restamped(self: SimulatedSite, key: str, outcome: decide.Outcome) -> None:
    now = self.stamp + 1
    versions = tuple(structs.replace(version, stamp=now) for version in outcome.record.versions)
    _keep(self, key, replace(outcome, record=structs.replace(outcome.record, versions=versions)))


_plant("stamp-altered", "applying a version gives it a new stamp", (SimulatedSite, "_keep", _keep_restamped))

_decided = SimulatedSite.decided


def _everything_decided(self: SimulatedSite, page: Iterable[Any], policy: Policy) -> list[tuple[str, decide.Outcome]]:
    page = list(page)
    found = _decided(self, page, policy)
    known = {key for key, _ in found}
    again = [
        (key, decide.Outcome(Kind.UNITED, self.holdings[key].record))
        for key, _ in page
        if key not in known and key in self.holdings
    ]
    return [*found, *again]


_plant(
    "echo",
    "known versions are written again, get a new seq and go back to where they came from, for ever",
    (SimulatedSite, "decided", _everything_decided),
    (changes, "is_news", lambda record, digest: True),
)

_edit_site = SimulatedSite._edit


def _edit_alone(self: SimulatedSite, key: str, *given: Any) -> None:
    _edit_site(self, key, *given)
    held = self.holdings[key]
    self.holdings[key] = held._replace(record=structs.replace(held.record, versions=held.shown), undecided=False)


_plant(
    "unseen-superseded",
    "an edit supersedes siblings that its author was not shown, and nobody logs them",
    (SimulatedSite, "_edit", _edit_alone),
)
