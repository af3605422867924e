"""What one run of a pair did, or would do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tallystick.errors import StorageError
from tallystick.trees.merging import Conflict
from tallystick.trees.packed_actions import unpacked_actions
from tallystick.trees.plan import Action, Plan


@dataclass(slots=True)
class Report:
    """What a run did, or (``dry_run``) would do. Paths are relative to the roots.

    ``exchanged``: the sides of actions and reasons are roles, and the pair's remote tree had that of the local one.
    ``files`` and ``bytes`` were written, ``removals`` are the actions that remove. ``beside`` are those of another
    process, packed until somebody asks for ``actions``.
    """

    plan: Plan
    dry_run: bool
    exchanged: bool = False
    beside: bytes = b""
    files: int = 0
    bytes: int = 0
    removals: int = 0
    failed: dict[str, StorageError] = field(default_factory=dict)
    warnings: list[tuple[str, str, str]] = field(default_factory=list)
    rescued: list[str] = field(default_factory=list)
    kept: dict[str, Path] = field(default_factory=dict)
    entries: int = 0

    @property
    def actions(self) -> list[Action]:
        """Everything that was planned and not held back."""
        if self.beside:
            self.plan.actions.extend(unpacked_actions(self.beside))
            self.beside = b""
        return self.plan.actions

    @property
    def idle(self) -> bool:
        """True when there was nothing to do, and nothing that nobody could look at."""
        return not (self.plan.actions or len(self.beside) or self.held or self.failed or self.plan.unknown)

    @property
    def conflicts(self) -> list[Conflict]:
        """Paths that both sides had changed."""
        return self.plan.conflicts

    @property
    def held(self) -> list[tuple[Action, str]]:
        """Deletions that a guard holds back, with its reason."""
        return self.plan.held

    @property
    def blocked(self) -> list[str]:
        """Directories that stay because they hold something out of scope or unreadable."""
        return self.plan.blocked

    @property
    def succeeded(self) -> bool:
        """True when nothing is left to do, nothing was held back and nothing could not be read."""
        return not (self.failed or self.held or self.plan.unknown)
