"""States: opaque, printable tokens, bound to site, incarnation and scope (DESIGN.md 2 *state*, 4.5, law 9).

A state says: everything up to here was delivered. Equal states are equal text.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple
from zlib import crc32

import msgspec

from tallystick.errors import StateExpiredError, StateFutureError, StateInvalidError, StateScopeError

_PREFIX = "t1."
_encode = msgspec.msgpack.Encoder().encode


class State(NamedTuple):
    """Where a reader of one site stands.

    ``seq`` is the site's commit order up to which everything in scope was delivered. Inside an open pass
    ``until`` is the seq the pass will reach, ``resource`` the wire name and ``position`` the seq last delivered of
    the resource the pass is in; outside they are 0, "" and 0.
    """

    site: str
    incarnation: int
    scope: str
    seq: int
    until: int = 0
    resource: str = ""
    position: int = 0

    @property
    def open(self) -> bool:
        """True inside a pass: not everything up to ``until`` was delivered yet."""
        return self.until > self.seq

    def text(self) -> str:
        """The token."""
        body = _encode([self.site, self.incarnation, self.scope, self.seq, self.until, self.resource, self.position])
        return _PREFIX + urlsafe_b64encode(crc32(body).to_bytes(4, "big") + body).decode().rstrip("=")

    def __str__(self) -> str:
        return self.text()


class _Wire(msgspec.Struct, array_like=True):
    site: str
    incarnation: int
    scope: str
    seq: int
    until: int
    resource: str
    position: int


_decoder = msgspec.msgpack.Decoder(_Wire)


def parse_state(text: object) -> State:
    """The state that ``text`` stands for.

    Raises StateInvalidError for anything that is not a token of ours; begin again with an empty state then.
    """
    try:
        if not isinstance(text, str) or not text.startswith(_PREFIX):
            raise ValueError("prefix")
        raw = urlsafe_b64decode(text[len(_PREFIX) :] + "=" * (-(len(text) - len(_PREFIX)) % 4))
        if crc32(raw[4:]).to_bytes(4, "big") != raw[:4]:
            raise ValueError("checksum")
        wire = _decoder.decode(raw[4:])
        state = State(wire.site, wire.incarnation, wire.scope, wire.seq, wire.until, wire.resource, wire.position)
        if state.text() != text or min(state.seq, state.until, state.position) < 0:
            raise ValueError("form")
    except (ValueError, msgspec.MsgspecError) as error:
        raise StateInvalidError(
            f"{text!r:.60} is not a state of this software",
            hint="pass a state exactly as it was returned, or none at all to start from the beginning",
        ) from error
    return state


def scope_of(resources: Iterable[str], where: Iterable[tuple[str, str]] = ()) -> str:
    """The name of a scope: which resources (wire names) under which filters (resource, canonical filter text)."""
    described = _encode([sorted(resources), sorted(where)])
    return sha256(described).hexdigest()[:16]


def check_state(state: State, *, site: str, incarnation: int, scope: str, seq: int, horizon: int = 0) -> None:
    """Refuse a state that this site cannot continue from.

    Raises StateScopeError (another site, incarnation, resource or filter), StateFutureError (a number the site has
    not reached: it was restored from a backup) or StateExpiredError (deletions since then were purged; ``horizon``
    is the highest seq purged). Each names the way back.
    """
    if state.site != site:
        raise StateScopeError(
            f"this state belongs to site {state.site}, not to {site}",
            hint="use it at its own site, or start here without a state",
        )
    if state.scope != scope:
        raise StateScopeError(
            "this state was made for other resources or another filter",
            hint="ask for the same resources and filter as when it was made, or start without a state",
        )
    if state.incarnation != incarnation or max(state.seq, state.until, state.position) > seq:
        raise StateFutureError(
            "this state is from another history of the site: it was restored or copied, or tracked a table anew, since",
            hint="continue with resync='diff' (the difference is delivered) or start without a state",
        )
    if state.seq and state.seq < horizon:
        raise StateExpiredError(
            "deletions made since this state have been purged",
            hint="continue with resync='diff' (the difference is delivered) or start without a state",
        )
