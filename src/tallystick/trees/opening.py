"""Two trees opened as a pair: where its memory lies, and which of them is which (DESIGN.md 4.10, spec contexts G6).

The memory of a pair lies outside both trees and is found by what they are, in whatever order they are named: a pair
that is named the other way round must not look like two trees that never met.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from tallystick.errors import ConfigurationError, UsageError
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.ends import TreeEnd
from tallystick.trees.guards import Limits
from tallystick.trees.merging import Reconcile, Side
from tallystick.trees.options import Options
from tallystick.trees.pair import Pair
from tallystick.trees.plan import Half
from tallystick.trees.progress import Progress
from tallystick.trees.report import Report
from tallystick.trees.scope import Everything, Scope
from tallystick.trees.state import State

DIRECTIONS = ("both", "push", "pull")
CONFLICTS: Mapping[str, tuple[Reconcile, Reconcile]] = {
    "keep-both": (Reconcile.SAFE, Reconcile.SAFE),
    "newer": (Reconcile.NEWER, Reconcile.NEWER),
    "this": (Reconcile.LOCAL, Reconcile.REMOTE),
    "other": (Reconcile.REMOTE, Reconcile.LOCAL),
}
"""What a conflict policy is when the first-named tree is the local one, and when it is the remote one."""


class Wishes(NamedTuple):
    """What a synchronization of two trees is asked for, in terms of the first-named and the second-named tree.

    ``direction`` push writes the second tree only, pull the first. ``mirror`` makes the written tree equal to the
    other: the second one unless ``direction`` says pull. ``delete`` False lets a one-way run only add and replace.
    ``conflict`` is one of CONFLICTS. ``patterns`` are ignore patterns that hold from both roots, after those of
    ``.tallyignore`` files. ``allowed`` deletions pass the guards, None: any number. ``xattrs`` makes the extended
    attributes of users travel with content. The rest is as in ``Options``.
    """

    direction: str = "both"
    mirror: bool = False
    delete: bool = True
    conflict: str = "keep-both"
    patterns: Sequence[str] = ()
    ignore_files: bool = True
    scope: Scope = Everything()
    allowed: int | None = 0
    limits: Limits = Limits()
    accept_root: bool = False
    durable: bool = True
    dry_run: bool = False
    xattrs: bool = False
    progress: Progress | None = None


@dataclass(slots=True)
class OpenedPair:
    """A pair as it was named. ``turned``: the first-named tree is the remote one of the pair."""

    pair: Pair
    turned: bool
    stand_in: str | None = None
    """What holds an empty directory that stands for one that a real run would make."""

    @property
    def first(self) -> Side:
        """The role of the first-named tree."""
        return Side.REMOTE if self.turned else Side.LOCAL

    def run(self, wishes: Wishes) -> Report:
        """Bring both trees into agreement once; raises what ``Pair.run`` raises, and UsageError for odd wishes."""
        for end in (self.pair.local, self.pair.remote):
            if end.mount is not None:
                end.mount.xattrs = wishes.xattrs
        return self.pair.run(self.options(wishes))

    def options(self, wishes: Wishes) -> Options:
        """The wishes in terms of the pair. Raises UsageError when they contradict each other."""
        if wishes.direction not in DIRECTIONS or wishes.conflict not in CONFLICTS:
            raise UsageError(f"no such direction or conflict policy: {wishes.direction}, {wishes.conflict}")
        one_way = wishes.mirror or not wishes.delete
        if not wishes.delete and wishes.direction == "both":
            raise UsageError("without deletions it goes one way", hint="say --direction push (A to B) or pull")
        mode = CONFLICTS[wishes.conflict][self.turned]
        if one_way:
            mode = Reconcile.MIRROR if wishes.mirror else Reconcile.ADD
        to_remote = (wishes.direction != "pull") is not self.turned
        half = Half.WHOLE if wishes.direction == "both" else Half.UPLOAD if to_remote else Half.DOWNLOAD
        return Options(
            mode=mode,
            half=half,
            pull=not to_remote,
            scope=wishes.scope,
            patterns=wishes.patterns,
            ignore_files=wishes.ignore_files,
            limits=wishes.limits._replace(allowed=wishes.allowed or 0),
            confirm_deletions=wishes.allowed is None,
            accept_root=wishes.accept_root,
            durable=wishes.durable,
            dry_run=wishes.dry_run,
            progress=wishes.progress,
            history=self.pair.state.path.with_suffix(".history"),
        )

    def close(self) -> None:
        """Give the handles of both trees back."""
        self.pair.close()
        if self.stand_in is not None:
            import shutil

            shutil.rmtree(self.stand_in, ignore_errors=True)


def open_directories(
    first: str, second: str, state: Path | None = None, *, create: bool = True, clock: Callable[[], int] = time.time_ns
) -> OpenedPair:
    """Two directories of this machine as a pair.

    A second one that does not exist and was never synchronized is made, when the first one exists; without ``create``
    an empty one stands for it. ``state`` is the directory for memories, by default ``state_directory()``. Raises
    ConfigurationError when the first does not exist or one is no directory, UsageError when one lies in the other.
    """
    paths = [os.path.realpath(first), os.path.realpath(second)]
    check_apart(*paths)
    memory = memory_of(paths, state)
    known = State(memory).has_roots()
    stand_in = None
    for position, path in enumerate(paths):
        if os.path.isdir(path) or (known and not os.path.lexists(path)):
            continue
        if os.path.lexists(path) or not os.path.isdir(paths[1 - position]):
            raise ConfigurationError(f"{path} is no directory", hint="name two directories")
        if position == 0:
            raise ConfigurationError(f"there is no directory {path}", hint="check the path; only the second is created")
        if create:
            os.makedirs(path)
        else:
            import tempfile

            stand_in = tempfile.mkdtemp(prefix="tallystick-")
            paths[position], memory = os.path.join(stand_in, "tree"), Path(stand_in, "memory.db")
            os.mkdir(paths[position])
    ends = [DirectoryEnd(path, clock) for path in paths]
    opened = open_pair(ends[0], ends[1], memory, turned=os.fsencode(paths[0]) > os.fsencode(paths[1]), clock=clock)
    opened.stand_in = stand_in
    return opened


def open_pair(
    first: TreeEnd, second: TreeEnd, memory: Path, *, turned: bool = False, clock: Callable[[], int] = time.time_ns
) -> OpenedPair:
    """Any two ends as a pair with a memory; ``turned`` makes the first the remote one."""
    for end in (first, second):
        if end.mount is not None:
            end.mount.token = memory.stem[:12]  # so that pairs that share a tree leave each other's files alone
    local, remote = (second, first) if turned else (first, second)
    return OpenedPair(Pair(local, remote, State(memory), clock), turned)


def check_apart(first: str, second: str) -> None:
    """Raise UsageError when one path is the other or lies in it."""
    one, other = sorted((first, second), key=len)
    if other == one or other.startswith(one.rstrip("/") + "/"):
        raise UsageError(f"{other} is or lies in {one}", hint="name two directories, none of them in the other")


def memory_of(names: Sequence[str], state: Path | None = None) -> Path:
    """The file that remembers what two trees agreed on; the order of their names does not matter."""
    key = b"\0".join(sorted(os.fsencode(name) for name in names))
    return (state or state_directory()) / f"{blake3(key).hexdigest()[:32]}.db"


def state_directory() -> Path:
    """Where memories lie unless somebody says otherwise: ``tallystick/trees`` in the XDG state directory."""
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    return base / "tallystick" / "trees"


def synchronize(first: str, second: str, wishes: Wishes | None = None, state: Path | None = None) -> Report:
    """Bring two directories into agreement once; the same as ``tallystick sync FIRST SECOND``.

    What failed, is held back or in conflict is in the report. Raises what ``open_directories`` and ``Pair.run`` raise.
    """
    chosen = wishes or Wishes()
    opened = open_directories(first, second, state, create=not chosen.dry_run)
    try:
        return opened.run(chosen)
    finally:
        opened.close()
