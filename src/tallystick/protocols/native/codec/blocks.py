"""Blocks: the frames of a stream (docs/protocol.md, *Blocks*). Pure."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from tallystick.protocols.native.codec.compression import compressed, decompressed
from tallystick.protocols.native.codec.errors import RequestError
from tallystick.protocols.native.codec.limits import LIMITS, Limits, check_most

PAGE, CLOSING, SETTINGS, MEETING, ERROR = b"P", b"C", b"S", b"M", b"E"
_KINDS: Final = frozenset((PAGE, CLOSING, SETTINGS, MEETING, ERROR))
_HEADER: Final = Struct(">cBHII")
HEADER_SIZE: Final = _HEADER.size
_PLAIN, _ZSTD = 0, 1
_COMPRESS_FROM: Final = 128


class Header(NamedTuple):
    """The header of a block: kind, coding, length of the payload, and of what it holds decoded."""

    kind: bytes
    coding: int
    length: int
    size: int


def block(kind: bytes, raw: bytes, limits: Limits = LIMITS) -> bytes:
    """A block of ``kind`` that holds ``raw``. Raises LimitExceeded when the other end would refuse it."""
    check_most("a block", len(raw), limits.block)
    frame = compressed(raw, limits) if len(raw) >= _COMPRESS_FROM else None
    if frame is None:
        return _HEADER.pack(kind, _PLAIN, 0, len(raw), len(raw)) + raw
    return _HEADER.pack(kind, _ZSTD, 0, len(frame), len(raw)) + frame


def header(raw: bytes, limits: Limits = LIMITS) -> Header:
    """The header in twelve bytes. Raises RequestError for what is none, LimitExceeded for sizes beyond the limits."""
    if len(raw) != HEADER_SIZE:
        raise RequestError("a block is cut in its header")
    kind, coding, zero, length, size = _HEADER.unpack(raw)
    if kind not in _KINDS or coding not in (_PLAIN, _ZSTD) or zero or (coding == _PLAIN and length != size):
        raise RequestError("this is no block")
    check_most("a block", max(length, size), limits.block)
    return Header(kind, coding, length, size)


def payload(head: Header, raw: bytes, limits: Limits = LIMITS) -> bytes:
    """What a block holds. Raises RequestError when it is damaged or cut."""
    if len(raw) != head.length:
        raise RequestError("a block is cut")
    return raw if head.coding == _PLAIN else decompressed(raw, limits, head.size)


def split(body: bytes, limits: Limits = LIMITS) -> list[tuple[bytes, bytes]]:
    """The blocks of a whole body: kind and what it holds. Raises RequestError, LimitExceeded."""
    found, position = [], 0
    while position < len(body):
        head = header(body[position : position + HEADER_SIZE], limits)
        position += HEADER_SIZE
        found.append((head.kind, payload(head, body[position : position + head.length], limits)))
        position += head.length
    return found
