"""A tracked resource of a site."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Unpack

from tallystick.site.ledger import Tracked

if TYPE_CHECKING:
    from tallystick.api.site import Reading, Site
    from tallystick.streams.delivery import Importer, Reached
    from tallystick.streams.refused import Refused
    from tallystick.streams.stream import Changes
    from tallystick.streams.subscriptions import Sink, Subscription


class Resource:
    """A tracked resource of a site."""

    def __init__(self, site: Site, wire: str) -> None:
        self.site = site
        self.wire = wire

    def __repr__(self) -> str:
        return f"Resource({self.wire!r})"

    @property
    def tracked(self) -> Tracked:
        """The ledger's view, counters loaded."""
        return self.site.ledger.resource(self.wire)

    @property
    def name(self) -> str:
        """The table's name."""
        return self.tracked.definition.name

    @property
    def columns(self) -> dict[str, str]:
        """The table's columns by their field names on the wire, key columns left out; empty where there is no table."""
        return {item.wire: item.column for item in self.tracked.definition.fields}

    @property
    def count(self) -> int:
        """How many records it has."""
        return self.tracked.fingerprint.count

    @property
    def state(self) -> str:
        """The state that stands for everything so far."""
        return self.site.state(self.wire)

    def changes(self, state: str | None = None, **options: Unpack[Reading]) -> Changes:
        """Changes of this resource beyond ``state``; see ``Site.changes``."""
        return self.site.changes(state, self.wire, **options)

    def deliver(self, importer: Importer, state: str | None = None, **options: Any) -> Reached:
        """Tell an importer what changed in this resource beyond ``state``; see ``Site.deliver``."""
        return self.site.deliver(importer, state, self.wire, **options)

    def subscribe(
        self, sink: Sink, *, event_types: Collection[str] | None = None, most: int | None = None
    ) -> Subscription:
        """Call ``sink`` with a ``Notification`` of every change of this resource; see ``Site.subscribe``."""
        return self.site.subscribe(sink, self.wire, event_types=event_types, most=most)

    def unsubscribe(self, sink: Sink) -> None:
        """End every subscription of a sink at this site."""
        self.site.unsubscribe(sink)

    @property
    def parked(self) -> list[Refused]:
        """Deliveries of this resource that importers refused, oldest first."""
        return self.site.refused(resource=self.wire)
