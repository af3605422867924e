"""Permitting and removing on one side: only what is still as it was noted (spec contexts L5)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial

from tallystick.trees.listing import DISTRUST, Mark, same_file, settled_stats, stats_of
from tallystick.trees.nodes import Directory, Leaf, joined
from tallystick.trees.plan import Action
from tallystick.trees.problems import TargetChanged
from tallystick.trees.target import Target


class Remover:
    """What loses its name on a target, or other permissions.

    ``moved_away`` are old paths of files that were renamed in one step. ``linked`` gives the stats of files that have a
    second name by now, by their old path, and ``successors`` that second name.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.mount, self.files, self.outcome = target.mount, target.files, target.outcome
        self.moved_away: set[str] = set()
        self.linked: dict[str, Sequence[int]] = {}
        self.successors: dict[str, str] = {}

    def permit(self, action: Action) -> None:
        """Change the permission bits of a file that is still what was noted."""
        self.target.attempt(action.path, lambda: self._permit(action))

    def _permit(self, action: Action) -> None:
        assert isinstance(action.node, Leaf)
        noted = self.target.noted(action.path)
        at, name = self.mount.split(action.path)
        handle = self.files.open_read(name, at)
        try:
            if noted is None or not same_file(noted.stats, stats_of(self.files.status_of(handle))):
                raise TargetChanged(f"[TargetChanged] {action.path!r} was changed meanwhile")
            self.files.permit(handle, action.node.permissions)
            stats = stats_of(self.files.status_of(handle))
            if stats[1:4] != tuple(noted.stats[1:4]):
                raise TargetChanged(f"[TargetChanged] {action.path!r} was changed meanwhile")
        finally:
            self.files.close(handle)
        settled = settled_stats(stats, self.target.orders.clock(), ours=True)
        self.outcome.note(action.path, noted._replace(stats=settled))

    def remove(self, action: Action) -> None:
        """Remove a leaf or a directory with everything in it that is as it was noted."""
        if action.path not in self.moved_away:  # else it has its new name already
            self.target.attempt(action.path, lambda: self._remove(action))

    def _remove(self, action: Action) -> None:
        self.target.keep(action.path)
        if isinstance(action.node, Directory):
            self.remove_directory(action.path)
        else:
            self.remove_leaf(action.path)

    def remove_leaf(self, path: str) -> None:
        """Remove a file or link. Raises TargetChanged when it is not what was noted."""
        if path in self.moved_away:
            return
        noted = self.target.noted(path)
        if noted is None:
            raise TargetChanged(f"[TargetChanged] {path!r} is not known here")
        at, name = self.mount.split(path)
        self.mount.remove_checked(at, name, self.linked.get(path, noted.stats))
        self.outcome.gone.add(path)
        if path in self.successors:
            self._note_again(self.successors[path])

    def _note_again(self, path: str) -> None:
        """A file lost its other name, which moved its ctime: what was noted of it follows."""
        parent, _, name = path.rpartition("/")
        entry = self.outcome.entries.get(parent, {}).get(name)
        if entry is not None and entry.stats[4] != DISTRUST:
            at, _ = self.mount.split(path)
            self.outcome.note(path, self.target.as_published(entry, at, name))

    def remove_directory(self, path: str) -> None:
        """Remove a directory from its leaves up. Raises TargetChanged when it holds anything but what was noted."""
        listing = self.target.listing_of(path)
        if listing is None:
            raise TargetChanged(f"[TargetChanged] {path!r} is not known here")
        whole = True
        for entry in listing:
            inner = joined(path, entry.name)
            if entry.mark in (Mark.INVISIBLE, Mark.UNKNOWN):
                whole = False
                continue
            remove = self.remove_directory if entry.mark == Mark.DIRECTORY else self.remove_leaf
            whole = self.target.attempt(inner, partial(remove, inner)) and whole
        if not whole:
            raise TargetChanged(f"[TargetChanged] {path!r} holds something that changed meanwhile")
        self.mount.forget(path)
        at, name = self.mount.split(path)
        try:
            self.files.remove_directory(name, at)
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise TargetChanged(f"[TargetChanged] {path!r} holds something new") from None
        self.outcome.gone.add(path)
