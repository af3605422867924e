"""The records of a document on their way into the store (spec: section 9.1): items, and the job that holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from tallystick.core.policies import Method
from tallystick.protocols.eden import deciding
from tallystick.protocols.eden.codec.elements import EXTENSION, Document, Resource
from tallystick.protocols.eden.codec.identifiers import urn_of
from tallystick.protocols.eden.codec.replies import PushReply
from tallystick.protocols.eden.codec.schema import UNSHARED_TABLES, Component, Field, Table
from tallystick.protocols.eden.deciding import Decision, Outcome, Policies, Side
from tallystick.protocols.eden.store import EdenStore, Stored, Target
from tallystick.site.deciding import OnConflict
from tallystick.sync.guards import Guard


class Pointer(NamedTuple):
    """What a reference field points to: for each identifier, the spellings under which it may be known here."""

    field: Field
    table: str
    names: Sequence[Sequence[str]]


@dataclass(slots=True)
class Item:
    """One record of a document on its way into the store.

    ``Options.resolve`` may change ``policies`` and ``values`` or set ``skip``. ``local`` is the record it meets here,
    None for a new one. ``values`` holds decoded fields, references as Targets.
    """

    resource: Resource
    table: Table
    uuid: str
    policies: Policies
    parent: Item | None = None
    component: Component | None = None
    given: bool = True
    """False for a record that came without an identifier."""
    deleted: bool = False
    """True for a stub."""
    local: Stored | None = None
    method: Method = Method.CREATE
    values: dict[str, object] = field(default_factory=dict)
    modified_on: datetime | None = None
    created_on: datetime | None = None
    copies: int = deciding.ABSENT_COPIES
    replaced_by: str | None = None
    pointers: list[Pointer] = field(default_factory=list)
    children: list[Item] = field(default_factory=list)
    needs: list[Item] = field(default_factory=list)
    error: str | None = None
    skip: bool = False
    decision: Decision | None = None
    rename: str | None = None
    foreign: object | None = None
    """The version of another Tallystick site that came with it."""
    memo: object = None
    """Whatever a hook wants to keep with the record."""

    @property
    def target(self) -> Target:
        """What references to this record point to here."""
        return Target(self.table.name, self.uuid)

    @property
    def incoming_side(self) -> Side:
        """The incoming side of a decision."""
        return Side(self.modified_on, self.copies)

    @property
    def local_side(self) -> Side | None:
        """The local side of a decision."""
        local = self.local
        return None if local is None else Side(local.modified_on, local.copies, local.deleted)


Hook = Callable[[Item], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to import.

    ``source`` is the sending repository, ``user`` the account. ``onconflict`` rules on every detected conflict (see
    ``conflicts``). ``resolve`` is called for every record before it is decided. ``permitted`` says whether the account
    may use a method on a table. ``skip_errors`` False makes one bad record fail the document, as plain REST does.
    ``guard`` holds back deletions (DESIGN.md 4.8); pushes have none: whoever pushes looks at what it sends.
    """

    policies: Policies
    source: str | None = None
    user: str | None = None
    synchronise_uuids: bool = False
    onconflict: OnConflict | None = None
    resolve: Hook | None = None
    permitted: Callable[[Table, Method], bool] = lambda _table, _method: True
    skip_errors: bool = True
    new_uuid: Callable[[], str] = lambda: urn_of(uuid4())
    guard: Guard | None = None


@dataclass(slots=True)
class Imported:
    """The outcome: the reply for the sender, and what the watermark rules need (the times of the table's records).

    ``held`` are the deletions that the guard held back, by table. ``again`` are the records of the table with which
    what was rejected can be tried again, and the rejected ones that they refer to.
    """

    reply: PushReply
    times: list[datetime | None] = field(default_factory=list)
    rejected_times: list[datetime | None] = field(default_factory=list)
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    again: list[Resource] = field(default_factory=list)


class Job:
    """One import: what its steps share.

    ``items`` are in the order in which they were reached, ``by_name`` finds them by the names that references use,
    ``known`` are referenced records that are here, ``messages`` the reasons of rejections, the first first, ``held``
    what the guard holds back. ``from_tallystick`` says who wrote the document.
    """

    def __init__(self, store: EdenStore, table: Table, document: Document, options: Options, now: datetime) -> None:
        self.store = store
        self.table = table
        self.document = document
        self.options = options
        self.now = now.replace(microsecond=0)
        self.own_domain = store.identity().domain
        self.from_tallystick = EXTENSION in document.attributes
        self.items: list[Item] = []
        self.by_name: dict[Target, Item] = {}
        self.known: set[Target] = set()
        self.messages: list[str] = []
        self.held: dict[str, int] = {}
        self._tables: dict[str, Table | None] = {table.name: table}

    def model(self, name: str) -> Table | None:
        """The table of that name, or None when nothing may be imported into it."""
        if name not in self._tables:
            found = None if name in UNSHARED_TABLES else self.store.table(name)
            self._tables[name] = None if found is not None and found.restricted else found
        return self._tables[name]

    def close(self) -> None:
        """Takes the items apart, which know each other, unless a hook may have kept one.

        They then go as soon as nobody needs them. The garbage collector would have to find that out by walking through
        all of them, and take a seventh of the time of the whole import for it.
        """
        if self.options.resolve is None and self.options.onconflict is None:
            for item in self.items:
                item.children.clear()
                item.needs.clear()

    def reject(self, item: Item, error: str, message: str | None = None) -> None:
        """Rejects a record; the first reason counts. ``message`` is what the reply says, if it says it differently."""
        if item.error is None:
            item.error = error
            item.resource.error = error
            self.messages.append(message or error)
