"""Leaving bundles for another site: what it has not acknowledged yet (docs/bundles.md, *Giving*)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tallystick.core.filter_text import parse
from tallystick.core.filters import text
from tallystick.core.states import parse_state, scope_of
from tallystick.core.versions import vector_covers
from tallystick.errors import StateError
from tallystick.protocols.bundle.codec.documents import (
    STATEMENT,
    Manifest,
    Statement,
    Taken,
    check_statement,
    follows,
)
from tallystick.protocols.bundle.codec.signing import read_signed, signed
from tallystick.protocols.bundle.errors import BundleDamaged, BundleForeign, BundleMissing
from tallystick.protocols.bundle.replica import begin_bundle, read_manifest
from tallystick.protocols.bundle.session import Session
from tallystick.protocols.bundle.trust import Trusted
from tallystick.site.schema import Definition
from tallystick.sync.local import range_items
from tallystick.sync.plan import Plan
from tallystick.sync.replica import Announced, Closing, Described, Known, Meeting, Scope, Selection, Settings
from tallystick.sync.scoping import choose, wanted
from tallystick.sync.transfer import transfer


class Giving:
    """What this site leaves for ``reader``: its acknowledgement, and bundles."""

    def __init__(self, session: Session, reader: Trusted) -> None:
        self.session, self.reader = session, reader
        self.ledger = session.local.ledger

    # What this site knows

    def state(self, scope: Scope | None) -> None:
        """Write down what this site has taken from the reader, in ``scope`` (that of its last bundle)."""
        session, plan = self.session, self.session.plan
        mine = choose(session.local, plan)[1]
        covered = scope or mine
        met = session.meet(self.reader.site, covered)  # stamps: what is captured counts in the digest
        everything = replace(covered, resources=tuple(sorted({*covered.resources, *mine.resources})))
        known = session.local.digest("", everything)  # also of what the reader has not left anything of yet
        known.state, known.recent = met.state, {}
        statement = Statement(
            session.me,
            self.reader.site,
            covered,
            known,
            met,
            [msgspec.json.decode(raw, type=Taken) for raw in session.trust.taken(self.reader.site)],
            sorted(plan.only),
            sorted(plan.exclude),
            dict(sorted(plan.where.items())),
        )
        path = session.directory.statement(session.me, self.reader.site)
        session.directory.write_if_new(path, signed(STATEMENT, statement, session.key))

    def statement(self) -> Statement | None:
        """What the reader has taken of ours, as it wrote it down; None where it wrote nothing.

        Raises BundleDamaged, BundleForeign.
        """
        directory = self.session.directory
        path = directory.statement(self.reader.site, self.session.me)
        where = directory.shown(path)
        try:
            body = directory.read(path)
        except BundleMissing:
            return None
        found = read_signed(STATEMENT, Statement, body, self.reader.public, where)
        if (found.site, found.reader) != (self.reader.site, self.session.me):
            raise BundleForeign(f"{where} is a statement of {found.site[:8]} to {found.reader[:8]}: it lies elsewhere")
        check_statement(found, where)
        return found

    # Bundles

    def give(self) -> int:
        """Write what the reader lacks; returns the number of the new bundle, 0 when there is nothing new.

        Raises StorageFull and StorageError: what was written stays, and the next run goes on from there.
        """
        statement = self.statement()
        definitions, scope = self._scope(statement)
        if not definitions:
            return 0
        theirs = statement.meeting if statement is not None else None
        stated = self.session.meet(self.reader.site, scope, theirs)
        known = self._known(statement, scope)
        taken = {one.bundle: one for one in statement.taken} if statement is not None else {}
        reached = self._clear(scope, known.state, taken)
        if _has_all(reached, stated):
            begun = self.session.directory.bundle(self.session.me, self.reader.site, self._number())
            self.session.directory.remove(begun)  # the reader got it on another road
            return 0
        return self._write(definitions, scope, stated, replace(known, state=reached), statement)

    def _scope(self, statement: Statement | None) -> tuple[list[Definition], Scope]:
        """What both sites want to take part: resources of both plans, filters of both."""
        definitions, scope = choose(self.session.local, self.session.plan)
        if statement is None:
            return definitions, scope
        theirs = Plan(only=tuple(statement.only), exclude=tuple(statement.exclude))
        described = Described(self.session.me, "", "", definitions)
        definitions = wanted(described, theirs)
        wires = {item.wire for item in definitions}
        where = {wire: given for wire, given in scope.where if wire in wires}
        named = {name: item.wire for item in definitions for name in (item.wire, item.name)}
        for name, given in statement.where.items():
            if name in named:
                mine = where.get(named[name])
                where[named[name]] = text(parse(f"({mine}) and ({given})" if mine else given))
        return definitions, replace(scope, resources=tuple(sorted(wires)), where=tuple(sorted(where.items())))

    def _known(self, statement: Statement | None, scope: Scope) -> Known:
        if statement is None:
            return Known("", {}, {})
        same = scope_of(statement.scope.resources, statement.scope.where) == scope_of(scope.resources, scope.where)
        return replace(statement.known, state=statement.known.state if same else "")

    def _clear(self, scope: Scope, reached: str, taken: Mapping[str, Taken]) -> str:
        """Remove bundles that were acknowledged or lead nowhere; returns the state after those that wait.

        ``taken`` says what became of bundles.
        """
        directory, reader = self.session.directory, self.reader
        for number in directory.numbers(self.session.me, reader.site):
            folder = directory.bundle(self.session.me, reader.site, number)
            manifest = self._own(folder)
            if manifest is None:
                if number != self._number():  # it cannot be continued any more
                    directory.remove(folder)
            elif follows(manifest.closing.state, reached):
                directory.remove(folder)
                if manifest.records:
                    became = _told(taken.get(manifest.bundle))
                    self.session.report.notes.append(f"{reader.name} has taken bundle {number}{became}")
            elif self._leads_on(manifest, scope, reached):
                reached = manifest.closing.state
            else:
                directory.remove(folder)
        return reached

    def _own(self, folder: Path) -> Manifest | None:
        """The manifest of a complete bundle of ours; None for one that is incomplete, damaged ones are removed."""
        session = self.session
        try:
            return read_manifest(session.directory, folder, session.key.public, session.me, self.reader.site)
        except BundleMissing:
            return None
        except (BundleDamaged, BundleForeign):
            session.directory.remove(folder)
            return None

    def _leads_on(self, manifest: Manifest, scope: Scope, reached: str) -> bool:
        """True when a waiting bundle still is what the reader needs next, and is there whole."""
        directory = self.session.directory
        folder = directory.bundle(self.session.me, self.reader.site, manifest.number)
        state = parse_state(manifest.closing.state)
        same = scope_of(scope.resources, scope.where) == state.scope and state.incarnation == self.ledger.incarnation
        sizes = [path.stat().st_size for path in directory.parts(folder)]
        return (
            same
            and follows(manifest.base, reached)
            and sizes[: len(manifest.parts)] == [part.size for part in manifest.parts]
        )

    def _write(
        self, definitions: list[Definition], scope: Scope, stated: Meeting, known: Known, statement: Statement | None
    ) -> int:
        session, site = self.session, self.reader.site
        known, announced = self._announced(scope, known)
        number = self._number()
        manifest = Manifest(
            session.me,
            site,
            number,
            "",
            scope,
            known.state,
            stated,
            definitions,
            {wire: count for wire, count in announced.deletions.items() if count},
            0,
            [],
            Closing("", {}, {}),
            self._live(scope, stated, statement),
        )
        folder = session.directory.bundle(session.me, site, number)
        target = begin_bundle(session.directory, folder, session.key, manifest)
        target.part_bytes = session.part_bytes
        resumed = bool(manifest.parts)
        settings = Settings(session.me, scope, run=session.report.run)
        known = replace(known, state=target.resume)
        keys = {} if known.state else self._agreed(scope, known)
        transfer(session.local, target, settings, known, keys=keys, since=stated.seq, progress=session.plan.progress)
        self._note_number(number)
        session.report.records += manifest.records
        if manifest.records:  # one without records only says that the reader has everything
            continued = ", continued after an interruption" if resumed else ""
            session.report.notes.append(
                f"left bundle {number} for {self.reader.name}: {manifest.records:,} records{continued}"
            )
        return number

    def _announced(self, scope: Scope, known: Known) -> tuple[Known, Announced]:
        """How many deletions there will be; where the reader's state cannot be continued from, compared by digest."""
        try:
            return known, self.session.local.announce(Selection(scope, known, deletions_only=True))
        except StateError:
            known = replace(known, state="")
            return known, self.session.local.announce(Selection(scope, known, deletions_only=True))

    def _agreed(self, scope: Scope, known: Known) -> dict[str, list[str]]:
        """Resources of which the reader stated the very contents that we hold: nothing is sent of them."""
        mine = self.session.local.digest("", scope).prints
        filtered = scope.filters
        return {
            wire: []
            for wire, here in mine.items()
            if here[0] and wire not in filtered and tuple(known.prints.get(wire, ())) == tuple(here)
        }

    def _live(self, scope: Scope, stated: Meeting, statement: Statement | None) -> dict[str, list[str]]:
        """For a reader behind purged deletions: the keys of what is left (DESIGN.md 4.5)."""
        if not stated.purged or statement is None:
            return {}
        found = {}
        for wire, forgotten in self.session.local.digest("", scope).forgotten.items():
            held = statement.known.digests.get(wire)
            if held is not None and wire not in scope.filters and not vector_covers(held, forgotten):
                with self.ledger.engine.read():
                    found[wire] = [key for key, _ in range_items(self.ledger, self.ledger.resource(wire))]
        return found

    # Numbers

    def _number(self) -> int:
        """The number of the next bundle: never one that a reader may have seen."""
        directory, reader = self.session.directory, self.reader.site
        complete = [
            number
            for number in directory.numbers(self.session.me, reader)
            if directory.manifest(directory.bundle(self.session.me, reader, number)).exists()
        ]
        return max(int(self.ledger.meta(f"bundle.{reader}") or 0), *complete, 0) + 1

    def _note_number(self, number: int) -> None:
        with self.ledger.engine.write():
            self.ledger.put_meta(f"bundle.{self.reader.site}", str(number))


def _told(taken: Taken | None) -> str:
    """What became of the records of a bundle, where the reader has written it down."""
    if taken is None:
        return ""
    names = ("created", "updated", "deleted", "conflicts", "parked", "declined")
    sums = {name: sum(getattr(tally, name) for tally in taken.tallies.values()) for name in names}
    listed = [f"{count:,} {name}" for name, count in sums.items() if count > 0]
    return f": {', '.join(listed)}" if listed else ""


def _has_all(reached: str, stated: Meeting) -> bool:
    """True when whoever is at ``reached`` has everything that ``stated`` speaks of."""
    if not reached:
        return False
    state = parse_state(reached)
    same = f"{state.site}.{state.incarnation}" == stated.origin
    return same and not state.open and stated.seq <= state.seq
