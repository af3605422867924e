"""Managed records: payloads that are no table of the application (DESIGN.md 2 *resource*; items, file entries, users).

Their key is given by the writer and their content is a mapping. One write is one ledger change: the dot and seq are
given at once, without marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tallystick.core.fingerprints import EMPTY
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
    ledger.engine.executemany("INSERT INTO tally_managed(resource, key, content) VALUES (?, ?, ?)", written)


def write(ledger: Ledger, tracked: Tracked, records: Sequence[tuple[str, Mapping[str, Any] | None]]) -> range:
    """Write managed records (None deletes) as local changes. Returns their seqs, in order.

    Keys must differ. Call inside ``ledger.write()``. A record that does not exist is not deleted again: it gets a
    seq but no change.
    """
    keys = [key for key, _ in records]
    entries = tracked.rows.by_keys(keys)
    before = contents(ledger, tracked, keys)
    wholes = load_wholes(ledger, tracked, [key for key, entry in entries.items() if entry.flags & WHOLE])
    seqs = ledger.next_seqs(tracked, len(records))
    made, replaced = [], []
    added = removed = EMPTY
    for (key, content), seq in zip(records, seqs, strict=True):
        old = entries.get(key)
        if old is None and content is None:
            continue
        entry, whole = _changed(ledger, tracked, key, content, old, before.get(key), wholes.get(key), seq)
        if old is not None:
            replaced.append(old.seq)
            removed = removed.added(terms(ledger, old, wholes.get(key)))
        if whole is not None or key in wholes:
            save_whole(ledger, tracked, key, whole)
        made.append(entry)
        added = added.added(terms(ledger, entry, whole))
    tracked.rows.put(made, replaced)
    ledger.count(tracked, added, removed)
    store(ledger, tracked, records)
    return seqs


def _changed(
    ledger: Ledger,
    tracked: Tracked,
    key: str,
    content: Mapping[str, Any] | None,
    old: Entry | None,
    before: Mapping[str, Any] | None,
    whole: Any,
    seq: int,
) -> tuple[Entry, Any]:
    digest = NO_CONTENT if content is None else mapping_hash(key, dict(content))
    if old is not None and old.hash == digest and bool(old.flags & DELETED) == (content is None):
        return old._replace(seq=seq), whole
    (tick,) = ledger.next_ticks(tracked, 1)
    record_before = None if old is None else held(ledger, old, before, whole)
    record = edit(
        None if record_before is None else record_before.record,
        (ledger.origin, tick),
        ledger.stamp_at(ledger.now()),
        digest,
        content,
        shown_past=None if record_before is None else record_before.shown_past,
        changed=None if before is None or content is None else changed_fields(before, content),
    )
    born = seq if old is None else old.born_seq
    return make_entry(ledger, key, seq, born, Kept(record, record.versions[-1:], digest, None))
