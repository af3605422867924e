"""Reading objects: records by number, key, place and delivery time, and their bulk parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tallystick.stores.changelog import Class
from tallystick.stores.port import Record
from tallystick.stores.properties import read_content, structure_in
from tallystick.stores.records.layout import DIRECTORY, bodies_of, items_of
from tallystick.stores.records.session import Session

_RECORD = (
    "SELECT o.id, o.entry, o.key, o.object, o.parent, o.store, o.soft, o.associated, o.is_read, o.delivered, o.name, "
    "m.content, o.resource, o.body, o.digest FROM tally_stores_object o "
    "LEFT JOIN tally_managed m ON m.resource=o.resource AND m.key=o.key WHERE "
)
PIECE = 256 * 1024
"""Bytes of a bulk part that are kept in one record: pages between sites stay small whatever is attached."""


class Objects:
    """Reads of what is there."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._resources: dict[str, int] = {}
        self._keys: dict[int, str] = {}
        session.forget += [self._resources.clear, self._keys.clear]

    def records(self, records: Iterable[int]) -> dict[int, Record]:
        """Records by number."""
        self.session.look()
        chosen = list(records)
        if len(chosen) == 1:
            rows = self.session.rows(f"{_RECORD} o.id=?", chosen)
        else:
            rows = self.session.rows_in(f"{_RECORD} o.id IN (*)", chosen)
        return {row[0]: _record(row) for row in rows}

    def find(self, key: bytes) -> Record | None:
        """The record that has this key now."""
        self.session.look()
        rows = self.session.rows(f"{_RECORD} o.key=?", (key.hex(),))
        return _record(rows[0]) if rows else None

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
        self.session.look()
        where, parameters = "o.parent=? AND o.object=? AND o.soft=?", [parent, int(object), int(soft)]
        after, limit = page or (0, -1)
        if name is not None:
            rows = self.session.rows(
                f"{_RECORD} {where} AND o.object > 1 AND o.name=? AND o.id>? ORDER BY o.id", (*parameters, name, after)
            )
        else:
            rows = self.session.rows(f"{_RECORD} {where} AND o.id>? ORDER BY o.id", (*parameters, after))
        return [_record(row) for row in (rows if limit < 0 else rows[:limit])]

    def listed(self, parent: int, *, soft: bool = False, associated: Sequence[int] = (0,)) -> list[tuple[int, int]]:
        """(number, log entry) of the items in a folder, descending by number."""
        self.session.look()
        return self.session.rows(
            "SELECT id, entry FROM tally_stores_object WHERE parent=? AND object=1 AND soft=?"
            f" AND associated {among(associated)} ORDER BY id DESC",
            (parent, int(soft)),
        )

    def count(self, parent: int, *, soft: bool = False, associated: bool = False) -> tuple[int, int]:
        """How many items a folder has, and how many of them are unread."""
        self.session.look()
        where = "FROM tally_stores_object WHERE parent=? AND object=1 AND soft=? AND associated=?"
        chosen = (parent, int(soft), int(associated))
        total = int(self.session.value(f"SELECT count(*) {where}", chosen))
        return total, int(self.session.value(f"SELECT count(*) {where} AND is_read=0", chosen))

    # parts -----------------------------------------------------------------------------------------------------

    def parts(self, record: int) -> dict[str, int]:
        """Names and sizes of a record's parts."""
        found = self.records([record]).get(record)
        return {} if found is None else dict(structure_in(read_content(found.properties)).parts)

    def part(self, record: int, name: str) -> bytes | None:
        """One part of a record; None also when it has not come from another site yet."""
        found = self.records([record]).get(record)
        size = None if found is None else structure_in(read_content(found.properties)).parts.get(name)
        if found is None or size is None:
            return None
        resource = self.resource_number(bodies_of(self.key_of(found.store)))
        keys = piece_keys(found.body or found.key.hex(), name, size)
        rows = self.session.rows_in(
            f"SELECT key, content FROM tally_managed WHERE resource={resource} AND key IN (*)", keys
        )
        pieces = {key: read_content(raw).get("data", b"") for key, raw in rows}
        return b"".join(pieces[key] for key in keys) if len(pieces) == len(keys) else None

    # where things are kept -------------------------------------------------------------------------------------

    def key_of(self, number: int) -> str:
        """The key of an object that holds others; empty for what is at the top or gone."""
        key = self._keys.get(number)
        if key is None:
            key = str(self.session.value("SELECT key FROM tally_stores_object WHERE id=?", (number,)) or "")
            if key:
                self._keys[number] = key
        return key

    def wire_of(self, object: int, store: int) -> str:
        """The resource that an object of this class, in this store, is kept in."""
        return items_of(self.key_of(store)) if object in (Class.ITEM, Class.FOLDER) else DIRECTORY

    def resource_number(self, wire: str) -> int:
        """The number of a resource; 0 when there is none."""
        number = self._resources.get(wire, 0)
        if not number:
            number = int(self.session.value("SELECT id FROM tally_resource WHERE wire=?", (wire,)) or 0)
            if number:
                self._resources[wire] = number
        return number


def _record(row: Sequence[Any]) -> Record:
    return Record._make((*row[:2], bytes.fromhex(row[2]), *row[3:11], bytes(row[11] or b""), *row[12:]))


def among(chosen: Sequence[int]) -> str:
    """SQL that compares with one number, or several; one keeps the index in order."""
    return f"= {int(chosen[0])}" if len(chosen) == 1 else f"IN ({','.join(str(int(one)) for one in chosen)})"


def piece_keys(body: str, name: str, size: int) -> list[str]:
    """The keys of the pieces of one part."""
    return [f"{body}/{name}/{number:05d}" for number in range(-(-size // PIECE))]


def pieces(body: str, name: str, data: bytes) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The records that hold one part."""
    for number, key in enumerate(piece_keys(body, name, len(data))):
        yield key, {"data": data[number * PIECE : (number + 1) * PIECE]}
