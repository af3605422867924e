"""The contexts of a served site as its clients see them: the port over HTTP (docs/protocol.md, *Contexts*)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode

import msgspec

from tallystick.content.bundles import bundles_in
from tallystick.contexts.entries import Change, FileEntry
from tallystick.contexts.host import ContextInfo, Folder, Kept, Manifest, Rule, SignedURL
from tallystick.contexts.http import wire
from tallystick.contexts.problems import EntryRejected
from tallystick.errors import PeerProtocolError, PeerUnreachable, TallystickError
from tallystick.protocols.native.codec.errors import RequestError, decode_error
from tallystick.protocols.native.credentials import Credentials
from tallystick.protocols.native.transport import HTTPTransport, Reply, Request, Traffic, shown, split_url
from tallystick.version import VERSION

JSON = "application/json"
ATTEMPTS = 6
FIRST_WAIT_S = 0.1
PIECE = 256 << 10
MAX_ANSWER = 64 << 20
T = TypeVar("T")


class RemoteHost:
    """See ``ContextHost``. Requests that may be repeated are, with back-off, while that may help."""

    concurrent = True

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        attempts: int = ATTEMPTS,
        timeout: float = 60.0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare for the site at ``url``; nothing is sent yet. User and password may stand in the URL."""
        parts = split_url(url)
        self.transport = HTTPTransport(url, timeout=timeout)
        self.title = shown(parts)
        self.attempts = attempts
        self._wait = wait
        self._root = parts.path.rstrip("/")
        self._base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._root}"
        self._headers = {"User-Agent": f"tallystick/{VERSION}"}
        if parts.username is not None:
            secret = password or unquote(parts.password or "")
            self._headers["Authorization"] = Credentials(unquote(parts.username), secret).header()

    @property
    def traffic(self) -> Traffic:
        """Bytes of bodies that were sent and received so far."""
        return self.transport.traffic

    def close(self) -> None:
        """Close every connection."""
        self.transport.close()

    # Contexts ---------------------------------------------------------------------------------------------------------

    def contexts(self) -> list[ContextInfo]:
        return self._message(wire.infos, "GET", "")

    def find(self, name: str) -> ContextInfo:
        return self._message(wire.info, "GET", _place(name))

    def changed(self, name: str, known: str, seconds: float) -> ContextInfo:
        query = {"unlike": known, "wait": str(int(seconds))}
        return self._message(wire.info, "GET", _place(name), query)

    def create(self, name: str, quota_bytes: int | None = None, quota_files: int | None = None) -> ContextInfo:
        body = msgspec.json.encode(wire.Naming(name, quota_bytes, quota_files))
        return self._message(wire.info, "POST", "", body=body)

    def rename(self, identifier: str, name: str) -> ContextInfo:
        return self._message(wire.info, "PATCH", _place(identifier), body=msgspec.json.encode(wire.Naming(name)))

    def delete(self, identifier: str) -> None:
        self._whole("DELETE", _place(identifier))

    def clear(self, identifier: str) -> None:
        self._whole("POST", _place(identifier, "clear"))

    # Reading ----------------------------------------------------------------------------------------------------------

    def manifest(self, identifier: str, since: str = "", prefix: str = "") -> Manifest:
        query = {"since": since, "prefix": prefix}
        reply = self._repeated(lambda: self._request("GET", _place(identifier, "manifest"), query))
        version, whole = reply.headers.get(wire.VERSION, ""), reply.headers.get(wire.WHOLE) == "1"
        return Manifest(version, whole, _pages(reply))

    def entries(self, identifier: str, keys: Sequence[str]) -> Mapping[str, FileEntry]:
        if not keys:
            return {}
        body = self._whole("POST", _place(identifier, "entries"), body=wire.body_of_keys(keys))
        found = chain.from_iterable(_checked(wire.changes_in([body])))  # one page, from whoever keeps to it
        asked = set(keys)
        return {key: entry for key, entry in found if entry is not None and key in asked}

    def folder(self, identifier: str, key: str, start: int, most: int) -> Folder:
        query = {"folder": key, "start": str(start), "most": str(most)}
        return self._message(wire.folder, "GET", _place(identifier, "files"), query)

    def history(self, identifier: str, key: str, most: int) -> list[Kept]:
        body = self._whole("GET", _place(identifier, "history"), {"key": key, "most": str(most)})
        try:
            return wire.history_in(body)
        except (RequestError, EntryRejected) as problem:
            raise PeerProtocolError(problem.message) from None

    # Chunks -----------------------------------------------------------------------------------------------------------

    def missing(self, identifier: str, hashes: Sequence[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for start in range(0, len(hashes), wire.MAX_HASHES):
            body = b"".join(hashes[start : start + wire.MAX_HASHES])
            answer = self._whole("POST", _place(identifier, "missing"), body=body)
            try:
                found += wire.hashes_in(answer)
            except RequestError as problem:
                raise PeerProtocolError(problem.message) from None
        return found

    def send(self, identifier: str, bundles: Iterable[bytes]) -> None:
        self._once(_place(identifier, "chunks"), {}, bundles)

    def fetch(self, identifier: str, hashes: Sequence[bytes]) -> Iterator[bytes]:
        for start in range(0, len(hashes), wire.MAX_HASHES):
            body = b"".join(hashes[start : start + wire.MAX_HASHES])
            with _closing(self._request("POST", _place(identifier, "fetch"), body=body)) as reply:
                yield from bundles_in(_pieces(reply))

    # Writing ----------------------------------------------------------------------------------------------------------

    def stage(
        self, identifier: str, run: str, page: int, changes: Sequence[Change], bundles: Iterable[bytes] = ()
    ) -> None:
        query = {"run": run, "page": str(page)}
        self._once(_place(identifier, "stage"), query, chain((wire.frame(changes),), bundles))

    def publish(
        self,
        identifier: str,
        expected: str,
        changes: Sequence[Change],
        run: str = "",
        pages: int = 0,
        bundles: Iterable[bytes] = (),
    ) -> str:
        query = {"expected": expected, "run": run, "pages": str(pages) if run else ""}
        body = self._once(_place(identifier, "publish"), query, chain((wire.frame(changes),), bundles))
        return _decoded(wire.published, body).version

    def published(self, identifier: str, run: str) -> str:
        try:
            return self._message(wire.published, "GET", _place(identifier, "publish"), {"run": run}).version
        except TallystickError as problem:  # its class depends on what this process has loaded
            if problem.code == "not-found":
                return ""  # a site of an earlier release keeps no names of publications
            raise

    # Rules and URLs ---------------------------------------------------------------------------------------------------

    def signed_url(self, identifier: str, key: str, method: str) -> SignedURL:
        verb = "GET" if method == "GET" else "POST"
        made = self._message(wire.signed, verb, _place(identifier, "url"), {"key": key})
        return SignedURL(self._base + made.url, made.expire_time)

    def rules(self, identifier: str) -> Mapping[str, list[Rule]]:
        return self._message(wire.rules, "GET", _place(identifier, "rules"))

    def set_rules(self, identifier: str, prefix: str, rules: Sequence[Rule]) -> None:
        self._whole("PUT", _place(identifier, "rules"), {"prefix": prefix}, msgspec.json.encode(list(rules)))

    # Requests ---------------------------------------------------------------------------------------------------------

    def _message(
        self,
        decoder: msgspec.json.Decoder[T],
        method: str,
        place: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> T:
        return _decoded(decoder, self._whole(method, place, query, body))

    def _once(self, place: str, query: Mapping[str, str], body: Iterable[bytes]) -> bytes:
        """A whole answer to a stream, which is sent once: who made it knows what of it has to be sent again."""
        with _closing(self._request("POST", place, query, body)) as reply:
            return _rest(reply)

    def _whole(self, method: str, place: str, query: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
        """A whole answer to a request that may be repeated."""

        def ask() -> bytes:
            with _closing(self._request(method, place, query, body)) as reply:
                return _rest(reply)

        return self._repeated(ask)

    def _repeated(self, ask: Callable[[], T]) -> T:
        for attempt in range(self.attempts - 1):
            try:
                return ask()
            except PeerUnreachable:
                self._wait(FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.0))
        return ask()

    def _request(
        self, method: str, place: str, query: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] = b""
    ) -> Reply:
        """Send a request; raises the error that an answer stands for."""
        path = f"{self._root}{wire.PREFIX}{place}"
        asked = {name: value for name, value in (query or {}).items() if value}
        if asked:
            path += f"?{urlencode(asked)}"
        headers = dict(self._headers)
        if body:
            headers["Content-Type"] = wire.BUNDLES_TYPE if not isinstance(body, bytes) else JSON
        reply = self.transport.send(Request(method, path, headers, body, patient=True))
        if reply.status >= 400:
            with _closing(reply):
                raise decode_error(reply.status, _rest(reply), self.title)
        return reply


class _closing:
    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def __enter__(self) -> Reply:
        return self.reply

    def __exit__(self, *_: Any) -> None:
        self.reply.close()


def _place(name: str, verb: str = "") -> str:
    named = quote(name, safe="")
    return f"{named}/{verb}" if verb else named


def _rest(reply: Reply) -> bytes:
    pieces, size = [], 0
    while piece := reply.read(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER:
            raise PeerProtocolError(f"an answer of more than {MAX_ANSWER:,} bytes came")
    return b"".join(pieces)


def _pieces(reply: Reply) -> Iterator[bytes]:
    while piece := reply.read(PIECE):
        yield piece


def _pages(reply: Reply) -> Iterator[list[Change]]:
    with _closing(reply):
        yield from _checked(wire.changes_in(_pieces(reply)))


def _checked(pages: Iterator[list[Change]]) -> Iterator[list[Change]]:
    """The pages; what cannot be read is the peer's fault here."""
    try:
        yield from pages
    except RequestError as problem:
        raise PeerProtocolError(problem.message) from None


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
        raise PeerProtocolError(f"an answer cannot be read: {str(problem)[:300]}") from None
