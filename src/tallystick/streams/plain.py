"""Changes as plain data: what commands print, and what is sent as events and to webhooks."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from tallystick.streams.changes import Change
from tallystick.streams.notifications import event_of


def plain(change: Change, *, content: bool = True, live: bool = False) -> dict[str, Any]:
    """A change as data for JSON, without its state. ``live``: told to somebody who was there before.

    Bytes are written in hexadecimal, numbers that are none as text.
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
    """Plain data as one line of JSON. Infinity and NaN, for which JSON has no form, become text of that name."""
    try:
        return _encoder.encode(data)
    except ValueError:
        return _encoder.encode(_finite(data))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, float) and not isfinite(data):
        return "NaN" if data != data else "Infinity" if data > 0 else "-Infinity"
    return data


def _written(value: Any) -> str:
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)


_encoder = json.JSONEncoder(default=_written, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
