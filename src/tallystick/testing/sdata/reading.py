"""Links and pages: 5 and 6 of the checklist (spec 16)."""

from __future__ import annotations

import uuid

from tallystick.protocols.sdata.codec.entries import Entry, write_entry_message
from tallystick.protocols.sdata.codec.feeds import read_feed
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.testing.sdata.checks import check
from tallystick.testing.sdata.expecting import CheckSkipped, expect
from tallystick.testing.sdata.probe import Probe, pages

# 5. Linking -----------------------------------------------------------------------------------------------------


@check(5, "a link is made, read, re-pointed and removed", writes=True)
def links(probe: Probe) -> None:
    """Create, read, re-point, delete; then it is gone, and the resource shows no uuid."""
    feed = read_feed(probe.get("?count=50").body)
    free = [entry for entry in feed.entries if entry.payload is not None and not entry.uuid and entry.payload.url]
    if len(free) < 2:
        raise CheckSkipped("there are no two resources without uuid")
    first, second, identity = free[0].payload, free[1].payload, str(uuid.uuid4())
    assert first is not None
    assert second is not None
    answer = probe.send("POST", "/$linked", _link(first, identity), 201, Content_Type=ENTRY_TYPE)
    expect(answer.headers.get("location"), "the 201 has no Location")
    found = read_feed(probe.get(f"/$linked('{identity}')").body).entries[0].payload
    expect(found is not None and found.uuid == identity and found.key == first.key, "the link does not read back")
    probe.send("PUT", f"/$linked('{identity}')", _link(second, identity), Content_Type=ENTRY_TYPE)
    found = read_feed(probe.get(f"/$linked('{identity}')").body).entries[0].payload
    expect(found is not None and found.key == second.key, "the link was not re-pointed")
    probe.send("DELETE", f"/$linked('{identity}')")
    gone = probe.get(f"/$linked('{identity}')", None)
    expect(gone.status in (404, 410), f"the removed link answered {gone.status}")
    for payload in (first, second):
        entry = read_feed(probe.get(payload.url).body).entries[0]
        expect(not entry.uuid, "a resource shows a uuid after its link was removed")


def _link(resource: Payload, identity: str) -> bytes:
    payload = Payload(resource.name, resource.namespace, uuid=identity, url=resource.url)
    return write_entry_message(Entry(title="link", payload=payload))


# 6. Paging ------------------------------------------------------------------------------------------------------


@check(6, "pages of ten chain from the first to the last and back")
def paging(probe: Probe) -> None:
    """count=10; first, next, previous, last."""
    feeds = pages(probe, "?count=10")
    total = feeds[0].head.total
    expect(total == sum(len(feed.entries) for feed in feeds), "the pages do not add up to totalResults")
    expect(feeds[0].head.link("previous") is None, "the first page has a previous link")
    expect(feeds[-1].head.link("next") is None, "the last page has a next link")
    expect(
        all(feed.head.mode and feed.head.digest == feeds[0].head.digest for feed in feeds), "a page differs in digest"
    )
    if len(feeds) > 1:
        expect(all(feed.head.link("previous") for feed in feeds[1:]), "a later page has no previous link")
        expect(all(len(feed.entries) == len(feeds[0].entries) for feed in feeds[:-1]), "page sizes differ")


@check(6, "an ordinary feed pages too, and count=0 is an empty page with totals")
def counting(probe: Probe) -> None:
    """E3 counts resources and links so."""
    for path in ("?count=0", "/$linked?count=0"):
        feed = read_feed(probe.get(path).body)
        expect(not feed.entries, f"{path} has entries")
        expect(feed.head.total is not None, f"{path} has no totalResults")
