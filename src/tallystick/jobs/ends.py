"""What running a task needs from the house above: opening the site and its peers, and the engine between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from tallystick.core.clock import milliseconds_of
from tallystick.core.pages import STAMP, Page, Tally
from tallystick.errors import TallystickError
from tallystick.jobs.tasks import Peer
from tallystick.site.engines.engine import Engine
from tallystick.site.ledger import Ledger
from tallystick.sync.agreement import Report
from tallystick.sync.local import LocalReplica
from tallystick.sync.plan import Plan
from tallystick.sync.replica import Closing, Concluded, Meeting, Selection, Settings


class Stopped(TallystickError):
    """The worker was told to stop. Whole pages stay applied; the next run goes on from there."""

    code = "stopped"
    exit_code = 0
    default_hint = "the next run goes on from there"


class Closable(Protocol):
    """An end as jobs hold it: opened, handed to the engine, closed."""

    name: str

    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Ends:
    """How the composition root opens things.

    ``engine`` opens the site's database once more; ``connect`` opens a peer with its password; ``agree`` brings two
    ends into agreement and notes it in the run log. They raise what ``api.end`` and ``api.logged_agree`` raise.
    """

    name: str
    engine: Callable[[], Engine]
    connect: Callable[[Peer, str | None], Closable]
    agree: Callable[[Any, Any, Plan], Report]

    def replica(self) -> WatchedReplica:
        """The site, opened once more."""
        return WatchedReplica(Ledger.create(self.engine()), self.name)


class WatchedReplica(LocalReplica):
    """A site that remembers the newest change that passed, and asks ``fence`` before it commits foreign ones."""

    newest: int = 0
    fence: Callable[[], None] = staticmethod(lambda: None)

    def committing(self) -> None:
        self.fence()

    def apply(self, page: Page, settings: Settings) -> Tally:
        tally = super().apply(page, settings)
        self._see(page)
        return tally

    def conclude(self, page: Page | None, closing: Closing, settings: Settings, theirs: Meeting) -> Concluded:
        concluded = super().conclude(page, closing, settings, theirs)
        if page is not None:
            self._see(page)
        return concluded

    def changes(self, selection: Selection) -> Iterator[Page | Closing]:
        for item in super().changes(selection):
            if isinstance(item, Page):
                self._see(item)
            yield item

    def _see(self, page: Page) -> None:
        self.newest = max(self.newest, max((row[STAMP] for row in page.rows), default=0))

    def newest_change(self) -> datetime | None:
        """When the newest change that passed was made, whole seconds; None when nothing passed. Forgets it."""
        stamp, self.newest = self.newest, 0
        return datetime.fromtimestamp(milliseconds_of(stamp) // 1000, UTC) if stamp else None
