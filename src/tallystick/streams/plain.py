"""Changes as plain data: what commands print, and what is sent as events and to webhooks."""

from __future__ import annotations

import json
from typing import Any

from tallystick.streams.changes import Change
from tallystick.streams.notifications import event_of


def plain(change: Change, *, content: bool = True, live: bool = False) -> dict[str, Any]:
    """A change as data for JSON, without its state. ``live``: told to somebody who was there before.

    Bytes are written in hexadecimal.
    """
    event = event_of(change) if live else "deleted" if change.deleted else "created" if change.new else "updated"
    found: dict[str, Any] = {
        "event": str(event),
        "resource": change.resource,
        "key": change.key,
        "deleted": change.deleted,
        "seq": change.seq,
        "origin": change.origin,
        "tick": change.tick,
    }
    if content:
        found["content"] = change.content
    return found


def as_json(data: Any) -> str:
    """Plain data as one line of JSON."""
    return json.dumps(data, default=_written, ensure_ascii=False, separators=(",", ":"))


def _written(value: Any) -> str:
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)
