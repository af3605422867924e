"""File entries: the records of a context, and the rules that an entry from outside must keep (spec contexts K2, K7).

Pure. Keys inside Tallystick are paths as the operating system gives them, undecodable bytes as lone surrogates. In
ledgers and on the wire they are *packed*: valid Unicode, ordered as before, reversible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tallystick.content.chunking import HASH_BYTES, MAX_CHUNK, MIN_CHUNK
from tallystick.contexts.problems import EntryRejected
from tallystick.errors import ValueRejected
from tallystick.trees.names import check_path, link_leaves
from tallystick.trees.nodes import PERMISSIONS
from tallystick.trees.reading import digest_of, link_digest

FILE, LINK, DIRECTORY = 1, 2, 3
"""Kinds of entries; the values are those of ``trees.listing.Mark``."""

EXPIRED = 4
"""The kind of an entry that a recycle rule took: it was not deleted by anybody (R3). Never stored, only told."""

PART_BYTES = HASH_BYTES + 4
"""One part of ``chunks``: the hash of a chunk and its length, big endian."""

MAX_SIZE = 1 << 50
MAX_TARGET = 4096
_TIMES = range(-(1 << 62), 1 << 62)
NOTHING = digest_of(b"")
"""The digest of an empty file."""

_ESCAPE = "\uf8fe"
_BYTES = ("utf-8", "surrogateescape")
_UNPACK = re.compile(f"{_ESCAPE}(?:{_ESCAPE}|([0-9a-f]{{2}}))")


class FileEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a context holds under one key.

    ``size`` is bytes, ``mtime`` nanoseconds since the epoch, ``mode`` permission bits. ``digest`` covers content or
    link target. ``chunks`` are the parts of a file of several chunks, in order; the only chunk of a smaller file is
    named by its digest. ``target`` is what a link says. ``created`` and ``changed`` are milliseconds since the epoch:
    when the key and when its content came in by the clock of the site, which sets both. ``expanded`` marks an archive
    whose members a mount has unpacked and uploaded, so that nobody unpacks it again (E6). ``archived`` says below
    which directory listings show it as a part of an archive (see ``layout``); 0 for what stands alone.
    """

    kind: int
    mode: int
    size: int = 0
    mtime: int = 0
    digest: bytes = b""
    chunks: bytes = b""
    target: str = ""
    created: int = 0
    changed: int = 0
    expanded: bool = False
    archived: int = 0

    def content(self) -> dict[str, Any]:
        """The content of its record, names in ascending order."""
        found: dict[str, Any] = {"archived": self.archived} if self.archived else {}
        found["changed"] = self.changed
        if self.chunks:
            found["chunks"] = self.chunks
        found["created"] = self.created
        if self.digest:
            found["digest"] = self.digest
        if self.expanded:
            found["expanded"] = True
        found |= {"kind": self.kind, "mode": self.mode, "mtime": self.mtime, "size": self.size}
        if self.target:
            found["target"] = self.target
        return found

    @property
    def hashes(self) -> list[bytes]:
        """The chunks of the file, in order."""
        if self.chunks:
            return [self.chunks[at : at + HASH_BYTES] for at in range(0, len(self.chunks), PART_BYTES)]
        return [self.digest] if self.kind == FILE and self.size else []

    @property
    def parts(self) -> list[tuple[bytes, int]]:
        """(hash, bytes) of every chunk, in order."""
        if not self.chunks:
            return [(name, self.size) for name in self.hashes]
        found = []
        for at in range(0, len(self.chunks), PART_BYTES):
            length = int.from_bytes(self.chunks[at + HASH_BYTES : at + PART_BYTES], "big")
            found.append((self.chunks[at : at + HASH_BYTES], length))
        return found


Change = tuple[str, FileEntry | None]
"""A key in packed form and what is there from now on; None when nothing."""

_of_content = msgspec.msgpack.Decoder(FileEntry)


def entry_of(content: bytes) -> FileEntry:
    """The entry in the stored content of a record."""
    return _of_content.decode(content)


def packed_parts(parts: Sequence[tuple[bytes, int]]) -> bytes:
    """``chunks`` of a file of these parts: nothing where its digest names the only one."""
    if len(parts) < 2:
        return b""
    return b"".join(name + length.to_bytes(4, "big") for name, length in parts)


# Keys -----------------------------------------------------------------------------------------------------------------


def packed(key: str) -> str:
    """A key as ledgers and the wire have it."""
    if key.isascii():
        return key
    return "".join(map(_packed_character, key))


def _packed_character(character: str) -> str:
    if character == _ESCAPE:
        return _ESCAPE * 2
    if "\udc80" <= character <= "\udcff":
        return f"{_ESCAPE}{ord(character) - 0xDC00:02x}"
    return character


def unpacked(key: str) -> str:
    """The key that was packed."""
    if _ESCAPE not in key:
        return key
    return _UNPACK.sub(lambda found: chr(0xDC00 + int(found[1], 16)) if found[1] else _ESCAPE, key)


def check_key(key: str) -> str:
    """The packed key from outside, if it is in normal form; raises EntryRejected (K2)."""
    try:
        if not key.startswith("/"):
            raise ValueRejected(f"{key!r} does not begin with '/'")
        check_path(_read_back(key)[1:])
    except ValueRejected as problem:
        raise EntryRejected(f"[EntryRejected] the key {key[:200]!r} cannot be: {problem}") from None
    return key


def _read_back(text: str) -> str:
    """What was packed. Raises ValueRejected for text that packing does not give: two names would be one on disks."""
    name = unpacked(text)
    try:
        same = name.encode(*_BYTES).decode(*_BYTES) == name and packed(name) == text
    except UnicodeEncodeError:
        same = False
    if not same:
        raise ValueRejected(f"{text[:200]!r} is not how a name is written")
    return name


def ancestors(key: str) -> list[str]:
    """The keys of the directories above, the nearest first."""
    found = []
    while key := key.rpartition("/")[0]:
        found.append(key)
    return found


# Entries from outside -------------------------------------------------------------------------------------------------


def check_changes(changes: Iterable[Change]) -> None:
    """Raise EntryRejected when a change from outside cannot be: nothing in it is believed (DESIGN.md 8)."""
    _check(changes, lambda key, entry: _problem(key, entry) or _chunks_problem(entry))


def check_told(changes: Iterable[Change]) -> None:
    """Raise EntryRejected when a manifest tells of what cannot be: whoever keeps a context is not believed either.

    Manifests do not tell chunks, and they tell what has expired.
    """
    _check(changes, lambda key, entry: "" if entry.kind == EXPIRED else _problem(key, entry))


def _check(changes: Iterable[Change], problem_of: Callable[[str, FileEntry], str]) -> None:
    folders: set[str] = set()
    for key, entry in changes:
        folder, _, name = key.rpartition("/")
        if folder not in folders or not _is_plain(name):
            check_key(key)
            folders.add(folder)
        problem = problem_of(key, entry) if entry is not None and not _is_small_file(entry) else ""
        if problem:
            raise EntryRejected(f"[EntryRejected] {key[:200]!r}: {problem}")


def _is_plain(name: str) -> bool:
    """True for a name that certainly may stand in a folder whose key was checked."""
    return name.isascii() and 0 < len(name) <= 200 and name[0] != "." and "\0" not in name


def _is_small_file(entry: FileEntry) -> bool:
    """True for a file of one chunk that certainly may be; most entries are such."""
    return (
        entry.kind == FILE
        and 0 < entry.size <= MIN_CHUNK
        and len(entry.digest) == HASH_BYTES
        and not entry.chunks
        and not entry.target
        and not entry.archived
        and not entry.mode & ~PERMISSIONS
        and entry.mtime in _TIMES
    )


def _problem(key: str, entry: FileEntry) -> str:
    if entry.mode & ~PERMISSIONS:
        return f"the mode {entry.mode:o} has more than permission bits"
    if not 0 <= entry.size <= MAX_SIZE:
        return f"a size of {entry.size} bytes is not allowed"
    if entry.mtime not in _TIMES:
        return "the time is out of range"
    if not 0 <= entry.archived <= key.count("/") + (entry.kind == DIRECTORY):
        return f"there is no archive {entry.archived} above it"
    if entry.kind == FILE:
        return _file_problem(entry)
    if entry.kind == LINK:
        return _link_problem(key, entry)
    if entry.kind == DIRECTORY:
        return "a directory has no content" if entry.digest or entry.chunks or entry.target or entry.size else ""
    return f"there is no kind {entry.kind}"


def _file_problem(entry: FileEntry) -> str:
    if len(entry.digest) != HASH_BYTES or entry.target:
        return "a file has a digest of 32 bytes and no target"
    if not entry.size and entry.digest != NOTHING:
        return "an empty file has the digest of nothing"
    return ""


def _chunks_problem(entry: FileEntry) -> str:
    if entry.kind != FILE:
        return ""
    if not entry.chunks:
        return "the chunks are missing" if entry.size > MAX_CHUNK else ""
    if len(entry.chunks) % PART_BYTES or len(entry.chunks) < 2 * PART_BYTES:
        return "the chunks cannot be read"
    lengths = [length for _, length in entry.parts]
    if sum(lengths) != entry.size or not all(0 < length <= MAX_CHUNK for length in lengths):
        return "the chunks do not add up to the size"
    return ""


def _link_problem(key: str, entry: FileEntry) -> str:
    try:
        target = _read_back(entry.target)
    except ValueRejected as problem:
        return problem.message
    if not target or len(target) > MAX_TARGET or "\0" in target or entry.chunks:
        return "a link has a target and no chunks"
    if entry.size > MAX_TARGET:
        return f"a link of {entry.size} bytes is not allowed"
    if link_leaves(unpacked(key)[1:], target):
        return "the link leaves the tree"
    return "" if entry.digest == link_digest(target) else "the digest is not that of the link"


def is_one_chunk(size: int) -> bool:
    """True when content of this size is certainly one chunk, named by its digest."""
    return size <= MIN_CHUNK
