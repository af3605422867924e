"""Sending content again that a context lists and cannot give back (docs/contexts.md, *Damage*)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tallystick.content.bundles import bundles_of
from tallystick.content.chunking import Chunk
from tallystick.contexts.end import ContextEnd
from tallystick.contexts.reading import Taken, read_file
from tallystick.errors import StorageError
from tallystick.trees.assembling import leaf_of
from tallystick.trees.contents import Wanted
from tallystick.trees.ends import TreeEnd


def heal(end: ContextEnd, source: TreeEnd, paths: Sequence[str]) -> list[str]:
    """Send the content of files of a context again, from a tree that was just looked at and has the very same.

    The host keeps it in the place of what it cannot read. Nothing becomes visible, and no version changes. Gives the
    paths of which the source has no such content, or none that can be read. Raises what sending raises.
    """
    left: list[str] = []
    end.host.send(end.info.id, bundles_of(chunk for path in paths for chunk in _content(end, source, path, left)))
    return left


def _content(end: ContextEnd, source: TreeEnd, path: str, left: list[str]) -> Iterator[Chunk]:
    parent, _, name = path.rpartition("/")
    listing = end.listing(parent)
    entry = None if listing is None else listing.find(name)
    try:
        if entry is not None:
            yield from read_file(source, Wanted(path, leaf_of(entry)), list[Taken]())
            return
    except (StorageError, OSError):
        pass
    left.append(path)
