"""Ends that hold the same prove it when they first meet, and need nothing else (DESIGN.md 4.4 *Genesis*, 4.8).

A proof says in a few words all that an end holds of a scope. An end that holds the same holds all that the other one
has up to its seq, whatever is edited there meanwhile: it notes the state and the digest that a pass without pages would
have ended with.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

import msgspec

from tallystick.core.history import Histories, Relation, compare
from tallystick.core.states import State
from tallystick.site import history
from tallystick.site.ledger import Ledger, Tracked
from tallystick.sync import reached
from tallystick.sync.passing import scope_name
from tallystick.sync.replica import Meeting, Print, Proof, Scope

_ORIGIN: Final = re.compile(r"([0-9a-f]{32})\.([0-9]{1,18})")
_encode = msgspec.msgpack.Encoder().encode


def prove(ledger: Ledger, scope: Scope, like: Proof | None = None) -> Proof | None:
    """What this site holds of a scope; None where that is not what the proof ``like``, if there is one, says.

    None as well where it is more than live records show: deletions that are known or were purged, what waits,
    siblings, a filter. Call inside ``ledger.write()``, after stamping.
    """
    tracked = [ledger.resource(wire) for wire in sorted(scope.resources)]
    said = sha256(_encode([(item.wire, *print_of(item)) for item in tracked])).digest()
    if scope.where or (like is not None and like.print != said) or any(_more(ledger, item) for item in tracked):
        return None
    return Proof(reached.highest(ledger, scope), {item.wire: ledger.digest(item) for item in tracked}, said)


def print_of(tracked: Tracked) -> Print:
    """The fingerprint of a resource as it is stated."""
    made = tracked.fingerprint
    return (made.count, made.names.to_bytes(32, "big"), made.content.to_bytes(32, "big"))


def take(ledger: Ledger, theirs: Meeting, before: Histories) -> None:
    """Note that all is held here that the other end proves to hold. Call inside ``ledger.write()``, and only where
    this site has the same to prove.

    ``before`` are the histories that were known here before the other end told its own. Where those revealed that
    somebody was copied or restored, or are not the end's latest, nothing is noted: the pages of a pass say the rest.
    """
    proof, origin = theirs.proof, _ORIGIN.fullmatch(theirs.origin)
    if proof is None or origin is None or origin[1] != theirs.site or not _undisturbed(ledger, theirs, before):
        return
    for wire in theirs.scope.resources:
        ledger.merge_digest(ledger.resource(wire), proof.digests.get(wire, {}))
    state = State(theirs.site, int(origin[2]), scope_name(theirs.scope), proof.seq)
    reached.note_state(ledger, theirs.site, theirs.scope, state.text())


def _more(ledger: Ledger, tracked: Tracked) -> bool:
    """True when more is known of a resource than its live records show."""
    query, number = ledger.engine.query, (tracked.number,)
    for table in ("tally_forgotten", "tally_parked", "tally_sibling"):
        if query(f"SELECT 1 FROM {table} WHERE resource=? LIMIT 1", number):
            return True
    records = int(query("SELECT count(*) FROM tally_record WHERE resource=?", number)[0][0])
    return records != tracked.fingerprint.count


def _undisturbed(ledger: Ledger, theirs: Meeting, before: Histories) -> bool:
    """True when what the other end told changed no name here, and is the last that anybody here knows of it."""
    if theirs.histories is None:
        return False
    known, told = history.load(ledger), history.histories_of(theirs.histories)
    if (known.origin, known.forks) != (before.origin, before.forks) or told.origin != theirs.origin:
        return False
    mine, latest = (one.contacts.get(theirs.origin, ()) for one in (known, told))
    return compare(mine, latest) is Relation.SAME
