"""Linking two systems that already hold the same things: find the pairs, then write ``$linked`` at both (spec 11)."""

from __future__ import annotations

import re
import unicodedata
import uuid as uuids
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from tallystick.protocols.sdata.codec.entries import Entry, write_entry_message
from tallystick.protocols.sdata.codec.feeds import Feed, read_feed
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE, LINKED
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.urls import segment_url, with_arguments
from tallystick.protocols.sdata.errors import PassStopped
from tallystick.protocols.sdata.remote_jobs import Remote

PAGE: Final = 500
MOST_RESOURCES: Final = 5_000_000
_SPACE = re.compile(r"\s+")


class Candidate(NamedTuple):
    """A resource that may be linked: who it is at its end, and the values it is matched on."""

    key: str
    url: str
    uuid: str
    title: str
    values: tuple[str, ...]
    element: str = ""
    namespace: str = ""


class Certainty(StrEnum):
    """How two resources were found to be one."""

    LINKED = "linked"
    """They share a uuid already."""
    EXACT = "exact"
    NORMALIZED = "normalized"
    """Equal once case, accents and spacing are left aside."""


class Match(NamedTuple):
    """Two resources that are one, as far as can be told."""

    certainty: Certainty
    first: Candidate
    second: Candidate

    @property
    def contradicted(self) -> bool:
        """True when both are linked already, each to something else: one of the uuids would have to go."""
        return bool(self.first.uuid and self.second.uuid and self.first.uuid != self.second.uuid)


class Proposal(NamedTuple):
    """What matching found: pairs, and values that several resources of one end share, so that nothing can be told."""

    matches: tuple[Match, ...]
    ambiguous: tuple[tuple[str, ...], ...]


# Matching, pure -------------------------------------------------------------------------------------------------


def normalized(text: str) -> str:
    """The text under which the same thing written twice meets: no case, no accents, single spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _SPACE.sub(" ", plain).strip()


def propose(first: Iterable[Candidate], second: Iterable[Candidate]) -> Proposal:
    """The pairs between two ends: those that share a uuid, then equal values, then values equal once normalized.

    A resource is in one pair at most. Empty values match nothing. Values that several unmatched resources of one end
    share are ambiguous and left to people.
    """
    ones, others = list(first), list(second)
    matches: list[Match] = []
    ambiguous: dict[tuple[str, ...], None] = {}
    rounds: list[tuple[Certainty, Callable[[Candidate], tuple[str, ...]]]] = [
        (Certainty.LINKED, lambda candidate: (candidate.uuid,)),
        (Certainty.EXACT, lambda candidate: candidate.values),
        (Certainty.NORMALIZED, lambda candidate: tuple(map(normalized, candidate.values))),
    ]
    for certainty, named in rounds:
        found, unclear = _paired(certainty, ones, others, named)
        matches += found
        taken = {(match.first.key, match.second.key) for match in found}
        ones = [one for one in ones if one.key not in {pair[0] for pair in taken}]
        others = [other for other in others if other.key not in {pair[1] for pair in taken}]
        ambiguous.update(dict.fromkeys(unclear))
    return Proposal(tuple(matches), tuple(ambiguous))


def _paired(
    certainty: Certainty,
    ones: Sequence[Candidate],
    others: Sequence[Candidate],
    named: Callable[[Candidate], tuple[str, ...]],
) -> tuple[list[Match], list[tuple[str, ...]]]:
    theirs = _by_name(others, named)
    found, unclear = [], []
    for name, mine in _by_name(ones, named).items():
        their = theirs.get(name)
        if their is None:
            continue
        if len(mine) == len(their) == 1:
            found.append(Match(certainty, mine[0], their[0]))
        else:
            unclear.append(name)
    return found, unclear


def _by_name(
    candidates: Iterable[Candidate], named: Callable[[Candidate], tuple[str, ...]]
) -> dict[tuple[str, ...], list[Candidate]]:
    groups: dict[tuple[str, ...], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        name = named(candidate)
        if all(name):
            groups[name].append(candidate)
    return groups


# Reading and writing at the ends -----------------------------------------------------------------------------------


def candidates(end: Remote, on: Sequence[str]) -> Iterator[Candidate]:
    """The resources of a kind with the values of the properties ``on``, page by page.

    Raises PassStopped when the provider refuses, or its pages never end; OriginRefused for links that lead elsewhere.
    """
    url: str | None = with_arguments(end.endpoint, select=",".join(on), count=PAGE)
    known: set[str] = set()
    while url is not None:
        if url in known or len(known) * PAGE > MOST_RESOURCES:
            raise PassStopped(f"the pages of {end.endpoint} never end")
        known.add(url)
        feed = _feed(end, url)
        for entry in feed.entries:
            if entry.payload is not None:
                yield _candidate(entry, entry.payload, on)
        following = feed.head.link("next")
        url = end.resolved(url, following) if following is not None else None


def _feed(end: Remote, url: str) -> Feed:
    return read_feed(end.expected(end.send("GET", url), url, 200).body)


def _candidate(entry: Entry, payload: Payload, on: Sequence[str]) -> Candidate:
    values = (payload.fields.get(name) for name in on)
    return Candidate(
        key=payload.key or payload.url or entry.id,
        url=payload.url or entry.id,
        uuid=payload.uuid,
        title=entry.title,
        values=tuple(value.strip() if isinstance(value, str) else "" for value in values),
        element=payload.name,
        namespace=payload.namespace,
    )


def link(first: Remote, second: Remote, match: Match, *, winner: str = "") -> str:
    """Link a pair at both ends; the uuid they share from now on.

    None set: a new one; one set: that one. Where both are set and differ, ``winner`` ("first" or "second") says whose
    uuid replaces the other's. Raises PassStopped where an end refuses, or where they differ and nobody has won.
    """
    one, other = match.first, match.second
    if match.contradicted:
        if winner not in ("first", "second"):
            raise PassStopped(
                f"{one.title!r} is linked to {one.uuid} there and to {other.uuid} here",
                hint="say whose uuid is kept",
            )
        loser, lost = (second, other) if winner == "first" else (first, one)
        _unlink(loser, lost.uuid)
        one, other = (one, other._replace(uuid="")) if winner == "first" else (one._replace(uuid=""), other)
    uuid = one.uuid or other.uuid or str(uuids.uuid4())
    for end, candidate in ((first, one), (second, other)):
        if candidate.uuid != uuid:
            _link(end, candidate, uuid)
    return uuid


def _link(end: Remote, candidate: Candidate, uuid: str) -> None:
    payload = Payload(candidate.element, candidate.namespace, uuid=uuid, url=candidate.url)
    body = write_entry_message(Entry(title=candidate.title, payload=payload))
    url = segment_url(end.endpoint, LINKED)
    end.expected(end.send("POST", url, body, ENTRY_TYPE), url, 200, 201)


def _unlink(end: Remote, uuid: str) -> None:
    url = segment_url(end.endpoint, LINKED, uuid)
    end.expected(end.send("DELETE", url), url, 200, 204, 404, 410)
