"""Which leaves of a directory nothing is to be done about, found without making an object of any (DESIGN.md 4.10)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable

from tallystick.trees.base_row import BASE_BYTES, BaseRow
from tallystick.trees.conflict_names import CONFLICT, is_conflict_name
from tallystick.trees.listing import VALUE_BYTES, WIDTH, Listing, Mark, unpacked_names
from tallystick.trees.nodes import PERMISSIONS

JOURNALS = ("-wal", "-journal")
NOTHING: frozenset[str] = frozenset()
_VALUE = struct.Struct("B32s")
_BASE_PARTS = struct.Struct(">BH8x32s")
"""As ``state.BASE_VALUE``, without the size."""
_LEAF_MARKS = frozenset((Mark.FILE, Mark.LINK))


def unchanged_names(base: BaseRow, local: Listing, remote: Listing) -> frozenset[str]:
    """Names of leaves that are equal in the base and on both sides: in kind, content and permissions.

    Left out are those on which other names may depend: conflict copies, and everything beside a database's journal.
    """
    together = "\0".join((*local.names, *remote.names, ""))
    if any(f"{ending}\0" in together for ending in JOURNALS):
        return NOTHING
    theirs, olds = _shown(remote).get, _known(base).get
    names = [
        name
        for name, found in _shown(local).items()
        if found[1][0] in _LEAF_MARKS and theirs(name) == found == olds(name)
    ]
    if CONFLICT in together:
        return frozenset(name for name in names if not is_conflict_name(name))
    return frozenset(names)


def unchanged_but(news: Collection[str], base: BaseRow, local: Listing, remote: Listing) -> frozenset[str]:
    """The same in a directory about which nothing was left to do, where all but the ``news`` is as it was then."""
    together = "\0".join((*local.names, *remote.names, ""))
    if any(f"{ending}\0" in together for ending in JOURNALS) or CONFLICT in together:
        return unchanged_names(base, local, remote)
    marks = base.content[::BASE_BYTES]
    if not _LEAF_MARKS.issuperset(marks):
        return unchanged_names(base, local, remote)
    names = _leaves_of(local)
    names &= _leaves_of(remote)
    names.intersection_update(unpacked_names(base.names))
    names.difference_update(news)
    return frozenset(names)


def _leaves_of(listing: Listing) -> set[str]:
    """The names of the leaves that were read."""
    marks = listing.values[::VALUE_BYTES]
    if _LEAF_MARKS.issuperset(marks):
        return set(listing.names)
    return {name for name, mark in zip(listing.names, marks, strict=True) if mark in _LEAF_MARKS}


def _known(base: BaseRow) -> dict[str, tuple[int, tuple[int, bytes]]]:
    """What the base holds, in the form of ``_shown``."""
    if not base.content:
        return {}
    marks, permissions, digests = zip(*_BASE_PARTS.iter_unpack(base.content), strict=True)
    return dict(
        zip(unpacked_names(base.names), zip(permissions, zip(marks, digests, strict=True), strict=True), strict=True)
    )


def _shown(listing: Listing) -> dict[str, tuple[int, tuple[int, bytes]]]:
    """Every entry's permissions and value by name, put together at the price of no Python code an entry."""
    permissions = [mode & PERMISSIONS for mode in listing.stats[::WIDTH]]
    return dict(zip(listing.names, zip(permissions, _VALUE.iter_unpack(listing.values), strict=True), strict=True))


def ends_with(names: Iterable[str], *endings: str) -> bool:
    """True when one of the names ends with one of the endings; looked for in all of them at once."""
    together = "\0".join((*names, ""))
    return any(f"{ending}\0" in together for ending in endings)
