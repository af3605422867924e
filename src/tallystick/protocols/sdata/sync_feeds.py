"""Sync feeds between wire and rules: what a target checks in one, how a source lays one out (spec 7). Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tallystick.protocols.sdata.codec.digests import Digest, check_state, endpoint_key
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, IMMEDIATE, Feed, FeedHead
from tallystick.protocols.sdata.codec.names import FEED_TYPE
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.codec.urls import resource_url, with_arguments
from tallystick.protocols.sdata.errors import MalformedMessage
from tallystick.protocols.sdata.rules.application import Incoming
from tallystick.protocols.sdata.rules.standing import Page, pass_identity
from tallystick.protocols.sdata.store import Resource


def checked_page(
    feed: Feed, run_name: str = "", run_stamp: str = "", own: str = ""
) -> tuple[Page, list[Incoming], bool]:
    """What the rules need of a posted sync feed: page, entries, and whether its mode is immediate.

    ``own`` is the receiving endpoint: its own changes may come back beyond the digest after a restore (9.9).

    Raises MalformedMessage for a feed without digest or syncMode, for an entry without sync state or uuid, or with a
    tick beyond the digest: none of the page is to be applied.
    """
    head = feed.head
    if head.digest is None:
        raise MalformedMessage("the sync feed has no digest")
    if not head.mode:
        raise MalformedMessage("the sync feed has no syncMode")
    incoming = _incoming(feed.entries, head.digest, endpoint_key(own))
    page = Page(
        head.digest,
        pass_identity(head.id, head.digest.origin, run_name, run_stamp),
        start=head.start,
        entries=len(incoming),
        first=head.start <= 1 if head.start is not None else head.link("previous") is None,
        last=head.last,
    )
    return page, incoming, head.mode == IMMEDIATE


def checked_extract(feed: Feed, run_name: str = "", own: str = "") -> tuple[Page, list[Incoming], bool]:
    """What the rules need of an extract, as `checked_page` finds it: the page ends no pass, whatever its links say."""
    page, incoming, _ = checked_page(
        msgspec.structs.replace(feed, head=msgspec.structs.replace(feed.head, mode=CATCH_UP)), run_name, own=own
    )
    return msgspec.structs.replace(page, first=False, last=False), incoming, False


def is_extract(feed: Feed) -> bool:
    """True for a feed with a digest and no syncMode: part of what its source has to tell, which moves no digest."""
    return feed.head.digest is not None and not feed.head.mode


def _incoming(entries: Sequence[Entry], digest: Digest, mine: str) -> list[Incoming]:
    made = []
    for number, entry in enumerate(entries, 1):
        state, uuid = entry.state, entry.uuid
        if state is None:
            raise MalformedMessage(f"entry {number} of the sync feed has no sync state")
        if not uuid:
            raise MalformedMessage(f"entry {number} of the sync feed has no uuid")
        if not mine or state.key != mine:
            check_state(state, digest)
        made.append(Incoming(uuid, state))
    return made


def source_page(
    *,
    kind: str,
    endpoint: str,
    job_url: str,
    author: str,
    updated: str,
    digest: Digest,
    resources: Sequence[Resource],
    total: int,
    start: int,
    count: int,
    immediate: bool = False,
) -> Feed:
    """A page of a source job: the same id on every page, digest and mode on each, no next link on the last."""
    head = FeedHead(
        id=job_url,
        title=f"{kind} synchronization source feed",
        updated=updated,
        author=author,
        term="collection",
        links=paging_links(job_url, total, start, count),
        total=total,
        start=start,
        per_page=count,
        mode=IMMEDIATE if immediate else CATCH_UP,
        digest=digest,
    )
    return Feed(head, [source_entry(resource, endpoint) for resource in resources])


def extract_feed(
    *, kind: str, endpoint: str, author: str, updated: str, digest: Digest, resources: Sequence[Resource]
) -> Feed:
    """Some of what a source has to tell, with states and digest: having no syncMode, no ``$syncTarget`` takes it."""
    head = FeedHead(
        id=endpoint,
        title=f"{kind} extract",
        updated=updated,
        author=author,
        term="collection",
        links=(Link("self", endpoint, FEED_TYPE),),
        digest=digest,
    )
    return Feed(head, [source_entry(resource, endpoint) for resource in resources])


def source_entry(resource: Resource, endpoint: str) -> Entry:
    """The entry of one changed resource. The method is only a hint, which an old validation suite demands (C3)."""
    payload = resource.payload
    if resource.deleted:
        payload = Payload(payload.name, payload.namespace, uuid=resource.uuid, deleted=True)
    elif payload.uuid != resource.uuid:
        payload = Payload(payload.name, payload.namespace, payload.fields, resource.uuid)
    return Entry(
        id=resource_url(endpoint, resource.key),
        title=resource.title,
        updated=resource.updated,
        method="DELETE" if resource.deleted else "PUT",
        state=resource.state,
        payload=payload,
        extension=resource.extension,
    )


def paging_links(url: str, total: int, start: int, count: int, **arguments: str) -> tuple[Link, ...]:
    """The links of a page: self, first, last, next and previous where there are such pages (spec 7; K 6.4).

    ``arguments`` are repeated in every link. Page size 0 (E3) has no neighbours.
    """

    def at(index: int) -> str:
        return with_arguments(url, **arguments, startIndex=index, count=count)

    here = with_arguments(url, **arguments)
    if count <= 0:
        return (Link("self", here, FEED_TYPE),)
    links = [Link("self", here if start == 1 and total <= count else at(start), FEED_TYPE)]
    if total <= count and start == 1:
        return tuple(links)
    links.append(Link("first", at(1), FEED_TYPE))
    links.append(Link("last", at(max(total - 1, 0) // count * count + 1), FEED_TYPE))
    if start + count <= total:
        links.append(Link("next", at(start + count), FEED_TYPE))
    if start > 1:
        links.append(Link("previous", at(max(start - count, 1)), FEED_TYPE))
    return tuple(links)
