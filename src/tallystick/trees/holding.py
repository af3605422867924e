"""Content that is here already, under another path: it need not come from far away (spec contexts U2).

What was noted may be out of date. So every copy is checked against the digest that is wanted, and what fails is
fetched after all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tallystick.trees.contents import NO_XATTRS, Clone, Contents, Given, Sink, Wanted

WORTH_BYTES = 4096
"""Less than this comes as fast as it is looked for."""


class Held:
    """A source of content from this side: for every digest the path that holds it."""

    parallel = False

    def __init__(self, own: Contents, holders: Mapping[bytes, str]) -> None:
        self._own = own
        self._holders = holders

    def has(self, wanted: Wanted) -> bool:
        """True when the content of a file was noted here."""
        return wanted.leaf.digest in self._holders

    def prepare(self, wanted: Sequence[Wanted]) -> None:
        """Nothing: files are opened one by one."""

    def give(self, wanted: Wanted, sink: Sink, restart: Callable[[], None], clone: Clone | None = None) -> Given:
        """The content, with the time that is wanted. Raises as the tree does where it is not held after all."""
        here = wanted._replace(path=self._holders[wanted.leaf.digest or b""])
        given = self._own.give(here, sink, restart, clone)
        return given._replace(mtime_ns=wanted.leaf.mtime_ns, xattrs=NO_XATTRS)

    def link_target(self, wanted: Wanted) -> str:
        """Links are never held: they are told, not copied."""
        return self._own.link_target(wanted)
