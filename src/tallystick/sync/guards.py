"""Guards: a run that would delete most of a resource stops there and says so (DESIGN.md 4.8). Pure."""

from __future__ import annotations

from dataclasses import dataclass

DELETIONS = 20
SHARE = 0.30
WHOLE_FROM = 2
DOUBTS_ALLOWED = 20
DOUBTS_SHARE = 0.05
"""How many rows older than tracking may be one record or two before a first contact stops."""


@dataclass(frozen=True, slots=True)
class Guard:
    """How many deletions of one resource a pass may apply: more than ``deletions`` and over ``share`` of it are held.

    ``allowed`` is what the user lets through: a number, or -1 for all.
    """

    deletions: int = DELETIONS
    share: float = SHARE
    allowed: int = 0

    def holds(self, deletions: int, records: int, recent: int = 0) -> bool:
        """True when ``deletions`` out of ``records`` live ones must not be applied.

        ``recent`` are deletions of the last day, so that many small passes are not let through one by one.
        """
        deletions, records = deletions + (recent if deletions else 0), records + recent
        if self.allowed < 0 or deletions <= self.allowed or not deletions:
            return False
        if records >= WHOLE_FROM and deletions >= records:
            return True
        return deletions > self.deletions and deletions > self.share * records


DEFAULT_GUARD = Guard()


def parse_allowance(text: str) -> int:
    """The value of ``--allow-deletes``: a number of deletions, or ``all``. Raises ValueError."""
    if text == "all":
        return -1
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number
