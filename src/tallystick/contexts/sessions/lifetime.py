"""How long a session lives when nobody ends it (spec contexts S1). Pure: times come in as nanoseconds."""

from __future__ import annotations

IDLE_SECONDS = 300.0
MAXIMUM_SECONDS = 1800.0
RETRY_SECONDS = 60.0
"""When a release that failed is tried again."""
_SECOND = 1_000_000_000


class Lifetime:
    """The two limits of one session; None for a limit that it does not have. A pause counts for neither."""

    def __init__(self, idle: float | None, maximum: float | None, now: int) -> None:
        self._idle = idle
        self._maximum = maximum
        self._began = now
        self._used = now
        self._not_before = now
        self._paused: int | None = None

    @property
    def is_limited(self) -> bool:
        """True when there is a limit at all."""
        return self._idle is not None or self._maximum is not None

    @property
    def is_paused(self) -> bool:
        """True between ``pause`` and ``resume``."""
        return self._paused is not None

    def use(self, at: int) -> None:
        """Somebody did something with the session."""
        self._used = max(self._used, at)

    def pause(self, now: int) -> None:
        """Time stands still from now on."""
        self._paused = now if self._paused is None else self._paused

    def resume(self, now: int) -> None:
        """Time goes on."""
        if self._paused is not None:
            self._began += now - self._paused
            self._used += now - self._paused
            self._paused = None

    def postpone(self, now: int) -> None:
        """The session could not be ended: let it be for a while."""
        self._not_before = now + int(RETRY_SECONDS * _SECOND)

    def reason(self, now: int) -> str:
        """Why the session is to be ended now; "" when it is not."""
        if self.is_paused or now < self._not_before:
            return ""
        if self._maximum is not None and now >= self._end_of_run(self._maximum):
            return f"it ran for {self._maximum:g} seconds"
        if self.is_idle(now):
            return f"nothing was done for {self._idle:g} seconds"
        return ""

    def is_idle(self, now: int) -> bool:
        """True when nobody has used it for as long as is allowed."""
        return self._idle is not None and now >= self._used + int(self._idle * _SECOND)

    def seconds_left(self, now: int) -> float | None:
        """When to ask for a reason again; None when time stands still or there is no limit."""
        ends = [] if self._idle is None else [self._used + int(self._idle * _SECOND)]
        ends += [] if self._maximum is None else [self._end_of_run(self._maximum)]
        if self.is_paused or not ends:
            return None
        return max(0, max(min(ends), self._not_before) - now) / _SECOND

    def _end_of_run(self, maximum: float) -> int:
        return self._began + int(maximum * _SECOND)
