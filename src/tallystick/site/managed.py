"""Managed records: payloads that are no table of the application (DESIGN.md 2 *resource*; items, file entries, users).

Their key is given by the writer and their content is a mapping. One write is one ledger change: the dot and seq are
given at once, without marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec

from tallystick.core.fingerprints import EMPTY, Fingerprint, dot_name, fingerprint_of
from tallystick.core.join import edit
from tallystick.core.merge import changed_fields
from tallystick.core.values import mapping_hash
from tallystick.core.versions import DELETED as NO_CONTENT
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import Kept, held, load_wholes, make_entry, save_whole, terms
from tallystick.site.ledger import DELETED, WHOLE, Ledger, Tracked
from tallystick.site.schema import Definition, Identity

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, Any])
_INSERT = "INSERT INTO tally_managed(resource, key, content) VALUES (?, ?, ?)"


def create_resource(ledger: Ledger, wire: str, parent: Tracked | None = None) -> Tracked:
    """Create a managed resource, below ``parent`` in the tree of resources. Call inside ``ledger.write()``."""
    if ledger.has(wire):
        return ledger.resource(wire)
    number = parent.number if parent is not None else None
    return ledger.add_resource(Definition(wire, wire, Identity.MANAGED), number)


def contents(ledger: Ledger, tracked: Tracked, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Contents of the live records among ``keys``."""
    rows = ledger.engine.query_in(
        f"SELECT key, content FROM tally_managed WHERE resource={tracked.number} AND key IN (*)", (), keys
    )
    return {key: _decoder.decode(raw) for key, raw in rows}


def store(ledger: Ledger, tracked: Tracked, records: Iterable[tuple[str, Mapping[str, Any] | None]]) -> None:
    """Write what managed records show, without a ledger change: None removes. The applying side uses this."""
    removed, written = [], []
    for key, content in records:
        removed.append((tracked.number, key))
        if content is not None:
            written.append((tracked.number, key, _encoder.encode(dict(content))))
    ledger.engine.executemany("DELETE FROM tally_managed WHERE resource=? AND key=?", removed)
    ledger.engine.executemany(_INSERT, written)


def write(ledger: Ledger, tracked: Tracked, records: Sequence[tuple[str, Mapping[str, Any] | None]]) -> range:
    """Write managed records (None deletes) as local changes. Returns their seqs, in order.

    Keys must differ. Call inside ``ledger.write()``. A record that does not exist is not deleted again: it gets a
    seq but no change.
    """
    entries = tracked.rows.by_keys([key for key, _ in records]) if tracked.seq else {}
    seqs = ledger.next_seqs(tracked, len(records))
    numbered = list(zip(records, seqs, strict=True))
    first = [(key, content, seq) for (key, content), seq in numbered if key not in entries and content is not None]
    _write_first(ledger, tracked, first)
    known = [(entries[key], content, seq) for (key, content), seq in numbered if key in entries]
    _write_again(ledger, tracked, known)
    return seqs


def _write_first(ledger: Ledger, tracked: Tracked, records: Sequence[tuple[str, Mapping[str, Any], int]]) -> None:
    """Write records that the ledger has never seen: set by set, some microseconds each."""
    keys = [key for key, _, _ in records]
    seqs = [seq for _, _, seq in records]
    hashes = [mapping_hash(key, dict(content)) for key, content, _ in records]
    ticks = ledger.next_ticks(tracked, len(records))
    now, origin = ledger.now(), ledger.origin_number(ledger.origin)
    stamps = [ledger.stamp_at(now) for _ in records]
    rows = (
        seqs,
        keys,
        repeat(None),
        seqs,
        repeat(origin),
        ticks,
        stamps,
        hashes,
        repeat(None),
        repeat(0),
        repeat(None),
    )
    tracked.rows.put(list(map(Entry._make, zip(*rows, strict=False))), ())
    names = [dot_name(ledger.origin, tick) for tick in ticks]
    ledger.count(tracked, fingerprint_of(keys, names, hashes), EMPTY)
    number, encode = tracked.number, _encoder.encode
    ledger.engine.executemany(_INSERT, [(number, key, encode(dict(content))) for key, content, _ in records])


def _write_again(
    ledger: Ledger, tracked: Tracked, records: Sequence[tuple[Entry, Mapping[str, Any] | None, int]]
) -> None:
    """Write records that the ledger knows, dead or alive."""
    before = contents(ledger, tracked, [old.key for old, _, _ in records])
    wholes = load_wholes(ledger, tracked, [old.key for old, _, _ in records if old.flags & WHOLE])
    made, replaced = [], []
    added: Fingerprint = EMPTY
    removed: Fingerprint = EMPTY
    for old, content, seq in records:
        key = old.key
        entry, whole = _changed(ledger, tracked, key, content, old, before.get(key), wholes.get(key), seq)
        replaced.append(old.seq)
        removed = removed.added(terms(ledger, old, wholes.get(key)))
        if whole is not None or key in wholes:
            save_whole(ledger, tracked, key, whole)
        made.append(entry)
        added = added.added(terms(ledger, entry, whole))
    tracked.rows.put(made, replaced)
    ledger.count(tracked, added, removed)
    store(ledger, tracked, [(old.key, content) for old, content, _ in records])


def _changed(
    ledger: Ledger,
    tracked: Tracked,
    key: str,
    content: Mapping[str, Any] | None,
    old: Entry,
    before: Mapping[str, Any] | None,
    whole: Any,
    seq: int,
) -> tuple[Entry, Any]:
    digest = NO_CONTENT if content is None else mapping_hash(key, dict(content))
    if old.hash == digest and bool(old.flags & DELETED) == (content is None):
        return old._replace(seq=seq), whole
    (tick,) = ledger.next_ticks(tracked, 1)
    record_before = held(ledger, old, before, whole)
    record = edit(
        record_before.record,
        (ledger.origin, tick),
        ledger.stamp_at(ledger.now()),
        digest,
        content,
        shown_past=record_before.shown_past,
        changed=None if before is None or content is None else changed_fields(before, content),
    )
    return make_entry(ledger, key, seq, old.born_seq, Kept(record, record.versions[-1:], digest, None))
