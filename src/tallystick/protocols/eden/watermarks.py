"""How far a side has read or sent (spec: sections 3, 8 and 17). Pure rules.

Eden's watermark is the newest ``modified_on`` among the records it transferred, plus a second. Taken literally, a row
from the future, a second row in the same second, or one that was rejected is never seen again. The rules here only
move a watermark to where nothing unsent can lie behind it, and read every time by the clock that wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from tallystick.protocols.eden.codec.times import SECOND, next_second, parse_time
from tallystick.protocols.eden.errors import TimeFormatError

CLOCK_DOUBT = timedelta(days=1)
"""How far behind ours the clock of a peer is taken to be that does not tell its time."""

REMEMBERED = 32
"""How many answers to one peer and scope are remembered."""


def next_pull(
    previous: datetime | None,
    transferred: Iterable[datetime | None],
    *,
    peer_now: datetime,
    rejected: Iterable[datetime | None] = (),
) -> datetime | None:
    """The next ``msince`` for a peer that selects ``modified_on >= msince``.

    ``transferred`` are the times of all records of the table that the answer held, ``rejected`` those that could be
    neither applied nor parked here. ``peer_now`` is the peer's own clock when it answered (its ``Date``), so that no
    difference between the clocks matters.

    The second of the newest record is asked for again unless the peer's clock had already left it: until then the
    peer may write another row in it. A row from the peer's future does not pull the watermark along.
    """
    times = [moment for moment in transferred if moment is not None]
    if not times:
        return previous
    peer_second = peer_now.replace(microsecond=0)
    past = [moment for moment in times if moment <= peer_second]
    held_back = list(rejected)
    if not past or None in held_back:
        return previous
    newest = max(past)
    reached = newest + SECOND if newest < peer_second else newest
    limit = min([reached, *(moment for moment in held_back if moment is not None)])
    return limit if previous is None or limit > previous else previous


def clock_of(date: str | None, own_now: datetime) -> datetime:
    """The peer's clock as its ``Date`` header tells it; without a readable one, a time that it surely has reached."""
    try:
        moment = parse_time(date) if date else None
    except TimeFormatError:
        moment = None
    return own_now - CLOCK_DOUBT if moment is None else moment


def next_push(previous: int, head: int, unsent: Iterable[int] = ()) -> int:
    """The sequence number up to which a peer has everything of a table: never past a change that was not sent.

    Our own changes are numbered, not timed, so equal times, clock steps and future dates cannot hide one. ``unsent``
    are the numbers of changes held back for reasons other than being on the retry list.
    """
    return max(previous, min([head, *(number - 1 for number in unsent)]))


def eden_watermark(newest: datetime | None) -> datetime | None:
    """The ``msince`` that a real Eden will send after an answer whose newest record has this time; None: unchanged."""
    return None if newest is None else next_second(newest)


# What a served peer has --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that was given: a peer that comes back with ``msince`` has every change up to ``seq``."""

    msince: datetime
    seq: int


def known_seq(answers: Sequence[Answered], msince: datetime | None) -> int | None:
    """The sequence number that a peer has reached by its own ``msince``; None when the time alone must do.

    Where several answers lead to the same ``msince`` (rows within one second, answers that got lost) the earliest
    counts: a record sent twice is harmless, one not sent is lost.
    """
    if msince is None:
        return None
    return min((answer.seq for answer in answers if answer.msince == msince), default=None)


def remember(
    answers: Sequence[Answered], msince: datetime | None, newest: datetime | None, head: int
) -> tuple[Answered, ...]:
    """The answers to remember after another one, whose newest record had the time ``newest``, made at ``head``.

    An answer without records leaves the peer's watermark where it was, and shows that it lacks nothing up to ``head``.
    A watermark that the peer chose itself is not made ours by answering it: asked again, it is answered again.
    """
    known = known_seq(answers, msince)
    reached = eden_watermark(newest)
    if reached is not None:
        added = Answered(reached, head)
        if added in answers or (reached == msince and known is None):
            return tuple(answers)
        return (*answers, added)[-REMEMBERED:]
    if msince is None or known is None:
        return tuple(answers)
    return (*(answer for answer in answers if answer.msince != msince), Answered(msince, head))[-REMEMBERED:]


# Between two Tallystick sites --------------------------------------------------------------------------------------


def state_text(site: str, scope: str, seq: int) -> str:
    """The state that travels in the root of an answer: printable, and bound to site and scope."""
    return f"{_binding(site, scope)}.{seq}"


def state_seq(site: str, scope: str, text: str | None) -> int | None:
    """The sequence number in a state; None for one that is damaged, or of another site or scope."""
    binding, _, seq = (text or "").partition(".")
    if binding != _binding(site, scope) or not (seq.isascii() and seq.isdigit()) or len(seq) > 18:
        return None
    return int(seq)


def _binding(site: str, scope: str) -> str:
    return sha256(f"{site}\0{scope}".encode()).hexdigest()[:16]
