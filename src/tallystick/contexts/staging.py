"""Pages of an upload: changes as they are to be written, made ready before their publication (spec contexts T1).

What can be done for an entry before anybody knows what stands in its place is done when its page comes in, while the
rest of the upload is still under way: the publication only puts pages together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from tallystick.content.problems import ChunkMissing
from tallystick.contexts.bounds import check_staged
from tallystick.contexts.entries import DIRECTORY, FILE, Change, FileEntry, check_changes, entry_of
from tallystick.contexts.problems import EntryRejected, PagesLost
from tallystick.contexts.shelf import Shelf
from tallystick.core.values import encoded_hash

GONE = b""
"""Stands for the content of a key that is removed."""
_NONE: Mapping[bytes, int] = MappingProxyType({})


class Page(msgspec.Struct, array_like=True, frozen=True):
    """Changes in columns: keys, the contents of their records as stored (or GONE), the hashes of these.

    ``folders`` are the directories that must be above them, ``directories`` those of the keys that are directories.
    ``leaves`` and ``size`` are sums. ``held`` is true when every chunk was found to be here; what a page refers to
    stays until it is published or forgotten.
    """

    keys: list[str]
    contents: list[bytes]
    hashes: list[bytes]
    folders: list[str]
    directories: list[str]
    leaves: int
    size: int
    held: bool

    def entries(self) -> Iterator[FileEntry]:
        """The entries of the keys that are not removed."""
        return (entry_of(content) for content in self.contents if content)

    def of(self, keys: Collection[str]) -> Iterator[tuple[str, FileEntry | None]]:
        """Those of these keys that are in the page, each with its entry; None where it is removed."""
        for key, content in zip(self.keys, self.contents, strict=True):
            if key in keys:
                yield key, entry_of(content) if content else None

    def files(self) -> Iterator[tuple[str, FileEntry]]:
        """Every file with its key."""
        for key, content in zip(self.keys, self.contents, strict=True):
            if content and (entry := entry_of(content)).kind == FILE:
                yield key, entry


_encode = msgspec.msgpack.Encoder().encode
_page = msgspec.msgpack.Decoder(Page)


def page_of(shelf: Shelf, changes: Sequence[Change], chunks: Mapping[bytes, int] = _NONE, held: bool = True) -> Page:
    """Changes from outside as a page. Raises EntryRejected for what cannot be.

    ``chunks`` (hash -> bytes) came with them. Where it is ``held``, every chunk must be here: raises ChunkMissing. Else
    they may still be on their way.
    """
    check_changes(changes)
    files = [(key, entry) for key, entry in changes if entry is not None and entry.kind == FILE]
    try:
        check_chunks(shelf, files, chunks)
    except ChunkMissing:
        if held:
            raise
    else:
        held = True
    there = [entry for _, entry in changes if entry is not None]
    contents, hashes = _written(changes, shelf.ledger.now())
    return Page(
        [key for key, _ in changes],
        contents,
        hashes,
        list({key.rpartition("/")[0] for key, entry in changes if entry is not None}),
        [key for key, entry in changes if entry is not None and entry.kind == DIRECTORY],
        leaves_of(there),
        sum([entry.size for entry in there]),
        held,
    )


def _written(changes: Sequence[Change], now: int) -> tuple[list[bytes], list[bytes]]:
    """Contents and their hashes, for keys that are new."""
    contents, hashes = [], []
    for key, entry in changes:
        if entry is None:
            contents.append(GONE)
            hashes.append(GONE)
            continue
        content = entry.content()
        content["changed"] = content["created"] = now
        contents.append(encoded := _encode(content))
        hashes.append(encoded_hash(key, encoded))
    return contents, hashes


def check_chunks(shelf: Shelf, files: Iterable[tuple[str, FileEntry]], chunks: Mapping[bytes, int] = _NONE) -> None:
    """Every chunk was sent to this context, and is as long as the entry says: else ChunkMissing, EntryRejected.

    Of the ``chunks`` (hash -> bytes) it is known that they are here.
    """
    wanted = [
        (key, entry)
        for key, entry in files
        if entry.chunks or chunks.get(entry.digest) != entry.size  # most files are one chunk that came along
    ]
    if not wanted:
        return
    named = {name for _, entry in wanted for name in (entry.hashes if entry.chunks else (entry.digest,))}
    lengths = {**chunks, **shelf.lengths(list(named.difference(chunks)))}
    for key, entry in wanted:
        if entry.chunks or lengths.get(entry.digest) != entry.size:
            _check_parts(key, entry, lengths)


def _check_parts(key: str, entry: FileEntry, lengths: Mapping[bytes, int]) -> None:
    for name, length in entry.parts:
        if name not in lengths:
            raise ChunkMissing(name)
        if lengths[name] != length:
            raise EntryRejected(f"[EntryRejected] {key!r}: a chunk has {lengths[name]} bytes, not {length}")


def leaves_of(entries: Iterable[FileEntry]) -> int:
    """How many of the entries are no directories."""
    return sum([entry.kind != DIRECTORY for entry in entries])


# Laid aside -----------------------------------------------------------------------------------------------------------


def stage(shelf: Shelf, run: str, number: int, changes: Sequence[Change], chunks: Mapping[bytes, int] = _NONE) -> None:
    """Lay one page of a run aside, in the place of one of the same number; ``chunks`` came with it.

    Raises EntryRejected, and QuotaExceeded for more than the context could publish: the caller rolls back.
    """
    page = page_of(shelf, changes, chunks, held=False)
    engine, context = shelf.ledger.engine, shelf.resource.number
    engine.execute("DELETE FROM tally_staged WHERE context=? AND run=? AND page=?", (context, run, number))
    engine.execute(
        "INSERT INTO tally_staged(context, run, page, at, body, changes) VALUES (?, ?, ?, ?, ?, ?)",
        (context, run, number, shelf.ledger.now(), _encode(page), len(page.keys) or 1),
    )
    check_staged(shelf, run)


class Staged:
    """The pages that a run has laid aside, in their order; each is read when it is its turn, as often as asked."""

    def __init__(self, shelf: Shelf, run: str) -> None:
        self._shelf, self._run = shelf, run
        rows = shelf.ledger.engine.query(
            "SELECT page FROM tally_staged WHERE context=? AND run=? ORDER BY page", (shelf.resource.number, run)
        )
        self._numbers = [number for (number,) in rows]

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Page]:
        for number in self._numbers:
            ((body,),) = self._shelf.ledger.engine.query(
                "SELECT body FROM tally_staged WHERE context=? AND run=? AND page=?",
                (self._shelf.resource.number, self._run, number),
            )
            yield _page.decode(body)


def staged(shelf: Shelf, run: str, pages: int) -> Staged:
    """The pages of a run. Raises PagesLost when they are not so many."""
    found = Staged(shelf, run)
    if len(found) != pages:
        raise PagesLost.of(len(found), pages)
    return found


def staged_entries(shelf: Shelf) -> Iterator[FileEntry]:
    """Every entry that some run has laid aside."""
    runs = shelf.ledger.engine.query("SELECT DISTINCT run FROM tally_staged WHERE context=?", (shelf.resource.number,))
    for (run,) in runs:
        for page in Staged(shelf, run):
            yield from page.entries()


def forget(shelf: Shelf, run: str) -> None:
    """The pages of a run are published, or not wanted any more."""
    shelf.ledger.engine.execute("DELETE FROM tally_staged WHERE context=? AND run=?", (shelf.resource.number, run))
