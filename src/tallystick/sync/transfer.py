"""The engine's one function: what a source has that a target lacks goes there, page by page (DESIGN.md 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from tallystick.core.pages import Page, Tally
from tallystick.errors import StateError
from tallystick.sync.replica import Closing, Known, Packing, Selection, Settings
from tallystick.sync.uncollected import uncollected

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


def transfer(
    source: Source,
    target: Target,
    settings: Settings,
    known: Known,
    *,
    keys: dict[str, list[str]] | None = None,
    since: int = 0,
    held: list[str] | None = None,
    progress: Progress | None = None,
) -> Transfer:
    """One pass from ``source`` to ``target``, resumable at the target's last committed page.

    ``settings`` say how the target applies; ``known`` is its digest. ``keys`` restricts live records of a resource
    to those named, as far as they had not changed after seq ``since`` (first contact);
    deletions of the resources in ``held`` stay where they are. Raises what the port raises; whatever was applied
    stays applied.
    """
    done = Transfer()
    selection = Selection(settings.scope, known, keys or {}, since=since, held=held or [])
    try:
        _carry(source, target, selection, settings, done, progress)
    except StateError:
        done.resumed = True
        selection = Selection(settings.scope, known, keys or {}, since=since, stateless=True, held=held or [])
        _carry(source, target, selection, settings, done, progress)
    return done


def _carry(
    source: Source,
    target: Target,
    selection: Selection,
    settings: Settings,
    done: Transfer,
    progress: Progress | None,
) -> None:
    """Read one page ahead, and make it ready to go, while the target applies: memory stays at two pages."""
    with uncollected(), ThreadPoolExecutor(1, "tally-read") as reader:
        pages = _ready(source.changes(selection), target, settings)
        ahead: Future[Closing | _Ready | None] = reader.submit(next, pages, None)
        while (item := ahead.result()) is not None:
            if isinstance(item, Closing):
                for wire, tally in target.acknowledge(item, settings).items():
                    done.tallies.setdefault(wire, Tally()).add(tally)
                return
            ahead = reader.submit(next, pages, None)
            tally = item.apply()
            done.tallies.setdefault(item.resource, Tally()).add(tally)
            done.records += item.records
            if progress is not None:
                progress(item.resource, item.records)


class _Ready(NamedTuple):
    """A page that only has to be applied."""

    resource: str
    records: int
    apply: Callable[[], Tally]


def _ready(pages: Iterator[Page | Closing], target: Target, settings: Settings) -> Iterator[Closing | _Ready]:
    for item in pages:
        if isinstance(item, Closing):
            yield item
        else:
            apply = (
                target.packed(item, settings) if isinstance(target, Packing) else partial(target.apply, item, settings)
            )
            yield _Ready(item.resource, len(item.rows), apply)
