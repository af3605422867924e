"""What loses its name and stands nowhere else: kept beside the memory of a pair for a while (spec contexts X3).

Newer, this and other let one of two changed versions win, a mirror replaces what its target has of its own: the loser
is copied here before it goes, under the time of the run and its path.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tallystick.trees.contents import Contents, Wanted
from tallystick.trees.nodes import Kind, Leaf
from tallystick.trees.problems import storage_error

RETENTION_DAYS = 30
_DAY_NS = 86_400 * 10**9
_FORM = "%Y%m%dT%H%M%S.%fZ"


class History:
    """The losers of one run, and where each of them lies now (``kept``)."""

    def __init__(self, directory: Path, now_ns: int) -> None:
        self.directory = directory
        self.run = directory / datetime.fromtimestamp(now_ns / 1e9, UTC).strftime(_FORM)
        self.kept: dict[str, Path] = {}

    def keep(self, source: Contents, path: str, leaf: Leaf) -> None:
        """Copy one leaf here. Raises StorageError when that fails: then it must not be replaced."""
        target = self.run / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if leaf.kind is Kind.LINK:
                target.symlink_to(source.link_target(Wanted(path, leaf)))
            else:
                self._copy(source, path, leaf, target)
        except OSError as problem:
            raise storage_error(str(target), problem) from problem
        self.kept[path] = target

    def _copy(self, source: Contents, path: str, leaf: Leaf, target: Path) -> None:
        with open(target, "wb") as file:

            def sink(data: bytes) -> None:
                file.write(data)

            def restart() -> None:
                file.seek(0)
                file.truncate()

            given = source.give(Wanted(path, leaf), sink, restart)
            file.flush()
            os.fsync(file.fileno())
        os.utime(target, ns=(given.mtime_ns, given.mtime_ns))


def purge(directory: Path, now_ns: int, days: int = RETENTION_DAYS) -> Sequence[Path]:
    """Remove runs older than ``days``; returns them."""
    gone = []
    for run in sorted(directory.iterdir()) if directory.is_dir() else ():
        try:
            made = datetime.strptime(run.name, _FORM).replace(tzinfo=UTC)
        except ValueError:
            continue
        if made.timestamp() * 1e9 < now_ns - days * _DAY_NS:
            import shutil

            shutil.rmtree(run, ignore_errors=True)
            gone.append(run)
    return gone
