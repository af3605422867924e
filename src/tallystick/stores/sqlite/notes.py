"""What a site notes for itself: messages taken from outside, and how far an import came. It travels nowhere."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.stores.port import Imported
from tallystick.stores.sqlite.log import LogTable


class NoteTable(LogTable):
    """``tally_imported`` and ``tally_note``."""

    def imported(self, source: str, place: str | None) -> list[Imported]:
        """What was taken from one place of a source, or from all of it."""
        where, parameters = ("", (source,)) if place is None else ("AND place = ?", (source, place))
        rows = self.database.all(
            f"SELECT source, place, uid, item, flags, digest FROM tally_imported WHERE source = ? {where}", parameters
        )
        return [Imported._make(row) for row in rows]

    def note_imported(self, imported: Iterable[Imported]) -> None:
        """Note what was taken."""
        with self.database.transaction():
            self.database.write_many("REPLACE INTO tally_imported VALUES (?, ?, ?, ?, ?, ?)", imported)

    def forget_imported(self, imported: Iterable[Imported]) -> None:
        """Take such notes back."""
        with self.database.transaction():
            self.database.write_many(
                "DELETE FROM tally_imported WHERE source = ? AND place = ? AND uid = ?", [one[:3] for one in imported]
            )

    def note(self, name: str) -> bytes | None:
        """What was kept under ``name``."""
        found = self.database.value("SELECT content FROM tally_note WHERE name = ?", (name,))
        return None if found is None else bytes(found)

    def keep_note(self, name: str, content: bytes) -> None:
        """Keep ``content`` under ``name``. Writes nothing when it is kept already."""
        if self.note(name) != content:
            with self.database.transaction():
                self.database.write("REPLACE INTO tally_note VALUES (?, ?)", (name, content))
