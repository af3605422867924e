"""Issuing: changes of rows get their dots and seqs, and their entries are written (DESIGN.md 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tallystick.core.forms import NO_EXTRA, Extra, decode_extra
from tallystick.core.hashing import content_hashes
from tallystick.core.join import edit
from tallystick.core.values import Value
from tallystick.core.versions import DELETED as NO_CONTENT
from tallystick.core.versions import Dot, Version
from tallystick.site import conflicts, dangling
from tallystick.site.engines.engine import Address, Entry, Mark
from tallystick.site.holding import (
    Folded,
    Kept,
    Whole,
    closing_edit,
    content_of_row,
    held,
    load_folded,
    make_entry,
    row_hash,
    save_wholes,
    simple_edit,
    terms_of,
)
from tallystick.site.identity import local_of
from tallystick.site.ledger import DELETED, UNSHOWN, WHOLE, Ledger, Tracked


@dataclass(slots=True)
class Touched:
    """One record that marks speak of: the entry it had, the address its row has now (None: the row is gone)."""

    entry: Entry | None
    address: Address | None
    at: int
    columns: frozenset[str] | None = frozenset()
    evicted: bool = False

    def note(self, mark: Mark) -> None:
        """Add what one more mark says."""
        if mark.at > self.at:
            self.at = mark.at
        if mark.kind == "E":
            self.evicted = True
        if mark.columns is None or self.columns is None:
            self.columns = None
        else:
            self.columns = self.columns | mark.columns if self.columns else mark.columns


class Change(NamedTuple):
    """A touched record with what its row holds now."""

    touched: Touched
    key: str
    values: tuple[Value, ...] | None


Told = dict[str, list[tuple[Entry, tuple[Value, ...] | None]]]
"""What ``Rows.after`` would give for records that were just stamped, by wire name."""


def write_changes(
    ledger: Ledger,
    tracked: Tracked,
    changes: Sequence[Change],
    told: list[tuple[Entry, tuple[Value, ...] | None]] | None = None,
) -> int:
    """Give the changes their dots and seqs. Returns how many records got a new seq; ``told`` is given each of them."""
    real = [change for change in changes if change.touched.entry is not None or change.values is not None]
    if not real:
        return 0
    issue = _Issue(ledger, tracked, real)
    issue.run()
    if told is not None:
        shown = (
            None if entry.flags & DELETED else change.values
            for (entry, _), change in zip(issue.made, real, strict=True)
        )
        told.extend(zip((entry for entry, _ in issue.made), shown, strict=True))
    return len(real)


class _Step(NamedTuple):
    """One change on its way to an entry: what its row holds beside its fields, and the fields that were changed."""

    change: Change
    extra: Extra
    aside: Mapping[str, Any]
    changed: frozenset[str] | None


class _Issue:
    """One batch of changes of one resource."""

    def __init__(self, ledger: Ledger, tracked: Tracked, changes: Sequence[Change]) -> None:
        self.ledger, self.tracked, self.definition = ledger, tracked, tracked.definition
        self.made: list[tuple[Entry, Whole | None]] = []
        self._by_column = {item.column: item.wire for item in self.definition.fields}
        self._wires: dict[frozenset[str], frozenset[str]] = {}
        self._closed: list[tuple[str, Version]] = []
        self._now = ledger.now()
        self._steps = [self._step(change) for change in changes]
        self._folded = load_folded(
            ledger, tracked, [one.key for one in changes if one.touched.entry and one.touched.entry.flags & WHOLE]
        )

    def run(self) -> None:
        """Make the entries and write them."""
        ledger, tracked = self.ledger, self.tracked
        olds: list[tuple[Entry, Folded | None]] = []
        own = ledger.origin_number(ledger.origin)
        kept: dict[str, Whole | None] = {}
        seqs = ledger.next_seqs(tracked, len(self._steps))
        for step, digest, seq in zip(self._steps, self._digests(), seqs, strict=True):
            (touched, key, _), folded = step.change, self._folded.get(step.change.key)
            new = self._stamped(step, digest, folded, seq, own)
            if touched.entry is not None:
                olds.append((touched.entry, folded))
            if new[1] is not None or folded is not None:
                kept[key] = new[1]
            self.made.append(new)
        tracked.rows.put([entry for entry, _ in self.made], [entry.seq for entry, _ in olds])
        if self.definition.parents:
            values = [step.change.values for step in self._steps]
            dangling.note(ledger, tracked, [row for row in values if row is not None])
        save_wholes(ledger, tracked, kept)
        conflicts.log_many(ledger, tracked, "closed", self._closed)
        ledger.count(tracked, terms_of(ledger, self.made), terms_of(ledger, olds))

    def _step(self, change: Change) -> _Step:
        entry, changed = change.touched.entry, self._changed_fields(change.touched.columns)
        if entry is None or entry.extra is None:
            return _Step(change, NO_EXTRA, {}, changed)
        extra = decode_extra(entry.extra)
        return _Step(change, extra, self._remaining_aside(extra.aside, changed) if extra.aside else {}, changed)

    def _changed_fields(self, columns: frozenset[str] | None) -> frozenset[str] | None:
        """Wire names of the fields in changed columns; None where all may have changed."""
        if columns is None:
            return None
        found = self._wires.get(columns)
        if found is None:
            by_column = self._by_column
            found = self._wires[columns] = frozenset(by_column[name] for name in columns if name in by_column)
        return found

    def _remaining_aside(self, aside: Mapping[str, Any], changed: frozenset[str] | None) -> Mapping[str, Any]:
        """Values kept aside, less those of fields that the application has now written itself."""
        gone = self.definition.wires if changed is None else changed
        return {name: value for name, value in aside.items() if name not in gone}

    def _digests(self) -> list[bytes]:
        """The content hash of each change, empty for a deletion."""
        digests = [NO_CONTENT] * len(self._steps)
        plain: list[int] = []
        for index, ((_, key, values), _, aside, _) in enumerate(self._steps):
            if values is not None:
                if aside:
                    digests[index] = row_hash(self.definition, key, values, aside)
                else:
                    plain.append(index)
        rows = [self._steps[index].change for index in plain]
        columns = list(zip(*(row.values or () for row in rows), strict=True))
        made = content_hashes(self.definition.names, [row.key for row in rows], columns)
        for index, digest in zip(plain, made, strict=True):
            digests[index] = digest
        return digests

    def _stamped(
        self, step: _Step, digest: bytes, folded: Folded | None, seq: int, own: int
    ) -> tuple[Entry, Whole | None]:
        ledger, (touched, key, values) = self.ledger, step.change
        entry = touched.entry
        local = None if values is None or touched.address is None else local_of(self.definition, key, touched.address)
        if entry is not None and digest in (entry.hash, entry.rendered) and (values is not None or not entry.hash):
            # found by comparison a moment ago, and marked as well: nobody was told of it
            born = seq if entry.born_seq > ledger.began else entry.born_seq
            whole = None if folded is None else folded.whole
            return entry._replace(seq=seq, born_seq=born, local=entry.local if values is None else local), whole
        (tick,) = ledger.next_ticks(self.tracked, 1)
        dot, time = (ledger.origin, tick), ledger.stamp_at(touched.at)
        if entry is None:
            record = edit(None, dot, time, digest)
            return make_entry(ledger, key, seq, seq, Kept(record, record.versions, digest, local))
        rendered = self._rendered(key, values, step.aside)
        if folded is None:
            extra = simple_edit(ledger, entry, step.extra, tick, step.changed, step.aside)
            flags = 0 if digest else DELETED
            return Entry(seq, key, local, entry.born_after(seq), own, tick, time, digest, rendered, flags, extra), None
        settled = closing_edit(ledger, folded, entry, (tick, time, digest), step.aside)
        if settled is not None:
            if not conflicts.is_logged(folded.sketch.logged, self._now):
                whole = folded.whole
                seen = {digest, *(version.hash for version in whole.shown)}
                self._closed.extend((key, version) for version in whole.record.versions if version.hash not in seen)
            return settled._replace(seq=seq, local=local, rendered=rendered), None
        kept = self._edited(step, entry, folded.whole, dot, time, digest)
        return make_entry(ledger, key, seq, entry.born_after(seq), kept._replace(local=local, rendered=rendered))

    def _edited(self, step: _Step, entry: Entry, whole: Whole, dot: Dot, time: int, digest: bytes) -> Kept:
        """What becomes of a record with siblings by an edit that may leave some of them."""
        before = held(self.ledger, entry, None, whole)
        record = edit(
            before.record,
            dot,
            time,
            digest,
            content_of_row(self.definition, step.change.values, step.aside),
            superseded=_superseded(before.record.versions, whole, entry),
            shown_past=before.shown_past,
            changed=step.changed,
        )
        self._closed.extend(conflicts.closed(step.change.key, before.record, record, whole, self._now))
        shown = tuple(version for version in record.versions if version.dot == dot)
        undecided = whole.undecided and record.contested
        return Kept(record, shown, digest, None, None, step.aside, undecided=undecided)

    def _rendered(self, key: str, values: Sequence[Value] | None, aside: Mapping[str, Any]) -> bytes | None:
        """The hash of the bare row where values of its own fields are kept aside."""
        if values is None or not aside or aside.keys().isdisjoint(self.definition.names):
            return None
        return row_hash(self.definition, key, values, {})


def _superseded(versions: Sequence[Version], whole: Whole, entry: Entry) -> Sequence[Version] | None:
    """The versions that the edited row showed; all of them where an automatic policy had decided."""
    if not (whole.undecided or entry.flags & UNSHOWN):
        return None
    shown = {version.hash for version in whole.shown}
    return [version for version in versions if version.hash in shown]
