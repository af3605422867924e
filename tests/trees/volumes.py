"""Volumes that are none of POSIX, mounted for tests where this machine can."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

SIZE = 64 << 20


def casefolding(image, root):
    """ext4 that takes ``Read`` and ``read`` for one name."""
    return _done("mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", image) and _done(
        "mount", "-o", "loop", image, root
    )


def ntfs(image, root):
    """NTFS with the names of Windows and no permissions."""
    return _done("mkntfs", "-F", "-Q", "-q", image) and _done("ntfs-3g", "-o", "windows_names", image, root)


@contextmanager
def mounted(make, place):
    """A directory on such a volume; skips where there is none."""
    image, root = place / "volume", place / "mounted"
    root.mkdir()
    with open(image, "wb") as file:
        file.truncate(SIZE)
    if os.geteuid() != 0 or not make(image, root):
        pytest.skip(f"{make.__name__}: this takes root, the programs and a system that can mount such a volume")
    try:
        folder = root / "folder"
        folder.mkdir()
        subprocess.run(["chattr", "+F", folder], capture_output=True, check=False)
        yield folder
    finally:
        subprocess.run(["umount", root], check=True)


def _done(program, *arguments):
    if shutil.which(program) is None:
        return False
    return subprocess.run([program, *arguments], capture_output=True, check=False).returncode == 0


@contextmanager
def disk(image, place):
    """A file system in a file, made when it is missing, mounted at a directory; skips where that cannot be."""
    if not image.exists():
        with open(image, "wb") as file:
            file.truncate(SIZE)
        _done("mkfs.ext4", "-q", image)
    if os.geteuid() != 0 or not _done("mount", "-o", "loop", image, place):
        pytest.skip("mounting takes root, mkfs.ext4 and a system that lets it")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)
