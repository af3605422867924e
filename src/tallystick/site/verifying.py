"""Verification from the data itself: corruption, and writes that bypassed capture (DESIGN.md 4.8 *verify --deep*)."""

from __future__ import annotations

from typing import NamedTuple

from tallystick.core.fingerprints import EMPTY, Fingerprint
from tallystick.site import parking
from tallystick.site.holding import load_wholes, terms
from tallystick.site.ledger import WHOLE, Ledger, Tracked
from tallystick.site.schema import Identity
from tallystick.site.stamping import compare, differences
from tallystick.site.unnamed import unnamed


class Finding(NamedTuple):
    """One record whose row is not what the ledger says. ``problem`` is changed, added, or missing; unnamed is that of
    a row which no key names, so that it stays out."""

    resource: str
    key: str
    problem: str


def inspect(ledger: Ledger, tracked: Tracked) -> list[Finding]:
    """Recompute every row and compare it with the ledger. Call after stamping; reads only."""
    if tracked.definition.identity is Identity.MANAGED:
        return []
    found = [Finding(tracked.wire, key, "unnamed") for key in sorted(parking.left_out(ledger, tracked))]
    touched_ones = differences(ledger, tracked)
    left_out = unnamed(tracked, [item.address for item in touched_ones if item.address is not None])
    for touched in touched_ones:
        if touched.address in left_out:
            continue
        if touched.entry is None:
            found.append(Finding(tracked.wire, str(touched.address), "added"))
        elif touched.address is None:
            found.append(Finding(tracked.wire, touched.entry.key, "missing"))
        else:
            found.append(Finding(tracked.wire, touched.entry.key, "changed"))
    return found


def recomputed(ledger: Ledger, tracked: Tracked) -> Fingerprint:
    """The fingerprint summed anew from the ledger."""
    total = EMPTY
    position = 0
    while True:
        entries = [entry for entry, _ in tracked.rows.after(position, 1 << 62, 5000)]
        if not entries:
            return total
        wholes = load_wholes(ledger, tracked, [entry.key for entry in entries if entry.flags & WHOLE])
        for entry in entries:
            total = total.added(terms(ledger, entry, wholes.get(entry.key)))
        position = entries[-1].seq


def heal(ledger: Ledger, tracked: Tracked) -> int:
    """Take rows that bypassed capture as the edits they are, and correct the fingerprint. Returns how many.

    Call inside ``ledger.write()``, after stamping.
    """
    found = 0 if tracked.definition.identity is Identity.MANAGED else compare(ledger, tracked)
    right = recomputed(ledger, tracked)
    if right != tracked.fingerprint:
        tracked.fingerprint = right
        tracked.dirty = True
        found += 1
    return found
