"""``$linked``: uuid and local key of one resource, correlated (spec 11)."""

from __future__ import annotations

from urllib.parse import urlsplit

from tallystick.protocols.sdata.codec.diagnoses import SDataCode
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import Feed, FeedHead
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE, LINKED
from tallystick.protocols.sdata.codec.payloads import Payload, checked_uuid
from tallystick.protocols.sdata.codec.urls import parse_path, resource_url, segment_url
from tallystick.protocols.sdata.errors import BadUrl
from tallystick.protocols.sdata.provider.calls import Answer, Call, Refusal
from tallystick.protocols.sdata.provider.paging import page_asked
from tallystick.protocols.sdata.provider.resource_handlers import selected_names
from tallystick.protocols.sdata.results import stored_payload
from tallystick.protocols.sdata.store import NoResource, Resource
from tallystick.protocols.sdata.sync_feeds import paging_links


def linked(call: Call) -> Answer:
    """GET, POST, PUT, DELETE of links. No ETags (spec 11)."""
    call.require("sync")
    selector = call.target.segments[0].selector
    if selector is None:
        call.expect("GET", "POST")
        return _post(call) if call.method == "POST" else call.answer_feed(_feed(call))
    call.expect("GET", "PUT", "DELETE")
    uuid = checked_uuid(selector.key or "")
    if call.method == "DELETE":
        call.store.unlink(call.kind, uuid)
        return Answer()
    if call.method == "PUT":
        return call.answer_entry(link_entry(call, call.store.relink(call.kind, uuid, key_given(call, call.entry()))))
    return call.answer_entry(link_entry(call, call.store.by_uuid(call.kind, uuid)))


def _feed(call: Call) -> Feed:
    start, count = page_asked(call)
    found = call.store.linked(call.kind, start, count)
    url = segment_url(call.endpoint, LINKED)
    head = FeedHead(
        id=url,
        title=f"{call.kind.name} linked resources",
        updated=call.stamp,
        author=call.author,
        term="collection",
        links=paging_links(url, found.total, start, count),
        total=found.total,
        start=start,
        per_page=count,
    )
    return Feed(head, [link_entry(call, resource) for resource in found.resources])


def link_entry(call: Call, resource: Resource) -> Entry:
    """The entry of a link: the payload has uuid, key and url; ``select=`` leaves it without content."""
    url = segment_url(call.endpoint, LINKED, resource.uuid)
    payload = stored_payload(resource, resource_url(call.endpoint, resource.key))
    shown = selected_names(call)
    if shown is not None:
        fields = {name: value for name, value in payload.fields.items() if name in shown}
        payload = Payload(payload.name, payload.namespace, fields, payload.uuid, payload.key, payload.url)
    return Entry(
        id=url, title=resource.title, updated=resource.updated, links=(Link("self", url, ENTRY_TYPE),), payload=payload
    )


def _post(call: Call) -> Answer:
    entry = call.entry()
    resource = link(call, entry)
    location = segment_url(call.endpoint, LINKED, resource.uuid)
    return call.answer_entry(link_entry(call, resource), 201, {"Location": location})


def link(call: Call, entry: Entry) -> Resource:
    """The resource that ``entry`` links: its url is mandatory, its uuid is made where it is absent."""
    return call.store.link(call.kind, key_given(call, entry), entry.uuid)


def key_given(call: Call, entry: Entry) -> str:
    """The key of the existing resource that the payload's url names.

    Raises a Refusal with 400 when there is no url, it is of another kind, or nothing is there.
    """
    url = "" if entry.payload is None else entry.payload.url
    if not url:
        raise Refusal(400, "the payload has no sdata:url", hint="name an existing resource by its url")
    key = key_in_url(url, call.kind.name)
    if key is None:
        raise Refusal(400, f"{url[:120]!r} names no {call.kind.element}", sdata=SDataCode.BAD_URL_SYNTAX)
    try:
        return call.store.resource(call.kind, key).key
    except NoResource as error:
        raise Refusal(400, error.message, hint="link a resource that exists") from error


def key_in_url(url: str, kind: str) -> str | None:
    """The key in a resource URL of ``kind``, whatever name the caller knows this server by; None when it has none."""
    try:
        parts = parse_path(urlsplit(url).path)
    except (BadUrl, ValueError):
        return None
    last = parts[-1] if parts else None
    if last is None or last.selector is None or last.name.lower() != kind.lower():
        return None
    return last.selector.key
