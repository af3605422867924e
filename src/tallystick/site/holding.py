"""Records as a site holds them: ledger entries turned into records and back (DESIGN.md 2 *ledger*, 4.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from tallystick.core.changes import is_news
from tallystick.core.decide import Held
from tallystick.core.fingerprints import (
    EMPTY,
    Fingerprint,
    canonical_names,
    content_term,
    dot_name,
    fingerprint_of,
    names_term,
)
from tallystick.core.forms import (
    NO_EXTRA,
    Encoded,
    Extra,
    SketchedVersion,
    decode_extra,
    decode_kept,
    decode_outline,
    decode_record,
    decode_sketch,
    encode_extra,
    encode_kept,
    extra_of,
    genesis_flag,
    has_plain_name,
    simple_record,
)
from tallystick.core.values import Value, content_hash
from tallystick.core.versions import GENESIS_DOT, Record, Seen, Vector, Version, vector_covers
from tallystick.site.engines.engine import Entry
from tallystick.site.ledger import DELETED, GENESIS, UNSHOWN, WHOLE, Ledger, Tracked
from tallystick.site.schema import Definition


class Whole(NamedTuple):
    """A record kept whole: its set, the versions its row shows, and whether somebody must decide.

    ``logged`` is when all the other versions were in the conflict log, in milliseconds; 0 where they are not.
    """

    record: Record
    shown: tuple[Version, ...]
    undecided: bool
    logged: int = 0

    @property
    def hidden(self) -> set[bytes]:
        """The hashes of the versions that the row does not show."""
        return {version.hash for version in self.record.versions} - {version.hash for version in self.shown}

    @property
    def name(self) -> bytes | None:
        """The canonical name of the record; None where nothing of it is alive."""
        return _canonical_name(self.record.versions)


def load_wholes(ledger: Ledger, tracked: Tracked, keys: Sequence[str]) -> dict[str, Whole]:
    """The records among ``keys`` that are kept whole."""
    if not keys:
        return {}
    rows = ledger.engine.query_in(
        f"SELECT key, whole, undecided FROM tally_sibling WHERE resource={tracked.number} AND key IN (*)", (), keys
    )
    found = {}
    for key, raw, undecided in rows:
        record, shown, logged = decode_kept(bytes(raw))
        found[key] = Whole(record, shown, bool(undecided), logged)
    return found


def _canonical_name(versions: Sequence[Version] | Sequence[SketchedVersion]) -> bytes | None:
    if not any(version.hash for version in versions):
        return None
    return canonical_names([(version.genesis, version.dots) for version in versions])


class Folded:
    """A record kept whole, as it is stored: its contents are read only where somebody asks for them."""

    __slots__ = ("_raw", "sketch", "undecided")

    def __init__(self, raw: bytes, undecided: bool) -> None:
        self._raw, self.undecided, self.sketch = raw, undecided, decode_sketch(raw)

    @property
    def whole(self) -> Whole:
        """All of it."""
        record, shown, logged = decode_kept(self._raw)
        return Whole(record, shown, self.undecided, logged)

    @property
    def name(self) -> bytes | None:
        """See ``Whole.name``."""
        return _canonical_name(self.sketch.versions)


def load_folded(ledger: Ledger, tracked: Tracked, keys: Sequence[str]) -> dict[str, Folded]:
    """The records among ``keys`` that are kept whole, as they are stored."""
    if not keys:
        return {}
    sql = f"SELECT key, whole, undecided FROM tally_sibling WHERE resource={tracked.number} AND key IN (*)"
    rows = ledger.engine.query_in(sql, (), keys)
    return {key: Folded(bytes(raw), bool(undecided)) for key, raw, undecided in rows}


class Stored:
    """A record kept whole, as it is stored: it is taken apart only where somebody asks for more than what it has
    seen."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._outline = raw, decode_outline(raw)

    @cached_property
    def record(self) -> Record:
        """The record."""
        return decode_record(self._raw)[0]

    def is_news(self, digest: Vector) -> bool:
        """See ``core.changes.is_news``."""
        return not vector_covers(digest, self._outline.seen) or is_news(self.record, digest)

    def wire(self) -> bytes:
        """The record as it travels."""
        return self._outline.wire()


def load_stored(ledger: Ledger, tracked: Tracked, keys: Sequence[str]) -> dict[str, Stored]:
    """The records among ``keys`` that are kept whole, as they are stored."""
    if not keys:
        return {}
    sql = f"SELECT key, whole FROM tally_sibling WHERE resource={tracked.number} AND key IN (*)"
    return {key: Stored(bytes(raw)) for key, raw in ledger.engine.query_in(sql, (), keys)}


def save_wholes(
    ledger: Ledger, tracked: Tracked, wholes: Mapping[str, Whole | None], encoded: Encoded | None = None
) -> None:
    """Keep records whole by key, or (None) no longer. ``encoded`` knows versions of theirs as bytes."""
    if not wholes:
        return
    encoded = encoded or Encoded()
    over = [(tracked.number, key) for key, whole in wholes.items() if whole is None]
    if over:
        ledger.engine.executemany("DELETE FROM tally_sibling WHERE resource=? AND key=?", over)
    ledger.engine.executemany(
        "INSERT INTO tally_sibling(resource, key, whole, undecided) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (resource, key) DO UPDATE SET whole=excluded.whole, undecided=excluded.undecided",
        [
            (tracked.number, key, encode_kept(whole.record, whole.shown, whole.logged, encoded), int(whole.undecided))
            for key, whole in wholes.items()
            if whole is not None
        ],
    )


def save_whole(ledger: Ledger, tracked: Tracked, key: str, whole: Whole | None) -> None:
    """Keep one record whole, or (None) no longer."""
    save_wholes(ledger, tracked, {key: whole})


def content_of_row(
    definition: Definition, values: Sequence[Value] | None, aside: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What the ledger says the row's content is: its values, and those that the row cannot hold."""
    if values is None:
        return None
    content = {name: value for name, value in zip(definition.names, values, strict=True) if value is not None}
    for name, value in aside.items():
        if value is None:
            content.pop(name, None)
        else:
            content[name] = value
    return content


def row_hash(definition: Definition, key: str, values: Sequence[Value], aside: Mapping[str, Any]) -> bytes:
    """The content hash of a row."""
    if not aside:
        return content_hash(key, definition.names, values)
    content = content_of_row(definition, values, aside) or {}
    names = sorted(content)
    return content_hash(key, names, [content[name] for name in names])


def held(ledger: Ledger, entry: Entry, content: Mapping[str, Any] | None, whole: Whole | None) -> Held:
    """The record behind an entry as the rules see it."""
    if whole is not None:
        past = Seen()
        for version in whole.shown:
            past = past.merged(version.past)
        return Held(whole.record, whole.shown, past)
    dot = (ledger.origin_name(entry.origin), entry.tick)
    record = simple_record(dot, entry.stamp, entry.hash, entry.flags, decode_extra(entry.extra), content)
    return Held(record, record.versions)


def terms(ledger: Ledger, entry: Entry, whole: Whole | None = None) -> Fingerprint:
    """The share of an entry in its resource's fingerprint."""
    name = _name(ledger, entry, whole)
    return EMPTY if name is None else Fingerprint(1, names_term(entry.key, name), content_term(entry.hash))


def terms_of(ledger: Ledger, held_ones: Iterable[tuple[Entry, Whole | Folded | None]]) -> Fingerprint:
    """The sum of ``terms`` of many entries, each with its whole."""
    keys: list[str] = []
    names: list[bytes] = []
    hashes: list[bytes] = []
    for entry, whole in held_ones:
        name = _name(ledger, entry, whole)
        if name is not None:
            keys.append(entry.key)
            names.append(name)
            hashes.append(entry.hash)
    return fingerprint_of(keys, names, hashes)


def _name(ledger: Ledger, entry: Entry, whole: Whole | Folded | None) -> bytes | None:
    """The canonical name of an entry's record; None where nothing of it is alive."""
    if whole is not None:
        return whole.name
    if entry.flags & DELETED:
        return None
    if has_plain_name(entry.extra):
        return entry.hash if entry.flags & GENESIS else dot_name(ledger.origin_name(entry.origin), entry.tick)
    dot = (ledger.origin_name(entry.origin), entry.tick)
    record = simple_record(dot, entry.stamp, entry.hash, entry.flags, decode_extra(entry.extra), None)
    return canonical_names([(version.genesis, version.dots) for version in record.versions])


def simple_edit(
    ledger: Ledger, entry: Entry, extra: Extra, tick: int, changed: frozenset[str] | None, aside: Mapping[str, Any]
) -> bytes | None:
    """The extra of a simple entry after an edit here at ``tick``: what ``core.join.edit`` makes of it, in one step.

    ``extra`` is the entry's.
    """
    old, own = (ledger.origin_name(entry.origin), entry.tick), ledger.origin
    dot = (own, tick)
    seen = None if extra.seen is None and old[0] == own else {**(extra.seen or {old[0]: old[1]}), own: tick}
    genesis: Collection[bytes] = extra.seen_genesis
    if entry.flags & GENESIS or extra.genesis:
        genesis = {*genesis, *(extra.genesis or ()), *((entry.hash,) if entry.flags & GENESIS else ())}
    partly = changed is not None and not entry.flags & DELETED
    born = extra.born or old[0]
    return encode_extra(
        Extra(
            seen=seen if seen is not None and len(seen) > 1 else None,
            seen_genesis=sorted(genesis) if len(genesis) > 1 else list(genesis),
            fields={**extra.fields, **dict.fromkeys(sorted(changed), dot)} if partly and changed is not None else {},
            rest=(GENESIS_DOT if entry.flags & GENESIS or extra.genesis else extra.rest or old) if partly else None,
            born="" if born == own else born,
            copies=extra.copies,
            aside=dict(aside),
        )
    )


def closing_edit(
    ledger: Ledger, kept: Folded, entry: Entry, made: tuple[int, int, bytes], aside: Mapping[str, Any]
) -> Entry | None:
    """The entry after an edit here that has seen every version of a contested record, key, seq and row left as they
    were: what ``core.join.edit`` and ``make_entry`` make of it, in one step.

    ``made`` are the edit's tick, stamp and content hash. None where the edit may leave versions, or names of fields.
    """
    sketch = kept.sketch
    if kept.undecided or entry.flags & UNSHOWN or not sketch.contested:
        return None
    tick, stamp, digest = made
    vector, genesis = sketch.all_seen()
    vector[ledger.origin] = max(tick, vector.get(ledger.origin, 0))
    extra = Extra(
        seen=None if vector == {ledger.origin: tick} else vector,
        seen_genesis=sorted(genesis),
        born="" if sketch.born == ledger.origin else sketch.born,
        copies=sketch.copies,
        aside=dict(aside),
    )
    own = ledger.origin_number(ledger.origin)
    flags = 0 if digest else DELETED
    return entry._replace(
        origin=own, tick=tick, stamp=stamp, hash=digest, flags=flags, extra=encode_extra(extra), rendered=None
    )


def is_simple(record: Record, shown: Sequence[Version]) -> bool:
    """True when a ledger row with its extra says everything: one version, and the row shows it."""
    return len(record.versions) == 1 and len(shown) == 1 and shown[0].hash == record.versions[0].hash


class Kept(NamedTuple):
    """What an entry should become: see ``make_entry``."""

    record: Record
    shown: tuple[Version, ...]
    shown_hash: bytes
    local: Any
    rendered: bytes | None = None
    aside: Mapping[str, Any] = {}
    unshown: bool = False
    undecided: bool = False


def make_entry(ledger: Ledger, key: str, seq: int, born_seq: int, kept: Kept) -> tuple[Entry, Whole | None]:
    """The ledger entry of a record, and the whole to keep beside it when the entry cannot say everything."""
    record = kept.record
    newest = record.versions[-1]
    simple = not kept.unshown and is_simple(record, kept.shown)
    flags = genesis_flag(newest) if simple else WHOLE
    if kept.unshown:
        flags |= UNSHOWN
    if not record.live and not kept.shown_hash:
        flags |= DELETED
    if simple:
        extra = extra_of(record, flags, dict(kept.aside))
    else:
        extra = NO_EXTRA
        if kept.aside:
            extra = type(NO_EXTRA)(aside=dict(kept.aside))
    entry = Entry(
        seq,
        key,
        None if flags & DELETED else kept.local,
        born_seq,
        ledger.origin_number(newest.origin),
        newest.tick,
        newest.stamp,
        kept.shown_hash,
        kept.rendered,
        flags,
        encode_extra(extra),
    )
    return entry, None if simple else Whole(record, kept.shown, kept.undecided)


def aside_of(entry: Entry) -> Mapping[str, Any]:
    """Values of the record that its row cannot hold, by wire name."""
    return decode_extra(entry.extra).aside if entry.extra is not None else {}
