"""Archives that arrive in a mount: unpacked once, and remembered as unpacked (spec contexts B.5).

An archive is staged whole under a temporary name and moved in only when every member has passed. What is noted here is
which archives were unpacked, by their content; an upload tells the store, so that other mounts leave them alone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from tallystick.contexts.end import ContextEnd
from tallystick.contexts.entries import FILE, FileEntry
from tallystick.contexts.policies import ExtractPolicy
from tallystick.contexts.problems import VersionMoved
from tallystick.contexts.unpacking import Archive, ArchiveRefused, Member, opened_archive, suffix_of
from tallystick.errors import StorageError, StorageFull, TallystickError
from tallystick.trees.conflict_names import conflict_names
from tallystick.trees.directory import DirectoryEnd
from tallystick.trees.mount import Mount
from tallystick.trees.names import ILLEGAL, Volume, hidden_names
from tallystick.trees.nodes import joined
from tallystick.trees.problems import OUT_OF_SPACE, storage_error
from tallystick.trees.reading import read_stable
from tallystick.trees.scope import Scope

ATTEMPTS = 8


class HiddenArchives:
    """The scope without archives that were unpacked here and removed: their absence is no deletion (X2, E6)."""

    def __init__(self, paths: Collection[str]) -> None:
        self._paths = frozenset(paths)
        self.everything = not self._paths

    def includes(self, path: str, directory: bool) -> bool:
        """True for everything else."""
        return path not in self._paths

    def enters(self, path: str) -> bool:
        """True for every directory."""
        return True

    def fingerprint(self) -> bytes:
        """The paths."""
        return "\0".join(sorted(self._paths)).encode("utf-8", "surrogateescape")


class SparedArchives:
    """Archives that others have expanded and that are not here: not fetched, and out of scope until they change (E6).

    ``known`` are those that were spared before; ``remember`` is given all of them when there are others.
    """

    def __init__(self, directory: str, known: Iterable[str], remember: Callable[[list[str]], None]) -> None:
        self._directory = directory
        self._before = set(known)
        self._paths = set(self._before)
        self._remember = remember

    def take(self, path: str, entry: FileEntry | None) -> bool:
        """True for an archive that is marked as expanded, unless something stands under its name here."""
        if entry is not None and entry.kind == FILE and entry.expanded and not is_here(self._directory, path):
            self._paths.add(path)
            return True
        self._paths.discard(path)
        return False

    def keep(self) -> None:
        """Remember which archives were spared."""
        if self._paths != self._before:
            self._remember(sorted(self._paths))
            self._before = set(self._paths)


def is_here(directory: str, path: str) -> bool:
    """True when something stands at a path of a mount."""
    return os.path.lexists(os.path.join(directory, path))


class Unpacked(NamedTuple):
    """Warnings about archives that were left alone, and what hindered those that have to wait for the next download."""

    warnings: list[str]
    failed: dict[str, StorageError]


class Expanded:
    """The archives of one mount that were unpacked: ``known`` maps their paths to their digests, in hexadecimal."""

    def __init__(self, policy: ExtractPolicy, scope: Scope, remote: ContextEnd, known: Mapping[str, str]) -> None:
        self.policy = policy
        self.scope = scope
        self.remote = remote
        self.known = dict(known)

    def _entries(self, paths: Collection[str]) -> dict[str, FileEntry]:
        if not paths:
            return {}
        keys = {self.remote.key(path): path for path in paths}
        found = self.remote.host.entries(self.remote.info.id, list(keys))
        return {keys[key]: entry for key, entry in found.items() if entry.kind == FILE}

    def hidden(self, directory: str) -> HiddenArchives:
        """What a run must not see: unpacked, removed, and unchanged in the store since. Forgets the changed ones."""
        entries = self._entries(self.known)
        self.known = {
            path: digest
            for path, digest in self.known.items()
            if path in entries and entries[path].digest.hex() == digest
        }
        gone = [path for path in self.known if not is_here(directory, path)]
        return HiddenArchives(gone if self.policy.extract and self.policy.delete_src_file else ())

    def tell(self) -> None:
        """Mark the archives in the store whose members are uploaded by now (E6)."""
        for _ in range(ATTEMPTS):
            info = self.remote.host.find(self.remote.info.id)
            changes = [
                (self.remote.key(path), msgspec.structs.replace(entry, expanded=True))
                for path, entry in self._entries(self.known).items()
                if entry.digest.hex() == self.known[path] and not entry.expanded
            ]
            if not changes:
                return
            try:
                self.remote.host.publish(info.id, info.version, changes)
                return
            except VersionMoved:
                continue

    # Unpacking ------------------------------------------------------------------------------------

    def unpack(self, local: DirectoryEnd, waiting: Sequence[str], arrived: Sequence[str]) -> Unpacked:
        """Unpack archives that ``arrived`` now, or were ``waiting`` since a run that was cut short."""
        done = Unpacked([], {})
        if not self.policy.extract:
            return done
        for path, entry in self._entries(waiting).items():
            if self.known.get(path) == entry.digest.hex():
                continue
            try:
                if path in arrived or self._is_here(local.mount, path, entry):
                    self._unpack(local, path, entry)
            except ArchiveRefused as problem:
                done.warnings.append(f"[ArchiveRefused] {path}: {problem.message}")
            except (TallystickError, OSError) as problem:
                hindered = hindrance(path, problem)
                if hindered is None:
                    done.warnings.append(f"[ArchiveRefused] {path}: {problem}")
                else:
                    done.failed[path] = hindered
            finally:
                local.mount.forget()
        return done

    def _is_here(self, mount: Mount, path: str, entry: FileEntry) -> bool:
        """True when an archive that waits is still what arrived."""
        if mount.status(path) is None:
            return False
        at, name = mount.split(path)
        return read_stable(mount.files, at, name).digest == entry.digest

    def _unpack(self, local: DirectoryEnd, path: str, entry: FileEntry) -> None:
        mount = local.mount
        at, name = mount.split(path)
        if not entry.expanded:
            handle = mount.files.open_read(name, at)
            with os.fdopen(handle, "rb") as file, opened_archive(file, name) as archive:
                _Unpacking(mount, path, self.policy, self.scope, local.volume).run(archive)
        self.known[path] = entry.digest.hex()
        if self.policy.delete_src_file:
            found = read_stable(mount.files, at, name)
            if found.digest == entry.digest:
                mount.remove_checked(at, name, found.stats)


def hindrance(path: str, problem: Exception) -> StorageError | None:
    """What hindered an archive from outside, so that it is worth another attempt; None for what will not change."""
    if isinstance(problem, OSError):
        return storage_error(path, problem) if problem.errno in (*OUT_OF_SPACE, errno.EIO) else None
    if isinstance(problem, StorageError) and (problem.transient or isinstance(problem, StorageFull)):
        return problem
    return None


def archives_among(paths: Iterable[str]) -> set[str]:
    """Those of the paths that have the name of an archive (E2)."""
    return {path for path in paths if suffix_of(path.rpartition("/")[2])}


def check_names(paths: Iterable[str], volume: Volume) -> None:
    """Raise ArchiveRefused for names that a volume refuses, or that it takes for one (E5)."""
    folders: dict[str, set[str]] = {}
    for path in paths:
        while path:
            parent, _, name = path.rpartition("/")
            folders.setdefault(parent, set()).add(name)
            path = parent
    for folder, names in sorted(folders.items()):
        for name, why in sorted(hidden_names(sorted(names), volume).items()):
            reason = "is no name here" if why == ILLEGAL else "is another spelling of a name beside it here"
            raise ArchiveRefused(f"{joined(folder, name)!r} {reason}")


class _Unpacking:
    """One archive on its way into the tree."""

    def __init__(self, mount: Mount, path: str, policy: ExtractPolicy, scope: Scope, volume: Volume) -> None:
        self.mount = mount
        self.volume = volume
        self.scope = scope
        self.staged = mount.temporary()
        parent, _, name = path.rpartition("/")
        self.folder = parent
        if not policy.extract_current_folder:
            stem = name.removesuffix(suffix_of(name))
            self.folder = joined(parent, stem)
            if self._is_leaf(self.folder):
                self.folder = joined(parent, f"{stem}.extracted")

    def run(self, archive: Archive) -> None:
        """Check, stage, move in. Raises ArchiveRefused with nothing written."""
        self._check(archive.members)
        root = self.mount.handle
        self.mount.files.make_directory(self.staged, root)
        try:
            for member in archive.members:
                self._stage(archive, member)
            self.mount.files.sync_volume(root)
            self._make(self.folder)
            for member in archive.members:
                self._move_in(member)
        finally:
            self.mount.forget(self.staged)
            self.mount.discard(root, self.staged)

    def _is_leaf(self, path: str) -> bool:
        found = self.mount.status(path)
        return found is not None and found.st_mode & 0o170000 != 0o040000

    def _check(self, members: Sequence[Member]) -> None:
        if not self.volume.exact:
            check_names([member.path for member in members], self.volume)
        parents = {self.folder}
        for member in members:
            target = joined(self.folder, member.path)
            if not self.scope.everything and not self.scope.includes(target, member.is_directory):
                raise ArchiveRefused(f"{member.path!r} would be out of scope")
            above = target if member.is_directory else target.rpartition("/")[0]
            while len(above) > len(self.folder) and above not in parents:
                parents.add(above)
                above = above.rpartition("/")[0]
        for path in sorted(parents):
            if path and self._is_leaf(path):
                raise ArchiveRefused(f"{path!r} is in its way")

    def _stage(self, archive: Archive, member: Member) -> None:
        place = joined(self.staged, member.path)
        if member.is_directory:
            self._make(place)
            return
        parent, _, name = place.rpartition("/")
        self._make(parent)
        at, files = self.mount.directory(parent), self.mount.files
        if member.target:
            files.make_link(member.target, name, at)
            return
        handle = files.create(name, at, 0o600)
        try:
            for piece in archive.content(member):
                files.write(handle, piece)
            files.permit(handle, member.permissions)
            files.set_time(handle, member.mtime_ns)
        finally:
            files.close(handle)

    def _make(self, path: str) -> None:
        """A directory and those above it, where they are not there yet."""
        done = ""
        for name in path.split("/") if path else ():
            with suppress(FileExistsError):
                self.mount.files.make_directory(name, self.mount.directory(done))
            done = joined(done, name)

    def _move_in(self, member: Member) -> None:
        """Give a staged member its name; a differing file keeps its own, and the member becomes a copy (E4)."""
        target = joined(self.folder, member.path)
        if member.is_directory:
            self._make(target)
            return
        parent, _, name = target.rpartition("/")
        self._make(parent)
        staged_at, staged = self.mount.split(joined(self.staged, member.path))
        if self._takes(staged_at, staged, parent, name) or member.target:
            return
        digest = read_stable(self.mount.files, staged_at, staged).digest
        for chosen in conflict_names(name, digest):
            if self._equals(parent, name, digest) or self._takes(staged_at, staged, parent, chosen):
                return
            if self._equals(parent, chosen, digest):
                return
        raise StorageError(f"no free name for a copy of {target!r}", hint="remove old conflict copies")

    def _takes(self, staged_at: int, staged: str, parent: str, name: str) -> bool:
        try:
            self.mount.files.rename_new(staged, staged_at, name, self.mount.directory(parent))
        except OSError as problem:
            if problem.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR):
                raise
            return False
        return True

    def _equals(self, parent: str, name: str, digest: bytes) -> bool:
        try:
            return read_stable(self.mount.files, self.mount.directory(parent), name).digest == digest
        except (OSError, StorageError):
            return False
