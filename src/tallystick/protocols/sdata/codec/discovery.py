"""Discovery: what is below ``/sdata`` and each of its levels, as feeds of the next one (spec 12; K 2.9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import Feed, FeedHead
from tallystick.protocols.sdata.codec.names import FEED_TYPE


class Level(NamedTuple):
    """One thing found: its name in the URL, what people call it."""

    name: str
    label: str


def discovery_feed(url: str, title: str, updated: str, levels: Sequence[Level]) -> Feed:
    """The feed at ``url`` that lists ``levels``, each with a link to its own feed."""
    entries = [
        Entry(
            id=f"{url}/{level.name}",
            title=level.label,
            updated=updated,
            links=(Link("via", f"{url}/{level.name}", FEED_TYPE), Link("alternate", f"{url}/{level.name}", FEED_TYPE)),
        )
        for level in levels
    ]
    count = len(entries)
    head = FeedHead(
        id=url,
        title=title,
        updated=updated,
        term="collection",
        links=(Link("self", url, FEED_TYPE),),
        total=count,
        start=1,
        per_page=count,
    )
    return Feed(head, entries)
