"""A page applied at a target, entry by entry (spec 9.5, 9.6). Pure: reading and writing resources is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tallystick.protocols.sdata.codec.digests import SyncState
from tallystick.protocols.sdata.rules.conflicts import Verdict, judge
from tallystick.protocols.sdata.rules.standing import (
    Page,
    Standing,
    check_contiguous,
    failed,
    handled,
    page_begun,
    pass_ended,
)


class Incoming(NamedTuple):
    """One entry as the rules see it."""

    uuid: str
    state: SyncState


class Decided(NamedTuple):
    """What became of one entry: the verdict, and whether applying it failed."""

    verdict: Verdict
    failed: bool


def apply_page(
    standing: Standing,
    page: Page,
    incoming: Sequence[Incoming],
    current: Callable[[str], SyncState | None],
    attempt: Callable[[int, Verdict], bool],
    stamp: str,
    *,
    immediate: bool = False,
) -> tuple[Standing, list[Decided]]:
    """The standing after a page, and what became of each entry.

    ``current`` gives this end's state of a resource at the moment it is asked; ``attempt`` applies the entry at an
    index, with the state it came with, and says whether that worked. A failed entry delays no other. Raises TickGap
    before anything was attempted when an immediate page skips ticks.
    """
    if immediate:
        check_contiguous(standing.digest, (entry.state for entry in incoming))
    else:
        standing = page_begun(standing, page)
    decided = []
    for index, (uuid, state) in enumerate(incoming):
        verdict = judge(state, current(uuid), page.digest, standing.digest)
        success = attempt(index, verdict) if verdict.applies else True
        move = handled if success else failed
        standing = move(standing, state, page.digest, stamp, uuid)
        decided.append(Decided(verdict, not success))
    if not immediate and page.last:
        standing = pass_ended(standing, page, stamp)
    return standing, decided
