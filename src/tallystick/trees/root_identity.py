"""What tells the root of a tree from another directory in its place, whatever its device is called today (G3). Pure."""

from __future__ import annotations

from typing import NamedTuple


class RootIdentity(NamedTuple):
    """Numbers of a directory; "" for what is not known.

    Device numbers are given out anew when a stick is plugged in or, on some file systems, when the machine starts; the
    root of every file system of one kind has the same inode. So ``volume``, the identifier of the file system as the
    system lists it, decides where it is known, then ``file_system``, as the file system itself states it, and only
    then the device. ``generation`` tells a directory from an earlier one that had its inode.
    """

    device: str
    inode: str
    generation: str = ""
    file_system: str = ""
    volume: str = ""

    @classmethod
    def parsed(cls, text: str) -> RootIdentity:
        """The identity that ``str`` gave; memories of earlier releases know less of it."""
        device, inode, *rest = text.split(":", 4)
        return cls(device, inode, *rest)

    def __str__(self) -> str:
        return ":".join(self).rstrip(":")

    def is_same(self, known: RootIdentity) -> bool:
        """True when this is the directory that was known."""
        if self.inode != known.inode or (known.generation and self.generation != known.generation):
            return False
        for own, others in ((self.volume, known.volume), (self.file_system, known.file_system)):
            if own and others:
                return own == others
        return self.device == known.device
