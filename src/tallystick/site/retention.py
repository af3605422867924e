"""Purging: tombstones and the conflict log after the retention period (DESIGN.md 4.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tallystick.core import clock
from tallystick.core.changes import bereft, purgeable
from tallystick.core.fingerprints import EMPTY
from tallystick.core.join import edit
from tallystick.core.versions import Vector, merge_vectors
from tallystick.site import conflicts
from tallystick.site.conflicts import LATELY_MS
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import (
    Kept,
    Whole,
    aside_of,
    content_of_row,
    held,
    load_wholes,
    make_entry,
    save_wholes,
    terms,
)
from tallystick.site.identity import address_of
from tallystick.site.ledger import DELETED, UNSHOWN, WHOLE, Ledger, Tracked
from tallystick.site.projection import Projector, Writing
from tallystick.site.referring import rows_with_children
from tallystick.site.schema import Identity


class Purged(NamedTuple):
    """How much was forgotten of one resource."""

    resource: str
    tombstones: int
    stubs: int
    conflicts: int


def purge(ledger: Ledger, tracked: Tracked, before: int) -> Purged:
    """Forget tombstones and log entries made before ``before`` (milliseconds). Call inside ``write``, after stamping.

    A tombstone goes only when our digest covers its whole ``seen``. Of one that replaced a row older than tracking a
    stub stays: its name may still come from a copy of the database.
    """
    digest = ledger.digest(tracked)
    forgotten: dict[str, int] = {}
    gone: list[Entry] = []
    stubs = 0
    for entry, _ in tracked.rows.after(0, 1 << 62, 1 << 31, (), True):
        if entry.flags & WHOLE or clock.milliseconds_of(entry.stamp) >= before:
            continue
        record = held(ledger, entry, None, None).record
        if not purgeable(record, digest):
            continue
        if record.seen.genesis:
            stubs += 1
            continue
        gone.append(entry)
        forgotten = merge_vectors(forgotten, record.seen.vector)
    _forget(ledger, tracked, gone, forgotten)
    return Purged(tracked.wire, len(gone), stubs, _purge_conflicts(ledger, tracked, before))


def _forget(ledger: Ledger, tracked: Tracked, gone: list[Entry], forgotten: dict[str, int]) -> None:
    if not gone:
        return
    assert all(entry.flags & DELETED for entry in gone)
    tracked.rows.put((), [entry.seq for entry in gone])
    ledger.merge_digest(tracked, forgotten, "tally_forgotten")
    tracked.horizon = max(tracked.horizon, *(entry.seq for entry in gone))
    tracked.dirty = True


def _purge_conflicts(ledger: Ledger, tracked: Tracked, before: int) -> int:
    """What was logged a moment ago stays while its conflict lasts: it is not logged once more at the end of that."""
    old = (
        "FROM tally_conflict WHERE resource=? AND at<? AND (at<=? OR NOT EXISTS (SELECT 1 FROM tally_sibling s "
        "WHERE s.resource=tally_conflict.resource AND s.key=tally_conflict.key))"
    )
    parameters = (tracked.number, before, ledger.now() - LATELY_MS)
    rows = ledger.engine.query(f"SELECT count(*) {old}", parameters)
    ledger.engine.execute(f"DELETE {old}", parameters)
    return int(rows[0][0])


def let_go(ledger: Ledger, tracked: Tracked, keys: Sequence[str], digest: Vector, forgotten: Vector) -> int:
    """Remove the records among ``keys`` that another end knew and holds no longer, because it purged their deletion.

    ``digest`` and ``forgotten`` are that end's. Records with changes it never saw stay. So do rows to which others
    refer here, as edits that the other end gets: what refers to them it never saw. Let go of children first. Returns
    how many went. Call inside ``write``, after stamping. Raises Rejected where the database keeps some of the rows all
    the same.
    """
    entries = tracked.rows.by_keys(keys)
    wholes = load_wholes(ledger, tracked, [key for key, entry in entries.items() if entry.flags & WHOLE])
    leaving = []
    for key, entry in entries.items():
        record = held(ledger, entry, None, wholes.get(key)).record
        if record.live and bereft(record, digest) is None:
            leaving.append(entry)
    needed = _needed(ledger, tracked, leaving)
    gone = [Writing(entry.key, None, entry) for entry in leaving if entry.key not in needed]
    Projector(ledger, tracked).write(gone)
    removed, seqs = EMPTY, []
    for item in gone:
        assert item.entry is not None
        if not item.failure:
            removed = removed.added(terms(ledger, item.entry, wholes.get(item.key)))
            seqs.append(item.entry.seq)
    tracked.rows.put((), seqs)
    save_wholes(ledger, tracked, {item.key: None for item in gone if item.key in wholes and not item.failure})
    ledger.count(tracked, EMPTY, removed)
    _keep_for_children(ledger, tracked, [entry for entry in leaving if entry.key in needed], wholes)
    ledger.merge_digest(tracked, forgotten, "tally_forgotten")
    if seqs:
        tracked.horizon = max(tracked.horizon, *ledger.next_seqs(tracked, 1))
    return len(seqs)


def _needed(ledger: Ledger, tracked: Tracked, leaving: Sequence[Entry]) -> set[str]:
    """Keys of those records to whose rows others refer that do not leave with them."""
    definition = tracked.definition
    if definition.identity is Identity.MANAGED or not definition.referrers:
        return set()
    keys = {address_of(definition, entry.key, entry.local): entry.key for entry in leaving if entry.hash}
    return {keys[address] for address in rows_with_children(ledger, definition, list(keys))} if keys else set()


def _keep_for_children(ledger: Ledger, tracked: Tracked, entries: Sequence[Entry], wholes: Mapping[str, Whole]) -> None:
    """Issue records anew that are deleted elsewhere and needed here, each a conflict with that deletion."""
    if not entries:
        return
    definition, added, removed, put = tracked.definition, EMPTY, EMPTY, []
    changed: dict[str, Whole | None] = {}
    rows = tracked.rows.values([address_of(definition, entry.key, entry.local) for entry in entries])
    for entry in entries:
        values = rows.get(address_of(definition, entry.key, entry.local))
        content = content_of_row(definition, values, aside_of(entry))
        before = held(ledger, entry, content, wholes.get(entry.key))
        conflicts.log(ledger, tracked, entry.key, "kept for its children", before.record.versions)
        (tick,), (seq,) = ledger.next_ticks(tracked, 1), ledger.next_seqs(tracked, 1)
        stamp = ledger.stamp_at(ledger.now())
        record = edit(before.record, (ledger.origin, tick), stamp, entry.hash, content)
        unshown = bool(entry.flags & UNSHOWN)
        kept = Kept(record, record.versions, entry.hash, entry.local, entry.rendered, aside_of(entry), unshown)
        new, whole = make_entry(ledger, entry.key, seq, entry.born_seq, kept)
        if whole is not None or entry.key in wholes:
            changed[entry.key] = whole
        put.append(new)
        added, removed = (
            added.added(terms(ledger, new, None)),
            removed.added(terms(ledger, entry, wholes.get(entry.key))),
        )
    tracked.rows.put(put, [entry.seq for entry in entries])
    save_wholes(ledger, tracked, changed)
    ledger.count(tracked, added, removed)
