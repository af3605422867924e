"""A site as a replica: the port over a ledger in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from tallystick.core.fingerprints import MODULUS, content_term, dot_name, names_term
from tallystick.core.history import Histories
from tallystick.core.pages import Page, Tally
from tallystick.core.ranges import Range, answer, whole
from tallystick.core.states import State, check_state, parse_state
from tallystick.errors import SchemaError
from tallystick.site import deletions, history, parking
from tallystick.site.engines.engine import Engine, Rejected
from tallystick.site.holding import load_wholes, terms
from tallystick.site.issuing import Told
from tallystick.site.leaving import unreferred
from tallystick.site.ledger import DELETED, GENESIS, WHOLE, Ledger, Tracked
from tallystick.site.preparing import prepare
from tallystick.site.reading import Reader
from tallystick.site.rekeying import natural_values, note_told, rekey
from tallystick.site.retention import let_go
from tallystick.site.schema import Definition, define
from tallystick.site.stamping import recapture, stamp
from tallystick.site.verifying import heal, inspect, recomputed
from tallystick.sync import proving, reached
from tallystick.sync.passing import Pass, Stamped, matches, scope_name
from tallystick.sync.proving import print_of
from tallystick.sync.replica import (
    Announced,
    Answer,
    Capabilities,
    Closing,
    Concluded,
    Described,
    Known,
    Meeting,
    Proof,
    RangeForm,
    Scope,
    Selection,
    Settings,
    Wanted,
)
from tallystick.version import VERSION

if TYPE_CHECKING:
    from tallystick.sync.taking import Taking


class LocalReplica:
    """See ``sync.replica.Replica``."""

    capabilities = Capabilities()

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger = ledger
        self.name = name
        self._stamped: Stamped | None = None
        with ledger.write():
            history.check_identity(ledger)

    @classmethod
    def open(cls, engine: Engine, name: str, now: Callable[[], int] | None = None) -> LocalReplica:
        """Open (and create, where there is none) the ledger in an engine's database. Closes the engine on errors."""
        ledger = Ledger.create(engine, now) if now else Ledger.create(engine)
        try:
            return cls(ledger, name)
        except BaseException:
            engine.close()
            raise

    # Introduction

    def describe(self) -> Described:
        self.ledger.load()
        tables = self.ledger.engine.tables()
        tracked = {item.definition.name for item in self.ledger.resources()}
        if renamed := tracked - {table.name for table in tables}:
            gone = [item.number for item in self.ledger.resources() if item.definition.name in renamed]
            tracked |= {str(self.ledger.engine.captured_table(number)) for number in gone}
        return Described(
            self.ledger.site,
            self.ledger.origin,
            self.ledger.meta("catalog"),
            [item.definition for item in self.ledger.resources() if not item.definition.stays],
            [table.name for table in tables if table.primary_key and table.name not in tracked],
            [table.name for table in tables if not table.primary_key and not table.barred],
            f"tallystick {VERSION}",
            {table.name: table.barred for table in tables if table.barred},
        )

    def offered(self) -> list[Definition]:
        self.ledger.load()
        tables = self.ledger.engine.tables()
        tracked = {item.definition.name for item in self.ledger.resources()}
        names = [one.name for one in tables if one.primary_key and not one.barred and one.name not in tracked]
        try:
            return define(tables, names, self.ledger.naming(), self.ledger.references())
        except SchemaError:
            return []  # preparing names the table that is wrong

    def prepare(self, wanted: Wanted) -> Described:
        with self.ledger.write():
            recapture(self.ledger)
            left_out = prepare(
                self.ledger, wanted.resources, wanted.only, wanted.create, wanted.naming, wanted.references
            )
        described = self.describe()
        described.untracked = [name for name in described.untracked if name not in left_out]
        described.barred |= {name: why for name, why in left_out.items() if name not in described.unkeyed}
        return described

    def meet(self, theirs: Meeting) -> Meeting:
        with self.ledger.write():
            known = before = self._spoken()
            if theirs.histories is not None:
                history.meet_now(self.ledger, history.histories_of(theirs.histories))
                known = history.load(self.ledger)
            if theirs.settled and not parking.count(self.ledger):  # those are tried again at the end of a pass
                reached.note_state(self.ledger, theirs.site, theirs.scope, theirs.settled)
            with_histories = history.token(known) != theirs.token
            if theirs.proof is not None:
                proof = proving.prove(self.ledger, theirs.scope, theirs.proof)
                if proof is not None:
                    proving.take(self.ledger, theirs, before)
                said = self._proved(theirs.site, theirs.scope, proof, with_histories)
                if said.histories is not None and theirs.histories is not None:
                    said.histories = history.beyond(said.histories, theirs.histories)
                return said
        return self.stated(theirs.site, theirs.scope, with_histories)

    def greet(self, peer: str, scope: Scope) -> Meeting | None:
        """See ``sync.replica.Greeting``."""
        if peer == self.ledger.site or reached.state_of(self.ledger, peer, scope):
            return None
        with self.ledger.write():
            self._spoken()
            proof = proving.prove(self.ledger, scope)
            return None if proof is None else self._proved(peer, scope, proof, True)

    def _spoken(self) -> Histories:
        """The histories known here, once all is stamped and a contact is noted. Call inside ``ledger.write()``."""
        told: Told = {}
        began = self.ledger.seq
        if stamp(self.ledger, told=told):
            stamped = Stamped(began, self.ledger.seq, told, self.ledger.meta("structure"))
            self._stamped = stamped if stamped.kept else None
        return history.speak_now(self.ledger)

    def _proved(self, peer: str, scope: Scope, proof: Proof | None, with_histories: bool) -> Meeting:
        """What this end states with a proof, in the transaction in which that was made."""
        said = self.stated(peer, scope, with_histories)
        said.proof = proof
        return said

    def stated(self, peer: str, scope: Scope, with_histories: bool = False) -> Meeting:
        """What this end states to ``peer`` about a scope, as far as it goes by the histories that it states."""
        known = history.load(self.ledger)
        seq = reached.highest(self.ledger, scope)
        return Meeting(
            self.ledger.site,
            self.ledger.origin,
            history.token(known),
            self.ledger.meta("catalog"),
            scope,
            reached.state_of(self.ledger, peer, scope),
            min(seq, history.spoken(known) or seq),
            history.form_of(known) if with_histories else None,
            parking.count(self.ledger),
            self.undecided(),
            self._purged(scope),
        )

    def undecided(self) -> int:
        """How many records wait for somebody's decision."""
        return int(self.ledger.engine.query("SELECT count(*) FROM tally_sibling WHERE undecided=1")[0][0])

    def _purged(self, scope: Scope) -> bool:
        sql = "SELECT 1 FROM tally_forgotten f JOIN tally_resource r ON r.id=f.resource WHERE r.wire IN (*)"
        return bool(self.ledger.engine.query_in(sql, (), scope.resources))

    # Digest

    def digest(self, source: str, scope: Scope) -> Known:
        with self.ledger.engine.read():
            tracked = [self.ledger.resource(wire) for wire in scope.resources if self.ledger.has(wire)]
            return Known(
                reached.state_of(self.ledger, source, scope),
                {item.wire: self.ledger.digest(item) for item in tracked},
                {item.wire: print_of(item) for item in tracked},
                {item.wire: found for item in tracked if (found := self.ledger.forgotten(item))},
                deletions.recent(self.ledger),
            )

    def ranges(self, resource: str, stated: Sequence[RangeForm]) -> Answer:
        with self.ledger.engine.read():
            items = range_items(self.ledger, self.ledger.resource(resource))
        if not stated:
            return Answer([_range_form(item) for item in whole(items)], [], [], [])
        replies, found = answer(items, [_range_of(item) for item in stated])
        return Answer([_range_form(item) for item in replies], found.mine, found.theirs, found.both)

    def older(self, resource: str, keys: Sequence[str]) -> list[str]:
        entries = self.ledger.resource(resource).rows.by_keys(keys)
        return [key for key, entry in entries.items() if entry.flags & GENESIS and entry.extra is None]

    def unreferred(self, leaving: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        return unreferred(self.ledger, leaving)

    def naturals(self, resource: str, columns: Sequence[str]) -> dict[str, str]:
        with self.ledger.engine.read():
            return natural_values(self.ledger, self.ledger.resource(resource), columns)

    def rekey(self, resource: str, keys: Mapping[str, str]) -> None:
        with self.ledger.write():
            rekey(self.ledger, self.ledger.resource(resource), keys)

    # Verification

    def check(self, resources: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        with self.ledger.write():
            stamp(self.ledger)
        found = {}
        for wire in resources:
            tracked = self.ledger.resource(wire)
            problems = [(item.key, item.problem) for item in inspect(self.ledger, tracked)]
            if recomputed(self.ledger, tracked) != tracked.fingerprint:
                problems.append(("", "fingerprint"))
            if problems:
                found[wire] = problems
        return found

    def heal(self, resources: Sequence[str]) -> int:
        with self.ledger.write():
            stamp(self.ledger)
            return sum(heal(self.ledger, self.ledger.resource(wire)) for wire in resources)

    def reconcile(
        self, resource: str, keys: Sequence[str], digest: Mapping[str, int], forgotten: Mapping[str, int]
    ) -> int:
        try:
            with self.ledger.write():
                stamp(self.ledger)
                return let_go(self.ledger, self.ledger.resource(resource), keys, digest, forgotten)
        except Rejected:  # something that is not tracked refers to one of the rows: that one stays
            if len(keys) <= 1:
                return 0
        half = len(keys) // 2
        return sum(self.reconcile(resource, some, digest, forgotten) for some in (keys[:half], keys[half:]))

    # Changes

    def announce(self, selection: Selection) -> Announced:
        state = self._start(selection)
        announced = Announced({}, {})
        for wire in selection.scope.resources:
            tracked = self.ledger.resource(wire)
            digest = selection.known.digests.get(wire, {})
            keys = selection.keys.get(wire)
            dead = True if selection.deletions_only else None
            reader = Reader(self.ledger, tracked, digest, dead=dead, matches=matches(selection.scope, tracked))
            rows = [entry for entry, _ in reader.heads(state.seq, tracked.seq)]
            live = [entry for entry in rows if not entry.flags & DELETED]
            announced.changes[wire] = len(live) if keys is None else len(set(keys) & {entry.key for entry in live})
            announced.deletions[wire] = len(rows) - len(live)
            if selection.scope.delete_left and selection.known.state and reader.matches is not None:
                announced.left[wire] = reader.left(state.seq, tracked.seq)
        return announced

    def _start(self, selection: Selection) -> State:
        """The state a pass begins from. Raises StateError when it cannot be continued."""
        scope = scope_name(selection.scope)
        fresh = State(self.ledger.site, self.ledger.incarnation, scope, 0)
        if selection.stateless or not selection.known.state:
            return fresh
        state = parse_state(selection.known.state)
        horizon = max((self.ledger.resource(wire).horizon for wire in selection.scope.resources), default=0)
        check_state(
            state,
            site=self.ledger.site,
            incarnation=self.ledger.incarnation,
            scope=scope,
            seq=self._committed_seq(),
            horizon=horizon,
        )
        return state

    def _committed_seq(self) -> int:
        return int(self.ledger.meta("seq"))

    def changes(self, selection: Selection) -> Iterator[Page | Closing]:
        with self.ledger.write():
            stamp(self.ledger)
            history.speak_now(self.ledger)
            if not selection.known.state:
                note_told(self.ledger, selection.scope.resources)
            self.ledger.save_counters()
            closing = self._closing(selection)
            seq, stamped = self.ledger.seq, self._stamped
            if stamped and (stamped.until, stamped.structure) != (seq, self.ledger.meta("structure")):
                stamped = None
        self._stamped = None
        # what was stamped after the meeting comes with the next pass: nobody was told of this contact yet
        until = min(seq, selection.since) if selection.since else seq
        start = self._start(selection)
        pass_ = Pass(self.ledger, selection, start, start.until if start.open else until, stamped)
        yield from pass_.pages()
        for wire in (*pass_.skipped, *pass_.overtaken(), *selection.held, *parking.holed(self.ledger)):
            closing.digests.pop(wire, None)
        if selection.held:
            closing.state = selection.known.state
        else:
            closing.state = start._replace(seq=pass_.until, until=0, resource="", position=0).text()
        yield closing

    def _closing(self, selection: Selection) -> Closing:
        filtered = selection.scope.filters
        wires = [wire for wire in selection.scope.resources if wire not in filtered]
        return Closing(
            "",
            {wire: self.ledger.digest(self.ledger.resource(wire)) for wire in wires},
            {wire: self.ledger.forgotten(self.ledger.resource(wire)) for wire in wires},
        )

    # Apply

    def apply(self, page: Page, settings: Settings) -> Tally:
        return self._taking(settings).page(page)

    def acknowledge(self, closing: Closing, settings: Settings) -> dict[str, Tally]:
        return self._taking(settings).end(closing)

    def conclude(self, page: Page | None, closing: Closing, settings: Settings, theirs: Meeting) -> Concluded:
        """See ``sync.replica.Concluding``."""
        taking = self._taking(settings)
        tallies = taking.end(closing) if page is None else taking.last(page, closing)
        said = self.stated(settings.source, settings.scope)
        if said.token != theirs.token:
            said = self.stated(settings.source, settings.scope, True)
        said.settled = reached.settled(self.ledger, settings.source, settings.scope, theirs.state)
        return Concluded(tallies, said)

    def _taking(self, settings: Settings) -> Taking:
        from tallystick.sync.taking import Taking  # here: a command with nothing to do takes nothing

        return Taking(self.ledger, settings, self.committing)

    def one_step(self) -> AbstractContextManager[object]:
        """See ``sync.replica.Stepping``."""
        return self.ledger.write()

    def committing(self) -> None:
        """Called inside every transaction that takes foreign changes, last. What it raises undoes the transaction."""

    def close(self) -> None:
        self.ledger.engine.close()

    def abandon(self) -> None:
        """Close an end that was opened for nothing: a ledger made for that, and a file, are removed while empty."""
        engine = self.ledger.engine
        if self.ledger.created:
            with engine.write():
                if self.ledger.is_bare():
                    engine.drop_ledger()
        engine.abandon()


def range_items(ledger: Ledger, tracked: Tracked) -> list[tuple[str, bytes]]:
    """Key and identifier of every live record, keys ascending."""
    sql = (
        f"SELECT key, origin, tick, hash, flags, extra FROM tally_record WHERE resource={tracked.number} "
        "AND (flags & 1)=0 ORDER BY key"
    )
    rows = ledger.engine.query(sql)
    special = [row[0] for row in rows if row[4] & WHOLE]
    wholes = load_wholes(ledger, tracked, special)
    found = []
    for key, origin, tick, digest, flags, extra in rows:
        if extra is None and not flags & WHOLE:
            name = bytes(digest) if flags & GENESIS else dot_name(ledger.origin_name(origin), tick)
            term = names_term(key, name)
        else:
            entry = tracked.rows.by_keys([key])[key]
            term = terms(ledger, entry, wholes.get(key)).names
        shown = content_term(bytes(digest))
        found.append((key, ((term + shown) % MODULUS).to_bytes(32, "big")[16:]))
    return found


def _range_form(stated: Range) -> RangeForm:
    items = None if stated.items is None else list(stated.items)
    return RangeForm(stated.lower, stated.upper, stated.count, stated.total.to_bytes(16, "big"), items)


def _range_of(form: RangeForm) -> Range:
    items = None if form.items is None else tuple((key, bytes(value)) for key, value in form.items)
    return Range(form.lower, form.upper, form.count, int.from_bytes(form.total, "big"), items)
