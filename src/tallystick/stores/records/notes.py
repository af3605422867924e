"""What a site notes for itself: messages taken from outside, and how far an import came. It travels nowhere."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.stores.port import Imported
from tallystick.stores.records.registrations import Registrations


class Notes(Registrations):
    """``tally_stores_imported`` and ``tally_stores_note``."""

    def imported(self, source: str, place: str | None) -> list[Imported]:
        """What was taken from one place of a source, or from all of it."""
        where, parameters = ("", (source,)) if place is None else ("AND place=?", (source, place))
        rows = self.session.rows(
            f"SELECT source, place, uid, item, flags, digest FROM tally_stores_imported WHERE source=? {where}",
            parameters,
        )
        return [Imported._make((*row[:5], bytes(row[5]))) for row in rows]

    def note_imported(self, imported: Iterable[Imported]) -> None:
        """Note what was taken."""
        with self.session.transaction():
            self.session.write_many(
                "INSERT INTO tally_stores_imported (source, place, uid, item, flags, digest) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (source, place, uid) DO UPDATE SET "
                "item=excluded.item, flags=excluded.flags, digest=excluded.digest",
                list(imported),
            )

    def forget_imported(self, imported: Iterable[Imported]) -> None:
        """Take such notes back."""
        with self.session.transaction():
            self.session.write_many(
                "DELETE FROM tally_stores_imported WHERE source=? AND place=? AND uid=?",
                [one[:3] for one in imported],
            )

    def note(self, name: str) -> bytes | None:
        """What was kept under ``name``."""
        found = self.session.value("SELECT content FROM tally_stores_note WHERE name=?", (name,))
        return None if found is None else bytes(found)

    def keep_note(self, name: str, content: bytes) -> None:
        """Keep ``content`` under ``name``. Writes nothing when it is kept already."""
        if self.note(name) != content:
            with self.session.transaction():
                self.session.write(
                    "INSERT INTO tally_stores_note (name, content) VALUES (?, ?) "
                    "ON CONFLICT (name) DO UPDATE SET content=excluded.content",
                    (name, content),
                )
