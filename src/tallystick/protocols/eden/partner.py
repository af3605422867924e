"""What the active side holds on to while it talks to one peer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tallystick.core.policies import Resolution
from tallystick.errors import TallystickError
from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.elements import Document
from tallystick.protocols.eden.codec.replies import PushReply
from tallystick.protocols.eden.items import Imported
from tallystick.protocols.eden.store import Clock, EdenStore, LogEntry, Repository, Result, Task
from tallystick.sync.guards import DEFAULT_GUARD, Guard

_BLIND = (Resolution.THIS, Resolution.OTHER)


@dataclass(frozen=True, slots=True)
class Transferred:
    """What one direction of a task did: the error, if it failed, and the newest time of change transferred.

    ``held`` are deletions that the guard held back, by table: they, and what changes meanwhile, come again with the
    next run. ``unsent`` says which records the sending side cannot send.
    """

    error: TallystickError | None = None
    mtime: datetime | None = None
    imported: Imported | None = None
    reply: PushReply | None = None
    held: dict[str, int] = field(default_factory=dict)
    unsent: Sequence[str] = ()


@dataclass(slots=True)
class Partner:
    """This site's store and one peer. ``guard`` looks at every deletion that comes or goes."""

    store: EdenStore
    peer: EdenPeer
    repository: Repository
    clock: Clock
    guard: Guard = DEFAULT_GUARD
    archives: dict[str, dict[str, Document]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the peer is called here: the source of its records."""
        return self.repository.uuid or self.repository.url or self.repository.name

    def log(
        self,
        resource: str | None,
        mode: str,
        action: str,
        result: Result,
        message: str,
        *,
        remote: bool = False,
        idle: bool = False,
    ) -> None:
        """Note an action of ours."""
        entry = LogEntry(self.clock(), self.name, resource, mode, "outgoing", action, result, remote, message, idle)
        self.store.log(entry)


def is_blind(task: Task) -> bool:
    """True for a task that transfers the whole table, whatever was transferred before: THIS and OTHER (section 4.1)."""
    return task.update.default in _BLIND
