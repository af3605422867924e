"""What the context service gives back (spec contexts A.2): failures are returned, never raised, unless it says so."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Context:
    """A context. Times are ISO-8601 in UTC."""

    id: str
    name: str
    created_at: str = ""
    last_used_at: str = ""


@dataclass(slots=True)
class Result:
    """What every result says; ``error_message`` has the form ``[Code] Message``."""

    request_id: str = ""
    success: bool = False
    error_message: str = ""


@dataclass(slots=True)
class ContextResult(Result):
    """One context; ``context_id`` is "" where there is none."""

    context_id: str = ""
    context: Context | None = None


@dataclass(slots=True)
class ContextListParams:
    """What ``list`` is asked for. Unset: ten a page, from the first, of all sessions."""

    max_results: int | None = None
    next_token: str | None = None
    session_id: str | None = None


@dataclass(slots=True)
class ContextListResult(Result):
    """A page of contexts; ``next_token`` is "" on the last one."""

    contexts: list[Context] = field(default_factory=list)
    next_token: str = ""
    max_results: int = 0
    total_count: int = 0


@dataclass(slots=True)
class OperationResult(Result):
    """Whether something was done."""


@dataclass(slots=True)
class FileUrlResult(Result):
    """A URL for a plain PUT or GET, and the Unix second at which it ends."""

    url: str = ""
    expire_time: int | None = None


@dataclass(slots=True)
class ContextFileEntry:
    """One entry of a folder. ``file_path`` is the full key, ``file_type`` FILE or FOLDER; times ISO-8601 in UTC."""

    file_id: str
    file_name: str
    file_path: str
    file_type: str
    gmt_create: str
    gmt_modified: str
    size: int
    status: str = "available"


@dataclass(slots=True)
class ContextFileListResult(Result):
    """A part of one level, and how many entries the level has."""

    entries: list[ContextFileEntry] = field(default_factory=list)
    count: int = 0
    next_token: str = ""


@dataclass(slots=True)
class ClearContextResult(Result):
    """How far clearing is: clearing, available, in-use, pre-available."""

    status: str = ""
    context_id: str = ""
