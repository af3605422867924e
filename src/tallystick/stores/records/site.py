"""The port on a site's database, SQLite or PostgreSQL."""

from __future__ import annotations

from contextlib import AbstractContextManager

from tallystick.site.ledger import Ledger
from tallystick.stores.records.observing import Observing
from tallystick.stores.records.session import Session


class SiteRecords(Observing):
    """Managed records and their log in the database of ``ledger``; see ``stores.port.Records``.

    Its tables are made when they are missing. Raises ConfigurationError when they are of a newer release.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(Session(ledger))
        self.session.observe = self.observe

    def transaction(self) -> AbstractContextManager[None]:
        """A block that is committed as one when it ends, and undone when it raises."""
        return self.session.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """A block whose reads all see one moment."""
        return self.session.snapshot()

    def identity(self) -> bytes:
        """The site's permanent 16 bytes."""
        return bytes.fromhex(self.session.ledger.site)

    def version(self) -> int:
        """A number that is another one after any commit of a change, by whatever process."""
        return self.session.version()

    def wait(self, version: int, timeout: float) -> int:
        """Return ``version()`` as soon as it differs from ``version``, or after ``timeout`` seconds."""
        return self.session.wait(version, timeout)

    def wake(self) -> None:
        """Let a ``wait`` that is under way return."""
        self.session.wake()

    @property
    def commits(self) -> int:
        """How many transactions this object has committed."""
        return self.session.commits

    def close(self) -> None:
        """Close the database."""
        self.session.close()
