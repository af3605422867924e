"""Registered synchronizations: how far they came, what restricted ones hold, what importers would not take."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tallystick.stores.port import Parked, Registration, Subject
from tallystick.stores.records.log import Log
from tallystick.stores.windows import REMEMBERED_SETS

_DAY = 86400
_POSITIONS = 3
"""Sets of one state kept at different positions of a pass."""


class Registrations(Log):
    """``tally_stores_sync``, ``tally_stores_remembered`` and ``tally_stores_parked``."""

    def register(self, scope: int, subject: Subject) -> int:
        """A new registration's number."""
        with self.session.transaction():
            sync = self.session.take("sync")
            self.session.write(
                "INSERT INTO tally_stores_sync (id, scope, subject, done, completed, restricted) "
                "VALUES (?, ?, ?, 1, ?, 0)",
                (sync, scope, int(subject), int(time.time())),
            )
        return sync

    def registration(self, sync: int) -> Registration | None:
        """A registration, or None."""
        rows = self.session.rows(
            "SELECT id, scope, subject, done, restricted FROM tally_stores_sync WHERE id=?", (sync,)
        )
        return Registration._make((*rows[0][:4], bool(rows[0][4]))) if rows else None

    def complete(self, sync: int, seq: int) -> None:
        """Note that registration ``sync`` has reached ``seq``."""
        now = int(time.time())
        changed = "SELECT 1 FROM tally_stores_sync WHERE id=? AND (done <> ? OR completed < ?)"
        if self.session.rows(changed, (sync, seq, now - _DAY)):
            with self.session.transaction():
                self.session.write("UPDATE tally_stores_sync SET done=?, completed=? WHERE id=?", (seq, now, sync))

    def expire(self, before: int) -> int:
        """Drop registrations last completed before ``before`` (seconds since 1970) and what they hold; how many."""
        gone = self.session.rows("SELECT id FROM tally_stores_sync WHERE completed < ?", (before,))
        if gone:
            with self.session.transaction():
                for table, column in (("sync", "id"), ("remembered", "sync")):
                    self.session.write_many(f"DELETE FROM tally_stores_{table} WHERE {column}=?", gone)
        return len(gone)

    def remember(self, sync: int, since: int, seq: int, position: int, packed: bytes) -> None:
        """Keep what a restricted synchronization holds."""
        with self.session.transaction():
            self.session.write("UPDATE tally_stores_sync SET restricted=1 WHERE id=?", (sync,))
            self.session.write("DELETE FROM tally_stores_remembered WHERE sync=? AND seq > ?", (sync, since))
            self.session.write(
                "INSERT INTO tally_stores_remembered (sync, seq, position, entries) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (sync, seq, position) DO UPDATE SET entries=excluded.entries",
                (sync, seq, position, packed),
            )
            self._forget_positions(sync, seq)
            self._forget_sets(sync)

    def _forget_positions(self, sync: int, seq: int) -> None:
        rows = self.session.rows(
            "SELECT position FROM tally_stores_remembered WHERE sync=? AND seq=? ORDER BY position", (sync, seq)
        )
        self.session.write_many(
            f"DELETE FROM tally_stores_remembered WHERE sync={int(sync)} AND seq={int(seq)} AND position=?",
            rows[_POSITIONS:],
        )

    def _forget_sets(self, sync: int) -> None:
        rows = self.session.rows(
            "SELECT DISTINCT seq FROM tally_stores_remembered WHERE sync=? ORDER BY seq DESC", (sync,)
        )
        self.session.write_many(
            f"DELETE FROM tally_stores_remembered WHERE sync={int(sync)} AND seq=?", rows[REMEMBERED_SETS:]
        )

    def remembered(self, sync: int, seq: int, position: int) -> bytes | None:
        """What ``remember`` kept."""
        found = self.session.value(
            "SELECT entries FROM tally_stores_remembered WHERE sync=? AND seq=? AND position=?", (sync, seq, position)
        )
        return None if found is None else bytes(found)

    # parked changes --------------------------------------------------------------------------------------------

    def park(self, parked: Sequence[Parked]) -> None:
        """Add to the list of changes that importers would not take."""
        with self.session.transaction():
            first = self.session.take("parked", len(parked))
            self.session.write_many(
                "INSERT INTO tally_stores_parked (id, sync, scope, seq, key, kind, message, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (first + i, one.sync, one.scope, one.seq, one.key.hex(), one.kind, one.message, one.at)
                    for i, one in enumerate(parked)
                ],
            )

    def parked(self, scope: int) -> list[Parked]:
        """What was parked of ``scope``, oldest first."""
        rows = self.session.rows(
            "SELECT sync, scope, seq, key, kind, message, at FROM tally_stores_parked WHERE scope=? ORDER BY id",
            (scope,),
        )
        return [Parked._make((*row[:3], bytes.fromhex(row[3]), *row[4:])) for row in rows]
