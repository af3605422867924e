"""When a task is due: intervals, cron expressions, jitter, back-off. Pure: clock and randomness are handed in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter  # type: ignore[import-untyped]

from tallystick.errors import ConfigurationError

JITTER = 0.1
"""The part of an interval over which due times are spread, so that many sites do not call at once."""

FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=1)

_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class ScheduleError(ConfigurationError):
    """A schedule that cannot be read, or that never comes due."""

    code = "schedule"
    default_hint = "write an interval like 10m or a cron expression like '*/10 * * * *'"


@dataclass(frozen=True, slots=True)
class Every:
    """Due a fixed time after the last start."""

    interval: timedelta

    def __str__(self) -> str:
        return f"{self.interval.total_seconds():g}s"


@dataclass(frozen=True, slots=True)
class Cron:
    """Due when a cron expression says, in a time zone."""

    expression: str
    zone: str = "UTC"

    def __str__(self) -> str:
        return self.expression if self.zone == "UTC" else f"{self.expression} {self.zone}"


Schedule = Every | Cron


def parse_schedule(text: str) -> Schedule:
    """``90``, ``90s``, ``10m``, ``2h``, ``1d``, five cron fields, or those and a zone. Raises ScheduleError."""
    text = text.strip()
    if _INTERVAL.fullmatch(text):
        interval = parse_duration(text)
        if interval < timedelta(seconds=1):
            raise ScheduleError(f"the interval {text!r} is shorter than a second")
        return Every(interval)
    fields = text.split()
    zone = fields.pop() if len(fields) == 6 else "UTC"
    return checked(Cron(" ".join(fields), zone))


def checked(cron: Cron) -> Cron:
    """The same schedule. Raises ScheduleError for one that is no cron expression or never comes due."""
    if len(cron.expression.split()) != 5 or not croniter.is_valid(cron.expression):
        raise ScheduleError(f"{cron.expression!r} is neither an interval nor a cron expression")
    try:
        ZoneInfo(cron.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ScheduleError(f"there is no time zone {cron.zone!r}") from None
    _next_cron(cron, datetime(2026, 1, 1, tzinfo=UTC))
    return cron


def next_due(schedule: Schedule, last_start: datetime | None, now: datetime) -> datetime:
    """When a task is due next. A task that never ran with an interval is due at once; runs that were missed while
    nothing was running count as one.
    """
    if isinstance(schedule, Every):
        return now if last_start is None else last_start + schedule.interval
    return _next_cron(schedule, now if last_start is None else last_start)


def _next_cron(cron: Cron, after: datetime) -> datetime:
    local = after.astimezone(ZoneInfo(cron.zone))
    try:
        found: datetime = croniter(cron.expression, local).get_next(datetime)
    except CroniterError:
        raise ScheduleError(f"{cron.expression!r} never comes due") from None
    return found.astimezone(UTC)


def spread(schedule: Schedule, due: datetime, random: Callable[[], float], jitter: timedelta | None = None) -> datetime:
    """``due``, later by up to ``jitter``: by default a tenth of the interval, a minute at most.

    ``random`` gives numbers from 0 up to 1.
    """
    if jitter is None:
        interval = schedule.interval if isinstance(schedule, Every) else timedelta(minutes=10)
        jitter = min(interval * JITTER, timedelta(minutes=1))
    return due + jitter * random()


def parse_duration(text: str) -> timedelta:
    """``0``, ``90``, ``90s``, ``10m``, ``2h``, ``1d``. Raises ScheduleError."""
    match = _INTERVAL.fullmatch(text.strip())
    if not match:
        raise ScheduleError(f"{text!r} is no length of time", hint="write it like 30s, 10m, 2h or 1d")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2] or "s"])


def retry_after(failures: int, random: Callable[[], float]) -> timedelta:
    """How long to wait after that many failures in a row: doubling from 30 seconds to an hour, half of it random."""
    if failures <= 0:
        return timedelta(0)
    doublings: int = 2 ** min(failures - 1, 20)
    longest = min(FIRST_RETRY * doublings, LONGEST_RETRY)
    return longest / 2 + longest / 2 * random()


def is_full_due(full_every: timedelta | None, last_full: datetime | None, now: datetime) -> bool:
    """True when a pull should ask for everything again."""
    return full_every is not None and (last_full is None or now - last_full >= full_every)
