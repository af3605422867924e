"""Stores of chunks and heads in a bucket: S3, Google, Azure, or anything else that obstore reaches (extra ``[s3]``).

    prefix/packs/ab/abcd...   immutable packs
    prefix/condemned/abcd...  for each pack that will be removed, the nanosecond since when
    prefix/head               the current version, swapped by conditional put

The catalog is a local cache of the packs' indexes. Nothing but conditional put is asked of the bucket.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tallystick.content.bundles import Layout
from tallystick.content.catalog import Catalog
from tallystick.content.heads import NOTHING, Version
from tallystick.content.packed import Filling, PackedStore, new_pack_name
from tallystick.content.packs import PACK_BYTES, Place, read_index
from tallystick.content.problems import HeadMoved
from tallystick.content.store import GRACE_NS
from tallystick.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

TAIL = 1 << 20
"""Bytes read from the end of a pack in the hope that its index is among them."""


def bucket_of(url: str, **options: Any) -> ObjectStore:
    """The bucket that a URL names (``s3://bucket/prefix``, ``gs://...``, ``az://...``).

    Credentials, region and endpoint come from the environment as the provider documents it, or from ``options``.
    Raises ConfigurationError when obstore is not installed or the URL cannot be used.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise ConfigurationError("object stores need obstore", hint="pip install 'tallystick[s3]'") from None
    try:
        return from_url(url, **options)
    except (BaseError, ValueError) as problem:
        raise ConfigurationError(f"{url} cannot be used: {problem}") from None


class BucketStore(PackedStore):
    """Chunks in a bucket. ``cache`` is a file of this machine for the catalog; it may be lost."""

    def __init__(
        self,
        bucket: ObjectStore,
        cache: str | Path,
        clock: Callable[[], int] = time.time_ns,
        grace_ns: int = GRACE_NS,
    ) -> None:
        super().__init__(Catalog(cache), clock, grace_ns)
        self.bucket = bucket
        self._refreshed_at: int | None = None

    def missing(self, names: Any) -> list[bytes]:
        """Which chunks are not held; what others have published is learned first."""
        if self._refreshed_at is None or self.clock() - self._refreshed_at > self.grace_ns // 8:
            self._refresh()
        return super().missing(names)

    def _read(self, pack: str, offset: int, length: int) -> bytes:
        with _answers(pack):
            return bytes(self.bucket.get_range(_pack_path(pack), start=offset, length=length))

    def _publish(self, bundles: Iterator[tuple[bytes, Layout]]) -> None:
        parts: list[bytes] = []
        filling: Filling | None = None
        for bundle, layout in bundles:
            if filling is None:
                parts = []
                filling = Filling(parts.append)
            filling.add(bundle, layout)
            if filling.size >= PACK_BYTES:
                self._put(filling, parts)
                filling = None
        if filling is not None:
            self._put(filling, parts)

    def _put(self, filling: Filling, parts: list[bytes]) -> None:
        """One whole pack; objects appear whole or not at all."""
        filling.seal()
        name = new_pack_name()
        with _answers(name, writing=True):
            self.bucket.put(_pack_path(name), b"".join(parts), mode="create")
        self.catalog.add(name, filling.size, filling.places, self.clock())

    def _discard(self, pack: str) -> None:
        with _answers(pack):
            self.bucket.delete([_pack_path(pack), f"condemned/{pack}"])

    def _announce(self, pack: str, condemned: bool) -> None:
        with _answers(pack):
            if condemned:
                self.bucket.put(f"condemned/{pack}", str(self.clock()).encode())
            else:
                self.bucket.delete(f"condemned/{pack}")

    # Learning what others did ------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Bring the catalog up to date with the bucket."""
        present = self._listed("packs/")
        condemned = self._listed("condemned/")
        known = self.catalog.packs()
        self.catalog.forget(known.keys() - present.keys())
        for name, (size, at_ns) in sorted(present.items(), key=lambda item: item[1][1]):
            if name not in known:
                self.catalog.add(name, size, self._index(name, size), at_ns)
            if (known.get(name) is None) == (name in condemned):
                self.catalog.condemn(name, self._condemned_at(name) if name in condemned else None)
        self._refreshed_at = self.clock()

    def _condemned_at(self, pack: str) -> int:
        with _answers(pack):
            return int(bytes(self.bucket.get(f"condemned/{pack}").bytes()))

    def _listed(self, folder: str) -> dict[str, tuple[int, int]]:
        """Name -> (bytes, nanosecond of its last change) of all objects in a folder."""
        found: dict[str, tuple[int, int]] = {}
        with _answers(folder):
            for batch in self.bucket.list(folder):
                for entry in batch:
                    name = entry["path"].rpartition("/")[2]
                    found[name] = (entry["size"], int(entry["last_modified"].timestamp() * 1e9))
        return found

    def _index(self, pack: str, size: int) -> list[Place]:
        """The index of a pack, usually with one request."""
        start = max(0, size - TAIL)
        tail = self._read(pack, start, size - start)

        def read_at(offset: int, length: int) -> bytes:
            if offset >= start:
                return tail[offset - start : offset - start + length]
            return self._read(pack, offset, length)

        return read_index(read_at, size)


class BucketHead:
    """A head in a bucket, swapped by conditional put."""

    def __init__(self, bucket: ObjectStore, path: str = "head") -> None:
        self.bucket = bucket
        self.path = path

    def read(self) -> Version:
        """The current value; its token is the entity tag."""
        with _answers(self.path):
            try:
                found = self.bucket.get(self.path)
            except FileNotFoundError:
                return NOTHING
            return Version(bytes(found.bytes()), found.meta["e_tag"] or "")

    def swap(self, expected: Version, value: bytes) -> Version:
        """Put on the condition that the expected one is still current."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with _answers(self.path, writing=True):
            try:
                if expected.value is None:
                    put = self.bucket.put(self.path, value, mode="create")
                else:
                    put = self.bucket.put(self.path, value, mode={"e_tag": expected.token})
            except (AlreadyExistsError, PreconditionError):
                raise HeadMoved(f"{self.path} was published by somebody else meanwhile") from None
        return Version(value, put["e_tag"] or "")


def _pack_path(name: str) -> str:
    return f"packs/{name[:2]}/{name}"


class _answers:
    """Turns what the provider answers into StorageError; a missing object that is read stays FileNotFoundError."""

    def __init__(self, what: str, writing: bool = False) -> None:
        self.what = what
        self.writing = writing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, FileNotFoundError) and self.writing:
            raise ConfigurationError(
                f"{self.what} cannot be written: there is no such bucket", hint="check the URL, or make the bucket"
            ) from problem
        if problem is None or isinstance(problem, StorageError | FileNotFoundError):
            return
        from obstore.exceptions import BaseError

        if isinstance(problem, BaseError | NotImplementedError):
            raise StorageError(f"the object store refused {self.what}: {str(problem).splitlines()[0]}") from problem
