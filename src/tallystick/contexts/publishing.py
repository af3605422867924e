"""Publishing: the changes of one upload become visible, all in one transaction or none (spec contexts B.10, T1).

Everything that came from outside is checked against what the site knows: nothing else of it is believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from tallystick.contexts import staging
from tallystick.contexts.entries import DIRECTORY, FILE, Change, FileEntry, entry_of
from tallystick.contexts.problems import EntryRejected, QuotaExceeded, VersionMoved
from tallystick.contexts.shelf import Shelf
from tallystick.contexts.staging import GONE, Page
from tallystick.site import managed

ANY = "*"
"""Expects no version: the changes apply to whatever is current."""

SLICE = 10_000
"""Entries that are replaced at once."""
T = TypeVar("T")


def publish(shelf: Shelf, expected: str, changes: Sequence[Change], run: str = "", pages: int = 0) -> str:
    """Publish within the caller's write transaction; gives the version that is current then.

    Raises VersionMoved, PagesLost, EntryRejected, ChunkMissing, QuotaExceeded: the caller rolls back.
    """
    if expected not in (ANY, shelf.version):
        raise VersionMoved(f"[VersionMoved] {shelf.name} was published by somebody else meanwhile")
    found = staging.staged(shelf, run, pages) if run else []
    if changes:
        found.append(staging.page_of(shelf, changes))
    _Publication(shelf, found).write()
    if run:
        staging.forget(shelf, run)
    return shelf.version


class _Publication:
    """Pages that become visible. Keys that are new are written as their pages have them; others are looked at."""

    def __init__(self, shelf: Shelf, pages: Sequence[Page]) -> None:
        self.shelf = shelf
        self.now = shelf.ledger.now()
        self.pages = pages
        self.wanted = {key: content for page in pages for key, content in zip(page.keys, page.contents, strict=True)}
        if len(self.wanted) < sum(len(page.keys) for page in pages):
            raise EntryRejected("[EntryRejected] a key is named twice in one upload")
        self.old = shelf.entries(list(self.wanted)) if shelf.resource.seq else {}
        self.replacing = {key: _entry(self.wanted[key]) for key in self.old}
        self.changed = {key: entry for key, entry in self.replacing.items() if differs(self.old[key], entry)}
        self.parents: list[str] = []

    def write(self) -> None:
        """Check everything, then write it."""
        fresh = self._fresh()
        if not self.changed and not fresh:
            return
        self._add_parents()
        self._check_emptied()
        self._check_chunks()
        self._count()
        self._keep_history()
        ledger, resource = self.shelf.ledger, self.shelf.resource
        managed.write_new(ledger, resource, fresh + self._parent_rows() if self.parents else fresh)
        for keys in _slices(sorted(self.changed)):
            managed.write(ledger, resource, [(key, self._stored(key, self.changed[key])) for key in keys])

    def _fresh(self) -> list[tuple[str, bytes, bytes]]:
        """(key, content, hash) of everything that has no entry yet, in the order of keys."""
        rows = [row for page in self.pages for row in zip(page.keys, page.contents, page.hashes, strict=True) if row[1]]
        if self.old:
            rows = [row for row in rows if row[0] not in self.old]
        rows.sort()
        return rows

    def _parent_rows(self) -> list[tuple[str, bytes, bytes]]:
        page = staging.page_of(self.shelf, [(key, FileEntry(DIRECTORY, 0o755)) for key in self.parents])
        return list(zip(page.keys, page.contents, page.hashes, strict=True))

    def _stored(self, key: str, entry: FileEntry | None) -> dict[str, object] | None:
        if entry is None:
            return None
        old = self.old[key]
        same = (old.kind, old.digest) == (entry.kind, entry.digest)
        changed = old.changed if same else self.now
        expanded = entry.expanded or (same and old.expanded)
        return msgspec.structs.replace(entry, created=old.created, changed=changed, expanded=expanded).content()

    # Checks -----------------------------------------------------------------------------------------------------------

    def _add_parents(self) -> None:
        """Every directory above a new entry is there, or is made now; a leaf there refuses the entry."""
        made = {key for page in self.pages for key in page.directories}
        asked: set[str] = {""}
        waiting = {folder for page in self.pages for folder in page.folders} - asked
        while waiting:
            asked |= waiting
            unknown = [key for key in waiting if key not in self.wanted]
            there = self.shelf.entries(unknown) if self.shelf.resource.seq and unknown else {}
            for key in waiting:
                self._check_parent(key, there.get(key), made)
            self.parents += [key for key in unknown if key not in there]
            waiting = {key.rpartition("/")[0] for key in waiting} - asked

    def _check_parent(self, key: str, there: FileEntry | None, made: set[str]) -> None:
        if self.wanted.get(key) == GONE:
            raise EntryRejected(f"[EntryRejected] {key!r} is removed while something below it is written")
        if (key in self.wanted and key not in made) or (there is not None and there.kind != DIRECTORY):
            raise EntryRejected(f"[EntryRejected] {key!r} is no directory, and something below it is written")

    def _check_emptied(self) -> None:
        """What was a directory and is none any more must hold nothing that stays."""
        for key, entry in self.changed.items():
            old = self.old[key]
            if old.kind != DIRECTORY or (entry is not None and entry.kind == DIRECTORY):
                continue
            for page in self.shelf.everything(key):
                for inner, _ in page:
                    if self.changed.get(inner, old) is not None:
                        raise EntryRejected(f"[EntryRejected] {key!r} is removed but {inner!r} in it is not")

    def _check_chunks(self) -> None:
        """What was still on its way when its page came must be here now."""
        for page in self.pages:
            if not page.held:
                entries = zip(page.keys, map(_entry, page.contents), strict=True)
                files = [(key, entry) for key, entry in entries if entry is not None and entry.kind == FILE]
                staging.check_chunks(self.shelf, files)

    def _count(self) -> None:
        """Keep the totals of the context within its quotas."""
        shelf = self.shelf
        kept = [entry for key, entry in self.replacing.items() if entry is not None and key not in self.changed]
        lost = kept + [self.old[key] for key in self.changed]
        files = shelf.files + sum(page.leaves for page in self.pages) - staging.leaves_of(lost)
        size = shelf.size + sum(page.size for page in self.pages) - sum(entry.size for entry in lost)
        for name, value, before, quota in (
            ("files", files, shelf.files, shelf.quota_files),
            ("bytes", size, shelf.size, shelf.quota_bytes),
        ):
            if quota is not None and value > quota and value > before:
                raise QuotaExceeded(f"[QuotaExceeded] {shelf.name} would hold {value:,} {name} of {quota:,}")
        shelf.files, shelf.size, shelf.used = files, size, self.now
        shelf.ledger.engine.execute(
            "UPDATE tally_context SET files=?, bytes=?, used=? WHERE id=?", (files, size, self.now, shelf.id)
        )

    def _keep_history(self) -> None:
        """What is replaced or removed stays until its retention ends (X3)."""
        number, version = self.shelf.resource.number, self.shelf.ledger.seq + 1
        lost = [
            (number, version, key, self.now, msgspec.msgpack.encode(old.content()))
            for key, entry in self.changed.items()
            if (old := self.old[key]).kind != DIRECTORY
            and (entry is None or (entry.kind, entry.digest) != (old.kind, old.digest))
        ]
        self.shelf.ledger.engine.executemany(
            "INSERT INTO tally_history(context, version, key, at, content) VALUES (?, ?, ?, ?, ?)", lost
        )


def _entry(content: bytes) -> FileEntry | None:
    return entry_of(content) if content else None


def _slices(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    """A sequence in parts, so that what is made of each does not add up in memory."""
    for start in range(0, len(whole), SLICE):
        yield whole[start : start + SLICE]


def differs(old: FileEntry | None, new: FileEntry | None) -> bool:
    """True when publishing ``new`` in the place of ``old`` changes anything; a time alone does not (K7)."""
    if old is None or new is None:
        return old is not new
    if (new.expanded and not old.expanded) or new.archived != old.archived:
        return True
    return (old.kind, old.digest, old.mode) != (new.kind, new.digest, new.mode)
