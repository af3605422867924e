"""Moving objects: an item gets a new key where it arrives, a folder keeps its own (spec ics 4.4, 6)."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.stores.changelog import Class, Detail, Kind
from tallystick.stores.port import Record
from tallystick.stores.properties import content_of, read_content, read_properties, structure_in
from tallystick.stores.records.writing import Logged, Write, Writing, detail_of, showing


class Moving(Writing):
    """Moves, and coming back to life."""

    def move(self, records: Sequence[int], parent: int, store: int) -> list[Record]:
        """Move records under ``parent``."""
        with self.session.transaction():
            present = self.records(records)
            chosen = [present[number] for number in dict.fromkeys(records) if number in present]
            self._carry_bodies([one for one in chosen if one.object == Class.ITEM], store)
            items = iter(self._move_items([one for one in chosen if one.object == Class.ITEM], parent, store))
            return [
                next(items) if one.object == Class.ITEM else self._move_folder(one, parent, store) for one in chosen
            ]

    def _move_items(self, records: Sequence[Record], parent: int, store: int) -> list[Record]:
        """Items arrive one seq before they depart; those that were deleted recoverably only arrive."""
        if not records:
            return []
        entry = self.session.take("entry", len(records))
        moved = [self._moved_item(one, entry + i, parent, store) for i, one in enumerate(records)]
        wire = self.wire_of(Class.ITEM, store)
        writes: list[Write] = []
        for before, after in zip(records, moved, strict=True):
            writes.append(Write(wire, after.key.hex(), read_content(after.properties)))
            writes.append(Write(self.wire_of(Class.ITEM, before.store), before.key.hex(), None))
        seqs = self.write_ledger(writes)
        self.place_objects(moved)
        self.add_entries([(after, (Kind.NEW,), seq) for after, seq in zip(moved, seqs[::2], strict=True)])
        self.log(
            Logged(before.entry, (Kind.HARD,), seq, detail_of(before) | Detail.DEPARTED)
            for before, seq in zip(records, seqs[1::2], strict=True)
            if not before.soft
        )
        return moved

    def _moved_item(self, record: Record, entry: int, parent: int, store: int) -> Record:
        key = self.fresh_key(entry)
        body = record.body or record.key.hex()
        after = record._replace(
            entry=entry, key=bytes.fromhex(key), parent=parent, store=store, soft=0, body=body,
            resource=self.resource_number(self.wire_of(Class.ITEM, store)),
        )  # fmt: skip
        return self._with_place(after)

    def _with_place(self, record: Record) -> Record:
        """``record`` with a content that says where it is."""
        structure = structure_in(read_content(record.properties))
        structure = structure._replace(parent=self.key_of(record.parent), soft=bool(record.soft), body=record.body)
        return showing(record, content_of(structure, read_properties(record.properties)))

    def _move_folder(self, record: Record, parent: int, store: int) -> Record:
        """A folder leaves one seq before it arrives."""
        moved = record._replace(parent=parent, store=store, soft=0)
        if parent != record.parent:
            moved = moved._replace(entry=self.entry_under(record.key.hex(), parent))
        moved = self._with_place(moved)
        left, arrived = self._write_moved(record, moved)
        moved = moved._replace(resource=self.resource_number(self.wire_of(moved.object, store)))
        self.place_objects([moved])
        if moved.entry == record.entry:
            self.log([Logged(moved.entry, (Kind.CHANGE,), arrived, detail_of(moved))])
        else:
            self.log([Logged(record.entry, (Kind.CHANGE,), left, detail_of(record) | Detail.DEPARTED)])
            self.add_entries([(moved, (Kind.CHANGE,), arrived)])
        return moved

    def _write_moved(self, record: Record, moved: Record) -> tuple[int, int]:
        """Write a moved folder; the seqs at which it left and arrived."""
        old, new = self.wire_of(record.object, record.store), self.wire_of(moved.object, moved.store)
        key, content = record.key.hex(), read_content(moved.properties)
        if old != new:
            left, arrived = self.write_ledger([Write(old, key, None), Write(new, key, content)])
            return left, arrived
        left = self.session.seq() if moved.entry != record.entry else 0
        (arrived,) = self.write_ledger([Write(new, key, content)])
        return left, arrived
