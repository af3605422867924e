"""The change log and what is live in it: the other half of the port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tallystick.stores.changelog import Class, Entry, Kind
from tallystick.stores.port import SERVER, Record
from tallystick.stores.records.moving import Moving
from tallystick.stores.records.objects import among
from tallystick.stores.windows import Live

_ENTRY = "SELECT id, parent, key, object, record, store, created, content, flagged, soft, hard, detail"
_LIVE = (
    "SELECT o.entry, o.id, c.created, c.content, c.flagged, c.detail, o.delivered"
    " FROM tally_stores_object o JOIN tally_stores_change c ON c.id=o.entry WHERE "
)


class Log(Moving):
    """Reads of the log."""

    def top(self, scope: int) -> int:
        """The highest seq logged under a folder, or (SERVER) for any item or folder."""
        self.session.look()
        where = "object <= 2" if scope == SERVER else "parent=?"
        found = self.session.value(
            f"SELECT latest FROM tally_stores_change WHERE {where} ORDER BY latest DESC LIMIT 1",
            () if scope == SERVER else (scope,),
        )
        return int(found or 0)

    def last(self) -> int:
        """The last seq that was given out."""
        self.session.look()
        return self.session.version()

    def entries(self, scope: int, seq: int, object: Class | None = None) -> list[Entry]:
        """Log entries beyond ``seq``."""
        self.session.look()
        if scope != SERVER:
            kind = "" if object is None else f"AND object = {int(object)}"
            return self._entries(f"parent=? AND latest > ? {kind}", (scope, seq))
        if object is None:
            return self._entries("object <= 2 AND latest > ?", (seq,)) + self._entries(
                "object >= 3 AND latest > ?", (seq,)
            )
        index = {Class.FOLDER: "object = 2", Class.ITEM: "object <= 2"}.get(object, "object >= 3")
        return self._entries(f"{index} AND latest > ? AND object = {int(object)}", (seq,))

    def _entries(self, where: str, parameters: tuple[int, ...]) -> list[Entry]:
        return [
            _entry(row) for row in self.session.rows(f"{_ENTRY} FROM tally_stores_change WHERE {where}", parameters)
        ]

    def named(self, entries: Iterable[int]) -> dict[int, Entry]:
        """Log entries by identity."""
        rows = self.session.rows_in(f"{_ENTRY} FROM tally_stores_change WHERE id IN (*)", list(entries))
        return {row[0]: _entry(row) for row in rows}

    def folder_entries(self, records: Iterable[int]) -> list[Entry]:
        """Log entries of folders, deleted ones included, by number."""
        rows = self.session.rows_in(
            f"{_ENTRY} FROM tally_stores_change WHERE object = 2 AND record IN (*)", list(records)
        )
        return [_entry(row) for row in rows]

    def live(self, parent: int, associated: Sequence[int] = (0,)) -> list[Live]:
        """The live items of a folder with their log, descending by number."""
        self.session.look()
        rows = self.session.rows(
            f"{_LIVE} o.parent=? AND o.object=1 AND o.soft=0 AND o.associated {among(associated)} ORDER BY o.id DESC",
            (parent,),
        )
        return [_live(row) for row in rows]

    def delivered_between(self, low: int | None, high: int | None) -> list[Live]:
        """Live, visible items anywhere by delivery time, descending by number."""
        self.session.look()
        never = low is None and high is None
        when, parameters = ("IS NULL", ()) if never else (">= ? AND o.delivered < ?", (low, high))
        rows = self.session.rows(
            f"{_LIVE} o.object=1 AND o.soft=0 AND o.associated=0 AND o.delivered {when} ORDER BY o.id DESC", parameters
        )
        return [_live(row) for row in rows]

    def mark(self, folder: int) -> int:
        """Give ``folder`` a new top without changing anything in it."""
        with self.session.transaction():
            seq = self.session.seq()
            entry = self.entry_under("2d", folder)
            place = Record(folder, entry, b"-", Class.MARK, folder, 0, 0, 0, 0, None, "", b"")
            self.add_entries([(place, (Kind.NEW,), seq)])
        return seq


def _entry(row: Sequence[int]) -> Entry:
    return Entry(row[0], row[1], bytes.fromhex(str(row[2])), *row[3:])


def _live(row: Sequence[int]) -> Live:
    entry, record, created, content, flagged, detail, delivered = row
    return Live(entry, record, created, content, flagged, bool(detail & 1), delivered)
