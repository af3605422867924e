"""Taking: pages and the end of a pass at a site, each in one durable step (DESIGN.md 4.3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from tallystick.core.pages import KEY, Page, Tally
from tallystick.errors import StorageLocked
from tallystick.site import deletions, history
from tallystick.site.applying import Applying, apply_page
from tallystick.site.engines.engine import Rejected
from tallystick.site.identity import address_of
from tallystick.site.ledger import Ledger
from tallystick.site.retrying import reconsider, retry
from tallystick.site.schema import Identity
from tallystick.site.stamping import stamp
from tallystick.sync import reached
from tallystick.sync.replica import Closing, Settings

ATTEMPTS = 8
"""How often a page is tried while the application changes the very same rows."""
T = TypeVar("T")


class Taking:
    """What one pass brings to the site of ``ledger``, taken under ``settings``.

    ``committing`` is called inside every transaction, last: what it raises undoes the transaction.
    """

    def __init__(self, ledger: Ledger, settings: Settings, committing: Callable[[], None]) -> None:
        self.ledger, self.settings, self._committing = ledger, settings, committing

    def page(self, page: Page) -> Tally:
        """Apply a page and note its state. See ``Replica.apply``."""
        return self._attempted(page, lambda: self._parted(page))

    def end(self, closing: Closing) -> dict[str, Tally]:
        """End the pass. See ``Replica.acknowledge``."""
        try:
            return self._ended(None, closing, True)
        except Rejected:  # what is parked still breaks a constraint that is checked at the end
            return self._ended(None, closing, False)

    def last(self, page: Page, closing: Closing) -> dict[str, Tally]:
        """Apply the last page and end the pass, in one step where the database lets both be committed together."""
        try:
            return self._attempted(page, lambda: self._ended(page, closing, True))
        except Rejected:  # a row of the page or something parked is to blame: each step finds out by itself
            tallies = {page.resource: self.page(page)}
        for wire, tally in self.end(closing).items():
            tallies.setdefault(wire, Tally()).add(tally)
        return tallies

    def _attempted(self, page: Page, take: Callable[[], T]) -> T:
        for attempt in range(ATTEMPTS):
            self._lock_rows(page)
            try:
                return take()
            except StorageLocked:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.02 * 2**attempt)
        raise AssertionError("unreachable")

    def _lock_rows(self, page: Page) -> None:
        """Name the rows that exist, so that the application's locks are waited for before ours is taken."""
        if self.ledger.engine.dialect == "sqlite" or not page.rows:
            return
        tracked = self.ledger.resource(page.resource)
        if tracked.definition.identity is Identity.MANAGED or not tracked.seq:
            return
        entries = tracked.rows.by_keys([row[KEY] for row in page.rows])
        live = [entry for entry in entries.values() if entry.hash]
        tracked.rows.lock_rows([address_of(tracked.definition, entry.key, entry.local) for entry in live])

    def _parted(self, page: Page) -> Tally:
        """Apply a page; where its commit is refused, find the rows that are to blame and park them."""
        try:
            return self._applied(page)
        except Rejected as refused:
            if len(page.rows) == 1:
                return self._applied(page, str(refused))
        half = len(page.rows) // 2
        tally = self._parted(replace(page, rows=page.rows[:half], state=""))
        tally.add(self._parted(replace(page, rows=page.rows[half:])))
        return tally

    def _applied(self, page: Page, refuse: str = "") -> Tally:
        with self.ledger.write():
            stamp(self.ledger)
            tally = self._rows(page, refuse)
            self._committing()
        return tally

    def _ended(self, page: Page | None, closing: Closing, again: bool) -> dict[str, Tally]:
        """End the pass, with its last page where there is one. ``again``: try what is parked once more."""
        ledger = self.ledger
        tallies: dict[str, Tally] = {}
        with ledger.write():
            stamp(ledger)
            if page is not None:
                tallies[page.resource] = self._rows(page)
            for wire in self.settings.scope.resources:
                if wire not in self.settings.scope.filters:
                    reconsider(ledger, ledger.resource(wire))
            conflict = {wire: self.settings.policy(wire).conflict for wire in self.settings.scope.resources}
            for wire, tally in (retry(ledger, conflict) if again else {}).items():
                tallies.setdefault(wire, Tally()).add(tally)
            self._conclude(closing)
            self._committing()
        return tallies

    def _rows(self, page: Page, refuse: str = "") -> Tally:
        ledger, settings = self.ledger, self.settings
        before = reached.highest(ledger, settings.scope)
        applying = Applying(
            settings.policy(page.resource),
            settings.onconflict,
            settings.run,
            settings.scope.delete_left and settings.deletes(page.resource),
            refuse,
        )
        tally = apply_page(ledger, page, applying)
        if settings.allowed >= 0:
            deletions.check_lost(ledger, ledger.resource(page.resource), settings.run, settings.allowed)
            deletions.note(ledger, page.resource, tally.deleted)
        self._note_state(page.state)
        reached.note_came(ledger, settings.source, settings.scope, before, not applying.altered)
        return tally

    def _conclude(self, closing: Closing) -> None:
        ledger = self.ledger
        for wire, vector in closing.digests.items():
            ledger.merge_digest(ledger.resource(wire), vector)
        for wire, vector in closing.forgotten.items():
            ledger.merge_digest(ledger.resource(wire), vector, "tally_forgotten")
        self._note_state(closing.state)
        history.speak_now(ledger)  # whoever comes next is told of what was taken: one commit less then

    def _note_state(self, state: str) -> None:
        if state:
            reached.note_state(self.ledger, self.settings.source, self.settings.scope, state)
