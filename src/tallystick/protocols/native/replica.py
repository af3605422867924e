"""A served site as a replica: the client side of the native protocol (docs/protocol.md)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from msgspec.structs import replace

from tallystick.core.pages import Page, Tally
from tallystick.core.states import parse_state
from tallystick.errors import LimitExceeded, PeerProtocolError, PeerUnreachable, StateError, TallystickError
from tallystick.protocols.native.codec import blocks
from tallystick.protocols.native.codec.checks import check
from tallystick.protocols.native.codec.compression import compressed, decompressed
from tallystick.protocols.native.codec.errors import RequestError, decode_error
from tallystick.protocols.native.codec.limits import LIMITS, Limits, check_most
from tallystick.protocols.native.codec.messages import (
    BLOCKS,
    COMPRESS_FROM,
    MAJOR,
    MSGPACK,
    Acknowledging,
    Columned,
    Digesting,
    Keyed,
    Leaving,
    Ranging,
    Reconciling,
    Rekeying,
    Resourced,
    decode,
    encode,
    settings_form,
)
from tallystick.protocols.native.codec.pages import decode_page, encode_page
from tallystick.protocols.native.credentials import Credentials
from tallystick.protocols.native.transport import HTTPTransport, Reply, Request, Traffic, Transport, split_url
from tallystick.site.schema import Definition
from tallystick.sync.replica import (
    Announced,
    Answer,
    Capabilities,
    Closing,
    Concluded,
    Described,
    Known,
    Meeting,
    RangeForm,
    Scope,
    Selection,
    Settings,
    Wanted,
)
from tallystick.version import VERSION as SOFTWARE

ATTEMPTS = 6
FIRST_WAIT_S = 0.1
CONCLUDES_FROM = 1
"""The minor version that brought ``conclude``."""
T = TypeVar("T")


class RemoteReplica:
    """See ``sync.replica.Replica``. Requests are repeated with back-off while that may help (``attempts``)."""

    capabilities = Capabilities(hooks=False)

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        password: str | None = None,
        transport: Transport | None = None,
        attempts: int = ATTEMPTS,
        timeout: float = 60.0,
        limits: Limits = LIMITS,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare for the site at ``url``; nothing is sent yet. User and password may stand in the URL.

        ``password`` is for the user named in the URL. Raises ConfigurationError for a URL that is none.
        """
        parts = split_url(url)
        plain = HTTPTransport(url, timeout=timeout)
        self.name = plain.name
        self.transport: Transport = transport or plain
        self.attempts = max(1, attempts)
        self.limits = limits
        self._wait = wait
        self._path = parts.path.rstrip("/") + f"/v{MAJOR}/"
        if credentials is None and parts.username is not None:
            credentials = Credentials(unquote(parts.username), password or unquote(parts.password or ""))
        self._headers = {"User-Agent": f"tallystick/{SOFTWARE}", "Accept-Encoding": "zstd"}
        if credentials is not None:
            self._headers["Authorization"] = credentials.header()
        self._described: tuple[str, Described] | None = None
        self.minor = 0
        """The minor version of the protocol that the peer last said it speaks."""

    @property
    def traffic(self) -> Traffic:
        """Bytes of bodies that were sent and received so far."""
        return getattr(self.transport, "traffic", Traffic())

    # Introduction

    def describe(self) -> Described:
        tag = {} if self._described is None else {"If-None-Match": self._described[0]}
        return self._repeated(lambda: self._describe(tag))

    def _describe(self, tag: Mapping[str, str]) -> Described:
        with _Reading(self, self._request("GET", "describe", b"", tag)) as reading:
            if reading.reply.status == 304 and self._described is not None:
                reading.rest()
                return self._described[1]
            described = reading.message(Described)
            if "etag" in reading.reply.headers:
                self._described = (reading.reply.headers["etag"], described)
            return described

    def offered(self) -> list[Definition]:
        """Nothing: what a site has not tracked is not told to others."""
        return []

    def prepare(self, wanted: Wanted) -> Described:
        return self._call("prepare", wanted, Described)

    def meet(self, theirs: Meeting) -> Meeting:
        return self.checked(self._call("meet", theirs, Meeting), theirs.scope)

    def checked(self, met: Meeting, scope: Scope) -> Meeting:
        """What the peer states of a scope. Raises PeerProtocolError for what it must not state."""
        met.scope = scope
        for state in (met.state, met.settled):
            try:
                if state:
                    parse_state(state)
            except StateError as error:
                raise PeerProtocolError(f"{self.name} holds a state that is none: {state[:60]!r}") from error
        try:
            check(met, self.limits)
        except (RequestError, StateError, LimitExceeded) as error:
            raise PeerProtocolError(f"{self.name} stated what it must not: {error.message}") from error
        return met

    # Digest

    def digest(self, source: str, scope: Scope) -> Known:
        return self._call("digest", Digesting(source, scope), Known)

    def ranges(self, resource: str, stated: Sequence[RangeForm]) -> Answer:
        return self._call("ranges", Ranging(resource, list(stated)), Answer)

    def older(self, resource: str, keys: Sequence[str]) -> list[str]:
        return self._call("older", Keyed(resource, list(keys)), list[str])

    def unreferred(self, leaving: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        message = Leaving({wire: list(keys) for wire, keys in leaving.items()})
        return self._call("unreferred", message, dict[str, list[str]])

    def naturals(self, resource: str, columns: Sequence[str]) -> dict[str, str]:
        return self._call("naturals", Columned(resource, list(columns)), dict[str, str])

    def rekey(self, resource: str, keys: Mapping[str, str]) -> None:
        self._call("rekey", Rekeying(resource, dict(keys)), type(None))

    def reconcile(
        self, resource: str, keys: Sequence[str], digest: Mapping[str, int], forgotten: Mapping[str, int]
    ) -> int:
        return self._call("reconcile", Reconciling(resource, list(keys), dict(digest), dict(forgotten)), int)

    # Verification

    def check(self, resources: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        return self._call("check", Resourced(list(resources)), dict[str, list[tuple[str, str]]])

    def heal(self, resources: Sequence[str]) -> int:
        return self._call("heal", Resourced(list(resources)), int)

    # Changes

    def announce(self, selection: Selection) -> Announced:
        return self._call("announce", _asked(selection), Announced)

    def changes(self, selection: Selection) -> Iterator[Page | Closing]:
        """See the port. A stream that is cut is asked for again from the state of its last whole page."""
        failures, wanted = 0, selection
        while True:
            try:
                for item in self._stream(wanted):
                    if isinstance(item, Closing):
                        if selection.held:
                            item.state = selection.known.state
                        yield item
                        return
                    yield item
                    failures = 0
                    if item.state:
                        wanted = _continued(wanted, item.state)
            except TallystickError as error:
                failures += 1
                if not error.transient or failures >= self.attempts:
                    raise
                self._back_off(failures)

    def _stream(self, selection: Selection) -> Iterator[Page | Closing]:
        request = self._message("changes", _asked(selection), {"Accept": BLOCKS})
        with _Reading(self, request) as reading:
            reading.expect(200, BLOCKS)
            while True:
                kind, raw = reading.block()
                if kind == blocks.PAGE:
                    yield reading.understood(partial(decode_page, raw, self.limits))
                elif kind == blocks.CLOSING:
                    closing = reading.understood(partial(decode, Closing, raw))
                    reading.rest()
                    yield closing
                    return
                elif kind == blocks.ERROR:
                    raise decode_error(500, raw, self.name)
                else:
                    raise PeerProtocolError(f"{self.name} sent a block where it has no place")

    # Apply

    def apply(self, page: Page, settings: Settings) -> Tally:
        """See the port. A page that is too large for one request goes in parts, the last of which bears the state."""
        return self.packed(page, settings).apply()

    def conclude(self, page: Page | None, closing: Closing, settings: Settings, theirs: Meeting) -> Concluded:
        """See ``sync.replica.Concluding``."""
        return self.packed(page, settings).conclude(closing, theirs)

    def packed(self, page: Page | None, settings: Settings) -> Parcel:
        """See ``sync.replica.Packing``: the blocks are made, and sent when the time has come."""
        form = blocks.block(blocks.SETTINGS, encode(settings_form(settings)), self.limits)
        raws = [] if page is None else encode_page(page, self.limits)
        pages = [blocks.block(blocks.PAGE, raw, self.limits) for raw in raws]
        return Parcel(self, "" if page is None else page.resource, settings, form, pages)

    def send_blocks(self, verb: str, body: bytes, answer: type[T]) -> T:
        """Blocks for a message, repeated while that may help."""
        request = self._request("POST", verb, body, {"Content-Type": BLOCKS, "Accept": MSGPACK})
        return self._repeated(lambda: self._answered(request, answer))

    def acknowledge(self, closing: Closing, settings: Settings) -> dict[str, Tally]:
        return self._call("acknowledge", Acknowledging(closing, settings_form(settings)), dict[str, Tally])

    def close(self) -> None:
        self.transport.close()

    # Requests

    def _call(self, verb: str, message: Any, answer: type[T]) -> T:
        """One message for another, repeated while that may help."""
        request = self._message(verb, message, {"Accept": MSGPACK})
        return self._repeated(lambda: self._answered(request, answer))

    def _answered(self, request: Request, answer: type[T]) -> T:
        with _Reading(self, request) as reading:
            return reading.message(answer)

    def _message(self, verb: str, message: Any, headers: Mapping[str, str]) -> Request:
        body = encode(message)
        made = {"Content-Type": MSGPACK, **headers}
        if len(body) >= COMPRESS_FROM:
            frame = compressed(body, self.limits)
            if frame is not None:
                made["Content-Encoding"] = "zstd"
                body = frame
        return self._request("POST", verb, body, made)

    def _request(self, method: str, verb: str, body: bytes, headers: Mapping[str, str]) -> Request:
        accept = {} if "Accept" in headers else {"Accept": MSGPACK}
        return Request(method, self._path + verb, {**self._headers, **accept, **headers}, body)

    def _repeated(self, call: Callable[[], T]) -> T:
        for failures in range(1, self.attempts):
            try:
                return call()
            except TallystickError as error:
                if not error.transient:
                    raise
            self._back_off(failures)
        return call()

    def _back_off(self, failures: int) -> None:
        """Wait twice as long after every failure, plus up to half of it so that clients do not return together."""
        self._wait(FIRST_WAIT_S * 2 ** (failures - 1) * (1 + random.random() / 2))


class Parcel(NamedTuple):
    """See ``sync.replica.Packed``. ``form`` is the block of the settings, ``pages`` are those of the page's parts."""

    peer: RemoteReplica
    resource: str
    settings: Settings
    form: bytes
    pages: list[bytes]

    def apply(self) -> Tally:
        """See ``Packed``."""
        return self._applied(self.pages)

    def _applied(self, pages: Sequence[bytes]) -> Tally:
        total = Tally()
        for page in pages:
            total.add(self.peer.send_blocks("apply", self.form + page, Tally))
        return total

    def conclude(self, closing: Closing, theirs: Meeting) -> Concluded:
        """See ``Packed``. An older peer knows the two steps only by themselves, and does not state anything then."""
        peer = self.peer
        if peer.minor < CONCLUDES_FROM:
            tallies = {self.resource: self.apply()} if self.pages else {}
            for wire, tally in peer.acknowledge(closing, self.settings).items():
                tallies.setdefault(wire, Tally()).add(tally)
            return Concluded(tallies, None)
        before = self._applied(self.pages[:-1])
        said = peer.send_blocks("conclude", self._conclusion(closing, theirs), Concluded)
        if self.pages:
            said.tallies.setdefault(self.resource, Tally()).add(before)
        if said.meeting is None:
            raise PeerProtocolError(f"{peer.name} does not state what it holds")
        peer.checked(said.meeting, self.settings.scope)
        return said

    def _conclusion(self, closing: Closing, theirs: Meeting) -> bytes:
        limits = self.peer.limits
        stated = Meeting(theirs.site, theirs.origin, theirs.token, theirs.catalog, Scope(()), theirs.state)
        parts = [blocks.block(blocks.CLOSING, encode(closing), limits)]
        parts.append(blocks.block(blocks.MEETING, encode(stated), limits))
        return b"".join((self.form, *parts, *self.pages[-1:]))


class _Reading:
    """One answer while it is read."""

    def __init__(self, replica: RemoteReplica, request: Request) -> None:
        self._replica, self.name, self.limits = replica, replica.name, replica.limits
        self.reply: Reply = replica.transport.send(request)

    def __enter__(self) -> _Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.reply.close()

    def message(self, kind: type[T]) -> T:
        """The message of the answer. Raises what the peer says, PeerProtocolError for what cannot be understood."""
        self.expect(200, MSGPACK)
        body = self.rest()
        if self.reply.headers.get("content-encoding") == "zstd":
            body = self.understood(lambda: decompressed(body, self.limits))
        return self.understood(lambda: decode(kind, body))

    def expect(self, status: int, media_type: str) -> None:
        """Raise the error of any other answer."""
        headers = self.reply.headers
        version = headers.get("tallystick-protocol", "")
        if self.reply.status != status:
            raise decode_error(self.reply.status, self.rest(1 << 20), self.name) if version else self._stranger()
        major, _, minor = version.partition(".")
        if major != str(MAJOR) or headers.get("content-type") != media_type:
            raise self._stranger()
        self._replica.minor = int(minor) if minor.isdecimal() else 0

    def _stranger(self) -> TallystickError:
        status = self.reply.status
        if 300 <= status < 400:
            return PeerProtocolError(
                f"{self.name} points to {self.reply.headers.get('location', 'somewhere else')[:200]!r}",
                hint="use that address: credentials are not sent anywhere they were not given for",
            )
        return decode_error(status, b"", self.name)

    def rest(self, most: int = 0) -> bytes:
        """The body to its end. Raises LimitExceeded."""
        most = most or self.limits.body
        pieces, size = [], 0
        while piece := self.reply.read(most):
            size += len(piece)
            check_most(f"the answer of {self.name}", size, most)
            pieces.append(piece)
        return b"".join(pieces)

    def block(self) -> tuple[bytes, bytes]:
        """The next block: kind and what it holds. Raises PeerUnreachable at the end: a stream ends with a closing."""
        head = self.understood(lambda: blocks.header(self._exactly(blocks.HEADER_SIZE), self.limits))
        raw = self._exactly(head.length)
        return head.kind, self.understood(lambda: blocks.payload(head, raw, self.limits))

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size:
            piece = self.reply.read(size)
            if not piece:
                raise PeerUnreachable(f"{self.name} ended its answer before it was whole")
            size -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def understood(self, read: Callable[[], T]) -> T:
        """What ``read`` returns; what it cannot read is the peer's fault."""
        try:
            return read()
        except (RequestError, StateError, LimitExceeded) as error:
            raise PeerProtocolError(f"{self.name} sent what it must not: {error.message}") from error


def _asked(selection: Selection) -> Selection:
    """The selection as it is sent: a source chooses by state and digests, what the target counts is not for it."""
    return replace(selection, known=replace(selection.known, prints={}, recent={}))


def _continued(selection: Selection, state: str) -> Selection:
    """The selection that goes on after the page that bore ``state``."""
    return replace(selection, known=replace(selection.known, state=state), stateless=False)
