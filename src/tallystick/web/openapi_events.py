"""The part of the OpenAPI document that is about events and webhooks (docs/notifications.md)."""

from __future__ import annotations

from typing import Any

from tallystick.protocols.native.codec.messages import JSON
from tallystick.site.users import Role
from tallystick.web.events import RESOURCES, SITE, STREAM

EVENT = "Event"
DELIVERY = "Delivery"
_REFERENCE = "#/components/schemas/{}"
_FLAG = {"type": "boolean"}
_SENT = {
    "type": "object",
    "description": f"One event of the stream. The data is JSON: of a change as in the schema {EVENT}",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["state", "created", "updated", "deleted", "error"]},
        "id": {"type": "string", "description": "The state behind the event"},
        "data": {"type": "string", "contentMediaType": JSON},
    },
}
_NAME = {"type": "string", "minLength": 1, "maxLength": 512}


def paths(refusals: dict[str, Any]) -> dict[str, Any]:
    """The addresses of events; ``refusals`` are the responses other than 200."""
    return {
        SITE: {"get": _operation("events", "Events of the site", [_several(), *_parameters()], refusals)},
        f"{RESOURCES}{{name}}/events": {
            "get": _operation("resource_events", "Events of one resource", [_named(), *_parameters()], refusals)
        },
    }


def webhooks() -> dict[str, Any]:
    """What is sent to webhooks."""
    content = {JSON: {"schema": {"$ref": _REFERENCE.format(DELIVERY)}}}
    headers = [
        _header("webhook-id", "Names the delivery; the same when it is tried again"),
        _header("webhook-timestamp", "When it was sent, seconds since 1970"),
        _header("webhook-signature", "v1, and the HMAC-SHA256 of identifier, time and body in base64"),
    ]
    answers = {"2XX": {"description": "Taken"}, "410": {"description": "Nothing is wanted any more"}}
    answers["default"] = {"description": "Not taken: it is tried again, with growing pauses"}
    return {
        "changes": {
            "post": {
                "operationId": "delivery",
                "summary": "Changes, as a webhook is sent them",
                "parameters": headers,
                "requestBody": {"required": True, "content": content},
                "responses": answers,
            }
        }
    }


def schemas() -> dict[str, Any]:
    """The data of an event, and the body of a delivery."""
    whole = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}
    text = {"type": "string"}
    event = {
        "type": "object",
        "description": "The data of an event of a change; a message of a WebSocket has ``state`` as well",
        "required": ["event", "resource", "key", "deleted", "seq", "origin", "tick"],
        "properties": {
            "event": {"enum": ["created", "updated", "deleted"]},
            "resource": text,
            "key": text,
            "deleted": {"type": "boolean"},
            "seq": whole,
            "origin": text,
            "tick": whole,
            "content": {"type": ["object", "null"], "description": "Left out with content=false"},
        },
    }
    delivery = {
        "type": "object",
        "required": ["site", "delivery", "state", "more", "changes"],
        "properties": {
            "site": text,
            "delivery": text,
            "state": {**text, "description": "The state behind the changes"},
            "more": {"type": "boolean", "description": "Another delivery follows at once"},
            "changes": {"type": "array", "items": {"$ref": _REFERENCE.format(EVENT)}},
        },
    }
    return {EVENT: event, DELIVERY: delivery}


def _operation(name: str, summary: str, parameters: list[Any], refusals: dict[str, Any]) -> dict[str, Any]:
    stream = {"schema": _SENT}
    return {
        "operationId": name,
        "summary": summary,
        "description": f"Needs the role {Role.READ}. Server-Sent Events; a WebSocket at the same address gets the same "
        "as messages, and is closed with 1008 when something is wrong.",
        "parameters": [*parameters, _header("Last-Event-ID", "The state to begin behind, before ``state``")],
        "responses": {"200": {"description": "Events, until the client goes", "content": {STREAM: stream}}, **refusals},
    }


def _parameters() -> list[dict[str, Any]]:
    return [
        _query("state", {"type": "string"}, "Begin behind this state; without one the stream begins now"),
        _query("beginning", {**_FLAG, "default": False}, "Begin with everything there is"),
        _query("follow", {**_FLAG, "default": True}, "false: end when everything was sent"),
        _query("content", {**_FLAG, "default": True}, "false: events and keys only"),
        _query("where", {"type": "string"}, "A filter, with one resource"),
        _query("resync", {"enum": ["diff"]}, "Where the state cannot be continued from, send the difference"),
    ]


def _several() -> dict[str, Any]:
    listed = {"type": "array", "items": _NAME}
    return {**_query("resource", listed, "Resources; all when none is named"), "style": "form", "explode": True}


def _named() -> dict[str, Any]:
    return {"name": "name", "in": "path", "required": True, "description": "The resource", "schema": _NAME}


def _query(name: str, schema: dict[str, Any], says: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": says, "schema": schema}


def _header(name: str, says: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": says, "schema": {"type": "string"}}
