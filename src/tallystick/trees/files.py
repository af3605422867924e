"""The file-system port: every call by which trees touch a disk, by directory handle (spec contexts L5).

Handles are POSIX file descriptors. No call follows a symbolic link, so that a link planted on the way cannot redirect
a read or a write. Calls raise OSError as the system does; those that change anything are the ones that a fault
injector may interrupt.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from struct import calcsize
from typing import Any

READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
WALK_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
USER_XATTR = "user."
CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_VOLUMES = "/dev/disk/by-uuid"

Handle = int
"""An open file or directory."""


class Files:
    """The real file system. A subclass may fail or die at any call."""

    # Looking --------------------------------------------------------------------------------------

    def open_root(self, path: str) -> Handle:
        """The root of a tree; links on the way to it are the user's own."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)

    def open_directory(self, name: str, at: Handle) -> Handle:
        """The directory ``name`` in the directory ``at``."""
        return os.open(name, WALK_FLAGS, dir_fd=at)

    def entries(self, directory: Handle) -> Any:
        """An iterator of os.DirEntry with ``close()``, usable as a context."""
        return os.scandir(directory)

    def status(self, name: str, at: Handle) -> os.stat_result:
        """What the entry is, never what a link points to."""
        return os.stat(name, dir_fd=at, follow_symlinks=False)

    def status_of(self, handle: Handle) -> os.stat_result:
        """What an open file or directory is."""
        return os.fstat(handle)

    def generation(self, handle: Handle) -> int:
        """What tells a file or directory from an earlier one with its inode number; 0 where nothing does."""
        if sys.platform != "linux":
            return int(getattr(os.fstat(handle), "st_birthtime", 0))
        from fcntl import ioctl

        try:
            answer = ioctl(handle, _GET_VERSION, bytes(calcsize("l")))
        except OSError:
            return 0
        return int.from_bytes(answer[:4], sys.byteorder)

    def file_system(self, handle: Handle) -> int:
        """What the file system says of itself to be told from others; 0 for nothing."""
        try:
            return os.fstatvfs(handle).f_fsid
        except OSError:
            return 0

    def volume_name(self, device: int) -> str:
        """The identifier of the file system on a block device, as the system lists it; "" where it does not."""
        with suppress(OSError), os.scandir(_VOLUMES) as listed:
            for entry in listed:
                with suppress(OSError):
                    if entry.stat().st_rdev == device:
                        return entry.name
        return ""

    def open_read(self, name: str, at: Handle) -> Handle:
        """A regular file to read."""
        return os.open(name, READ_FLAGS, dir_fd=at)

    def read(self, handle: Handle, size: int) -> bytes:
        """At most ``size`` bytes from where the handle stands; none at the end."""
        return os.read(handle, size)

    def read_link(self, name: str, at: Handle) -> str:
        """The target of a symbolic link."""
        return os.readlink(name, dir_fd=at)

    def free_space(self, handle: Handle) -> int:
        """Bytes that may still be written on the volume."""
        found = os.fstatvfs(handle)
        return found.f_bavail * found.f_frsize

    def close(self, handle: Handle) -> None:
        """Give the handle back."""
        os.close(handle)

    def read_xattrs(self, handle: Handle) -> dict[str, bytes]:
        """The extended attributes of an open file that belong to its user; none where the volume keeps none."""
        try:
            names = [name for name in os.listxattr(handle) if name.startswith(USER_XATTR)]
            return {name: os.getxattr(handle, name) for name in names}
        except (AttributeError, OSError):
            return {}

    # Changing -------------------------------------------------------------------------------------

    def create(self, name: str, at: Handle, permissions: int) -> Handle:
        """A new, empty file; fails when anything stands there. The permissions are subject to the process's mask."""
        return os.open(name, CREATE_FLAGS, permissions, dir_fd=at)

    def open_partial(self, name: str, at: Handle) -> Handle:
        """A temporary file of ours to read and go on writing; made when it is missing."""
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=at)

    def write(self, handle: Handle, data: bytes | memoryview) -> None:
        """Append all of ``data`` where the handle stands."""
        written = os.write(handle, data)
        while written < len(data):
            data = memoryview(data)[written:]
            written = os.write(handle, data)

    def clone(self, handle: Handle, target: Handle) -> bool:
        """Let an empty file share the content of an open one; False where the system or the volumes cannot."""
        if sys.platform != "linux":
            return False
        from fcntl import ioctl

        try:
            ioctl(target, _FICLONE, handle)
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            return False
        return True

    def skip(self, handle: Handle, size: int) -> None:
        """Leave a hole of ``size`` zero bytes at the end of a file."""
        os.ftruncate(handle, os.lseek(handle, size, os.SEEK_CUR))

    def cut(self, handle: Handle, size: int) -> None:
        """Give a file exactly ``size`` bytes and stand at its end."""
        os.ftruncate(handle, size)
        os.lseek(handle, size, os.SEEK_SET)

    def set_time(self, handle: Handle, mtime_ns: int) -> None:
        """Set the time of the last modification."""
        os.utime(handle, ns=(mtime_ns, mtime_ns))

    def permit(self, handle: Handle, permissions: int) -> None:
        """Set the permission bits of an open file or directory, whatever the process's mask."""
        os.fchmod(handle, permissions)

    def set_xattrs(self, handle: Handle, attributes: Mapping[str, bytes]) -> None:
        """Give an open file these extended attributes; a volume that keeps none is left as it is."""
        for name, value in attributes.items():
            try:
                os.setxattr(handle, name, value)
            except OSError as problem:
                if problem.errno not in _UNSUPPORTED:
                    raise

    def make_directory(self, name: str, at: Handle) -> None:
        """A new, empty directory."""
        os.mkdir(name, dir_fd=at)

    def make_link(self, target: str, name: str, at: Handle) -> None:
        """A new symbolic link."""
        os.symlink(target, name, dir_fd=at)

    def set_link_time(self, name: str, at: Handle, mtime_ns: int) -> None:
        """Set the time of the last modification of a symbolic link itself."""
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=at, follow_symlinks=False)

    def link(self, name: str, at: Handle, new: str, new_at: Handle) -> None:
        """A second name for the same file; fails when anything stands there."""
        os.link(name, new, src_dir_fd=at, dst_dir_fd=new_at, follow_symlinks=False)

    def rename(self, name: str, at: Handle, new: str, new_at: Handle) -> None:
        """Move an entry, replacing what stands at its new name."""
        os.rename(name, new, src_dir_fd=at, dst_dir_fd=new_at)

    def rename_new(self, name: str, at: Handle, new: str, new_at: Handle) -> None:
        """Move an entry to a free name in one step; FileExistsError when anything stands there."""
        if not _rename_with(name, at, new, new_at, NO_REPLACE):
            _rename_new_slowly(name, at, new, new_at)

    def exchange(self, name: str, at: Handle, other: str, other_at: Handle) -> bool:
        """Swap two entries in one step; False when this system cannot."""
        return _rename_with(name, at, other, other_at, EXCHANGE)

    def remove(self, name: str, at: Handle) -> None:
        """Remove a file or a link."""
        os.unlink(name, dir_fd=at)

    def remove_directory(self, name: str, at: Handle) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=at)

    # Making durable -------------------------------------------------------------------------------

    def sync_volume(self, handle: Handle) -> None:
        """Return when everything written so far on the volume of ``handle`` is durable."""
        _sync_volume(handle)

    def sync_file(self, handle: Handle) -> None:
        """Return when this file or directory is durable."""
        os.fsync(handle)


REAL = Files()


@contextmanager
def opened(files: Files, handle: Handle) -> Iterator[Handle]:
    """Give the handle back at the end."""
    try:
        yield handle
    finally:
        files.close(handle)


def umask() -> int:
    """The mask of this process, without changing it where the system can say."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def is_directory(found: os.stat_result) -> bool:
    """True for a directory, not for a link to one."""
    return stat.S_ISDIR(found.st_mode)


# Calls that Python does not offer -----------------------------------------------------------------

_FICLONE = 0x40049409
_GET_VERSION = 2 << 30 | calcsize("l") << 16 | 0x7601
NO_REPLACE = "no-replace"
EXCHANGE = "exchange"
_FLAGS = {"linux": {NO_REPLACE: 1, EXCHANGE: 2}, "darwin": {NO_REPLACE: 4, EXCHANGE: 2}}
_NAMES = {"linux": "renameat2", "darwin": "renameatx_np"}
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


@cache
def _system() -> Any:
    """The C library; None where it cannot be had."""
    try:
        import ctypes

        return ctypes.CDLL(None, use_errno=True)
    except (ImportError, OSError):
        return None


@cache
def _renaming() -> Any:
    """The system call that renames with a flag; None where there is none."""
    call = getattr(_system(), _NAMES.get(sys.platform, ""), None)
    if call is not None:
        import ctypes

        call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call


def _rename_with(name: str, at: Handle, new: str, new_at: Handle, wish: str) -> bool:
    """Rename with a flag; False when the system or the volume does not know it."""
    call = _renaming()
    if call is None:
        return False
    if call(at, os.fsencode(name), new_at, os.fsencode(new), _FLAGS[sys.platform][wish]) == 0:
        return True
    import ctypes

    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), name, None, new)


def _rename_new_slowly(name: str, at: Handle, new: str, new_at: Handle) -> None:
    try:
        os.link(name, new, src_dir_fd=at, dst_dir_fd=new_at, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        _rename_looking(name, at, new, new_at)
    else:
        os.unlink(name, dir_fd=at)


def _rename_looking(name: str, at: Handle, new: str, new_at: Handle) -> None:
    """For volumes without hard links, and for directories: look, then rename."""
    try:
        os.stat(new, dir_fd=new_at, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, new, src_dir_fd=at, dst_dir_fd=new_at)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)


def _sync_volume(handle: Handle) -> None:
    call = getattr(_system(), "syncfs", None)
    if call is None:
        os.sync()
        return
    import ctypes

    if call(handle) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
