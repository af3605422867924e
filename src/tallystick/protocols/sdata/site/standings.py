"""What an endpoint of a site knows, between the ledger's version vector and the digest that SData shows (spec 5, 9).

A ledger's digest says the highest tick held of every origin, SData's the first not held of every endpoint. An origin
is named by an endpoint URL: the site's own ones by the collection URL, foreign ones by theirs. Origins that only
native synchronization knows are named by a URN, until a Tallystick site tells which endpoint they are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from tallystick.core import clock
from tallystick.core.history import Fork
from tallystick.protocols.sdata.codec.digests import Digest, DigestEntry, SyncState, endpoint_key
from tallystick.protocols.sdata.codec.names import FIRST_TICK
from tallystick.protocols.sdata.codec.stamps import NO_STAMP, milliseconds_of, stamp_of_milliseconds
from tallystick.protocols.sdata.rules.progress import Progress
from tallystick.protocols.sdata.rules.standing import Standing, new_standing
from tallystick.site.history import rename
from tallystick.site.ledger import Ledger, Tracked

URN: Final = "urn:tallystick:"
JUMP: Final = 2**20
"""How far the ticks of a new incarnation begin above the former's: so many changes may be lost with a backup."""

_encoder = msgspec.msgpack.Encoder()


class Stored(msgspec.Struct):
    """A standing with the endpoints that complete passes came from, and those that are awaited after a restore."""

    standing: Standing
    peers: list[str] = []
    awaited: list[str] = []


_decoder = msgspec.msgpack.Decoder(Stored)


class Named(NamedTuple):
    """How an origin appears in SData: its endpoint's key and URL, and how much higher its ticks are there."""

    endpoint: str
    url: str
    shift: int


class Names:
    """Origins of one resource by endpoint and back, in one transaction.

    ``url`` is the resource's collection URL. It names the endpoint from the first synchronization on; later the
    site may be served at another address, but ``own`` stays the name by which peers know it.
    """

    def __init__(self, ledger: Ledger, tracked: Tracked, url: str) -> None:
        self.ledger, self.tracked = ledger, tracked
        rows = ledger.engine.query(
            "SELECT origin, endpoint, url, shift FROM tally_sdata_origin WHERE resource=?", (tracked.number,)
        )
        self._named = {origin: Named(endpoint, url, shift) for origin, endpoint, url, shift in rows}
        self._origins: dict[str, list[tuple[int, str]]] = {}
        for origin, named in self._named.items():
            self._origins.setdefault(named.endpoint, []).append((named.shift, origin))
        self.own = self._named[ledger.origin].url if ledger.origin in self._named else url

    @property
    def fresh(self) -> bool:
        """True when the site's present origin has no name here yet."""
        return self.ledger.origin not in self._named

    def of_origin(self, origin: str) -> Named:
        """The name of an origin."""
        named = self._named.get(origin)
        if named is not None:
            return named
        if origin == self.ledger.origin:
            return Named(endpoint_key(self.own), self.own, 0)
        if ":" in origin:
            return Named(origin, origin, 0)
        url = f"{URN}{origin}:{self.tracked.wire}"
        return Named(endpoint_key(url), url, 0)

    def of_endpoint(self, endpoint: str, tick: int) -> tuple[str, int]:
        """The origin and its own tick that a tick of an endpoint means. Tick 0 is none."""
        key = endpoint_key(endpoint)
        best: tuple[int, str] | None = None
        for shift, origin in self._origins.get(key, ()):
            if shift < max(tick, 1) and (best is None or shift > best[0]):
                best = (shift, origin)
        if best is not None:
            return best[1], tick - best[0]
        if key == endpoint_key(self.own):
            return self.ledger.origin, tick
        suffix = f":{endpoint_key(self.tracked.wire)}"
        if key.startswith(URN) and key.endswith(suffix):
            return key[len(URN) : -len(suffix)], tick
        return key, tick

    def segments(self, endpoint: str, low: int, high: int) -> list[tuple[str, int, int]]:
        """The origins and their own ticks behind the ticks ``low`` to ``high`` (exclusive) of an endpoint."""
        key = endpoint_key(endpoint)
        named = sorted(self._origins.get(key, ()))
        if not named:
            origin, _ = self.of_endpoint(endpoint, 1)
            return [(origin, low, high)]
        found = []
        for index, (shift, origin) in enumerate(named):
            top = named[index + 1][0] + 1 if index + 1 < len(named) else high
            if low < min(top, high) and min(top, high) > shift:
                found.append((origin, low - shift, min(top, high) - shift))
        return found

    def vector(self, digest: Digest) -> dict[str, int]:
        """A digest as the version vector of the ledger: highest held."""
        found: dict[str, int] = {}
        for entry in digest.entries.values():
            if entry.tick > 1:
                origin, tick = self.of_endpoint(entry.endpoint, entry.tick - 1)
                if tick > found.get(origin, 0):
                    found[origin] = tick
        return found

    def state(self, origin: str, tick: int, stamp: int) -> SyncState:
        """The sync state of a dot."""
        named = self.of_origin(origin)
        return SyncState(named.url, named.shift + tick, stamp_of_milliseconds(clock.milliseconds_of(stamp)))

    def told(self) -> dict[str, tuple[str, int]]:
        """What other Tallystick sites should know of our names: the origin and shift behind every endpoint."""
        return {
            named.endpoint: (origin, named.shift)
            for origin, named in self._named.items()
            if ":" not in origin and not named.endpoint.startswith(URN) and self._is_last(named)
        }

    def _is_last(self, named: Named) -> bool:
        return named.shift == max(shift for shift, _ in self._origins[named.endpoint])

    # Writing: inside ``ledger.write()`` ----------------------------------------------------------------------------

    def add(self, origin: str, url: str, shift: int = 0) -> None:
        """Name an origin."""
        named = Named(endpoint_key(url), url.strip().rstrip("/"), shift)
        self.ledger.engine.execute(
            "INSERT INTO tally_sdata_origin(resource, origin, endpoint, url, shift) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (resource, origin) DO UPDATE SET endpoint=excluded.endpoint, url=excluded.url, "
            "shift=excluded.shift",
            (self.tracked.number, origin, *named),
        )
        self._named[origin] = named
        self._origins.setdefault(named.endpoint, []).append((shift, origin))

    def begin(self) -> int:
        """Name the site's present origin; the shift of its ticks: above all that a former incarnation gave."""
        shifts = [shift for shift, _ in self._origins.get(endpoint_key(self.own), ())]
        shift = max(shifts) + JUMP if shifts else 0
        self.add(self.ledger.origin, self.own, shift)
        return shift

    def learn(self, digest: Digest) -> None:
        """Take over what another Tallystick site says about origins behind endpoints, and how endpoints are spelled."""
        own = endpoint_key(self.own)
        for key, (origin, shift) in digest.names.items():
            if key != own and origin not in self._named and ":" not in origin and not origin.startswith(self._site()):
                self._take_name(key, origin, shift, digest)
        for key, entry in digest.entries.items():
            if key != own and key not in self._origins and not key.startswith(URN) and entry.endpoint != key:
                self.add(key, entry.endpoint)

    def _site(self) -> str:
        return self.ledger.site + "."

    def _take_name(self, key: str, origin: str, shift: int, digest: Digest) -> None:
        known = self.ledger.engine.query("SELECT 1 FROM tally_origin WHERE name=?", (key,))
        if known and shift:
            return
        if known:
            rename(self.ledger, self.tracked, Fork(key, {}, origin))
        self.ledger.engine.execute(
            "DELETE FROM tally_sdata_origin WHERE resource=? AND origin=?", (self.tracked.number, key)
        )
        self._named.pop(key, None)
        self._origins.pop(key, None)
        entry = digest.entries.get(key)
        self.add(origin, key if entry is None else entry.endpoint, shift)


# Standings --------------------------------------------------------------------------------------------------------


def stored(ledger: Ledger, names: Names, priority: int) -> Stored:
    """The standing of a resource as it was last stored, with what the ledger has learned since."""
    rows = ledger.engine.query("SELECT standing FROM tally_sdata_standing WHERE resource=?", (names.tracked.number,))
    now = stamp_of_milliseconds(clock.milliseconds_of(int(ledger.meta("stamp"))))  # reading must change nothing
    found = _decoder.decode(bytes(rows[0][0])) if rows else Stored(new_standing(names.own, priority, NO_STAMP))
    found.standing = _with_priority(found.standing, names.own, priority)
    progress = Progress(found.standing, now)
    progress.learn(_known(ledger, names, priority))
    found.standing = progress.standing()
    return found


def _known(ledger: Ledger, names: Names, priority: int) -> list[DigestEntry]:
    """What the ledger's digest covers, as digest entries: the first tick not held of every endpoint."""
    entries: dict[str, DigestEntry] = {}
    for origin, tick in ledger.digest(names.tracked).items():
        named = names.of_origin(origin)
        reached = named.shift + tick + 1
        if named.endpoint not in entries or entries[named.endpoint].tick < reached:
            entries[named.endpoint] = DigestEntry(named.url, reached, NO_STAMP, priority)
    return list(entries.values())


def _with_priority(standing: Standing, own: str, priority: int) -> Standing:
    """The configured priority is that of the own endpoint, whatever was stored."""
    key, entries = endpoint_key(own), standing.digest.entries
    if key not in entries:  # a copy of the site that this standing was made at
        entries = {**entries, key: DigestEntry(own, FIRST_TICK, NO_STAMP, priority)}
        standing = msgspec.structs.replace(standing, digest=Digest(own, entries), counter=FIRST_TICK)
    elif standing.own != key:
        standing = msgspec.structs.replace(standing, digest=Digest(own, entries), counter=entries[key].tick)
    if entries[key].priority == priority and entries[key].endpoint == own:
        return standing
    changed = {**entries, key: entries[key]._replace(endpoint=own, priority=priority)}
    return msgspec.structs.replace(standing, digest=Digest(own, changed))


def save(ledger: Ledger, names: Names, kept: Stored) -> None:
    """Store a standing, and let the ledger's digest know what it covers. Inside ``ledger.write()``.

    What is stored already is not written again: a pass with nothing new leaves no trace.
    """
    raw = _encoder.encode(kept)
    number = names.tracked.number
    rows = ledger.engine.query("SELECT standing FROM tally_sdata_standing WHERE resource=?", (number,))
    if rows and bytes(rows[0][0]) == raw:
        return
    ledger.engine.execute(
        "INSERT INTO tally_sdata_standing(resource, standing) VALUES (?, ?) "
        "ON CONFLICT (resource) DO UPDATE SET standing=excluded.standing",
        (number, raw),
    )
    vector = names.vector(kept.standing.digest)
    own = vector.pop(ledger.origin, 0)
    if own > names.tracked.tick:
        names.tracked.tick, names.tracked.dirty = own, True
    ledger.merge_digest(names.tracked, vector)


def begin(ledger: Ledger, names: Names, priority: int) -> None:
    """Name this site's origin where it has no name yet; after a restore, wait for what peers know of us (9.9)."""
    if not names.fresh:
        return
    shift = names.begin()
    if not shift:
        return
    kept = stored(ledger, names, priority)
    progress = Progress(kept.standing, stamp_of_milliseconds(ledger.now()))
    progress.begin_restore(shift + names.tracked.tick + 1)
    kept.standing = progress.standing()
    kept.awaited = list(kept.peers)
    if not kept.awaited:
        kept.standing = _ended(ledger, kept.standing)
    save(ledger, names, kept)


def passed(ledger: Ledger, kept: Stored, origin: str) -> None:
    """A complete pass came in from ``origin``; the last one that was awaited ends a restore."""
    key = endpoint_key(origin)
    if key and key not in kept.peers:
        kept.peers.append(key)
    if key in kept.awaited:
        kept.awaited.remove(key)
    if kept.standing.restoring and not kept.awaited:
        kept.standing = _ended(ledger, kept.standing)


def decided(ledger: Ledger, kept: Stored) -> None:
    """An administrator wrote the digest: he knows that nobody has more to tell, which ends a restore too."""
    kept.awaited = []
    if kept.standing.restoring:
        kept.standing = _ended(ledger, kept.standing)


def _ended(ledger: Ledger, standing: Standing) -> Standing:
    progress = Progress(standing, stamp_of_milliseconds(ledger.now()))
    progress.end_restore()
    return progress.standing()


def stamp_of_state(state: SyncState) -> int:
    """The ledger's stamp of a sync state."""
    return clock.stamp_of(milliseconds_of(state.stamp))
