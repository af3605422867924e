"""The replica port: an end seen through its four verbs (DESIGN.md 1).

    digest       what do you know?                       ``Replica.digest``
    changes      what is new beyond that?                ``Replica.changes``
    apply        take these, under your policy           ``Replica.apply``
    acknowledge  here is what became of yours            ``Replica.acknowledge``

Every method may raise PeerUnreachable (try again, with back-off: all verbs may be repeated), PeerRefused (credentials
or rights), PeerProtocolError (a defect or an attack; do not repeat), StorageError (the end's own database). Where a
method raises anything else it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

from tallystick.core.pages import Page, Tally
from tallystick.core.policies import DEFAULT_POLICY, Method, Policy
from tallystick.site.history import HistoriesForm
from tallystick.site.schema import Definition


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an end can do; the engine asks for nothing else."""

    dots: bool = True
    """Changes carry dots; without them conflicts are detected by time against the last synchronization."""
    fingerprints: bool = True
    ranges: bool = True
    filters: bool = True
    hooks: bool = True
    """It applies in this process, so a conflict hook can be asked."""
    forwards: frozenset[str] = frozenset()
    """Wire languages whose pages it takes and gives unread."""


class Described(msgspec.Struct, omit_defaults=True):
    """An end's introduction: site, origin, catalogue version, resources."""

    site: str
    origin: str
    catalog: str
    resources: list[Definition]
    untracked: list[str] = []
    """Names of tables that could be tracked and are not."""
    unkeyed: list[str] = []
    """Names of tables without a primary key: their rows cannot be named, so they stay out."""
    software: str = ""
    barred: dict[str, str] = {}
    """Names of other tables that stay out, each with the reason. ``prepare`` adds those that it could not track."""


class Scope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a pass covers: resources by wire name, filters by wire name in canonical text."""

    resources: tuple[str, ...]
    where: tuple[tuple[str, str], ...] = ()
    delete_left: bool = False

    @property
    def filters(self) -> dict[str, str]:
        """Filters by resource."""
        return dict(self.where)


class Proof(msgspec.Struct):
    """All that an end holds of a scope in a few words, stated where its live records are all that it knows."""

    seq: int
    """How far its changes go in the scope: whoever holds the same has everything up to there."""
    digests: dict[str, dict[str, int]]
    print: bytes
    """A hash over the fingerprints of all resources of the scope."""


class Meeting(msgspec.Struct, omit_defaults=True):
    """What one end states when two meet.

    ``token`` names the histories it knows; ``histories`` carries them when the tokens differed. ``state`` is what it
    holds of the other's changes in the scope, ``seq`` how far its own go there.
    """

    site: str
    origin: str
    token: str
    catalog: str
    scope: Scope
    state: str = ""
    seq: int = 0
    histories: HistoriesForm | None = None
    parked: int = 0
    undecided: int = 0
    purged: bool = False
    """True when deletions of the scope were purged here: somebody may be behind them."""
    settled: str = ""
    """The state that the hearer may take as its own: all that is here up to there came from it, or is held by it."""
    proof: Proof | None = None
    """What the speaker holds, for an end that has no state of it yet."""


Print = tuple[int, bytes, bytes]
"""Count, sum of names, sum of contents; the sums as 32 bytes."""


class Known(msgspec.Struct, omit_defaults=True):
    """What a target knows: its state at the source, its digests, and its fingerprints, by wire name."""

    state: str
    digests: dict[str, dict[str, int]]
    prints: dict[str, Print]
    forgotten: dict[str, dict[str, int]] = {}
    """Version vectors of purged deletions, by wire name."""
    recent: dict[str, int] = {}
    """Deletions applied within the guards' window that nobody explicitly allowed, by wire name."""


class RangeForm(msgspec.Struct, array_like=True):
    """A range of keys as stated on the wire: see ``core.ranges.Range``."""

    lower: str
    upper: str | None
    count: int
    total: bytes
    items: list[tuple[str, bytes]] | None = None


class Answer(msgspec.Struct):
    """The answer to stated ranges: ranges to compare next, keys found on one side only, keys that differ."""

    ranges: list[RangeForm]
    mine: list[str]
    theirs: list[str]
    both: list[str]


class Closing(msgspec.Struct):
    """What follows the last page: the state reached, and digests of the resources that were sent whole."""

    state: str
    digests: dict[str, dict[str, int]]
    forgotten: dict[str, dict[str, int]]


class Concluded(msgspec.Struct, omit_defaults=True):
    """What a target says once it has ended a pass: what became of it, and what it states now."""

    tallies: dict[str, Tally]
    """By wire name."""
    meeting: Meeting | None
    """With histories where its token is not the source's. None where the target does not state it unasked: meet it."""


class Selection(msgspec.Struct, omit_defaults=True):
    """Which records a source sends: those new to ``known``; of the resources in ``keys`` only these live ones."""

    scope: Scope
    known: Known
    keys: dict[str, list[str]] = {}
    stateless: bool = False
    """Compare by digest from the beginning: the state is gone or cannot be used."""
    deletions_only: bool = False
    """For ``announce``: count deletions only, which is all that guards ask for."""
    held: list[str] = []
    """Resources whose deletions a guard holds back: neither they nor what left the filter is sent, and the state does
    not move past them."""
    since: int = 0
    """The source's seq before ``keys`` were found: what changed after that is sent in any case."""


class Announced(msgspec.Struct, omit_defaults=True):
    """What a source says before page one, by resource: changes of live records, deletions, what left the filter."""

    changes: dict[str, int]
    deletions: dict[str, int]
    left: dict[str, list[str]] = {}
    """Where records that left a filter are to be deleted: their keys. The target need not hold all of them."""


@dataclass(slots=True)
class Settings:
    """How a target applies: policies by wire name ("" is the default), turned to it, and whose pages they are."""

    source: str
    scope: Scope
    policies: Mapping[str, Policy] = field(default_factory=lambda: {"": DEFAULT_POLICY})
    run: str = ""
    allowed: int = 0
    """Deletions (and losing local edits) per resource that the user lets through; -1 for all."""
    onconflict: Any = None

    def policy(self, wire: str) -> Policy:
        """The policy of one resource."""
        return self.policies.get(wire, self.policies.get("", DEFAULT_POLICY))

    def deletes(self, wire: str) -> bool:
        """True when the strategy lets deletions of one resource be applied."""
        return Method.DELETE in self.policy(wire).strategy


class Wanted(msgspec.Struct, omit_defaults=True):
    """What the other end would like to find here: resources to create or track, and how to name records."""

    resources: list[Definition]
    only: list[str] = []
    create: bool = True
    naming: dict[str, str] = {}
    references: dict[str, str] = {}


class Replica(Protocol):
    """An end, seen through the port."""

    capabilities: Capabilities
    name: str
    """How the end is called in messages: its URL without credentials."""

    def describe(self) -> Described:
        """Introduce the end."""

    def offered(self) -> list[Definition]:
        """What its untracked tables would be if they were tracked now; nothing where the end does not tell.

        For checks before anything is done: options that name what is not there are refused while nothing is tracked.
        """

    def prepare(self, wanted: Wanted) -> Described:
        """Track tables that exist, create those that are missing. Raises SchemaError where that cannot be."""

    def meet(self, theirs: Meeting) -> Meeting:
        """State what this end holds, after stamping. Compares histories when ``theirs`` carries them."""

    def digest(self, source: str, scope: Scope) -> Known:
        """What this end knows of the scope, for changes that come from site ``source``."""

    def ranges(self, resource: str, stated: Sequence[RangeForm]) -> Answer:
        """Compare ranges of a resource; an empty ``stated`` asks for the opening statement."""

    def older(self, resource: str, keys: Sequence[str]) -> list[str]:
        """Those keys whose records are rows older than tracking that were never edited."""

    def unreferred(self, leaving: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Those records (keys by wire name) with a row here to which none refers, but such as leave with it.

        They are deleted when they leave a filter together.
        """

    def naturals(self, resource: str, columns: Sequence[str]) -> dict[str, str]:
        """For every live record: its values of ``columns`` (wire names) as canonical text, to its key.

        Raises SchemaError when the resource lacks one of the columns.
        """

    def rekey(self, resource: str, keys: Mapping[str, str]) -> None:
        """Give records older than tracking other keys. Raises SchemaError once the site has agreed with anybody."""

    def check(self, resources: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """Recompute rows from the data: (key, problem) by wire name for those that are not what the ledger says."""

    def heal(self, resources: Sequence[str]) -> int:
        """Take rows that bypassed capture as edits, and correct fingerprints. Returns how many."""

    def reconcile(
        self, resource: str, keys: Sequence[str], digest: Mapping[str, int], forgotten: Mapping[str, int]
    ) -> int:
        """Let go of those records that the other end knew (``digest``) and holds no longer, having purged them."""

    def announce(self, selection: Selection) -> Announced:
        """How much ``changes`` would send."""

    def changes(self, selection: Selection) -> Iterator[Page | Closing]:
        """Pages of what is new, parents first, then deletions, children first; at the end one Closing.

        Raises StateError when the state in ``selection`` cannot be continued from: repeat with ``stateless``.
        """

    def apply(self, page: Page, settings: Settings) -> Tally:
        """Apply one page and note its state, in one durable step."""

    def acknowledge(self, closing: Closing, settings: Settings) -> dict[str, Tally]:
        """End a pass: retry what is parked, advance the digests, note the state. Tallies by wire name."""

    def close(self) -> None:
        """Let go of connections. Idempotent."""


class Packed(Protocol):
    """A page, or none at the end of a pass, made ready to go to a target."""

    def apply(self) -> Tally:
        """See ``Replica.apply``."""

    def conclude(self, closing: Closing, theirs: Meeting) -> Concluded:
        """See ``Concluding.conclude``."""


@runtime_checkable
class Concluding(Protocol):
    """A replica that ends a pass together with its last page, and states what it holds then."""

    def conclude(self, page: Page | None, closing: Closing, settings: Settings, theirs: Meeting) -> Concluded:
        """``apply`` and ``acknowledge`` in one durable step. ``theirs`` is what the source states."""


@runtime_checkable
class Packing(Protocol):
    """A replica elsewhere, to which pages go in another form."""

    def packed(self, page: Page | None, settings: Settings) -> Packed:
        """What can be done of ``apply`` in advance, in another thread, while an earlier page is applied."""


@runtime_checkable
class Greeting(Protocol):
    """A replica in this process, which knows without being asked twice whether it has met an end before."""

    def greet(self, peer: str, scope: Scope) -> Meeting | None:
        """What it states, with histories and proof, to a site that it holds no state of; None where it has one, or
        cannot prove what it holds."""


@runtime_checkable
class Stepping(Protocol):
    """A replica in this process, which can do several things in one durable step."""

    def one_step(self) -> AbstractContextManager[object]:
        """All that is done meanwhile is committed together, or not at all."""
