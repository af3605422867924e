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

__all__ = [
    "BWList",
    "ContextSync",
    "DeletePolicy",
    "DownloadPolicy",
    "DownloadStrategy",
    "ExtractPolicy",
    "Lifecycle",
    "MappingPolicy",
    "RecyclePolicy",
    "SyncPolicy",
    "UploadMode",
    "UploadPolicy",
    "UploadStrategy",
    "WhiteList",
]
