"""Ordinary SData: feeds with queries, single resources, templates (spec 12 *Query*, *Feed*, *Entry*, *CRUD*)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from tallystick.core.filter_text import parse
from tallystick.protocols.sdata.codec.diagnoses import SDataCode
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.feeds import Feed, FeedHead
from tallystick.protocols.sdata.codec.kinds import Relationship
from tallystick.protocols.sdata.codec.names import ENTRY_TYPE, FEED_TYPE, RELATIONS, XML_TYPE
from tallystick.protocols.sdata.codec.payloads import Collection, Field, Payload
from tallystick.protocols.sdata.codec.urls import resource_url
from tallystick.protocols.sdata.provider.calls import Answer, Call, Refusal
from tallystick.protocols.sdata.provider.paging import page_asked
from tallystick.protocols.sdata.results import stored_payload
from tallystick.protocols.sdata.store import NoResource, Query, Resource, StaleETag
from tallystick.protocols.sdata.sync_feeds import paging_links

ALL_CHILDREN: Final = "$children"
_REPEATED: Final = ("where", "orderBy", "select", "include", "search", "format", "precedence", "language")


def collection(call: Call) -> Answer:
    """The feed of a kind, or a new resource of it."""
    call.expect("GET", "POST")
    if call.method == "POST":
        call.require("write")
        return _create(call)
    call.require("read")
    return call.answer_feed(_feed(call))


def _feed(call: Call) -> Feed:
    start, count = page_asked(call)
    found = call.store.find(call.kind, query_of(call, start, count))
    repeated = {name: call.arguments.text(name) for name in _REPEATED if call.arguments.has(name)}
    endpoint = call.endpoint
    links = (
        *paging_links(endpoint, found.total, start, count, **repeated),
        Link(f"{RELATIONS}schema", f"{endpoint}/$schema", XML_TYPE),
        Link(f"{RELATIONS}template", f"{endpoint}/$template", ENTRY_TYPE),
        Link(f"{RELATIONS}post", endpoint, ENTRY_TYPE),
    )
    head = FeedHead(
        id=endpoint,
        title=call.kind.label or call.kind.name,
        updated=call.stamp,
        author=call.author,
        term="collection",
        links=links,
        total=found.total,
        start=start,
        per_page=count,
    )
    shown = selected_names(call)
    wanted = _names(call.arguments.text("include"))
    return Feed(head, [_in_feed(call, resource, shown, wanted) for resource in found.resources])


def query_of(call: Call, start: int, count: int) -> Query:
    """The query in the arguments. Raises FilterError, or a Refusal for an orderBy that cannot be read."""
    where = call.arguments.text("where").strip()
    return Query(
        where=parse(where) if where else None,
        search=call.arguments.text("search").strip(),
        order=tuple(_order(call.arguments.text("orderBy"))),
        start=start,
        count=count,
    )


def _order(text: str) -> Iterable[tuple[str, bool]]:
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, direction = piece.partition(" ")
        if direction.strip().lower() not in ("", "asc", "desc"):
            raise Refusal(400, f"orderBy={piece[:60]!r} cannot be read", sdata=SDataCode.BAD_QUERY_PARAMETER)
        yield name, direction.strip().lower() == "desc"


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, (piece.strip() for piece in text.split(","))))


def selected_names(call: Call) -> frozenset[str] | None:
    """The properties that ``select`` asks for; None without it, nothing at all when it is empty (spec 11).

    Raises a Refusal with 400 for a property that the kind lacks.
    """
    if not call.arguments.has("select"):
        return None
    names = _names(call.arguments.text("select"))
    if "*" in names:
        return None
    for name in names:
        if not name.startswith("$") and call.kind.find(name.partition("/")[0]) is None:
            raise Refusal(400, f"{call.kind.name} has no property {name[:60]!r}", sdata=SDataCode.BAD_QUERY_PARAMETER)
    return frozenset(name.partition("/")[0] for name in names)


def resource_entry(call: Call, resource: Resource, shown: frozenset[str] | None = None) -> Entry:
    """The entry of a stored resource; ``shown`` limits its properties."""
    url = resource_url(call.endpoint, resource.key)
    payload = stored_payload(resource, url)
    if shown is not None:
        kept = {name: value for name, value in payload.fields.items() if name in shown}
        payload = msgspec.structs.replace(payload, fields=kept)
    return Entry(
        id=url,
        title=resource.title,
        updated=resource.updated,
        etag=resource.etag,
        links=(Link("self", url, ENTRY_TYPE),),
        payload=payload,
    )


def _in_feed(call: Call, resource: Resource, shown: frozenset[str] | None, wanted: frozenset[str]) -> Entry:
    """In feeds lists of children are links, until ``include`` or ``select`` asks for them."""
    entry = resource_entry(call, resource, shown)
    if ALL_CHILDREN in wanted or entry.payload is None:
        return entry
    fields: dict[str, Field] = {}
    for name, value in entry.payload.fields.items():
        if isinstance(value, Collection) and name not in wanted and shown is None:
            value = Collection(url=f"{entry.id}/{name}")
        fields[name] = value
    return msgspec.structs.replace(entry, payload=msgspec.structs.replace(entry.payload, fields=fields))


# One resource ---------------------------------------------------------------------------------------------------


def single(call: Call) -> Answer:
    """GET, PUT, DELETE of the one resource that the selector names."""
    call.expect("GET", "PUT", "DELETE")
    call.require("read" if call.method == "GET" else "write")
    key = selected_key(call)
    try:
        if call.method == "PUT":
            return _update(call, key)
        if call.method == "DELETE":
            call.store.delete(call.kind, key, etag_given(call.headers.get("if-match")))
            return Answer()
    except StaleETag as error:
        return _with_etag(call, error.current, 412)
    resource = call.store.resource(call.kind, key)
    if resource.etag and etag_given(call.headers.get("if-none-match")) == resource.etag:
        return Answer(304, {"ETag": f'"{resource.etag}"'})
    if call.target.path:
        return _property(call, resource)
    return _with_etag(call, resource, 200, selected_names(call))


def selected_key(call: Call) -> str:
    """The key of the resource that the URL names, by key or by a where clause that matches exactly one.

    Raises a Refusal with 400 when it matches several, NoResource when none.
    """
    selector = call.target.selector
    assert selector is not None
    if selector.key is not None:
        return selector.key
    found = call.store.find(call.kind, Query(where=parse(selector.where or ""), count=2))
    if found.total > 1:
        raise Refusal(400, f"the selector matches {found.total} resources", sdata=SDataCode.BAD_URL_SYNTAX)
    if not found.resources:
        raise NoResource(f"no {call.kind.element} matches the selector")
    return found.resources[0].key


def etag_given(header: str | None) -> str | None:
    """The etag in If-Match or If-None-Match, quoted or not; None when there is none or it is ``*``."""
    if header is None or header.strip() in ("", "*"):
        return None
    return header.strip().removeprefix("W/").strip('"')


def _with_etag(call: Call, resource: Resource, status: int, shown: frozenset[str] | None = None) -> Answer:
    headers = {"ETag": f'"{resource.etag}"'}
    if status == 201:
        headers["Location"] = resource_url(call.endpoint, resource.key)
    return call.answer_entry(resource_entry(call, resource, shown), status, headers)


def _property(call: Call, resource: Resource) -> Answer:
    """``kind('key')/property``: a child list or a nested resource by itself."""
    name = call.target.path[0].name
    value = resource.payload.fields.get(name)
    if len(call.target.path) > 1 or not isinstance(value, Collection | Payload):
        raise NoResource(f"{call.kind.element} {resource.key!r} has no {name[:60]!r} to be read by itself")
    url = f"{resource_url(call.endpoint, resource.key)}/{name}"
    items = value.items if isinstance(value, Collection) else (value,)
    related = call.kind.find(name)
    namespace = call.contract.namespace
    entries = [
        Entry(
            id=f"{url}('{item.uuid or number}')",
            title=item.descriptor or (related.label if related is not None else "") or name,
            updated=resource.updated,
            payload=msgspec.structs.replace(item, namespace=item.namespace or namespace),
        )
        for number, item in enumerate(items, 1)
    ]
    if isinstance(value, Payload):
        return call.answer_entry(entries[0])
    head = FeedHead(
        id=url,
        title=name,
        updated=resource.updated,
        term="collection",
        links=(Link("self", url, FEED_TYPE),),
        total=len(entries),
        start=1,
        per_page=len(entries),
    )
    return call.answer_feed(Feed(head, entries))


def posted_payload(call: Call, entry: Entry) -> Payload:
    """The payload of a posted entry. Raises a Refusal with 400 when there is none, or it is of another kind."""
    payload = entry.payload
    if payload is None or not payload.name:
        raise Refusal(400, "the entry has no payload")
    if payload.name != call.kind.element:
        raise Refusal(400, f"the payload is a {payload.name[:60]!r}, not a {call.kind.element!r}")
    return msgspec.structs.replace(payload, namespace=call.contract.namespace)


def _create(call: Call) -> Answer:
    resource, _ = call.store.create(call.kind, posted_payload(call, call.entry()))
    return _with_etag(call, resource, 201)


def _update(call: Call, key: str) -> Answer:
    entry = call.entry()
    header = call.headers.get("if-match")
    if header is None and not (entry.etag or entry.if_match):
        raise Refusal(400, "PUT needs If-Match", hint="send the ETag that the resource had when it was read")
    etag = etag_given(header) if header is not None else etag_given(entry.if_match or entry.etag)
    return _with_etag(call, call.store.update(call.kind, key, posted_payload(call, entry), etag), 200)


def template(call: Call) -> Answer:
    """``$template``: an entry with every property, all null."""
    call.expect("GET")
    call.require("read")
    fields: dict[str, Field] = {
        found.name: Collection() if found.collection else None
        for found in call.kind.properties
        if found.relationship is not Relationship.PARENT
    }
    url = f"{call.endpoint}/$template"
    payload = Payload(call.kind.element, call.contract.namespace, fields)
    return call.answer_entry(Entry(id=url, title=f"{call.kind.name} template", updated=call.stamp, payload=payload))
