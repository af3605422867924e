"""A page of a sync feed taken into a site's ledger (spec 9.5, 9.6; DESIGN.md 4.3).

The rules of SData decide each entry against the state that the record shows here, and move the digest. What they take
goes as pages through the applying of the house: rows are written, siblings, laws and parking hold, and a version that
lost is kept beside the one that won. What cannot be written now is parked here and counts as held; only what cannot
even be read fails, caps the digest and is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tallystick.core.forms import Extra, decode_extra, encode_extra
from tallystick.core.pages import FieldForm, Page, Row
from tallystick.core.policies import ALL_METHODS, FieldPolicy, Method, Policy, Resolution
from tallystick.core.values import Logical, mapping_hash
from tallystick.errors import TallystickError, ValueRejected
from tallystick.protocols.sdata.codec.digests import LARGEST_TICK, Digest, SyncState
from tallystick.protocols.sdata.codec.entries import Entry as FeedEntry
from tallystick.protocols.sdata.codec.feeds import Feed
from tallystick.protocols.sdata.codec.payloads import Payload
from tallystick.protocols.sdata.rules.application import Decided, Incoming, apply_page
from tallystick.protocols.sdata.rules.conflicts import Verdict
from tallystick.protocols.sdata.rules.standing import Page as PageFacts
from tallystick.protocols.sdata.site import children, lost_children, standings
from tallystick.protocols.sdata.site.children import Listed
from tallystick.protocols.sdata.site.forms import referred_uuids
from tallystick.protocols.sdata.site.links import foretold, keys_of
from tallystick.protocols.sdata.site.place import Place, Told, told
from tallystick.protocols.sdata.store import Outcome, OutcomeKind
from tallystick.site import applying
from tallystick.site.editing import contents_of
from tallystick.site.engines.engine import Entry
from tallystick.site.ledger import DELETED, GENESIS, WHOLE
from tallystick.site.parking import DECLINED, PARKED
from tallystick.site.schema import Identity

HELD = "held here and tried again, but it cannot be written now: "
UNWANTED = "held here and not shown: "
_TAKE = FieldPolicy(Resolution.OTHER)
_KEEP = FieldPolicy(Resolution.THIS)


@dataclass
class _Incoming:
    """One entry on its way into the ledger. ``row`` is None when there is nothing to hold of it."""

    entry: FeedEntry
    key: str
    known: bool
    state: SyncState
    told: Told | None
    """What its extension says of this very record."""
    deleted: bool
    content: dict[str, Any] | None = None
    lists: Sequence[Listed] = ()
    newer: bool = False
    """Its source had seen what is here."""
    problem: TallystickError | None = None


@dataclass
class Taking:
    """The taking of one page. ``page`` and ``incoming`` are what `checked_page` found in the feed.

    What ``strategy`` lacks is held and not shown. A page that is not ``claimed`` leaves the digest as it is: others of
    its source's changes, with lower ticks, are missing in it.
    """

    place: Place
    feed: Feed
    page: PageFacts
    incoming: Sequence[Incoming]
    immediate: bool
    priority: int
    stamp: str
    run: str = ""
    refuse: str = ""
    strategy: frozenset[Method] = ALL_METHODS
    claimed: bool = True
    states: dict[str, SyncState] = field(default_factory=dict)
    items: list[_Incoming] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    extensions: list[Told | None] = field(default_factory=list)
    unwritten: Mapping[str, str] = field(default_factory=dict)
    """Why children could not be written, by the key of their parent."""

    def take(self) -> tuple[Digest, list[Outcome]]:
        """The digest afterwards, and what became of each entry. Inside ``ledger.write()``, after stamping.

        Raises TickGap before anything was changed when an immediate page skips ticks.
        """
        ledger, names = self.place.ledger, self.place.names
        children.notice(self.place)
        standings.begin(ledger, names, self.priority)
        names.learn(self.page.digest)
        kept = standings.stored(ledger, names, self.priority)
        self._look_up()
        standing, decided = apply_page(
            kept.standing,
            self.page,
            self.incoming,
            self.states.get,
            self._attempt,
            self.stamp,
            immediate=self.immediate,
        )
        if self.claimed:
            kept.standing = standing
        self._write(decided)
        if self.page.last and not self.immediate:
            standings.passed(ledger, kept, self.page.digest.origin)
        children.notice(self.place, quiet=True)
        standings.save(ledger, names, kept)
        return kept.standing.digest._replace(names=names.told()), self._outcomes(decided)

    # What is here -------------------------------------------------------------------------------------------------

    def _look_up(self) -> None:
        """Find the records that the entries speak of, and the states they show."""
        place = self.place
        uuids = [entry.uuid for entry in self.incoming]
        self.extensions = [told(entry.extension) for entry in self.feed.entries]
        keys, entries = place.links.found(uuids)
        made = self._find_natural(keys) + self._name_foretold(keys, entries)
        if made:
            entries |= place.tracked.rows.by_keys(made)
        for key, (dot, stamp) in place.dots(entries.values(), place.wholes(entries.values())).items():
            self.states[key] = place.names.state(*dot, stamp)
        by_uuid = {uuid: self.states[key] for uuid, key in keys.items() if key in self.states}
        self.entries = entries
        self.items = [
            self._item(entry, one, keys.get(one.uuid, one.uuid), extension)
            for entry, one, extension in zip(self.feed.entries, self.incoming, self.extensions, strict=True)
        ]
        self.states = by_uuid
        self.references = children.references_in(place, self._payloads())
        self.live = self._live(entries)

    def _item(self, entry: FeedEntry, one: Incoming, key: str, extension: Told | None) -> _Incoming:
        mine = extension is not None and extension.key == key
        return _Incoming(entry, key, key in self.entries, one.state, extension if mine else None, entry.deleted)

    def _payloads(self) -> list[Payload]:
        return [entry.payload for entry in self.feed.entries if entry.payload is not None and not entry.deleted]

    def _live(self, entries: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
        live = [entry for entry in entries.values() if entry.hash]
        return contents_of(self.place.ledger, self.place.tracked, live)

    def _find_natural(self, keys: dict[str, str]) -> list[str]:
        """Records whose key is made of the payload are found by it, and so are copies of rows older than tracking.

        Adds them to ``keys``; the keys that were found so.
        """
        place, made = self.place, {}
        for entry, extension in zip(self.feed.entries, self.extensions, strict=True):
            if entry.uuid in keys or entry.payload is None or entry.deleted:
                continue
            key = self._natural(entry, extension)
            if key:
                made[entry.uuid] = key
        if made:
            own = place.tracked.definition.identity is not Identity.MAPPED
            if not own:
                made = self._copies(made)
            place.links.link({key: uuid for uuid, key in made.items()})
            keys.update(made)
        return sorted(set(made.values()))

    def _name_foretold(self, keys: dict[str, str], entries: dict[str, Entry]) -> list[str]:
        """Move what was deleted here unseen to the keys that payloads say; those keys. Changes both mappings."""
        if not self.place.form.keys or self.place.tracked.definition.identity is Identity.MAPPED:
            return []
        own = {uuid: entries[uuid] for uuid, key in keys.items() if key == uuid and uuid in entries}
        unseen = {entry.key for entry in foretold(own)}
        said = {}
        for entry, extension in zip(self.feed.entries, self.extensions, strict=True):
            if entry.uuid in unseen and not entry.deleted:
                key = self._natural(entry, extension)
                if key and key != entry.uuid:
                    said[entry.uuid] = key
        if said:
            self.place.links.settle(said, entries)
            for uuid, key in said.items():
                entries.pop(keys[uuid], None)
                keys[uuid] = key
        return sorted(set(said.values()))

    def _natural(self, entry: FeedEntry, found: Told | None) -> str:
        """The key that a payload or its extension names; "" when it names none."""
        form = self.place.form
        if form.definition.identity is Identity.MAPPED:
            return found.key if found is not None and found.flags & GENESIS else ""
        if not form.keys or entry.payload is None:
            return ""
        try:
            references = keys_of(self.place.ledger, referred_uuids([entry.payload], form))
            return form.key(entry.payload, references)
        except ValueRejected:
            return ""

    def _copies(self, proposed: Mapping[str, str]) -> dict[str, str]:
        """Those proposals that hold: a row older than tracking with the same key and content is here, unlinked."""
        place = self.place
        entries = place.tracked.rows.by_keys(sorted(set(proposed.values())))
        linked = place.links.uuids(sorted(entries))
        found = {}
        for entry in self.feed.entries:
            key = proposed.get(entry.uuid)
            held = entries.get(key) if key else None
            if key is None or held is None or key in linked or not held.flags & GENESIS or entry.payload is None:
                continue
            try:
                content = place.form.content(entry.payload, {})
            except ValueRejected:
                continue
            if mapping_hash(key, _without_null(content)) == held.hash:
                found[entry.uuid] = key
        return found

    # Deciding -----------------------------------------------------------------------------------------------------

    def _attempt(self, index: int, verdict: Verdict) -> bool:
        """Read what an entry brings; the ledger takes all of them afterwards at once."""
        item = self.items[index]
        if not self._read(item):
            return False
        item.newer = verdict is Verdict.NEWER
        self.states[self.incoming[index].uuid] = item.state
        return True

    def _read(self, item: _Incoming) -> bool:
        if item.deleted:
            return True
        try:
            if item.entry.payload is None or not item.entry.payload.fields:
                raise ValueRejected("the entry has no payload")
            content = self.place.form.content(item.entry.payload, self.references)
            item.lists = children.read(self.place, item.entry.payload, self.references) if self.place.nested else ()
            if self.place.form.keys:
                content = {name: content[name] for name in content if name not in self.place.form.key_wires}
            elif self.place.tracked.definition.identity is Identity.COLUMN:
                self._set_key_column(item, content)
        except ValueRejected as error:
            item.problem = error
            return False
        item.content = content
        return True

    def _set_key_column(self, item: _Incoming, content: dict[str, Any]) -> None:
        definition = self.place.tracked.definition
        (wire,) = [one.wire for one in definition.fields if one.column == definition.key_column]
        content[wire] = item.key

    # Writing ------------------------------------------------------------------------------------------------------

    def _write(self, decided: Sequence[Decided]) -> None:
        taken: list[_Incoming] = []
        kept: list[_Incoming] = []
        won: list[_Incoming] = []
        lost: list[_Incoming] = []
        for item, (verdict, failed) in zip(self.items, decided, strict=True):
            if failed:
                continue
            if verdict.applies:
                taken.append(item)
                if verdict is Verdict.CONFLICT_WON:
                    won.append(item)
            elif (verdict is Verdict.CONFLICT_LOST or item.told is not None) and self._read_quietly(item):
                kept.append(item)
                if verdict is Verdict.CONFLICT_LOST:
                    lost.append(item)
        at_stake = lost_children.rows_at_stake(self.place, [(item.key, item.lists) for item in won])
        if self.place.nested:
            children.end(self.place, [item.key for item in taken if item.deleted])
        self._apply(taken, _TAKE)
        self._apply(kept, _KEEP)
        if self.place.nested:
            self.unwritten = children.write(self.place, [(item.key, item.lists) for item in taken])
        lost_children.log_overwritten(self.place, at_stake, self.run)
        losers = [lost_children.Lost(item.key, item.state, item.lists) for item in lost]
        lost_children.log_unwritten(self.place, losers, self.run)

    def _read_quietly(self, item: _Incoming) -> bool:
        done = item.content is not None or self._read(item)
        item.problem = None
        return done

    def _apply(self, items: Sequence[_Incoming], conflict: FieldPolicy) -> None:
        """Take versions as pages; one page holds no record twice."""
        policy = Policy(self.strategy, conflict=conflict)
        rest = list(items)
        while rest:
            seen: set[str] = set()
            now: list[_Incoming] = []
            later: list[_Incoming] = []
            for item in rest:
                (later if item.key in seen else now).append(item)
                seen.add(item.key)
            page = _Rows(self).page(now)
            settings = applying.Applying(policy, run=self.run, refuse=self.refuse)
            applying.apply_page(self.place.ledger, page, settings)
            rest = later

    # Outcomes -----------------------------------------------------------------------------------------------------

    def _outcomes(self, decided: Sequence[Decided]) -> list[Outcome]:
        applied = [item.key for item, one in zip(self.items, decided, strict=True) if one.verdict.applies]
        held = self._waiting(applied, PARKED, HELD)
        if self.strategy != ALL_METHODS:
            held |= self._waiting(applied, DECLINED, UNWANTED)
        made = []
        for item, (verdict, _) in zip(self.items, decided, strict=True):
            problem = str(item.problem) if item.problem is not None else ""
            if not problem and verdict.applies:
                problem = held.get(item.key, "")
            problem = problem or self.unwritten.get(item.key, "")
            kind = OutcomeKind.FAILED if problem else _kind(verdict, item, item.key in self.live)
            made.append(
                Outcome(
                    kind=kind,
                    uuid=item.entry.uuid,
                    title=item.entry.title,
                    updated=item.entry.updated,
                    deletion=item.deleted,
                    state=item.state,
                    status=409,
                    problem=problem,
                )
            )
        return made

    def _waiting(self, keys: Sequence[str], kind: str, why: str) -> dict[str, str]:
        rows = self.place.ledger.engine.query_in(
            f"SELECT key, reason FROM tally_parked WHERE resource={self.place.tracked.number} AND kind='{kind}' "
            "AND key IN (*)",
            (),
            keys,
        )
        return {str(key): f"{why}{reason}" for key, reason in rows}


class _Rows:
    """Versions as rows of a page."""

    def __init__(self, taking: Taking) -> None:
        self.taking, self.place = taking, taking.place
        self.definition = self.place.tracked.definition
        self.origins: dict[str, int] = {}
        self.vector = self.place.names.vector(taking.page.digest)
        self.extras: dict[str, bytes | None] = {}
        self.shifts: dict[str, tuple[str, int, bool]] = {}
        self.exact = True
        self.details = [
            (one.wire, int(one.detail.partition(",")[2] or "0") if one.logical is Logical.DECIMAL else None)
            for one in self.definition.fields
            if one.detail
        ]
        """Fields that the database may round or pad, and how many decimals it keeps; None for texts."""

    def page(self, items: Sequence[_Incoming]) -> Page:
        """The page of versions."""
        fresh = self._fresh(items)
        rows = [self._row(item, fresh) for item in items]
        forms = [
            FieldForm(one.wire, one.logical.value, one.detail if self.exact else "") for one in self.definition.fields
        ]
        return Page(self.place.tracked.wire, forms, list(self.origins), rows, "")

    def _fresh(self, items: Sequence[_Incoming]) -> list[int]:
        """Integers for rows that are new here, where integers are chosen here."""
        if not self.definition.mapped:
            return []
        new = sum(not item.known and not item.deleted for item in items)
        return self.place.tracked.rows.fresh(new)[::-1] if new else []

    def _row(self, item: _Incoming, fresh: list[int]) -> Row:
        found = item.told
        origin, tick = self._dot(item.state)
        index = self.origins.setdefault(origin, len(self.origins))
        stamp = standings.stamp_of_state(item.state)
        local = fresh.pop() if fresh and not item.known and not item.deleted else None
        head = (item.key, local, index, tick, stamp)
        if found is not None and found.flags & WHOLE and found.record is not None:
            return (*head, WHOLE, found.record)
        if item.deleted or item.content is None:
            return (*head, DELETED, self._extra(item, found, origin, tick, {}))
        content = self._merged(item, item.content)
        known = self.definition.wires
        aside = {} if content.keys() <= known else {name: content[name] for name in content if name not in known}
        self.exact = self.exact and self._fits(content)
        flags = found.flags & GENESIS if found is not None else 0
        return (*head, flags, self._extra(item, found, origin, tick, aside), *map(content.get, self.definition.names))

    def _dot(self, state: SyncState) -> tuple[str, int]:
        """The dot of a state; most endpoints have one origin behind all of their ticks."""
        known = self.shifts.get(state.endpoint)
        if known is None:
            segments = self.place.names.segments(state.endpoint, 1, LARGEST_TICK)
            known = self.shifts[state.endpoint] = (segments[0][0], 1 - segments[0][1], len(segments) == 1)
        origin, shift, alone = known
        if alone and state.tick > shift:
            return origin, state.tick - shift
        return self.place.names.of_endpoint(state.endpoint, state.tick)

    def _merged(self, item: _Incoming, content: dict[str, Any]) -> dict[str, Any]:
        """Fields that the payload does not name stay as they are (K 9)."""
        held = self.taking.live.get(item.key)
        if held is not None:
            content = {**held, **content}
        return _without_null(content) if None in content.values() else content

    def _extra(
        self, item: _Incoming, found: Told | None, origin: str, tick: int, aside: Mapping[str, Any]
    ) -> bytes | None:
        """What the version builds on: what its Tallystick sender says, else what the feed's digest covers."""
        if found is not None:
            extra = decode_extra(found.record)
            return encode_extra(Extra(**{**_fields(extra), "aside": dict(aside)}))
        genesis = self._genesis(item) if item.newer else []
        if aside or genesis:
            seen = self._seen(item, origin, tick)
            return encode_extra(Extra(seen=seen, seen_genesis=genesis, aside=dict(aside)))
        if not item.known and not self._others(origin):
            return None
        if origin not in self.extras:
            self.extras[origin] = encode_extra(Extra(seen=self._seen(item, origin, tick)))
        if self.vector.get(origin, 0) >= tick:
            return self.extras[origin]
        return encode_extra(Extra(seen=self._seen(item, origin, tick)))

    def _genesis(self, item: _Incoming) -> list[bytes]:
        """Names of rows older than tracking that a newer version replaces here: a foreign source knows only dots."""
        entry = self.taking.entries.get(item.key)
        if entry is None:
            return []
        extra = decode_extra(entry.extra)
        own = {entry.hash} if entry.flags & GENESIS else set()
        return sorted(own | {*(extra.genesis or ()), *extra.seen_genesis})

    def _others(self, origin: str) -> bool:
        """True when versions of endpoints beyond the sender and us may have been replaced."""
        return not self.vector.keys() <= {origin, self.place.ledger.origin}

    def _seen(self, item: _Incoming, origin: str, tick: int) -> dict[str, int] | None:
        if not item.known and not self._others(origin):
            return None
        return {**self.vector, origin: max(tick, self.vector.get(origin, 0))}

    def _fits(self, content: Mapping[str, Any]) -> bool:
        """True when the database keeps decimals and padded texts of a version as they are."""
        for wire, scale in self.details:
            value = content.get(wire)
            if value is not None and (scale is None or len(str(value).partition(".")[2]) > scale):
                return False
        return True


def _fields(extra: Extra) -> dict[str, Any]:
    return {name: getattr(extra, name) for name in extra.__struct_fields__}


def _without_null(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}


def _kind(verdict: Verdict, item: _Incoming, live: bool) -> OutcomeKind:
    if verdict is Verdict.CONFLICT_LOST:
        return OutcomeKind.CONFLICT_LOST
    if not verdict.applies:
        return OutcomeKind.IGNORED
    if verdict is Verdict.CONFLICT_WON:
        return OutcomeKind.CONFLICT_WON
    if item.deleted:
        return OutcomeKind.DELETED if live else OutcomeKind.NOTHING_TO_DELETE
    return OutcomeKind.UPDATED if live else OutcomeKind.CREATED
