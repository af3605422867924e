"""Records as plain forms, for the ledger and for the wire (docs/protocol.md, *Records*).

A record whose one version says everything (the usual case) needs no form at all: its ledger row is enough. ``Extra``
is what a row adds where it is not, ``RecordForm`` holds whole records: siblings, and versions that are not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tallystick.core.versions import DEFAULT_PRIORITY, Content, Dot, Record, Seen, Version


class Extra(msgspec.Struct, array_like=True, omit_defaults=True):
    """What a record with one version needs beside its dot, stamp and hash. Every field may be left out.

    ``seen`` None means exactly the own dot. ``dots`` and ``genesis`` are all names of the version when they are not
    just the own dot (or, for a row older than tracking, the own hash). ``born`` "" means the own origin.
    ``aside`` holds values that this site's row cannot hold: unknown fields, and those the database rendered.
    """

    seen: dict[str, int] | None = None
    seen_genesis: list[bytes] = []
    dots: list[tuple[str, int]] | None = None
    genesis: list[bytes] | None = None
    fields: dict[str, tuple[str, int]] = {}
    rest: tuple[str, int] | None = None
    born: str = ""
    copies: int = 0
    priority: int = DEFAULT_PRIORITY
    aside: dict[str, Any] = {}


class Naming(msgspec.Struct, array_like=True):
    """As much of an ``Extra`` as says what it has seen and names its version; the rest is not read."""

    seen: dict[str, int] | None = None
    seen_genesis: msgspec.Raw = msgspec.Raw()
    dots: list[tuple[str, int]] | None = None
    genesis: list[bytes] | None = None


class VersionForm(msgspec.Struct, array_like=True):
    """One version, whole."""

    origin: str
    tick: int
    hash: bytes
    stamp: int
    dots: list[tuple[str, int]]
    genesis: list[bytes]
    past: dict[str, int]
    past_genesis: list[bytes]
    priority: int
    fields: dict[str, tuple[str, int]]
    rest: tuple[str, int] | None
    content: dict[str, Any] | None
    born: str = ""
    """Where the record was born as this version states it; "" is the birth that the record's form states."""


class RecordForm(msgspec.Struct, array_like=True):
    """One record, whole. ``shown`` are the versions that the row shows (storage only): those that the set holds by
    their position, those that it no longer holds as they were."""

    versions: list[VersionForm]
    seen: dict[str, int]
    seen_genesis: list[bytes]
    born: str
    copies: int
    shown: list[int | VersionForm] = []


class KeptForm(RecordForm, array_like=True):
    """A record as a site keeps it. ``logged`` is when the versions that its row does not show were written to the
    conflict log, in milliseconds; 0 where one of them was not."""

    logged: int = 0


class SketchedVersion(msgspec.Struct, array_like=True):
    """As much of a ``VersionForm`` as says its names and what its maker had seen; the rest is not read."""

    origin: str
    tick: int
    hash: bytes
    stamp: int
    dots: list[tuple[str, int]]
    genesis: list[bytes]
    past: dict[str, int]
    past_genesis: list[bytes]


class Sketch(msgspec.Struct, array_like=True):
    """A ``KeptForm`` without contents."""

    versions: list[SketchedVersion]
    seen: dict[str, int]
    seen_genesis: list[bytes]
    born: str
    copies: int
    shown: list[int | SketchedVersion] = []
    logged: int = 0

    @property
    def contested(self) -> bool:
        """See ``Record.contested``."""
        return len({version.hash for version in self.versions}) > 1

    def all_seen(self) -> tuple[dict[str, int], set[bytes]]:
        """Whatever the record knows of: what was seen by it and by its versions, and their names."""
        vector, genesis = dict(self.seen), set(self.seen_genesis)
        for version in (*self.versions, *(one for one in self.shown if not isinstance(one, int))):
            genesis.update(version.past_genesis)
            for origin, tick in version.past.items():
                if vector.get(origin, 0) < tick:
                    vector[origin] = tick
        for version in self.versions:
            genesis.update(version.genesis)
            for origin, tick in version.dots:
                if vector.get(origin, 0) < tick:
                    vector[origin] = tick
        return vector, genesis


class _Versions(msgspec.Struct, array_like=True):
    versions: list[msgspec.Raw]


class Outline(msgspec.Struct, array_like=True):
    """A ``RecordForm`` whose versions are not read."""

    versions: msgspec.Raw
    seen: dict[str, int]
    seen_genesis: msgspec.Raw
    born: str
    copies: int

    def wire(self) -> bytes:
        """The record as it travels: without what this site's row shows."""
        return _encoder.encode([self.versions, self.seen, self.seen_genesis, self.born, self.copies, []])


_encoder = msgspec.msgpack.Encoder()
_extra = msgspec.msgpack.Decoder(Extra)
_naming = msgspec.msgpack.Decoder(Naming)
_record = msgspec.msgpack.Decoder(RecordForm)
_kept = msgspec.msgpack.Decoder(KeptForm)
_versions = msgspec.msgpack.Decoder(_Versions)
_WHOLE_VERSION = 0x90 | len(VersionForm.__struct_fields__)
_sketch = msgspec.msgpack.Decoder(Sketch)
_outline = msgspec.msgpack.Decoder(Outline)

GENESIS = 2
"""Flag: the version's genesis name is its own hash."""


def encode_extra(extra: Extra) -> bytes | None:
    """The stored form; None when there is nothing to say."""
    return None if extra == NO_EXTRA else _encoder.encode(extra)


def decode_extra(raw: bytes | None) -> Extra:
    """The extra of a ledger or wire row. Raises msgspec.MsgspecError for malformed bytes."""
    return NO_EXTRA if raw is None else _extra.decode(raw)


NO_EXTRA = Extra()


def seen_of(raw: bytes | None) -> dict[str, int] | None:
    """``Extra.seen`` alone."""
    return None if raw is None else _naming.decode(raw).seen


def has_plain_name(raw: bytes | None) -> bool:
    """True when the version is named by its own dot (a row older than tracking: its own hash) and nothing else."""
    if raw is None:
        return True
    naming = _naming.decode(raw)
    return naming.dots is None and naming.genesis is None


def version_form(version: Version) -> VersionForm:
    """A version as a plain form."""
    dots, genesis, past = version.dots, version.genesis, version.past
    return VersionForm(
        version.origin,
        version.tick,
        version.hash,
        version.stamp,
        sorted(dots) if len(dots) > 1 else list(dots),
        sorted(genesis) if genesis else [],
        _plain(past.vector),
        sorted(past.genesis) if past.genesis else [],
        version.priority,
        _plain(version.fields),
        version.rest,
        None if version.content is None else _plain(version.content),
        version.born or version.origin,
    )


def _plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return mapping if type(mapping) is dict else dict(mapping)


def version_of(form: VersionForm, born: str = "") -> Version:
    """The version a form stands for. ``born`` is the birth of its record, for forms that state none themselves."""
    born = form.born or born
    return Version(
        form.origin,
        form.tick,
        form.hash,
        form.stamp,
        frozenset(form.dots),
        frozenset(form.genesis),
        Seen(form.past, frozenset(form.past_genesis)),
        form.priority,
        form.fields,
        form.rest,
        form.content,
        "" if born == form.origin else born,
    )


def encode_record(record: Record, shown: tuple[Version, ...] = ()) -> bytes:
    """A whole record as bytes."""
    form = RecordForm(
        [version_form(version) for version in record.versions],
        dict(record.seen.vector),
        sorted(record.seen.genesis),
        record.born,
        record.copies,
        [_shown_form(record, version) for version in shown],
    )
    return _encoder.encode(form)


class Encoded:
    """Versions as bytes, each made once, or not at all where it came as bytes: they are kept, logged and sent alike."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Version, bytes]] = {}

    def of(self, version: Version) -> bytes:
        """A version as bytes."""
        known = self._known.get(id(version))
        if known is None:
            known = self._known[id(version)] = (version, _encoder.encode(version_form(version)))
        return known[1]

    def learn(self, record: Record, raw: bytes) -> None:
        """Take the versions of a record from bytes that say the same."""
        for version, part in zip(record.versions, _versions.decode(raw).versions, strict=True):
            form = bytes(part)
            if form[0] == _WHOLE_VERSION:  # it says by itself where its record was born
                self._known[id(version)] = (version, form)


def encode_kept(record: Record, shown: tuple[Version, ...], logged: int, encoded: Encoded | None = None) -> bytes:
    """A whole record as a site keeps it. See ``KeptForm``."""
    found = encoded or Encoded()
    return _encoder.encode(
        [
            [msgspec.Raw(found.of(version)) for version in record.versions],
            _plain(record.seen.vector),
            sorted(record.seen.genesis),
            record.born,
            record.copies,
            [_shown_form(record, version) for version in shown],
            logged,
        ]
    )


def _shown_form(record: Record, version: Version) -> int | VersionForm:
    for position, known in enumerate(record.versions):
        if known is version or known == version:
            return position
    return version_form(version)


def decode_record(raw: bytes) -> tuple[Record, tuple[Version, ...]]:
    """A whole record and its shown versions. Raises msgspec.MsgspecError for malformed bytes."""
    return _of_parts(_record.decode(raw))


def decode_kept(raw: bytes) -> tuple[Record, tuple[Version, ...], int]:
    """A whole record that a site keeps, its shown versions, and when the others were logged."""
    form = _kept.decode(raw)
    return (*_of_parts(form), form.logged)


def _of_parts(form: RecordForm) -> tuple[Record, tuple[Version, ...]]:
    versions = tuple([version_of(item, form.born) for item in form.versions])
    record = Record(versions, Seen(form.seen, frozenset(form.seen_genesis)), form.copies)
    return record, tuple([_shown_of(versions, item, form.born) for item in form.shown])


def decode_sketch(raw: bytes) -> Sketch:
    """A whole record that a site keeps, without contents. Raises msgspec.MsgspecError for malformed bytes."""
    return _sketch.decode(raw)


def decode_outline(raw: bytes) -> Outline:
    """A whole record without its versions. Raises msgspec.MsgspecError for malformed bytes."""
    return _outline.decode(raw)


def _shown_of(versions: tuple[Version, ...], item: int | VersionForm, born: str) -> Version:
    if not isinstance(item, int):
        return version_of(item, born)
    if not 0 <= item < len(versions):
        raise msgspec.ValidationError(f"a record of {len(versions)} versions has none at position {item}")
    return versions[item]


def simple_record(dot: Dot, stamp: int, digest: bytes, flags: int, extra: Extra, content: Content | None) -> Record:
    """The record that a ledger row with its extra stands for."""
    genesis_row = bool(flags & GENESIS)
    dots = frozenset(extra.dots) if extra.dots is not None else _own_dots(dot, genesis_row)
    genesis = frozenset(extra.genesis) if extra.genesis is not None else _own_genesis(digest, genesis_row)
    vector = extra.seen if extra.seen is not None else {dot[0]: dot[1]}
    seen = Seen(vector, frozenset(extra.seen_genesis) | _own_genesis(digest, genesis_row))
    version = Version(
        dot[0],
        dot[1],
        digest,
        stamp,
        dots,
        genesis,
        seen,
        extra.priority,
        extra.fields,
        extra.rest or dot,
        content,
        "" if extra.born == dot[0] else extra.born,
    )
    return Record((version,), seen, extra.copies)


def _own_dots(dot: Dot, genesis_row: bool) -> frozenset[Dot]:
    return frozenset() if genesis_row else frozenset((dot,))


def _own_genesis(digest: bytes, genesis_row: bool) -> frozenset[bytes]:
    return frozenset((digest,)) if genesis_row else frozenset()


def extra_of(record: Record, flags: int, aside: dict[str, Any] | None = None) -> Extra:
    """The extra of a record with one version, the inverse of ``simple_record``."""
    (version,) = record.versions
    genesis_row = bool(flags & GENESIS)
    own = _own_genesis(version.hash, genesis_row)
    vector = dict(record.seen.vector)
    return Extra(
        seen=None if vector == {version.origin: version.tick} else vector,
        seen_genesis=sorted(record.seen.genesis - own),
        dots=None if version.dots == _own_dots(version.dot, genesis_row) else sorted(version.dots),
        genesis=None if version.genesis == own else sorted(version.genesis),
        fields=dict(version.fields),
        rest=None if version.rest in (None, version.dot) else version.rest,
        born=version.born,
        copies=record.copies,
        priority=version.priority,
        aside=aside or {},
    )


def genesis_flag(version: Version) -> int:
    """GENESIS when the version is best stored as a row older than tracking."""
    return GENESIS if version.hash in version.genesis and not version.dots else 0
