"""What a context forgets: expired files, old history, chunks that nothing refers to (spec contexts R1-R6, X3, S5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick.content.packed import PackedStore
from tallystick.content.store import GRACE_NS, Collected
from tallystick.contexts.choices import Lifecycle
from tallystick.contexts.entries import DIRECTORY, EXPIRED, FileEntry, check_key, entry_of
from tallystick.contexts.host import Kept, Rule
from tallystick.contexts.recycling import RecycleRule, Rules, expired_keys, is_expired
from tallystick.contexts.shelf import Shelf, live_chunks, shelves
from tallystick.contexts.staging import staged_entries
from tallystick.errors import ValueRejected
from tallystick.site import managed
from tallystick.site.ledger import Ledger

HISTORY_DAYS = 30
"""How long replaced and removed files stay (X3)."""

MAX_RULES = 1000
"""Rules of one prefix: every look at a context goes through all of them."""

MAX_HISTORY = 1 << 62
"""Everything that there is."""

MILLION = 1_000_000
DAY_MS = 86_400_000


class Swept(NamedTuple):
    """What a sweep did: files expired, history entries and chunks forgotten, and what the store gave back."""

    expired: int
    forgotten: int
    chunks: int
    collected: Collected


def check_rules(prefix: str, rules: Sequence[Rule]) -> None:
    """Raise ValueRejected for rules that cannot be."""
    if len(rules) > MAX_RULES:
        raise ValueRejected(f"{len(rules):,} rules are too many", hint=f"give at most {MAX_RULES:,} for one prefix")
    for path in (prefix, *(rule.path for rule in rules)):
        if path:
            check_key(path)
    for rule in rules:
        if rule.lifecycle not in {choice.value for choice in Lifecycle}:
            known = ", ".join(choice.value for choice in Lifecycle)
            raise ValueRejected(f"there is no lifecycle {rule.lifecycle[:60]!r}", hint=f"use one of: {known}")


def rules_of(shelf: Shelf) -> Rules:
    """The recycle rules of a context."""
    return {
        prefix: tuple(RecycleRule(rule.path, Lifecycle(rule.lifecycle)) for rule in rules)
        for prefix, rules in shelf.rules.items()
    }


def is_due(shelf: Shelf) -> bool:
    """True when something has expired by now that is still there."""
    return bool(_due(shelf))


def _due(shelf: Shelf) -> set[str]:
    rules = rules_of(shelf)
    if not has_end(rules):
        return set()
    files: dict[str, int] = {}
    directories: list[str] = []
    for page in shelf.everything():
        files.update((key, entry.changed * MILLION) for key, entry in page if entry.kind != DIRECTORY)
        directories += [key for key, entry in page if entry.kind == DIRECTORY]
    return expired_keys(files, directories, shelf.ledger.now() * MILLION, rules)


def expire(shelf: Shelf) -> int:
    """Remove what has expired, from history too (R6); within a write transaction. Returns how many keys went."""
    due = sorted(_due(shelf))
    if not due:
        return 0
    engine, number = shelf.ledger.engine, shelf.resource.number
    gone = list(shelf.entries(due).values())
    managed.write(shelf.ledger, shelf.resource, [(key, None) for key in due])
    engine.executemany("DELETE FROM tally_history WHERE context=? AND key=?", [(number, key) for key in due])
    engine.executemany("DELETE FROM tally_expired WHERE context=? AND key=?", [(number, key) for key in due])
    now = shelf.ledger.now()
    engine.executemany(
        "INSERT INTO tally_expired(context, key, at) VALUES (?, ?, ?)", [(number, key, now) for key in due]
    )
    shelf.files -= sum(entry.kind != DIRECTORY for entry in gone)
    shelf.size -= sum(entry.size for entry in gone)
    engine.execute("UPDATE tally_context SET files=?, bytes=? WHERE id=?", (shelf.files, shelf.size, shelf.id))
    return len(due)


def forget_expired(shelf: Shelf) -> int:
    """Forget what the history keeps longer than its rule lets it live (R6); within a write transaction."""
    rules, engine, number = rules_of(shelf), shelf.ledger.engine, shelf.resource.number
    if not has_end(rules):
        return 0
    now = shelf.ledger.now() * MILLION
    rows = engine.query("SELECT version, key, content FROM tally_history WHERE context=?", (number,))
    gone = [
        (number, version, key)
        for version, key, content in rows
        if is_expired(key, entry_of(content).changed * MILLION, now, rules)
    ]
    engine.executemany("DELETE FROM tally_history WHERE context=? AND version=? AND key=?", gone)
    return len(gone)


def has_end(rules: Rules) -> bool:
    """True when some rule lets something expire at all."""
    return any(rule.lifecycle.days is not None for group in rules.values() for rule in group)


def history(shelf: Shelf, prefix: str, most: int) -> list[Kept]:
    """What was replaced or removed at or below a key, the latest first, without what has expired since (R6)."""
    rules = rules_of(shelf)
    if not has_end(rules):
        return shelf.history(prefix, most)
    now, found = shelf.ledger.now() * MILLION, shelf.history(prefix, MAX_HISTORY)
    return [kept for kept in found if not is_expired(kept.key, kept.entry.changed * MILLION, now, rules)][:most]


def expired(shelf: Shelf) -> Sequence[tuple[str, FileEntry]]:
    """The keys that rules took and nobody has written again."""
    rows = shelf.ledger.engine.query("SELECT key FROM tally_expired WHERE context=?", (shelf.resource.number,))
    keys = [key for (key,) in rows]
    there = shelf.entries(keys) if keys else {}
    return [(key, FileEntry(EXPIRED, 0)) for key in keys if key not in there]


def sweep(ledger: Ledger, store: PackedStore, history_days: float = HISTORY_DAYS, grace_ns: int = GRACE_NS) -> Swept:
    """Forget what may be forgotten in all contexts of a site. May run at any time, beside everything else."""
    count = forgotten = chunks = 0
    with ledger.write():
        now = ledger.now()
        before = now - int(history_days * DAY_MS)
        ((forgotten,),) = ledger.engine.query("SELECT count(*) FROM tally_history WHERE at<?", (before,))
        ledger.engine.execute("DELETE FROM tally_history WHERE at<?", (before,))
        ledger.engine.execute("DELETE FROM tally_publication WHERE at<?", (before,))
        ledger.engine.execute("DELETE FROM tally_expired WHERE at<?", (now - 360 * DAY_MS,))
        ledger.engine.execute("DELETE FROM tally_staged WHERE at<?", (now - grace_ns // MILLION,))
        for shelf in shelves(ledger):
            count += expire(shelf)
            forgotten += forget_expired(shelf)
            chunks += _forget_chunks(shelf, now - grace_ns // MILLION)
    collected = store.collect(lambda: live_chunks(ledger), store.clock())
    return Swept(count, int(forgotten), chunks, collected)


def _forget_chunks(shelf: Shelf, before: int) -> int:
    """Chunks that nothing refers to, and that no upload can be about to refer to, are seen no more."""
    engine, number = shelf.ledger.engine, shelf.resource.number
    known = {
        bytes(name)
        for (name,) in engine.query("SELECT hash FROM tally_context_chunk WHERE context=? AND at<?", (number, before))
    }
    if not known:
        return 0
    for page in shelf.everything():
        for _, entry in page:
            known.difference_update(entry.hashes)
    for (content,) in engine.query("SELECT content FROM tally_history WHERE context=?", (number,)):
        known.difference_update(entry_of(content).hashes)
    for entry in staged_entries(shelf):
        known.difference_update(entry.hashes)
    engine.executemany(
        "DELETE FROM tally_context_chunk WHERE context=? AND hash=?", [(number, name) for name in sorted(known)]
    )
    engine.executemany(
        "DELETE FROM tally_unpublished WHERE context=? AND hash=?", [(number, name) for name in sorted(known)]
    )
    return len(known)
