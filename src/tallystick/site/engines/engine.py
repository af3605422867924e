"""The engine port: everything a site asks of a database (DESIGN.md 3 *site/engines*).

Two faces. ``Engine`` is a connection with transactions, portable SQL for the small tables of the ledger, reflection,
DDL and capture. ``Rows`` is compiled once per resource and moves rows and ledger entries in bulk.

Portable SQL names our tables ``tally_something`` and uses ``?`` placeholders; engines translate both. Row values that
cross this port are canonical (``core.values``), references in rows that are read are keys, in rows that are written
local integers. An *address* is the tuple of a row's primary key values as the database stores them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from tallystick.core.values import Value
from tallystick.site.schema import Definition, Table

Address = tuple[Value, ...]


class Entry(NamedTuple):
    """One row of the ledger, as stored. ``origin`` is the site's number of the origin.

    ``local`` is the integer of a mapped record, the quoted address of a derived composite one, the raw value of a
    natural key that is not its own text, else None. ``hash`` is the hash of the content shown, ``rendered`` that of
    what the database made of it, None when equal. ``flags``: see ``ledger``.
    """

    seq: int
    key: str
    local: Any
    born_seq: int
    origin: int
    tick: int
    stamp: int
    hash: bytes
    rendered: bytes | None
    flags: int
    extra: bytes | None

    def born_after(self, seq: int) -> int:
        """``born_seq`` of what takes this entry's place at ``seq``: where nothing was shown a record is born anew."""
        return self.born_seq if self.hash else seq


class PlainRows(NamedTuple):
    """Rows of a page (``core.pages``), and the highest seq among them, 0 for none."""

    rows: Sequence[tuple[Any, ...]]
    seq: int


class NewEntries(NamedTuple):
    """Ledger entries of new records, column by column: born now, kept as they came, one version without an extra.

    ``locals`` None: none of them has one.
    """

    seqs: range
    keys: Sequence[str]
    locals: Sequence[Any] | None
    origins: Sequence[int]
    ticks: Sequence[int]
    stamps: Sequence[int]
    hashes: Sequence[bytes]
    flags: Sequence[int]


class Mark(NamedTuple):
    """What a trigger noted: kind I, U, D, E (look again: the row may have been evicted), T (all rows were removed).

    ``old`` and ``new`` are addresses. ``columns`` names the changed columns, None when all may have changed.
    ``at`` is wall clock time in milliseconds.
    """

    kind: str
    old: Address | None
    new: Address | None
    at: int
    columns: frozenset[str] | None


def captured_columns(definition: Definition) -> tuple[str, ...]:
    """The columns whose changes are marked, in the order of the bitmap."""
    return (*definition.key_columns, *definition.columns)


class Rejected(Exception):
    """The database refused a row: a constraint, a type, a length. The message is the database's."""

    def __init__(self, message: str, kind: str = "constraint") -> None:
        super().__init__(message)
        self.kind = kind


class Rows(Protocol):
    """Bulk access to one resource's rows and ledger entries."""

    definition: Definition

    def after(
        self,
        seq: int,
        until: int,
        limit: int,
        skip: Sequence[tuple[int, int]] = (),
        dead: bool | None = None,
        rows: bool = True,
    ) -> list[tuple[Entry, tuple[Value, ...] | None]]:
        """Entries with ``seq < entry.seq <= until`` in seq order, each with the row's field values (None: no row).

        ``dead`` True asks for entries flagged as deleted only, False for the others only. Entries without ``extra``
        and without the flag WHOLE (4) whose (origin, tick) one of ``skip`` covers (same origin, tick not greater) are
        left out. ``rows`` False leaves all rows unread.
        """

    def plain(
        self, seq: int, until: int, limit: int, skip: Sequence[tuple[int, int]], origins: int
    ) -> PlainRows | None:
        """The live entries that ``after`` would give, as rows of a page; None where one of them is not plain.

        Plain is a record of one version whose row is there, whose origin's number is not above ``origins``, and of
        which an extra cannot say that it is known after all: there is none, or no ``skip`` covers its (origin, tick).
        An origin is given as its number less one.
        """

    def by_keys(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Entries of the keys that are in the ledger."""

    def by_locals(self, locals_: Sequence[Any]) -> dict[Any, Entry]:
        """Live entries by their ``local``."""

    def values(self, addresses: Sequence[Address]) -> dict[Address, tuple[Value, ...]]:
        """Field values of the rows that exist at the addresses."""

    def spelled(self, addresses: Sequence[Address]) -> list[Address]:
        """Primary keys that rows are to get, as the database will hold and mark them.

        What it cannot hold stays as it is: the insertion says why.
        """

    def respelled(self, values: Sequence[Value]) -> dict[Value, Value]:
        """Primary keys of one column that rows have in any spelling, by the ones asked for."""

    def unnamed(self, addresses: Sequence[Address]) -> dict[Address, str]:
        """Those of the addresses, with NULL or bytes in them, that several rows have or that hold text which is no
        UTF-8, each with the reason, which names the rows."""

    def scan(self) -> Iterator[tuple[Address, tuple[Value, ...]]]:
        """Every row: address and field values. References to rows without an entry read as ``\\?integer``."""

    def put(self, entries: Sequence[Entry], replaced: Sequence[int]) -> None:
        """Write entries (new or with a new seq) and remove those whose seqs are in ``replaced``."""

    def insert(self, rows: Sequence[tuple[Address, Sequence[Value]]]) -> None:
        """Insert rows. Raises Rejected; then nothing of the batch is in the table."""

    def insert_columns(self, columns: Sequence[Sequence[Value]]) -> None:
        """``insert`` of rows given as columns of equal length: those of the primary key, then those of the fields."""

    def update(self, rows: Sequence[tuple[Address, Sequence[Value]]]) -> None:
        """Overwrite the fields of rows by address. Raises Rejected; then nothing of the batch was changed."""

    def delete(self, addresses: Sequence[Address]) -> None:
        """Delete rows. Raises Rejected; then nothing of the batch was deleted."""

    def vacate(self, addresses: Sequence[Address]) -> None:
        """Give the unique fields of rows passing values, so that rows can swap them. Raises Rejected."""

    def lock_rows(self, addresses: Sequence[Address]) -> None:
        """Lock rows that the next ``write`` will change, before it takes the stamping lock (DESIGN.md 4.3).

        Engines with one writer at a time have nothing to do.
        """

    def fresh(self, count: int) -> list[int]:
        """``count`` integers for new rows of a mapped resource that no row holds."""

    def settle_sequence(self) -> None:
        """Move the table's sequence past the integers that were inserted."""

    def put_new(self, entries: NewEntries) -> None:
        """Write the entries of records that are new and have nothing special about them."""

    def forget_all(self) -> None:
        """Remove every ledger entry of the resource."""


class Engine(Protocol):
    """One connection to one database. Not shared between threads."""

    dialect: str
    """``sqlite`` or ``postgresql``."""

    marking: str
    """Portable SQL that reads the marks as they are stored, for ``write`` to begin with."""

    @property
    def writing(self) -> bool:
        """True inside ``write``."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run portable SQL."""

    def later(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run portable SQL on our tables no later than before the next statement or the commit. Inside ``write``.

        What costs a round trip each is sent together; an error of it is raised by what it is sent with.
        """

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run portable SQL for each of ``rows``."""

    def limit_cache(self, kibibytes: int) -> None:
        """Keep at most so much of the database in this process's memory, where this connection keeps any."""

    def insert_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """``executemany`` of a portable INSERT of one ``VALUES (...)``, in fewer steps where that counts.

        Where a row is refused, others of them may be written or not: use it inside a transaction.
        """

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of portable SQL."""

    def query_in(self, sql: str, before: Sequence[Any], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows of portable SQL that holds ``IN (*)`` as its last placeholder, for any number of ``values``."""

    def read(self) -> AbstractContextManager[None]:
        """A read snapshot, or nothing inside a transaction."""

    def write(self, reading: Sequence[str] = ()) -> AbstractContextManager[list[list[tuple[Any, ...]]]]:
        """A transaction that holds the stamping lock; commits at the end, rolls back on an exception.

        ``reading`` is portable SQL on our tables without parameters that the transaction begins with; given are the
        rows of each.
        Raises StorageError when the lock cannot be had in time, the disk is full, or the commit is refused.
        """

    def create_ledger(self, statements: Sequence[str]) -> None:
        """Create our tables from portable DDL with the types {int}, {text}, {blob}, {any}."""

    def create_tables(self, statements: Sequence[str]) -> None:
        """Create further tables of ours beside the ledger, from portable DDL as in ``create_ledger``."""

    def has_ledger(self) -> bool:
        """True when our tables are there."""

    def drop_ledger(self) -> None:
        """Remove every trace of us."""

    def leave(self) -> None:
        """After ``drop_ledger`` is committed: undo what opening the database changed about it as a whole."""

    def abandon(self) -> None:
        """Close a database that was opened for nothing. Where there is no ledger it is as it was before opening."""

    def tables(self) -> list[Table]:
        """The application's tables, with keys, references and the application's own triggers.

        Those that cannot be tracked for what they are say so (``Table.barred``).
        """

    def keys_occur_twice(self, table: Table) -> bool:
        """True when two rows have the same primary key, which a database may allow where there is NULL in it."""

    def create_table(self, table: Table) -> None:
        """Create a table of the application, columns by logical type, with keys, NOT NULL, UNIQUE and references.

        Defaults, indexes and AUTOINCREMENT as far as the engine has them.
        """

    def add_columns(self, table: Table, names: Sequence[str]) -> None:
        """Add nullable columns."""

    def defaults(self, table: str, columns: Sequence[str]) -> dict[str, Any]:
        """What the database puts now into those columns that an INSERT does not name; only columns with a default."""

    def install_capture(self, number: int, definition: Definition) -> None:
        """Install the triggers that mark changes of the table for resource ``number`` (replacing older ones).

        Bits of the changed-columns bitmap follow ``captured_columns(definition)``.
        """

    def remove_capture(self, number: int, table: str) -> None:
        """Remove those triggers."""

    def capture_intact(self, number: int, definition: Definition) -> bool:
        """True when the installed triggers are exactly those that ``install_capture`` would install."""

    def captured_table(self, number: int) -> str | None:
        """The table that the triggers of resource ``number`` are on now, whatever it is called; None without any."""

    def structure(self) -> str:
        """A text that changes whenever tables or triggers changed in a way that may have lost capture."""

    def marks(
        self, definitions: Mapping[int, Definition], stored: Sequence[tuple[Any, ...]] | None = None
    ) -> tuple[dict[int, list[Mark]], int]:
        """Committed marks by resource number in an order that can be followed one by one, and the highest mark id.

        ``stored`` are the rows of ``marking``, when this transaction has read them already.
        """

    def clear_marks(self, until: int) -> None:
        """Delete marks up to the id."""

    def last_mark(self) -> int:
        """The highest mark id made in this transaction or before; 0 if none."""

    def drop_marks(self, number: int, after: int, addresses: Sequence[Address]) -> None:
        """Delete the marks with an id above ``after`` that concern the addresses: our own writes."""

    def capture_off(self) -> AbstractContextManager[None]:
        """Inside: this transaction's writes leave no marks."""

    def insertion_unmarked(self, number: int, definition: Definition) -> AbstractContextManager[None]:
        """Inside: rows inserted in bulk into the table of resource ``number`` leave no marks.

        As ``capture_off``, at the lowest cost a row; it may change ``structure``.
        """

    def rows(self, number: int, definition: Definition, parents: Mapping[str, int]) -> Rows:
        """Bulk access to resource ``number``; ``parents`` are numbers of referenced resources by wire name."""

    def identity(self) -> str:
        """What tells this database file or cluster from a copy of it (path, device, inode, host; system identifier)."""

    def told_by_marks(self) -> None:
        """Inside ``write``, at its end: nothing but stamping was done, and the marks were told to who listens.

        So it need not be told again.
        """

    def check_in_place(self) -> None:
        """Raise StorageReplaced when the address names another database by now than the one that is open."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens inside when it raises."""

    def close(self) -> None:
        """Close the connection. Idempotent."""
