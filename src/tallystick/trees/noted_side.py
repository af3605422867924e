"""What was noted of one side of a pair, read as a run asks for it (DESIGN.md 4.10)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from tallystick.trees.listing import VALUES, Listing, Mark, packed, unpacked, unpacked_names
from tallystick.trees.nodes import joined
from tallystick.trees.sums import SUM_BYTES, Damaged, checked, decoding

if TYPE_CHECKING:
    from tallystick.trees.state import State

MANY = 64
"""When so many rows were asked for one by one, and ..."""
FEW = 8
"""... that was more than one of so many, all are read at once in the order of the pages."""


class NotedSide:
    """One side, by the number under which it is stored."""

    def __init__(self, state: State, side: int) -> None:
        self._state = state
        self._side = side
        self._signatures: dict[str, tuple[bytes, bytes]] | None = None
        self._rows: dict[str, tuple[bytes, bytes, bytes]] | None = None
        self._inner: dict[str, set[str]] | None = None
        self._expected: dict[str, tuple[bytes, bytes, bytes]] = {}
        self._reads = 0
        self._promised: dict[str, frozenset[str]] = {}
        """By directory the names of those in it that must be noted themselves."""
        self.afresh = False
        """True when every directory is to be looked at entry by entry, because the scope changed."""
        self.mounts: Collection[str] = ()
        """Directories in which other file systems were mounted."""
        self._within: tuple[str, tuple[bytes, ...]] = ("", ())

    def keep_to(self, span: tuple[bytes, bytes] | None, inside: bool = True) -> None:
        """Know the signatures of what stands in a span of packed paths only, or outside of it; None: of everything."""
        self._signatures = None
        self._inner = None
        self._within = ("", ())
        if span is not None:
            start, end = span
            bounds, values = ("path >= ? AND path < ?", span) if end else ("path >= ?", (start,))
            self._within = (f" AND {'' if inside else 'NOT '}({bounds})", values)

    def signature(self, path: str) -> tuple[bytes, bytes] | None:
        """Packed names and stats of a directory, unchecked: what a scan finds to be so needs no sum."""
        if self.afresh:
            return None
        if self._signatures is None:
            where, values = self._within
            rows = self._state.connection.execute(
                f"SELECT path, names, stats FROM listing WHERE side = ?{where}", (self._side, *values)
            )
            with decoding():
                self._signatures = {unpacked(path): (names, stats) for path, names, stats in rows}
        return self._signatures.get(path)

    def subdirectories(self, path: str) -> Collection[str]:
        """The names of the directories in a directory that were noted themselves."""
        if self._inner is None:
            self._inner = {}
            for noted in self._paths():
                parent, _, name = noted.rpartition("/")
                if noted:
                    self._inner.setdefault(parent, set()).add(name)
        return self._inner.get(path, ())

    def _paths(self) -> Iterable[str]:
        if self._signatures is not None or self._rows is not None:
            return self._signatures or self._rows or ()
        paths = self._state.connection.execute("SELECT path FROM listing WHERE side = ?", (self._side,))
        with decoding():
            return [unpacked(path) for (path,) in paths]

    def token(self) -> str:
        """The token of the end when this was noted."""
        return "" if self.afresh else self._state.meta(f"token:{self._side}") or ""

    def listing(self, path: str) -> Listing | None:
        """All that was noted of a directory."""
        found = self._noted(path)
        if found is None:
            self._check_missing(path)
        return found

    def _noted(self, path: str) -> Listing | None:
        row = self._expected.get(path)
        if row is None:
            row = self._rows.get(path) if self._rows is not None else self._row(path)
        if row is None:
            return None
        names, stats, content = row
        return Listing.from_row(names, stats, checked(content, self._side, packed(path), names, stats))

    def _check_missing(self, path: str) -> None:
        """Raise Damaged when there must be a row: one by which a directory was recognized, or that a token stands for.

        A search among damaged keys may miss what is there.
        """
        if self._signatures is not None and path in self._signatures:
            raise Damaged("the noted entries of a directory cannot be found")
        parent, _, name = path.rpartition("/")
        if parent not in self._promised:
            above = self._noted(parent) if self.token() else None
            self._promised[parent] = frozenset(above.subdirectories() if above is not None else ())
        if name in self._promised[parent]:
            raise Damaged("the noted entries of a directory are missing")

    def expect(self, paths: Collection[str]) -> None:
        """Read these rows together: they will be asked for."""
        query = f"SELECT path, names, stats, content FROM listing WHERE side = {self._side} AND path IN"
        with decoding():
            for path, *row in self._state.selected(query, paths):
                self._expected[unpacked(path)] = (row[0], row[1], row[2])

    def holders(self, digests: Collection[bytes]) -> dict[bytes, str]:
        """For those of the digests that were noted for a file, its path; one look at everything that was noted."""
        wanted = {bytes((Mark.FILE,)) + digest for digest in digests}
        found: dict[bytes, str] = {}
        rows = self._state.connection.execute("SELECT path, names, content FROM listing WHERE side = ?", (self._side,))
        with decoding():
            for path, names, content in rows:
                values = [value for (value,) in VALUES.iter_unpack(content[:-SUM_BYTES])]
                if not wanted.isdisjoint(values):
                    for name, value in zip(unpacked_names(names), values, strict=True):
                        if value in wanted:
                            found.setdefault(value[1:], joined(unpacked(path), name))
        return found

    def _row(self, path: str) -> tuple[bytes, bytes, bytes] | None:
        """One row; when many were asked for, the others are read along with it."""
        self._reads += 1
        if self._reads >= MANY and self._reads & (self._reads - 1) == 0 and self._reads * FEW > self._count():
            selected = self._state.connection.execute(
                "SELECT path, names, stats, content FROM listing WHERE side = ?", (self._side,)
            )
            with decoding():
                self._rows = {unpacked(found): (names, stats, content) for found, names, stats, content in selected}
            return self._rows.get(path)
        found: tuple[bytes, bytes, bytes] | None = self._state.connection.execute(
            "SELECT names, stats, content FROM listing WHERE side = ? AND path = ?", (self._side, packed(path))
        ).fetchone()
        return found

    def _count(self) -> int:
        (found,) = self._state.connection.execute(
            "SELECT count(*) FROM listing WHERE side = ?", (self._side,)
        ).fetchone()
        return int(found)
