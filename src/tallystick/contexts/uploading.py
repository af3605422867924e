"""Carrying out the actions of a run on a context: send what is missing, then publish (spec contexts T1, U2, U8).

One stream of bundles goes up while files are read; every few MiB the host is asked what it lacks. Nothing is visible
before the publication, and then everything is.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from tallystick.content.bundles import bundles_of
from tallystick.content.chunking import Chunk
from tallystick.contexts.changeset import Changeset, Item
from tallystick.contexts.entries import FILE, Change, FileEntry, is_one_chunk, packed_parts
from tallystick.contexts.host import ContextHost
from tallystick.contexts.reading import ListedFiles, Taken, read_file
from tallystick.errors import PeerUnreachable, StorageError
from tallystick.trees.contents import Contents
from tallystick.trees.copying import storage_error
from tallystick.trees.ends import TreeEnd
from tallystick.trees.listing import Listing
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.plan import Action

if TYPE_CHECKING:
    from tallystick.contexts.layout import Layout

WINDOW_BYTES = 8 << 20
WINDOW_CHUNKS = 4096
"""How much is read before the host is asked which of it is missing."""
STAGED = 20_000
"""Changes in one page that is laid aside before a publication."""
ATTEMPTS = 5


class Upload:
    """One upload into a context. ``key`` makes packed keys of paths, ``listing`` says what stands where now.

    Without a ``layout`` files stand alone.
    """

    def __init__(
        self,
        host: ContextHost,
        identifier: str,
        key: Callable[[str], str],
        listing: Callable[[str], Listing | None],
        other: TreeEnd,
        orders: Orders,
        layout: Layout | None = None,
    ) -> None:
        self.layout = layout
        self.host = host
        self.identifier = identifier
        self.key = key
        self.other = other
        self.orders = orders
        self.changeset = Changeset(host, identifier, key, listing, other, orders)
        self._offered: set[bytes] = set()

    @property
    def outcome(self) -> Outcome:
        """What became of the actions."""
        return self.changeset.outcome

    def collect(self, actions: Sequence[Action]) -> None:
        """Find out what the actions change, and send the content that the host lacks."""
        waiting = self.changeset.items(actions)
        if self.orders.progress is not None:
            self.orders.progress.expect(len(waiting), sum(item.wanted.leaf.size for item in waiting))
        for attempt in range(ATTEMPTS):
            try:
                self._send(waiting)
                break
            except PeerUnreachable:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
                waiting = self._unsent(waiting)
        self.changeset.settle()

    def _unsent(self, waiting: Sequence[Item]) -> list[Item]:
        """After a connection was cut: the items whose content is not all there."""
        self._offered.clear()
        names = list({name for item in waiting if item.entry is not None for name in item.entry.hashes})
        missing = set(self._missing(names))
        return [item for item in waiting if item.entry is None or missing.intersection(item.entry.hashes)]

    def _missing(self, names: Sequence[bytes]) -> Iterator[bytes]:
        for start in range(0, len(names), 8 * WINDOW_CHUNKS):
            yield from self.host.missing(self.identifier, names[start : start + 8 * WINDOW_CHUNKS])

    def _send(self, items: Sequence[Item]) -> None:
        bundles = bundles_of(self._news(items))
        first = next(bundles, None)
        if first is not None:
            self.host.send(self.identifier, chain((first,), bundles))

    def _news(self, items: Sequence[Item]) -> Iterator[Chunk]:
        """The chunks that the host lacks, window by window, while files are read."""
        window: list[Chunk] = []
        size = 0
        for chunk in self._chunks(items):
            if chunk.hash in self._offered:
                continue
            self._offered.add(chunk.hash)
            window.append(chunk)
            size += len(chunk.data)
            if size >= WINDOW_BYTES or len(window) >= WINDOW_CHUNKS:
                yield from self._lacking(window)
                window, size = [], 0
        yield from self._lacking(window)

    def _lacking(self, window: Sequence[Chunk]) -> Iterator[Chunk]:
        if window:
            missing = set(self.host.missing(self.identifier, [chunk.hash for chunk in window]))
            yield from (chunk for chunk in window if chunk.hash in missing)

    def _chunks(self, items: Sequence[Item]) -> Iterator[Chunk]:
        self.other.prepare([item.wanted for item in items])
        listed = ListedFiles(self.other.mount) if self.other.mount is not None else None
        for item in items:
            chunk = _read_listed(listed, item) if listed is not None else None
            if chunk is None:
                yield from self._item(self.other, item)
                continue
            leaf, data = item.wanted.leaf, chunk.data
            if data:
                yield chunk
            self.changeset.take_file(item, FileEntry(FILE, leaf.permissions, len(data), leaf.mtime_ns, chunk.hash))
            if self.orders.progress is not None:
                self.orders.progress.advance(1, len(data))

    def _item(self, source: Contents, item: Item) -> Iterator[Chunk]:
        taken: list[Taken] = []
        try:
            if item.is_link:
                self.changeset.take_link(item, source.link_target(item.wanted))
                return
            yield from read_file(source, item.wanted, taken)
        except StorageError as problem:
            self.changeset.fail(item, problem)
            return
        except OSError as problem:
            self.changeset.fail(item, storage_error(item.wanted.path, problem))
            return
        given, parts = taken[0]
        entry = FileEntry(FILE, given.permissions, given.size, given.mtime_ns, given.digest, packed_parts(parts))
        self.changeset.take_file(item, entry, given)
        if self.orders.progress is not None:
            self.orders.progress.advance(1, given.size)

    def publish(self, expected: str) -> str:
        """Make everything visible. Gives the version that is current then."""
        changes = [(self.key(path), self._laid_out(path, entry)) for path, entry in self.changeset.changes.items()]
        if self.layout is not None and any(entry is not None and entry.archived for _, entry in changes):
            from tallystick.contexts.archives import root_changes

            changes += root_changes(self.host, self.identifier, self.layout)
        return publish_pages(self.host, self.identifier, expected, changes) if changes else expected

    def _laid_out(self, path: str, entry: FileEntry | None) -> FileEntry | None:
        """The entry with the mark that the layout of this upload gives it."""
        if self.layout is None or entry is None:
            return entry
        mark = self.layout.mark(path, entry)
        return msgspec.structs.replace(entry, archived=mark) if mark else entry


def publish_pages(host: ContextHost, identifier: str, expected: str, changes: Sequence[Change]) -> str:
    """Publish any number of changes at once: many are laid aside in pages first. Gives the new version."""
    run = secrets.token_hex(8) if len(changes) > STAGED else ""
    page = 0
    while len(changes) > STAGED:
        _again(partial(host.stage, identifier, run, page, changes[:STAGED]))
        changes = changes[STAGED:]
        page += 1
    return host.publish(identifier, expected, changes, run)


def _again(work: Callable[[], None]) -> None:
    """What may be repeated is, when the connection was cut."""
    for attempt in range(ATTEMPTS):
        try:
            return work()
        except PeerUnreachable:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.1 * 2**attempt)


def _read_listed(listed: ListedFiles, item: Item) -> Chunk | None:
    """The chunk of a small file that nobody has read yet and that belongs to no database; None: read it otherwise."""
    leaf = item.wanted.leaf
    if not item.stats or leaf.digest is not None or item.is_link or not is_one_chunk(leaf.size):
        return None
    try:
        return listed.read(item.wanted.path, item.stats)
    except (OSError, StorageError):
        return None  # the long way says what is wrong
