"""Changes of a served site, read as events (docs/notifications.md): the client side."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from tallystick.errors import PeerProtocolError, TallystickError
from tallystick.protocols.native.codec.errors import decode_error
from tallystick.protocols.native.credentials import Credentials
from tallystick.protocols.native.transport import HTTPReply, HTTPTransport, Request

_LONGEST = 64 * 1024 * 1024
_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_STREAM = "text/event-stream"
_ENDED = 409
"""The status that stands for an error in the middle of a stream."""


class RemoteEvent(NamedTuple):
    """One event: what happened, the state behind it, and (for changes) the record as plain data."""

    event: str
    state: str
    data: dict[str, Any]


class RemoteChanges:
    """The changes of a served site beyond a state; iterate once. ``state`` is where the reader stands."""

    def __init__(
        self,
        url: str,
        resources: Sequence[str] = (),
        state: str | None = None,
        *,
        follow: bool = False,
        where: str = "",
        resync: str = "",
        password: str | None = None,
    ) -> None:
        """Nothing is opened yet. Without a state everything comes. Raises ConfigurationError for a bad URL."""
        self._transport = HTTPTransport(url)
        self._headers = {"accept": _STREAM, **_credentials(self._transport, password)}
        self.state = self._begun = state or ""
        self._follow = follow
        self._fixed = [("resource", name) for name in resources]
        self._fixed += [(name, text) for name, text in (("where", where), ("resync", resync)) if text]

    def __iter__(self) -> Iterator[RemoteEvent]:
        """Events of changes; with ``follow`` for ever: a lost connection is made again, what is transient tried again.

        Raises PeerUnreachable (without ``follow``, or when the very first connection fails), PeerRefused, StateError.
        """
        try:
            if self._follow:
                yield from self._followed()
            else:
                yield from self._changes()
        finally:
            self.close()

    def _followed(self) -> Iterator[RemoteEvent]:
        failures = 0
        while True:
            try:
                for event in self._changes():
                    failures = 0
                    yield event
            except TallystickError as error:
                if not error.transient or self.state == self._begun:  # never got anywhere: the address may be wrong
                    raise
            time.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            failures += 1

    def _changes(self) -> Iterator[RemoteEvent]:
        """Events of changes over one connection; notes the state behind each."""
        for event in self._connection():
            self.state = event.state or self.state
            if event.event != "state":
                yield event

    def close(self) -> None:
        """Let go of connections. Idempotent."""
        self._transport.close()

    def _connection(self) -> Iterator[RemoteEvent]:
        query = [*self._fixed, ("follow", "true" if self._follow else "false")]
        query.append(("state", self.state) if self.state else ("beginning", "true"))
        path = self._transport.parts.path.rstrip("/") + "/v1/events?" + urlencode(query, quote_via=quote)
        reply = self._transport.send(Request("GET", path, self._headers))
        try:
            if reply.status != 200:
                raise decode_error(reply.status, reply.read(1 << 20), self._transport.name)
            if not reply.headers.get("content-type", "").startswith(_STREAM):
                raise PeerProtocolError(f"{self._transport.name} answered something that is no stream of events")
            yield from parsed(_lines(reply))
        finally:
            reply.close()


def _credentials(transport: HTTPTransport, password: str | None) -> dict[str, str]:
    parts = transport.parts
    if parts.username is None:
        return {}
    known = Credentials(unquote(parts.username), password or unquote(parts.password or ""))
    return {"authorization": known.header()}


def _lines(reply: HTTPReply) -> Iterator[str]:
    waiting = b""
    while piece := reply.piece():
        *whole, waiting = (waiting + piece).split(b"\n")
        if len(waiting) > _LONGEST:
            raise PeerProtocolError("an event is longer than anything that can be one")
        for line in whole:
            yield line.decode(errors="replace").removesuffix("\r")


def parsed(lines: Iterator[str]) -> Iterator[RemoteEvent]:
    """Events of a stream of lines. Raises the error that the stream tells of, PeerProtocolError for a bad one."""
    event, state, data = "message", "", ""
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                event = value
            elif name == "id":
                state = value
            elif name == "data":
                data += value
            continue
        if data:
            yield _told(event, state, data)
        event, state, data = "message", "", ""


def _told(event: str, state: str, data: str) -> RemoteEvent:
    try:
        content = json.loads(data)
    except ValueError as error:
        raise PeerProtocolError("an event holds no JSON") from error
    if not isinstance(content, dict):
        raise PeerProtocolError("an event holds no JSON object")
    if event == "error":
        raise decode_error(_ENDED, data.encode(), "the served site")
    return RemoteEvent(event, state, content)
