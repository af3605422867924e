"""The adapter face over the Eden protocol (spec/eden.md: section 4)."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from typing import IO
from uuid import uuid4

from lxml import etree

from tallystick.errors import LimitExceeded, TallystickError, UsageError
from tallystick.jobs.adapter import Answer, Outcome
from tallystick.jobs.credentials import Credentials
from tallystick.jobs.log import Result
from tallystick.jobs.log_table import LogTable
from tallystick.protocols.eden import deciding
from tallystick.protocols.eden.answering import MIXED, UNREGISTERED, Pull, answer_pull, import_entry
from tallystick.protocols.eden.asking import EdenPeer
from tallystick.protocols.eden.codec.elements import DEFAULT_LIMITS, Document, Limits
from tallystick.protocols.eden.codec.filters import Filter, parse_filter
from tallystick.protocols.eden.codec.identifiers import urn_of
from tallystick.protocols.eden.codec.queries import parse_strategy
from tallystick.protocols.eden.codec.replies import failure, write_reply
from tallystick.protocols.eden.codec.times import parse_msince
from tallystick.protocols.eden.codec.xml_reading import XmlReader
from tallystick.protocols.eden.codec.xml_writing import write_xml
from tallystick.protocols.eden.datasets import refresh
from tallystick.protocols.eden.errors import DocumentError, TimeFormatError
from tallystick.protocols.eden.importing import import_document
from tallystick.protocols.eden.items import Hook, Options
from tallystick.protocols.eden.partner import Transferred
from tallystick.protocols.eden.site.store import SiteStore
from tallystick.protocols.eden.store import Clock, EdenStore, Repository, Task
from tallystick.protocols.eden.synchronizing import Active
from tallystick.protocols.eden.transport import HttpTransport, Transport
from tallystick.site.deciding import OnConflict
from tallystick.sync.guards import DEFAULT_GUARD, Guard
from tallystick.sync.local import LocalReplica
from tallystick.sync.uncollected import uncollected

_CHUNK = 64 * 1024


def _now() -> datetime:
    return datetime.now(UTC)


def eden_store(replica: LocalReplica, address: str = "", *, run: str = "", keep_secrets: bool = True) -> SiteStore:
    """A site as the Eden protocol sees it, its secrets encrypted and its log the one of the site.

    ``address`` is the public URL of the site without the scheme, by default the name of this machine. Log entries
    belong to ``run``. With ``keep_secrets`` False passwords are not kept.
    """
    secrets = Credentials(replica.ledger) if keep_secrets else None
    log = LogTable(replica.ledger)
    return SiteStore(
        replica,
        address=address or f"{socket.gethostname()}/eden",
        secrets=secrets,
        log=lambda entry: log.append(entry, run),
    )


@dataclass(slots=True)
class EdenAdapter:
    """The six methods for one Eden repository.

    A repository that a store gave needs no ``store``. ``resolve`` is called for every record before it is decided.
    ``guard`` holds back deletions of pulls and pushes.
    Raises UsageError for a repository that belongs to no store.
    """

    repository: Repository
    given: InitVar[EdenStore | None] = None
    transport: Transport = field(default_factory=HttpTransport)
    clock: Clock = _now
    resolve: Hook | None = None
    limits: Limits = DEFAULT_LIMITS
    guard: Guard = DEFAULT_GUARD
    store: EdenStore = field(init=False)
    _active: Active = field(init=False)

    def __post_init__(self, given: EdenStore | None) -> None:
        store = given or self.repository.store
        if store is None:
            raise UsageError(
                f"the repository {self.repository.name} belongs to no site", hint="take it from a store, or name one"
            )
        self.store = store
        peer = EdenPeer(
            (self.repository.url or "").rstrip("/"),
            self.transport,
            self.repository.username,
            self.repository.password,
            self.limits,
        )
        self._active = Active(self.store, peer, self.repository, self.clock)

    # Active ----------------------------------------------------------------------------------------------------

    def register(self) -> bool:
        """Registers this site; without a URL there is nothing to do and that is a success."""
        done = self._active.register()
        self.repository = self._active.repository
        return done

    def login(self) -> str | None:
        """Nothing to do: credentials travel with every request."""
        return None

    def probe(self) -> str | None:
        """Whether the peer answers and lets us in: None, otherwise what is wrong."""
        return self._active.peer.probe()

    def refresh(self) -> str | None:
        """Brings the tasks of public data sets up to date (section 15); None on success, otherwise the error."""
        if self.repository.apitype != "data" or not self.repository.datasets:
            return None
        try:
            self.repository = refresh(
                self.store, self._active.peer, self.repository, lambda: urn_of(uuid4()), self.clock()
            )
        except TallystickError as error:
            return str(error)
        self._active.repository = self.repository
        return None

    def pull(self, task: Task, onconflict: OnConflict | None = None, *, full: bool = False) -> Outcome:
        """Pulls one task; see ``Active.pull``."""
        self._active.guard = self.guard
        return _outcome(self._active.pull(task, onconflict, full=full))

    def push(self, task: Task) -> Outcome:
        """Pushes one task; see ``Active.push``."""
        self._active.guard = self.guard
        return _outcome(self._active.push(task))

    # Passive ---------------------------------------------------------------------------------------------------

    def send(
        self,
        resource: str,
        start: int | None = None,
        limit: int | None = None,
        msince: datetime | str | None = None,
        filters: Mapping[str, Mapping[str, str]] | None = None,
        mixed: bool = False,
        pretty_print: bool = False,
    ) -> Answer:
        """Answers a pull of ``resource``, soft-deleted records included. Errors are returned, never raised."""
        table = self.store.table(resource) if not mixed else None
        if mixed or not resource:
            return _answer(Result.ERROR, True, MIXED, failure(400, MIXED))
        if table is None:
            message = f"No such resource: {resource}"
            return _answer(Result.ERROR, True, message, failure(400, message))
        try:
            since = parse_msince(msince) if isinstance(msince, str) else msince
        except TimeFormatError as error:
            return _answer(Result.ERROR, True, error.message, failure(400, error.message))
        pull = Pull(table, self._known(), since, _filters(filters), start=start, limit=limit)
        found = answer_pull(self.store, pull, f"http://{self.store.identity().name}", self.clock())
        body = b"".join(write_xml(found.attributes, found.resources))
        return _answer(Result.SUCCESS, False, None, _indented(body) if pretty_print else body)

    def receive(
        self,
        source: Sequence[IO[bytes]],
        resource: str,
        strategy: Sequence[str] | None = None,
        update_policy: str | Mapping[str, str] | None = None,
        conflict_policy: str | None = None,
        onconflict: OnConflict | None = None,
        last_sync: datetime | None = None,
        mixed: bool = False,
    ) -> Answer:
        """Answers a push. The repository must be known; the policies are those of this side."""
        if mixed or not resource:
            return _answer(Result.ERROR, True, MIXED, failure(400, MIXED))
        repository, table = self._known(), self.store.table(resource)
        if repository is None:
            return _answer(Result.ERROR, True, UNREGISTERED, failure(403, UNREGISTERED))
        if table is None:
            message = f"No such resource: {resource}"
            return _answer(Result.ERROR, True, message, failure(400, message))
        policies = deciding.Policies(
            parse_strategy(None if strategy is None else ",".join(strategy)),
            deciding.NEWER if update_policy is None else deciding.field_policy(update_policy),
            deciding.parse_resolution(conflict_policy),
            last_sync,
        )
        options = Options(policies, repository.uuid, onconflict=onconflict, resolve=self.resolve)
        try:
            with uncollected():
                done = import_document(self.store, table, self._document(source), options, self.clock())
        except LimitExceeded as error:
            return _answer(Result.ERROR, True, error.message, failure(413, error.message))
        except DocumentError as error:
            return _answer(Result.ERROR, True, error.message, failure(400, error.message))
        entry = import_entry(done, repository.uuid, resource, "push", "incoming", self.clock())
        self.store.log(entry)
        return _answer(entry.result, entry.remote, entry.message, write_reply(done.reply))

    def _known(self) -> Repository | None:
        found = self.store.repository(self.repository.uuid) if self.repository.uuid else None
        return None if found is None or found.deleted else found

    def _document(self, source: Sequence[IO[bytes]]) -> Document:
        whole = Document()
        for one in source:
            reader = XmlReader(self.limits)
            while chunk := one.read(_CHUNK):
                whole.resources += reader.feed(chunk)
            whole.resources += reader.close()
            whole.attributes = whole.attributes or reader.attributes
        return whole


def _outcome(done: Transferred) -> Outcome:
    return (str(done.error) if done.error is not None else None, done.mtime)


def _answer(result: Result, remote: bool, message: str | None, response: bytes) -> Answer:
    return Answer(status=result.value, remote=remote, message=message, response=response)


def _filters(given: Mapping[str, Mapping[str, str]] | None) -> tuple[Filter, ...]:
    found: list[Filter] = []
    for table, conditions in (given or {}).items():
        for selector, value in conditions.items():
            one = parse_filter(f"[{table}]{selector}", value)
            if one is not None:
                found.append(one)
    return tuple(found)


def _indented(body: bytes) -> bytes:
    """Our own output, readable."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=True)
    return etree.tostring(etree.fromstring(body, parser), pretty_print=True, xml_declaration=True, encoding="utf-8")
