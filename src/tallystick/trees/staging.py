"""What one batch has staged and not published yet (spec contexts L5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tallystick.trees.bulk import Copied
from tallystick.trees.contents import Contents
from tallystick.trees.copying import Copy
from tallystick.trees.listing import Entry
from tallystick.trees.nodes import Leaf
from tallystick.trees.steps import Step


@dataclass(slots=True)
class Batch:
    """What is staged: steps by path, where their directories stand for now, and which names are to be given.

    ``inside`` lists, for every step that gets its name by a rename, all steps that appear with it.
    """

    steps: dict[str, Step] = field(default_factory=dict)
    directories: dict[str, str] = field(default_factory=dict)
    published: list[tuple[Step, str]] = field(default_factory=list)
    inside: dict[str, list[str]] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    bulk: dict[str, Copied] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    jobs: dict[int, tuple[Contents, dict[str, list[Copy]]]] = field(default_factory=dict)

    def add(self, step: Step, parent: str, name: str, temporary: Callable[[], str]) -> tuple[str, str]:
        """The directory to stage a step in, and its name there: temporary unless its directory is staged too."""
        self.steps[step.path] = step
        root = self.roots.get(parent) if parent in self.directories else None
        if root is None:
            root = step.path
            name = temporary()
            self.published.append((step, name))
            self.inside[root] = []
        self.inside[root].append(step.path)
        if step.leaf is None:
            self.roots[step.path] = root
        return self.directories.get(parent, parent), name

    def job(self, source: Contents, directory: str) -> list[Copy]:
        """The copies of one source into one directory."""
        return self.jobs.setdefault(id(source), (source, {}))[1].setdefault(directory, [])
