"""The policies of a mounted context (spec contexts A.1).

Names, defaults, wire keys and messages follow the published interface; validation runs in the constructor and on
every assignment, and always on the whole object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tallystick.contexts.choices import DownloadStrategy, Lifecycle, UploadMode, UploadStrategy
from tallystick.contexts.policy import (
    Policy,
    PolicyTypeError,
    PolicyValueError,
    choice_of,
    require_choice,
    require_list,
    require_type,
    wildcard_in,
)


@dataclass
class UploadPolicy(Policy):
    """When and how files go up. ``archive_exclude_paths`` stay loose files in Archive mode (spec contexts B.2)."""

    auto_upload: bool = True
    upload_strategy: UploadStrategy | None = UploadStrategy.UPLOAD_BEFORE_RESOURCE_RELEASE
    upload_mode: UploadMode = UploadMode.FILE
    archive_exclude_paths: list[str] = field(default_factory=list)

    wire_names: ClassVar[Mapping[str, str]] = {
        "auto_upload": "autoUpload",
        "upload_strategy": "uploadStrategy",
        "upload_mode": "uploadMode",
        "archive_exclude_paths": "archiveExcludePaths",
    }

    def _check(self) -> None:
        require_type(self, "auto_upload", kind=bool, wanted="True or False")
        require_choice(self, "upload_strategy", UploadStrategy, optional=True)
        require_choice(self, "upload_mode", UploadMode)
        require_list(self, "archive_exclude_paths")

    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The wire form: excluded paths travel only where they mean something."""
        wire = super().__dict__()
        if self.upload_mode is not UploadMode.ARCHIVE or not self.archive_exclude_paths:
            del wire["archiveExcludePaths"]
        return wire

    def to_dict(self) -> dict[str, Any]:
        """The complete form: excluded paths wherever there are any."""
        document = super().to_dict()
        if not self.archive_exclude_paths:
            del document["archiveExcludePaths"]
        return document

    @classmethod
    def _from_wire(cls, name: str, value: Any) -> Any:
        if name == "upload_strategy" and value is not None:
            return choice_of(UploadStrategy, value)
        return choice_of(UploadMode, value) if name == "upload_mode" else value


@dataclass
class DownloadPolicy(Policy):
    """When files come down (spec contexts B.3)."""

    auto_download: bool = True
    download_strategy: DownloadStrategy | None = DownloadStrategy.DOWNLOAD_ASYNC

    wire_names: ClassVar[Mapping[str, str]] = {
        "auto_download": "autoDownload",
        "download_strategy": "downloadStrategy",
    }

    def _check(self) -> None:
        require_type(self, "auto_download", kind=bool, wanted="True or False")
        require_choice(self, "download_strategy", DownloadStrategy, optional=True)

    @classmethod
    def _from_wire(cls, name: str, value: Any) -> Any:
        if name == "download_strategy" and value is not None:
            return choice_of(DownloadStrategy, value)
        return value


@dataclass
class DeletePolicy(Policy):
    """Whether a local deletion deletes in the store (spec contexts B.4)."""

    sync_local_file: bool = True

    wire_names: ClassVar[Mapping[str, str]] = {"sync_local_file": "syncLocalFile"}

    def _check(self) -> None:
        require_type(self, "sync_local_file", kind=bool, wanted="True or False")


@dataclass
class ExtractPolicy(Policy):
    """Whether archives that arrive are unpacked, where, and whether they stay (spec contexts B.5)."""

    extract: bool = True
    delete_src_file: bool = True
    extract_current_folder: bool = False

    wire_names: ClassVar[Mapping[str, str]] = {
        "extract": "extract",
        "delete_src_file": "deleteSrcFile",
        "extract_current_folder": "extractToCurrentFolder",
    }

    def _check(self) -> None:
        require_type(self, *self.wire_names, kind=bool, wanted="True or False")


@dataclass
class RecyclePolicy(Policy):
    """How long the store keeps unmodified files below ``paths`` (spec contexts B.6)."""

    lifecycle: Lifecycle = Lifecycle.LIFECYCLE_FOREVER
    paths: list[str] = field(default_factory=lambda: [""])

    wire_names: ClassVar[Mapping[str, str]] = {"lifecycle": "lifecycle", "paths": "paths"}

    def _check(self) -> None:
        require_choice(self, "lifecycle", Lifecycle)
        require_list(self, "paths")
        for path in self.paths:
            if wildcard_in(path):
                raise PolicyValueError(
                    f"Wildcard patterns are not supported in recycle policy paths. Got: {path}. "
                    "Please use exact directory paths instead."
                )

    @classmethod
    def _from_wire(cls, name: str, value: Any) -> Any:
        return choice_of(Lifecycle, value) if name == "lifecycle" else value


@dataclass
class WhiteList(Policy):
    """A path to take in, and paths below it to leave out; each literal or a regular expression (spec contexts B.7)."""

    path: str = ""
    exclude_paths: list[str] = field(default_factory=list)
    is_path_regex: bool = False
    is_exclude_regex: bool = False

    wire_names: ClassVar[Mapping[str, str]] = {
        "path": "path",
        "exclude_paths": "excludePaths",
        "is_path_regex": "isPathRegex",
        "is_exclude_regex": "isExcludeRegex",
    }

    def _check(self) -> None:
        require_type(self, "path", kind=str, wanted="a string")
        require_list(self, "exclude_paths")
        require_type(self, "is_path_regex", "is_exclude_regex", kind=bool, wanted="True or False")
        _check_pattern("path", self.path, self.is_path_regex)
        for path in self.exclude_paths:
            _check_pattern("exclude_paths", path, self.is_exclude_regex)


def _check_pattern(name: str, value: str, is_regex: bool) -> None:
    if is_regex:
        try:
            re.compile(value)
        except (re.error, RecursionError, OverflowError) as problem:
            raise PolicyValueError(f"Invalid regular expression in {name}: {value!r} ({problem})") from None
    elif wildcard_in(value):
        raise PolicyValueError(
            f"Wildcard patterns are not supported in {name}. Got: {value}. "
            "Please use exact directory paths, or set the regular expression flag."
        )


@dataclass
class BWList(Policy):
    """The white lists of a mount: their union is in scope; none means everything (spec contexts B.7)."""

    white_lists: list[WhiteList] = field(default_factory=list)

    wire_names: ClassVar[Mapping[str, str]] = {"white_lists": "whiteLists"}

    def _complete(self) -> None:
        given: object = self.white_lists
        if given is None:
            object.__setattr__(self, "white_lists", [])

    def _check(self) -> None:
        require_list(self, "white_lists", kind=WhiteList)

    @classmethod
    def _from_wire(cls, name: str, value: Any) -> Any:
        return [WhiteList.from_dict(entry) for entry in value] if isinstance(value, list) else value


@dataclass
class MappingPolicy(Policy):
    """Where the files were first stored, in the spelling of that operating system (spec contexts B.8)."""

    path: str = ""

    wire_names: ClassVar[Mapping[str, str]] = {"path": "path"}

    def _check(self) -> None:
        require_type(self, "path", kind=str, wanted="a string")


PARTS: Mapping[str, type[Policy]] = {
    "upload_policy": UploadPolicy,
    "download_policy": DownloadPolicy,
    "delete_policy": DeletePolicy,
    "extract_policy": ExtractPolicy,
    "recycle_policy": RecyclePolicy,
    "bw_list": BWList,
    "mapping_policy": MappingPolicy,
}
"""The class of every part of a SyncPolicy."""


@dataclass
class SyncPolicy(Policy):
    """All policies of one mount; missing parts take their defaults, except the mapping, which stays absent."""

    upload_policy: UploadPolicy | None = None
    download_policy: DownloadPolicy | None = None
    delete_policy: DeletePolicy | None = None
    extract_policy: ExtractPolicy | None = None
    recycle_policy: RecyclePolicy | None = None
    bw_list: BWList | None = None
    mapping_policy: MappingPolicy | None = None

    wire_names: ClassVar[Mapping[str, str]] = {
        "upload_policy": "uploadPolicy",
        "download_policy": "downloadPolicy",
        "delete_policy": "deletePolicy",
        "extract_policy": "extractPolicy",
        "recycle_policy": "recyclePolicy",
        "bw_list": "bwList",
        "mapping_policy": "mappingPolicy",
    }

    def _complete(self) -> None:
        for name, part in PARTS.items():
            if getattr(self, name) is None and part is not MappingPolicy:
                missing = BWList([WhiteList("")]) if part is BWList else part()
                object.__setattr__(self, name, missing)

    def _check(self) -> None:
        for name, part in PARTS.items():
            value = getattr(self, name)
            if not isinstance(value, part) and not (value is None and part is MappingPolicy):
                raise PolicyTypeError(f"{name} must be a {part.__name__}, not {type(value).__name__}: {value!r}")

    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The wire form; an absent mapping is left off."""
        return _without_mapping(super().__dict__())

    def to_dict(self) -> dict[str, Any]:
        """The complete form; an absent mapping is left off."""
        return _without_mapping(super().to_dict())

    @classmethod
    def _from_wire(cls, name: str, value: Any) -> Any:
        return None if value is None else PARTS[name].from_dict(value)


def _without_mapping(document: dict[str, Any]) -> dict[str, Any]:
    if document["mappingPolicy"] is None:
        del document["mappingPolicy"]
    return document
