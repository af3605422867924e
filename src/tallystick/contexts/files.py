"""Single files of a context as streams: stored whole or not at all, given from one byte to another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from blake3 import blake3

from tallystick.content.bundles import bundles_of, unpack
from tallystick.content.chunking import Chunk, Cutter
from tallystick.contexts.archives import archive_at
from tallystick.contexts.entries import FILE, LINK, FileEntry, packed_parts
from tallystick.contexts.host import ContextHost
from tallystick.contexts.problems import FileNotHeld
from tallystick.contexts.publishing import ANY
from tallystick.contexts.zips import Written, Zip, link_bytes, written

FETCHED_AT_ONCE = 16
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class Span(NamedTuple):
    """Which bytes of a file are asked for: from ``start`` up to ``end``."""

    start: int
    end: int
    partial: bool


def span_of(text: str, size: int) -> Span | None:
    """The bytes that a Range header asks for, all without one; None when there are none such (RFC 9110).

    Anything but one range of bytes is ignored, as the standard lets a server do.
    """
    found = _RANGE.fullmatch(text.strip()) if text else None
    if found is None or not (found[1] or found[2]):
        return Span(0, size, False)
    if not found[1]:
        length = int(found[2])
        return Span(max(0, size - length), size, True) if length and size else None
    start, end = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
    return Span(start, end, True) if start < end else None


def file_entry(host: ContextHost, identifier: str, key: str) -> FileEntry:
    """The entry of a file. Raises FileNotHeld, also for links and directories."""
    entry = host.entries(identifier, [key]).get(key)
    if entry is None or entry.kind != FILE:
        raise FileNotHeld(f"[FileNotFound] the context holds no file {key!r}")
    return entry


class StoredFile(NamedTuple):
    """A file to be read: its bytes, a digest of what it holds, and how to read a part of it."""

    size: int
    digest: bytes
    pieces: Callable[[ContextHost, Span], Iterator[bytes]]


def stored_file(host: ContextHost, identifier: str, key: str) -> StoredFile:
    """A file, or an archive of packed ones. Raises FileNotHeld."""
    archive = archive_at(host, identifier, key)
    if archive is not None:
        return StoredFile(
            archive.size, archive.tag, lambda reading, span: _archive_pieces(reading, identifier, archive, span)
        )
    entry = file_entry(host, identifier, key)
    return StoredFile(entry.size, entry.digest, lambda reading, span: pieces_of(reading, identifier, entry, span))


def _archive_pieces(host: ContextHost, identifier: str, archive: Zip, span: Span) -> Iterator[bytes]:
    """The bytes of an archive from one position to another; it is made from its beginning."""
    members = (Written(name, entry, _content(host, identifier, entry)) for name, entry in archive.members)
    position = 0
    for piece in written(members):
        start, end = max(span.start - position, 0), min(span.end - position, len(piece))
        if start < end:
            yield piece[start:end]
        position += len(piece)
        if position >= span.end:
            return


def _content(host: ContextHost, identifier: str, entry: FileEntry) -> Iterator[bytes]:
    if entry.kind == LINK:
        yield link_bytes(entry)
    elif entry.kind == FILE:
        yield from pieces_of(host, identifier, entry, Span(0, entry.size, False))


def put_file(
    host: ContextHost, identifier: str, key: str, pieces: Iterable[bytes], mtime_ns: int, mode: int = 0o644
) -> str:
    """Store one file from a stream of its content; gives the new version. Whole or not at all."""
    hasher = blake3()
    parts: list[tuple[bytes, int]] = []

    def cut() -> Iterator[Chunk]:
        cutter = Cutter()
        for piece in pieces:
            hasher.update(piece)
            yield from cutter.feed(piece)
        yield from cutter.finish()

    def noted() -> Iterator[Chunk]:
        for chunk in cut():
            parts.append((chunk.hash, len(chunk.data)))
            yield chunk

    host.send(identifier, bundles_of(noted()))
    size = sum(length for _, length in parts)
    entry = FileEntry(FILE, mode, size, mtime_ns, hasher.digest(), packed_parts(parts))
    return host.publish(identifier, ANY, [(key, entry)])


def pieces_of(host: ContextHost, identifier: str, entry: FileEntry, span: Span) -> Iterator[bytes]:
    """The bytes of a file from one position to another, chunk by chunk."""
    wanted: list[tuple[bytes, int, int]] = []
    position = 0
    for name, length in entry.parts:
        start, end = max(span.start - position, 0), min(span.end - position, length)
        if start < end:
            wanted.append((name, start, end))
        position += length
    for at in range(0, len(wanted), FETCHED_AT_ONCE):
        some = wanted[at : at + FETCHED_AT_ONCE]
        held: dict[bytes, bytes] = {}
        for bundle in host.fetch(identifier, [name for name, _, _ in some]):
            held.update((chunk.hash, chunk.data) for chunk in unpack(bundle))
        yield from (held[name][start:end] for name, start, end in some)
