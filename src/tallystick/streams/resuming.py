"""Where a reader goes on, and the way back for one whose state cannot be continued from (DESIGN.md 4.5, law 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tallystick.core.states import State, check_state, parse_state
from tallystick.errors import StateError, StateExpiredError, StateInvalidError, StateScopeError
from tallystick.site.ledger import Ledger
from tallystick.streams.retention import Gone, gone_since
from tallystick.streams.scopes import StreamScope, remembered

Resync = Literal["", "diff"]
"""What to do with a state that cannot be continued from: raise (""), or deliver the difference."""

Holdings = Mapping[str, bytes | None] | Iterable[str]
"""What a reader holds of one resource: keys, or keys with the ``Change.hash`` of what it holds (None: not known)."""

Held = Callable[[str], Holdings]
"""Asked with a resource's wire name: what does the reader hold of it?"""


@dataclass(slots=True)
class Start:
    """Where a reading begins.

    ``seq`` is where, ``given`` the state that was passed. ``beginnings`` are other seqs for single resources, ``gone``
    purged deletions to be told by resource, ``before`` the scope that the reader had until now when it was another
    one. ``compare`` says that the reader's holdings must be compared, because its state says nothing that is true here.
    """

    seq: int
    given: str = ""
    beginnings: dict[str, int] = field(default_factory=dict)
    gone: dict[str, list[Gone]] = field(default_factory=dict)
    before: StreamScope | None = None
    compare: bool = False


def start(
    ledger: Ledger, scope: StreamScope, state: str | None, resync: Resync = "", held: Held | None = None
) -> Start:
    """Where to begin. Call after stamping.

    Raises StateInvalidError, StateScopeError, StateExpiredError or StateFutureError for a state that cannot be
    continued from; with ``resync`` "diff" only StateInvalidError, and the others where the difference cannot be known
    without ``held``.
    """
    if not state:
        return Start(0)
    found = parse_state(state)
    try:
        check_state(
            found,
            site=ledger.site,
            incarnation=ledger.incarnation,
            scope=scope.name,
            seq=int(ledger.meta("seq")),
            horizon=scope.horizon(ledger),
        )
    except StateInvalidError:
        raise
    except StateError as error:
        if resync != "diff":
            _advise(error)
            raise
        return _diff(ledger, scope, found, held, error, state)
    return Start(found.seq, state)


def _advise(error: StateError) -> None:
    if isinstance(error, StateScopeError):
        error.hint = (
            "ask for the same resources and filter as when the state was made; or pass resync='diff' (the difference "
            "is delivered); or start without a state"
        )


def _diff(ledger: Ledger, scope: StreamScope, found: State, held: Held | None, error: StateError, given: str) -> Start:
    """The difference, where the site knows it by itself; else by what the reader holds."""
    before = remembered(ledger, found.scope)
    ours = found.site == ledger.site and found.incarnation == ledger.incarnation
    if ours and found.seq <= int(ledger.meta("seq")) and before is not None:
        begun = _known_difference(ledger, scope, before, found.seq, given)
        if begun is not None:
            return begun
    if held is None:
        raise _needs_holdings(error)
    return Start(0, given, compare=True)


def _known_difference(ledger: Ledger, scope: StreamScope, before: StreamScope, seq: int, given: str) -> Start | None:
    begun = Start(seq, given, before=before if before != scope else None)
    for tracked in scope.tracked(ledger):
        if before.resources and tracked.wire not in before.resources:
            begun.beginnings[tracked.wire] = 0
            continue
        if before.where != scope.where:
            begun.beginnings[tracked.wire] = 0
        gone = gone_since(ledger, tracked, seq)
        if gone is None:
            return None
        if gone:
            begun.gone[tracked.wire] = gone
    return begun


def _needs_holdings(error: StateError) -> StateError:
    why = "the deletions purged since are not known any more" if isinstance(error, StateExpiredError) else error.message
    return type(error)(
        f"the difference cannot be known here alone: {why}",
        hint="pass resync='diff' with held= (an importer: a method held(resource)) that names the keys you hold; "
        "or drop what you hold and start without a state",
    )
