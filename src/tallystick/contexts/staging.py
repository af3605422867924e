"""Pages of an upload: changes as they are to be written, made ready before their publication (spec contexts T1).

What can be done for an entry before anybody knows what stands in its place is done when its page comes in, while the
rest of the upload is still under way: the publication only puts pages together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from tallystick.content.problems import ChunkMissing
from tallystick.contexts.entries import DIRECTORY, FILE, Change, FileEntry, check_changes, entry_of
from tallystick.contexts.problems import EntryRejected, PagesLost
from tallystick.contexts.shelf import Shelf
from tallystick.core.values import mapping_hash

GONE = b""
"""Stands for the content of a key that is removed."""


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


_encode = msgspec.msgpack.Encoder().encode
_page = msgspec.msgpack.Decoder(Page)


def page_of(shelf: Shelf, changes: Sequence[Change], held: bool = True) -> Page:
    """Changes from outside as a page. Raises EntryRejected for what cannot be.

    Where it is ``held``, every chunk must be here: raises ChunkMissing. Else they may still be on their way.
    """
    check_changes(changes)
    files = [(key, entry) for key, entry in changes if entry is not None and entry.kind == FILE]
    try:
        check_chunks(shelf, files)
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
        content = msgspec.structs.replace(entry, created=now, changed=now).content()
        contents.append(_encode(content))
        hashes.append(mapping_hash(key, content))
    return contents, hashes


def check_chunks(shelf: Shelf, files: Iterable[tuple[str, FileEntry]]) -> None:
    """Every chunk was sent to this context, and is as long as the entry says: else ChunkMissing, EntryRejected."""
    wanted = list(files)
    lengths = shelf.lengths(list({name for _, entry in wanted for name in entry.hashes}))
    for key, entry in wanted:
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


def stage(shelf: Shelf, run: str, number: int, changes: Sequence[Change]) -> None:
    """Lay one page of a run aside, in the place of one of the same number."""
    page = page_of(shelf, changes, held=False)
    engine, context = shelf.ledger.engine, shelf.resource.number
    engine.execute("DELETE FROM tally_staged WHERE context=? AND run=? AND page=?", (context, run, number))
    engine.execute(
        "INSERT INTO tally_staged(context, run, page, at, body) VALUES (?, ?, ?, ?, ?)",
        (context, run, number, shelf.ledger.now(), _encode(page)),
    )


def staged(shelf: Shelf, run: str, pages: int) -> list[Page]:
    """The pages that a run has laid aside, in their order. Raises PagesLost when they are not so many."""
    rows = shelf.ledger.engine.query(
        "SELECT body FROM tally_staged WHERE context=? AND run=? ORDER BY page", (shelf.resource.number, run)
    )
    if len(rows) != pages:
        raise PagesLost.of(len(rows), pages)
    return [_page.decode(body) for (body,) in rows]


def staged_entries(shelf: Shelf) -> Iterator[FileEntry]:
    """Every entry that some run has laid aside."""
    numbers = shelf.ledger.engine.query("SELECT run, page FROM tally_staged WHERE context=?", (shelf.resource.number,))
    for run, number in numbers:
        for (body,) in shelf.ledger.engine.query(
            "SELECT body FROM tally_staged WHERE context=? AND run=? AND page=?", (shelf.resource.number, run, number)
        ):
            yield from _page.decode(body).entries()


def forget(shelf: Shelf, run: str) -> None:
    """The pages of a run are published, or not wanted any more."""
    shelf.ledger.engine.execute("DELETE FROM tally_staged WHERE context=? AND run=?", (shelf.resource.number, run))
