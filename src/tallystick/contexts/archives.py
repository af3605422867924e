"""The archives of a context: which there are, and what they hold (spec contexts U5-U7).

They stand beside what is not packed, under names that no file can have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import msgspec

from tallystick.contexts.entries import DIRECTORY, EXPIRED, FILE, FileEntry, packed, unpacked
from tallystick.contexts.host import ContextHost, Listed
from tallystick.contexts.layout import LOOSE, Layout, depth, holds_archives, is_packed
from tallystick.contexts.zips import Member, Zip, zips_of
from tallystick.trees.names import TEMPORARY

KEYS_AT_ONCE = 5000
_NAME = re.compile(rf"{re.escape(TEMPORARY)}archive-([1-9]\d{{0,5}})\.zip")

Found = tuple[str, FileEntry]
Below = Callable[[str], Iterable[Found]]


def archive_key(folder: str, number: int) -> str:
    """The key of the archive of this number, from 1, below a folder."""
    return f"{folder}/{TEMPORARY}archive-{number}.zip"


def archive_number(key: str) -> int:
    """The number of the archive that a key names; 0 for every other key."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    return int(found[1]) if found else 0


def zips_below(folder: str, entries: Iterable[Found]) -> list[Zip]:
    """The archives of a folder, given all entries below it."""
    mark, start = depth(folder) + 1, len(folder) + 1
    inside = {
        key[start:]: entry
        for key, entry in entries
        if entry.archived == mark and entry.kind != EXPIRED and key.startswith(f"{folder}/")
    }
    return zips_of(Member(unpacked(name), inside[name]) for name in sorted(inside))


def has_archives(host: ContextHost, identifier: str, folder: str) -> bool:
    """True when archives may stand directly below a key."""
    entry = host.entries(identifier, [folder]).get(folder) if folder else None
    return entry is not None and holds_archives(folder, entry)


def root_changes(host: ContextHost, identifier: str, layout: Layout) -> list[Found]:
    """What lets the archives of a layout be found: nothing where they can be already."""
    folder = packed(layout.prefix)
    entry = host.entries(identifier, [folder]).get(folder) or FileEntry(DIRECTORY, 0o755)
    if not folder or entry.kind != DIRECTORY or holds_archives(folder, entry):
        return []
    return [(folder, msgspec.structs.replace(entry, archived=layout.root))]


def archive_at(host: ContextHost, identifier: str, key: str) -> Zip | None:
    """The archive of a key, its members complete; None when there is none."""
    number, folder = archive_number(key), key.rpartition("/")[0]
    if not number or not has_archives(host, identifier, folder):
        return None
    pages = host.manifest(identifier, "", folder).pages
    found = zips_below(folder, ((inner, entry) for inner, entry in chain.from_iterable(pages) if entry is not None))
    return _complete(host, identifier, folder, found[number - 1]) if number <= len(found) else None


def _complete(host: ContextHost, identifier: str, folder: str, found: Zip) -> Zip:
    """The archive with the chunks of its members, which manifests do not tell."""
    keys = [f"{folder}/{packed(name)}" for name, _ in found.members]
    entries: dict[str, FileEntry] = {}
    for start in range(0, len(keys), KEYS_AT_ONCE):
        entries.update(host.entries(identifier, keys[start : start + KEYS_AT_ONCE]))
    members = [Member(name, entries.get(key, entry)) for key, (name, entry) in zip(keys, found.members, strict=True)]
    return zips_of(members)[0]


# What listings show ---------------------------------------------------------------------------------------------------


def shown_level(key: str, own: FileEntry | None, level: Sequence[Found], below: Below) -> list[Listed]:
    """One level as listings show it: archives in the place of what is packed.

    ``level`` are the entries of the level, ``below`` gives what stands below a key, in order.
    """
    found = [
        Listed(inner, entry.kind, entry.size, entry.created, entry.changed)
        for inner, entry in level
        if not is_packed(inner, entry) or (entry.kind == DIRECTORY and _holds_loose(below(inner)))
    ]
    if own is not None and holds_archives(key, own):
        found += [
            Listed(
                archive_key(key, number),
                FILE,
                archive.size,
                min(entry.created for _, entry in archive.members),
                max(entry.changed for _, entry in archive.members),
            )
            for number, archive in enumerate(zips_below(key, below(key)), 1)
        ]
    return sorted(found, key=lambda item: item.key)


def _holds_loose(entries: Iterable[Found]) -> bool:
    return any(entry.archived == LOOSE for _, entry in entries)
