"""Working in what others changed: records that came by synchronization, decisions, repairs.

Whatever writes to our resources without this room (the applying side of a synchronization above all) leaves ledger
entries beyond the seq that was last observed. They are compared with the objects noted here; what differs is logged
as what it is, at the seq it got in this ledger. Nothing is written to the ledger: two sites that observe each other
come to rest.

A record may come before the folder it is in: it waits. Where that folder is gone for good, because one site deleted it
while another filled it, the record is shown among the deleted things of its store; what it says stays as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tallystick.site.engines.engine import Entry
from tallystick.site.ledger import Tracked
from tallystick.site.managed import contents
from tallystick.stores.changelog import Class, Detail, Kind
from tallystick.stores.port import Record
from tallystick.stores.properties import Structure, read_content, structure_in
from tallystick.stores.records.layout import DIRECTORY, store_in
from tallystick.stores.records.notes import Notes
from tallystick.stores.records.writing import Logged, detail_of, showing

_PAGE = 2000
_ABOVE = (Class.FOLDER, Class.STORE, Class.COMPANY)
"""What others can be in."""


class _News(NamedTuple):
    """A record as the ledger shows it now; ``content`` None: it is gone, or not shown here."""

    tracked: Tracked
    key: str
    seq: int
    content: Mapping[str, Any] | None


class Observing(Notes):
    """Keeps the tables of this room in agreement with the ledger."""

    def observe(self) -> None:
        """Work in every change beyond the last one observed. Inside a transaction."""
        if not self.session.behind():
            return
        since, ledger = self.session.counter("observed"), self.session.ledger
        wires = [item.wire for item in ledger.resources() if item.wire == DIRECTORY or store_in(item.wire)]
        removed: list[Record] = []
        for tracked in [ledger.resource(wire) for wire in sorted(wires, key=lambda wire: wire != DIRECTORY)]:
            position, more = since, tracked.seq > since
            while more:
                page = [entry for entry, _ in tracked.rows.after(position, 1 << 62, _PAGE)]
                more = len(page) == _PAGE
                removed += self._page(tracked, page)
                position = page[-1].seq if page else position
        self._settle(removed)

    def _page(self, tracked: Tracked, page: Sequence[Entry]) -> list[Record]:
        """Work in one page of entries; the folders that are gone with it."""
        found = contents(self.session.ledger, tracked, [entry.key for entry in page if entry.hash])
        news = [_News(tracked, entry.key, entry.seq, found.get(entry.key)) for entry in page]
        known = self._known([one.key for one in news])
        waiting = deque(one for one in news if one.content is not None)
        while waiting:
            one = waiting.popleft()
            record = self._take(one, known.get(one.key))
            if record is not None and record.object in _ABOVE:
                waiting.extendleft(reversed(self._released(record)))
        return self._remove([one for one in news if one.content is None], known, tracked)

    def _known(self, keys: Sequence[str]) -> dict[str, Record]:
        rows = self.session.rows_in("SELECT id FROM tally_stores_object WHERE key IN (*)", keys)
        return {record.key.hex(): record for record in self.records(row[0] for row in rows).values()}

    # what is there ---------------------------------------------------------------------------------------------

    def _take(self, one: _News, known: Record | None) -> Record | None:
        """Work in a record that is there; None where it waits, or is nothing of ours."""
        structure = structure_in(one.content or {})
        kind = _CLASSES.get(structure.object)
        if kind is None:
            return None
        place = self._place(one.tracked.wire, structure, kind)
        if place is None and known is not None and known.resource == one.tracked.number:
            place = (known.parent, known.store)  # its folder is gone: it stays where it is shown
        if place is None:
            self._wait(one, structure.parent)
            return None
        return self._changed(one, known, kind, place) if known is not None else self._added(one, kind, place)

    def _place(self, wire: str, structure: Structure, kind: Class) -> tuple[int, int] | None:
        """Numbers of parent and store; None where they are not here."""
        parent = self._number(structure.parent) if structure.parent else 0
        if kind is Class.STORE:
            return (0, 0)
        if kind not in (Class.ITEM, Class.FOLDER):
            return None if parent is None else (parent, 0)
        store = self._number(store_in(wire))
        return None if parent is None or store is None else (parent, store)

    def _number(self, key: str) -> int | None:
        found = self.session.value("SELECT id FROM tally_stores_object WHERE key=?", (key,))
        return None if found is None else int(found)

    def _wait(self, one: _News, above: str) -> None:
        self.session.write(
            "INSERT INTO tally_stores_waiting (resource, key, above) VALUES (?, ?, ?) "
            "ON CONFLICT (resource, key) DO UPDATE SET above=excluded.above",
            (one.tracked.number, one.key, above),
        )

    def _released(self, record: Record) -> list[_News]:
        """What waited for ``record``, at seqs of its own: consumers may stand beyond those of the ledger."""
        rows = self.session.rows(
            "SELECT w.resource, w.key, m.content FROM tally_stores_waiting w LEFT JOIN tally_managed m "
            "ON m.resource=w.resource AND m.key=w.key WHERE w.above=?",
            (record.key.hex(),),
        )
        self.session.write("DELETE FROM tally_stores_waiting WHERE above=?", (record.key.hex(),))
        by_number = {item.number: item for item in self.session.ledger.resources()}
        return [
            _News(by_number[number], key, self.session.seq(), read_content(bytes(raw)))
            for number, key, raw in rows
            if raw is not None and number in by_number
        ]

    def _added(self, one: _News, kind: Class, place: tuple[int, int]) -> Record:
        record = _noted(one, kind, place, self._number_for(one.key), self.entry_under(one.key, place[0]))
        if kind is Class.STORE:
            record = record._replace(store=record.id)
        self.add_objects([record])
        kinds = (Kind.NEW,) if kind is Class.ITEM else (Kind.NEW, Kind.CHANGE)
        self.add_entries([(record, () if record.soft else kinds, one.seq)])
        if record.soft:
            self.log([Logged(record.entry, (Kind.SOFT,), one.seq, detail_of(record))])
        return record

    def _number_for(self, key: str) -> int:
        """The number that an object with this key had, if nothing has it now: states of its consumers name it."""
        rows = self.session.rows(
            "SELECT record FROM tally_stores_change c WHERE key=? AND NOT EXISTS "
            "(SELECT 1 FROM tally_stores_object o WHERE o.id=c.record) ORDER BY latest DESC LIMIT 1",
            (key,),
        )
        return int(rows[0][0]) if rows else self.session.take("record")

    def _changed(self, one: _News, known: Record, kind: Class, place: tuple[int, int]) -> Record:
        store = known.store if kind is Class.STORE else place[1]
        record = _noted(one, kind, (place[0], store), known.id, known.entry)
        if record.parent != known.parent:
            return self._displaced(known, record, one.seq)
        self.place_objects([record])
        kinds = _kinds(known, record)
        if kinds:
            self.log([Logged(record.entry, kinds, one.seq, detail_of(record))])
        return record

    def _displaced(self, known: Record, record: Record, seq: int) -> Record:
        """An object that is in another folder now under the same key, as folders are after a move."""
        record = record._replace(entry=self.entry_under(record.key.hex(), record.parent))
        left = Kind.HARD if record.object == Class.ITEM else Kind.CHANGE
        arrived = (Kind.NEW,) if record.object == Class.ITEM else (Kind.CHANGE,)
        self.place_objects([record])
        self.log([Logged(known.entry, (left,), self.session.seq(), detail_of(known) | Detail.DEPARTED)])
        self.add_entries([(record, arrived, seq)])
        return record

    # what is gone ----------------------------------------------------------------------------------------------

    def _remove(self, gone: Iterable[_News], known: Mapping[str, Record], tracked: Tracked) -> list[Record]:
        """Work in what is gone; the folders among it."""
        chosen = [(one, known[one.key]) for one in gone if one.key in known]
        chosen = [(one, record) for one, record in chosen if record.resource == tracked.number]
        departed = self._shared(
            {record.body or record.key.hex() for _, record in chosen}, {record.id for _, record in chosen}
        )
        lines = []
        for one, record in chosen:
            moved = (record.body or record.key.hex()) in departed
            if not (moved and record.soft):  # it was brought back to life under another key
                detail = detail_of(record) | (Detail.DEPARTED if moved else 0)
                lines.append(Logged(record.entry, (Kind.HARD,), one.seq, detail))
        self.log(lines)
        self.drop_objects(record.id for _, record in chosen)
        self._stop_waiting([one.key for one in gone], tracked.number)
        return [record for _, record in chosen if record.object == Class.FOLDER]

    def _stop_waiting(self, keys: Sequence[str], resource: int) -> None:
        if self.session.rows("SELECT 1 FROM tally_stores_waiting LIMIT 1"):
            self.session.write_many(
                "DELETE FROM tally_stores_waiting WHERE resource=? AND key=?", [(resource, key) for key in keys]
            )

    def _settle(self, removed: Sequence[Record]) -> None:
        """Show what is left without a folder among the deleted things of its store."""
        for folder in removed:
            rows = self.session.rows("SELECT id FROM tally_stores_object WHERE parent=?", (folder.id,))
            for record in self.records(row[0] for row in rows).values():
                place = self._refuge(record.store)
                if place:
                    self._displaced(record, record._replace(parent=place), self.session.seq())
        rows = self.session.rows(
            "SELECT DISTINCT w.above FROM tally_stores_waiting w JOIN tally_stores_change c ON c.key=w.above "
            "WHERE c.object=2 AND c.hard > 0"
        )
        for (above,) in rows:
            self._shelter(str(above))

    def _shelter(self, above: str) -> None:
        """Show what waits for a folder that is gone for good."""
        waiting = deque(self._released(_NOBODY._replace(key=bytes.fromhex(above))))
        while waiting:
            one = waiting.popleft()
            structure = structure_in(one.content or {})
            kind, store = _CLASSES.get(structure.object), self._number(store_in(one.tracked.wire))
            place = self._refuge(store) if store else 0
            if kind is not None and store and place:
                record = self._added(one, kind, (place, store))
                waiting.extend(self._released(record) if kind in _ABOVE else ())

    def _refuge(self, store: int) -> int:
        """The folder for what has lost its own: the deleted things of the store, else its subtree; 0 without any."""
        found = self.records([store]).get(store)
        known = {} if found is None else read_content(found.properties).get("folders", {})
        for name in ("wastebasket", "subtree"):
            number = self._number(str(known.get(name, "")))
            if number:
                return number
        return 0


_CLASSES = {kind.name.lower(): kind for kind in Class if kind is not Class.MARK}
_NOBODY = Record(0, 0, b"", int(Class.FOLDER), 0, 0, 0, 0, 0, None, "", b"")


def _noted(one: _News, kind: Class, place: tuple[int, int], number: int, entry: int) -> Record:
    structure = structure_in(one.content or {})
    made = Record(
        number,
        entry,
        bytes.fromhex(one.key),
        int(kind),
        *place,
        int(structure.soft),
        int(structure.associated),
        int(structure.read),
        structure.delivered,
        structure.name,
        b"",
        one.tracked.number,
        structure.body,
    )
    return showing(made, one.content or {})


def _kinds(before: Record, after: Record) -> tuple[Kind, ...]:
    """What happened to a record that stayed where it is."""
    if after.soft != before.soft:
        back = Kind.NEW if after.object == Class.ITEM else Kind.CHANGE
        return (Kind.SOFT if after.soft else back,)
    if after.soft:
        return ()  # what is deleted stays told as deleted, not as changed
    if after.digest != before.digest:
        return (Kind.CHANGE,)
    return (Kind.FLAG,) if after.read != before.read else ()
