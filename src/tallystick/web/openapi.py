"""The OpenAPI document of the native protocol, made from the types it is spoken with (docs/protocol.md)."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.protocols.native.codec.errors import ErrorForm
from tallystick.protocols.native.codec.messages import BLOCKS, JSON, LINES, MAJOR, MSGPACK, VERBS, Verb
from tallystick.site.users import Role
from tallystick.version import VERSION
from tallystick.web import openapi_events

_REFERENCE = "#/components/schemas/{name}"
_SAYS = {
    "describe": "Introduce the site: identity and resources",
    "prepare": "Track tables, and create those that are missing",
    "meet": "Exchange states and histories",
    "digest": "What the site knows of a scope",
    "ranges": "Compare ranges of keys",
    "older": "Which of some records are older than tracking",
    "unreferred": "Which of some records have a row that none refers to",
    "naturals": "Keys of records by the values of some columns",
    "rekey": "Give records older than tracking other keys",
    "reconcile": "Let go of records whose deletion the other end has purged",
    "check": "Recompute records from the data",
    "heal": "Take rows that bypassed capture as edits",
    "announce": "How much changes would send",
    "changes": "Pages of what is new to somebody",
    "apply": "Apply one page",
    "acknowledge": "End a pass",
    "conclude": "Apply the last page and end a pass",
}
_STATUSES = {
    "400": "The request cannot be read, or says what it cannot",
    "401": "Credentials are missing or wrong",
    "403": "The role does not suffice",
    "404": "There is no such resource or verb",
    "405": "The method is not taken here",
    "406": "Nothing that is accepted is offered",
    "408": "The request did not come in time",
    "409": "The state, or the site, does not allow it",
    "410": "The state has expired",
    "413": "Larger than is taken",
    "414": "The address is too long",
    "415": "The media type is not taken",
    "421": "A site without users answers its own machine only",
    "422": "The schema does not allow it",
    "431": "The headers are too large",
    "500": "A defect of the site",
    "503": "Busy, or the storage is; repeat later",
    "507": "The storage is full",
}


def document(server: str = "/") -> dict[str, Any]:
    """The document. ``server`` is the base address."""
    kinds = [kind for verb in VERBS.values() for kind in (verb.request, verb.answer) if _has_schema(kind)]
    schemas, components = msgspec.json.schema_components([*kinds, ErrorForm], ref_template=_REFERENCE)
    found = {repr(kind): schema for kind, schema in zip([*kinds, ErrorForm], schemas, strict=True)}
    _settle(components)
    _settle(list(schemas))
    paths: dict[str, Any] = {f"/v{MAJOR}/{verb.name}": _path(verb, found) for verb in VERBS.values()}
    paths.update(_others())
    paths.update(openapi_events.paths(_refusals()))
    components.update(openapi_events.schemas())
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick, native protocol",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Two sites over HTTP. docs/protocol.md says what everything means.",
        },
        "servers": [{"url": server}],
        "security": [{"basic": []}, {}],
        "paths": paths,
        "webhooks": openapi_events.webhooks(),
        "components": {
            "schemas": components,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "responses": {status: _refusal(says) for status, says in _STATUSES.items()},
        },
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    return plain


def _has_schema(kind: Any) -> bool:
    return kind is not None and kind is not msgspec.UnsetType


def _settle(schema: Any) -> None:
    """Say of integers what the types cannot: 64 bits hold every one. And of tuples what every tool understands."""
    if isinstance(schema, dict):
        if schema.get("type") == "integer":
            schema.setdefault("minimum", -(1 << 63))
            schema.setdefault("maximum", (1 << 63) - 1)
        if "prefixItems" in schema:
            kinds = schema.pop("prefixItems")
            schema["items"] = kinds[0] if kinds.count(kinds[0]) == len(kinds) else {"anyOf": kinds}
        for part in schema.values():
            _settle(part)
    elif isinstance(schema, list):
        for part in schema:
            _settle(part)


def _path(verb: Verb, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": verb.name,
        "summary": _SAYS[verb.name],
        "description": f"Needs the role {verb.role}.",
        "responses": {"200": _answer(verb, schemas), **_refusals()},
    }
    if verb.name == "describe":
        operation["parameters"] = [_header("If-None-Match", "The tag of an answer that is known")]
        operation["responses"]["304"] = {"description": "Unchanged"}
        return {"get": operation}
    operation["requestBody"] = {"required": True, "content": _request(verb, schemas)}
    if verb.name != "changes":
        return {"post": operation}
    asked = {**operation, "operationId": "changes_since", "parameters": _CHANGES}
    del asked["requestBody"]
    return {"get": asked, "post": operation}


_CHANGES = [
    {
        "name": "resource",
        "in": "query",
        "description": "Resources; all when none is named",
        "schema": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 512}},
        "style": "form",
        "explode": True,
    },
    {"name": "state", "in": "query", "description": "Everything beyond it", "schema": {"type": "string"}},
]


def _request(verb: Verb, schemas: dict[str, Any]) -> dict[str, Any]:
    if verb.name in ("apply", "conclude"):
        said = "settings, page, rows" if verb.name == "apply" else "settings, closing, meeting, page, rows"
        return {
            LINES: {"schema": {"type": "string", "description": f"{said}: see NDJSON"}},
            BLOCKS: {"schema": {"type": "string", "format": "binary"}},
        }
    return {JSON: {"schema": schemas[repr(verb.request)]}, MSGPACK: {"schema": {"type": "string", "format": "binary"}}}


def _answer(verb: Verb, schemas: dict[str, Any]) -> dict[str, Any]:
    if verb.name == "changes":
        content: dict[str, Any] = {
            LINES: {"schema": {"type": "string"}},
            BLOCKS: {"schema": {"type": "string", "format": "binary"}},
        }
    else:
        schema = schemas[repr(verb.answer)] if verb.answer is not None else {"type": "null"}
        content = {JSON: {"schema": schema}, MSGPACK: {"schema": {"type": "string", "format": "binary"}}}
    version = {"description": "Version of the protocol", "schema": {"type": "string"}}
    return {"description": "Done", "headers": {"Tallystick-Protocol": version}, "content": content}


def _refusals() -> dict[str, Any]:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in _STATUSES}


def _refusal(says: str) -> dict[str, Any]:
    return {"description": says, "content": {JSON: {"schema": {"$ref": _REFERENCE.format(name="ErrorForm")}}}}


def _header(name: str, says: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": says, "schema": {"type": "string"}}


def _others() -> dict[str, Any]:
    plain = {"description": "Done", "content": {"text/plain": {"schema": {"type": "string"}}}}
    listed = {"description": "Done", "content": {JSON: {"schema": {"type": "object"}}}}
    return {
        "/versions": {
            "get": {"operationId": "versions", "summary": "Protocols served here", "responses": {"200": listed}}
        },
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "Counters for Prometheus",
                "description": f"Needs the role {Role.READ}.",
                "responses": {
                    "200": plain,
                    **{s: {"$ref": f"#/components/responses/{s}"} for s in ("401", "421", "503")},
                },
            }
        },
    }
