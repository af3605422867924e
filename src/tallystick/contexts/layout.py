"""How an upload lays files out in a context: one by one, or packed into archives (spec contexts U4-U7). Pure.

Packed is a mark of every entry (``FileEntry.archived``), so that readers take the layout from the manifest and mounts
of both modes may share a context. The value says below which directory the archives stand: 1 for the root of the
context, 2 for a key of one segment, and so on. That directory itself is marked as deep as what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from tallystick.contexts.choices import UploadMode
from tallystick.contexts.entries import FileEntry
from tallystick.contexts.keys import Binding, below, has_drive, normal
from tallystick.contexts.policies import UploadPolicy
from tallystick.contexts.zips import fits

LOOSE = 0


def depth(key: str) -> int:
    """How many segments a key has; the root has none."""
    return key.count("/")


def is_packed(key: str, entry: FileEntry) -> bool:
    """True for an entry that listings show as a part of an archive."""
    return LOOSE < entry.archived <= depth(key)


def holds_archives(key: str, entry: FileEntry) -> bool:
    """True for the directory below which archives stand."""
    return entry.archived == depth(key) + 1


@dataclass(frozen=True, slots=True)
class Layout:
    """What one mount wants. ``loose`` are paths relative to the mount that archives leave out (U6)."""

    prefix: str
    archive: bool = False
    loose: tuple[str, ...] = ()

    @classmethod
    def of(cls, policy: UploadPolicy | None, binding: Binding) -> Self:
        """The layout of an upload policy at a mount."""
        if policy is None or policy.upload_mode is not UploadMode.ARCHIVE:
            return cls(binding.prefix)
        return cls(binding.prefix, True, tuple(_relative(path, binding) for path in policy.archive_exclude_paths))

    def mark(self, path: str, entry: FileEntry) -> int:
        """What an entry at a path relative to the mount is to be marked with."""
        if not self.archive or not fits(path, entry) or any(_is_at(path, loose) for loose in self.loose):
            return LOOSE
        return self.root

    @property
    def root(self) -> int:
        """The mark of everything that is packed below the prefix."""
        return depth(self.prefix) + 1

    @property
    def fingerprint(self) -> str:
        """A value that differs whenever the layout may differ."""
        return "\0".join((self.prefix, str(self.archive), *self.loose))


def _relative(path: str, binding: Binding) -> str:
    if path.startswith("/") or has_drive(path):
        key = normal(path)
        for anchor in (binding.path, binding.prefix):
            found = below(anchor, key)
            if found is not None:
                return found
    return path.strip("/")


def _is_at(path: str, above: str) -> bool:
    return not above or path == above or path.startswith(f"{above}/")
