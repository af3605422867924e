"""``EdenStore`` over a site: its tables, its ledger, and what Eden needs beside them (docs/eden.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from tallystick.core.changes import Rank, parents_first
from tallystick.core.forms import encode_record
from tallystick.protocols.eden.codec.elements import Resource
from tallystick.protocols.eden.codec.filters import Condition
from tallystick.protocols.eden.codec.identifiers import urn_of
from tallystick.protocols.eden.codec.schema import Component, Table
from tallystick.protocols.eden.deciding import Outcome
from tallystick.protocols.eden.site.catalog import Bound, Catalog
from tallystick.protocols.eden.site.joining import Joining
from tallystick.protocols.eden.site.layout import STEPS
from tallystick.protocols.eden.site.peers import Log, NoSecrets, Peers, Secrets
from tallystick.protocols.eden.site.reading import Held, Records
from tallystick.protocols.eden.site.remarks import Remark, Remarks, seconds
from tallystick.protocols.eden.site.removing import Removing
from tallystick.protocols.eden.site.versions import Foreign, read_version, version_text
from tallystick.protocols.eden.site.waiting import Waiting
from tallystick.protocols.eden.site.writing import Writing
from tallystick.protocols.eden.store import (
    Applied,
    Batch,
    Dataset,
    Identity,
    LogEntry,
    Repository,
    Selection,
    Stored,
    Target,
    Task,
    Write,
)
from tallystick.protocols.eden.watermarks import Answered
from tallystick.site import deletions, parking
from tallystick.site.holding import load_wholes
from tallystick.site.ledger import WHOLE, Ledger
from tallystick.site.retrying import retry
from tallystick.site.stamping import stamp
from tallystick.sync.local import LocalReplica

_REMOVALS = (Outcome.DELETED, Outcome.MERGED)


def _unlogged(_entry: LogEntry) -> None:
    """Where nobody reads the log."""


class _Undone(Exception):
    """Ends a trial."""


class Logged(NamedTuple):
    """What the conflict log holds; see ``SiteStore.conflicts_logged``."""

    total: int
    by_table: dict[str, int]


class SiteStore:
    """See ``EdenStore``. Not shared between threads, as its replica is not.

    ``address`` is the public URL of this site without the scheme, ``domain`` the owner of identifiers that are no
    ``urn:``. ``secrets`` keeps passwords of peers, ``log`` takes entries of the synchronization log.
    """

    def __init__(
        self,
        replica: LocalReplica,
        *,
        address: str = "",
        domain: str = "",
        secrets: Secrets | None = None,
        log: Log = _unlogged,
    ) -> None:
        self.replica = replica
        self.ledger: Ledger = replica.ledger
        self.ledger.require("eden", STEPS)
        self.ledger.load()
        self._identity = Identity(urn_of(UUID(self.ledger.site)), domain or self.ledger.site[:12], address)
        self.catalog = Catalog(self.ledger)
        self.remarks = Remarks(self.ledger)
        self.reader = Records(self.ledger, self.catalog, self.remarks, self._since())
        self._head = -1
        """The seq up to which records were last looked at."""
        self.peers = Peers(self.ledger, secrets or NoSecrets(), log)

    def _since(self) -> int:
        """The second in which this site began to speak Eden."""
        stored = self.ledger.meta("eden.since")
        if stored:
            return int(stored)
        with self.ledger.engine.write():
            now = self.ledger.now() // 1000
            self.ledger.put_meta("eden.since", str(now))
        return now

    def identity(self) -> Identity:
        """Who this site is."""
        return self._identity

    # Records

    def table(self, name: str) -> Table | None:
        """The table of that name; tables that were tracked meanwhile are looked for where it is not known."""
        bound = self.catalog.bound(name)
        if bound is None:
            self.ledger.load()
            self.catalog.follow()
            bound = self.catalog.bound(name)
        return None if bound is None else bound.table

    def head(self) -> int:
        """The highest sequence number, after what the application changed was noticed."""
        with self.ledger.write():
            self._stamp()
            self._head = self.ledger.seq
            return self._head

    def _stamp(self) -> None:
        """Notice what the application changed, its tables included. Call inside ``ledger.write()``."""
        stamp(self.ledger)
        self.reader.fresh()
        self.catalog.follow()

    def select(self, table: Table, selection: Selection) -> Iterable[Stored]:
        """The selected records, in the order in which they changed."""
        bound = self.catalog.bound(table.name)
        return () if bound is None else self.reader.select(bound, selection)

    def count(self, table: Table, selection: Selection) -> int:
        """How many ``select`` gives."""
        bound = self.catalog.bound(table.name)
        return 0 if bound is None else self.reader.count(bound, selection)

    def find(self, table: str, uuids: Collection[str]) -> Mapping[str, Stored]:
        """The records with these identifiers."""
        bound = self.catalog.bound(table)
        return {} if bound is None or not uuids else self.reader.find(bound, uuids)

    def children(
        self, component: Component, parents: Collection[str], conditions: Sequence[Condition] = ()
    ) -> Mapping[str, Sequence[Stored]]:
        """The live records of a component that fit, by parent."""
        return self.reader.children(component, parents, conditions)

    def unsent(self, component: Component) -> Sequence[str]:
        """The live records of a component whose parent is not here."""
        return self.reader.unsent(component)

    def matching(self, table: Table, field: str, values: Collection[object]) -> Mapping[object, Sequence[str]]:
        """The identifiers of live records whose field holds one of the values."""
        bound = self.catalog.bound(table.name)
        return {} if bound is None else self.reader.matching(bound, field, values)

    def recent_deletions(self, table: str) -> int:
        """Deletions of the last day that nobody explicitly allowed."""
        bound = self.catalog.bound(table)
        return 0 if bound is None else deletions.recent(self.ledger).get(bound.tracked.wire, 0)

    # Versions

    def extension(self, record: Stored) -> str | None:
        """The version of a record, for another Tallystick site."""
        bound = self.catalog.bound(record.table)
        if bound is None or not isinstance(record.held, Held) or record.held.waits:
            return None
        entry, values = record.held.entry, record.held.values
        whole = None
        if entry.flags & WHOLE:
            found = load_wholes(self.ledger, bound.tracked, [entry.key]).get(entry.key)
            whole = None if found is None else encode_record(found.record)
        return version_text(bound, entry, values, self.ledger.origin_name(entry.origin), whole)

    def foreign(self, table: Table, uuid: str, extension: str, values: Mapping[str, object]) -> object | None:
        """The version that came with a record; None when there is none that fits."""
        bound = self.catalog.bound(table.name)
        if bound is None or self.remarks.keys(bound.tracked, [uuid]):
            return None  # here the record has a key of its own
        return read_version(bound, uuid, extension, values, self._key_of)

    def renamed(self, record: Stored) -> bool:
        """Whether what came from elsewhere bears a name of this site."""
        if record.source is None or not isinstance(record.held, Held):
            return False
        return self.ledger.origin_name(record.held.entry.origin).partition(".")[0] == self.ledger.site

    def _key_of(self, to: Target) -> str:
        above = self.catalog.bound(to.table)
        return "" if above is None else above.names.keys(to.uuid)[0]

    # Writing

    def apply(self, batch: Batch) -> Sequence[Applied]:
        """Applies a batch: versions of other Tallystick sites page by page, everything else in one transaction.

        What is removed goes last, versions or not: components that moved to another record must not go with their old
        one. Where versions are removed the removals among everything else take a transaction of their own.
        """
        found: dict[int, Applied] = {}
        joining = [(index, one) for index, one in enumerate(batch.writes) if isinstance(one.foreign, Foreign)]
        rest = [(index, one) for index, one in enumerate(batch.writes) if not isinstance(one.foreign, Foreign)]
        groups = self._groups(joining)
        for group in groups:
            group.take(self.replica, batch, deletions=False)
        apart = any(one.deletes for one in groups)
        last = [one for one in rest if apart and one[1].outcome in _REMOVALS]
        first = [one for one in rest if not (apart and one[1].outcome in _REMOVALS)]
        found.update(self._write(batch, first))
        for group in reversed(groups):
            self._prepare_deletions(batch, group)
            group.take(self.replica, batch, deletions=True)
        found.update(self._write(replace(batch, lost=[]), last))
        if batch.writes:
            self._end_waiting([one for _, one in joining], self._retry())
        self._report(batch, groups, found)
        return [found[index] for index in range(len(batch.writes))]

    def _write(self, batch: Batch, chosen: Sequence[tuple[int, Write]]) -> Iterator[tuple[int, Applied]]:
        """Write what no version decides, in one transaction; gives each place with what became of it."""
        if not chosen and not batch.lost:
            return
        with self.ledger.write():
            self._stamp()
            unchanged = self.ledger.seq == self._head
            writing = Writing(self.ledger, self.catalog, self.remarks, self.reader, batch, unchanged=unchanged)
            writes = [one for _, one in chosen]
            done = writing.run(writes)
            if batch.allowed >= 0:
                self._note_deletions(one for one, applied in zip(writes, done, strict=True) if _went(applied))
        yield from zip((index for index, _ in chosen), done, strict=True)

    def _note_deletions(self, writes: Iterable[Write]) -> None:
        gone = Counter(one.table for one in writes if one.outcome in _REMOVALS)
        for name, count in gone.items():
            deletions.note(self.ledger, self.catalog.known(name).tracked.wire, count)

    def _groups(self, joining: Sequence[tuple[int, Write]]) -> list[Joining]:
        """Versions by table, referenced tables first."""
        groups = []
        for name in self._parents_first({one.table for _, one in joining}):
            chosen = [(index, one) for index, one in joining if one.table == name]
            groups.append(Joining(self.ledger, self.catalog.known(name), chosen))
        return groups

    def _retry(self) -> list[parking.Waiting]:
        """Show what waited for a record that came by now, in this batch or after the one that it was in.

        Gives what was tried.
        """
        tried: list[parking.Waiting] = []
        if parking.count(self.ledger):
            with self.ledger.write():
                stamp(self.ledger)
                tried = parking.waiting(self.ledger)
                retry(self.ledger)
        return tried

    def _end_waiting(self, joined: Sequence[Write], tried: Sequence[parking.Waiting]) -> None:
        """Write the references that waited for records which came as versions, or could be shown only now."""
        waiting = Waiting(self.ledger, self.catalog, self.remarks)
        if not waiting:
            return
        with self.ledger.write():
            self._stamp()
            tables = {bound.tracked.wire: bound for name in self.catalog if (bound := self.catalog.bound(name))}
            wanted = {Target(one.table, one.uuid) for one in joined}
            for one in tried:
                if one.resource in tables:
                    wanted.update(self.reader.targets(tables[one.resource], [one.key]).values())
            waiting.end({to: key for bound in tables.values() for to, key in self._here(bound, wanted)})
            self.reader.fresh()

    def _here(self, bound: Bound, targets: Collection[Target]) -> Iterator[tuple[Target, str]]:
        """Those of the targets in a table whose records have a row, with their keys."""
        name = bound.table.name
        entries = self.reader.entries(bound, [to.uuid for to in targets if to.table == name])
        return ((Target(name, uuid), entry.key) for uuid, entry in entries.items() if entry.hash)

    def _report(self, batch: Batch, groups: Sequence[Joining], found: dict[int, Applied]) -> None:
        """What became of the versions."""
        self.reader.fresh()
        for group in groups:
            numbers = self.reader.numbers(group.bound, group.keys)
            for index, key, outcome, error in group.outcomes():
                found[index] = Applied(numbers.get(key), error, outcome)
            self._remark(batch, group)

    def _parents_first(self, names: Collection[str]) -> list[str]:
        links = {name: self.catalog.known(name).pointing for name in names}
        required = {name: tuple(one.target for one in found if not one.site.nullable) for name, found in links.items()}
        return parents_first(
            [Rank(name, tuple(one.target for one in found), required[name]) for name, found in links.items()]
        )

    def _prepare_deletions(self, batch: Batch, group: Joining) -> None:
        """Move references of merged records, and let components go with their record, before it goes."""
        leaving = group.leaving()
        if leaving:
            with self.ledger.write():
                stamp(self.ledger)
                removing = Removing(self.ledger, self.catalog, self.remarks, self.reader, batch)
                removing.prepare(group.bound, leaving)

    def _remark(self, batch: Batch, group: Joining) -> None:
        """Keep what came with versions that are the current ones here; what was joined with ours is news to others."""
        bound = self.catalog.bound(group.bound.table.name)
        if bound is None:
            return
        entries = bound.tracked.rows.by_keys(group.keys)
        before = self.remarks.of(bound.tracked, group.keys)
        made = []
        for write, key in zip(group.writes, group.keys, strict=True):
            entry, old, version = entries.get(key), before.get(key), write.foreign
            if entry is None or not isinstance(version, Foreign):
                continue
            source = None if entry.flags & WHOLE else batch.source  # a sibling of ours is news to the source
            if old is not None and old.fits(entry):
                if old.source is not None and old.source != source and group.moved(key, entry):
                    made.append(old._replace(source=None))
            elif (self.ledger.origin_name(entry.origin), entry.tick) == (version.origin, version.tick):
                made.append(_remark_of(write, key, entry.origin, entry.tick, source))
        if made:
            with self.ledger.engine.write():
                self.remarks.put(bound.tracked, made, [one.key for one in made if one.key in before])

    # Trying

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Undo at the end everything that is written inside; others wait so long before they write."""
        try:
            with self.ledger.write():
                yield
                raise _Undone
        except _Undone:
            pass
        finally:
            self.reader.fresh()
            self.remarks.forget()
            self._head = -1

    def conflicts_logged(self, after: int = 0) -> Logged:
        """How many entries the conflict log has ever had, and how many records the later ones are about, by table."""
        query = self.ledger.engine.query
        ((total,),) = query("SELECT coalesce(max(id), 0) FROM tally_conflict")
        rows = query("SELECT resource, count(DISTINCT key) FROM tally_conflict WHERE id>? GROUP BY resource", (after,))
        names = {bound.tracked.number: name for name in self.catalog if (bound := self.catalog.bound(name)) is not None}
        return Logged(total, {names[number]: count for number, count in rows if number in names})

    # Peers, tasks, log

    def repository(self, uuid: str) -> Repository | None:
        """The peer with this identifier."""
        return self._mine(self.peers.repository(uuid))

    def peer(self, name: str) -> Repository | None:
        """The peer that is called so here, with its password. Raises ConfigurationError without the key to it."""
        return self._mine(self.peers.named(name))

    def _mine(self, repository: Repository | None) -> Repository | None:
        if repository is not None:
            repository.store = self
        return repository

    def save_repository(self, repository: Repository) -> Repository:
        """Inserts or updates."""
        saved = self.peers.save(repository)
        saved.store = self
        return saved

    def task(self, repository: str, resource: str) -> Task | None:
        """The task for a peer and table."""
        return self.peers.task(repository, resource)

    def tasks(self) -> Sequence[Task]:
        """Every task."""
        return self.peers.tasks()

    def save_task(self, task: Task) -> Task:
        """Inserts or updates."""
        return self.peers.save_task(task)

    def remove_task(self, uuid: str) -> None:
        """Forgets a task."""
        self.peers.remove_task(uuid)

    def datasets(self) -> Sequence[Dataset]:
        """The data sets hosted here."""
        return self.peers.datasets()

    def answers(self, repository: str, scope: str) -> Sequence[Answered]:
        """What was remembered."""
        return self.peers.answers(repository, scope)

    def remember(self, repository: str, scope: str, answers: Sequence[Answered]) -> None:
        """Keeps it."""
        self.peers.remember(repository, scope, answers)

    def parked(self, repository: str, resource: str) -> Sequence[Resource]:
        """The records that are tried again."""
        return self.peers.parked(repository, resource)

    def park(self, repository: str, resource: str, rejected: Sequence[Resource]) -> None:
        """Keeps them."""
        self.peers.park(repository, resource, rejected)

    def log(self, entry: LogEntry) -> None:
        """Appends to the log."""
        self.peers.log(entry)


def _went(applied: Applied) -> bool:
    return applied.error is None and applied.outcome is None


def _remark_of(write: Write, key: str, origin: int, tick: int, source: str | None) -> Remark:
    return Remark(
        key,
        None,
        origin,
        tick,
        write.copies,
        seconds(write.created_on),
        seconds(write.modified_on),
        write.created_by,
        write.modified_by,
        write.owned_by_user,
        write.owned_by_group,
        write.replaced_by,
        source,
    )
