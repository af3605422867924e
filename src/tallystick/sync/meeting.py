"""Two ends meet before they exchange anything, and part afterwards (DESIGN.md 4.4 *One history*)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from msgspec.structs import replace

from tallystick.core import history
from tallystick.site.history import HistoriesForm, histories_of
from tallystick.sync.beside import Beside
from tallystick.sync.replica import Meeting, Replica, Scope, Stepping


def meet(a: Replica, b: Replica, sites: tuple[str, str], scope: Scope) -> tuple[Meeting, Meeting]:
    """What both state, each stamping while the other does; histories are heard only by whom they tell something."""
    with Beside(lambda: b.meet(Meeting(sites[0], "", "", "", scope))) as other:
        mine = a.meet(Meeting(sites[1], "", "", "", scope))
        theirs = other.result()
    if mine.token == theirs.token:
        return mine, theirs
    if not _tells(theirs.histories, mine.histories):
        theirs = b.meet(_told(mine, scope))
        return (mine, theirs) if theirs.token == mine.token else (a.meet(_told(theirs, scope)), theirs)
    if not _tells(mine.histories, theirs.histories):
        mine = a.meet(_told(theirs, scope))
        return (mine, theirs) if mine.token == theirs.token else (mine, b.meet(_told(mine, scope)))
    told = _told(mine, scope)
    with Beside(lambda: b.meet(told)) as other:
        mine = a.meet(replace(_told(theirs, scope), token=""))
        return mine, other.result()


def _tells(form: HistoriesForm | None, known: HistoriesForm | None) -> bool:
    """False when somebody who knows the histories ``known`` learns nothing from those in ``form``."""
    if form is None or known is None:
        return True
    mine = histories_of(known)
    meeting = history.meet(mine, histories_of(form), 1)
    return meeting.began or bool(meeting.forks) or meeting.histories != mine


def _told(stated: Meeting, scope: Scope) -> Meeting:
    """What one end stated, as it is told to the other one."""
    return Meeting(
        stated.site,
        stated.origin,
        stated.token,
        stated.catalog,
        scope,
        histories=stated.histories,
        settled=stated.settled,
    )


def part(end: Replica, concluded: Meeting, scope: Scope) -> Meeting:
    """Tell ``end`` what the other one stated at the end of the pass that came from it. What ``end`` states then."""
    return end.meet(_told(concluded, scope))


def one_step(end: Replica) -> AbstractContextManager[object]:
    """What is done at ``end`` meanwhile is one durable step, where it is in this process."""
    return end.one_step() if isinstance(end, Stepping) else nullcontext()
