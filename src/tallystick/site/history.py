"""One history on a real database: contacts, forks and new incarnations (DESIGN.md 4.4; rules in ``core.history``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from tallystick.core.fingerprints import EMPTY
from tallystick.core.history import (
    NONCE_BITS,
    Contact,
    Fork,
    Histories,
    Ticks,
    begin_anew,
    begin_elsewhere,
    meet,
    renamed,
    renamed_vector,
    speak,
)
from tallystick.core.versions import merge_vectors
from tallystick.site.engines.engine import Entry
from tallystick.site.holding import Kept, Whole, aside_of, held, load_wholes, make_entry, save_whole, terms
from tallystick.site.ledger import UNSHOWN, WHOLE, Ledger, Tracked

_encoder = msgspec.msgpack.Encoder(order="deterministic")


class ContactForm(msgspec.Struct, array_like=True):
    """One contact as stored and sent: number, nonce, ticks."""

    number: int
    nonce: int
    ticks: dict[str, int]


class HistoriesForm(msgspec.Struct, array_like=True):
    """Histories as stored and sent."""

    origin: str
    contacts: dict[str, list[ContactForm]]
    forks: dict[str, dict[str, int]]


def load(ledger: Ledger) -> Histories:
    """What this site knows about histories."""
    text = ledger.meta("histories")
    if not text:
        return Histories(ledger.origin)
    return histories_of(msgspec.json.decode(text, type=HistoriesForm))


def histories_of(form: HistoriesForm) -> Histories:
    """Histories from their form."""
    contacts = {
        origin: tuple(Contact(item.number, item.nonce, item.ticks) for item in listed)
        for origin, listed in form.contacts.items()
    }
    return Histories(form.origin, contacts, form.forks)


def form_of(histories: Histories) -> HistoriesForm:
    """The form of histories."""
    contacts = {
        origin: [ContactForm(contact.number, contact.nonce, dict(contact.ticks)) for contact in history]
        for origin, history in histories.contacts.items()
    }
    return HistoriesForm(histories.origin, contacts, {origin: dict(ticks) for origin, ticks in histories.forks.items()})


def beyond(form: HistoriesForm, told: HistoriesForm) -> HistoriesForm:
    """What a form says beyond the histories that its hearer has just told: those it need not hear again."""
    contacts = {
        origin: listed
        for origin, listed in form.contacts.items()
        if origin == form.origin or listed != told.contacts.get(origin)
    }
    return HistoriesForm(form.origin, contacts, form.forks)


def token(histories: Histories) -> str:
    """A short text that two sites share when they know the same histories: then nothing needs to be compared."""
    known = sorted((origin, history[-1].nonce) for origin, history in histories.contacts.items() if history)
    return sha256(_encoder.encode([known, sorted(histories.forks)])).hexdigest()[:24]


def _save(ledger: Ledger, histories: Histories, forks: Mapping[str, Ticks] | None = None) -> None:
    ledger.put_meta("histories", msgspec.json.encode(form_of(histories)).decode())
    incarnation = histories.origin.rpartition(".")[2]
    if incarnation != str(ledger.incarnation):
        _close_origin(ledger, (forks or histories.forks).get(ledger.origin))
        ledger.put_meta("incarnation", incarnation)
        ledger.load()


def _close_origin(ledger: Ledger, limit: Ticks | None) -> None:
    """The former own origin becomes one like any other: its ticks are noted in the digests.

    Where it forked, only those up to the fork (``limit``) are ours: what follows may name somebody else's changes.
    """
    former = ledger.origin_number(ledger.origin)
    for tracked in ledger.resources():
        tick = ledger.resource(tracked.wire).tick
        if limit is not None:
            tick = min(tick, limit.get(tracked.wire, 0))
        if tick:
            ledger.engine.execute(
                "INSERT INTO tally_digest(resource, origin, tick) VALUES (?, ?, ?) "
                "ON CONFLICT (resource, origin) DO UPDATE SET tick=excluded.tick",
                (tracked.number, former, tick),
            )


def nonce() -> int:
    """A fresh random nonce."""
    return max(1, int.from_bytes(os.urandom(8)) % (1 << NONCE_BITS))


def own_ticks(ledger: Ledger) -> Ticks:
    """Own tick per resource."""
    rows = ledger.engine.query("SELECT wire, tick FROM tally_resource WHERE tick>0")
    return dict(rows)


def speak_now(ledger: Ledger) -> Histories:
    """Note a contact when changes are about to be handed out that never were. Call inside ``write``, after stamping."""
    ledger.save_counters()
    before = load(ledger)
    after = speak(before, nonce(), own_ticks(ledger), ledger.seq)
    if after is not before:
        _save(ledger, after)
    return after


def spoken(histories: Histories) -> int:
    """The seq up to which a site's last contact goes; 0 where its origin has had none."""
    own = histories.contacts.get(histories.origin, ())
    return own[-1].ticks.get("", 0) if own else 0


def check_identity(ledger: Ledger) -> bool:
    """Begin a new incarnation when this is a copy of the file it was. Call inside ``write``, before stamping."""
    identity = ledger.engine.identity()
    if ledger.meta("identity") == identity:
        return False
    meeting = begin_elsewhere(load(ledger), nonce())
    for fork in meeting.forks:
        _apply_fork(ledger, fork)
    _save(ledger, meeting.histories, {fork.origin: fork.after for fork in meeting.forks})
    ledger.put_meta("identity", identity)
    return True


def begin_again(ledger: Ledger) -> None:
    """Begin a new incarnation because what a resource issued, and was told, is forgotten. Call inside ``write``.

    States of peers say that what comes before them was told; of that resource it has to come once more.
    """
    ledger.engine.execute("DELETE FROM tally_state")
    ledger.save_counters()
    _save(ledger, begin_anew(load(ledger), nonce()))


def meet_now(ledger: Ledger, theirs: Histories) -> bool:
    """Compare histories with a peer's and rename what forked. Call inside ``write``, after ``speak_now``.

    Returns True when this site makes its changes under a new origin from now on.
    """
    before = load(ledger)
    meeting = meet(before, theirs, nonce())
    for fork in meeting.forks:
        _apply_fork(ledger, fork)
    if meeting.histories != before:
        _save(ledger, meeting.histories)
    return meeting.began


def _apply_fork(ledger: Ledger, fork: Fork) -> None:
    for tracked in [ledger.resource(item.wire) for item in ledger.resources()]:
        rename(ledger, tracked, fork)


def rename(ledger: Ledger, tracked: Tracked, fork: Fork) -> None:
    """Rename changes of one resource: an origin turned out to be known under another name. Inside ``write``."""
    for table in ("tally_digest", "tally_forgotten"):
        _rename_vector(ledger, tracked, table, fork)
    _rename_records(ledger, tracked, fork)


def _rename_vector(ledger: Ledger, tracked: Tracked, table: str, fork: Fork) -> None:
    vector = ledger.digest(tracked) if table == "tally_digest" else ledger.forgotten(tracked)
    changed = renamed_vector(vector, tracked.wire, fork)
    if changed is not vector:
        _replace_vector(ledger, tracked, table, fork, dict(changed))


def _replace_vector(ledger: Ledger, tracked: Tracked, table: str, fork: Fork, changed: dict[str, int]) -> None:
    ledger.engine.execute(
        f"DELETE FROM {table} WHERE resource=? AND origin=?", (tracked.number, ledger.origin_number(fork.origin))
    )
    kept = {origin: tick for origin, tick in changed.items() if origin in (fork.origin, fork.branch)}
    for origin, tick in merge_vectors({}, kept).items():
        ledger.engine.execute(
            f"INSERT INTO {table}(resource, origin, tick) VALUES (?, ?, ?) "
            "ON CONFLICT (resource, origin) DO UPDATE SET tick=excluded.tick",
            (tracked.number, ledger.origin_number(origin), tick),
        )


def _rename_records(ledger: Ledger, tracked: Tracked, fork: Fork) -> None:
    entries = [entry for entry, _ in tracked.rows.after(0, 1 << 62, 1 << 31)]
    wholes = load_wholes(ledger, tracked, [entry.key for entry in entries if entry.flags & WHOLE])
    put, replaced, added, removed = [], [], EMPTY, EMPTY
    for entry in entries:
        changed = _renamed(ledger, tracked, entry, wholes.get(entry.key), fork)
        if changed is None:
            continue
        new, whole = changed
        put.append(new)
        replaced.append(entry.seq)
        added = added.added(terms(ledger, new, whole))
        removed = removed.added(terms(ledger, entry, wholes.get(entry.key)))
        if whole is not None:
            save_whole(ledger, tracked, entry.key, whole)
    if put:
        tracked.rows.put(put, replaced)
        ledger.count(tracked, added, removed)


def _renamed(
    ledger: Ledger, tracked: Tracked, entry: Entry, whole: Whole | None, fork: Fork
) -> tuple[Entry, Whole | None] | None:
    before = held(ledger, entry, None, whole)
    record = renamed(before.record, tracked.wire, fork)
    if record is before.record:
        return None
    (seq,) = ledger.next_seqs(tracked, 1)
    shown = tuple(
        next((new for new in record.versions if new.hash == version.hash), version) for version in before.shown
    )
    undecided = whole is not None and whole.undecided
    kept = Kept(
        record,
        shown,
        entry.hash,
        entry.local,
        entry.rendered,
        aside_of(entry),
        bool(entry.flags & UNSHOWN),
        undecided,
    )
    return make_entry(ledger, entry.key, seq, entry.born_seq, kept)
