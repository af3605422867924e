"""The engine's one function: what a source has that a target lacks goes there, page by page (DESIGN.md 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tallystick.core.pages import Page, Tally
from tallystick.errors import StateError
from tallystick.sync.replica import (
    Closing,
    Concluded,
    Concluding,
    Known,
    Meeting,
    Packed,
    Packing,
    Selection,
    Settings,
)
from tallystick.sync.uncollected import uncollected

SHORT_ROWS = 2000
"""A page of no more waits for what follows it: the last one of a pass is applied in one step with the pass's end."""
Progress = Callable[[str, int], None]
"""Called with the resource's wire name and the number of records of each page that was applied."""


class Source(Protocol):
    """What a pass asks of the end it comes from: a replica, or files that one wrote."""

    def changes(self, selection: Selection) -> Iterator[Page | Closing]:
        """See ``Replica.changes``."""


class Target(Protocol):
    """What a pass asks of the end it goes to: a replica, or files that one will read."""

    def apply(self, page: Page, settings: Settings) -> Tally:
        """See ``Replica.apply``."""

    def acknowledge(self, closing: Closing, settings: Settings) -> dict[str, Tally]:
        """See ``Replica.acknowledge``."""


@dataclass(slots=True)
class Transfer:
    """What one pass did."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    records: int = 0
    resumed: bool = False
    state: str = ""
    """What the target holds of the source's changes now."""
    meeting: Meeting | None = None
    """What the target states at the end, where it said so."""

    def take(self, resource: str, records: int, tally: Tally) -> None:
        """Count a page that was applied."""
        self.tallies.setdefault(resource, Tally()).add(tally)
        self.records += records


def transfer(
    source: Source,
    target: Target,
    settings: Settings,
    known: Known,
    *,
    keys: dict[str, list[str]] | None = None,
    since: int = 0,
    held: list[str] | None = None,
    theirs: Meeting | None = None,
    before: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> Transfer:
    """One pass from ``source`` to ``target``, resumable at the target's last committed page.

    ``settings`` say how the target applies; ``known`` is its digest. ``keys`` restricts live records of a resource
    to those named, as far as they had not changed after seq ``since`` (first contact);
    deletions of the resources in ``held`` stay where they are. ``theirs`` is what the source states, for targets that
    state at the end what they hold then; ``before`` is called before the target is given anything. Raises what the
    port raises; whatever was applied stays applied.
    """
    done = Transfer()
    selection = Selection(settings.scope, known, keys or {}, since=since, held=held or [])
    carry = _Carrying(target, settings, theirs, done, before or (lambda: None), progress)
    try:
        carry.all(source.changes(selection))
    except StateError:
        done.resumed = True
        selection = Selection(settings.scope, known, keys or {}, since=since, stateless=True, held=held or [])
        carry.all(source.changes(selection))
    return done


class _Ready(NamedTuple):
    """A page that only has to be applied."""

    resource: str
    records: int
    packed: Packed


class _Carrying:
    """Pages on their way to a target."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        theirs: Meeting | None,
        done: Transfer,
        before: Callable[[], None],
        progress: Progress | None,
    ) -> None:
        self.target, self.settings, self.theirs, self.done = target, settings, theirs, done
        self.before, self.progress = before, progress

    def all(self, items: Iterator[Page | Closing]) -> None:
        """Read one page ahead, and make it ready to go, while the target applies: memory stays at two pages."""
        with uncollected(), ThreadPoolExecutor(1, "tally-read") as reader:
            ready = self._ready(items)
            ahead: Future[Closing | _Ready | None] = reader.submit(next, ready, None)
            while (item := ahead.result()) is not None:
                if isinstance(item, Closing):
                    self.before()
                    self._end(None, item)
                    return
                ahead = reader.submit(next, ready, None)
                following = ahead.result() if item.records <= SHORT_ROWS else None
                self.before()
                if isinstance(following, Closing):
                    self._end(item, following)
                    return
                self._take(item, item.packed.apply())

    def _ready(self, items: Iterator[Page | Closing]) -> Iterator[Closing | _Ready]:
        for item in items:
            if isinstance(item, Closing):
                yield item
            else:
                yield _Ready(item.resource, len(item.rows), self._packed(item))

    def _packed(self, page: Page | None) -> Packed:
        if isinstance(self.target, Packing):
            return self.target.packed(page, self.settings)
        return _Plain(self.target, page, self.settings)

    def _take(self, page: _Ready, tally: Tally) -> None:
        self.done.take(page.resource, page.records, tally)
        if self.progress is not None:
            self.progress(page.resource, page.records)

    def _end(self, last: _Ready | None, closing: Closing) -> None:
        """Apply the last page, where one waits, and end the pass."""
        if self.theirs is None:
            if last is not None:
                self._take(last, last.packed.apply())
            concluded = Concluded(self.target.acknowledge(closing, self.settings), None)
        else:
            packed = self._packed(None) if last is None else last.packed
            concluded = packed.conclude(closing, self.theirs)
            if last is not None:
                self._take(last, Tally())
        for wire, tally in concluded.tallies.items():
            self.done.take(wire, 0, tally)
        self.done.state, self.done.meeting = closing.state, concluded.meeting


class _Plain(NamedTuple):
    """A page that goes to its target as it is, where the target does not pack it."""

    target: Target
    page: Page | None
    settings: Settings

    def apply(self) -> Tally:
        """See ``Packed``."""
        assert self.page is not None
        return self.target.apply(self.page, self.settings)

    def conclude(self, closing: Closing, theirs: Meeting) -> Concluded:
        """See ``Packed``. A target that knows the two steps only by themselves states nothing then."""
        if isinstance(self.target, Concluding):
            return self.target.conclude(self.page, closing, self.settings, theirs)
        tallies = {} if self.page is None else {self.page.resource: self.apply()}
        for wire, tally in self.target.acknowledge(closing, self.settings).items():
            tallies.setdefault(wire, Tally()).add(tally)
        return Concluded(tallies, None)
