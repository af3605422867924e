"""Managed records: payloads that are no table of the application (DESIGN.md 2 *resource*; items, file entries, users).

Their key is given by the writer and their content is a mapping. One write is one ledger change: the dot and seq are
given at once, without marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tallystick.core.fingerprints import EMPTY, dot_name, dot_names, fingerprint_of
from tallystick.core.forms import decode_extra
from tallystick.core.join import edit
from tallystick.core.merge import changed_fields
from tallystick.core.values import mapping_hash
from tallystick.core.versions import DELETED as NO_CONTENT
from tallystick.core.versions import Version
from tallystick.site import conflicts
from tallystick.site.engines.engine import Entry, NewEntries
from tallystick.site.holding import Kept, Whole, held, load_wholes, make_entry, save_wholes, simple_edit, terms
from tallystick.site.ledger import DELETED, UNSHOWN, WHOLE, Ledger, Tracked
from tallystick.site.schema import Definition, Identity

Content = Mapping[str, Any]
SLICE = 10_000
"""New records that are written at once."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, Any])


def create_resource(ledger: Ledger, wire: str, parent: Tracked | None = None, *, stays: bool = False) -> Tracked:
    """Create a managed resource, below ``parent`` in the tree of resources. Call inside ``ledger.write()``.

    One that ``stays`` is not offered to other sites.
    """
    if ledger.has(wire):
        return ledger.resource(wire)
    number = parent.number if parent is not None else None
    ledger.save_counters()  # the catalogue is read again, and with it every resource
    return ledger.add_resource(Definition(wire, wire, Identity.MANAGED, stays=stays), number)


def contents(ledger: Ledger, tracked: Tracked, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Contents of the live records among ``keys``."""
    rows = ledger.engine.query_in(
        f"SELECT key, content FROM tally_managed WHERE resource={tracked.number} AND key IN (*)", (), keys
    )
    return {key: decoded(raw) for key, raw in rows}


def decoded(raw: bytes) -> dict[str, Any]:
    """A content as ``tally_managed`` holds it."""
    return _decoder.decode(raw)


def store(ledger: Ledger, tracked: Tracked, records: Iterable[tuple[str, Content | None]]) -> None:
    """Write what managed records show, without a ledger change: None removes. The applying side uses this."""
    removed, written = [], []
    for key, content in records:
        if content is None:
            removed.append((key,))
        else:
            written.append((key, _encoder.encode(content if type(content) is dict else dict(content))))
    number = tracked.number
    if removed:
        ledger.engine.executemany(f"DELETE FROM tally_managed WHERE resource={number} AND key=?", removed)
    if written:
        ledger.engine.executemany(
            f"INSERT INTO tally_managed(resource, key, content) VALUES ({number}, ?, ?) "
            "ON CONFLICT (resource, key) DO UPDATE SET content=excluded.content",
            written,
        )


def write(ledger: Ledger, tracked: Tracked, records: Sequence[tuple[str, Content | None]]) -> range:
    """Write managed records (None deletes) as local changes. Returns their seqs, in order.

    Keys must differ. Call inside ``ledger.write()``. A record that does not exist is not deleted again: it gets a
    seq but no change.
    """
    known = tracked.rows.by_keys([key for key, _ in records]) if tracked.seq else {}
    seqs = ledger.next_seqs(tracked, len(records))
    made = _made(ledger, tracked, records, seqs, known)
    replaced: list[int] = []
    if known:
        edited = _Edits(ledger, tracked, records, known)
        for (key, content), seq in zip(records, seqs, strict=True):
            if key in known:
                made.append(edited.entry(key, content, seq))
                replaced.append(known[key].seq)
        edited.save()
    tracked.rows.put(made, replaced)
    store(ledger, tracked, records)
    return seqs


def write_new(
    ledger: Ledger, tracked: Tracked, rows: Sequence[tuple[str, bytes, bytes]], *, first: bool = False
) -> None:
    """Write records that show nothing so far as local changes: (key, content, hash), the content as ``tally_managed``
    holds it, the hash its ``mapping_hash``. ``first``: none of them was ever there.

    Keys must differ. Call inside ``ledger.write()``.
    """
    known = {} if first else tracked.rows.by_keys([key for key, _, _ in rows])
    if known:  # removed some time ago: their history goes on
        write(ledger, tracked, [(key, decoded(content)) for key, content, _ in rows if key in known])
        rows = [row for row in rows if row[0] not in known]
    for start in range(0, len(rows), SLICE):
        keys, contents, hashes = zip(*rows[start : start + SLICE], strict=True)
        _write_new(ledger, tracked, keys, contents, hashes)


def _write_new(
    ledger: Ledger, tracked: Tracked, keys: Sequence[str], contents: Sequence[bytes], hashes: Sequence[bytes]
) -> None:
    count, origin = len(keys), ledger.origin
    seqs, ticks = ledger.next_seqs(tracked, count), ledger.next_ticks(tracked, count)
    ledger.count(tracked, fingerprint_of(keys, dot_names([origin] * count, ticks), hashes), EMPTY)
    own, stamp = ledger.origin_number(origin), ledger.stamp_at(ledger.now())
    tracked.rows.put_new(NewEntries(seqs, keys, None, [own] * count, ticks, [stamp] * count, hashes, [0] * count))
    ledger.engine.insert_many(
        f"INSERT INTO tally_managed(resource, key, content) VALUES ({tracked.number}, ?, ?)",
        zip(keys, contents, strict=True),
    )


def _made(
    ledger: Ledger,
    tracked: Tracked,
    records: Sequence[tuple[str, Content | None]],
    seqs: Sequence[int],
    known: Mapping[str, Entry],
) -> list[Entry]:
    """Entries of records that the ledger has never seen; counted in the fingerprint."""
    fresh = [
        (key, content, seq)
        for (key, content), seq in zip(records, seqs, strict=True)
        if content is not None and key not in known
    ]
    if not fresh:
        return []
    own, now = ledger.origin_number(ledger.origin), ledger.now()
    ticks = ledger.next_ticks(tracked, len(fresh))
    hashes = [mapping_hash(key, content if type(content) is dict else dict(content)) for key, content, _ in fresh]
    names = [dot_name(ledger.origin, tick) for tick in ticks]
    ledger.count(tracked, fingerprint_of([key for key, _, _ in fresh], names, hashes), EMPTY)
    return [
        Entry(seq, key, None, seq, own, tick, ledger.stamp_at(now), digest, None, 0, None)
        for (key, _, seq), tick, digest in zip(fresh, ticks, hashes, strict=True)
    ]


class _Edits:
    """Local edits and deletions of records that the ledger knows, dead or alive."""

    def __init__(
        self,
        ledger: Ledger,
        tracked: Tracked,
        records: Sequence[tuple[str, Content | None]],
        known: Mapping[str, Entry],
    ) -> None:
        self._ledger, self._tracked, self._known = ledger, tracked, known
        edited = {key for key, content in records if content is not None}
        self._before = contents(ledger, tracked, [key for key, entry in known.items() if entry.hash and key in edited])
        self._wholes = load_wholes(ledger, tracked, [key for key, entry in known.items() if entry.flags & WHOLE])
        self._kept: dict[str, Whole | None] = {}
        self._closed: list[tuple[str, Version]] = []
        self._added = self._removed = EMPTY
        self._now = ledger.now()

    def entry(self, key: str, content: Content | None, seq: int) -> Entry:
        """The entry after the edit. A content that is there already gets a new seq and nothing else."""
        old, whole = self._known[key], self._wholes.get(key)
        digest = NO_CONTENT if content is None else mapping_hash(key, dict(content))
        if old.hash == digest and (content is not None or old.flags & DELETED):
            return old._replace(seq=seq)
        (tick,) = self._ledger.next_ticks(self._tracked, 1)
        changed = self._changed(key, content)
        self._removed = self._removed.added(terms(self._ledger, old, whole))
        if whole is None:
            made, after = self._simple(old, tick, digest, changed, seq), None
        else:
            made, after = self._whole(old, whole, tick, digest, content, changed, seq)
        if whole is not None or after is not None:
            self._kept[key] = after
        self._added = self._added.added(terms(self._ledger, made, after))
        return made

    def _changed(self, key: str, content: Content | None) -> frozenset[str] | None:
        before = self._before.get(key)
        return None if before is None or content is None else frozenset(changed_fields(before, content))

    def _simple(self, old: Entry, tick: int, digest: bytes, changed: frozenset[str] | None, seq: int) -> Entry:
        ledger = self._ledger
        extra = simple_edit(ledger, old, decode_extra(old.extra), tick, changed, {})
        own, flags = ledger.origin_number(ledger.origin), 0 if digest else DELETED
        stamp = ledger.stamp_at(self._now)
        return Entry(seq, old.key, None, old.born_after(seq), own, tick, stamp, digest, None, flags, extra)

    def _whole(
        self,
        old: Entry,
        whole: Whole,
        tick: int,
        digest: bytes,
        content: Content | None,
        changed: frozenset[str] | None,
        seq: int,
    ) -> tuple[Entry, Whole | None]:
        """The edit of a record with siblings: it supersedes what was shown, or all of it where a policy had decided."""
        ledger, before = self._ledger, held(self._ledger, old, None, whole)
        shown = {version.hash for version in whole.shown}
        decided = not (whole.undecided or old.flags & UNSHOWN)
        record = edit(
            before.record,
            (ledger.origin, tick),
            ledger.stamp_at(self._now),
            digest,
            content,
            superseded=None if decided else [one for one in before.record.versions if one.hash in shown],
            shown_past=before.shown_past,
            changed=changed,
        )
        self._closed.extend(conflicts.closed(old.key, before.record, record, whole, self._now))
        now_shown = tuple(version for version in record.versions if version.dot == (ledger.origin, tick))
        undecided = whole.undecided and record.contested
        kept = Kept(record, now_shown, digest, None, undecided=undecided)
        return make_entry(ledger, old.key, seq, old.born_after(seq), kept)

    def save(self) -> None:
        """Write siblings, the conflict log and the fingerprint."""
        save_wholes(self._ledger, self._tracked, self._kept)
        conflicts.log_many(self._ledger, self._tracked, "closed", self._closed)
        self._ledger.count(self._tracked, self._added, self._removed)
