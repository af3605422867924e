"""The port that mail comes in through: a source has places (folders), an open place has messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

SEEN, FLAGGED, ANSWERED, DRAFT = "seen", "flagged", "answered", "draft"
FLAGS = frozenset({SEEN, FLAGGED, ANSWERED, DRAFT})
"""What can be said of a message, beside its content."""


class Place(NamedTuple):
    """A folder of a source."""

    name: str
    """As the source calls it."""
    path: tuple[str, ...]
    """Its names from the top, for people."""
    purpose: str = ""
    """The attribute of the well-known folder it is, such as ``inbox``; empty if it is none."""


class Fetched(NamedTuple):
    """A message."""

    uid: str
    raw: bytes
    flags: frozenset[str]
    arrived: int | None
    """When, microseconds since 1970 UTC."""


class Listing(NamedTuple):
    """What may have changed in a place since a cursor."""

    flags: Mapping[str, frozenset[str]]
    """Flags by uid of every message that is new or may have changed."""
    present: frozenset[str] | None
    """Uids of all messages; None when none has vanished."""
    cursor: bytes
    """To give next time."""
    renumbered: bool = False
    """True when uids of earlier listings mean nothing any more."""


class Box(Protocol):
    """An open place."""

    def listing(self, cursor: bytes | None) -> Listing:
        """What may have changed since ``cursor``; everything without one. Raises PeerError, StorageError."""

    def fetch(self, uids: Sequence[str]) -> Iterator[Fetched]:
        """Messages by uid, in any order; those that are gone are left out. Raises like ``listing``."""

    def set_flags(self, uid: str, flags: frozenset[str]) -> bool:
        """Set the flags of a message; False when that is not possible here, or not any more."""


class MailSource(Protocol):
    """Where mail comes from."""

    name: str
    """Names the source for ever, without its password."""
    keeps_uids: bool
    """True when a message keeps its uid from place to place."""
    takes_flags: bool
    """True when flags set here are to be written back."""

    def places(self) -> list[Place]:
        """Its folders. Raises PeerError, StorageError."""

    def open(self, place: Place) -> AbstractContextManager[Box]:
        """Open a folder. Raises PeerError, StorageError."""

    def close(self) -> None:
        """Give everything back."""


PURPOSES = {
    "inbox": "inbox",
    "outbox": "outbox",
    "sent": "sentmail",
    "sent items": "sentmail",
    "sent mail": "sentmail",
    "sent messages": "sentmail",
    "drafts": "drafts",
    "trash": "wastebasket",
    "deleted items": "wastebasket",
    "deleted messages": "wastebasket",
    "junk": "junk",
    "junk e-mail": "junk",
    "spam": "junk",
}


def purpose_of(path: Sequence[str]) -> str:
    """The well-known folder that a place with this path is by its name."""
    return PURPOSES.get(path[0].lower(), "") if len(path) == 1 else ""


def decode_name(name: str) -> str:
    """A folder name in IMAP's modified UTF-7 (RFC 3501 5.1.3) as text; names that are not stay as they are."""
    parts: list[str] = []
    for number, piece in enumerate(name.split("&")):
        code, dash, rest = piece.partition("-")
        if number == 0:
            parts.append(piece)
        elif not dash:
            return name
        elif not code:
            parts.append("&" + rest)
        else:
            try:
                parts.append(f"+{code.replace(',', '/')}-".encode("ascii").decode("utf-7") + rest)
            except UnicodeError:
                return name
    return "".join(parts)
