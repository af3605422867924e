"""One level of a context as listings show it (spec contexts A.2, ``list_files``)."""

from __future__ import annotations

from itertools import chain

from tallystick.contexts.archives import shown_level
from tallystick.contexts.entries import FileEntry
from tallystick.contexts.host import Folder
from tallystick.contexts.shelf import Shelf


def folder_of(shelf: Shelf, key: str, start: int, most: int) -> Folder:
    """Entries of the level below ``key``, from position ``start``; an absent folder is an empty one.

    Subtrees are skipped by their keys, so the cost is that of the level.
    """
    level: list[tuple[str, FileEntry]] = []
    start_length = len(key) + 1
    after = ""
    while page := shelf.below(key, after, 1000):
        for inner, entry in page:
            after = inner
            name, slash, _ = inner[start_length:].partition("/")
            if slash:  # past everything below that directory
                after = f"{key}/{name}/\U0010ffff"
                break
            level.append((inner, entry))
    own = shelf.entries([key]).get(key) if key else None
    found = shown_level(key, own, level, lambda above: chain.from_iterable(shelf.everything(above)))
    return Folder(found[start : start + most], len(found))
