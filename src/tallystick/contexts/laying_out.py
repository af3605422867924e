"""Laying out what a context holds already: after a change of the upload mode, in one publication (spec contexts U7)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from tallystick.contexts.archives import has_archives
from tallystick.contexts.delivering import publish_pages
from tallystick.contexts.entries import DIRECTORY, EXPIRED, Change, FileEntry, packed, unpacked
from tallystick.contexts.host import ContextHost
from tallystick.contexts.keys import below
from tallystick.contexts.layout import LOOSE, Layout
from tallystick.trees.scope import Scope

KEYS_AT_ONCE = 5000


def lay_out(host: ContextHost, identifier: str, layout: Layout, scope: Scope) -> str:
    """Mark everything in scope below the prefix as the layout wants it; gives the version that is current then.

    Contents, times and recycle clocks stay; what is out of scope keeps its layout. Nothing is published where nothing
    is to be changed. Raises VersionMoved when somebody else was faster: do it again.
    """
    folder = packed(layout.prefix)
    if not layout.archive and not has_archives(host, identifier, folder):
        return host.find(identifier).version
    manifest = host.manifest(identifier, "", folder)
    marks = dict(_marks(chain.from_iterable(manifest.pages), layout, scope))
    archives = any(after == layout.root for _, after in marks.values())
    changed = {key: after for key, (before, after) in marks.items() if before != after}
    if has_archives(host, identifier, folder) != archives and folder:
        changed[folder] = layout.root if archives else LOOSE
    changes = list(_changes(host, identifier, changed))
    return publish_pages(host, identifier, manifest.version, changes) if changes else manifest.version


def _marks(entries: Iterator[Change], layout: Layout, scope: Scope) -> Iterator[tuple[str, tuple[int, int]]]:
    """What everything below the prefix is marked with, and what it is to be marked with."""
    for key, entry in entries:
        path = below(layout.prefix, unpacked(key))
        if path and entry is not None and entry.kind != EXPIRED:
            seen = scope.includes(path, entry.kind == DIRECTORY)
            yield key, (entry.archived, layout.mark(path, entry) if seen else entry.archived)


def _changes(host: ContextHost, identifier: str, marks: dict[str, int]) -> Iterator[tuple[str, FileEntry]]:
    keys = sorted(marks)
    for start in range(0, len(keys), KEYS_AT_ONCE):
        found = host.entries(identifier, keys[start : start + KEYS_AT_ONCE])
        for key, entry in sorted(found.items()):
            yield key, msgspec.structs.replace(entry, archived=marks[key])
