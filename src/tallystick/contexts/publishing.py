"""Publishing: the changes of one upload become visible, all in one transaction or none (spec contexts B.10, T1).

Everything that came from outside is checked against what the site knows: nothing else of it is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeVar

import msgspec

from tallystick.content.problems import ChunkMissing
from tallystick.contexts.entries import DIRECTORY, FILE, Change, FileEntry, check_changes
from tallystick.contexts.problems import EntryRejected, QuotaExceeded, VersionMoved
from tallystick.contexts.shelf import Shelf
from tallystick.site import managed

ANY = "*"
"""Expects no version: the changes apply to whatever is current."""

SLICE = 10_000
"""Entries that are checked and written at once."""
T = TypeVar("T")

_pages = msgspec.msgpack.Decoder(list[Change])


def publish(shelf: Shelf, expected: str, changes: Sequence[Change], run: str = "") -> str:
    """Publish within the caller's write transaction; gives the version that is current then.

    Raises VersionMoved, EntryRejected, ChunkMissing, QuotaExceeded: the caller rolls back.
    """
    if expected not in (ANY, shelf.version):
        raise VersionMoved(f"[VersionMoved] {shelf.name} was published by somebody else meanwhile")
    check_changes(changes)
    if run:
        changes = [*staged(shelf, run), *changes]  # those were checked when they were laid aside
    publication = _Publication(shelf, changes)
    publication.write()
    if run:
        shelf.ledger.engine.execute("DELETE FROM tally_staged WHERE context=? AND run=?", (shelf.resource.number, run))
    return shelf.version


def stage(shelf: Shelf, run: str, page: int, changes: Sequence[Change]) -> None:
    """Lay one page of a run aside, in the place of one of the same number."""
    check_changes(changes)
    engine, number = shelf.ledger.engine, shelf.resource.number
    engine.execute("DELETE FROM tally_staged WHERE context=? AND run=? AND page=?", (number, run, page))
    engine.execute(
        "INSERT INTO tally_staged(context, run, page, at, body) VALUES (?, ?, ?, ?, ?)",
        (number, run, page, shelf.ledger.now(), msgspec.msgpack.encode(changes)),
    )


def staged(shelf: Shelf, run: str) -> list[Change]:
    """The changes that a run has laid aside, in the order of its pages."""
    rows = shelf.ledger.engine.query(
        "SELECT body FROM tally_staged WHERE context=? AND run=? ORDER BY page", (shelf.resource.number, run)
    )
    return list(chain.from_iterable(_pages.decode(body) for (body,) in rows))


class _Publication:
    def __init__(self, shelf: Shelf, changes: Sequence[Change]) -> None:
        self.shelf = shelf
        self.now = shelf.ledger.now()
        self.wanted = dict(changes)
        if len(self.wanted) < len(changes):
            raise EntryRejected("[EntryRejected] a key is named twice in one upload")
        self.old = shelf.entries(list(self.wanted)) if shelf.resource.seq else {}
        self.changed = {key: entry for key, entry in self.wanted.items() if differs(self.old.get(key), entry)}

    def write(self) -> None:
        """Check everything, then write it."""
        if not self.changed:
            return
        self._add_parents()
        self._check_emptied()
        self._check_chunks()
        self._count()
        self._keep_history()
        for keys in _slices(sorted(self.changed)):
            records = [(key, self._stored(key, self.changed[key])) for key in keys]
            managed.write(self.shelf.ledger, self.shelf.resource, records)

    def _stored(self, key: str, entry: FileEntry | None) -> dict[str, object] | None:
        if entry is None:
            return None
        old = self.old.get(key)
        created = old.created if old is not None else self.now
        same = old is not None and (old.kind, old.digest) == (entry.kind, entry.digest)
        changed = old.changed if same and old is not None else self.now
        expanded = entry.expanded or (same and old is not None and old.expanded)
        return msgspec.structs.replace(entry, created=created, changed=changed, expanded=expanded).content()

    # Checks -----------------------------------------------------------------------------------------------------------

    def _add_parents(self) -> None:
        """Every directory above a new entry is there, or is made now; a leaf there refuses the entry."""
        asked: set[str] = {""}
        waiting = {key.rpartition("/")[0] for key, entry in self.changed.items() if entry is not None} - asked
        while waiting:
            asked |= waiting
            unknown = [key for key in waiting if key not in self.wanted]
            there = self.shelf.entries(unknown) if self.shelf.resource.seq else {}
            for key in sorted(waiting):
                found = self.wanted[key] if key in self.wanted else there.get(key)
                if key in self.wanted and found is None:
                    raise EntryRejected(f"[EntryRejected] {key!r} is removed while something below it is written")
                if found is None:
                    self.changed[key] = FileEntry(DIRECTORY, 0o755)
                elif found.kind != DIRECTORY:
                    raise EntryRejected(f"[EntryRejected] {key!r} is no directory, and something below it is written")
            waiting = {key.rpartition("/")[0] for key in waiting} - asked

    def _check_emptied(self) -> None:
        """What was a directory and is none any more must hold nothing that stays."""
        for key, entry in self.changed.items():
            old = self.old.get(key)
            if old is None or old.kind != DIRECTORY or (entry is not None and entry.kind == DIRECTORY):
                continue
            for page in self.shelf.everything(key):
                for inner, _ in page:
                    if self.changed.get(inner, old) is not None:
                        raise EntryRejected(f"[EntryRejected] {key!r} is removed but {inner!r} in it is not")

    def _check_chunks(self) -> None:
        """Every chunk was sent to this context, and is as long as the entry says."""
        files = [(key, entry) for key, entry in self.changed.items() if entry is not None and entry.kind == FILE]
        for some in _slices(files):
            lengths = self.shelf.lengths(list({name for _, entry in some for name in entry.hashes}))
            for key, entry in some:
                _check_parts(key, entry, lengths)

    def _count(self) -> None:
        """Keep the totals of the context within its quotas."""
        shelf = self.shelf
        news = [entry for entry in self.changed.values() if entry is not None]
        olds = [self.old[key] for key in self.changed if key in self.old]
        files = shelf.files + _leaves(news) - _leaves(olds)
        size = shelf.size + sum(entry.size for entry in news) - sum(entry.size for entry in olds)
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
            if (old := self.old.get(key)) is not None
            and old.kind != DIRECTORY
            and (entry is None or (entry.kind, entry.digest) != (old.kind, old.digest))
        ]
        self.shelf.ledger.engine.executemany(
            "INSERT INTO tally_history(context, version, key, at, content) VALUES (?, ?, ?, ?, ?)", lost
        )


def _slices(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    """A sequence in parts, so that what is made of each does not add up in memory."""
    for start in range(0, len(whole), SLICE):
        yield whole[start : start + SLICE]


def _check_parts(key: str, entry: FileEntry, lengths: Mapping[bytes, int]) -> None:
    for name, length in entry.parts:
        if name not in lengths:
            raise ChunkMissing(name)
        if lengths[name] != length:
            raise EntryRejected(f"[EntryRejected] {key!r}: a chunk has {lengths[name]} bytes, not {length}")


def _leaves(entries: Iterable[FileEntry]) -> int:
    return sum(entry.kind != DIRECTORY for entry in entries)


def differs(old: FileEntry | None, new: FileEntry | None) -> bool:
    """True when publishing ``new`` in the place of ``old`` changes anything; a time alone does not (K7)."""
    if old is None or new is None:
        return old is not new
    if (new.expanded and not old.expanded) or new.archived != old.archived:
        return True
    return (old.kind, old.digest, old.mode) != (new.kind, new.digest, new.mode)
