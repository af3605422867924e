"""Two ends meet before they exchange anything, and part afterwards (DESIGN.md 4.4 *One history*)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

from msgspec.structs import replace

from tallystick.core import history
from tallystick.site.history import HistoriesForm, histories_of
from tallystick.sync.beside import Beside
from tallystick.sync.replica import Greeting, Meeting, Replica, Scope, Stepping


class Met(NamedTuple):
    """What ``a`` and ``b`` state. ``untold`` is what ``b`` has to hear before it takes anything, if that has time."""

    mine: Meeting
    theirs: Meeting
    untold: Meeting | None = None


def meet(
    a: Replica, b: Replica, sites: tuple[str, str], scope: Scope, at_once: bool = False, proving: bool = False
) -> Met:
    """Both state what they hold, each stamping while the other does. Histories are heard by whom they tell something.

    Where both have met before and only ``b`` has something to hear, that is left for the time when a page is made,
    unless it is to be heard ``at_once``. Where ``a`` has not met ``b`` before and there may be ``proving``, it proves
    what it holds at once: ends that hold the same are in agreement then.
    """
    if proving and isinstance(a, Greeting) and (mine := a.greet(sites[1], scope)) is not None:
        return _greeted(a, b, mine, scope)
    with Beside(lambda: b.meet(Meeting(sites[0], "", "", "", scope))) as other:
        mine = a.meet(Meeting(sites[1], "", "", "", scope))
        theirs = other.result()
    if mine.token == theirs.token:
        return Met(mine, theirs)
    if not _tells(theirs.histories, mine.histories):
        if mine.state and theirs.state and not at_once:
            return Met(mine, theirs, _told(mine, scope))
        theirs = b.meet(_told(mine, scope))
        return Met(mine if theirs.token == mine.token else _as_told(a.meet(_told(theirs, scope)), mine), theirs)
    if not _tells(mine.histories, theirs.histories):
        mine = a.meet(_told(theirs, scope))
        return Met(mine, theirs if mine.token == theirs.token else _as_told(b.meet(_told(mine, scope)), theirs))
    told = _told(mine, scope)
    with Beside(lambda: b.meet(told)) as other:
        return Met(_as_told(a.meet(replace(_told(theirs, scope), token="")), mine), _as_told(other.result(), theirs))


def _greeted(a: Replica, b: Replica, mine: Meeting, scope: Scope) -> Met:
    """``b`` hears ``mine`` with histories and proof, ``a`` what ``b`` states then, ``b`` what came of that if new."""
    theirs = b.meet(_told(mine, scope))
    if theirs.token == mine.token and theirs.proof is None:
        return Met(mine, theirs)
    mine = a.meet(_told(theirs, scope))
    if mine.token == theirs.token:
        return Met(mine, theirs)
    return Met(mine, _as_told(b.meet(replace(_told(mine, scope), proof=None)), theirs))


def _as_told(stated: Meeting, told: Meeting) -> Meeting:
    """What one end states, no further than the other one has heard of: what was stamped since has names of its own."""
    return replace(stated, seq=min(stated.seq, told.seq))


class Unheard(Exception):
    """What ``b`` was told is not all that it knows by now: both have to meet once more, before it takes anything."""


@contextmanager
def telling(b: Replica, untold: Meeting | None) -> Iterator[Callable[[], None] | None]:
    """Tell ``b`` meanwhile what it has to hear. What is given waits until it has; it raises Unheard."""
    if untold is None:
        yield None
        return
    with Beside(lambda: b.meet(untold)) as said:

        def heard() -> None:
            if said.result().token != untold.token:
                raise Unheard

        yield heard


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
        proof=stated.proof,
    )


def untold(concluded: Meeting, scope: Scope) -> Meeting | None:
    """What the source of a pass has yet to hear of what its target stated at the end; None where it knows all of it."""
    return None if concluded.histories is None else _told(concluded, scope)


def part(end: Replica, concluded: Meeting, scope: Scope) -> Meeting:
    """Tell ``end`` what the other one stated at the end of the pass that came from it. What ``end`` states then."""
    return end.meet(_told(concluded, scope))


def one_step(end: Replica) -> AbstractContextManager[object]:
    """What is done at ``end`` meanwhile is one durable step, where it is in this process."""
    return end.one_step() if isinstance(end, Stepping) else nullcontext()
