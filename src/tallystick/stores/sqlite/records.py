"""Managed records in SQLite: the object half of the port."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tallystick.stores.changelog import Class, Detail, Kind
from tallystick.stores.port import Draft, Record, Revision
from tallystick.stores.sqlite.connection import Database

_RECORD = "id, entry, key, object, parent, store, soft, associated, read, delivered, name, properties"
_LISTED = "SELECT value FROM json_each(?)"
_COLUMN = {Kind.NEW: "created", Kind.CHANGE: "content", Kind.FLAG: "flagged", Kind.SOFT: "soft", Kind.HARD: "hard"}


class RecordTable:
    """Reads and writes of ``tally_record``, ``tally_part`` and, with every write, ``tally_change``."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.site: bytes = database.value("SELECT value FROM tally_store_meta WHERE name = 'identity'")

    # writing ---------------------------------------------------------------------------------------------------

    def insert(self, drafts: Sequence[Draft]) -> list[Record]:
        """Create records, in order."""
        with self.database.transaction():
            record, seq = (self.database.take(name, len(drafts)) for name in ("record", "seq"))
            entry = self.database.take("entry", len(drafts))
            made = [self._made(draft, record + i, entry + i) for i, draft in enumerate(drafts)]
            self.database.write_many(f"INSERT INTO tally_record ({_RECORD}) VALUES ({','.join('?' * 12)})", made)
            for i, draft in enumerate(drafts):
                self._add_entry(made[i], seq + i, draft.kinds)
                self._write_parts(made[i].id, draft.parts)
        return made

    def _made(self, draft: Draft, record: int, entry: int) -> Record:
        return Record(
            record,
            entry,
            draft.key or self._key(entry),
            int(draft.object),
            draft.parent,
            draft.store if draft.object != Class.STORE else record,
            0,
            int(draft.associated),
            int(draft.read),
            draft.delivered,
            draft.name,
            draft.properties,
        )

    def _key(self, entry: int) -> bytes:
        return self.site + entry.to_bytes(6, "big")

    def _add_entry(self, record: Record, seq: int, kinds: Sequence[Kind]) -> None:
        created = seq if Kind.NEW in kinds else 0
        content = seq if Kind.CHANGE in kinds else 0
        self.database.write(
            "INSERT INTO tally_change (id, parent, key, object, record, store, created, content, detail, latest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, parent) DO UPDATE SET"
            " id = excluded.id, record = excluded.record, store = excluded.store,"
            " created = max(created, excluded.created), content = max(content, excluded.content),"
            " detail = excluded.detail, latest = excluded.latest",
            (*_placed(record), created, content, _detail(record), seq),
        )

    def _log(self, entry: int, kinds: Sequence[Kind], detail: int) -> None:
        """One write of ``kinds``, at a fresh seq."""
        seq = self.database.take("seq")
        assignments = ", ".join(f"{_COLUMN[kind]} = ?1" for kind in kinds)
        self.database.write(
            f"UPDATE tally_change SET {assignments}, latest = ?1, detail = ?2 WHERE id = ?3", (seq, detail, entry)
        )

    def update(self, revisions: Iterable[Revision]) -> None:
        """Write to records."""
        with self.database.transaction():
            chosen = list(revisions)
            present = self.records(revision.record for revision in chosen)
            for revision in chosen:
                if revision.record in present:
                    present[revision.record] = self._revise(present[revision.record], revision)

    def _revise(self, record: Record, revision: Revision) -> Record:
        fields: dict[str, Any] = {
            "name": revision.name,
            "properties": revision.properties,
            "read": None if revision.read is None else int(revision.read),
            "delivered": revision.delivered,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        if given:
            assignments = ", ".join(f"{name} = ?" for name in given)
            self.database.write(f"UPDATE tally_record SET {assignments} WHERE id = ?", (*given.values(), record.id))
        self._write_parts(record.id, revision.parts)
        revised = record._replace(**given)
        if revision.kinds:
            self._log(record.entry, revision.kinds, _detail(revised))
        return revised

    def _write_parts(self, record: int, parts: Mapping[str, bytes | None]) -> None:
        for name, data in parts.items():
            self.database.write("DELETE FROM tally_part WHERE record = ? AND name = ?", (record, name))
            if data is not None:
                self.database.write(
                    "INSERT INTO tally_part (record, name, size, data) VALUES (?, ?, ?, ?)",
                    (record, name, len(data), data),
                )

    def move(self, records: Sequence[int], parent: int, store: int) -> list[Record]:
        """Move records under ``parent``."""
        with self.database.transaction():
            present = self.records(records)
            chosen = [present[number] for number in records if number in present]
            return [
                self._move_item(record, parent, store)
                if record.object == Class.ITEM
                else self._move_folder(record, parent, store)
                for record in chosen
            ]

    def _move_item(self, record: Record, parent: int, store: int) -> Record:
        entry = self.database.take("entry")
        moved = record._replace(entry=entry, key=self._key(entry), parent=parent, store=store, soft=0)
        self._place(moved)
        self._add_entry(moved, self.database.take("seq"), (Kind.NEW,))
        if not record.soft:
            self._log(record.entry, (Kind.HARD,), _detail(record) | Detail.DEPARTED)
        return moved

    def _move_folder(self, record: Record, parent: int, store: int) -> Record:
        if parent == record.parent:
            moved = record._replace(soft=0)
        else:
            self._log(record.entry, (Kind.CHANGE,), _detail(record) | Detail.DEPARTED)
            moved = record._replace(entry=self._entry_under(record.key, parent), parent=parent, store=store, soft=0)
        self._place(moved)
        if moved.entry != record.entry:
            self._add_entry(moved, self.database.take("seq"), (Kind.CHANGE,))
        else:
            self._log(moved.entry, (Kind.CHANGE,), _detail(moved))
        return moved

    def _entry_under(self, key: bytes, parent: int) -> int:
        """The entry that a record already has under ``parent``, or a fresh one."""
        found = self.database.value("SELECT id FROM tally_change WHERE key = ? AND parent = ?", (key, parent))
        return int(found) if found is not None else self.database.take("entry")

    def _place(self, record: Record) -> None:
        self.database.write(
            "UPDATE tally_record SET entry = ?, key = ?, parent = ?, store = ?, soft = ? WHERE id = ?",
            (record.entry, record.key, record.parent, record.store, record.soft, record.id),
        )

    def rehome(self, records: Sequence[int], store: int) -> None:
        """Note that records stand in another store now."""
        with self.database.transaction():
            self.database.write(
                f"UPDATE tally_record SET store = ? WHERE id IN ({_LISTED})", (store, json.dumps(list(records)))
            )

    def remove(self, records: Sequence[int], hard: bool, cascade: bool = False) -> None:
        """Delete records in order."""
        with self.database.transaction():
            present = self.records(records)
            chosen = [present[number] for number in records if number in present]
            extra = Detail.CASCADE if cascade else 0
            for record in chosen:
                self._log(record.entry, (Kind.HARD if hard else Kind.SOFT,), _detail(record) | extra)
            listed = (json.dumps([record.id for record in chosen]),)
            if hard:
                self.database.write(f"DELETE FROM tally_record WHERE id IN ({_LISTED})", listed)
                self.database.write(f"DELETE FROM tally_part WHERE record IN ({_LISTED})", listed)
            else:
                self.database.write(f"UPDATE tally_record SET soft = 1 WHERE id IN ({_LISTED})", listed)

    # reading ---------------------------------------------------------------------------------------------------

    def records(self, records: Iterable[int]) -> dict[int, Record]:
        """Records by number."""
        chosen = list(records)
        if len(chosen) == 1:
            rows = self.database.all(f"SELECT {_RECORD} FROM tally_record WHERE id = ?", chosen)
        else:
            rows = self.database.all(
                f"SELECT {_RECORD} FROM tally_record WHERE id IN ({_LISTED})", (json.dumps(chosen),)
            )
        return {row[0]: Record._make(row) for row in rows}

    def find(self, key: bytes) -> Record | None:
        """The record that has this key now."""
        columns = ", ".join(f"r.{name}" for name in _RECORD.split(", "))
        rows = self.database.all(
            f"SELECT {columns} FROM tally_change c JOIN tally_record r ON r.id = c.record"
            " WHERE c.key = ? AND r.entry = c.id",
            (key,),
        )
        return Record._make(rows[0]) if rows else None

    def children(
        self,
        parent: int,
        object: Class,
        *,
        soft: bool = False,
        name: str | None = None,
        page: tuple[int, int] | None = None,
    ) -> list[Record]:
        """Records of one class under ``parent``, ascending by number."""
        after, limit = page or (0, -1)
        named, parameters = ("AND object > 1 AND name = ?", [name]) if name is not None else ("", [])
        rows = self.database.all(
            f"SELECT {_RECORD} FROM tally_record WHERE parent = ? AND object = ? AND soft = ? AND id > ? {named}"
            " ORDER BY id LIMIT ?",
            (parent, int(object), int(soft), after, *parameters, limit),
        )
        return [Record._make(row) for row in rows]

    def listed(self, parent: int, *, soft: bool = False, associated: Sequence[int] = (0,)) -> list[tuple[int, int]]:
        """(number, log entry) of the items in a folder, descending by number."""
        return self.database.all(
            "SELECT id, entry FROM tally_record WHERE parent = ? AND object = 1 AND soft = ?"
            f" AND associated {among(associated)} ORDER BY id DESC",
            (parent, int(soft)),
        )

    def count(self, parent: int, *, soft: bool = False, associated: bool = False) -> tuple[int, int]:
        """How many items a folder has, and how many of them are unread."""
        where = "FROM tally_record WHERE parent = ? AND object = 1 AND soft = ? AND associated = ?"
        chosen = (parent, int(soft), int(associated))
        total = self.database.value(f"SELECT count(*) {where}", chosen)
        return int(total), int(self.database.value(f"SELECT count(*) {where} AND read = 0", chosen))

    def parts(self, record: int) -> dict[str, int]:
        """Names and sizes of a record's parts."""
        return dict(self.database.all("SELECT name, size FROM tally_part WHERE record = ? ORDER BY id", (record,)))

    def part(self, record: int, name: str) -> bytes | None:
        """One part of a record."""
        data = self.database.value("SELECT data FROM tally_part WHERE record = ? AND name = ?", (record, name))
        return None if data is None else bytes(data)


def _placed(record: Record) -> tuple[int, int, bytes, int, int, int]:
    return record.entry, record.parent, record.key, record.object, record.id, record.store


def _detail(record: Record) -> int:
    """The bits that stay true whatever was written."""
    return (Detail.READ if record.read else 0) | (Detail.ASSOCIATED if record.associated else 0)


def among(chosen: Sequence[int]) -> str:
    """SQL that compares with one number, or several; one keeps the index in order."""
    return f"= {int(chosen[0])}" if len(chosen) == 1 else f"IN ({','.join(str(int(one)) for one in chosen)})"
