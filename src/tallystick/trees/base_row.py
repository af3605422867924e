"""What both sides are known to hold in one directory, as the memory of a pair stores it."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from tallystick.trees.listing import (
    DIGEST_BYTES,
    FEW_NAMES,
    VALUE_BYTES,
    WIDTH,
    Listing,
    Mark,
    packed_names,
    unpacked_names,
)
from tallystick.trees.nodes import PERMISSIONS, Directory, Kind, Leaf, Node

BASE_VALUE = struct.Struct(">BHQ32s")
BASE_BYTES = BASE_VALUE.size
_FILE, _LINK, _DIRECTORY, _NEVER_HELD = Mark.FILE, Mark.LINK, Mark.DIRECTORY, 0x80


class BaseRow(NamedTuple):
    """The entries of one directory that both sides are known to hold, as they are stored."""

    names: bytes
    content: bytes

    @classmethod
    def of(cls, children: Mapping[str, Node]) -> BaseRow:
        """The row of these leaves and directories; whatever else is among them is left out."""
        return _packed_base(children)

    @classmethod
    def listed(cls, listing: Listing) -> BaseRow:
        """The row of everything that a listing shows."""
        pack = BASE_VALUE.pack
        modes, sizes = listing.stats[::WIDTH], listing.stats[2::WIDTH]
        marks, values = listing.values[::VALUE_BYTES], bytes(listing.values)
        names, content = [], []
        for position, (name, mode, size, mark) in enumerate(zip(listing.names, modes, sizes, marks, strict=True)):
            start = position * VALUE_BYTES + 1
            if mark in (_FILE, _LINK):
                names.append(name)
                content.append(pack(mark, mode & PERMISSIONS, size, values[start : start + DIGEST_BYTES]))
            elif mark == _DIRECTORY:
                names.append(name)
                content.append(pack(mark, 0, 0, b""))
        return cls(packed_names(names), b"".join(content))

    def children(self, without: Collection[str] = ()) -> dict[str, Node]:
        """The leaves and (empty) directories of the row, but for some names."""
        return _unpacked_base(self.names, self.content, without)

    def updated(self, kept: Collection[str], children: Mapping[str, Node]) -> BaseRow:
        """The row that holds what this one holds under the ``kept`` names, and these children."""
        own = BaseRow.of(children)
        if not kept:
            return own
        names, content, parts = unpacked_names(self.names), bytearray(self.content), dict(own.parts())
        changed = {name for name in names if name not in kept} | parts.keys()
        if len(changed) > FEW_NAMES or names != sorted(names):
            parts = {**{name: part for name, part in self.parts() if name in kept}, **parts}
            return BaseRow(packed_names(listed := sorted(parts)), b"".join(parts[name] for name in listed))
        for name in changed:
            place = bisect_left(names, name)
            end = place + (name in names)
            names[place:end] = [name] if name in parts else []
            content[place * BASE_BYTES : end * BASE_BYTES] = parts.get(name, b"")
        return BaseRow(packed_names(names), bytes(content))

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """Every name with what is stored of it."""
        for position, name in enumerate(unpacked_names(self.names)):
            yield name, self.content[position * BASE_BYTES : (position + 1) * BASE_BYTES]

    def directories(self) -> frozenset[str]:
        """The names of the directories in it that were held."""
        marks = self.content[::BASE_BYTES]
        if _DIRECTORY not in marks:
            return frozenset()
        names = unpacked_names(self.names)
        return frozenset(name for name, mark in zip(names, marks, strict=True) if mark == _DIRECTORY)

    @property
    def files(self) -> int:
        """How many materialised leaves it holds."""
        return sum(mark in (_FILE, _LINK) for mark in self.content[::BASE_BYTES])


def _packed_base(children: Mapping[str, Node]) -> BaseRow:
    names, content = [], bytearray()
    for name, child in sorted(children.items()):
        if isinstance(child, Leaf):
            assert child.digest is not None, f"{name!r} was never read and cannot be agreed on"
            mark = _LINK if child.kind is Kind.LINK else _FILE
            parts = (mark, child.permissions, child.size, child.digest, child.materialised)
        elif isinstance(child, Directory):
            parts = (_DIRECTORY, 0, 0, b"", child.materialised)
        else:
            continue
        names.append(name)
        content += BASE_VALUE.pack(parts[0] | (0 if parts[4] else _NEVER_HELD), *parts[1:4])
    return BaseRow(packed_names(names), bytes(content))


def _unpacked_base(names: bytes, content: bytes, without: Collection[str] = ()) -> dict[str, Node]:
    children: dict[str, Node] = {}
    for position, name in enumerate(unpacked_names(names)):
        if name in without:
            continue
        mark, permissions, size, digest = BASE_VALUE.unpack_from(content, position * BASE_VALUE.size)
        held = not mark & _NEVER_HELD
        kind = mark & ~_NEVER_HELD
        if kind == _DIRECTORY:
            children[name] = Directory(materialised=held)
        else:
            found = Kind.LINK if kind == _LINK else Kind.FILE
            children[name] = Leaf(found, digest, size, 0, permissions, held)
    return children
