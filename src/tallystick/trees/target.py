"""The directory that actions are carried out on, and what becomes of them there."""

from __future__ import annotations

import errno
from collections.abc import Callable

from tallystick.errors import StorageError
from tallystick.trees.files import Handle
from tallystick.trees.listing import DISTRUST, Entry, Listing, same_file, settled_stats, stats_of
from tallystick.trees.mount import Mount
from tallystick.trees.nodes import ancestors
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.problems import TargetChanged, storage_error


class Target:
    """A mounted directory, what the scan noted of it, and the outcome of what was ordered so far.

    ``listing_of`` gives what was noted of a directory; None where nothing was.
    """

    def __init__(self, mount: Mount, listing_of: Callable[[str], Listing | None], orders: Orders) -> None:
        self.mount = mount
        self.files = mount.files
        self.listing_of = listing_of
        self.orders = orders
        self.outcome = Outcome()

    def noted(self, path: str) -> Entry | None:
        """What the scan found at a path."""
        parent, _, name = path.rpartition("/")
        listing = self.listing_of(parent)
        return None if listing is None else listing.find(name)

    def keep(self, path: str) -> None:
        """Put what is about to be lost at a path into history, as far as it was ordered."""
        if self.orders.keep is not None:
            self.orders.keep(path)

    def has_failed_above(self, path: str) -> bool:
        """True when a directory above the path could not be made."""
        return bool(self.outcome.failed) and not self.outcome.failed.keys().isdisjoint(ancestors(path))

    def attempt(self, path: str, work: Callable[[], None], quietly: bool = False) -> bool:
        """Do it; when it fails, remember why (unless ``quietly``) and go on with the rest."""
        try:
            work()
        except StorageError as problem:
            if not quietly:
                self.outcome.failed[path] = problem
            return False
        except OSError as problem:
            if not quietly:
                self.outcome.failed[path] = self._named(path, problem)
            return False
        return True

    def as_published(self, staged: Entry, at: Handle, name: str) -> Entry:
        """The entry as it is noted: what somebody put in its place since is not ours, and is seen by the next scan."""
        try:
            found = stats_of(self.files.status(name, at))
        except FileNotFoundError:
            found = None
        if found is None or not same_file(staged.stats, found, renamed=True):
            return staged._replace(stats=(*staged.stats[:4], DISTRUST))
        return staged._replace(stats=settled_stats(found, self.orders.clock(), ours=True))

    def _named(self, path: str, problem: OSError) -> StorageError:
        if problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return TargetChanged(f"[TargetChanged] {path!r}: {problem.strerror}")
        return storage_error(path, problem, writing_to=self.mount.root)
