from __future__ import annotations

from tallystick.protocols.sdata.codec.discovery import Level, discovery_feed


def test_every_level_is_an_entry_with_links_to_its_own_feed() -> None:
    feed = discovery_feed("http://x/sdata", "sdata", "", [Level("books", "Books"), Level("shop", "Shop")])
    assert [entry.title for entry in feed.entries] == ["Books", "Shop"]
    assert {link.href for link in feed.entries[0].links} == {"http://x/sdata/books"}
    assert (feed.head.total, feed.head.per_page) == (2, 2)
