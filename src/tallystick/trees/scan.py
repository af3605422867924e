"""Scanning: which directories differ from what was noted about them (DESIGN.md 4.10, spec contexts G4, K7, U8).

One pass over directory handles, one stat an entry. A directory whose names and stats are as noted is passed over
with one comparison; only directories that differ are listed entry by entry.
"""

from __future__ import annotations

import errno
import os
import stat
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from tallystick.trees.cut import Cut
from tallystick.trees.files import Files, Handle
from tallystick.trees.listing import (
    DISTRUST,
    NO_DIGEST,
    PACKED_STATS,
    RACE_NS,
    VALUE_BYTES,
    WIDTH,
    Listing,
    Mark,
    packed_names,
)
from tallystick.trees.names import MAX_DEPTH, TEMPORARY, is_leftover, link_leaves
from tallystick.trees.nodes import joined
from tallystick.trees.processes import Beside, may_fork
from tallystick.trees.scope import Scope

_TYPE = 0o170000
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

SHARE_ENTRIES = 4000
"""When so many entries have been looked at, a tree is large enough for two processes."""

_NOT_MOUNTED = "its file system is not mounted; mount it, or remove the empty directory to have its files deleted"
_RESERVED = f"names that begin with {TEMPORARY} are reserved for temporary files"
UNREAD = bytes((Mark.UNREAD,)) + NO_DIGEST
"""The value of a file that nobody has read yet."""

_READ_MARKS = frozenset((Mark.FILE, Mark.LINK))
_FIRST_MARKS = {0: Mark.UNKNOWN, stat.S_IFREG: Mark.UNREAD, stat.S_IFDIR: Mark.DIRECTORY, stat.S_IFLNK: Mark.LINK}


class _Unseen(NamedTuple):
    """In the place of what an entry is that cannot be looked at."""

    st_mode: int = 0
    st_ino: int = 0
    st_size: int = 0
    st_mtime_ns: int = 0
    st_ctime_ns: int = 0
    st_dev: int = 0


_UNSEEN = _Unseen()


class Noted(Protocol):
    """What is known from earlier scans. In ``mounts`` other file systems were mounted then."""

    mounts: Collection[str]

    def signature(self, path: str) -> tuple[bytes, bytes] | None:
        """Packed names and stats of a directory; None when it was never listed."""

    def listing(self, path: str) -> Listing | None:
        """All that was noted of a directory; None when it was never listed."""

    def expect(self, paths: Collection[str]) -> None:
        """These listings will be asked for: they are read together."""

    def holders(self, digests: Collection[bytes]) -> dict[bytes, str]:
        """For those of the digests that were noted somewhere, a path that held such content then."""

    def token(self) -> str:
        """The token of the end when this was noted; "" when everything has to be looked at."""


@dataclass(slots=True)
class Scan:
    """What a scan found: the directories that differ from what was noted, and what could not be looked at.

    ``reordered`` directories hold what was noted in another order than that of the names: they are noted anew and
    nothing else.
    ``warnings`` are (code, path, reason). ``leftovers`` are temporary files of ours. ``rules`` are the paths of
    ignore files in directories that differ. ``news`` names what is not as it was noted in a directory that differs:
    new, changed or gone; a directory that is noted for the first time or afresh has none. ``mounted`` are directories
    in which another file system stands, or ought to.
    """

    changed: dict[str, Listing] = field(default_factory=dict)
    news: dict[str, frozenset[str]] = field(default_factory=dict)
    reordered: dict[str, Listing] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    warnings: list[tuple[str, str, str]] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    mounted: set[str] = field(default_factory=set)
    entries: int = 0
    directories: int = 0

    def add(self, other: Scan) -> None:
        """Take over what a scan of another part of the same tree found."""
        self.changed.update(other.changed)
        self.news.update(other.news)
        self.reordered.update(other.reordered)
        self.unknown |= other.unknown
        self.warnings += other.warnings
        self.leftovers += other.leftovers
        self.rules += other.rules
        self.mounted |= other.mounted
        self.entries += other.entries
        self.directories += other.directories


class Level(NamedTuple):
    """A directory on the way to the one that is looked at, and what in it is still to be entered, the last one next."""

    path: str
    handle: Handle
    depth: int
    names: list[str]


IGNORE_FILE = ".tallyignore"
_NAME = attrgetter("name")
_NUMBERS = attrgetter("st_mode", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
_NO_NUMBERS = array("q", (0, 0, 0))


def scan(
    files: Files,
    root: Handle,
    noted: Noted,
    scope: Scope,
    now_ns: Callable[[], int],
    shared: bool = False,
    without: Cut | None = None,
) -> Scan:
    """Compare a tree with what was noted of it. Changes nothing; raises OSError only for the root itself.

    When it is ``shared``, a second process looks at a part of a large tree. What a cut takes away is left out.
    """
    scanner = _Scanner(files, noted, scope, now_ns, files.status_of(root).st_dev, shared, without)
    try:
        scanner.visit("", root)
        scanner.compare()
    except BaseException:
        if scanner.rest is not None:
            scanner.rest.abandon()
        raise
    if scanner.rest is not None:
        scanner.found.add(scanner.rest.answer())
    return scanner.found


def scan_part(files: Files, root: Handle, noted: Noted, scope: Scope, now_ns: Callable[[], int], cut: Cut) -> Scan:
    """What ``scan`` leaves out for a cut. Its directories that cannot be entered are unknown; never raises OSError."""
    scanner = _Scanner(files, noted, scope, now_ns, files.status_of(root).st_dev)
    scanner.enter_part(root, cut)
    scanner.compare()
    return scanner.found


def unread(scans: Iterable[Scan], known: Collection[str]) -> list[str]:
    """What scans could not read beyond the ``known`` paths: a plan does not look into what is carried over whole."""
    warnings = [warning for found in scans for warning in found.warnings]
    return sorted({path for code, path, _ in warnings if code == "unreadable"} - set(known))


class _Scanner:
    def __init__(
        self,
        files: Files,
        noted: Noted,
        scope: Scope,
        now_ns: Callable[[], int],
        device: int,
        shared: bool = False,
        without: Cut | None = None,
    ) -> None:
        self.device = device
        self.mounts = noted.mounts
        self.files = files
        self.noted = noted
        self.scope = scope
        self.now_ns = now_ns
        self.shared = shared
        self.without = without
        self.levels: list[Level] = []
        self.rest: Beside[Scan] | None = None
        self.found = Scan()
        self.differing: dict[str, Listing] = {}

    def visit(self, path: str, directory: Handle, depth: int = 0) -> None:
        """List one directory and all below it."""
        names, numbers, inner = self._look(path, directory)
        self.found.entries += len(names)
        self.found.directories += 1
        before = self.noted.signature(path)
        if before is None or before[0] != packed_names(names) or before[1] != numbers.tobytes():
            listing = self.differing[path] = self._listed(path, directory, names, numbers)
            inner = listing.subdirectories()
        elif not self.scope.everything:
            inner = [name for name in inner if self.scope.enters(joined(path, name))]
        if self.without is not None and path == self.without.directory:
            inner = [name for name in inner if name not in self.without.names]
        if depth >= MAX_DEPTH:
            self._unknown_below(path, inner, "the tree is too deep")
            return
        if not inner:
            return
        level = Level(path, directory, depth, inner[::-1])
        self.levels.append(level)
        while level.names:
            if self.shared and self.found.entries >= SHARE_ENTRIES:
                self._share()
            self._enter(path, directory, level.names.pop(), depth)
        self.levels.pop()

    def _share(self) -> None:
        """Leave half of what is still to be entered in the highest directory to a second process, once."""
        level = next((level for level in self.levels if len(level.names) > 1), None)
        if level is None:
            return
        self.shared = False
        if may_fork():
            half = len(level.names) // 2
            left = level._replace(names=level.names[:half])
            self.rest = Beside(lambda: self._rest(left))
            del level.names[:half]

    def _rest(self, left: Level) -> Scan:
        """What is found in directories that were left to this process; their parent's handle came with it."""
        scanner = _Scanner(self.files, self.noted, self.scope, self.now_ns, self.device)
        for name in reversed(left.names):
            scanner._enter(left.path, left.handle, name, left.depth)
        scanner.compare()
        return scanner.found

    def enter_part(self, root: Handle, cut: Cut) -> None:
        """Look at the directories of a cut: by handles of their own, as the first process lists those above them."""
        above: list[Handle] = []
        names = cut.directory.split("/") if cut.directory else []
        try:
            for name in names:
                above.append(self.files.open_directory(name, above[-1] if above else root))
        except OSError as problem:
            for path in sorted(cut.paths):
                self._failed_entry(path, problem)
            self.found.unknown |= cut.paths
        else:
            for name in sorted(cut.names):
                if self.scope.everything or self.scope.enters(joined(cut.directory, name)):
                    self._enter(cut.directory, above[-1] if above else root, name, len(names))
        finally:
            for handle in above:
                self.files.close(handle)

    def _look(self, path: str, directory: Handle) -> tuple[list[str], array[int], list[str]]:
        """Names and stats in the order of the names, and which are directories: what decides the cost of a scan."""
        with self.files.entries(directory) as entries:
            listed = sorted(entries, key=_NAME)  # so that what we change ourselves has its place, too
            try:
                found = [entry.stat(follow_symlinks=False) for entry in listed]
            except OSError:
                listed, found = self._look_singly(path, listed)
        names = [entry.name for entry in listed]
        numbers = array("q", list(chain.from_iterable(map(_NUMBERS, found))))
        modes = numbers[::WIDTH]
        if not any(map(stat.S_ISDIR, set(modes))):
            return names, numbers, []
        places = [place for place, mode in enumerate(modes) if stat.S_ISDIR(mode)]
        for place in places:
            numbers[place * WIDTH + 2 : (place + 1) * WIDTH] = _NO_NUMBERS
        elsewhere = [names[place] for place in places if found[place].st_dev != self.device]
        if elsewhere:
            self._note_mounted(path, directory, elsewhere)
        return names, numbers, [names[place] for place in places]

    def _note_mounted(self, path: str, directory: Handle, names: list[str]) -> None:
        """Of directories on another device than the root, those that are on another one than their parent."""
        own = self.files.status_of(directory).st_dev
        if own == self.device:
            self.found.mounted.update(joined(path, name) for name in names)
            return
        inner = ((name, self.files.status(name, directory).st_dev) for name in names)
        self.found.mounted.update(joined(path, name) for name, device in inner if device != own)

    def _is_unmounted(self, path: str, handle: Handle, parent: Handle) -> bool:
        """True for an empty directory in which a file system was mounted: nobody has deleted what stood there (G4)."""
        if path not in self.mounts or self.files.status_of(handle).st_dev != self.files.status_of(parent).st_dev:
            return False
        with self.files.entries(handle) as entries:
            return next(iter(entries), None) is None

    def _look_singly(self, path: str, listed: list[Any]) -> tuple[list[Any], list[os.stat_result | _Unseen]]:
        """The entries that are there, and what they are; one that cannot be looked at is there, too (G4)."""
        looked: list[Any] = []
        found: list[os.stat_result | _Unseen] = []
        for entry in listed:
            try:
                numbers: os.stat_result | _Unseen = entry.stat(follow_symlinks=False)
            except OSError as problem:
                if problem.errno in _VANISHED:
                    continue
                self._failed_entry(joined(path, entry.name), problem)
                numbers = _UNSEEN
            looked.append(entry)
            found.append(numbers)
        return looked, found

    def _failed_entry(self, path: str, problem: OSError) -> None:
        if problem.errno not in _VANISHED:
            self.found.unknown.add(path)
            self.found.warnings.append(("unreadable", path, str(problem)))

    def _enter(self, path: str, directory: Handle, name: str, depth: int) -> None:
        inner = joined(path, name)
        try:
            handle = self.files.open_directory(name, directory)
        except OSError as problem:
            # Also when it has vanished or been replaced since it was listed: the next scan knows better.
            self.found.unknown.add(inner)
            if problem.errno not in _VANISHED:
                self.found.warnings.append(("unreadable", inner, str(problem)))
            return
        try:
            if self.mounts and self._is_unmounted(inner, handle, directory):
                self._unknown_below(path, [name], _NOT_MOUNTED)
                self.found.mounted.add(inner)
            else:
                self.visit(inner, handle, depth + 1)
        except OSError as problem:
            self.found.unknown.add(inner)
            self.found.warnings.append(("unreadable", inner, str(problem)))
        finally:
            self.files.close(handle)

    def _unknown_below(self, path: str, names: list[str], why: str) -> None:
        for name in names:
            self.found.unknown.add(joined(path, name))
            self.found.warnings.append(("unreadable", joined(path, name), why))

    # A directory that differs ---------------------------------------------------------------------

    def _listed(self, path: str, directory: Handle, names: list[str], numbers: array[int]) -> Listing:
        """The new listing of a directory, with the values that nobody needs to read for."""
        keep = [position for position, name in enumerate(names) if not name.startswith(TEMPORARY)]
        if len(keep) < len(names):
            ours = [joined(path, name) for name in names if name.startswith(TEMPORARY)]
            self.found.leftovers += ours
            self.found.warnings += [("skipped", inner, _RESERVED) for inner in ours if not is_leftover(inner)]
            names = [names[position] for position in keep]
            kept = [numbers[position * WIDTH : (position + 1) * WIDTH] for position in keep]
            numbers = array("q", [number for entry in kept for number in entry])
        if IGNORE_FILE in names:
            self.found.rules.append(joined(path, IGNORE_FILE))
        values = self._first_values(path, directory, names, numbers)
        return Listing(names, numbers, values)

    def compare(self) -> None:
        """Carry over what was noted of the directories that differ, all of it read at once."""
        self.noted.expect(self.differing)
        for path, listing in self.differing.items():
            unchanged = self._carry(path, listing.names, listing.stats, listing.values)
            self._distrust(listing.stats)
            _distrust_unknown(listing.stats, listing.values)
            (self.found.reordered if unchanged else self.found.changed)[path] = listing

    def _first_values(self, path: str, directory: Handle, names: list[str], numbers: array[int]) -> bytearray:
        """The values that modes and scope alone give: nothing has been read yet."""
        modes = numbers[::WIDTH]
        if self.scope.everything and all(mode & _TYPE == stat.S_IFREG for mode in set(modes)):
            return bytearray(UNREAD * len(names))
        values = bytearray()
        for position, mode in enumerate(modes):
            mark = _FIRST_MARKS.get(mode & _TYPE)
            if mark is None:
                mark = self._special(joined(path, names[position]))
            elif mark == Mark.LINK or not self.scope.everything:
                mark = self._seen(path, directory, names[position], mark)
            values.append(mark)
            values += NO_DIGEST
        return values

    def _special(self, path: str) -> int:
        self.found.warnings.append(("skipped", path, "devices, sockets and pipes are not synchronized"))
        return Mark.INVISIBLE

    def _seen(self, path: str, directory: Handle, name: str, mark: int) -> int:
        """The mark of an entry that may be out of scope, or a link that leaves the tree."""
        inner = joined(path, name)
        if not self.scope.everything:
            is_directory = mark == Mark.DIRECTORY
            if not (self.scope.enters(inner) if is_directory else self.scope.includes(inner, False)):
                return Mark.INVISIBLE
        if mark != Mark.LINK:
            return mark
        try:
            target = self.files.read_link(name, directory)
        except OSError as problem:
            self._failed_entry(inner, problem)
            return Mark.UNKNOWN
        if link_leaves(inner, target):
            self.found.warnings.append(("skipped", inner, f"the link leaves the tree: {target}"))
            return Mark.INVISIBLE
        return Mark.UNREAD

    def _carry(self, path: str, names: list[str], numbers: array[int], values: bytearray) -> bool:
        """Carry values over where the stats are as noted; True when every entry is, only in another order."""
        before = self.noted.listing(path)
        if before is None:
            return False
        noted = zip(PACKED_STATS.iter_unpack(before.stats), before.marked(), strict=True)
        known = dict(zip(before.names, noted, strict=True))
        found = [
            entry[1] if entry is not None and entry[0] == here else None
            for entry, here in zip(map(known.get, names), PACKED_STATS.iter_unpack(numbers), strict=True)
        ]
        differ = _taken_over(found, names, values, before)
        if self.noted.signature(path) is None:
            return False
        self.found.news[path] = frozenset(differ).union(known.keys() - names)
        return not self.found.news[path]

    def _distrust(self, numbers: array[int]) -> None:
        """Entries that changed a moment ago are noted so that the next scan reads them again."""
        now = self.now_ns()
        if max((*numbers[3::WIDTH], *numbers[4::WIDTH]), default=0) <= now - RACE_NS:
            return
        for start in range(0, len(numbers), WIDTH):
            if max(numbers[start + 3], numbers[start + 4]) > now - RACE_NS:
                numbers[start + 4] = DISTRUST


def _taken_over(
    found: Sequence[tuple[bytes] | None], names: Sequence[str], values: bytearray, before: Listing
) -> list[str]:
    """Put the values that were noted into ``values``, where they can be believed; the names of all other entries."""
    if _READ_MARKS.issuperset(before.values[::VALUE_BYTES]) and values == UNREAD * len(names):
        values[:] = b"".join([UNREAD if value is None else value[0] for value in found])
        return [name for name, value in zip(names, found, strict=True) if value is None]
    differ = []
    for position, (name, value) in enumerate(zip(names, found, strict=True)):
        start = position * VALUE_BYTES
        if value is not None and value[0][0] in _READ_MARKS and values[start] == Mark.UNREAD:
            values[start : start + VALUE_BYTES] = value[0]
        if value is None or values[start] != value[0][0]:
            differ.append(name)
    return differ


def _distrust_unknown(numbers: array[int], values: bytearray) -> None:
    """What could not be read is noted so that the next scan tries again."""
    marks = values[::VALUE_BYTES]
    if Mark.UNKNOWN in marks:
        for position, mark in enumerate(marks):
            if mark == Mark.UNKNOWN:
                numbers[position * WIDTH + WIDTH - 1] = DISTRUST
