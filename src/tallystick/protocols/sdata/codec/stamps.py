"""Instants on the wire (spec 6): read leniently, kept without loss, written in UTC.

A stamp is its canonical text ``YYYY-MM-DDThh:mm:ss[.f]Z``: UTC, up to seven fraction digits without trailing zeros.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from tallystick.protocols.sdata.errors import MalformedMessage

NO_STAMP = ""
"""A stamp that was not sent; earlier than every other."""

_EPOCH = datetime(1970, 1, 1)
_ANY = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,7})\d*)?\s*([Zz]|[+-]\d\d:?\d\d)?")


def read_stamp(text: str) -> str:
    """The canonical stamp of any text that spec 6 accepts: any offset, no zone (read as UTC), 1 to 7 fraction digits.

    Raises MalformedMessage when it is no instant.
    """
    if len(text) == 20 and text[4] == text[7] == "-" and text[10] == "T" and text[13] == text[16] == ":":
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return _read_any(text)
        return text if text[19] == "Z" and text[11:13] != "24" else _read_any(text)
    return _read_any(text)


@lru_cache(maxsize=4096)
def _read_any(text: str) -> str:
    text = text.strip()
    match = _ANY.fullmatch(text)
    if match is None:
        raise MalformedMessage(f"{text[:40]!r} is no date and time", hint="write it like 2026-03-02T09:30:00Z")
    day, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone is None or zone in "Zz" else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedMessage(f"{text[:40]!r} is no date and time: {error}") from error
    digits = (fraction or "").rstrip("0")
    return f"{_seconds(moment)}.{digits}Z" if digits else f"{_seconds(moment)}Z"


def stamp_of(moment: datetime) -> str:
    """The stamp of a moment, to the millisecond; one without a zone is read as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    digits = f"{aware.microsecond // 1000:03d}".rstrip("0")
    return f"{_seconds(aware)}.{digits}Z" if digits else f"{_seconds(aware)}Z"


@lru_cache(maxsize=4096)
def stamp_of_milliseconds(milliseconds: int) -> str:
    """The stamp of a wall clock time in milliseconds since the Unix epoch."""
    seconds, rest = divmod(milliseconds, 1000)
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    digits = f"{rest:03d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


@lru_cache(maxsize=4096)
def milliseconds_of(stamp: str) -> int:
    """Milliseconds since the Unix epoch of a canonical stamp; 0 of NO_STAMP."""
    if not stamp:
        return 0
    moment = datetime.fromisoformat(stamp)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def later(one: str, other: str) -> bool:
    """True when canonical stamp ``one`` is later than ``other``.

    Without the closing Z canonical text sorts like time: a fraction extends the second it belongs to.
    """
    return one[:-1] > other[:-1]


def _seconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
