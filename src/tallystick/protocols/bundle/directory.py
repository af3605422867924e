"""The files below a bundle directory: where they lie, and how they are written so that none is ever half there.

Every site writes in its own folder only, so sites can share a directory, or merge copies of it, without a lock.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tallystick.errors import ConfigurationError, LimitExceeded, StorageError, StorageFull
from tallystick.protocols.bundle.codec.documents import SITE
from tallystick.protocols.bundle.codec.signing import LONGEST_DOCUMENT
from tallystick.protocols.bundle.errors import BundleMissing

ROOT = "tallystick"
_LONGEST_PART = 128 * 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Directory:
    """A stick or share. ``path`` must exist; what is ours lies in ``tallystick`` below it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises ConfigurationError when there is no such directory: a stick that is not mounted is not created."""
        self.path = Path(path).absolute()
        if not self.path.is_dir():
            raise ConfigurationError(
                f"there is no directory {self.path}", hint="mount the stick or share, or make the directory"
            )
        self.root = self.path / ROOT

    # Names

    def sites(self) -> list[str]:
        """The sites that have a folder, in order."""
        if not self.root.is_dir():
            return []
        return sorted(entry.name for entry in self.root.iterdir() if SITE.fullmatch(entry.name) and entry.is_dir())

    def card(self, site: str) -> Path:
        """The card of a site."""
        return self.root / site / "card"

    def statement(self, site: str, reader: str) -> Path:
        """What ``site`` states to ``reader``."""
        return self.root / site / f"for-{reader}" / "statement"

    def bundle(self, site: str, reader: str, number: int) -> Path:
        """The folder of a bundle."""
        return self.root / site / f"for-{reader}" / f"{number:06}"

    def numbers(self, site: str, reader: str) -> list[int]:
        """The bundles of ``site`` for ``reader``, complete or not, in order."""
        folder = self.root / site / f"for-{reader}"
        if not folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit() and entry.is_dir())

    def parts(self, folder: Path) -> Iterator[Path]:
        """The files of the parts that are there one after another, from the first."""
        number = 1
        while (path := self.part(folder, number)).exists():
            yield path
            number += 1

    def part(self, folder: Path, number: int) -> Path:
        """The file of a part."""
        return folder / f"{number:04}.part"

    def manifest(self, folder: Path) -> Path:
        """The manifest of a bundle: there once the bundle is complete."""
        return folder / "manifest"

    def shown(self, path: Path) -> str:
        """A path as messages name it: within the directory."""
        return str(path.relative_to(self.path))

    # Files

    def read(self, path: Path, most: int = LONGEST_DOCUMENT) -> bytes:
        """A whole file. Raises BundleMissing, LimitExceeded, StorageError. Links are not followed."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as opened:
                if os.fstat(opened.fileno()).st_size > most:
                    raise LimitExceeded(f"{self.shown(path)} is larger than {most:,} bytes", hint="remove the file")
                return opened.read()
        except FileNotFoundError:
            raise BundleMissing(f"{self.shown(path)} is missing") from None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}", hint="check the stick or share") from error

    def read_part(self, path: Path) -> bytes:
        """The bytes of a part. Raises what ``read`` raises."""
        return self.read(path, _LONGEST_PART)

    def write(self, path: Path, body: bytes) -> None:
        """Write a file whole and durably, or not at all. Raises StorageFull, StorageError."""
        waiting = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(waiting, "wb") as opened:
                    opened.write(body)
                    opened.flush()
                    os.fsync(opened.fileno())
                os.replace(waiting, path)
                _settle(path.parent)
            except BaseException:
                waiting.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _named(error, path) from error

    def write_if_new(self, path: Path, body: bytes) -> bool:
        """Write a file unless it holds ``body`` already; True when it was written."""
        if path.exists() and not path.is_symlink() and self.read(path) == body:
            return False
        self.write(path, body)
        return True

    def remove(self, path: Path) -> None:
        """Remove a file or folder of this site; what is gone already is fine. Raises StorageError."""
        try:
            if path.is_dir() and not path.is_symlink():
                self.manifest(path).unlink(missing_ok=True)  # first: what is half removed is not complete
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _named(error, path) from error

    def sweep(self, site: str) -> None:
        """Remove what a killed process of ``site`` left half written."""
        for left in (self.root / site).rglob(".*.*") if (self.root / site).is_dir() else ():
            self.remove(left)


def _settle(folder: Path) -> None:
    """Make a rename durable, where the file system can do that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _named(error: OSError, path: Path) -> StorageError:
    if error.errno in _FULL:
        return StorageFull(f"there is no space left for {path}")
    hint = "check that the stick or share is there and may be written to, then run the same command again"
    return StorageError(f"cannot write {path}: {error.strerror}", hint=hint)
