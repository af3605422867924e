"""Maildirs: one file per message, flags in its name; Maildir++ and nested folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tallystick.errors import StorageError
from tallystick.stores.mail.source import (
    ANSWERED,
    DRAFT,
    FLAGGED,
    SEEN,
    Fetched,
    Listing,
    Place,
    decode_name,
    purpose_of,
)
from tallystick.stores.message import arrival_of

_LETTERS = {"S": SEEN, "F": FLAGGED, "R": ANSWERED, "D": DRAFT}
_MARK = ":2,"


class MaildirSource:
    """The maildir at ``path``. Raises StorageError when there is none."""

    keeps_uids = True
    takes_flags = True

    def __init__(self, path: str) -> None:
        self._top = os.path.realpath(path)
        self.name = f"maildir:{self._top}"
        if not os.path.isdir(os.path.join(self._top, "cur")) and not self.places():
            raise StorageError(f"{path} is no maildir", hint="name a directory that has cur, new and tmp in it")

    def places(self) -> list[Place]:
        """The inbox, and every directory below that is a maildir, too."""
        found = [Place(".", ("INBOX",), "inbox")] if os.path.isdir(os.path.join(self._top, "cur")) else []
        for directory, below, _ in os.walk(self._top, followlinks=False):
            is_maildir = "cur" in below
            below[:] = sorted(name for name in below if name not in ("cur", "new", "tmp"))
            relative = os.path.relpath(directory, self._top)
            if is_maildir and relative != ".":
                path = _path_of(relative)
                found.append(Place(relative, path, purpose_of(path)))
        return found

    @contextmanager
    def open(self, place: Place) -> Iterator[MaildirBox]:
        """Open a folder."""
        yield MaildirBox(os.path.join(self._top, place.name))

    def close(self) -> None:
        """Nothing is held."""


def _path_of(relative: str) -> tuple[str, ...]:
    names = [name for part in relative.split(os.sep) for name in (part[1:].split(".") if part[0] == "." else [part])]
    return tuple(decode_name(name) for name in names if name)


class MaildirBox:
    """One directory with cur and new in it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._files: dict[str, tuple[str, str]] = {}

    def listing(self, cursor: bytes | None) -> Listing:
        """All messages: names are all there is to compare."""
        self._scan()
        flags = {uid: _flags_in(name) for uid, (_, name) in self._files.items()}
        return Listing(flags, frozenset(flags), b"")

    def _scan(self) -> None:
        self._files = {}
        for directory in ("new", "cur"):
            try:
                with os.scandir(os.path.join(self._path, directory)) as entries:
                    for entry in entries:
                        if not entry.name.startswith("."):
                            self._files[entry.name.partition(_MARK)[0]] = (directory, entry.name)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError(f"{self._path} cannot be read: {error}") from error

    def _read(self, uid: str) -> tuple[bytes, int] | None:
        """Content and modification time (ns); looks again where another program has renamed the file."""
        for _ in range(2):
            directory, name = self._files.get(uid, ("", ""))
            try:
                with open(os.path.join(self._path, directory, name), "rb") as file:
                    return file.read(), os.fstat(file.fileno()).st_mtime_ns
            except (FileNotFoundError, IsADirectoryError):
                self._scan()
        return None

    def fetch(self, uids: Sequence[str]) -> Iterator[Fetched]:
        """Messages by uid."""
        for uid in uids:
            found = self._read(uid)
            if found is not None:
                raw, modified = found
                arrived = arrival_of(raw)
                name = self._files[uid][1]
                yield Fetched(uid, raw, _flags_in(name), modified // 1000 if arrived is None else arrived)

    def set_flags(self, uid: str, flags: frozenset[str]) -> bool:
        """Rename the file; flags that are not ours stay in its name."""
        if uid not in self._files:
            self._scan()
        directory, name = self._files.get(uid, ("", ""))
        others = {letter for letter in name.partition(_MARK)[2] if letter not in _LETTERS}
        letters = "".join(sorted(others | {letter for letter, flag in _LETTERS.items() if flag in flags}))
        target = f"{uid}{_MARK}{letters}"
        try:
            os.rename(os.path.join(self._path, directory, name), os.path.join(self._path, "cur", target))
        except OSError:
            return False
        self._files[uid] = ("cur", target)
        return True


def _flags_in(name: str) -> frozenset[str]:
    return frozenset(_LETTERS[letter] for letter in name.partition(_MARK)[2] if letter in _LETTERS)
