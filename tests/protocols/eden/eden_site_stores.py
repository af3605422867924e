"""A store over a real database that tests can use like the one in memory: they put, edit and look at records."""

from collections.abc import Mapping
from datetime import UTC, datetime

from tallystick.protocols.eden.site.creating import create_tables
from tallystick.protocols.eden.site.remarks import Remark, seconds
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.protocols.eden.site.values import written
from tallystick.protocols.eden.store import LogEntry, Lost, Selection, Stored, Target
from tallystick.site import conflicts, editing
from tallystick.site.engines.postgresql import PostgreSQLEngine
from tallystick.site.engines.sqlite import SQLiteEngine
from tallystick.site.stamping import stamp
from tallystick.sync.local import LocalReplica


class RealStore(SiteStore):
    """``SiteStore`` with local work by identifier, in place of an application's."""

    def __init__(self, url, identity, tables, clock):
        self.clock = clock
        engine = PostgreSQLEngine(url) if url.startswith("postgresql") else SQLiteEngine(url, create=True)
        if url.endswith(".db"):
            engine.connection.execute("PRAGMA synchronous=OFF")  # many small databases that no crash has to survive
        replica = LocalReplica.open(engine, url, now=lambda: int(self.clock().timestamp() * 1000))
        self.entries: list[LogEntry] = []
        super().__init__(replica, address=identity.name, domain=identity.domain, log=self.entries.append)
        self._identity = identity
        create_tables(self.ledger, self.catalog, tables)
        self.tables = {table.name: table for table in tables}
        self.records = {name: Live(self, name) for name in self.catalog}

    def close(self):
        self.replica.close()

    def put(self, record: Stored) -> Stored:
        bound = self.catalog.bound(record.table)
        content, waiting = self._content(bound, record)
        with self.ledger.write():
            stamp(self.ledger)
            known = self.reader.entries(bound, (record.uuid,)).get(record.uuid)
            key = known.key if known else bound.names.new_key(record.uuid)
            (done,) = editing.write(self.ledger, bound.tracked, [editing.insert(content, key, record.id or None)])
            assert done.refusal is None, done.refusal
            self._describe(bound, done.key, record)
            self._wait(bound, done.key, waiting)
            self._arrive(record.table, record.uuid, done.key)
        return self.find(record.table, (record.uuid,))[record.uuid]

    def _content(self, bound, record):
        content, waiting = {}, {}
        for name, value in record.values.items():
            link = bound.links[name]
            if isinstance(value, Target) and link.target:
                above = self.catalog.bound(value.table)
                entry = self.reader.entries(above, (value.uuid,)).get(value.uuid)
                if entry is None or not entry.hash:
                    waiting[name] = value
                    continue
                content[link.wire] = entry.key
            elif value is not None:
                content[link.wire] = written(value, link.site.logical)
        return content, waiting

    def _wait(self, bound, key, waiting):
        for name, to in waiting.items():
            self.ledger.engine.execute(
                "INSERT INTO tally_eden_waiting(resource, key, field, target, uuid) VALUES (?, ?, ?, ?, ?)",
                (bound.tracked.number, key, name, to.table, to.uuid),
            )

    def _arrive(self, table, uuid, key):
        """References that the test's own records make before their targets are there."""
        sql = "SELECT resource, key, field FROM tally_eden_waiting WHERE target=? AND uuid=?"
        for number, waiting, name in self.ledger.engine.query(sql, (table, uuid)):
            bound = next(one for one in map(self.catalog.bound, self.catalog) if one.tracked.number == number)
            before = bound.tracked.rows.by_keys([waiting])
            editing.write(self.ledger, bound.tracked, [editing.update(waiting, {bound.links[name].wire: key})])
            self.remarks.renew(bound.tracked, before)
        self.ledger.engine.execute("DELETE FROM tally_eden_waiting WHERE target=? AND uuid=?", (table, uuid))

    def _describe(self, bound, key, record, **more):
        """What only Eden can say of a record: the identifier, copies, people, a time that is not the clock's."""
        entry = bound.tracked.rows.by_keys([key])[key]
        alias = None if bound.names.identifier(key) == record.uuid else record.uuid
        people = (record.created_by, record.modified_by, record.owned_by_user, record.owned_by_group)
        times = (seconds(record.created_on), seconds(record.modified_on))
        now = seconds(self.clock())
        if alias is None and not record.copies and not any(people) and times in ((None, None), (now, now)):
            return
        remark = Remark(key, alias, entry.origin, entry.tick, record.copies, *times, *people, **more)
        self.remarks.put(bound.tracked, [remark], [key])

    def edit(self, table: str, uuid: str, moment: datetime, **values: object) -> Stored:
        bound = self.catalog.bound(table)
        record = Stored(table, uuid, 0, dict(values), modified_on=moment)
        with self.ledger.write():
            stamp(self.ledger)
            entry = self.reader.entries(bound, (uuid,))[uuid]
            content = {bound.links[name].wire: None for name, value in values.items() if value is None}
            content |= self._content(bound, record)[0]
            edit = editing.update(entry.key, content) if entry.hash else editing.insert(content, entry.key)
            (done,) = editing.write(self.ledger, bound.tracked, [edit])
            assert done.refusal is None, done.refusal
        return self.find(table, (uuid,))[uuid]

    def remove(self, table: str, uuid: str, moment: datetime, replaced_by: str | None = None) -> Stored:
        bound = self.catalog.bound(table)
        with self.ledger.write():
            stamp(self.ledger)
            entry = self.reader.entries(bound, (uuid,))[uuid]
            if replaced_by:
                self._merge(bound, entry, self.reader.entries(bound, (replaced_by,))[replaced_by])
            (done,) = editing.write(self.ledger, bound.tracked, [editing.delete(entry.key)])
            assert done.refusal is None, done.refusal
            if replaced_by:
                after = bound.tracked.rows.by_keys([entry.key])[entry.key]
                alias = None if bound.names.identifier(entry.key) == uuid else uuid
                self.remarks.put(
                    bound.tracked,
                    [
                        Remark(
                            entry.key,
                            alias,
                            after.origin,
                            after.tick,
                            modified_on=seconds(moment),
                            replaced_by=replaced_by,
                        )
                    ],
                    [entry.key],
                )
        return self.find(table, (uuid,))[uuid]

    @property
    def saved_tasks(self):
        return Saved(self.save_task, {task.uuid: task for task in self.tasks()})

    @property
    def saved_datasets(self):
        return Saved(self.peers.save_dataset, {one.uuid: one for one in self.datasets()})

    def _merge(self, bound, gone, survivor):
        """An application that merges records moves the references to them."""
        for other in map(self.catalog.bound, self.catalog):
            for link in other.pointing:
                if link.target == bound.table.name:
                    for entry, _ in self.reader.pointing(other, link, [gone.local]):
                        edit = editing.update(entry.key, {link.wire: survivor.key})
                        editing.write(self.ledger, other.tracked, [edit])

    def table(self, name):
        """The description as the test has changed it."""
        return self.tables.get(name) if self.catalog.bound(name) else None

    @property
    def repositories(self):
        store = self

        class Peers(dict):
            def clear(self):
                with store.ledger.engine.write():
                    store.ledger.engine.execute("DELETE FROM tally_eden_repository")

        return Peers({one.uuid or one.url or one.name: one for one in self.peers.repositories()})

    @property
    def lost(self) -> list[Lost]:
        found = []
        for one in conflicts.logged(self.ledger):
            bound = next(item for item in map(self.catalog.bound, self.catalog) if item.tracked.wire == one.resource)
            uuid = self.reader.targets(bound, [one.key])[one.key].uuid
            found.append(Lost(bound.table.name, uuid, one.kind, True, None, dict(one.version.content or {})))
        return found


class Saved(dict):
    """What is kept of something, by identifier; what is put in is kept too."""

    def __init__(self, save, known):
        super().__init__(known)
        self._save = save

    def __setitem__(self, uuid, one):
        self._save(one)
        super().__setitem__(uuid, one)


class Live(Mapping):
    """The records of a table as they are now, by identifier."""

    def __init__(self, store, name):
        self._store, self._name = store, name

    def _now(self):
        table = self._store.table(self._name)
        return {one.uuid: one for one in self._store.select(table, Selection())} if table else {}

    def __getitem__(self, uuid):
        return self._now()[uuid]

    def get(self, uuid, default=None):
        return self._store.find(self._name, (uuid,)).get(uuid, default)

    def __iter__(self):
        return iter(self._now())

    def __len__(self):
        return len(self._now())


NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
