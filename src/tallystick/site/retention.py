"""Purging: tombstones and the conflict log after the retention period (DESIGN.md 4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick.core import clock
from tallystick.core.changes import bereft, purgeable
from tallystick.core.fingerprints import EMPTY
from tallystick.core.versions import Vector, merge_vectors
from tallystick.site.conflicts import LATELY_MS
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import held, load_wholes, save_wholes, terms
from tallystick.site.ledger import DELETED, WHOLE, Ledger, Tracked
from tallystick.site.projection import Projector, Writing


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

    ``digest`` and ``forgotten`` are that end's. Records with changes it never saw stay, and so do rows that others
    here refer to. Returns how many went. Call inside ``write``, after stamping.
    """
    entries = tracked.rows.by_keys(keys)
    wholes = load_wholes(ledger, tracked, [key for key, entry in entries.items() if entry.flags & WHOLE])
    gone = []
    for key, entry in entries.items():
        record = held(ledger, entry, None, wholes.get(key)).record
        if record.live and bereft(record, digest) is None:
            gone.append(Writing(key, None, entry))
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
    ledger.merge_digest(tracked, forgotten, "tally_forgotten")
    if seqs:
        tracked.horizon = max(tracked.horizon, *ledger.next_seqs(tracked, 1))
    return len(seqs)
