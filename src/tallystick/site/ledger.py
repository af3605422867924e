"""The ledger: one row per record, live or dead, and the counters of a site (DESIGN.md 4).

``Ledger`` opens a tracked database. Everything that reads or writes agreement state goes through it: resources and
their counters, origins, seqs, stamps, digests. It never looks at what an application's row means.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from tallystick.core import clock
from tallystick.core.fingerprints import EMPTY, Fingerprint
from tallystick.core.history import NONCE_BITS
from tallystick.core.versions import Vector
from tallystick.errors import ConfigurationError, SchemaError
from tallystick.site.engines.engine import Engine, Rows
from tallystick.site.ledger_tables import FORMAT, MARKS, MIGRATIONS, TABLES
from tallystick.site.schema import Definition, Naming, Reference

DELETED = 1
GENESIS = 2
WHOLE = 4
"""Flag: the record is kept whole in tally_sibling: it has siblings, or shows what its set does not hold."""
UNSHOWN = 8
"""Flag: parked or declined."""
TOLD = "told "
"""What tally_meta notes of a resource whose records somebody was told, before its wire name."""

COUNTERS_OF_MARKED = (
    "SELECT id, seq, tick, count, names, content, horizon FROM tally_resource "
    "WHERE id IN (SELECT resource FROM tally_mark)"
)
"""For ``Ledger.write`` to begin with and ``Ledger.take_counters`` to take."""
_BEGINNING = "SELECT name, value FROM tally_meta WHERE name IN ('seq', 'stamp', 'catalog', 'incarnation', 'dangling')"


def wall_clock() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Tracked:
    """A resource of this site with its counters, loaded afresh in every write transaction that touches it."""

    number: int
    definition: Definition
    rows: Rows
    parent: int | None = None
    seq: int = 0
    tick: int = 0
    fingerprint: Fingerprint = EMPTY
    horizon: int = 0
    dirty: bool = field(default=False, repr=False)

    @property
    def wire(self) -> str:
        """Name on the wire."""
        return self.definition.wire


class Ledger:
    """An opened, tracked database. Not shared between threads."""

    def __init__(self, engine: Engine, now: Callable[[], int] = wall_clock) -> None:
        """Open the ledger in ``engine``'s database. Raises ConfigurationError when there is none or it is newer."""
        self.engine = engine
        self.now = now
        self.created = False
        """True when there was no ledger before this opening."""
        self._made: list[str] = []
        self._origins: dict[str, int] = {}
        self._origin_names: dict[int, str] = {}
        self._by_wire: dict[str, Tracked] = {}
        self._fresh: set[int] = set()
        self.seq = 0
        self.last_stamp = 0
        self.dangling = False
        self._catalog = ""
        self._check_format()
        self.site = self.meta("site")
        self.load()

    # Opening

    @classmethod
    def create(cls, engine: Engine, now: Callable[[], int] = wall_clock) -> Ledger:
        """Create the ledger of a new site, or open the one that is there.

        Raises ConfigurationError for one of a newer release, StorageError; the engine is closed then.
        """
        try:
            return cls._created(engine, now)
        except BaseException:
            engine.close()
            raise

    @classmethod
    def _created(cls, engine: Engine, now: Callable[[], int]) -> Ledger:
        with engine.write():
            created = not engine.has_ledger()
            if created:
                statements = (*TABLES, *MARKS) if engine.dialect == "sqlite" else TABLES
                engine.create_ledger(statements)
                first = {
                    "format": str(FORMAT),
                    "site": uuid.uuid4().hex,
                    "incarnation": str(int.from_bytes(os.urandom(8)) % (1 << NONCE_BITS) | 1),
                    "seq": "0",
                    "stamp": "0",
                    "catalog": "0",
                    "identity": engine.identity(),
                    "structure": "",
                }
                engine.executemany("INSERT INTO tally_meta(name, value) VALUES (?, ?)", first.items())
        ledger = cls(engine, now)
        ledger.created = created
        return ledger

    def _check_format(self) -> None:
        if not self.engine.has_ledger():
            raise ConfigurationError("this database is not tracked", hint="run: tallystick track SITE")
        found = int(self.meta("format"))
        if found > FORMAT:
            raise ConfigurationError(
                f"the ledger has format {found}, this release knows up to {FORMAT}",
                hint="upgrade tallystick on this machine",
            )
        if found < FORMAT:
            self._migrate()

    def _migrate(self) -> None:
        with self.engine.write():
            for step in range(int(self.meta("format")), FORMAT):
                self.engine.create_tables(MIGRATIONS[step])
            self.put_meta("format", str(FORMAT))

    def load(self) -> None:
        """Read the catalogue of resources again if another process changed it."""
        self._load(self.meta("catalog"), self.meta("incarnation"))

    def _load(self, catalog: str, incarnation: str) -> None:
        self.incarnation = int(incarnation)
        self.origin = f"{self.site}.{self.incarnation}"
        if catalog == self._catalog:
            return
        rows = self.engine.query("SELECT id, definition, parent FROM tally_resource ORDER BY id")
        definitions = [(number, _decode_definition(text), parent) for number, text, parent in rows]
        numbers = {definition.wire: number for number, definition, _ in definitions}
        self._by_wire = {
            definition.wire: Tracked(number, definition, self.engine.rows(number, definition, numbers), parent)
            for number, definition, parent in definitions
        }
        self._catalog = catalog
        self._fresh.clear()

    # Meta

    def meta(self, name: str) -> str:
        """A value of tally_meta; "" when it is not there."""
        rows = self.engine.query("SELECT value FROM tally_meta WHERE name=?", (name,))
        return str(rows[0][0]) if rows else ""

    def put_meta(self, name: str, value: str) -> None:
        """Write a value of tally_meta."""
        self.engine.execute(
            "INSERT INTO tally_meta(name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (name, value),
        )

    def require(self, room: str, steps: Sequence[Sequence[str]]) -> None:
        """See to it that the tables which a room keeps beside the ledger are there.

        ``steps`` are portable DDL statements by format: the first makes format 1, the next leads from 1 to 2, and so
        on. Those that are missing run in one transaction. Raises ConfigurationError when the tables are of a newer
        release.
        """
        name = f"format.{room}"
        found = int(self.meta(name) or 0)
        if found > len(steps):
            raise ConfigurationError(
                f"the tables of {room} have format {found}, this release knows up to {len(steps)}",
                hint="upgrade tallystick on this machine",
            )
        if found == len(steps):
            return
        if not self.engine.writing:
            with self.engine.write():
                return self.require(room, steps)
        for statements in steps[found:]:
            self.engine.create_tables(statements)
            self._made += re.findall(r"CREATE TABLE (\w+)", " ".join(statements))
        self.put_meta(name, str(len(steps)))

    def note_dangling(self, there: bool) -> None:
        """Note whether there are rows that refer to integers which nobody has (``tally_dangling``)."""
        if there != self.dangling:
            self.put_meta("dangling", "1" if there else "")
            self.dangling = there

    def is_bare(self) -> bool:
        """True when nothing was put in a ledger made by this opening, but what logs say of that."""
        rooms = [name for name in self._made if not name.endswith("_log")]
        return not any(
            self.engine.query(f"SELECT 1 FROM {name} LIMIT 1") for name in ("tally_resource", "tally_user", *rooms)
        )

    # Transactions

    @contextmanager
    def write(self, reading: Sequence[str] = ()) -> Iterator[list[list[tuple[Any, ...]]]]:
        """A write transaction with counters loaded at its start and saved at its end.

        ``reading``: see ``Engine.write``. Inside another one this is a part of it.
        """
        if self.in_write:
            yield [self.engine.query(sql) for sql in reading]
            return
        try:
            with self.engine.write((_BEGINNING, *reading)) as (beginning, *found):
                self._begin(dict(beginning))
                yield found
                self._save()
        except BaseException:  # the commit itself may have been refused
            self._forget_cached()
            raise
        finally:
            self._fresh.clear()

    def _begin(self, values: Mapping[str, str]) -> None:
        self.seq, self.last_stamp = int(values["seq"]), int(values["stamp"])
        self._saved = (self.seq, self.last_stamp)
        self.dangling = values.get("dangling") == "1"
        self._fresh.clear()
        self._load(values["catalog"], values["incarnation"])

    def _save(self) -> None:
        if (self.seq, self.last_stamp) != self._saved:
            self.engine.later(
                "UPDATE tally_meta SET value=CASE name WHEN 'seq' THEN ? ELSE ? END WHERE name IN ('seq', 'stamp')",
                (str(self.seq), str(self.last_stamp)),
            )
        self.save_counters()

    @property
    def began(self) -> int:
        """The seq at the beginning of this write transaction: what has a higher one nobody was told of."""
        return self._saved[0]

    def save_counters(self) -> None:
        """Write the counters of resources that changed in this transaction."""
        for tracked in self._by_wire.values():
            if tracked.dirty:
                self._save_counters(tracked)

    def _save_counters(self, tracked: Tracked) -> None:
        print_ = tracked.fingerprint
        self.engine.later(
            "UPDATE tally_resource SET seq=?, tick=?, count=?, names=?, content=?, horizon=? WHERE id=?",
            (
                tracked.seq,
                tracked.tick,
                print_.count,
                print_.names.to_bytes(32, "big"),
                print_.content.to_bytes(32, "big"),
                tracked.horizon,
                tracked.number,
            ),
        )
        tracked.dirty = False

    def _forget_cached(self) -> None:
        """After a rollback nothing that was loaded in the transaction can be trusted."""
        self._origins.clear()
        self._origin_names.clear()
        self._fresh.clear()
        self._catalog = "?"

    # Resources

    def resource(self, wire: str) -> Tracked:
        """A tracked resource by wire name, counters loaded. Raises SchemaError when there is none."""
        tracked = self._by_wire.get(wire)
        if tracked is None:
            known = ", ".join(sorted(self._by_wire)) or "none"
            raise SchemaError(f"there is no resource {wire!r} here", hint=f"tracked resources: {known}")
        self._load_counters(tracked)
        return tracked

    def resources(self) -> list[Tracked]:
        """All tracked resources by number. Counters are loaded by ``resource``."""
        return list(self._by_wire.values())

    def has(self, wire: str) -> bool:
        """True when a resource of that wire name is tracked."""
        return wire in self._by_wire

    def _load_counters(self, tracked: Tracked) -> None:
        if tracked.number in self._fresh:
            return
        row = self.engine.query(
            "SELECT seq, tick, count, names, content, horizon FROM tally_resource WHERE id=?", (tracked.number,)
        )[0]
        self._set_counters(tracked, *row)

    def take_counters(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take the rows of ``COUNTERS_OF_MARKED`` that the transaction under way began with."""
        numbered = {tracked.number: tracked for tracked in self._by_wire.values()} if rows else {}
        for number, *row in rows:
            if number in numbered:
                self._set_counters(numbered[number], *row)

    def _set_counters(
        self, tracked: Tracked, seq: int, tick: int, count: int, names: bytes, content: bytes, horizon: int
    ) -> None:
        tracked.seq, tracked.tick, tracked.horizon = seq, tick, horizon
        tracked.fingerprint = Fingerprint(
            count, int.from_bytes(names or b"", "big"), int.from_bytes(content or b"", "big")
        )
        if self.in_write:
            self._fresh.add(tracked.number)

    @property
    def in_write(self) -> bool:
        """True inside ``write``: counters may then be kept."""
        return self.engine.writing

    def add_resource(self, definition: Definition, parent: int | None = None) -> Tracked:
        """Enter a resource into the catalogue."""
        self.engine.execute(
            "INSERT INTO tally_resource(id, name, wire, kind, parent, definition) "
            "VALUES ((SELECT coalesce(max(id), 0)+1 FROM tally_resource), ?, ?, ?, ?, ?)",
            (definition.name, definition.wire, definition.identity.value, parent, _encode_definition(definition)),
        )
        self._bump_catalog()
        return self.resource(definition.wire)

    def change_resource(self, number: int, definition: Definition) -> None:
        """Replace the definition of a resource."""
        self.engine.execute(
            "UPDATE tally_resource SET name=?, wire=?, definition=? WHERE id=?",
            (definition.name, definition.wire, _encode_definition(definition), number),
        )
        self._save()
        self._bump_catalog()

    def remove_resource(self, tracked: Tracked) -> None:
        """Forget everything about a resource; the application's rows stay."""
        tracked.rows.forget_all()
        for table in ("managed", "sibling", "parked", "conflict", "digest", "forgotten"):
            self.engine.execute(f"DELETE FROM tally_{table} WHERE resource=?", (tracked.number,))
        self.engine.execute("DELETE FROM tally_dangling WHERE parent=? OR child=?", (tracked.number, tracked.number))
        self.engine.execute("DELETE FROM tally_resource WHERE id=?", (tracked.number,))
        self._bump_catalog()

    def _bump_catalog(self) -> None:
        self.put_meta("catalog", str(int(self.meta("catalog")) + 1))
        self.load()

    def naming(self) -> Naming:
        """Names on the wire that were agreed explicitly at this site."""
        text = self.meta("naming")
        return Naming(msgspec.json.decode(text, type=dict[str, str]) if text else {})

    def rename_table(self, before: str, after: str, wire: str) -> None:
        """Keep what was agreed and declared about a table when it is called otherwise."""
        names = {_prefixed(name, before, after): value for name, value in self.naming().names.items()}
        self.put_meta("naming", msgspec.json.encode({**names, after: wire}).decode())
        declared = [
            (
                after if child == before else child,
                replace(reference, parent=after) if reference.parent == before else reference,
            )
            for child, reference in self.references()
        ]
        self.put_meta("references", msgspec.json.encode(declared).decode())

    def references(self) -> list[tuple[str, Reference]]:
        """References that the user declared at this site (``--ref``): child table and reference."""
        text = self.meta("references")
        return msgspec.json.decode(text, type=list[tuple[str, Reference]]) if text else []

    # Origins

    def origin_number(self, name: str) -> int:
        """The site's number of an origin, given on first use."""
        number = self._origins.get(name)
        if number is None:
            rows = self.engine.query("SELECT id FROM tally_origin WHERE name=?", (name,))
            if not rows:
                self.engine.execute(
                    "INSERT INTO tally_origin(id, name) VALUES ((SELECT coalesce(max(id), 0)+1 FROM tally_origin), ?)",
                    (name,),
                )
                rows = self.engine.query("SELECT id FROM tally_origin WHERE name=?", (name,))
            number = int(rows[0][0])
            self._origins[name] = number
            self._origin_names[number] = name
        return number

    def origin_name(self, number: int) -> str:
        """The origin that a number stands for."""
        name = self._origin_names.get(number)
        if name is None:
            name = str(self.engine.query("SELECT name FROM tally_origin WHERE id=?", (number,))[0][0])
            self._origin_names[number] = name
        return name

    # Counters

    def next_seqs(self, tracked: Tracked, count: int) -> range:
        """``count`` new seqs for ``tracked``, in order."""
        start = self.seq + 1
        self.seq += count
        tracked.seq = self.seq
        tracked.dirty = True
        return range(start, start + count)

    def next_ticks(self, tracked: Tracked, count: int) -> range:
        """``count`` new own ticks for ``tracked``, in order."""
        start = tracked.tick + 1
        tracked.tick += count
        tracked.dirty = True
        return range(start, start + count)

    def stamp_at(self, milliseconds: int) -> int:
        """The stamp of a local change made at a wall clock time; later ones are greater."""
        self.last_stamp = clock.advance(self.last_stamp, milliseconds)
        return self.last_stamp

    def observe(self, stamp: int) -> None:
        """Let the clock follow a remote stamp."""
        self.last_stamp = clock.observe(self.last_stamp, stamp, self.now())

    def count(self, tracked: Tracked, added: Fingerprint, removed: Fingerprint) -> None:
        """Keep the fingerprint of a resource."""
        tracked.fingerprint = tracked.fingerprint.added(added).removed(removed)
        tracked.dirty = True

    # Digests

    def digest(self, tracked: Tracked) -> dict[str, int]:
        """The version vector of a resource, our own tick included."""
        vector = self._vector("tally_digest", tracked)
        if tracked.tick:
            vector[self.origin] = max(vector.get(self.origin, 0), tracked.tick)
        return vector

    def forgotten(self, tracked: Tracked) -> dict[str, int]:
        """The version vector of purged tombstones."""
        return self._vector("tally_forgotten", tracked)

    def _vector(self, table: str, tracked: Tracked) -> dict[str, int]:
        rows = self.engine.query(
            f"SELECT o.name, d.tick FROM {table} d JOIN tally_origin o ON o.id=d.origin WHERE d.resource=?",
            (tracked.number,),
        )
        return dict(rows)

    def merge_digest(self, tracked: Tracked, vector: Vector, table: str = "tally_digest") -> None:
        """Raise the digest (or ``tally_forgotten``) to cover ``vector``. Our own tick needs no row."""
        for origin, tick in sorted(vector.items()):
            if origin != self.origin or table != "tally_digest":
                self.engine.execute(
                    f"INSERT INTO {table}(resource, origin, tick) VALUES (?, ?, ?) ON CONFLICT (resource, origin) "
                    f"DO UPDATE SET tick=excluded.tick WHERE {table}.tick<excluded.tick",
                    (tracked.number, self.origin_number(origin), tick),
                )


def _prefixed(name: str, before: str, after: str) -> str:
    """``name`` (a table, or ``table.column``) with the table called ``after`` instead of ``before``."""
    return after + name[len(before) :] if name == before or name.startswith(before + ".") else name


def _encode_definition(definition: Definition) -> str:
    return msgspec.json.encode(definition).decode()


def _decode_definition(text: str) -> Definition:
    return msgspec.json.decode(text, type=Definition)
