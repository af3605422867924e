"""Contexts: durable, named trees of files, mounted under policies (spec contexts)."""

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
    "ContextSync",
    "DeletePolicy",
    "DownloadPolicy",
    "DownloadStrategy",
    "ExtractPolicy",
    "FileUrlResult",
    "Lifecycle",
    "MappingPolicy",
    "OperationResult",
    "RecyclePolicy",
    "SyncPolicy",
    "UploadMode",
    "UploadPolicy",
    "UploadStrategy",
    "WhiteList",
]
