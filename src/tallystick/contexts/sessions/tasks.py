"""Tasks of a session: one upload or download of one binding, and the rows that tell of it (spec contexts B.12)."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PENDING, RUNNING, SUCCESS, FAILED = "Pending", "Running", "Success", "Failed"
UPLOAD, DOWNLOAD = "upload", "download"

_WIRE_NAMES = {
    "context_id": "contextId",
    "path": "path",
    "error_message": "errorMessage",
    "status": "status",
    "start_time": "startTime",
    "finish_time": "finishTime",
    "task_type": "taskType",
}


@dataclass(slots=True)
class ContextStatusData:
    """One task as it is by now. Times are Unix seconds, 0 for not yet; ``Success`` and ``Failed`` are final.

    ``conflicts`` are paths that both sides had changed, ``held`` deletions that a guard keeps back, ``skipped`` paths
    that are left alone on purpose; ``warnings`` say why. ``version`` is the manifest that the task ended with.
    """

    context_id: str
    path: str
    task_type: str
    error_message: str = ""
    status: str = PENDING
    start_time: int = 0
    finish_time: int = 0
    task_id: str = field(default_factory=lambda: f"task-{uuid.uuid4().hex[:16]}")
    version: str = ""
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    conflicts: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """True when the task has ended, well or not."""
        return self.status in (SUCCESS, FAILED)

    def to_dict(self) -> dict[str, Any]:
        """The row in its wire form."""
        return {wire: getattr(self, name) for name, wire in _WIRE_NAMES.items()}


class Task:
    """A row and an event that is set when it is final. Written by the session's thread, read by others."""

    def __init__(self, row: ContextStatusData) -> None:
        self.row = row
        self.ended = threading.Event()


def status_document(rows: Iterable[ContextStatusData]) -> str:
    """Rows in the nested wire form: a JSON text that holds a JSON text (T2)."""
    return json.dumps([{"type": "data", "data": json.dumps([row.to_dict() for row in rows], ensure_ascii=False)}])


def rows_of(document: str) -> list[ContextStatusData]:
    """The rows of a status document; none for one that cannot be read, which no wait takes for done (A.3)."""
    try:
        parts = [part["data"] for part in json.loads(document) if part["type"] == "data"]
        return [_row(found) for part in parts for found in json.loads(part)]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def _row(found: Mapping[str, Any]) -> ContextStatusData:
    given = {name: found[wire] for name, wire in _WIRE_NAMES.items() if wire in found}
    return ContextStatusData(**given)
