"""What goes over the wire between the two ends of contexts over HTTP (docs/protocol.md, *Contexts*). Pure.

A page of changes is one frame: 4 bytes length, 1 byte coding (0 plain, 1 zstd), then MessagePack of (key, entry or nil)
pairs. Chunks are named by their 32 bytes, one after the other. Content is bundles, one after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import msgspec

from tallystick.content.chunking import HASH_BYTES
from tallystick.contexts.entries import Change, check_changes
from tallystick.contexts.host import ContextInfo, Folder, Kept, Rule, SignedURL
from tallystick.protocols.native.codec.compression import compressed, decompressed
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS, check_most

PREFIX: Final = "/contexts/"
SIGNED: Final = "/files/"
FRAME = struct.Struct(">IB")
MAX_FRAME = 64 << 20
MAX_HASHES = 64 * 1024
MAX_KEYS = 20_000

VERSION = "tallystick-version"
"""Header: the version of a manifest."""
WHOLE = "tallystick-whole"
"""Header: ``1`` when a manifest says all there is."""

PAGE_TYPE = "application/vnd.tallystick.changes"
HISTORY_TYPE = "application/vnd.tallystick.history"
HASHES_TYPE = "application/vnd.tallystick.hashes"
BUNDLES_TYPE = "application/vnd.tallystick.bundles"

_kept = msgspec.msgpack.Decoder(list[Kept])
_page = msgspec.msgpack.Decoder(list[Change])
_keys = msgspec.msgpack.Decoder(list[str])
_encode = msgspec.msgpack.Encoder().encode


class Naming(msgspec.Struct):
    """What creates or renames a context."""

    name: str
    quota_bytes: int | None = None
    quota_files: int | None = None


class Published(msgspec.Struct):
    """What a publication answers."""

    version: str


def frame(changes: Sequence[Change]) -> bytes:
    """One page of changes."""
    raw = _encode(changes)
    made = compressed(raw) if len(raw) > 512 else None
    body = raw if made is None else made
    return FRAME.pack(len(body), made is not None) + body


def page_in(pieces: Iterable[bytes]) -> tuple[list[Change], Iterator[bytes]]:
    """The page at the front of a stream of pieces, and what comes after it. Raises as ``changes_in`` does."""
    left = iter(pieces)
    waiting = bytearray()
    for piece in left:
        waiting += piece
        if len(waiting) < FRAME.size:
            continue
        length, coding = FRAME.unpack_from(waiting)
        check_most("a page of changes", length, MAX_FRAME)
        end = FRAME.size + length
        if len(waiting) >= end:
            rest = bytes(waiting[end:])
            return _changes(bytes(waiting[FRAME.size : end]), coding), chain((rest,), left) if rest else left
    raise RequestError("a page of changes ends too early")


def changes_in(pieces: Iterable[bytes]) -> Iterator[list[Change]]:
    """The pages in a stream of pieces. Raises RequestError or LimitExceeded for what is none."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= FRAME.size:
            length, coding = FRAME.unpack_from(waiting)
            check_most("a page of changes", length, MAX_FRAME)
            if len(waiting) < FRAME.size + length:
                break
            body = bytes(waiting[FRAME.size : FRAME.size + length])
            del waiting[: FRAME.size + length]
            yield _changes(body, coding)
    if waiting:
        raise RequestError("a page of changes ends too early")


def _changes(body: bytes, coding: int) -> list[Change]:
    if coding > 1:
        raise RequestError(f"a page of changes has the coding {coding}")
    raw = decompressed(body, LIMITS) if coding else body
    try:
        return _page.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
        raise RequestError(f"a page of changes cannot be read: {str(problem)[:300]}") from None


def body_of_history(kept: Sequence[Kept]) -> bytes:
    """A history as a body: MessagePack of (key, time, entry) maps."""
    return _encode(kept)


def history_in(body: bytes) -> list[Kept]:
    """The history in a body. Raises RequestError, and EntryRejected for what cannot be."""
    try:
        found = _kept.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
        raise RequestError(f"a history cannot be read: {str(problem)[:300]}") from None
    for item in found:
        check_changes([(item.key, item.entry)])
    return found


def hashes_in(body: bytes) -> list[bytes]:
    """The chunks that a body names. Raises RequestError, LimitExceeded."""
    if len(body) % HASH_BYTES:
        raise RequestError("names of chunks have 32 bytes each")
    check_most("the number of chunks", len(body) // HASH_BYTES, MAX_HASHES)
    return [body[at : at + HASH_BYTES] for at in range(0, len(body), HASH_BYTES)]


def keys_in(body: bytes) -> list[str]:
    """The keys that a body names. Raises RequestError, LimitExceeded."""
    try:
        found = _keys.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise RequestError(f"keys cannot be read: {str(problem)[:300]}") from None
    check_most("the number of keys", len(found), MAX_KEYS)
    return found


def body_of_keys(keys: Sequence[str]) -> bytes:
    """Keys as a body."""
    return _encode(keys)


infos = msgspec.json.Decoder(list[ContextInfo])
info = msgspec.json.Decoder(ContextInfo)
folder = msgspec.json.Decoder(Folder)
signed = msgspec.json.Decoder(SignedURL)
rules = msgspec.json.Decoder(dict[str, list[Rule]])
rule_list = msgspec.json.Decoder(list[Rule])
naming = msgspec.json.Decoder(Naming)
published = msgspec.json.Decoder(Published)
