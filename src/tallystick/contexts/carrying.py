"""Directories that are carried into a context whole: the fast road of a first upload (spec contexts U8).

Directory by directory, with no object per file that stays: a listing goes in; chunks, changes and the listing of what
arrived come out. Small files that nobody has read yet are read here without a question; everything else in such a
directory takes the long way as an ``Item``.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from tallystick.content.chunking import Chunk
from tallystick.contexts.changeset import DIRECTORY_MODE, Item, listing_in_context, value_in_context
from tallystick.contexts.entries import DIRECTORY, FILE, FileEntry, is_one_chunk
from tallystick.contexts.reading import ListedFiles
from tallystick.errors import StorageError
from tallystick.trees.assembling import leaf_of
from tallystick.trees.bulk import Copied
from tallystick.trees.contents import Wanted
from tallystick.trees.listing import STATS, VALUE_BYTES, WIDTH, Listing, Mark
from tallystick.trees.nodes import PERMISSIONS, joined
from tallystick.trees.steps import Step
from tallystick.trees.unchanged import JOURNALS

AT_ONCE = 4096
"""Leaves whose directories are looked at together."""
_LEAVES = (Mark.UNREAD, Mark.FILE, Mark.LINK)
_TYPE, _FILE = 0o170000, 0o100000


@dataclass(slots=True)
class Carried:
    """One directory under way: by position in its listing, the entries that were made, and what takes the long way."""

    step: Step
    listing: Listing
    entries: list[FileEntry | None]
    items: dict[int, Item] = field(default_factory=dict)

    def item(self, position: int) -> Item:
        """The leaf at a position, for the long way."""
        entry = self.listing.at(position)
        path = joined(self.step.path, entry.name)
        source = path if self.step.source == self.step.path else joined(self.step.source, entry.name)
        return Item(path, Wanted(source, leaf_of(entry)))

    def quick(self) -> Iterator[tuple[int, str, tuple[int, ...]]]:
        """(position, name, stats) of the files that are read without a question."""
        marks = self.listing.values[::VALUE_BYTES]
        for position, stats in enumerate(STATS.iter_unpack(self.listing.stats)):
            if marks[position] in _LEAVES and position not in self.items:
                yield position, self.listing.names[position], stats

    def read_quickly(self, listed: ListedFiles) -> Iterator[Chunk]:
        """Read the files that need no question; those that are not as listed are left to the long way."""
        wanted = list(self.quick())
        if not wanted:
            return
        try:
            at = listed.mount.directory(self.step.source)
        except (OSError, StorageError):
            self.items.update((position, self.item(position)) for position, _, _ in wanted)
            return
        for position, name, stats in wanted:
            chunk = listed.read_at(at, name, stats)
            if chunk is None:
                self.items[position] = self.item(position)
                continue
            self.entries[position] = FileEntry(FILE, stats[0] & PERMISSIONS, stats[2], stats[3], chunk.hash)
            if chunk.data:
                yield chunk

    def take_items(self) -> None:
        """The entries of what took the long way."""
        for position, item in self.items.items():
            self.entries[position] = None if item.problem is not None else item.entry

    def changes(self) -> list[tuple[str, FileEntry]]:
        """(name, entry) of every leaf that was read."""
        return [(name, entry) for name, entry in zip(self.listing.names, self.entries, strict=True) if entry]

    def copied(self) -> Copied:
        """The listings of both sides, as they are by now."""
        leaves = self.changes()
        arrived = leaves + [(name, self._directory(name)) for name in self.listing.subdirectories()]
        arrived.sort(key=itemgetter(0))
        size = sum([entry.size for _, entry in leaves])
        target = listing_in_context(arrived)
        return Copied(self.step.path, self.step.source, target, self._origin(), size, len(leaves))

    def _directory(self, name: str) -> FileEntry:
        found = self.listing.find(name)
        return FileEntry(DIRECTORY, (found.permissions if found is not None else DIRECTORY_MODE) | 0o700)

    def _origin(self) -> Listing:
        """The listing of the source with what reading its files gave."""
        stats = array("q", self.listing.stats)
        values = b"".join(
            [
                value if entry is None else value_in_context(entry)
                for entry, (value,) in zip(self.entries, self.listing.marked(), strict=True)
            ]
        )
        for position, item in self.items.items():
            if item.given is not None and item.given.entry is not None and self.entries[position] is not None:
                stats[position * WIDTH : (position + 1) * WIDTH] = array("q", item.given.entry.stats)
        return Listing(self.listing.names, stats, values)


def carried(step: Step, moved: Container[str], on_this_machine: bool) -> Carried:
    """A directory about to be carried over; ``moved`` are paths whose content may be held under another name."""
    assert step.listing is not None
    listing = step.listing
    found = Carried(step, listing, [None] * len(listing))
    databases = any(name.endswith(JOURNALS) for name in listing.names)
    for position, (stats, (value,)) in enumerate(listing.parts()):
        mark = value[0]
        quick = (
            on_this_machine
            and not databases
            and mark == Mark.UNREAD
            and stats[0] & _TYPE == _FILE
            and is_one_chunk(stats[2])
            and joined(step.path, listing.names[position]) not in moved
        )
        if mark in _LEAVES and not quick:
            found.items[position] = found.item(position)
    return found


def together(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Directories in their order, so many together that asking about them is worth it."""
    group: list[Step] = []
    leaves = 0
    for step in steps:
        group.append(step)
        leaves += len(step.listing or ())
        if leaves >= AT_ONCE:
            yield group
            group, leaves = [], 0
    if group:
        yield group
