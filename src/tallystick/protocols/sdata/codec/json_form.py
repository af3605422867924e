"""The JSON form of entries, feeds, digests and diagnoses, for later clients (spec 12 *JSON*). Pure.

Values of a known kind are JSON numbers and booleans where their type says so; everything else is text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from tallystick.core.values import Logical
from tallystick.protocols.sdata.codec.diagnoses import Diagnosis
from tallystick.protocols.sdata.codec.digest_messages import read_tick
from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, digest_of
from tallystick.protocols.sdata.codec.entries import Entry, Link
from tallystick.protocols.sdata.codec.escaping import checked_name
from tallystick.protocols.sdata.codec.feeds import CATCH_UP, IMMEDIATE, Feed, FeedHead
from tallystick.protocols.sdata.codec.kinds import Types
from tallystick.protocols.sdata.codec.names import MISSING_PRIORITY
from tallystick.protocols.sdata.codec.payloads import Collection, Field, Payload, checked_uuid
from tallystick.protocols.sdata.codec.stamps import NO_STAMP, read_stamp
from tallystick.protocols.sdata.codec.tracking import Tracking
from tallystick.protocols.sdata.errors import EncodingRefused, MalformedMessage, MessageTooLarge

_encode = msgspec.json.Encoder(decimal_format="number").encode
_DIGITS = 320
"""How many digits before or after the point a number may get by writing out its exponent: what a double can need."""
_RELATIONS = ("self", "first", "next", "previous", "last")


def write_entry_json(entry: Entry, types: Types) -> bytes:
    """The resource of ``entry`` as a JSON object."""
    return _encode(_entry_object(entry, types))


def write_feed_json(head: FeedHead, entries: Sequence[Entry], types: Types) -> bytes:
    """A feed as a JSON object with ``$resources``."""
    found: dict[str, Any] = {"$title": head.title, "$updated": head.updated}
    for link in head.links:
        if link.rel in _RELATIONS:
            found["$url" if link.rel == "self" else f"${link.rel}"] = link.href
    for name, value in (("$totalResults", head.total), ("$startIndex", head.start), ("$itemsPerPage", head.per_page)):
        if value is not None:
            found[name] = value
    if head.mode:
        found["$syncMode"] = head.mode
    if head.digest is not None:
        found["$digest"] = digest_object(head.digest)
    if head.diagnoses:
        found["$diagnoses"] = [_diagnosis_object(diagnosis) for diagnosis in head.diagnoses]
    found["$resources"] = [_entry_object(entry, types) for entry in entries]
    return _encode(found)


def write_diagnoses_json(diagnoses: Sequence[Diagnosis]) -> bytes:
    """An error body: an array, whose first element old clients read."""
    return _encode([_diagnosis_object(diagnosis) for diagnosis in diagnoses])


def write_tracking_json(tracking: Tracking) -> bytes:
    """A tracking body as a JSON object."""
    return _encode(
        {
            "$tracking": {
                "phase": tracking.phase,
                "phaseDetail": tracking.phase_detail,
                "progress": tracking.progress,
                "elapsedSeconds": tracking.elapsed_seconds,
                "remainingSeconds": tracking.remaining_seconds,
                "pollingMillis": tracking.polling_millis,
            }
        }
    )


def write_digest_json(digest: Digest, url: str, updated: str) -> bytes:
    """What ``GET $syncDigest?format=json`` answers."""
    return _encode({"$url": url, "$updated": updated, "$digest": digest_object(digest)})


def digest_object(digest: Digest) -> dict[str, Any]:
    """``{origin, digestEntry: [...]}``."""
    return {
        "origin": digest.origin,
        "digestEntry": [
            {
                "endpoint": entry.endpoint,
                "tick": max(entry.tick, 1),
                "stamp": entry.stamp,
                "conflictPriority": min(max(entry.priority, 1), 9),
            }
            for entry in digest.entries.values()
        ],
    }


def _diagnosis_object(diagnosis: Diagnosis) -> dict[str, str]:
    named = {
        "severity": diagnosis.severity.value,
        "sdataCode": str(diagnosis.code),
        "applicationCode": diagnosis.application_code,
        "message": diagnosis.message,
        "stackTrace": diagnosis.stack_trace,
        "payloadPath": diagnosis.payload_path,
    }
    return {name: value for name, value in named.items() if value}


def _entry_object(entry: Entry, types: Types) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if entry.payload is not None:
        found |= _payload_object(entry.payload, types)
    for name, value in (
        ("$title", entry.title),
        ("$updated", entry.updated),
        ("$etag", entry.etag),
        ("$httpMethod", entry.method),
        ("$httpStatus", entry.status),
        ("$httpMessage", entry.message),
        ("$location", entry.location),
        ("$ifMatch", entry.if_match),
    ):
        if value:
            found[name] = value
    if entry.state is not None:
        state = entry.state
        found["$syncState"] = {"endpoint": state.endpoint, "tick": state.tick, "stamp": state.stamp}
        if state.user:
            found["$syncState"]["user"] = state.user
    if entry.diagnoses:
        found["$diagnoses"] = [_diagnosis_object(diagnosis) for diagnosis in entry.diagnoses]
    return found


def _payload_object(payload: Payload, types: Types) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("key", "url", "uuid", "lookup", "descriptor"):
        value = getattr(payload, name)
        if value:
            found[f"${name}"] = value
    if payload.deleted:
        found["$isDeleted"] = True
    if payload.text:
        found["$value"] = payload.text
    for name, field in payload.fields.items():
        found[name] = _field_value(field, types.get(name))
    return found


def _field_value(field: Field, known: Logical | Types | None) -> Any:
    types = known if isinstance(known, Mapping) else {}
    if isinstance(field, Payload):
        return _payload_object(field, types)
    if isinstance(field, Collection):
        found: dict[str, Any] = {"$resources": [_payload_object(item, types) for item in field.items]}
        if field.delete_missing:
            found["$deleteMissing"] = True
        return found
    return _typed(field, known) if field is not None and isinstance(known, Logical) else field


def _typed(text: str, logical: Logical) -> Any:
    try:
        if logical is Logical.BOOL:
            return {"true": True, "1": True, "false": False, "0": False}.get(text, text)
        if logical is Logical.INT64:
            return int(text)
        if logical is Logical.DECIMAL:
            number = Decimal(text)
            return number if number.is_finite() else text
        if logical is Logical.FLOAT64 and text.lower().lstrip("+-") not in ("inf", "nan", "infinity"):
            return float(text)
    except (ArithmeticError, ValueError):
        return text
    return text


# Reading --------------------------------------------------------------------------------------------------------


def _exact(text: str) -> str:
    """A number with a fraction or an exponent as text, no digit lost; the exponent written out where that is short."""
    if "e" not in text and "E" not in text:
        return text
    try:
        number = Decimal(text)
    except ArithmeticError:
        return text
    return f"{number:f}" if abs(number.adjusted()) <= _DIGITS else text


_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=_exact)


def read_json(data: bytes, size: int) -> dict[str, Any]:
    """The JSON object that a message is.

    Raises MessageTooLarge, EncodingRefused, or MalformedMessage when it is not an object.
    """
    if len(data) > size:
        raise MessageTooLarge(f"the message has more than {size} bytes")
    try:
        found: dict[str, Any] = _decoder.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except UnicodeDecodeError as error:
        raise EncodingRefused("the message is not UTF-8") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedMessage(f"the message is no JSON object: {error}") from error
    return found


class Shape(NamedTuple):
    """What JSON does not say: the payload's element and namespace, and the elements inside its collections."""

    element: str
    namespace: str
    items: Mapping[str, str]
    depth: int = 32


def read_entry_json(found: Mapping[str, Any], shape: Shape) -> Entry:
    """The entry in a JSON object.

    Raises MalformedMessage or MessageTooLarge, ValueRejected for a property whose name is no XML name.
    """
    state = found.get("$syncState")
    return Entry(
        title=_text(found.get("$title")),
        updated=_text(found.get("$updated")),
        method=_text(found.get("$httpMethod")).upper(),
        etag=_text(found.get("$etag")),
        if_match=_text(found.get("$ifMatch")),
        status=found["$httpStatus"] if isinstance(found.get("$httpStatus"), int) else None,
        message=_text(found.get("$httpMessage")),
        location=_text(found.get("$location")),
        state=None if state is None else _read_state(state),
        payload=_read_payload(found, shape),
    )


def read_feed_json(found: Mapping[str, Any], shape: Shape, most: int) -> Feed:
    """The feed in a JSON object; one without ``$resources`` is a feed of one entry.

    Raises MessageTooLarge for more than ``most`` entries, MalformedMessage for what is no feed.
    """
    listed = found.get("$resources")
    if listed is None:
        return Feed(FeedHead(), [read_entry_json(found, shape)])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise MalformedMessage("$resources is not a list of objects")
    if len(listed) > most:
        raise MessageTooLarge(f"the message has more than {most} entries")
    mode = _text(found.get("$syncMode")).lower()
    if mode and mode not in (CATCH_UP.lower(), IMMEDIATE.lower()):
        raise MalformedMessage(f"{mode[:40]!r} is no syncMode")
    links = tuple(Link(name, found[f"${name}"]) for name in _RELATIONS[1:] if isinstance(found.get(f"${name}"), str))
    head = FeedHead(
        id=_text(found.get("$url")),
        links=links,
        total=_count(found.get("$totalResults")),
        start=_count(found.get("$startIndex")),
        per_page=_count(found.get("$itemsPerPage")),
        mode={CATCH_UP.lower(): CATCH_UP, IMMEDIATE.lower(): IMMEDIATE}.get(mode, ""),
        digest=read_digest_object(found["$digest"]) if "$digest" in found else None,
    )
    return Feed(head, [read_entry_json(item, shape) for item in listed])


def read_digest_object(found: Any) -> Digest:
    """The digest in ``{origin, digestEntry: [...]}``, or in an object that has it as ``$digest``.

    Raises MalformedMessage.
    """
    if isinstance(found, dict) and "$digest" in found:
        found = found["$digest"]
    listed = found.get("digestEntry", []) if isinstance(found, dict) else None
    if not isinstance(listed, list) or not all(isinstance(item, dict) and item.get("endpoint") for item in listed):
        raise MalformedMessage("the message has no digest with named endpoints")
    return digest_of(_text(found.get("origin")), [_read_digest_entry(item) for item in listed])


def _read_digest_entry(item: Mapping[str, Any]) -> DigestEntry:
    stamp, priority = _text(item.get("stamp")), item.get("conflictPriority")
    return DigestEntry(
        _text(item["endpoint"]),
        read_tick(_number_text(item.get("tick"))),
        read_stamp(stamp) if stamp else NO_STAMP,
        priority if isinstance(priority, int) and priority >= 1 else MISSING_PRIORITY,
    )


def _read_state(found: Any) -> SyncState:
    if not isinstance(found, dict) or not found.get("endpoint"):
        raise MalformedMessage("a sync state names no endpoint")
    stamp = _text(found.get("stamp"))
    tick = read_tick(_number_text(found.get("tick")))
    return SyncState(_text(found["endpoint"]), tick, read_stamp(stamp) if stamp else NO_STAMP, _text(found.get("user")))


def _read_payload(found: Mapping[str, Any], shape: Shape) -> Payload:
    if shape.depth <= 0:
        raise MessageTooLarge("a payload nests too deep")
    uuid = _text(found.get("$uuid"))
    return Payload(
        shape.element,
        shape.namespace,
        {checked_name(name): _read_field(name, value, shape) for name, value in found.items() if name[:1] != "$"},
        checked_uuid(uuid) if uuid else "",
        _text(found.get("$key")),
        _text(found.get("$url")),
        _text(found.get("$lookup")),
        _text(found.get("$descriptor")),
        found.get("$isDeleted") is True or _text(found.get("$httpMethod")).upper() == "DELETE",
        _text(found.get("$value")),
    )


def _read_field(name: str, value: Any, shape: Shape) -> Field:
    if isinstance(value, dict):
        listed = value.get("$resources")
        if not isinstance(listed, list):
            return _read_payload(value, Shape(name, "", shape.items, shape.depth - 1))
        return _read_collection(name, listed, value.get("$deleteMissing") is True, shape)
    if isinstance(value, list):
        return _read_collection(name, value, False, shape)
    return None if value is None else _text(value)


def _read_collection(name: str, listed: list[Any], delete_missing: bool, shape: Shape) -> Collection:
    inner = Shape(shape.items.get(name, name), "", shape.items, shape.depth - 1)
    items = tuple(
        _read_payload(item, inner) if isinstance(item, dict) else Payload(inner.element, text=_text(item))
        for item in listed
    )
    return Collection(items=items, delete_missing=delete_missing)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _number_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
