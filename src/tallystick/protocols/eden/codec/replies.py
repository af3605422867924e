"""JSON messages: the reply to a push, registration, failures (spec: sections 4.1, 5 and 7)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tallystick.protocols.eden.codec.elements import Resource
from tallystick.protocols.eden.codec.encoding import given
from tallystick.protocols.eden.codec.json_format import read_json, resource_object
from tallystick.protocols.eden.errors import DocumentError, UnreadableReply

_IGNORED = " - invalid items ignored"
_REPLY_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class PushReply:
    """What became of a push.

    ``records`` counts main-table records processed without error. The lists hold the receiver's local ids. A real Eden
    lists records that its policies left alone under ``updated`` and ``deleted`` too; Tallystick reports them apart, as
    ``unchanged``, ``skipped`` and ``conflicts`` (section 17), in members that Eden does not read. ``rejected`` are the
    records with an error, each with its reasons. ``errors`` are those of the document as a whole.
    """

    success: bool = True
    status: int = 200
    message: str | None = None
    records: int = 0
    created: list[int] = field(default_factory=list)
    updated: list[int] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    conflicts: list[int] = field(default_factory=list)
    rejected: list[Resource] = field(default_factory=list)

    @property
    def rejected_uuids(self) -> tuple[str, ...]:
        """The identifiers of the rejected records."""
        return tuple(one.uuid for one in self.rejected if one.uuid)

    @property
    def issues(self) -> list[str]:
        """One line per rejected value: ``(UID: ..) table.field=value: reason``, as Eden's log has it."""
        return [line for resource in self.rejected for line in issues_of(resource)]


_ID_LISTS = ("created", "updated", "deleted", "unchanged", "skipped", "conflicts")


def write_reply(reply: PushReply) -> bytes:
    """The JSON of a reply."""
    members: dict[str, Any] = {"status": _status(reply.success), "statuscode": str(reply.status)}
    message = reply.message
    if message is None and reply.rejected:
        message = f"{reply.rejected[0].error or 'Validation error'}{_IGNORED}"
    if message is not None:
        members["message"] = message
    if reply.success:
        members["records"] = reply.records
        members.update((name, getattr(reply, name)) for name in _ID_LISTS if getattr(reply, name))
        if reply.rejected:
            members["tree"] = error_tree(reply.rejected)
    return json.dumps(members).encode()


def read_reply(body: bytes) -> PushReply:
    """The reply in ``body``, whatever Content-Type came with it. Raises UnreadableReply."""
    members = _object(body)
    reply = PushReply(
        members.get("status") == "success", _code(members), _optional_text(members.get("message")), _count(members)
    )
    for name in _ID_LISTS:
        found = members.get(name)
        if isinstance(found, list):
            setattr(reply, name, [one for one in found if isinstance(one, int)])
    tree = members.get("tree")
    if isinstance(tree, dict):
        reply.rejected = _read_tree(tree)
    return reply


def _read_tree(tree: dict[str, Any]) -> list[Resource]:
    try:
        return read_json(msgspec.json.encode(tree)).resources
    except (DocumentError, RecursionError):
        raise UnreadableReply("the error tree in the peer's reply cannot be read") from None


def _count(members: dict[str, Any]) -> int:
    found = members.get("records")
    return found if isinstance(found, int) else 0


def failure(status: int, message: str | None = None) -> bytes:
    """The JSON of a request that failed as a whole."""
    members = {"status": "failed", "statuscode": str(status)}
    if message:
        members["message"] = message
    return json.dumps(members).encode()


def message_of(body: bytes) -> str | None:
    """The ``message`` in a JSON answer; None for anything else, such as the HTML pages of many production sites."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _optional_text(found.get("message")) if isinstance(found, dict) else None


# Error trees ---------------------------------------------------------------------------------------------------


def error_tree(rejected: Sequence[Resource]) -> dict[str, Any]:
    """Rejected records as S3JSON: every field with its decoded ``@value``, errors inside fields and on records."""
    tree: dict[str, list[dict[str, Any]]] = {}
    for resource in rejected:
        tree.setdefault("$_" + resource.name, []).append(_error_object(resource))
    return tree


def _error_object(resource: Resource) -> dict[str, Any]:
    members = resource_object(
        Resource(resource.name, resource.attributes, [], resource.references, [], resource.alias, resource.error)
    )
    for data in resource.data:
        one: dict[str, Any] = {"@value": given(data)}
        if data.error is not None:
            one["@error"] = data.error
        if data.text is not None:
            one["$"] = data.text
        members[data.field] = one
    for component in resource.components:
        members.setdefault("$_" + component.name, []).append(_error_object(component))
    return members


def issues_of(resource: Resource) -> list[str]:
    """One line per error of a record and its components; the record's own error where no field explains it."""
    name = f"(UID: {resource.uuid}) {resource.name}"
    lines = [f"{name}.{one.field}={given(one)}: {one.error}" for one in resource.data if one.error]
    lines += [f"{name}.{one.field}={','.join(one.uuids)}: {one.error}" for one in resource.references if one.error]
    lines += [line for component in resource.components for line in issues_of(component)]
    if not lines and resource.error:
        lines.append(f"{name}: {resource.error}")
    return lines


# Registration --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Registration:
    """What a site says of itself: its repository identifier, its address without the scheme, and what it speaks."""

    uuid: str | None
    name: str
    apitype: str = "eden"


@dataclass(frozen=True, slots=True)
class RegistrationReply:
    """The answer: ``sender`` is the identifier of the answering site."""

    success: bool
    status: int
    message: str
    sender: str | None


def write_registration(registration: Registration) -> bytes:
    """The JSON that registers."""
    return json.dumps({"uuid": registration.uuid, "name": registration.name, "apitype": registration.apitype}).encode()


def read_registration(body: bytes) -> Registration:
    """What a peer says of itself. Raises DocumentError when ``body`` is no JSON object."""
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"Invalid parameters: {error}") from None
    if not isinstance(members, dict):
        raise DocumentError("Invalid parameters: not an object")
    uuid = members.get("uuid")
    return Registration(
        uuid.strip() if isinstance(uuid, str) and uuid.strip() else None,
        _optional_text(members.get("name")) or "",
        _optional_text(members.get("apitype")) or "eden",
    )


def write_registration_reply(reply: RegistrationReply) -> bytes:
    """The JSON of the answer."""
    return json.dumps(
        {
            "status": _status(reply.success),
            "statuscode": str(reply.status),
            "message": reply.message,
            "sender": reply.sender,
        }
    ).encode()


def read_registration_reply(body: bytes) -> RegistrationReply:
    """The answer in ``body``. HTTP 200 with ``failed`` is a failure. Raises UnreadableReply."""
    members = _object(body)
    return RegistrationReply(
        members.get("status") == "success",
        _code(members),
        _optional_text(members.get("message")) or "",
        _optional_text(members.get("sender")),
    )


def _status(success: bool) -> str:
    return "success" if success else "failed"


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > _REPLY_BYTES:
        raise UnreadableReply("the peer's reply is larger than this end accepts")
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableReply("the peer's reply is no JSON") from None
    if not isinstance(found, dict):
        raise UnreadableReply("the peer's reply is no JSON object")
    return found


def _code(members: dict[str, Any]) -> int:
    try:
        return int(members.get("statuscode", 0))
    except (TypeError, ValueError):
        return 0


def _optional_text(found: object) -> str | None:
    return found if isinstance(found, str) else None
