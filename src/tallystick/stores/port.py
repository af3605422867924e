"""The port between the object model and the database that keeps it.

A managed record is (key, parent, properties, parts): a folder, item, store, user or company. Its parent is another
managed record, so records form a tree (store > folder > folder > item); ``properties`` is a mapping that the object
model reads and writes; parts (text, source, attachments) are fetched only when asked for, and written only when they
change. Beside the records stands the log of ``changelog.py``: the last seq per kind of change. **One write is one
change of the record, and one seq.**

Every method is set-based, atomic, and part of the surrounding ``transaction``, if there is one. All raise StorageError
(StorageLocked, which is transient, while another process writes; the call may be repeated as it is).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from tallystick.stores.changelog import Class, Entry, Kind
from tallystick.stores.windows import Live

SERVER = 0
"""The scope of everything, and the parent of what stands at the top."""


class Record(NamedTuple):
    """One managed record as it is now."""

    id: int
    """Number: ascending with creation, kept by moves, never used again."""
    entry: int
    """Its entry in the log, under its present parent and key."""
    key: bytes
    object: int
    """A ``Class``."""
    parent: int
    store: int
    """Number of the store it is in; 0 for what is in none."""
    soft: int
    """1 when deleted recoverably."""
    associated: int
    read: int
    delivered: int | None
    """Delivery time, microseconds since 1970 UTC."""
    name: str
    """Of folders, stores, users and companies; items have none."""
    properties: bytes
    """Its whole content, packed; see ``properties.py``."""
    resource: int = 0
    """Number of the site's resource that keeps it."""
    body: str = ""
    """The key that its parts are kept under, where it is not its own."""
    digest: int = 0
    """Of its content but the read flag."""


class Draft(NamedTuple):
    """A record to be made. ``kinds`` is what the log says of it: creation, and a change if content came with it."""

    object: Class
    parent: int
    store: int = 0
    name: str = ""
    properties: Mapping[str, Any] = {}
    parts: Mapping[str, bytes] = {}
    associated: bool = False
    read: bool = False
    delivered: int | None = None
    kinds: Sequence[Kind] = (Kind.NEW,)
    key: bytes | None = None
    """None: a fresh one is made."""


class Revision(NamedTuple):
    """A write to a record. Fields that are None stay as they are; a part that is None is removed."""

    record: int
    kinds: Sequence[Kind] = (Kind.CHANGE,)
    name: str | None = None
    properties: Mapping[str, Any] | None = None
    """All of them, instead of those it had."""
    read: bool | None = None
    delivered: int | None = None
    parts: Mapping[str, bytes | None] = {}


class Subject(IntEnum):
    """What a registration synchronizes."""

    CONTENTS = 1
    HIERARCHY = 2


class Registration(NamedTuple):
    """One registered synchronization."""

    sync: int
    scope: int
    """Number of the folder, or SERVER."""
    subject: int
    done: int
    """The seq that its last complete synchronization reached."""
    restricted: bool
    """True once a time window was used with it."""


class Parked(NamedTuple):
    """A change that an importer would not take."""

    sync: int
    scope: int
    seq: int
    key: bytes
    kind: int
    """A ``Kind``."""
    message: str
    at: int
    """When, microseconds since 1970 UTC."""


class Imported(NamedTuple):
    """A message that was taken from outside."""

    source: str
    place: str
    """The source's folder it was in."""
    uid: str
    """Its name there."""
    item: int
    """Number of the item it became; 0 when it could not become one."""
    flags: str
    """Its flags there when they were last compared."""
    digest: bytes
    """Of its content."""


class Records(Protocol):
    """Managed records and their log in one database."""

    def transaction(self) -> AbstractContextManager[None]:
        """A block that is committed as one when it ends, and undone when it raises. Inner ones join the outer."""

    def snapshot(self) -> AbstractContextManager[None]:
        """A block whose reads all see one moment. It must not write."""

    def insert(self, drafts: Sequence[Draft]) -> list[Record]:
        """Create records, in order."""

    def update(self, revisions: Iterable[Revision]) -> None:
        """Write to records. Those that are gone are passed over; of those deleted recoverably the log says nothing."""

    def move(self, records: Sequence[int], parent: int, store: int) -> list[Record]:
        """Move live or recoverable records under ``parent``; recoverable ones come back to life.

        Items get a new key and entry there (HARD at the source if they were alive, NEW at the target) and keep number,
        flag and parts; folders keep their key (CHANGE under both parents). ``store`` is that of the new parent; the
        caller moves what is below a folder to another store by ``rehome``.
        """

    def rehome(self, records: Sequence[int], store: int) -> None:
        """Note that records stand in another store now, because a folder above moved there. No change is logged."""

    def remove(self, records: Sequence[int], hard: bool, cascade: bool = False) -> None:
        """Delete records in order, recoverably or for good; ``cascade`` marks what goes with a folder above."""

    def records(self, records: Iterable[int]) -> dict[int, Record]:
        """Records by number; those that are gone are left out."""

    def find(self, key: bytes) -> Record | None:
        """The record that has this key now."""

    def children(
        self,
        parent: int,
        object: Class,
        *,
        soft: bool = False,
        name: str | None = None,
        page: tuple[int, int] | None = None,
    ) -> list[Record]:
        """Records of one class under ``parent``, ascending by number, only those called ``name`` if that is given.

        ``page`` is (number after which to begin, how many).
        """

    def listed(self, parent: int, *, soft: bool = False, associated: Sequence[int] = (0,)) -> list[tuple[int, int]]:
        """(number, log entry) of the items in a folder, descending by number.

        ``associated`` says which: 0 visible ones, 1 associated ones, or both.
        """

    def count(self, parent: int, *, soft: bool = False, associated: bool = False) -> tuple[int, int]:
        """How many items a folder has, and how many of them are unread."""

    def parts(self, record: int) -> dict[str, int]:
        """Names and sizes in bytes of a record's parts."""

    def part(self, record: int, name: str) -> bytes | None:
        """One part of a record."""

    def top(self, scope: int) -> int:
        """The highest seq logged under a folder, or (SERVER) for any item or folder; 0 if none."""

    def last(self) -> int:
        """The last seq that was given out, to whatever."""

    def entries(self, scope: int, seq: int, object: Class | None = None) -> list[Entry]:
        """Log entries beyond ``seq`` under a folder, or (SERVER) all; of one class only, if that is given."""

    def named(self, entries: Iterable[int]) -> dict[int, Entry]:
        """Log entries by identity."""

    def folder_entries(self, records: Iterable[int]) -> list[Entry]:
        """Log entries of folders, deleted ones included, by number of the folder."""

    def live(self, parent: int, associated: Sequence[int] = (0,)) -> list[Live]:
        """The live items of a folder with their log, descending by number."""

    def delivered_between(self, low: int | None, high: int | None) -> list[Live]:
        """Live, visible items anywhere that were delivered from ``low`` and before ``high``, descending by number.

        Without both: those that were never delivered.
        """

    def mark(self, folder: int) -> int:
        """Give ``folder`` a new top without changing anything in it; that seq."""

    def register(self, scope: int, subject: Subject) -> int:
        """A new registration's number."""

    def registration(self, sync: int) -> Registration | None:
        """A registration, or None if there is none of this number."""

    def complete(self, sync: int, seq: int) -> None:
        """Note that registration ``sync`` has reached ``seq``. Writes nothing when it has noted that today."""

    def expire(self, before: int) -> int:
        """Drop registrations last completed before ``before`` (seconds since 1970) and what they hold; how many."""

    def remember(self, sync: int, since: int, seq: int, position: int, packed: bytes) -> None:
        """Keep what a restricted synchronization from ``since`` holds at (``seq``, ``position``).

        Sets beyond ``since`` are forgotten, and all but the newest ``windows.REMEMBERED_SETS``.
        """

    def remembered(self, sync: int, seq: int, position: int) -> bytes | None:
        """What ``remember`` kept."""

    def park(self, parked: Sequence[Parked]) -> None:
        """Add to the list of changes that importers would not take."""

    def parked(self, scope: int) -> list[Parked]:
        """What was parked by registrations of ``scope``, oldest first."""

    def imported(self, source: str, place: str | None) -> list[Imported]:
        """What was taken from one place of a source, or from all of it."""

    def note_imported(self, imported: Iterable[Imported]) -> None:
        """Note what was taken, instead of what was noted under the same source, place and uid."""

    def forget_imported(self, imported: Iterable[Imported]) -> None:
        """Take such notes back."""

    def note(self, name: str) -> bytes | None:
        """What was kept under ``name``; it is this site's own and travels nowhere."""

    def keep_note(self, name: str, content: bytes) -> None:
        """Keep ``content`` under ``name``."""

    def identity(self) -> bytes:
        """The site's permanent 16 bytes."""

    def version(self) -> int:
        """A number that is another one after any commit, by whatever process. Cheap."""

    def wait(self, version: int, timeout: float) -> int:
        """Return ``version()`` as soon as it differs from ``version``, or after ``timeout`` seconds."""

    def wake(self) -> None:
        """Let a ``wait`` that is under way return."""

    @property
    def commits(self) -> int:
        """How many transactions this object has committed: cheaper than ``version`` and blind to other processes."""

    def close(self) -> None:
        """Give the database back. The port cannot be used afterwards."""


def pages(records: Records, numbers: Sequence[int], size: int) -> Iterator[list[Record]]:
    """Records by number in the given order, ``size`` at a time; those that are gone are left out."""
    for start in range(0, len(numbers), size):
        chosen = numbers[start : start + size]
        found = records.records(chosen)
        yield [found[number] for number in chosen if number in found]
