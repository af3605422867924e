"""What a side is told to carry out, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tallystick.errors import StorageError
from tallystick.trees.bulk import Copied
from tallystick.trees.listing import Entry
from tallystick.trees.nodes import Leaf
from tallystick.trees.progress import Progress

if TYPE_CHECKING:
    from tallystick.trees.intending import Intending


@dataclass(slots=True)
class Outcome:
    """What became of the actions of one side.

    ``entries`` are the new entries of the side's listings by directory, ``made`` the directories that are new,
    ``gone`` the paths that are not there any more, ``taken`` the leaves that were placed, ``given`` what the source
    should note, ``failed`` why a path was left as it was. ``bulk`` are directories that were carried over as
    listed, ``grafted`` all that came with a whole subtree.
    """

    entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    taken: dict[str, Leaf] = field(default_factory=dict)
    given: dict[str, Entry] = field(default_factory=dict)
    failed: dict[str, StorageError] = field(default_factory=dict)
    bulk: dict[str, Copied] = field(default_factory=dict)
    grafted: set[str] = field(default_factory=set)
    bytes: int = 0

    @property
    def files(self) -> int:
        """How many leaves were placed."""
        return len(self.taken) + sum(copied.files for copied in self.bulk.values())

    def note(self, path: str, entry: Entry) -> None:
        """Remember the entry that stands at a path now."""
        self.entries.setdefault(path.rpartition("/")[0], {})[entry.name] = entry


@dataclass(slots=True)
class Orders:
    """How to carry out: ``moves`` maps new paths to old ones on this side, ``relocated`` paths of the other side to
    where their content stands by now; ``keep`` puts what will be lost into history; ``progress`` counts;
    ``intending`` is told what is about to stand, before it does.
    """

    clock: Callable[[], int]
    durable: bool = True
    moves: Mapping[str, str] = field(default_factory=dict)
    relocated: Mapping[str, str] = field(default_factory=dict)
    keep: Callable[[str], None] | None = None
    progress: Progress | None = None
    intending: Intending | None = None
