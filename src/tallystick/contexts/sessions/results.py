"""What the calls of a session give back (spec contexts A.3): failures are returned with ``[Code] Message``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tallystick.contexts.results import Result
from tallystick.contexts.sessions.tasks import ContextStatusData

if TYPE_CHECKING:
    from tallystick.contexts.sessions.session import Session


@dataclass(slots=True)
class ContextBinding:
    """One mounted context; ``policy`` is its policy as JSON text, ``bind_time`` Unix seconds."""

    context_id: str
    context_name: str
    path: str
    policy: str
    bind_time: int

    def to_dict(self) -> dict[str, Any]:
        """The binding in its wire form."""
        return {
            "ContextId": self.context_id,
            "ContextName": self.context_name,
            "Path": self.path,
            "Policy": self.policy,
            "BindTime": self.bind_time,
        }


@dataclass(slots=True)
class ContextBindResult(Result):
    """Whether all contexts were mounted and, if awaited, downloaded; the tasks that this call began."""

    task_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ContextBindingsResult(Result):
    """The bindings of a session, in the order in which they were made."""

    bindings: list[ContextBinding] = field(default_factory=list)


@dataclass(slots=True)
class ContextInfoResult(Result):
    """The tasks of a session, the oldest first."""

    context_status_data: list[ContextStatusData] = field(default_factory=list)


@dataclass(slots=True)
class ContextSyncResult(Result):
    """Whether every task of this call ended well; ``task_ids`` are those tasks."""

    task_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PlannedAction:
    """One thing that a synchronization would do: ``put``, ``make``, ``graft``, ``permit`` or ``remove``.

    ``side`` is "mount" or "store"; ``held`` says why a guard would keep it back.
    """

    verb: str
    side: str
    path: str
    reason: str
    held: str = ""


@dataclass(slots=True)
class PlanResult(Result):
    """What a synchronization would do, by mount path."""

    actions: dict[str, list[PlannedAction]] = field(default_factory=dict)


@dataclass(slots=True)
class SessionResult(Result):
    """A session. After a failed first download it comes with ``success`` False."""

    session: Session | None = None


@dataclass(slots=True)
class DeleteResult(Result):
    """Whether a session was released. ``release_failed`` and ``timed_out`` ones keep their files, to try again.

    ``rows`` are those of its uploads, as ``info`` gave them.
    """

    release_failed: bool = False
    timed_out: bool = False
    lost: list[str] = field(default_factory=list)
    rows: list[ContextStatusData] = field(default_factory=list)
