"""The two halves of a replica that consists of files: what a bundle gives, and what is written into one.

``sync.transfer`` moves the pages, as between any two ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from tallystick.core.pages import FLAGS, KEY, Page, Tally
from tallystick.core.states import parse_state
from tallystick.protocols.bundle.codec.documents import (
    MANIFEST,
    Manifest,
    PartForm,
    PartHead,
    check_manifest,
)
from tallystick.protocols.bundle.codec.parts import PART_BYTES, Part, page_blocks, pages_of, read_part, write_part
from tallystick.protocols.bundle.codec.signing import SigningKey, read_signed, signed
from tallystick.protocols.bundle.directory import Directory
from tallystick.protocols.bundle.errors import BundleDamaged, BundleForeign, BundleMissing
from tallystick.site.ledger import DELETED
from tallystick.site.reading import LEFT_SCOPE
from tallystick.sync.replica import Closing, Selection, Settings


@dataclass(slots=True)
class BundleSource:
    """A complete bundle as a source of changes. Made by ``open_bundle``, which has verified every byte of it."""

    directory: Directory
    folder: Path
    public: bytes
    manifest: Manifest

    @property
    def name(self) -> str:
        """How messages name it: its path within the directory."""
        return self.directory.shown(self.folder)

    def pages(self) -> Iterator[Page]:
        """Every page, in order. A part that was changed since it was verified raises BundleDamaged."""
        for number, stated in enumerate(self.manifest.parts, 1):
            path = self.directory.part(self.folder, number)
            part = read_part(self.directory.read_part(path), self.public, self.directory.shown(path))
            if part.digest != stated.digest:
                raise BundleDamaged(f"{self.directory.shown(path)} changed while it was read")
            yield from pages_of(part, self.directory.shown(path))

    def left(self) -> dict[str, list[str]]:
        """Keys of the records that left the filter and are to be deleted, by resource."""
        found: dict[str, list[str]] = {}
        for page in self.pages() if self.manifest.scope.delete_left else ():
            found.setdefault(page.resource, []).extend(row[KEY] for row in page.rows if row[FLAGS] & LEFT_SCOPE)
        return found

    def changes(self, selection: Selection) -> Iterator[Page | Closing]:
        """The pages that the reader has not taken yet, without the deletions and leavers that its guards hold back."""
        skip = self._is_resumed(selection.known.state)
        for page in self.pages():
            if skip:
                skip = page.state != selection.known.state
            elif page.resource in selection.held:
                if rows := [row for row in page.rows if not row[FLAGS] & (DELETED | LEFT_SCOPE)]:
                    yield replace(page, rows=rows, state="")
            else:
                yield replace(page, state="") if selection.held else page
        closing = self.manifest.closing
        if selection.held:
            digests = {wire: vector for wire, vector in closing.digests.items() if wire not in selection.held}
            closing = Closing(selection.known.state, digests, closing.forgotten)
        yield closing

    def _is_resumed(self, state: str) -> bool:
        """True when the reader stopped at a page of this bundle."""
        return bool(state) and parse_state(state).open and any(page.state == state for page in self.pages())


def read_manifest(directory: Directory, folder: Path, public: bytes, site: str, reader: str) -> Manifest:
    """The manifest of the bundle of ``site`` for ``reader`` in ``folder``.

    Raises BundleMissing where it is not there: the bundle is not complete; BundleDamaged for a torn or altered file,
    BundleForeign for what somebody else signed or for a bundle that belongs elsewhere.
    """
    where = directory.shown(directory.manifest(folder))
    try:
        body = directory.read(directory.manifest(folder))
    except BundleMissing:
        raise BundleMissing(f"{where} is missing: the bundle is not complete") from None
    manifest = read_signed(MANIFEST, Manifest, body, public, where)
    check_manifest(manifest, where)
    if (manifest.site, manifest.reader) != (site, reader):
        raise BundleForeign(f"{where} is a bundle of {manifest.site[:8]} for {manifest.reader[:8]}: it lies elsewhere")
    if f"{manifest.number:06}" != folder.name:
        raise BundleForeign(f"{where} belongs to bundle {manifest.number}: somebody changed the order of bundles")
    return manifest


def open_bundle(directory: Directory, folder: Path, public: bytes, manifest: Manifest) -> BundleSource:
    """A bundle as a source, after every byte of it was verified. Raises what ``read_manifest`` raises."""
    previous = b""
    for number, stated in enumerate(manifest.parts, 1):
        path = directory.part(folder, number)
        raw = directory.read_part(path)
        if len(raw) != stated.size:
            raise BundleDamaged(f"{directory.shown(path)} is torn: {len(raw):,} of {stated.size:,} bytes")
        part = read_part(raw, public, directory.shown(path))
        if part.digest != stated.digest or part.head != _head(manifest, number, previous):
            raise BundleForeign(f"{directory.shown(path)} is not part {number} of bundle {manifest.number}")
        previous = part.digest
    return BundleSource(directory, folder, public, manifest)


def _head(manifest: Manifest, number: int, previous: bytes) -> PartHead:
    return PartHead(
        manifest.site,
        manifest.reader,
        manifest.number,
        manifest.bundle,
        number,
        manifest.base,
        manifest.scope,
        previous,
    )


# Writing ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class BundleTarget:
    """A bundle that is being written. ``manifest`` becomes its manifest; ``resume`` is the state to go on from.

    A part is on the disk, whole and durable, before the next one begins. What a run that was cut off left behind is
    continued after its last sound part.
    """

    directory: Directory
    folder: Path
    key: SigningKey
    manifest: Manifest
    resume: str
    part_bytes: int = PART_BYTES
    _waiting: list[bytes] = field(default_factory=list)
    _size: int = 0

    def apply(self, page: Page, settings: Settings) -> Tally:
        """Take a page."""
        raw = page_blocks(page)
        self._waiting.append(raw)
        self._size += len(raw)
        self.manifest.records += len(page.rows)
        if self._size >= self.part_bytes and page.state:
            self._close_part()
        return Tally()

    def acknowledge(self, closing: Closing, settings: Settings) -> dict[str, Tally]:
        """End the bundle: the manifest makes it complete."""
        if self._waiting:
            self._close_part()
        self.manifest.closing = closing
        self.directory.write(self.directory.manifest(self.folder), signed(MANIFEST, self.manifest, self.key))
        return {}

    def _close_part(self) -> None:
        parts = self.manifest.parts
        head = _head(self.manifest, len(parts) + 1, parts[-1].digest if parts else b"")
        raw = write_part(head, self._waiting, self.key)
        self.directory.write(self.directory.part(self.folder, head.part), raw)
        parts.append(PartForm(len(raw), read_part(raw, self.key.public, "a part").digest))
        self._waiting, self._size = [], 0


def begin_bundle(directory: Directory, folder: Path, key: SigningKey, manifest: Manifest) -> BundleTarget:
    """A new bundle in ``folder``, or the one that is there half written, continued after its last sound part.

    It is continued only where its parts fit ``manifest``: the same reader, number, base and scope.
    """
    manifest.bundle = secrets.token_hex(8)
    state = manifest.base
    for path in [*directory.parts(folder)]:
        part = _sound(directory, path, key.public)
        if part is None:
            break
        if not manifest.parts:
            manifest.bundle = part.head.bundle
        previous = manifest.parts[-1].digest if manifest.parts else b""
        pages = pages_of(part, directory.shown(path))
        if part.head != _head(manifest, len(manifest.parts) + 1, previous) or not pages[-1].state:
            break
        manifest.parts.append(PartForm(path.stat().st_size, part.digest))
        manifest.records += sum(len(page.rows) for page in pages)
        state = pages[-1].state
    if not manifest.parts:
        directory.remove(folder)
        manifest.bundle = secrets.token_hex(8)
    return BundleTarget(directory, folder, key, manifest, state)


def _sound(directory: Directory, path: Path, public: bytes) -> Part | None:
    try:
        return read_part(directory.read_part(path), public, directory.shown(path))
    except (BundleDamaged, BundleForeign):
        return None
