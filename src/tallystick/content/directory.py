"""A store of chunks in a directory: packs as files, the catalog beside them (DESIGN.md 4.10).

    root/catalog.db          made anew from the packs when it is lost
    root/packs/ab/abcd....   immutable packs
    root/filling/....        packs being filled; salvaged when their writer died

Any number of processes may read, store and collect at once.
"""

from __future__ import annotations

import errno
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

from tallystick.content.bundles import Layout, unpack
from tallystick.content.catalog import Catalog
from tallystick.content.packed import Filling, PackedStore, new_pack_name
from tallystick.content.packs import PACK_BYTES, Place, ReadAt, index_of, read_index, salvage
from tallystick.content.problems import BundleInvalid, ChunkDamaged
from tallystick.content.store import GRACE_NS
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
        known = (self.root / "catalog.db").exists()
        super().__init__(Catalog(self.root / "catalog.db"), clock, grace_ns)
        self._handles: OrderedDict[str, int] = OrderedDict()
        if not known:
            self.rebuild()

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

    def close(self) -> None:
        """Give files and the catalog back."""
        while self._handles:
            os.close(self._handles.popitem()[1])
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
        for name in known.keys() - present.keys():
            self.catalog.forget(name)
        for name, path in sorted(present.items()):
            if name not in known:
                try:
                    self.catalog.add(name, path.stat().st_size, self._index(path), path.stat().st_mtime_ns)
                except ChunkDamaged:
                    damaged.append(name)
        return damaged

    def _index(self, path: Path) -> list[Place]:
        with open(path, "rb") as pack:
            return read_index(lambda offset, length: _pread(pack.fileno(), offset, length), path.stat().st_size)

    def salvage(self) -> int:
        """Publish the whole bundles of packs whose writer died; returns how many packs came of it."""
        saved = 0
        for path in sorted(self._filling.iterdir()):
            if _writer_lives(path.name):
                continue
            saved += self._salvage_one(path)
            path.unlink(missing_ok=True)
        return saved

    def _salvage_one(self, path: Path) -> int:
        with open(path, "r+b") as pack:
            size = path.stat().st_size
            places, fronts, end = salvage(lambda offset, length: _pread(pack.fileno(), offset, length), size)
            sound = _sound(places, lambda offset, length: _pread(pack.fileno(), offset, length))
            if not sound:
                return 0
            if sound < len(places):
                end = places[sound].offset
                places, fronts = places[:sound], fronts[:sound]
            pack.truncate(end)
            pack.seek(end)
            pack.write(index_of(places, fronts, end))
            pack.flush()
            os.fsync(pack.fileno())
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
        for name in self.catalog.packs():
            for chunk in self.catalog.chunks_in(name):
                try:
                    next(iter(self.fetch([chunk])))
                except StorageError:
                    damaged.append(chunk)
        return damaged


def _sound(places: list[Place], read_at: ReadAt) -> int:
    """How many bundles at the front are what they say."""
    for number, place in enumerate(places):
        try:
            unpack(read_at(place.offset, place.layout.length))
        except BundleInvalid:
            return number
    return len(places)


class _OpenPack:
    """A pack being filled in its own file, which nobody else touches while this process lives."""

    def __init__(self, directory: Path) -> None:
        self.name = new_pack_name()
        self.path = directory / f"{self.name}.{os.getpid()}"
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - closed by seal or abandon
        self.filling = Filling(self._write)

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


def _writer_lives(name: str) -> bool:
    """True when the process that fills a pack is still there."""
    number = name.rpartition(".")[2]
    if not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(number) != os.getpid()


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
