"""Writing objects: each write is one change of a managed record in the ledger, noted in the log with its seq."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from tallystick.site.ledger import Tracked
from tallystick.site.managed import create_resource
from tallystick.site.managed import write as write_managed
from tallystick.stores.changelog import Class, Detail, Kind
from tallystick.stores.port import Draft, Record, Revision
from tallystick.stores.properties import STRUCTURE, Structure, content_of, read_content, structure_in
from tallystick.stores.records.layout import DIRECTORY, bodies_of, items_of
from tallystick.stores.records.objects import Objects, piece_keys, pieces
from tallystick.stores.records.session import Session

_OBJECT = (
    "INSERT INTO tally_stores_object (id, entry, key, object, parent, store, soft, associated, is_read, delivered, "
    "name, resource, body, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PLACE = (
    "UPDATE tally_stores_object SET entry=?, key=?, parent=?, store=?, soft=?, associated=?, is_read=?, delivered=?, "
    "name=?, resource=?, body=?, digest=? WHERE id=?"
)
_ENTRY = (
    "INSERT INTO tally_stores_change AS c (id, parent, key, object, record, store, created, content, flagged, soft, "
    "hard, detail, latest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?) ON CONFLICT (key, parent) DO UPDATE SET "
    "id=excluded.id, record=excluded.record, store=excluded.store, "
    "created=CASE WHEN excluded.created > c.created THEN excluded.created ELSE c.created END, "
    "content=CASE WHEN excluded.content > c.content THEN excluded.content ELSE c.content END, "
    "detail=excluded.detail, latest=excluded.latest"
)
_NAMES = {kind: kind.name.lower() for kind in Class}
_COLUMN = {Kind.NEW: "created", Kind.CHANGE: "content", Kind.FLAG: "flagged", Kind.SOFT: "soft", Kind.HARD: "hard"}


class Write(NamedTuple):
    """One write to the ledger: resource, key, content (None deletes)."""

    wire: str
    key: str
    content: Mapping[str, Any] | None


class Logged(NamedTuple):
    """One line for the log: an entry that is there, what happened to it, when, and its detail bits."""

    entry: int
    kinds: Sequence[Kind]
    seq: int
    detail: int


class Writing(Objects):
    """Writes of what there is."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._generation = secrets.token_hex(16)
        """Keys made here begin with it: copies of this database, too, make keys of their own."""

    # new objects -----------------------------------------------------------------------------------------------

    def insert(self, drafts: Sequence[Draft]) -> list[Record]:
        """Create records, in order."""
        with self.session.transaction():
            record, entry = (self.session.take(name, len(drafts)) for name in ("record", "entry"))
            keys = [self._key(draft, entry + i) for i, draft in enumerate(drafts)]
            for draft, key in zip(drafts, keys, strict=True):
                if draft.object == Class.STORE:
                    self._create_resources(key)
            writes = [self._drafted(draft, key) for draft, key in zip(drafts, keys, strict=True)]
            self.write_parts(
                piece
                for draft, key in zip(drafts, keys, strict=True)
                for piece in self._pieces(draft.store, key, draft.parts)
            )
            seqs = self.write_ledger(writes)
            made = [self._made(draft, record + i, entry + i, writes[i]) for i, draft in enumerate(drafts)]
            self.add_objects(made)
            self.add_entries([(one, draft.kinds, seq) for one, draft, seq in zip(made, drafts, seqs, strict=True)])
        return made

    def _key(self, draft: Draft, entry: int) -> str:
        if draft.key is not None:
            return draft.key.hex()
        return secrets.token_hex(16) if draft.object == Class.STORE else self.fresh_key(entry)

    def fresh_key(self, entry: int) -> str:
        """A key that nobody has made before."""
        return f"{self._generation}{entry:012x}"

    def _create_resources(self, store: str) -> None:
        ledger = self.session.ledger
        directory = create_resource(ledger, DIRECTORY)
        create_resource(ledger, items_of(store), directory)
        create_resource(ledger, bodies_of(store), ledger.resource(DIRECTORY))

    def _drafted(self, draft: Draft, key: str) -> Write:
        structure = Structure(
            _NAMES[draft.object],
            self.key_of(draft.parent) if draft.parent else "",
            draft.name,
            associated=draft.associated,
            read=draft.read,
            delivered=draft.delivered,
            parts={name: len(data) for name, data in draft.parts.items()},
        )
        return Write(self.wire_of(draft.object, draft.store), key, content_of(structure, draft.properties))

    def _pieces(self, store: int, body: str, parts: Mapping[str, bytes | None]) -> Iterable[Write]:
        for name, data in parts.items():
            for key, content in pieces(body, name, data or b""):
                yield Write(bodies_of(self.key_of(store)), key, content)

    def _made(self, draft: Draft, record: int, entry: int, write: Write) -> Record:
        made = Record(
            record,
            entry,
            bytes.fromhex(write.key),
            int(draft.object),
            draft.parent,
            draft.store if draft.object != Class.STORE else record,
            0,
            int(draft.associated),
            int(draft.read),
            draft.delivered,
            draft.name,
            b"",
            self.resource_number(write.wire),
        )
        return showing(made, write.content or {})

    # the ledger ------------------------------------------------------------------------------------------------

    def write_ledger(self, writes: Sequence[Write]) -> list[int]:
        """Write to the ledger in order; the seq of each. Inside a transaction, keys of one resource must differ."""
        seqs: list[int] = []
        for wire, group in groupby(writes, key=lambda write: write.wire):
            seqs.extend(write_managed(self.session.ledger, self._tracked(wire), [(w.key, w.content) for w in group]))
        return seqs

    def write_parts(self, writes: Iterable[Write]) -> None:
        """Write pieces of bulk parts, each key once."""
        chosen = {(write.wire, write.key): write for write in writes}
        self.write_ledger(sorted(chosen.values(), key=lambda write: write.wire))

    def _tracked(self, wire: str) -> Tracked:
        return create_resource(self.session.ledger, wire)

    # the tables beside it --------------------------------------------------------------------------------------

    def add_objects(self, records: Sequence[Record]) -> None:
        """Note new objects."""
        self.session.write_many(_OBJECT, [(r.id, r.entry, r.key.hex(), *r[3:11], *r[12:]) for r in records])

    def place_objects(self, records: Sequence[Record]) -> None:
        """Note what objects are now."""
        self.session.write_many(_PLACE, [(r.entry, r.key.hex(), *r[4:11], *r[12:], r.id) for r in records])

    def add_entries(self, added: Sequence[tuple[Record, Sequence[Kind], int]]) -> None:
        """Add entries to the log, for objects that are new where they are."""
        self.session.write_many(
            _ENTRY,
            [
                (
                    r.entry,
                    r.parent,
                    r.key.hex(),
                    r.object,
                    r.id,
                    r.store,
                    seq if Kind.NEW in kinds else 0,
                    seq if Kind.CHANGE in kinds else 0,
                    detail_of(r),
                    seq,
                )
                for r, kinds, seq in added
            ],
        )

    def log(self, lines: Iterable[Logged]) -> None:
        """Note what happened to entries that are there."""
        by_kinds: dict[tuple[Kind, ...], list[Sequence[int]]] = {}
        for entry, kinds, seq, detail in lines:
            row = (*(seq for _ in kinds), seq, detail, entry)
            by_kinds.setdefault(tuple(kinds), []).append(row)
        for kinds, rows in by_kinds.items():
            assigned = ", ".join(f"{_COLUMN[kind]}=?" for kind in kinds)
            self.session.write_many(f"UPDATE tally_stores_change SET {assigned}, latest=?, detail=? WHERE id=?", rows)

    def entry_under(self, key: str, parent: int) -> int:
        """The entry that a record already has under ``parent``, or a fresh one."""
        found = self.session.value("SELECT id FROM tally_stores_change WHERE key=? AND parent=?", (key, parent))
        return int(found) if found is not None else self.session.take("entry")

    # changes ---------------------------------------------------------------------------------------------------

    def update(self, revisions: Iterable[Revision]) -> None:
        """Write to records."""
        with self.session.transaction():
            for batch in _distinct(revisions):
                self._update(batch)

    def _update(self, revisions: Sequence[Revision]) -> None:
        present = self.records(revision.record for revision in revisions)
        chosen = [(present[revision.record], revision) for revision in revisions if revision.record in present]
        writes = []
        revised = []
        for record, revision in chosen:
            content, after = _revised(record, revision)
            self._revise_parts(record, revision)
            writes.append(Write(self.wire_of(record.object, record.store), record.key.hex(), content))
            revised.append(after)
        seqs = self.write_ledger(writes)
        self.place_objects(revised)
        self.log(
            Logged(after.entry, revision.kinds, seq, detail_of(after))
            for after, (_, revision), seq in zip(revised, chosen, seqs, strict=True)
            if revision.kinds and not after.soft  # what is deleted stays told as deleted, not as changed
        )

    def _revise_parts(self, record: Record, revision: Revision) -> None:
        if not revision.parts:
            return
        body, before = record.body or record.key.hex(), structure_in(read_content(record.properties)).parts
        wire = bodies_of(self.key_of(record.store))
        gone = [
            Write(wire, key, None)
            for name in revision.parts.keys() & before.keys()
            for key in piece_keys(body, name, before[name])
        ]
        self.write_parts([*gone, *self._pieces(record.store, body, revision.parts)])

    def rehome(self, records: Sequence[int], store: int) -> None:
        """Note that records stand in another store now, because a folder above moved there."""
        with self.session.transaction():
            present = self.records(records).values()
            gone = [Write(self.wire_of(one.object, one.store), one.key.hex(), None) for one in present]
            wire = items_of(self.key_of(store))
            self._carry_bodies(present, store)
            self.write_ledger(gone)
            self.write_ledger([Write(wire, one.key.hex(), read_content(one.properties)) for one in present])
            number = self.resource_number(wire)
            self.place_objects([one._replace(store=store, resource=number) for one in present])

    def _carry_bodies(self, records: Iterable[Record], store: int) -> None:
        """Write bulk parts of records in the store that they move to, and delete them where they were."""
        for record in records:
            if record.store != store:
                kept = structure_in(read_content(record.properties)).parts
                parts = {name: self.part(record.id, name) for name in kept}
                self.write_parts(self._pieces(store, record.body or record.key.hex(), parts))
                self.write_parts(self._without_bodies([record]))

    # deletions -------------------------------------------------------------------------------------------------

    def remove(self, records: Sequence[int], hard: bool, cascade: bool = False) -> None:
        """Delete records in order, recoverably or for good."""
        with self.session.transaction():
            present = self.records(records)
            chosen = [present[number] for number in dict.fromkeys(records) if number in present]
            extra = Detail.CASCADE if cascade else 0
            if hard:
                self.write_parts(self._without_bodies(chosen))
            seqs = self.write_ledger([self._removed(record, hard) for record in chosen])
            kinds = (Kind.HARD if hard else Kind.SOFT,)
            self.log(
                Logged(record.entry, kinds, seq, detail_of(record) | extra)
                for record, seq in zip(chosen, seqs, strict=True)
            )
            if hard:
                self.drop_objects(record.id for record in chosen)
            else:
                self.place_objects([showing(record._replace(soft=1), _softened(record)) for record in chosen])

    def _removed(self, record: Record, hard: bool) -> Write:
        content = None if hard else _softened(record)
        return Write(self.wire_of(record.object, record.store), record.key.hex(), content)

    def drop_objects(self, records: Iterable[int]) -> None:
        """Note that objects are gone."""
        self.session.write_many("DELETE FROM tally_stores_object WHERE id=?", [(record,) for record in records])

    def _without_bodies(self, records: Sequence[Record]) -> list[Write]:
        """Deletions of the bulk parts of records, but those that another one shows too."""
        owned: dict[str, tuple[Record, Mapping[str, int]]] = {}
        for record in records:
            parts = structure_in(read_content(record.properties)).parts
            if parts:
                owned[record.body or record.key.hex()] = (record, parts)
        shared = self._shared(owned, {record.id for record in records})
        return [
            Write(bodies_of(self.key_of(record.store)), key, None)
            for body, (record, parts) in owned.items()
            if body not in shared
            for name, size in parts.items()
            for key in piece_keys(body, name, size)
        ]

    def _shared(self, bodies: Iterable[str], ours: Iterable[int]) -> set[str]:
        """Those among ``bodies`` that records other than ``ours`` show: one item moved at one site, kept at another."""
        names, own = list(bodies), set(ours)
        rows = [
            row
            for column in ("body", "key")
            for row in self.session.rows_in(
                f"SELECT {column}, id FROM tally_stores_object WHERE {column} IN (*)", names
            )
        ]
        return {body for body, record in rows if record not in own}


def _distinct(revisions: Iterable[Revision]) -> Iterable[list[Revision]]:
    """Batches in which no record is named twice."""
    batch: dict[int, Revision] = {}
    for revision in revisions:
        if revision.record in batch:
            yield list(batch.values())
            batch = {}
        batch[revision.record] = revision
    if batch:
        yield list(batch.values())


def _revised(record: Record, revision: Revision) -> tuple[dict[str, Any], Record]:
    """The content and the record after a revision."""
    content = read_content(record.properties)
    after = record._replace(
        name=record.name if revision.name is None else revision.name,
        read=record.read if revision.read is None else int(revision.read),
        delivered=record.delivered if revision.delivered is None else revision.delivered,
    )
    structure = structure_in(content)._replace(name=after.name, read=bool(after.read), delivered=after.delivered)
    if revision.parts:
        structure = structure._replace(parts=_revised_parts(structure.parts, revision.parts))
    kept = {name: value for name, value in content.items() if name not in STRUCTURE}
    written = content_of(structure, kept if revision.properties is None else revision.properties)
    return written, showing(after, written)


def _revised_parts(sizes: Mapping[str, int], parts: Mapping[str, bytes | None]) -> dict[str, int]:
    """Names and sizes of parts after some were written or (None) removed."""
    written = {name: len(data) for name, data in parts.items() if data is not None}
    return {name: size for name, size in {**sizes, **written}.items() if parts.get(name, b"") is not None}


def _softened(record: Record) -> dict[str, Any]:
    return {**read_content(record.properties), "soft": True}


def showing(record: Record, content: Mapping[str, Any]) -> Record:
    """``record`` with another content."""
    rest = {name: value for name, value in content.items() if name != "read"}
    digest = int.from_bytes(sha256(_encode(rest)).digest()[:7], "big")
    return record._replace(properties=_encode(content), digest=digest)


_encode = msgspec.msgpack.Encoder().encode


def detail_of(record: Record) -> int:
    """The bits that stay true whatever was written."""
    return (Detail.READ if record.read else 0) | (Detail.ASSOCIATED if record.associated else 0)
