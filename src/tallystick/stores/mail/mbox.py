"""Mbox files: all messages of a folder in one file. Read only."""

from __future__ import annotations

import fcntl
import mailbox
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

from tallystick.errors import StorageError
from tallystick.stores.mail.source import ANSWERED, DRAFT, FLAGGED, SEEN, Fetched, Listing, Place, purpose_of
from tallystick.stores.message import arrival_of, moment_in

_LETTERS = {"R": SEEN, "F": FLAGGED, "A": ANSWERED, "T": DRAFT}
_STATUS = (b"status:", b"x-status:")


class MboxSource:
    """The mbox file at ``path``, or every one in the directory there. Raises StorageError when there is neither."""

    keeps_uids = False
    takes_flags = False

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self.name = f"mbox:{self._path}"
        if not os.path.exists(self._path):
            raise StorageError(f"there is no file {path}", hint="name an mbox file or a directory of them")

    def places(self) -> list[Place]:
        """The file, or the files."""
        if os.path.isdir(self._path):
            names = sorted(name for name in os.listdir(self._path) if os.path.isfile(os.path.join(self._path, name)))
            return [_place(name, os.path.join(self._path, name)) for name in names if not name.startswith(".")]
        return [_place(os.path.basename(self._path), self._path)]

    @contextmanager
    def open(self, place: Place) -> Iterator[MboxBox]:
        """Open a file; locked against programs that would write to it meanwhile."""
        path = self._path if os.path.isfile(self._path) else os.path.join(self._path, place.name)
        try:
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                box = MboxBox(path)
                try:
                    yield box
                finally:
                    box.close()
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error}") from error

    def close(self) -> None:
        """Nothing is held."""


def _place(name: str, path: str) -> Place:
    stem = name.rsplit(".", 1)[0] if name.lower().endswith((".mbox", ".mbx")) else name
    return Place(name, (stem,), "inbox" if stem.lower() == "mbox" else purpose_of((stem,)))


class MboxBox:
    """One file. Messages have no names in it, so they are known by content, and which of equal ones they are."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._box = mailbox.mbox(path, create=False)
        self._keys: dict[str, str] = {}

    def close(self) -> None:
        """Close the file."""
        self._box.close()

    def listing(self, cursor: bytes | None) -> Listing:
        """All messages; nothing when the file is as it was."""
        status = os.stat(self._path)
        now = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()
        if now == cursor:
            return Listing({}, None, now)
        flags: dict[str, frozenset[str]] = {}
        seen: Counter[bytes] = Counter()
        for key in self._box.keys():  # noqa: SIM118 - a mailbox iterates over messages
            raw = self._box.get_bytes(key)
            digest = sha256(without_status(raw)).digest()[:16]
            uid = f"{digest.hex()}-{seen[digest]}"
            seen[digest] += 1
            self._keys[uid] = key
            flags[uid] = _flags_in(raw)
        return Listing(flags, frozenset(flags), now)

    def fetch(self, uids: Sequence[str]) -> Iterator[Fetched]:
        """Messages by uid."""
        for uid in uids:
            if uid in self._keys:
                message = self._box.get_message(self._keys[uid])
                raw = self._box.get_bytes(self._keys[uid])
                arrived = arrival_of(raw) or moment_in(message.get_from().partition(" ")[2])
                yield Fetched(uid, without_status(raw), _flags_in(raw), arrived)

    def set_flags(self, uid: str, flags: frozenset[str]) -> bool:
        """Files of others are not rewritten."""
        return False


def _headers(raw: bytes) -> list[bytes]:
    return raw.partition(b"\n\n")[0].splitlines(keepends=True)


def without_status(raw: bytes) -> bytes:
    """A message without the headers in which mbox files keep flags."""
    head, blank, body = raw.partition(b"\n\n")
    kept = [line for line in head.splitlines(keepends=True) if not line.lower().startswith(_STATUS)]
    return b"".join(kept).removesuffix(b"\n") + blank + body


def _flags_in(raw: bytes) -> frozenset[str]:
    lines = [line.partition(b":")[2] for line in _headers(raw) if line.lower().startswith(_STATUS)]
    letters = b" ".join(lines).decode("ascii", "replace")
    return frozenset(flag for letter, flag in _LETTERS.items() if letter in letters)
