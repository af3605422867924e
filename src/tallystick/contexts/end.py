"""A context as an end of a run: the tree below a prefix of its keys (DESIGN.md 4.10, spec contexts B.10).

The same planner serves it as serves directories. Its listings come from manifests, its content as chunks, and what a
run does to it becomes visible in one publication.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from tallystick.contexts.entries import DIRECTORY, EXPIRED, FILE, LINK, Change, FileEntry, check_told, packed, unpacked
from tallystick.contexts.host import ContextHost, ContextInfo
from tallystick.contexts.keys import below
from tallystick.contexts.problems import EntryRejected
from tallystick.errors import PeerProtocolError
from tallystick.sync.uncollected import uncollected
from tallystick.trees.contents import Clone, Given, Sink, Wanted
from tallystick.trees.ends import ReadValue, TreeEnd
from tallystick.trees.intended import Intention, Rows
from tallystick.trees.listing import NO_DIGEST, Entry, Listing, Mark
from tallystick.trees.mount import Mount
from tallystick.trees.names import POSIX, Volume, link_leaves
from tallystick.trees.nodes import joined
from tallystick.trees.outcome import Orders, Outcome
from tallystick.trees.plan import Action
from tallystick.trees.problems import SourceChanged
from tallystick.trees.scan import IGNORE_FILE, Noted, Scan
from tallystick.trees.scope import Scope

if TYPE_CHECKING:
    from tallystick.contexts.downloading import Download
    from tallystick.contexts.layout import Layout
    from tallystick.contexts.uploading import Publication

_TYPES = {FILE: 0o100000, DIRECTORY: 0o040000}
_LINK_TYPE = 0o120000


class Unseen(Protocol):
    """Files that are out of scope because of what the manifest says of them."""

    def take(self, path: str, entry: FileEntry | None) -> bool:
        """Hear what the manifest says of a path, None for nothing any more; True when that is out of scope."""

    def keep(self) -> None:
        """Remember what was heard; called before anything that rests on it is remembered."""


class ContextEnd:
    """The tree below ``prefix`` (a key in normal form, "" for all) of the context ``name``.

    The host is the end's own: it is closed with it.
    """

    volume: Volume = POSIX
    mount: Mount | None = None
    parallel = False
    unknown: frozenset[str] = frozenset()

    def __init__(self, host: ContextHost, name: str, prefix: str = "", *, create: bool = False) -> None:
        self.host = host
        self.name = name
        self.prefix = prefix
        self.layout: Layout | None = None
        """How uploads lay out what they write; None: files stand alone."""
        self.unseen: Unseen | None = None
        self.refreshed = ""
        """The version that the last refresh read."""
        self._create = create
        self._info: ContextInfo | None = None
        self._token = ""
        self._noted: Noted | None = None
        self._complete = False
        self._listings: dict[str, Listing | None] = {}
        self._download: Download | None = None
        self._publication: Publication | None = None

    @property
    def title(self) -> str:
        """The host and the context."""
        return f"{self.host.title} context {self.name}{self.prefix}"

    @property
    def info(self) -> ContextInfo:
        """The context as it was when the run began. Raises ContextNotFound."""
        if self._info is None:
            self._info = self.host.create(self.name) if self._create else self.host.find(self.name)
            self._create = False
        return self._info

    @property
    def token(self) -> str:
        """The version of the manifest that the listings describe."""
        return self._token

    def learn(self, known: str, may_write: bool) -> str:
        """Nothing: a context keeps every name apart."""
        return ""

    def identity(self) -> str:
        """The context's identifier and the prefix; asking again asks the host."""
        self._let_go()
        self._info = None
        return f"{self.info.id} {self.prefix}"

    def is_same(self, known: str, found: str) -> bool:
        """Compare them."""
        return known == found

    def key(self, path: str) -> str:
        """The packed key of a path."""
        return packed(joined(self.prefix, path) if self.prefix else f"/{path}")

    # Looking ----------------------------------------------------------------------------------------------------------

    def refresh(self, noted: Noted, scope: Scope) -> Scan:
        """Ask for what is new since the noted version; one round trip when nothing is."""
        known = self.refreshed = noted.token()
        self._listings, self._complete = {}, False
        self._noted, self._token = noted, known
        if known == self.info.version:
            return Scan()
        manifest = self.host.manifest(self.info.id, known, packed(self.prefix))
        reading = _Reading(noted, scope, manifest.whole, self.unseen)
        for key, entry in chain.from_iterable(map(self._believed, manifest.pages)):
            path = below(self.prefix, unpacked(key))
            if path:
                reading.take(path, entry)
        if self.unseen is not None:
            self.unseen.keep()
        self._token, self._complete = manifest.version, manifest.whole
        self.refreshed = manifest.version
        self._listings = reading.listings()
        return reading.found

    def _believed(self, page: Sequence[Change]) -> Sequence[Change]:
        """A page of the manifest, if everything in it can stand in a tree. Raises PeerProtocolError."""
        try:
            check_told(page)
        except EntryRejected as problem:
            raise PeerProtocolError(f"{self.title} tells of a file that cannot be: {problem.message}") from None
        return page

    def adopt(self, noted: Noted, found: Scan) -> None:
        """What a refresh found is known already: it never runs in another process."""

    def listing(self, path: str) -> Listing | None:
        """What the manifest says of a directory."""
        if path not in self._listings and not self._complete and self._noted is not None:
            self._listings[path] = self._noted.listing(path)
        return self._listings.get(path)

    def note(self, path: str, listing: Listing | None) -> None:
        """Remember what a directory holds by now."""
        self._listings[path] = listing

    def read_values(self, groups: Sequence[Sequence[str]]) -> list[ReadValue]:
        """Every digest is known from the manifest."""
        return [self._value(path) for paths in groups for path in paths]

    def _value(self, path: str) -> ReadValue:
        parent, _, name = path.rpartition("/")
        listing = self.listing(parent)
        entry = None if listing is None else listing.find(name)
        if entry is None:
            return ReadValue(path, problem=SourceChanged(f"[SourceChanged] {path!r} has gone meanwhile"))
        return ReadValue(path, entry.mark, entry.digest, entry.stats)

    def rules(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """The content of ignore files."""
        keys = {self.key(path): path for path in paths}
        entries = self.host.entries(self.info.id, list(keys))
        return {
            keys[key]: b"".join(self._open().content(entry)) for key, entry in entries.items() if entry.kind == FILE
        }

    def is_directory(self, path: str) -> bool:
        """Ask for the entry of the path."""
        key = self.key(path)
        entry = self.host.entries(self.info.id, [key]).get(key) if path else None
        return not path or (entry is not None and entry.kind == DIRECTORY)

    # As a source of content -------------------------------------------------------------------------------------------

    def prepare(self, wanted: Sequence[Wanted]) -> None:
        """Begin to fetch what will be asked for."""
        self._open().prepare(wanted)

    def give(self, wanted: Wanted, sink: Sink, restart: Callable[[], None], clone: Clone | None = None) -> Given:
        """Hand over one file, every chunk of it checked."""
        return self._open().give(wanted, sink)

    def link_target(self, wanted: Wanted) -> str:
        """The target of a link."""
        return self._open().link_target(wanted)

    def _open(self) -> Download:
        if self._download is None:
            from tallystick.contexts.downloading import Download  # here, because most runs change nothing

            self._download = Download(self.host, self.info.id, self.key)
        return self._download

    # Carrying out -----------------------------------------------------------------------------------------------------

    def place(self, other: TreeEnd, actions: Sequence[Action], orders: Orders) -> Outcome:
        """Send what is missing, then publish everything at once; that goes on until ``settle``, if it may.

        Raises VersionMoved when somebody else has published since the refresh: nothing was done then.
        """
        from tallystick.contexts.uploading import Publication, Upload  # here, because most runs change nothing

        upload = Upload(self.host, self.info, self.key, self.listing, other, orders, self.layout)
        with uncollected():
            upload.collect(actions)
        expected = self._token or self.info.version
        self._publication = Publication(upload, expected, self.host.concurrent)
        return upload.outcome

    def settle(self) -> None:
        """Wait for the publication. Raises VersionMoved and whatever else it does."""
        publication, self._publication = self._publication, None
        if publication is not None:
            self._token = publication.version()

    def _let_go(self) -> None:
        """Be done with a publication that nobody waits for any more: its run failed."""
        publication, self._publication = self._publication, None
        if publication is not None:
            publication.abandon()

    def stood(self, intention: Intention) -> Rows | None:
        """All of it or nothing, as the host says. While the version is the one that it was to follow, it may yet be."""
        if self.info.version == intention.token:
            return None
        return intention.rows if self.host.published(self.info.id, intention.run) else {}

    def clean(self, leftovers: Sequence[str], known: Callable[[str, bytes], bool]) -> list[str]:
        """Nothing is left over in a context: an upload that was interrupted was never visible."""
        return []

    def close(self) -> None:
        """Give the host back, when nothing is under way any more."""
        self._let_go()
        if self._download is not None:
            self._download.close()
        self.host.close()


class _Reading:
    """A manifest on its way into listings."""

    def __init__(self, noted: Noted, scope: Scope, whole: bool, unseen: Unseen | None) -> None:
        self.noted = noted
        self.scope = scope
        self.whole = whole
        self.unseen = unseen
        self.found = Scan()
        self._entries: dict[str, dict[str, Entry]] = {"": {}} if whole else {}
        self._gone: dict[str, set[str]] = {}
        self._leaves: set[str] = set()

    def take(self, path: str, entry: FileEntry | None) -> None:
        """One key of the manifest, relative to the prefix."""
        parent, _, name = path.rpartition("/")
        self.found.entries += 1
        if not self._enters(parent):
            return  # a scan of a directory does not look there either
        unseen = self.unseen is not None and self.unseen.take(path, entry)
        if entry is None:
            self._gone.setdefault(parent, set()).add(name)
            self._leaves.add(path)
            return
        self._entries.setdefault(parent, {})[name] = self._entry(path, name, entry, unseen)
        if entry.kind == DIRECTORY:
            if self._enters(path):
                self._entries.setdefault(path, {})
        else:
            self._leaves.add(path)
            if name == IGNORE_FILE:
                self.found.rules.append(path)

    def _enters(self, path: str) -> bool:
        return self.scope.everything or not path or self.scope.enters(path)

    def _entry(self, path: str, name: str, entry: FileEntry, unseen: bool) -> Entry:
        mark = Mark.EXPIRED if entry.kind == EXPIRED else Mark.INVISIBLE if unseen else entry.kind
        if not self.scope.everything:
            directory = entry.kind == DIRECTORY
            if not (self.scope.enters(path) if directory else self.scope.includes(path, False)):
                mark = Mark.INVISIBLE
        if entry.kind == LINK and link_leaves(path, unpacked(entry.target)):
            self.found.warnings.append(("skipped", path, f"the link leaves the tree: {unpacked(entry.target)}"))
            mark = Mark.INVISIBLE
        kind = _TYPES.get(entry.kind, _LINK_TYPE)
        return Entry(name, (kind | entry.mode, 0, entry.size, entry.mtime, 0), mark, entry.digest or NO_DIGEST)

    def listings(self) -> dict[str, Listing | None]:
        """All listings that are known by now; those that differ from what was noted are in ``found``."""
        known: dict[str, Listing | None] = {}
        for path in self._entries.keys() | self._gone.keys():
            known[path] = listing = self._listing(path)
            if not self._is_noted(path, listing):
                self.found.changed[path] = listing
        for path in self._leaves:
            known[path] = None
            self.found.changed.pop(path, None)
        return known

    def _listing(self, path: str) -> Listing:
        entries = list(self._entries.get(path, {}).values())
        if self.whole:
            return Listing.of(entries).by_name()
        before = self.noted.listing(path) or Listing()
        return before.changed_with(entries, self._gone.get(path, set()) - self._entries.get(path, {}).keys())

    def _is_noted(self, path: str, listing: Listing) -> bool:
        before = self.noted.signature(path) if self.whole else None
        if before is None or before != listing.to_row()[:2]:
            return False
        noted = self.noted.listing(path)
        return noted is not None and noted.values == listing.values
