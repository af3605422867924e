"""States of object synchronizations as bytes and as text (spec ics 2). Pure.

A complete state is 8 bytes: number of the registration, seq. A partial one, of a synchronization that stopped after
``max_changes``, says in addition how far it came, at constant size. The address book has a form of its own.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import StrEnum
from struct import Struct
from typing import NamedTuple

from tallystick.errors import LimitExceeded, StateInvalidError

_PAIR = Struct("<II")
_COUNT = Struct("<I")
_HIGHEST = 2**32 - 1
_LONGEST_KEY = 1024
_REMEMBERED = b"held"


class Form(StrEnum):
    """How bytes (identifiers, states) are written as text."""

    HEX = "hex"
    """Upper-case hexadecimal."""
    BASE64 = "base64"
    """URL-safe base64."""


def to_text(raw: bytes, form: Form = Form.HEX) -> str:
    """``raw`` as text."""
    return raw.hex().upper() if form is Form.HEX else urlsafe_b64encode(raw).decode("ascii")


def from_text(text: str | bytes, form: Form = Form.HEX) -> bytes:
    """The bytes that ``text`` writes; lower case and ASCII bytes are accepted. Raises binascii.Error for other text."""
    raw = text.encode("ascii", "replace") if isinstance(text, str) else bytes(text)
    return binascii.unhexlify(raw) if form is Form.HEX else urlsafe_b64decode(raw)


class Position(NamedTuple):
    """How far a synchronization that stopped early came."""

    until: int
    """The seq it would have reached: what happened later is told again."""
    at: int
    """The last thing told: a seq of the log, or the number of a record where items were listed newest first."""
    key: bytes
    """Key of the last item told."""
    remembered: bool = False
    """True where the items that the consumer holds were remembered under ``at``, the number of a record."""


class State(NamedTuple):
    """Where a consumer of one folder, hierarchy or server stands."""

    sync: int
    """Number of the registration; 0 in states that somebody made by hand."""
    seq: int
    """Everything up to here was told; 0 = nothing was."""
    position: Position | None = None

    @property
    def initial(self) -> bool:
        """True when nothing was told yet."""
        return self.seq == 0 and self.position is None

    def raw(self) -> bytes:
        """The state's bytes. Raises LimitExceeded beyond 32 bits: open the resource with modern states then."""
        if max(self.sync, self.seq) > _HIGHEST:
            raise LimitExceeded("this site has made more changes than a 32-bit state can name")
        head = _PAIR.pack(self.sync, self.seq)
        if self.position is None:
            return head
        until, at, key, remembered = self.position
        end = _REMEMBERED if remembered else b""
        rows = _PAIR.pack(at, len(key)) + key + _PAIR.pack(until, len(end)) + end
        return head + _COUNT.pack(2) + rows


def parse_state(raw: bytes) -> State:
    """The state that ``raw`` stands for; no bytes at all are the initial state.

    Raises StateInvalidError for anything that ``State.raw`` does not make; start without a state then.
    """
    if not raw:
        return State(0, 0)
    if len(raw) < _PAIR.size:
        raise StateInvalidError(f"a state of {len(raw)} bytes is cut short")
    sync, seq = _PAIR.unpack_from(raw)
    return State(sync, seq, _parse_position(raw[_PAIR.size :]))


def _parse_position(raw: bytes) -> Position | None:
    if not raw or raw == _COUNT.pack(0):
        return None
    rows = _parse_rows(raw)
    if len(rows) != 2 or rows[1][1] not in (b"", _REMEMBERED):
        raise StateInvalidError("this partial state was not made here")
    return Position(until=rows[1][0], at=rows[0][0], key=rows[0][1], remembered=bool(rows[1][1]))


def _parse_rows(raw: bytes) -> list[tuple[int, bytes]]:
    """Count, then per row: number, key length, key."""
    rows: list[tuple[int, bytes]] = []
    start = _COUNT.size
    while start + _PAIR.size <= len(raw):
        number, length = _PAIR.unpack_from(raw, start)
        start += _PAIR.size + length
        if length > _LONGEST_KEY:
            raise StateInvalidError(f"a key of {length} bytes in a state is longer than {_LONGEST_KEY}")
        rows.append((number, raw[start - length : start]))
    if start != len(raw) or len(raw) < _COUNT.size or _COUNT.unpack_from(raw)[0] != len(rows):
        raise StateInvalidError("a partial state is cut short or damaged")
    return rows


def directory_state(seq: int) -> bytes:
    """The bytes of an address-book state: everything up to ``seq`` was told."""
    if seq > _HIGHEST:
        raise LimitExceeded("this site has made more changes than a 32-bit state can name")
    return _PAIR.pack(seq, 0)


def parse_directory_state(raw: bytes) -> int:
    """The seq of an address-book state; no bytes are 0, the initial one. Raises StateInvalidError."""
    if not raw:
        return 0
    if len(raw) != _PAIR.size:
        raise StateInvalidError(f"an address-book state has 8 bytes, not {len(raw)}")
    seq, count = _PAIR.unpack(raw)
    if count:
        raise StateInvalidError("this is not a state of the address book")
    return int(seq)
