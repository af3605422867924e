"""Linking two providers that already hold the same things (spec 11): read both, propose, write."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.errors import ConfigurationError
from tallystick.jobs.sdata import Wish, address, remote
from tallystick.protocols.sdata.engine import of_kind
from tallystick.protocols.sdata.linking import Certainty, Match, Proposal, candidates, link, propose
from tallystick.protocols.sdata.remote_jobs import Remote


class Linking:
    """Two kinds of two providers, read, with what matching proposes. Use it in a ``with`` statement.

    ``on`` are the properties that equal records have in common. Raises ConfigurationError for addresses that name no
    kind, and what reading the providers raises.
    """

    def __init__(self, first: str, second: str, on: Sequence[str], password: str | None = None) -> None:
        wish = Wish(password=password)
        self._ends = [_kind(url, wish) for url in (first, second)]
        try:
            self.proposal: Proposal = propose(*(list(candidates(end, on)) for end in self._ends))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Linking:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        for end in self._ends:
            end.transport.close()

    @property
    def contradicted(self) -> list[Match]:
        """Pairs that are linked to different things already."""
        return [match for match in self.proposal.matches if match.contradicted]

    def open(self, winner: str = "") -> list[Match]:
        """Pairs that wait to be linked; contradicted ones only where somebody wins."""
        return [
            match
            for match in self.proposal.matches
            if match.certainty is not Certainty.LINKED and (winner or not match.contradicted)
        ]

    def link(self, match: Match, winner: str = "") -> str:
        """Link a pair at both ends; the uuid it shares from now on. ``winner`` is "a" or "b"."""
        first, second = self._ends
        return link(first, second, match, winner={"a": "first", "b": "second"}.get(winner, ""))


def _kind(url: str, wish: Wish) -> Remote:
    place = address(url)
    if not place.kind:
        raise ConfigurationError(f"{place.dataset} names no kind", hint="add the kind: .../accounts")
    return of_kind(remote(place, wish), place.kind)
