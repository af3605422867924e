"""What a source job freezes: the digest and the records beyond the posted one, by dot (spec 9.3, 9.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from tallystick.protocols.sdata.codec.digests import Digest
from tallystick.protocols.sdata.errors import ProviderBusy
from tallystick.protocols.sdata.rules.selection import Range, ranges
from tallystick.protocols.sdata.site import children, standings
from tallystick.protocols.sdata.site.place import Place, shown_version
from tallystick.protocols.sdata.store import Resource
from tallystick.site import history
from tallystick.site.holding import load_wholes

PART: Final = 500
"""Heads kept together in one part of a job."""


class Head(NamedTuple):
    """A frozen record: its key, and the origin number and tick of the version that it showed."""

    key: str
    origin: int
    tick: int


encode_heads = msgspec.msgpack.Encoder().encode
_heads = msgspec.msgpack.Decoder(list[tuple[str, int, int]])


def decode_heads(raw: bytes) -> list[Head]:
    """Heads as they were stored."""
    return [Head._make(item) for item in _heads.decode(raw)]


def freeze(place: Place, posted: Digest, priority: int) -> tuple[Digest, list[Head]]:
    """Digest and delta for a target whose digest is ``posted``. Inside ``ledger.write()``, after stamping.

    Records in it that have no uuid get one. Raises ProviderBusy during a restore.
    """
    ledger, names = place.ledger, place.names
    children.notice(place)
    standings.begin(ledger, names, priority)
    names.learn(posted)
    kept = standings.stored(ledger, names, priority)
    if kept.standing.restoring:
        raise ProviderBusy("this endpoint was restored from a backup and waits for its peers' passes")
    standings.save(ledger, names, kept)
    history.speak_now(ledger)
    digest = kept.standing.digest._replace(names=names.told())
    heads = [head for found in ranges(posted, digest) for head in _within(place, found)]
    place.links.name([head.key for head in heads])
    return digest, heads


def _within(place: Place, found: Range) -> Iterator[Head]:
    """The records whose shown version lies in a range of ticks, ticks ascending."""
    whole = _contested(place, found)
    simple = _simple(place, found)
    merged = sorted([*whole, *simple], key=lambda item: item[0]) if whole else simple
    for _, head in merged:
        yield head


def _simple(place: Place, found: Range) -> list[tuple[int, Head]]:
    """Records that are no more than their ledger row."""
    listed: list[tuple[int, Head]] = []
    for origin, low, high in place.names.segments(found.key, found.low, found.high):
        number = place.ledger.origin_number(origin)
        rows = place.ledger.engine.query(
            "SELECT key, tick FROM tally_record WHERE resource=? AND origin=? AND tick>=? AND tick<? "
            "AND (flags & 4)=0 ORDER BY tick",
            (place.tracked.number, number, low, high),
        )
        shift = found.low - low
        listed.extend((tick + shift, Head(key, number, tick)) for key, tick in rows)
    return listed


def _contested(place: Place, found: Range) -> list[tuple[int, Head]]:
    """Records with siblings, or that show something else than they hold: few, so each is looked at."""
    ledger, number = place.ledger, place.tracked.number
    rows = ledger.engine.query("SELECT key FROM tally_sibling WHERE resource=?", (number,))
    listed = []
    for key, whole in load_wholes(ledger, place.tracked, [str(row[0]) for row in rows]).items():
        version = shown_version(whole)
        named = place.names.of_origin(version.origin)
        tick = named.shift + version.tick
        if named.endpoint == found.key and found.low <= tick < found.high:
            listed.append((tick, Head(key, ledger.origin_number(version.origin), version.tick)))
    return listed


def thawed(place: Place, heads: Sequence[Head], *, name: bool = False) -> list[Resource]:
    """The frozen records that still are what they were; others have a new tick that no digest claims yet.

    With ``name``, inside ``ledger.write()``, what they refer to gets a uuid where it has none.
    """
    entries = place.tracked.rows.by_keys([head.key for head in heads])
    dots = place.dots(entries.values(), place.wholes(entries.values()))
    chosen = []
    for head in heads:
        found = dots.get(head.key)
        if found is not None and found[0] == (place.ledger.origin_name(head.origin), head.tick):
            chosen.append(entries[head.key])
    return place.resources(chosen, name=name)
