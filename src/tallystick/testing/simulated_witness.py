"""The witness of a simulated history: remembers every acknowledged write, and finds those that were lost.

A write is accounted for when a live version, a sibling, a conflict log or a purged deletion has it, or when another
write that is accounted for was made on a row that showed it (DESIGN.md 4.9, law 2). It is also he who knows what must
not come back: whatever a later write had seen (law 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tallystick.core.history import site_of
from tallystick.core.versions import Record, Version

Event = tuple[str, bytes, str, int]
"""A write: record key, content hash, site and stamp; copies of a row older than tracking are one write."""


def event_of(key: str, version: Version) -> Event:
    """The write that made ``version``. Its dot does not tell: a fork gives the same write another one."""
    if version.genesis:
        return (key, version.hash, "", 0)
    return (key, version.hash, site_of(version.origin), version.stamp)


def described(event: Event) -> str:
    """An event in words."""
    key, digest, site, stamp = event
    return f"what {site or 'everybody'} wrote to {key} ({digest.hex()[:8] or 'a deletion'}, stamp {stamp})"


class Witness:
    """Everything that was written in one history."""

    def __init__(self) -> None:
        self.events: dict[Event, None] = {}
        self.later: dict[Event, list[Event]] = {}
        self.replaced: dict[tuple[str, Any], list[Event]] = {}
        self.settled: dict[Event, str] = {}
        self.gone: set[Event] = set()
        self.doubtful: set[Event] = set()
        self.conflicts: set[str] = set()
        self.edits = 0

    def made(self, key: str, version: Version, saw: Iterable[Version]) -> None:
        """A write was stamped as ``version``; its author saw a row made of the versions ``saw``."""
        event = event_of(key, version)
        self.events[event] = None
        self.edits += 1
        for seen in saw:
            before = event_of(key, seen)
            if before != event:
                self.later.setdefault(before, []).append(event)
            self.replaced.setdefault((key, seen.names), []).append(event)

    def settle(self, key: str, version: Version, site: str) -> None:
        """A version went to the conflict log of ``site``, or is a deletion purged there: its account is closed."""
        self.settled[event_of(key, version)] = site

    def unaccounted(self, records: Iterable[tuple[str, Record]]) -> list[Event]:
        """Writes of which ``records``, all that the sites hold, know nothing any more."""
        found = set(self.settled)
        for key, record in records:
            for version in record.versions:
                found.add(event_of(key, version))
        missing = [event for event in self.events if event not in found and event not in self.gone]
        return [event for event in missing if not self._superseded(event, found)]

    def _superseded(self, event: Event, found: set[Event]) -> bool:
        """True when a write that is accounted for saw ``event``, directly or through others that are not."""
        waiting, passed = [event], {event}
        while waiting:
            for later in self.later.get(waiting.pop(), ()):
                if later in found:
                    return True
                if later not in passed:
                    passed.add(later)
                    waiting.append(later)
        return False

    def forgive(self, events: Iterable[Event], site: str) -> None:
        """The disk of ``site`` is replaced by an older one; nobody else has these writes.

        What it had settled may have gone down, too: then it may come back. So may they, with yet another backup.
        """
        self.gone.update(events)
        self.doubtful.update(event for event, where in self.settled.items() if where == site)

    def recall(self, records: Iterable[tuple[str, Record]]) -> None:
        """A restored backup holds ``records``: writes that were given up for lost may be among them."""
        self.gone.difference_update(event_of(key, version) for key, record in records for version in record.versions)

    def returned(self, key: str, record: Record) -> list[Event]:
        """Live versions of ``record`` that a write which is not lost had seen, under the same names, and replaced."""
        return [
            event_of(key, version)
            for version in record.versions
            if not version.deleted and any(self._stands(later) for later in self.replaced.get((key, version.names), ()))
        ]

    def _stands(self, event: Event) -> bool:
        return event not in self.gone and event not in self.doubtful
