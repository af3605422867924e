"""The change log, registrations and what restricted synchronizations hold, in SQLite: the other half of the port."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence

from tallystick.stores.changelog import Class, Entry, Kind
from tallystick.stores.port import SERVER, Parked, Record, Registration, Subject
from tallystick.stores.sqlite.records import RecordTable, among
from tallystick.stores.windows import REMEMBERED_SETS, Live

_ENTRY = "id, parent, key, object, record, store, created, content, flagged, soft, hard, detail"
_LIVE = (
    "SELECT r.entry, r.id, c.created, c.content, c.flagged, c.detail & 1, r.delivered"
    " FROM tally_record r JOIN tally_change c ON c.id = r.entry WHERE "
)
_DAY = 86400


class LogTable(RecordTable):
    """Reads of ``tally_change``; ``tally_sync``, ``tally_remembered`` and ``tally_parked``."""

    def top(self, scope: int) -> int:
        """The highest seq logged under a folder, or (SERVER) for any item or folder."""
        where = "object <= 2" if scope == SERVER else "parent = ?"
        parameters = () if scope == SERVER else (scope,)
        found = self.database.value(
            f"SELECT latest FROM tally_change WHERE {where} ORDER BY latest DESC LIMIT 1", parameters
        )
        return int(found or 0)

    def last(self) -> int:
        """The last seq that was given out."""
        return int(self.database.value("SELECT value FROM tally_store_meta WHERE name = 'seq'"))

    def entries(self, scope: int, seq: int, object: Class | None = None) -> list[Entry]:
        """Log entries beyond ``seq``."""
        if scope != SERVER:
            kind = "" if object is None else f"AND object = {int(object)}"
            return self._entries(f"parent = ? AND latest > ? {kind}", (scope, seq))
        if object is None:
            return self._entries("object <= 2 AND latest > ?", (seq,)) + self._entries(
                "object >= 3 AND latest > ?", (seq,)
            )
        index = {Class.FOLDER: "object = 2", Class.ITEM: "object <= 2"}.get(object, "object >= 3")
        return self._entries(f"{index} AND latest > ? AND object = {int(object)}", (seq,))

    def _entries(self, where: str, parameters: tuple[int, ...]) -> list[Entry]:
        return [
            Entry._make(row)
            for row in self.database.all(f"SELECT {_ENTRY} FROM tally_change WHERE {where}", parameters)
        ]

    def named(self, entries: Iterable[int]) -> dict[int, Entry]:
        """Log entries by identity."""
        rows = self.database.all(
            f"SELECT {_ENTRY} FROM tally_change WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(entries)),),
        )
        return {row[0]: Entry._make(row) for row in rows}

    def folder_entries(self, records: Iterable[int]) -> list[Entry]:
        """Log entries of folders, deleted ones included, by number."""
        listed = ",".join(str(int(record)) for record in records)
        return self._entries(f"object = 2 AND record IN ({listed})", ())

    def live(self, parent: int, associated: Sequence[int] = (0,)) -> list[Live]:
        """The live items of a folder with their log, descending by number."""
        rows = self.database.all(
            f"{_LIVE} r.parent = ? AND r.object = 1 AND r.soft = 0 AND r.associated {among(associated)}"
            " ORDER BY r.id DESC",
            (parent,),
        )
        return [Live._make(row) for row in rows]

    def delivered_between(self, low: int | None, high: int | None) -> list[Live]:
        """Live, visible items anywhere by delivery time, descending by number."""
        never = low is None and high is None
        when, parameters = ("IS NULL", ()) if never else (">= ? AND r.delivered < ?", (low, high))
        rows = self.database.all(
            f"{_LIVE} r.object = 1 AND r.soft = 0 AND r.associated = 0 AND r.delivered {when} ORDER BY r.id DESC",
            parameters,
        )
        return [Live._make(row) for row in rows]

    def mark(self, folder: int) -> int:
        """Give ``folder`` a new top without changing anything in it."""
        with self.database.transaction():
            seq = self.database.take("seq")
            place = Record(folder, self._entry_under(b"-", folder), b"-", Class.MARK, folder, 0, 0, 0, 0, None, "", b"")
            self._add_entry(place, seq, (Kind.NEW,))
        return seq

    # registrations ---------------------------------------------------------------------------------------------

    def register(self, scope: int, subject: Subject) -> int:
        """A new registration's number."""
        with self.database.transaction():
            sync = self.database.take("sync")
            self.database.write(
                "INSERT INTO tally_sync VALUES (?, ?, ?, 1, ?, 0)", (sync, scope, int(subject), int(time.time()))
            )
        return sync

    def registration(self, sync: int) -> Registration | None:
        """A registration, or None."""
        rows = self.database.all("SELECT id, scope, subject, done, restricted FROM tally_sync WHERE id = ?", (sync,))
        return Registration._make(rows[0]) if rows else None

    def complete(self, sync: int, seq: int) -> None:
        """Note that registration ``sync`` has reached ``seq``."""
        now = int(time.time())
        where = "WHERE id = ? AND (done <> ? OR completed < ?)"
        if self.database.value(f"SELECT 1 FROM tally_sync {where}", (sync, seq, now - _DAY)):
            with self.database.transaction():
                self.database.write("UPDATE tally_sync SET done = ?, completed = ? WHERE id = ?", (seq, now, sync))

    def expire(self, before: int) -> int:
        """Drop registrations last completed before ``before`` (seconds since 1970) and what they hold; how many."""
        with self.database.transaction():
            dropped = self.database.write("DELETE FROM tally_sync WHERE completed < ?", (before,))
            self.database.write("DELETE FROM tally_remembered WHERE sync NOT IN (SELECT id FROM tally_sync)")
        return dropped

    def remember(self, sync: int, since: int, seq: int, position: int, packed: bytes) -> None:
        """Keep what a restricted synchronization holds."""
        with self.database.transaction():
            self.database.write("UPDATE tally_sync SET restricted = 1 WHERE id = ?", (sync,))
            self.database.write("DELETE FROM tally_remembered WHERE sync = ? AND seq > ?", (sync, since))
            self.database.write("REPLACE INTO tally_remembered VALUES (?, ?, ?, ?)", (sync, seq, position, packed))
            self.database.write(
                "DELETE FROM tally_remembered WHERE sync = ?1 AND seq = ?2 AND position NOT IN (SELECT position FROM"
                " tally_remembered WHERE sync = ?1 AND seq = ?2 ORDER BY position LIMIT 3)",
                (sync, seq),
            )
            self.database.write(
                "DELETE FROM tally_remembered WHERE sync = ?1 AND seq NOT IN"
                " (SELECT DISTINCT seq FROM tally_remembered WHERE sync = ?1 ORDER BY seq DESC LIMIT ?2)",
                (sync, REMEMBERED_SETS),
            )

    def remembered(self, sync: int, seq: int, position: int) -> bytes | None:
        """What ``remember`` kept."""
        found = self.database.value(
            "SELECT entries FROM tally_remembered WHERE sync = ? AND seq = ? AND position = ?", (sync, seq, position)
        )
        return None if found is None else bytes(found)

    # parked changes --------------------------------------------------------------------------------------------

    def park(self, parked: Sequence[Parked]) -> None:
        """Add to the list of changes that importers would not take."""
        with self.database.transaction():
            self.database.write_many(
                "INSERT INTO tally_parked (sync, scope, seq, key, kind, message, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                parked,
            )

    def parked(self, scope: int) -> list[Parked]:
        """What was parked of ``scope``, oldest first."""
        rows = self.database.all(
            "SELECT sync, scope, seq, key, kind, message, at FROM tally_parked WHERE scope = ? ORDER BY id", (scope,)
        )
        return [Parked._make(row) for row in rows]
