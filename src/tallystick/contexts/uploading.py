"""Carrying out the actions of a run on a context: send what is missing, then publish (spec contexts T1, U2, U8).

Content and changes go up while files are read (``delivering``), first those of single leaves, then directories that
are carried over whole (``carrying``). Nothing is visible before the publication, and then everything is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from tallystick.content.chunking import Chunk
from tallystick.contexts.carrying import Carried, carried, together
from tallystick.contexts.changeset import Changeset, Item
from tallystick.contexts.delivering import Delivery
from tallystick.contexts.entries import FILE, Change, FileEntry, packed, packed_parts
from tallystick.contexts.host import ContextHost, ContextInfo
from tallystick.contexts.reading import ListedFiles, Taken, read_file
from tallystick.errors import StorageError
from tallystick.trees.contents import Contents
from tallystick.trees.ends import TreeEnd
from tallystick.trees.listing import Listing
from tallystick.trees.nodes import Directory, Node, joined
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.plan import Action
from tallystick.trees.problems import storage_error
from tallystick.trees.steps import Step

if TYPE_CHECKING:
    from tallystick.contexts.layout import Layout


class Upload:
    """One upload into a context. ``key`` makes packed keys of paths, ``listing`` says what stands where now.

    Without a ``layout`` files stand alone.
    """

    def __init__(
        self,
        host: ContextHost,
        info: ContextInfo,
        key: Callable[[str], str],
        listing: Callable[[str], Listing | None],
        other: TreeEnd,
        orders: Orders,
        layout: Layout | None = None,
    ) -> None:
        self.layout = layout
        self.host = host
        self.identifier = identifier = info.id
        self.key = key
        self.other = other
        self.orders = orders
        self.changeset = Changeset(host, identifier, key, listing, other, orders)
        self.delivery = Delivery(host, identifier, self.changeset.lacking, holds=info.holds)
        self._archived = False

    @property
    def outcome(self) -> Outcome:
        """What became of the actions."""
        return self.changeset.outcome

    def collect(self, actions: Sequence[Action]) -> None:
        """Find out what the actions change, send the content that the host lacks, lay most of the changes aside.

        What is about to be published, and under which name, is noted while the last of it is on its way.
        """
        try:
            waiting = self.changeset.items(actions)
            self._expect(waiting)
            self._read(waiting)
            self.changeset.settle()
            self._change("", self.changeset.changes.items())
            wholes = self.changeset.wholes
            self._expect_listed(wholes)
            for steps in together(wholes):
                self._carry(steps)
            self._intend()
            self.delivery.finish()
        except BaseException:
            self.delivery.close()
            raise

    def _expect(self, items: Sequence[Item]) -> None:
        if self.orders.progress is not None:
            self.orders.progress.expect(len(items), sum(item.wanted.leaf.size for item in items))

    def _expect_listed(self, steps: Sequence[Step]) -> None:
        if self.orders.progress is not None:
            listings = [step.listing for step in steps if step.listing is not None]
            self.orders.progress.expect(
                sum(listing.leaves for listing in listings), sum(listing.size for listing in listings)
            )

    def _advance(self, files: int, size: int) -> None:
        if self.orders.progress is not None:
            self.orders.progress.advance(files, size)

    def _change(self, folder: str, changes: Iterable[tuple[str, FileEntry | None]]) -> None:
        """Hand changes on, by their paths in a directory."""
        start = self.key(joined(folder, ""))
        self.delivery.change([(start + packed(path), self._laid_out(folder, path, entry)) for path, entry in changes])

    def _read(self, items: Sequence[Item]) -> None:
        """Read leaves one by one."""
        self.other.prepare([item.wanted for item in items])
        for item in items:
            self._offer(self._item(self.other, item))
            if item.problem is None:
                self._advance(1, item.wanted.leaf.size)

    def _offer(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self.delivery.offer(chunk)

    def _carry(self, steps: Sequence[Step]) -> None:
        """Read and hand on directories as they are listed."""
        mount = self.other.mount
        listed = ListedFiles(mount) if mount is not None else None
        group = [carried(step, self.orders.moves.keys(), listed is not None) for step in steps]
        items = [item for one in group for item in one.items.values()]
        unread = {id(item) for item in self.changeset.unread(items)} if items else set()
        self.other.prepare([item.wanted for item in items if id(item) in unread])
        for one in group:
            if listed is not None:
                self._offer(one.read_quickly(listed))
            self._carry_items(list(one.items.values()))
            self._take(one)

    def _carry_items(self, items: Sequence[Item]) -> None:
        """The leaves of one directory that take the long way."""
        for item in items:
            if item.entry is None and item.problem is None:
                self._offer(self._item(self.other, item))
        self.changeset.fail_torn_databases(items)

    def _take(self, one: Carried) -> None:
        """A directory was read: its changes go on, its listings are the outcome."""
        one.take_items()
        outcome = self.outcome
        outcome.failed.update((item.path, item.problem) for item in one.items.values() if item.problem is not None)
        outcome.bulk[one.step.path] = copied = one.copied()
        outcome.bytes += copied.bytes - sum(item.entry.size for item in one.items.values() if item.entry is not None)
        self._change(one.step.path, one.changes())
        self._advance(one.listing.leaves, one.listing.size)

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

    def _intend(self) -> None:
        if self.orders.intending is not None:
            found = self.outcome
            nodes: dict[str, Node] = {path: Directory() for path in found.made}
            nodes.update(found.taken)
            listings = {path: copied.target for path, copied in found.bulk.items()}
            self.orders.intending.intend(nodes, listings, self.delivery.run, found.failed.keys())

    def publish(self, expected: str) -> str:
        """Make everything visible. Gives the version that is current then."""
        changes: Sequence[Change] = ()
        if self.layout is not None and self._archived:
            from tallystick.contexts.archives import root_changes

            changes = root_changes(self.host, self.identifier, self.layout)
        try:
            return self.delivery.publish(expected, changes)
        finally:
            self.delivery.close()

    def _laid_out(self, folder: str, path: str, entry: FileEntry | None) -> FileEntry | None:
        """The entry with the mark that the layout of this upload gives it."""
        if self.layout is None or entry is None:
            return entry
        mark = self.layout.mark(joined(folder, path), entry)
        self._archived = self._archived or mark != 0
        return msgspec.structs.replace(entry, archived=mark) if mark else entry


class Publication:
    """The publication of an upload under way: ``beside`` the caller, else it is made at once."""

    def __init__(self, upload: Upload, expected: str, beside: bool) -> None:
        self._upload = upload
        self._expected = expected
        self._version = ""
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tally-publish", daemon=True) if beside else None
        if self._thread is not None:
            self._thread.start()
        else:
            self._version = upload.publish(expected)

    def _run(self) -> None:
        try:
            self._version = self._upload.publish(self._expected)
        except BaseException as problem:
            self._problem = problem

    def version(self) -> str:
        """Wait for its end; gives the version that is current then. Raises what kept it from being made."""
        if self._thread is not None:
            self._thread.join()
        if self._problem is not None:
            raise self._problem
        return self._version

    def abandon(self) -> None:
        """Try no more, and wait until nothing is under way."""
        self._upload.delivery.close()
        if self._thread is not None:
            self._thread.join()
