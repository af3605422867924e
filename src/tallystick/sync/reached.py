"""How far a site holds what its peers have, and how far a peer holds what came from itself (DESIGN.md 4.5).

What a peer sends gets seqs here, and by these it would be looked at again in the other direction, only to find that
the peer knows all of it. So a site notes the stretch of its seqs in which there is nothing but what one peer sent, kept
as it was sent. A peer that holds everything up to where the stretch begins holds everything up to where it ends.
"""

from __future__ import annotations

from tallystick.core.states import State, parse_state
from tallystick.errors import StateError
from tallystick.site.ledger import Ledger
from tallystick.sync.passing import scope_name
from tallystick.sync.replica import Scope

_CAME = "came "
"""What tells the note of a stretch from the state of the same scope."""


def state_of(ledger: Ledger, peer: str, scope: Scope) -> str:
    """What the site holds of a peer's changes; "" for nothing."""
    return _noted(ledger, peer, scope_name(scope))


def note_state(ledger: Ledger, peer: str, scope: Scope, state: str) -> None:
    """Note what the site holds of a peer's changes. Call inside ``ledger.write()``."""
    _note(ledger, peer, scope_name(scope), state)


def highest(ledger: Ledger, scope: Scope) -> int:
    """The highest seq of the scope's resources."""
    if ledger.in_write:
        ledger.save_counters()
    rows = ledger.engine.query_in("SELECT max(seq) FROM tally_resource WHERE wire IN (*)", (), scope.resources)
    return max((row[0] or 0 for row in rows), default=0)


def note_came(ledger: Ledger, peer: str, scope: Scope, before: int, as_sent: bool) -> None:
    """Note that a page of the peer's was applied, when ``before`` was the highest seq.

    ``as_sent``: every record that got a seq is here what it was in the page. Call inside ``ledger.write()``.
    """
    if scope.where:
        return  # what leaves a filter comes, too, and is not all that there is of a record
    since, until = _stretch(ledger, peer, scope)
    reached = highest(ledger, scope)
    if not as_sent:
        since = reached
    elif until != before:
        since = before
    if reached != until:
        _note(ledger, peer, _CAME + scope_name(scope), f"{since} {reached}")


def settled(ledger: Ledger, peer: str, scope: Scope, state: str) -> str:
    """The state that a peer which holds ``state`` of this site may take as its own; "" where it must ask."""
    since, until = _stretch(ledger, peer, scope)
    if not until or scope.where or highest(ledger, scope) != until:
        return ""
    try:
        held = parse_state(state)
    except StateError:
        return ""
    mine = (ledger.site, ledger.incarnation, scope_name(scope))
    if held.open or held[:3] != mine or not since <= held.seq < until:
        return ""
    return State(*mine, until).text()


def _stretch(ledger: Ledger, peer: str, scope: Scope) -> tuple[int, int]:
    noted = _noted(ledger, peer, _CAME + scope_name(scope)).split()
    return (int(noted[0]), int(noted[1])) if noted else (0, 0)


def _noted(ledger: Ledger, peer: str, scope: str) -> str:
    rows = ledger.engine.query("SELECT state FROM tally_state WHERE peer=? AND scope=?", (peer, scope))
    return str(rows[0][0]) if rows else ""


def _note(ledger: Ledger, peer: str, scope: str, state: str) -> None:
    ledger.engine.execute(
        "INSERT INTO tally_state(peer, scope, state, at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (peer, scope) DO UPDATE SET state=excluded.state, at=excluded.at",
        (peer, scope, state, ledger.now()),
    )
