"""Applying a page: data, ledger, digest, siblings and the resume point commit together (DESIGN.md 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.core.clock import from_future
from tallystick.core.decide import Held, Kind, Outcome, copy_key, decide
from tallystick.core.fingerprints import EMPTY
from tallystick.core.forms import Encoded
from tallystick.core.join import edit
from tallystick.core.pages import EXTRA, FLAGS, KEY, LOCAL, ORIGIN, STAMP, TICK, Page, Row, Tally
from tallystick.core.policies import ALL_METHODS, DEFAULT_POLICY, Policy
from tallystick.core.values import mapping_hash
from tallystick.core.versions import Record, Vector, Version
from tallystick.site import conflicts, deletions, parking
from tallystick.site.deciding import Decider, OnConflict
from tallystick.site.engines.engine import Entry
from tallystick.site.entering import enter, suits
from tallystick.site.holding import (
    Kept,
    Whole,
    aside_of,
    content_of_row,
    held,
    load_wholes,
    make_entry,
    save_wholes,
    terms_of,
)
from tallystick.site.identity import address_of, addresses_of
from tallystick.site.incoming import PLAIN, Incoming, checked_heads
from tallystick.site.leaving import leave
from tallystick.site.ledger import GENESIS, UNSHOWN, WHOLE, Ledger, Tracked
from tallystick.site.managed import contents
from tallystick.site.projection import Projector, Rendered, Writing, compare_row, exact, local_after
from tallystick.site.reading import LEFT_SCOPE
from tallystick.site.referring import rows_with_children
from tallystick.site.replacing import replace, replaces
from tallystick.site.schema import Identity


@dataclass(slots=True)
class Applying:
    """How pages of one pass are applied at this site. ``policy`` is turned to this site."""

    policy: Policy = DEFAULT_POLICY
    onconflict: OnConflict | None = None
    run: str = ""
    delete_left: bool = False
    refuse: str = ""
    """Why no row of this page is to be written: the database refused it when it was to be committed."""
    altered: bool = False
    """Set when a record that got a seq is not what it was in its page."""


@dataclass(slots=True)
class Decided:
    """One record of a page between decision and writing. ``altered``: it is not what came."""

    key: str
    entry: Entry | None
    whole: Whole | None
    before: Held | None
    outcome: Outcome
    altered: bool
    hint: Any
    digest: bytes | None = None
    """The hash of the incoming content, where it was computed here."""
    writing: Writing | None = None
    rendered: Rendered | None = None


def apply_page(ledger: Ledger, page: Page, applying: Applying) -> Tally:
    """Apply one page. Call inside ``ledger.write()``, after stamping. Returns what became of its rows.

    Raises PeerProtocolError for a malformed page; then nothing of it is applied.
    """
    tracked = ledger.resource(page.resource)
    tally = Tally()
    if page.rows:
        step = _Step(ledger, tracked, page, applying, tally)
        step.run()
    return tally


class _Step:
    """The application of one page."""

    def __init__(self, ledger: Ledger, tracked: Tracked, page: Page, applying: Applying, tally: Tally) -> None:
        self.ledger, self.tracked, self.page, self.applying, self.tally = ledger, tracked, page, applying, tally
        self.incoming = Incoming(page, managed=tracked.definition.identity is Identity.MANAGED)
        self.managed = self.incoming.managed
        self.origins: list[int] = []
        stated = {item.name: (item.logical, item.detail) for item in page.fields}
        self.exact = self.managed or exact(tracked, stated)
        if self.exact and not self.managed and ledger.engine.dialect != "sqlite":
            self.exact = self.incoming.canonical()
        self.suits = not applying.refuse and self.exact and not self.managed and suits(tracked, page)
        self.forgotten = ledger.forgotten(tracked)
        self.digest: Vector = ledger.digest(tracked)
        self.decider = Decider(
            ledger, tracked, applying.policy, applying.onconflict, tally, self.digest, self.forgotten
        )
        self.keys: set[str] = set()
        self.wholes: dict[str, Whole | None] = {}
        self.lost: list[tuple[str, Version]] = []
        self.outdone: list[tuple[str, Version]] = []
        """What came and lost against what is here: no loss that guards look at."""
        self.put: list[tuple[Entry, Whole | None]] = []
        self.replaced: list[tuple[Entry, Whole | None]] = []
        self.last_stamp, self.now, self.encoded = 0, ledger.now(), Encoded()

    def run(self) -> None:
        rows = self.page.rows
        heads = checked_heads(self.page)
        used = set(heads[ORIGIN])
        number = self.ledger.origin_number
        self.origins = [number(name) if at in used else 0 for at, name in enumerate(self.page.origins)]
        self.keys.update(heads[KEY])
        self.last_stamp = max(heads[STAMP])
        entries = self.tracked.rows.by_keys(heads[KEY]) if self.tracked.seq else {}
        fast, slow = self._divided(rows, heads, entries)
        slow.extend(self._take(self._replace(self._enter(fast, entries), entries), entries))
        self._decide(slow, entries)
        if self.put:
            self.tracked.rows.put([entry for entry, _ in self.put], [entry.seq for entry, _ in self.replaced])
            self.ledger.count(self.tracked, terms_of(self.ledger, self.put), terms_of(self.ledger, self.replaced))
        save_wholes(self.ledger, self.tracked, self.wholes, self.encoded)
        for kind, hidden in (("lost here", self.lost), ("lost on arrival", self.outdone)):
            conflicts.log_many(self.ledger, self.tracked, kind, hidden, self.applying.run, self.encoded)
        deletions.note_lost(self.ledger, self.tracked.wire, self.applying.run, len(self.lost))
        self.ledger.observe(self.last_stamp)
        if from_future(self.last_stamp, self.now):
            self.tally.ahead += sum(from_future(stamp, self.now) for stamp in heads[STAMP])

    def _divided(
        self, rows: Sequence[Row], heads: Sequence[Sequence[Any]], entries: Mapping[str, Entry]
    ) -> tuple[Sequence[Row], list[Row]]:
        """Rows that plainly are new or plainly replace ours, and rows that need the rules."""
        if self.forgotten or self.applying.policy.strategy != ALL_METHODS:
            return [], list(rows)
        if not entries and heads[EXTRA].count(None) == len(rows) and PLAIN.issuperset(heads[FLAGS]):
            return rows, []
        replacing = self.applying.policy.update == DEFAULT_POLICY.update
        fast: list[Row] = []
        slow: list[Row] = []
        for row in rows:
            entry = entries.get(row[KEY])
            if row[FLAGS] not in PLAIN:
                slow.append(row)
            elif entry is None:
                (fast if row[EXTRA] is None else slow).append(row)
            else:
                (fast if replacing and replaces(self.ledger, self.page, row, entry) else slow).append(row)
        return fast, slow

    # Plain rows

    def _enter(self, rows: Sequence[Row], entries: Mapping[str, Entry]) -> Sequence[Row]:
        """Write the new ones among plain rows as they came. Returns those that need the ordinary way."""
        new: Sequence[Row] = ()
        if self.suits:
            new = [row for row in rows if row[KEY] not in entries and row[EXTRA] is None] if entries else rows
        if not new:
            return rows
        made = enter(self.ledger, self.tracked, self.page, new, self.origins)
        self.ledger.count(self.tracked, made.fingerprint, EMPTY)
        self.tally.created += made.fingerprint.count
        return [*made.left, *(row for row in rows if row[KEY] in entries)] if entries else made.left

    def _replace(self, rows: Sequence[Row], entries: Mapping[str, Entry]) -> Sequence[Row]:
        """Write those among plain rows that replace rows of ours as they came. Returns the others."""
        if not self.suits or not entries:
            return rows
        shown = [row for row in rows if (entry := entries.get(row[KEY])) is not None and entry.hash]
        if not shown:
            return rows
        made = replace(self.ledger, self.tracked, self.page, shown, entries, self.origins)
        self.tally.updated += made.updated
        return [*made.left, *(row for row in rows if row[KEY] not in entries or not entries[row[KEY]].hash)]

    def _take(self, rows: Sequence[Row], entries: Mapping[str, Entry]) -> list[Row]:
        """Write rows that are new or replace ours. Returns known ones that the database refused."""
        if not rows:
            return []
        writings = [Writing(row[KEY], self.incoming.content(row), entries.get(row[KEY]), row[LOCAL]) for row in rows]
        for item in writings:
            item.failure = self.applying.refuse
        Projector(self.ledger, self.tracked).write(writings)
        rendered = self._rendered(writings)
        seqs = self.ledger.next_seqs(self.tracked, len(rows))
        refused = []
        for row, item, seq, digest in zip(rows, writings, seqs, self.incoming.digests(rows), strict=True):
            old = item.entry
            if item.failure or item.key in rendered:
                if old is None:
                    self._create_one(row, item, seq, rendered.get(item.key))
                else:
                    refused.append(row)
                continue
            if old is None:
                self.tally.created += 1
            else:
                self.tally.updated += 1
                self.replaced.append((old, None))
            entry = Entry(
                seq,
                item.key,
                None if self.managed else local_after(self.tracked, item),
                seq if old is None else old.born_after(seq),
                self.origins[row[ORIGIN]],
                row[TICK],
                row[STAMP],
                digest,
                None,
                row[FLAGS] & GENESIS,
                row[EXTRA],
            )
            self.put.append((entry, None))
        return refused

    def _create_one(self, row: Row, item: Writing, seq: int, rendered: Rendered | None) -> None:
        """A new record that parked, or that the database rendered, or with fields this site does not have."""
        record = self.incoming.record(row)
        if item.failure:
            parking.park(self.ledger, self.tracked, item.key, item.failure)
            self.tally.parked += 1
            entry, whole = make_entry(self.ledger, item.key, seq, seq, Kept(record, (), b"", None, unshown=True))
        else:
            assert rendered is not None
            local = local_after(self.tracked, item)
            kept = Kept(record, record.versions, record.versions[0].hash, local, rendered.hash, rendered.aside)
            entry, whole = make_entry(self.ledger, item.key, seq, seq, kept)
            self.tally.created += 1
        if whole is not None:
            self.wholes[item.key] = whole
        self.put.append((entry, whole))

    # Known records

    def _decide(self, rows: Sequence[Row], entries: Mapping[str, Entry]) -> None:
        if not rows:
            return
        known = [entries[row[KEY]] for row in rows if row[KEY] in entries]
        wholes = load_wholes(self.ledger, self.tracked, [entry.key for entry in known if entry.flags & WHOLE])
        shown = self._shown(known)
        plain = [row for row in rows if row[FLAGS] in PLAIN]
        digests = dict(zip([row[KEY] for row in plain], self.incoming.digests(plain), strict=True))
        decided = []
        left = [row[KEY] for row in rows if row[FLAGS] & LEFT_SCOPE]
        for row in rows if not left else [row for row in rows if not row[FLAGS] & LEFT_SCOPE]:
            entry = entries.get(row[KEY])
            one = self._decide_one(row, entry, wholes.get(row[KEY]), shown.get(row[KEY]), digests.get(row[KEY]))
            if one is not None:
                decided.append(one)
        self._project(decided)
        for one in decided:
            self._keep(one)
        self._leave(left, wholes, shown)

    def _shown(self, entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
        """What the rows of known records hold now, by key."""
        definition = self.tracked.definition
        live = [entry for entry in entries if entry.hash]
        if self.managed:
            return contents(self.ledger, self.tracked, [entry.key for entry in live])
        addresses = addresses_of(definition, [(entry.key, entry.local) for entry in live])
        values = self.tracked.rows.values(addresses)
        found = {}
        for entry, address in zip(live, addresses, strict=True):
            content = content_of_row(definition, values.get(address), aside_of(entry))
            if content is not None:
                found[entry.key] = content
        return found

    def _decide_one(
        self,
        row: Row,
        entry: Entry | None,
        whole: Whole | None,
        shown: dict[str, Any] | None,
        digest: bytes | None,
    ) -> Decided | None:
        incoming = self.incoming.record(row, digest)
        before = None if entry is None else held(self.ledger, entry, shown, whole)
        outcome = self.decider.decide(row[KEY], before, incoming)
        if outcome.kind is Kind.UNCHANGED:
            self.tally.unchanged += 1
            return None
        computed = None if digest is None else incoming.versions[0].hash
        altered = outcome.record != incoming
        if not altered and row[FLAGS] & WHOLE:
            self.encoded.learn(outcome.record, row[EXTRA])
        return Decided(row[KEY], entry, whole, before, outcome, altered, row[LOCAL], computed)

    def _leave(self, keys: Sequence[str], wholes: Mapping[str, Whole], shown: Mapping[str, dict[str, Any]]) -> None:
        """The records no longer match the sender's filter: kept unless the task deletes what left."""
        self.tally.unchanged += len(keys)
        if not keys or not self.applying.delete_left:
            return
        live = [entry for entry in self.tracked.rows.by_keys(keys).values() if entry.hash]
        for left in leave(self.ledger, self.tracked, live, wholes, shown):
            self.applying.altered = True
            self._put(left.old, left.old_whole, left.new, left.whole)
            self.tally.deleted += 1

    # Writing

    def _project(self, decided: Sequence[Decided]) -> None:
        for one in decided:
            outcome = one.outcome
            wanted = outcome.kind in (Kind.CREATED, Kind.UPDATED, Kind.DELETED)
            if wanted and outcome.projection is not None:
                one.writing = Writing(one.key, outcome.projection.content, one.entry, one.hint)
                one.writing.failure = self.applying.refuse
        self._hold_back_parents(decided)
        writings = [one.writing for one in decided if one.writing is not None]
        Projector(self.ledger, self.tracked).write(writings)
        rendered = self._rendered(writings)
        for one in decided:
            one.rendered = rendered.get(one.key)

    def _hold_back_parents(self, decided: Sequence[Decided]) -> None:
        """A deletion that would take along rows its maker had not seen is a conflict, not a deletion."""
        if self.managed:
            return
        removed = {
            address_of(self.tracked.definition, one.key, one.entry.local): one
            for one in decided
            if one.writing is not None and one.writing.content is None and one.entry is not None
        }
        if removed and self.tracked.definition.referrers:
            for address in rows_with_children(self.ledger, self.tracked.definition, list(removed)):
                one = removed[address]
                one.writing, one.altered = None, True
                one.outcome = self._reissued(one)

    def _reissued(self, one: Decided) -> Outcome:
        """The record as a new edit of this site, which knows the deletion: children here still need it."""
        before = one.before
        assert before is not None
        (version, *_) = before.shown
        (tick,) = self.ledger.next_ticks(self.tracked, 1)
        dot = (self.ledger.origin, tick)
        record = edit(one.outcome.record, dot, self.ledger.stamp_at(self.ledger.now()), version.hash, version.content)
        conflicts.log(self.ledger, self.tracked, one.key, "kept for its children", one.outcome.record.versions)
        self.tally.conflicts += 1
        return Outcome(Kind.UNITED, record)

    def _keep(self, one: Decided) -> None:
        """Write the ledger entry that a decision leads to."""
        outcome, entry = one.outcome, one.entry
        (seq,) = self.ledger.next_seqs(self.tracked, 1)
        born = seq if entry is None else entry.born_after(seq)
        if one.writing is not None and one.writing.failure:
            kept = self._parked(one)
        elif outcome.kind is Kind.DECLINED:
            kept = self._declined(one)
        else:
            kept = self._taken(one)
        self.applying.altered |= one.altered
        new, whole = make_entry(self.ledger, one.key, seq, born, kept)
        self._put(entry, one.whole, new, conflicts.keep_logged(whole, self.now, outcome.lost, one.whole))
        if outcome.lost:
            self._log_lost(one)
        if outcome.projection is not None and outcome.projection.copies:
            self._keep_both(one, outcome.projection.copies)
        if outcome.undecided:
            self.tally.undecided += 1

    def _parked(self, one: Decided) -> Kept:
        assert one.writing is not None
        parking.park(self.ledger, self.tracked, one.key, one.writing.failure)
        self.tally.parked += 1
        return self._unshown(one)

    def _declined(self, one: Decided) -> Kept:
        parking.decline(self.ledger, self.tracked, one.key, f"strategy or update policy ({one.outcome.method})")
        self.tally.declined += 1
        return self._unshown(one)

    def _unshown(self, one: Decided) -> Kept:
        """The row stays as it is while the record moves on."""
        shown = () if one.before is None else one.before.shown
        entry = one.entry
        if entry is None:
            return Kept(one.outcome.record, (), b"", None, unshown=True)
        return Kept(one.outcome.record, shown, entry.hash, entry.local, entry.rendered, aside_of(entry), unshown=True)

    def _taken(self, one: Decided) -> Kept:
        outcome, entry = one.outcome, one.entry
        if entry is not None and entry.flags & UNSHOWN and outcome.kind is not Kind.UNITED:
            parking.release(self.ledger, self.tracked, one.key)
        if one.writing is None:
            return self._knowledge(one)
        self._count(outcome.kind)
        projection = outcome.projection
        assert projection is not None
        if projection.content is None:
            return Kept(outcome.record, projection.contributors, b"", None, undecided=projection.undecided)
        digest = one.digest
        if digest is None or not any(
            version.hash == digest and version.content is projection.content for version in projection.contributors
        ):
            digest = mapping_hash(one.key, dict(projection.content))
        found = one.rendered
        rendered, aside = (None, {}) if found is None else (found.hash, found.aside)
        local = None if self.managed else local_after(self.tracked, one.writing)
        shown = projection.contributors
        return Kept(outcome.record, shown, digest, local, rendered, aside, undecided=projection.undecided)

    def _knowledge(self, one: Decided) -> Kept:
        """Only what is known changed: the row shows what it showed."""
        outcome, entry = one.outcome, one.entry
        if entry is None:
            return Kept(outcome.record, outcome.record.versions, b"", None)
        shown = _still_shown(outcome.record, () if one.before is None else one.before.shown)
        undecided = outcome.undecided or (one.whole is not None and one.whole.undecided and outcome.record.contested)
        unshown = bool(entry.flags & UNSHOWN)
        return Kept(outcome.record, shown, entry.hash, entry.local, entry.rendered, aside_of(entry), unshown, undecided)

    def _count(self, kind: Kind) -> None:
        if kind is Kind.CREATED:
            self.tally.created += 1
        elif kind is Kind.UPDATED:
            self.tally.updated += 1
        elif kind is Kind.DELETED:
            self.tally.deleted += 1

    def _put(self, old: Entry | None, old_whole: Whole | None, new: Entry, whole: Whole | None) -> None:
        if old is not None:
            self.replaced.append((old, old_whole))
        if whole is not None or old_whole is not None:
            self.wholes[new.key] = whole
        self.put.append((new, whole))

    def _log_lost(self, one: Decided) -> None:
        before = () if one.before is None else one.before.shown
        local = [version for version in one.outcome.lost if any(version.hash == shown.hash for shown in before)]
        if local:
            self.lost.extend((one.key, version) for version in local)
        else:
            self.outdone.extend((one.key, version) for version in one.outcome.lost)

    def _keep_both(self, one: Decided, copies: Sequence[Version]) -> None:
        """Losers become records of their own, named by their content so that every site makes the same ones."""
        for version in copies:
            key = copy_key(one.key, version)
            if version.content is not None and key not in self.keys and not self.tracked.rows.by_keys([key]):
                self.keys.add(key)
                self._new_local(key, version.content)

    def _new_local(self, key: str, content: Mapping[str, Any]) -> None:
        (tick,) = self.ledger.next_ticks(self.tracked, 1)
        stamp = self.ledger.stamp_at(self.ledger.now())
        record = edit(None, (self.ledger.origin, tick), stamp, mapping_hash(key, dict(content)), content)
        writing = Writing(key, content)
        Projector(self.ledger, self.tracked).write([writing])
        outcome = decide(None, record, DEFAULT_POLICY, {}, {})
        rendered = self._rendered([writing]).get(key)
        self._keep(Decided(key, None, None, None, outcome, True, None, None, writing, rendered))

    def _rendered(self, writings: Iterable[Writing]) -> dict[str, Rendered]:
        """What the database made of rows that it did not keep as they came, and fields that it cannot hold."""
        definition = self.tracked.definition
        if self.managed:
            return {}
        written = [item for item in writings if item.content is not None and item.address and not item.failure]
        if self.exact and all(name in definition.wires for name in self.incoming.names):
            written = [item for item in written if item.altered or not (item.content or {}).keys() <= definition.wires]
        read = [item.address for item in written if item.address and (item.altered or not self.exact)]
        found = self.tracked.rows.values(read) if read else {}
        result = {}
        for item in written:
            made = compare_row(definition, item, found.get(item.address))  # type: ignore[arg-type]
            if made is not None:
                result[item.key] = made
        return result


def _still_shown(record: Record, shown: Sequence[Version]) -> tuple[Version, ...]:
    """The shown versions as the record now names them."""
    by_hash = {version.hash: version for version in record.versions}
    return tuple(by_hash.get(version.hash, version) for version in shown)
