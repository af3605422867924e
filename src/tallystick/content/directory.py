"""A store of chunks in a directory: packs as files, the catalog beside them (DESIGN.md 4.10).

    root/catalog.db          made anew from the packs when it is lost
    root/packs/ab/abcd....   immutable packs
    root/filling/....        packs being filled; salvaged by the next collection when their writer died

Any number of processes may read, store and collect at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tallystick.content.bundles import Layout, unpack
from tallystick.content.catalog import Catalog
from tallystick.content.packed import Filling, PackedStore, new_pack_name
from tallystick.content.packs import PACK_BYTES, Place, ReadAt, index_of, read_index, salvage
from tallystick.content.problems import BundleInvalid, ChunkDamaged
from tallystick.content.store import GRACE_NS, Collected
from tallystick.errors import StorageError, StorageFull

OPEN_PACKS = 8


class DirectoryStore(PackedStore):
    """Chunks in a directory of this machine."""

    def __init__(
        self, root: str | Path, clock: Callable[[], int] = time.time_ns, grace_ns: int = GRACE_NS, durable: bool = True
    ) -> None:
        self.root = Path(root)
        self.durable = durable
        self._packs = self.root / "packs"
        self._filling = self.root / "filling"
        for directory in (self._packs, self._filling):
            directory.mkdir(parents=True, exist_ok=True)
        super().__init__(Catalog(self.root / "catalog.db"), clock, grace_ns)
        self._handles: OrderedDict[str, int] = OrderedDict()
        if not self.catalog.whole:
            self.rebuild()
            self.catalog.complete()

    def path_of(self, pack: str) -> Path:
        """Where a pack stands."""
        return self._packs / pack[:2] / pack

    # Reading --------------------------------------------------------------------------------------

    def _read(self, pack: str, offset: int, length: int) -> bytes:
        handle = self._handles.get(pack)
        if handle is None:
            handle = self._handles[pack] = os.open(self.path_of(pack), os.O_RDONLY | os.O_CLOEXEC)
            if len(self._handles) > OPEN_PACKS:
                os.close(self._handles.popitem(last=False)[1])
        data = os.pread(handle, length, offset)
        if len(data) != length:
            raise ChunkDamaged(f"[ChunkDamaged] pack {pack} ends before byte {offset + length}")
        return data

    def _read_anew(self) -> None:
        super()._read_anew()
        while self._handles:  # a pack that was removed can still be read through them
            os.close(self._handles.popitem()[1])

    def close(self) -> None:
        """Give files and the catalog back."""
        self._read_anew()
        super().close()

    # Writing --------------------------------------------------------------------------------------

    def _publish(self, bundles: Iterator[tuple[bytes, Layout]]) -> None:
        open_pack: _OpenPack | None = None
        try:
            for bundle, layout in bundles:
                if open_pack is None:
                    open_pack = _OpenPack(self._filling)
                open_pack.filling.add(bundle, layout)
                if open_pack.filling.size >= PACK_BYTES:
                    self._seal(open_pack)
                    open_pack = None
            if open_pack is not None:
                self._seal(open_pack)
                open_pack = None
        except OSError as problem:
            raise _storage_error(self.root, problem) from problem
        finally:
            if open_pack is not None:
                open_pack.abandon()

    def _seal(self, open_pack: _OpenPack) -> None:
        """Finish a pack, make it durable, give it its name, then let the catalog know."""
        open_pack.filling.seal()
        open_pack.flush(self.durable)
        target = self.path_of(open_pack.name)
        target.parent.mkdir(exist_ok=True)
        os.rename(open_pack.path, target)
        open_pack.close()
        if self.durable:
            _sync_directory(target.parent)
            _sync_directory(self._packs)
        self.catalog.add(open_pack.name, open_pack.filling.size, open_pack.filling.places, self.clock())

    def _discard(self, pack: str) -> None:
        handle = self._handles.pop(pack, None)
        if handle is not None:
            os.close(handle)
        self.path_of(pack).unlink(missing_ok=True)

    # Mending --------------------------------------------------------------------------------------

    def rebuild(self) -> list[str]:
        """Make the catalog agree with the packs that are there; returns packs that cannot be read."""
        known = self.catalog.packs()
        present = {path.name: path for path in self._packs.glob("??/*") if len(path.name) == 32}
        damaged: list[str] = []
        self.catalog.forget(known.keys() - present.keys())
        for name, path in sorted(present.items()):
            if name not in known:
                try:
                    status = path.stat()
                    self.catalog.add(name, status.st_size, self._index(path), status.st_mtime_ns, found=True)
                except ChunkDamaged:
                    damaged.append(name)
        return damaged

    def _index(self, path: Path) -> list[Place]:
        with open(path, "rb") as pack:
            return read_index(lambda offset, length: _pread(pack.fileno(), offset, length), path.stat().st_size)

    def collect(self, live: Callable[[], Iterable[bytes]], now_ns: int) -> Collected:
        self.salvage()
        self.rebuild()  # a writer that died right after it gave a pack its name told nobody of it
        return super().collect(live, now_ns)

    def salvage(self) -> int:
        """Publish the whole bundles of packs whose writer died; returns how many packs came of it."""
        return sum([self._salvage_one(path) for path in sorted(self._filling.iterdir())])

    def _salvage_one(self, path: Path) -> int:
        with _abandoned(path) as pack:
            if pack is None:
                return 0
            places, fronts, end = _whole(lambda offset, length: _pread(pack.fileno(), offset, length), path)
            if not places:
                path.unlink()
                return 0
            try:
                pack.truncate(end)
                pack.seek(end)
                pack.write(index_of(places, fronts, end))
                pack.flush()
                os.fsync(pack.fileno())
            except OSError:  # a full disk has no room for what can be sent again
                path.unlink()
                return 0
            name = new_pack_name()
            target = self.path_of(name)
            target.parent.mkdir(exist_ok=True)
            os.rename(path, target)
        _sync_directory(target.parent)
        self.catalog.add(name, target.stat().st_size, places, self.clock())
        return 1

    def verify(self) -> list[bytes]:
        """Read everything back; returns the names of chunks that are damaged or gone."""
        damaged: list[bytes] = []
        for chunk in self.catalog.chunks():
            try:
                next(iter(self.fetch([chunk])))
            except StorageError:
                damaged.append(chunk)
        return damaged


def _whole(read_at: ReadAt, path: Path) -> tuple[list[Place], list[bytes], int]:
    """(places, fronts, end) of the bundles at the front of an interrupted pack that are what they say."""
    places, fronts, end = salvage(read_at, path.stat().st_size)
    for number, place in enumerate(places):
        try:
            unpack(read_at(place.offset, place.layout.length))
        except BundleInvalid:
            return places[:number], fronts[:number], place.offset
    return places, fronts, end


@contextmanager
def _abandoned(path: Path) -> Iterator[BinaryIO | None]:
    """A pack that nobody fills any more, held against others who salvage; None while its writer lives."""
    try:
        pack = open(path, "r+b")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        yield None
        return
    with pack:
        try:
            fcntl.flock(pack, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.path.samestat(os.fstat(pack.fileno()), os.stat(path))
        except OSError:  # held, or sealed or removed since it was opened
            free = False
        yield pack if free else None


class _OpenPack:
    """A pack being filled in its own file, locked so that nobody else touches it while its writer lives."""

    def __init__(self, directory: Path) -> None:
        self._create(directory)
        try:
            self.filling = Filling(self._write)
        except BaseException:
            self.abandon()
            raise

    def _create(self, directory: Path) -> None:
        while True:
            self.name = new_pack_name()
            self.path = directory / self.name
            self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - closed by seal or abandon
            with suppress(OSError):  # where a volume has no locks, nobody can salvage either
                fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file.fileno()).st_nlink:
                return
            self._file.close()  # somebody took it for abandoned before it was locked

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]

    def flush(self, durable: bool) -> None:
        """Bring the content to the disk."""
        if durable:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def abandon(self) -> None:
        """Remove what was not finished."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def _pread(handle: int, offset: int, length: int) -> bytes:
    data = os.pread(handle, length, offset)
    if len(data) != length:
        raise ChunkDamaged("a pack is shorter than it says")
    return data


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _storage_error(root: Path, problem: OSError) -> StorageError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"{root} has no room for content")
    return StorageError(f"{root}: {problem.strerror or problem}")
