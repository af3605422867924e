"""Which leaves of a directory nothing is to be done about, found without making an object of any (DESIGN.md 4.10)."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.trees.conflict_names import is_conflict_name
from tallystick.trees.listing import VALUE_BYTES, WIDTH, Listing, Mark, unpacked_names
from tallystick.trees.nodes import PERMISSIONS
from tallystick.trees.state import BASE_VALUE, BaseRow

JOURNALS = ("-wal", "-journal")
NOTHING: frozenset[str] = frozenset()


def unchanged_names(base: BaseRow, local: Listing, remote: Listing) -> frozenset[str]:
    """Names of leaves that are equal in the base and on both sides: in kind, content and permissions.

    Left out are those on which other names may depend: conflict copies, and everything beside a database's journal.
    """
    if _has_journal(local.names) or _has_journal(remote.names):
        return NOTHING
    known = dict(zip(unpacked_names(base.names), BASE_VALUE.iter_unpack(base.content), strict=True))
    places = {name: place for place, name in enumerate(remote.names)}
    here, there = bytes(local.values), bytes(remote.values)
    found = []
    for position, name in enumerate(local.names):
        start, place, old = position * VALUE_BYTES, places.get(name), known.get(name)
        if old is None or place is None or here[start] not in (Mark.FILE, Mark.LINK):
            continue
        value = here[start : start + VALUE_BYTES]
        if value != there[place * VALUE_BYTES : (place + 1) * VALUE_BYTES]:
            continue
        permissions = local.stats[position * WIDTH] & PERMISSIONS
        if permissions != remote.stats[place * WIDTH] & PERMISSIONS:
            continue
        if old[0] == value[0] and old[1] == permissions and old[3] == value[1:] and not is_conflict_name(name):
            found.append(name)
    return frozenset(found)


def _has_journal(names: Iterable[str]) -> bool:
    return any(name.endswith(JOURNALS) for name in names)
