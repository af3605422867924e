"""Contexts: durable, named trees of files, mounted under policies (spec contexts)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tallystick.contexts.choices import DownloadStrategy, Lifecycle, UploadMode, UploadStrategy
    from tallystick.contexts.context_sync import ContextSync
    from tallystick.contexts.policies import (
        BWList,
        DeletePolicy,
        DownloadPolicy,
        ExtractPolicy,
        MappingPolicy,
        RecyclePolicy,
        SyncPolicy,
        UploadPolicy,
        WhiteList,
    )
    from tallystick.contexts.problems import ClearanceTimeoutError
    from tallystick.contexts.results import (
        ClearContextResult,
        Context,
        ContextFileEntry,
        ContextFileListResult,
        ContextListParams,
        ContextListResult,
        ContextResult,
        FileUrlResult,
        OperationResult,
    )
    from tallystick.contexts.service import ContextService
    from tallystick.contexts.sessions.session import CreateSessionParams, Session
    from tallystick.contexts.sessions.tasks import ContextStatusData

__all__ = [
    "BWList",
    "ClearContextResult",
    "ClearanceTimeoutError",
    "Context",
    "ContextFileEntry",
    "ContextFileListResult",
    "ContextListParams",
    "ContextListResult",
    "ContextResult",
    "ContextService",
    "ContextStatusData",
    "ContextSync",
    "CreateSessionParams",
    "DeletePolicy",
    "DownloadPolicy",
    "DownloadStrategy",
    "ExtractPolicy",
    "FileUrlResult",
    "Lifecycle",
    "MappingPolicy",
    "OperationResult",
    "RecyclePolicy",
    "Session",
    "SyncPolicy",
    "UploadMode",
    "UploadPolicy",
    "UploadStrategy",
    "WhiteList",
]

_MODULES = {
    "BWList": "policies",
    "ClearContextResult": "results",
    "ClearanceTimeoutError": "problems",
    "Context": "results",
    "ContextFileEntry": "results",
    "ContextFileListResult": "results",
    "ContextListParams": "results",
    "ContextListResult": "results",
    "ContextResult": "results",
    "ContextService": "service",
    "ContextStatusData": "sessions.tasks",
    "ContextSync": "context_sync",
    "CreateSessionParams": "sessions.session",
    "DeletePolicy": "policies",
    "DownloadPolicy": "policies",
    "DownloadStrategy": "choices",
    "ExtractPolicy": "policies",
    "FileUrlResult": "results",
    "Lifecycle": "choices",
    "MappingPolicy": "policies",
    "OperationResult": "results",
    "RecyclePolicy": "policies",
    "Session": "sessions.session",
    "SyncPolicy": "policies",
    "UploadMode": "choices",
    "UploadPolicy": "policies",
    "UploadStrategy": "choices",
    "WhiteList": "policies",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is asked for: who synchronizes a directory needs none of the policies."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
