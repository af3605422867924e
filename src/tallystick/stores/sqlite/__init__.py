"""The port on a plain SQLite database: durable, and nothing to install."""

from __future__ import annotations

from contextlib import AbstractContextManager

from tallystick.stores.sqlite.connection import Database
from tallystick.stores.sqlite.notes import NoteTable


class SqliteRecords(NoteTable):
    """Managed records and their log in the SQLite database at ``path`` (":memory:" for one that nobody keeps).

    ``durable=False`` trades the last commits before a power cut for speed. Raises StorageError.
    """

    def __init__(self, path: str, durable: bool = True) -> None:
        super().__init__(Database(path, durable))

    def transaction(self) -> AbstractContextManager[None]:
        """A block that is committed as one when it ends, and undone when it raises."""
        return self.database.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """A block whose reads all see one moment."""
        return self.database.snapshot()

    def identity(self) -> bytes:
        """The site's permanent 16 bytes."""
        return self.site

    def version(self) -> int:
        """A number that is another one after any commit, by whatever process."""
        return self.database.version()

    def wait(self, version: int, timeout: float) -> int:
        """Return ``version()`` as soon as it differs from ``version``, or after ``timeout`` seconds."""
        return self.database.wait(version, timeout)

    @property
    def commits(self) -> int:
        """How many transactions this object has committed."""
        return self.database.commits

    def close(self) -> None:
        """Close the database."""
        self.database.close()
