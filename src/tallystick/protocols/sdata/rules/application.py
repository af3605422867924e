"""A page applied at a target, entry by entry (spec 9.5, 9.6). Pure: reading and writing resources is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tallystick.protocols.sdata.codec.digests import SyncState
from tallystick.protocols.sdata.rules.conflicts import Verdict, judge
from tallystick.protocols.sdata.rules.progress import Progress
from tallystick.protocols.sdata.rules.standing import Page, Standing, check_contiguous


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
    progress = Progress(standing, stamp)
    if not immediate:
        progress.page_begun(page)
    decided = []
    for index, (uuid, state) in enumerate(incoming):
        verdict = judge(state, current(uuid), page.digest, progress.digest)
        success = attempt(index, verdict) if verdict.applies else True
        move = progress.handled if success else progress.failed
        move(state, page.digest, uuid)
        decided.append(Decided(verdict, not success))
    if not immediate and page.last:
        progress.pass_ended(page)
    return progress.standing(), decided
