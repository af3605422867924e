"""What an endpoint knows (digest, spec 5) and what a resource carries (sync state, spec 6).

Ticks of a digest are *first not held*: tick T of endpoint E says that every change of E below T is accounted for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

from tallystick.protocols.sdata.codec.names import MISSING_PRIORITY
from tallystick.protocols.sdata.codec.stamps import NO_STAMP
from tallystick.protocols.sdata.errors import MalformedMessage, MessageTooLarge

LARGEST_TICK = 2**63 - 1
MOST_ENDPOINTS = 10_000
"""Endpoints in one digest. Whatever a digest lists is remembered for ever, so somebody has to stop somewhere."""


@lru_cache(maxsize=4096)
def endpoint_key(endpoint: str) -> str:
    """The form under which endpoints are compared: lower case, no trailing slash (spec 5.1)."""
    return endpoint.strip().rstrip("/").lower()


class SyncState(msgspec.Struct, frozen=True, gc=False):
    """The last modification of one resource: which endpoint made it, at which tick and when (spec 6)."""

    endpoint: str
    tick: int
    stamp: str = NO_STAMP
    user: str = ""

    @property
    def key(self) -> str:
        """The endpoint as it is compared."""
        return endpoint_key(self.endpoint)


class DigestEntry(NamedTuple):
    """One known endpoint: the first of its ticks not accounted for, when that changed, its wish to win (1 to 9)."""

    endpoint: str
    tick: int
    stamp: str = NO_STAMP
    priority: int = MISSING_PRIORITY


class Digest(NamedTuple):
    """What one endpoint (``origin``, "" when it was not sent) knows of all; ``entries`` by `endpoint_key`.

    ``names`` is what Tallystick sites tell each other beside it: which origin of their ledgers an endpoint is, and by
    how much its ticks are higher here than there.
    """

    origin: str
    entries: Mapping[str, DigestEntry]
    names: Mapping[str, tuple[str, int]] = {}

    def tick(self, endpoint: str) -> int:
        """The first tick of ``endpoint`` not accounted for; 0 for an unknown one."""
        entry = self.entries.get(endpoint_key(endpoint))
        return 0 if entry is None else entry.tick

    def priority(self, endpoint: str) -> int:
        """The conflict priority of ``endpoint``: 1 wins over 9; an unknown one is weaker than all."""
        entry = self.entries.get(endpoint_key(endpoint))
        return MISSING_PRIORITY if entry is None else entry.priority


def digest_of(origin: str, entries: Iterable[DigestEntry]) -> Digest:
    """The digest of ``entries``.

    Raises MalformedMessage for an endpoint listed twice with different ticks: which one holds is not ours to guess;
    MessageTooLarge for more than `MOST_ENDPOINTS`.
    """
    found: dict[str, DigestEntry] = {}
    for entry in entries:
        if len(found) > MOST_ENDPOINTS:
            raise MessageTooLarge(f"the digest lists more than {MOST_ENDPOINTS} endpoints")
        key = endpoint_key(entry.endpoint)
        if key in found and found[key].tick != entry.tick:
            raise MalformedMessage(
                f"the digest lists {entry.endpoint} twice, with ticks {found[key].tick} and {entry.tick}"
            )
        found.setdefault(key, entry)
    return Digest(origin, found)


def with_entry(digest: Digest, entry: DigestEntry) -> Digest:
    """``digest`` with ``entry`` in place of what it had for that endpoint."""
    return Digest(digest.origin, {**digest.entries, endpoint_key(entry.endpoint): entry})


def check_state(state: SyncState, digest: Digest) -> None:
    """Refuse a sync state that lies beyond the digest sent with it (spec 6; equality is tolerated, C17).

    An endpoint that the digest does not list is tolerated too. Raises MalformedMessage: believing such a tick
    would claim changes that nobody sent.
    """
    entry = digest.entries.get(endpoint_key(state.endpoint))
    if entry is not None and state.tick > entry.tick:
        raise MalformedMessage(
            f"a sync state of {state.endpoint} has tick {state.tick}, beyond tick {entry.tick} of the digest beside it"
        )
