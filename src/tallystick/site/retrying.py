"""Retrying parked changes, all together, at the end of a pass (DESIGN.md 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tallystick.core.changes import Rank, parents_first
from tallystick.core.fingerprints import EMPTY
from tallystick.core.forms import decode_extra, encode_extra
from tallystick.core.merge import Projection, project
from tallystick.core.pages import Tally
from tallystick.core.policies import DEFAULT_POLICY, FieldPolicy
from tallystick.core.values import mapping_hash
from tallystick.site import parking
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import Kept, Whole, aside_of, content_of_row, load_wholes, make_entry, save_whole, terms
from tallystick.site.identity import address_of
from tallystick.site.ledger import WHOLE, Ledger, Tracked
from tallystick.site.projection import MISSING_REFERENCE, Projector, Writing, compare_row, local_after


class _Parked(NamedTuple):
    entry: Entry
    whole: Whole
    projection: Projection
    writing: Writing


def retry(ledger: Ledger, policies: Mapping[str, FieldPolicy] | None = None) -> dict[str, Tally]:
    """Try every parked change again: parents first, then once more with mutual references patched afterwards, then what
    cannot be without those.

    What the database refuses for another reason may not come at all, so nothing is shown without a reference to it.
    ``policies`` are conflict policies by wire name. Call inside ``ledger.write()``.
    """
    tallies: dict[str, Tally] = {}
    if not parking.count(ledger):
        return tallies
    order = parents_first([Rank(item.wire, item.definition.parents) for item in ledger.resources()])
    later: list[tuple[Tracked, _Parked]] = []
    for patched in (False, True, False):
        waiting = parking.waiting(ledger)
        keys = {(item.resource, item.key) for item in waiting}
        mutual = {(item.resource, item.key) for item in waiting if item.reason.startswith(MISSING_REFERENCE)}
        if not keys:
            break
        for wire in order:
            names = [key for resource, key in keys if resource == wire]
            if names:
                tracked = ledger.resource(wire)
                parked = _load(ledger, tracked, names, (policies or {}).get(wire))
                _attempt(ledger, tracked, parked, mutual if patched else set(), tallies.setdefault(wire, Tally()))
                later.extend((tracked, item) for item in parked if patched and not item.writing.failure)
        if patched and not later:
            break
    _complete_parked(ledger)
    _patch(ledger, later)
    return tallies


def reconsider(ledger: Ledger, tracked: Tracked) -> None:
    """Have ``retry`` show again what had left a filter, now that there is none.

    Under another filter the source says what is in scope: what is held here is older than what took the record out.
    Call inside ``ledger.write()``.
    """
    for item in parking.waiting(ledger, parking.DECLINED, tracked):
        if item.reason == parking.LEFT:
            parking.park(ledger, tracked, item.key, "back in scope")


def _load(ledger: Ledger, tracked: Tracked, keys: Sequence[str], policy: FieldPolicy | None) -> list[_Parked]:
    entries = tracked.rows.by_keys(keys)
    wholes = load_wholes(ledger, tracked, keys)
    found = []
    for key in sorted(keys):
        entry, whole = entries.get(key), wholes.get(key)
        if entry is None or whole is None:
            if not _lacking(tracked, entry):
                parking.release(ledger, tracked, key)
            continue
        projection = project(whole.record, whole.shown, policy or DEFAULT_POLICY.conflict)
        found.append(_Parked(entry, whole, projection, Writing(key, projection.content, entry)))
    return found


def _attempt(
    ledger: Ledger, tracked: Tracked, parked: Sequence[_Parked], together: set[tuple[str, str]], tally: Tally
) -> None:
    Projector(ledger, tracked, frozenset(together)).write([item.writing for item in parked])
    put, replaced, added, removed = [], [], EMPTY, EMPTY
    for item in parked:
        if item.writing.failure:
            parking.park(ledger, tracked, item.entry.key, item.writing.failure)
            continue
        entry, whole = _shown(ledger, tracked, item)
        put.append(entry)
        replaced.append(item.entry.seq)
        added = added.added(terms(ledger, entry, whole))
        removed = removed.added(terms(ledger, item.entry, item.whole))
        save_whole(ledger, tracked, entry.key, whole)
        parking.release(ledger, tracked, entry.key)
        _count(tally, item)
    if put:
        tracked.rows.put(put, replaced)
        ledger.count(tracked, added, removed)


def _count(tally: Tally, item: _Parked) -> None:
    tally.parked -= 1
    if item.projection.content is None:
        tally.deleted += 1
    elif item.entry.hash:
        tally.updated += 1
    else:
        tally.created += 1


def _shown(ledger: Ledger, tracked: Tracked, item: _Parked) -> tuple[Entry, Whole | None]:
    (seq,) = ledger.next_seqs(tracked, 1)
    content, projection = item.projection.content, item.projection
    digest = b"" if content is None else mapping_hash(item.entry.key, dict(content))
    local = None if content is None else local_after(tracked, item.writing)
    rendered, aside = read_back(tracked, item.writing)
    kept = Kept(
        item.whole.record, projection.contributors, digest, local, rendered, aside, undecided=projection.undecided
    )
    return make_entry(ledger, item.entry.key, seq, item.entry.born_after(seq), kept)


def read_back(tracked: Tracked, writing: Writing) -> tuple[bytes | None, dict[str, Any]]:
    """What the database made of one row that was written, and the values it does not hold as they came."""
    if writing.content is None or writing.address is None:
        return None, {}
    values = tracked.rows.values([writing.address]).get(writing.address)
    made = compare_row(tracked.definition, writing, values)
    return (None, {}) if made is None else (made.hash, made.aside)


def _patch(ledger: Ledger, written: Sequence[tuple[Tracked, _Parked]]) -> None:
    """Rows that were written without references to each other get them now."""
    for tracked, item in written:
        if item.projection.content is not None and item.writing.patched:
            entry = tracked.rows.by_keys([item.entry.key])[item.entry.key]
            _complete(ledger, tracked, entry, item.projection.content)


def _complete(ledger: Ledger, tracked: Tracked, entry: Entry, content: Mapping[str, Any]) -> None:
    """Give a row the references that it was shown without. Where the database refused what they lead to, the row waits
    for that: what it lacks stays aside in the ledger."""
    writing = Writing(entry.key, content, entry)
    Projector(ledger, tracked).write([writing])
    if writing.failure:
        parking.park(ledger, tracked, entry.key, writing.failure)
        return
    rendered, aside = read_back(tracked, writing)
    extra = msgspec.structs.replace(decode_extra(entry.extra), aside=aside)
    tracked.rows.put([entry._replace(rendered=rendered, extra=encode_extra(extra))], [entry.seq])
    parking.release(ledger, tracked, entry.key)


def _complete_parked(ledger: Ledger) -> None:
    """The same for the rows that have waited for such references since an earlier attempt."""
    for item in parking.waiting(ledger):
        tracked = ledger.resource(item.resource)
        entry = tracked.rows.by_keys([item.key]).get(item.key)
        if entry is None or not _lacking(tracked, entry):
            continue
        address = address_of(tracked.definition, entry.key, entry.local)
        content = content_of_row(tracked.definition, tracked.rows.values([address]).get(address), aside_of(entry))
        if content is not None:
            _complete(ledger, tracked, entry, content)


def _lacking(tracked: Tracked, entry: Entry | None) -> bool:
    """True for a record that is shown, with one version, and without a reference that this version has."""
    if entry is None or not entry.hash or entry.rendered is None or entry.flags & WHOLE:
        return False
    aside = aside_of(entry)
    return any(item.refers_to and aside.get(item.wire) is not None for item in tracked.definition.fields)
