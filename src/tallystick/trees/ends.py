"""The port by which a run sees one of its two trees: a directory here, a bucket, a context on a site.

A run brings an end's listings up to date, asks it to read what the plan depends on, uses it as the source of content
for the other side, and lets it carry out its actions. An end keeps no memory of its own between runs: the state of
the pair does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from tallystick.errors import StorageError
from tallystick.trees.contents import Contents
from tallystick.trees.intended import Intention, Rows
from tallystick.trees.listing import Listing
from tallystick.trees.mount import Mount
from tallystick.trees.names import Volume
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.plan import Action
from tallystick.trees.scan import Noted, Scan
from tallystick.trees.scope import Scope


class ReadValue(NamedTuple):
    """What reading one leaf gave: a listing mark and a digest with the stats they belong to, or why it failed."""

    path: str
    mark: int = 0
    digest: bytes = b""
    stats: Sequence[int] = ()
    problem: StorageError | None = None


class TreeEnd(Contents, Protocol):
    """One of the two trees of a run."""

    @property
    def title(self) -> str:
        """How messages name it."""

    @property
    def volume(self) -> Volume:
        """What names it can hold."""

    @property
    def mount(self) -> Mount | None:
        """The directory on this machine that the tree is; None for any other kind."""

    @property
    def unknown(self) -> frozenset[str]:
        """Paths that the last refresh could not look at."""

    @property
    def token(self) -> str:
        """What its listings stand for by now, so that the next refresh may ask for what is newer; "" when scanned."""

    def learn(self, known: str, may_write: bool) -> str:
        """Find out what names the volume can hold, from what is remembered of it or by asking it, which writes.

        Gives what to remember; "" when there is nothing to.
        """

    def identity(self) -> str:
        """What tells this tree from another one that stands in its place by now. Raises RootMissing (G3)."""

    def is_same(self, known: str, found: str) -> bool:
        """True when an identity that was remembered and one that was found are those of one tree."""

    def refresh(self, noted: Noted, scope: Scope) -> Scan:
        """Find the directories that differ from what was noted. Changes nothing at the tree.

        Raises RootMissing or StorageError when the tree as a whole cannot be looked at; retrying is harmless.
        """

    def adopt(self, noted: Noted, found: Scan) -> None:
        """Take over what a refresh found, possibly in another process."""

    def listing(self, path: str) -> Listing | None:
        """What is known of a directory by now; None when it is not there or could not be listed."""

    def note(self, path: str, listing: Listing | None) -> None:
        """Remember what a directory holds by now; None when it has gone."""

    def read_values(self, groups: Sequence[Sequence[str]]) -> list[ReadValue]:
        """The digests of leaves; a group (a database) is read in one still state (U8).

        Never raises for a leaf.
        """

    def rules(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """The content of ignore files, by path; those that are gone or unreadable are left out."""

    def is_directory(self, path: str) -> bool:
        """True when a directory stands at a path."""

    def place(self, other: TreeEnd, actions: Sequence[Action], orders: Orders) -> Outcome:
        """Carry out the actions of this side. What succeeded is durable, if orders say so, when ``settle`` returns.

        A path that fails is in the outcome, never raised; NoSpace is raised before anything was written.
        """

    def settle(self) -> None:
        """Wait until what was placed is certain: until then nothing may be given up or remembered for it.

        Raises what kept it from becoming so; nothing was done then. Idempotent.
        """

    def stood(self, intention: Intention) -> Rows | None:
        """Of what an earlier run meant to place here, what came to stand; None while that may still come about.

        Asked after a refresh.
        """

    def clean(self, leftovers: Sequence[str], known: Callable[[str, bytes], bool]) -> list[str]:
        """Remove temporary entries that an interrupted run left; returns the paths of rescued files.

        ``known`` says whether content of a digest is safe elsewhere; what is not is given a visible name.
        """

    def close(self) -> None:
        """Give handles and connections back."""
