"""The port through which the Eden protocol sees a site: ``EdenStore``.

Records are addressed by (table, identifier); references are targets, never local numbers, so a store may keep its
rows as it likes. ``MemoryStore`` is the implementation for tests and demonstrations; a site's own is written against
the same port. Every method either succeeds as a whole or raises and changes nothing; none is retried here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from tallystick.core.policies import FieldPolicy, Method, Resolution
from tallystick.protocols.eden.codec.elements import Resource
from tallystick.protocols.eden.codec.filters import Condition, Filter
from tallystick.protocols.eden.codec.schema import Component, Table
from tallystick.protocols.eden.deciding import NEWER, Outcome, Policies
from tallystick.protocols.eden.watermarks import Answered
from tallystick.site.deciding import OnConflict

BLOCKED = "Integrity error: record can not be deleted while it is referenced by other records"
"""Why a record that something refers to stays (section 10, X5)."""

Clock = Callable[[], datetime]
"""Gives the current moment, in UTC."""


class Target(NamedTuple):
    """What a reference points to."""

    table: str
    uuid: str


@dataclass(slots=True)
class Stored:
    """A record as the store holds it.

    ``values`` maps field names to values (see ``encoding``), a Target for references, a tuple of Targets for
    multi-references; fields that hold nothing may be left out. ``copies`` is the master copy index as stored. ``seq``
    is the store's own commit order. ``source`` is the repository from which this content came, None when it was made
    here. ``extension`` is the opaque causal history that two Tallystick sites exchange. ``waiting`` names fields that
    hold nothing here only because what they refer to is not here: nobody may take that for emptied.
    """

    table: str
    uuid: str
    id: int
    values: dict[str, object]
    copies: int = 0
    created_on: datetime | None = None
    modified_on: datetime | None = None
    created_by: str | None = None
    modified_by: str | None = None
    owned_by_user: str | None = None
    owned_by_group: str | None = None
    deleted: bool = False
    replaced_by: str | None = None
    seq: int = 0
    source: str | None = None
    extension: str | None = None
    waiting: frozenset[str] = frozenset()
    held: object = field(default=None, repr=False, compare=False)
    """Whatever the store wants to keep with the record."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records of a table.

    ``since``: changed at or after that time. ``after``: changed after that sequence number. Both look at the record
    and at its components: a change of a component is a change of the whole (section 8). ``conditions`` are on the
    table itself; a deleted record is judged by what it last held, and given where that is no longer known. ``also``
    are identifiers taken in any case, those of components and of what records refer to with these records.
    ``without_source`` leaves out what came from that repository and was not changed since. ``deleted_only`` takes
    deletion stubs and nothing else. ``start`` and ``limit`` cut a page out of the ordered result.
    """

    since: datetime | None = None
    after: int | None = None
    conditions: tuple[Condition, ...] = ()
    include_deleted: bool = True
    also: frozenset[str] = frozenset()
    without_source: str | None = None
    components: bool = True
    start: int | None = None
    limit: int | None = None
    deleted_only: bool = False


@dataclass(slots=True)
class Write:
    """One decided write. The store applies it as it is: no policy is asked again.

    ``values`` are the fields to set, references as Targets. A target that is neither here nor in the batch is kept
    and shown once it arrives. ``outcome`` is one of ``deciding.WRITTEN``. ``new_uuid`` replaces the local identifier
    (``synchronise_uuids``). ``approved`` False leaves a new record for somebody to approve.
    """

    outcome: Outcome
    table: str
    uuid: str
    modified_on: datetime
    values: dict[str, object] = field(default_factory=dict)
    copies: int = 0
    created_on: datetime | None = None
    created_by: str | None = None
    modified_by: str | None = None
    owned_by_user: str | None = None
    owned_by_group: str | None = None
    replaced_by: str | None = None
    new_uuid: str | None = None
    approved: bool = True
    extension: str | None = None
    seen: int | None = None
    """The sequence number of the local record when it was decided on, None for a new one."""
    foreign: object | None = None
    """What ``EdenStore.foreign`` made of the extension: the rules of versions decide, under ``policies``."""
    policies: Policies | None = None


@dataclass(slots=True)
class Lost:
    """What an import left aside although the two sides disagreed: for review, with its content."""

    table: str
    uuid: str
    outcome: Outcome
    conflict: bool
    modified_on: datetime | None
    values: dict[str, object]


@dataclass(slots=True)
class Batch:
    """Everything that one document decided, applied in one transaction.

    ``writes`` stand in dependency order, as far as there is one; in a cycle a reference may point to a later write.
    ``user`` is the account that the import runs under. ``allowed`` is what its guard lets through (``sync.guards``),
    -1 for an import without one; ``run`` names it among the conflicts that it logs. ``from_tallystick``: a deletion
    that rows here forbid is answered by the record, made anew; a real Eden is told that it was refused. ``onconflict``
    rules on conflicts between versions.
    """

    source: str | None
    user: str | None
    now: datetime
    writes: list[Write] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    allowed: int = -1
    run: str = ""
    from_tallystick: bool = False
    onconflict: OnConflict | None = None


class Applied(NamedTuple):
    """What became of a write: the local number of its record, or why the store refused it (section 10, X5).

    ``outcome`` says how a version from another Tallystick site was taken, and that a record was kept for others.
    """

    id: int | None
    error: str | None = None
    outcome: Outcome | None = None


# Peers and tasks -----------------------------------------------------------------------------------------------


class Mode(StrEnum):
    """What a task transfers. ``wire`` is Eden's number."""

    PULL = "pull"
    PUSH = "push"
    BOTH = "both"
    NONE = "none"

    @property
    def wire(self) -> int:
        """The number in ``sync_task.mode``."""
        return (Mode.PULL, Mode.PUSH, Mode.BOTH, Mode.NONE).index(self) + 1


@dataclass(slots=True)
class Repository:
    """A peer, as Eden's ``sync_repository`` has it. ``password`` is in the clear in memory only.

    ``registered_by`` is the account that registered it with us: proof of possession for the next registration.
    ``datasets`` are the codes of the public data sets to pull from it (``apitype`` data).
    """

    uuid: str | None
    name: str
    id: int = 0
    url: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    apitype: str = "eden"
    synchronise_uuids: bool = False
    registered_by: str | None = None
    last_connected: datetime | None = None
    last_status: str | None = None
    last_refresh: datetime | None = None
    datasets: tuple[str, ...] = ()
    deleted: bool = False
    store: EdenStore | None = field(default=None, repr=False, compare=False)
    """Where it is kept."""


@dataclass(slots=True)
class Task:
    """One table to synchronize with one peer, as Eden's ``sync_task`` has it.

    ``state`` is what a Tallystick peer gave us to go on from. ``pushed`` is our own watermark: the sequence number up
    to which the peer has everything; ``retry`` are the identifiers that it rejected. ``last_push`` is kept for the
    record and for Eden's readers.
    """

    uuid: str
    repository: str | None
    resource: str
    mode: Mode = Mode.BOTH
    strategy: frozenset[Method] = frozenset(Method)
    update: FieldPolicy = NEWER
    conflict: Resolution = Resolution.NEWER
    components: bool = True
    filters: tuple[Filter, ...] = ()
    id: int = 0
    last_pull: datetime | None = None
    last_push: datetime | None = None
    state: str | None = None
    pushed: int = 0
    retry: frozenset[str] = frozenset()
    dataset: str | None = None
    modified_on: datetime | None = None
    deleted: bool = False
    """True for what stays of a task of a hosted data set, so that those who pull it hear that it ended."""


@dataclass(slots=True)
class Dataset:
    """A public data set (section 15)."""

    uuid: str
    code: str
    name: str
    archive_url: str | None = None
    use_archive: bool = False
    id: int = 0
    modified_on: datetime | None = None


class Result(StrEnum):
    """How an action ended: warning = with issues, error = may work later, fatal = not until reconfigured."""

    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the synchronization log (section 2, ``sync_log``). ``remote``: the error was at the peer.

    ``idle``: the warning only says that there was nothing to do, which nobody has to look after.
    """

    time: datetime
    repository: str | None
    resource: str | None
    mode: str
    direction: str
    action: str | None
    result: Result
    remote: bool = False
    message: str | None = None
    idle: bool = False


class Identity(NamedTuple):
    """This site: its repository identifier and the domain of its records; ``name`` is its address for peers."""

    uuid: str
    domain: str
    name: str


class EdenStore(Protocol):
    """A site as the Eden protocol needs it."""

    def identity(self) -> Identity:
        """Who this site is."""

    # Records

    def table(self, name: str) -> Table | None:
        """The table, or None when there is none that is synchronized."""

    def head(self) -> int:
        """The highest sequence number given so far."""

    def select(self, table: Table, selection: Selection) -> Iterable[Stored]:
        """The selected records, in a stable order. Reads one consistent state and holds no more than a page of it."""

    def count(self, table: Table, selection: Selection) -> int:
        """How many records ``select`` gives, at the cost of the selected ones."""

    def find(self, table: str, uuids: Collection[str]) -> Mapping[str, Stored]:
        """The records with these identifiers, soft-deleted ones included, by identifier."""

    def children(
        self, component: Component, parents: Collection[str], conditions: Sequence[Condition] = ()
    ) -> Mapping[str, Sequence[Stored]]:
        """The records of a component that fit, by the identifier of their parent; deleted ones are left out."""

    def unsent(self, component: Component) -> Sequence[str]:
        """The identifiers of live records of a component whose parent is not here: no document can hold them."""

    def matching(self, table: Table, field: str, values: Collection[object]) -> Mapping[object, Sequence[str]]:
        """The identifiers of live records whose field holds one of the values, text without regard to case."""

    def recent_deletions(self, table: str) -> int:
        """How many deletions of the last day were applied under a guard and not explicitly allowed."""

    # Versions, between two Tallystick sites

    def extension(self, record: Stored) -> str | None:
        """The version of a record that this store gave, with all that it has seen, for another Tallystick site."""

    def foreign(self, table: Table, uuid: str, extension: str, values: Mapping[str, object]) -> object | None:
        """The version that came with a record whose decoded fields are ``values``, to be handed to ``apply``.

        None when the store keeps no versions, or this one does not fit the record: it is then decided by Eden's rules.
        """

    def renamed(self, record: Stored) -> bool:
        """True for a record whose content came from elsewhere and bears a name of this site.

        Its versions could not be taken as they are, so that nothing tells what those of the sender build on.
        """

    # Writing

    def apply(self, batch: Batch) -> Sequence[Applied]:
        """Applies a batch in one transaction, durably; one answer per write, in order.

        A write that the database refuses (a restricting reference, a unique value) is refused alone. A write that
        changes nothing gets no new sequence number. A record that is no longer the one that was ``seen`` is refused.
        Deletions of a guarded batch are noted for ``recent_deletions``. Raises GuardStopped where versions of another
        Tallystick site would overrule more local edits than is allowed.
        """

    # Peers, tasks, log

    def repository(self, uuid: str) -> Repository | None:
        """The peer with this identifier, deleted ones included."""

    def save_repository(self, repository: Repository) -> Repository:
        """Inserts or updates by identifier; gives it back with its local number."""

    def task(self, repository: str, resource: str) -> Task | None:
        """The task for a peer and table, or None."""

    def tasks(self) -> Sequence[Task]:
        """Every task, those of hosted data sets included, ended ones too."""

    def save_task(self, task: Task) -> Task:
        """Inserts or updates by identifier; gives it back with its local number."""

    def remove_task(self, uuid: str) -> None:
        """Forgets a task, if there is one."""

    def datasets(self) -> Sequence[Dataset]:
        """The data sets hosted here."""

    def answers(self, repository: str, scope: str) -> Sequence[Answered]:
        """What a peer was answered in a scope, as last remembered."""

    def remember(self, repository: str, scope: str, answers: Sequence[Answered]) -> None:
        """Keeps them."""

    def parked(self, repository: str, resource: str) -> Sequence[Resource]:
        """The records of a table from a peer that were rejected here and are tried again."""

    def park(self, repository: str, resource: str, rejected: Sequence[Resource]) -> None:
        """Keeps them, in place of those kept before."""

    def log(self, entry: LogEntry) -> None:
        """Appends to the log."""
