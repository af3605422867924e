"""Moments: microseconds since 1970 UTC in the database, naive local datetimes in the object model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime | None) -> int | None:
    """Microseconds of ``moment``; naive ones are local time."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo is not None else moment.astimezone()
    return (aware - _EPOCH) // timedelta(microseconds=1)


def to_utc(micros: int) -> datetime:
    """The moment with its zone, UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def to_local(micros: int | None) -> datetime | None:
    """Naive local time."""
    if micros is None:
        return None
    return to_utc(micros).astimezone().replace(tzinfo=None)
