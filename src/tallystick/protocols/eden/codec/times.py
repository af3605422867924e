"""Eden's times: UTC, whole seconds, no zone (spec: sections 1.5, 6.2, 6.3 and 8).

Inside Tallystick they are aware ``datetime`` values in UTC. Two forms are read: ``parse_msince`` takes exactly what
the wire prescribes, ``parse_time`` everything that a foreign document may write.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

from tallystick.protocols.eden.errors import TimeFormatError

SECOND = timedelta(seconds=1)

_EXACT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_OTHER_FORMS = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y", "%Y/%m/%d")


@lru_cache(maxsize=4096)
def format_time(moment: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SS`` of an aware moment, turned to UTC; fractions of a second are cut off."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat()[:19]


def parse_msince(text: str) -> datetime:
    """The moment of an ``msince`` parameter.

    Raises TimeFormatError for every other form: a real Eden ignores those silently and sends everything, so a
    caller who wrote one must be told (section 17).
    """
    if _EXACT.fullmatch(text):
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            pass
    raise TimeFormatError(f"{text!r} is no time in the form YYYY-MM-DDTHH:MM:SS")


@lru_cache(maxsize=4096)  # records that were changed together have the same times
def parse_time(text: str) -> datetime:
    """The moment that a document gives, in any common form; without a zone it is UTC. Fractions are cut off.

    Raises TimeFormatError when no form fits: the caller rejects the record and goes on (section 6.3).
    """
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _parse_other(text)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC, microsecond=0)
    try:
        return moment.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        raise TimeFormatError(f"Invalid date/time string: {text}") from None


def _parse_other(text: str) -> datetime:
    for form in _OTHER_FORMS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise TimeFormatError(f"Invalid date/time string: {text}") from None


def parse_date(text: str) -> date:
    """The day that a document gives, in any common form. Raises TimeFormatError."""
    return parse_time(text).date()


def parse_clock(text: str) -> time:
    """The time of day that a document gives. Raises TimeFormatError."""
    try:
        return time.fromisoformat(text.strip()).replace(microsecond=0, tzinfo=None)
    except ValueError:
        raise TimeFormatError(f"Invalid time string: {text}") from None


def next_second(moment: datetime) -> datetime:
    """The second after a moment; the last one of the calendar stays: a peer may write any time."""
    second = moment.replace(microsecond=0)
    return second + SECOND if second < datetime.max.replace(microsecond=0, tzinfo=second.tzinfo) else second
