"""A directory on this machine as an end of a run (spec contexts B.2, B.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from errno import EISDIR, ELOOP, ENOENT, ENOTDIR
from stat import S_ISLNK

from tallystick.errors import StorageError
from tallystick.trees.contents import NO_XATTRS, Clone, Given, Sink, Wanted
from tallystick.trees.cut import Cut
from tallystick.trees.ends import ReadValue, TreeEnd
from tallystick.trees.files import REAL, Files, Handle, is_directory, opened
from tallystick.trees.intended import Intention, Rows
from tallystick.trees.intending import standing
from tallystick.trees.listing import Entry, Listing, Mark, settled_stats, stats_of
from tallystick.trees.mount import Mount, is_swap
from tallystick.trees.names import POSIX, Volume
from tallystick.trees.nodes import PERMISSIONS, joined
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.placing import place
from tallystick.trees.plan import Action
from tallystick.trees.probing import described, is_description, probe, remembered
from tallystick.trees.problems import SourceChanged, storage_error
from tallystick.trees.processes import in_processes
from tallystick.trees.reading import link_digest, read_group, read_stable
from tallystick.trees.root_identity import RootIdentity
from tallystick.trees.scan import Noted, Scan, scan, scan_part
from tallystick.trees.scope import Scope

READ_SHARE = 1000
"""From this many files on reading is shared with a second process."""
NO_FILE = (ENOENT, ENOTDIR, ELOOP, EISDIR)
"""What is said of a name under which no file stands."""


class DirectoryEnd:
    """A directory: scanned by handle, written by staging and renaming."""

    def __init__(
        self,
        root: str,
        clock: Callable[[], int],
        files: Files = REAL,
        volume: Volume | None = None,
        token: str = "tree",
    ) -> None:
        self._mount = Mount(root, files, token)
        self._is_given = volume is not None
        self.volume = volume or POSIX
        self.clock = clock
        self.found = Scan()
        self._noted: Noted | None = None
        self._listings: dict[str, Listing | None] = {}

    @property
    def mount(self) -> Mount:
        """The directory itself."""
        return self._mount

    @property
    def title(self) -> str:
        """The path of the root."""
        return self.mount.root

    @property
    def parallel(self) -> bool:
        """Several processes may read at once, unless the file system is a simulated one."""
        return type(self.mount.files) is Files

    @property
    def unknown(self) -> frozenset[str]:
        """Paths that the last scan could not look at."""
        return frozenset(self.found.unknown)

    @property
    def token(self) -> str:
        """Nothing: a directory is scanned."""
        return ""

    def learn(self, known: str, may_write: bool) -> str:
        """Ask the root by a temporary file, once; a volume that was given is believed."""
        if self._is_given:
            return ""
        if not is_description(known) and may_write:
            found = probe(self.mount.files, self.mount.handle, self.mount.temporary())
            known = "" if found is None else described(found)
        self.volume = remembered(known)
        return known

    def identity(self) -> str:
        """What tells the root from another directory."""
        return str(self.mount.identity())

    def is_same(self, known: str, found: str) -> bool:
        """Compare what is known of both."""
        return RootIdentity.parsed(found).is_same(RootIdentity.parsed(known))

    # Looking --------------------------------------------------------------------------------------

    def refresh(self, noted: Noted, scope: Scope, without: Cut | None = None) -> Scan:
        """Scan the tree, a large one with a second process; what a cut takes away is for ``refresh_part``."""
        shared = self.parallel and without is None
        try:
            return scan(self.mount.files, self.mount.handle, noted, scope, self.clock, shared, without)
        except OSError as problem:
            raise storage_error(self.mount.root, problem) from problem

    def refresh_part(self, noted: Noted, scope: Scope, cut: Cut) -> Scan:
        """Scan what ``refresh`` leaves out without a cut."""
        return scan_part(self.mount.files, self.mount.handle, noted, scope, self.clock, cut)

    def adopt(self, noted: Noted, found: Scan) -> None:
        """Take over what a scan found."""
        self._noted = noted
        self.found = found
        self._listings = {**found.reordered, **found.changed}

    def listing(self, path: str) -> Listing | None:
        """What the scan found in a directory."""
        if path not in self._listings:
            self._listings[path] = self._noted.listing(path) if self._noted is not None else None
        return self._listings[path]

    def read_values(self, groups: Sequence[Sequence[str]]) -> list[ReadValue]:
        """Read and digest leaves."""
        shares = [list(groups)]
        if self.parallel and len(groups) >= READ_SHARE:
            shares = [list(groups[: len(groups) // 2]), list(groups[len(groups) // 2 :])]
        return [value for answer in in_processes(self._read_share, shares) for value in answer]

    def _read_share(self, groups: Sequence[Sequence[str]]) -> list[ReadValue]:
        return [value for paths in groups for value in self._read_group(paths)]

    def _read_group(self, paths: Sequence[str]) -> list[ReadValue]:
        try:
            if len(paths) == 1:
                return [self._read_one(paths[0])]
            at, _ = self.mount.split(paths[0])
            names = {path.rpartition("/")[2]: path for path in paths}
            found = read_group(self.mount.files, at, list(names))
            return [
                ReadValue(names[name], Mark.FILE, read.digest, settled_stats(read.stats, self.clock()))
                if (read := found.get(name))
                else _vanished(path)
                for name, path in names.items()
            ]
        except StorageError as problem:
            return [ReadValue(path, problem=problem) for path in paths]
        except FileNotFoundError:
            return [_vanished(path) for path in paths]
        except OSError as problem:
            return [ReadValue(path, problem=storage_error(path, problem)) for path in paths]

    def _read_one(self, path: str) -> ReadValue:
        at, name = self.mount.split(path)
        parent = self.listing(path.rpartition("/")[0])
        if parent is not None and S_ISLNK(parent.mode(name)):
            stats = stats_of(self.mount.files.status(name, at))
            digest = link_digest(self.mount.files.read_link(name, at))
            return ReadValue(path, Mark.LINK, digest, settled_stats(stats, self.clock()))
        read = read_stable(self.mount.files, at, name)
        return ReadValue(path, Mark.FILE, read.digest, settled_stats(read.stats, self.clock()))

    def note(self, path: str, listing: Listing | None) -> None:
        """Remember what a directory holds by now."""
        self._listings[path] = listing

    def rules(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """The content of ignore files.

        Raises StorageError for one that cannot be read: what it leaves out must not travel because of that.
        """
        found: dict[str, bytes] = {}
        for path in paths:
            content: list[bytes] = []
            try:
                at, name = self.mount.split(path)
                read_stable(self.mount.files, at, name, content.append, content.clear)
            except OSError as problem:
                if problem.errno in NO_FILE:
                    continue
                raise storage_error(path, problem) from problem
            found[path] = b"".join(content)
        return found

    def is_directory(self, path: str) -> bool:
        """Look at the path."""
        found = self.mount.status(path) if path else None
        return not path or (found is not None and is_directory(found))

    # As a source of content -----------------------------------------------------------------------

    def prepare(self, wanted: Sequence[Wanted]) -> None:
        """Nothing: files are opened one by one."""

    def give(self, wanted: Wanted, sink: Sink, restart: Callable[[], None], clone: Clone | None = None) -> Given:
        """Read one file; what was planned for is checked against what was read."""
        at, name = self.mount.split(wanted.path)
        try:
            read = read_stable(self.mount.files, at, name, sink, restart, clone)
        except FileNotFoundError:
            raise SourceChanged(f"[SourceChanged] {wanted.path!r} has gone meanwhile") from None
        if wanted.leaf.digest is not None and read.digest != wanted.leaf.digest:
            raise SourceChanged(f"[SourceChanged] {wanted.path!r} was changed meanwhile")
        entry = None
        if wanted.leaf.digest is None:
            entry = Entry(name, settled_stats(read.stats, self.clock()), Mark.FILE, read.digest)
        # A digest that was planned with its permissions stands; an unread leaf comes with those it has now.
        permissions = wanted.leaf.permissions if wanted.leaf.digest is not None else read.stats[0] & PERMISSIONS
        return Given(read.digest, read.stats[3], permissions, read.stats[2], entry, self._xattrs(at, name))

    def _xattrs(self, at: Handle, name: str) -> Mapping[str, bytes]:
        if not self.mount.xattrs:
            return NO_XATTRS
        with opened(self.mount.files, self.mount.files.open_read(name, at)) as handle:
            return self.mount.files.read_xattrs(handle)

    def link_target(self, wanted: Wanted) -> str:
        """Read one link."""
        at, name = self.mount.split(wanted.path)
        return self.mount.files.read_link(name, at)

    # Carrying out ---------------------------------------------------------------------------------

    def place(self, other: TreeEnd, actions: Sequence[Action], orders: Orders) -> Outcome:
        """Stage, publish, remove."""
        return place(self.mount, self.listing, self._holders, self, other, actions, orders)

    def settle(self) -> None:
        """Nothing: what was placed was certain then."""

    def stood(self, intention: Intention) -> Rows | None:
        """Look whether it stands there."""
        return standing(self, intention.rows)

    def _holders(self, digests: Collection[bytes]) -> Mapping[bytes, str]:
        """Paths that were noted to hold content of these digests."""
        return self._noted.holders(digests) if self._noted is not None else {}

    def clean(self, leftovers: Sequence[str], known: Callable[[str, bytes], bool]) -> list[str]:
        """Remove what an interrupted run staged; what may be somebody's work and is nowhere else gets a name."""
        rescued: list[str] = []
        for path in leftovers:
            parent, _, name = path.rpartition("/")
            if not self.mount.is_mine(name):
                continue
            try:
                at = self.mount.directory(parent)
                if is_swap(name):
                    rescued += self._rescue(parent, name, known)
                else:
                    self.mount.discard(at, name)
            except OSError:
                continue  # it stays invisible, and the next run tries again
        return rescued

    def _rescue(self, parent: str, name: str, known: Callable[[str, bytes], bool]) -> list[str]:
        at = self.mount.directory(parent)
        if S_ISLNK(self.mount.files.status(name, at).st_mode):
            digest = link_digest(self.mount.files.read_link(name, at))
        else:
            digest = read_stable(self.mount.files, at, name).digest
        if known(parent, digest):
            self.mount.discard(at, name)
            return []
        visible = f"recovered-{digest.hex()[:8]}"
        self.mount.files.rename_new(name, at, visible, at)
        return [joined(parent, visible)]

    def close(self) -> None:
        """Give the handles back."""
        self.mount.close()


def _vanished(path: str) -> ReadValue:
    return ReadValue(path, problem=SourceChanged(f"[SourceChanged] {path!r} has gone meanwhile"))
